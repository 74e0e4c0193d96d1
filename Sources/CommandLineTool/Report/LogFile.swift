// Reading the log of a training back.

import TwoLayerNet

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// One line of the log, as far as a report needs it.
struct LogLine: Decodable {
  let event: String
  let epoch: Int?
  let loss: Double?
  let validationLoss: Double?
  let validationAccuracy: Double?
  let testLoss: Double?
  let testAccuracy: Double?

  enum CodingKeys: String, CodingKey {
    case event, epoch, loss
    case validationLoss = "validation_loss"
    case validationAccuracy = "validation_accuracy"
    case testLoss = "test_loss"
    case testAccuracy = "test_accuracy"
  }

  /// The epochs of a log, in their order.
  static func readEpochs(_ path: String) throws(Failure) -> [LogLine] {
    let lines = try readWhole(path).split(separator: UInt8(ascii: "\n"))
    var epochs: [LogLine] = []
    for (index, text) in lines.enumerated() {
      guard let line = try? JSONDecoder().decode(LogLine.self, from: Data(text)) else {
        throw Failure(.badFile, "\(path) is not a log of a training: line \(index + 1)")
      }
      guard line.event == "epoch", let number = line.epoch else { continue }
      guard (1...Int(Int32.max)).contains(number) else {
        throw Failure(
          .badFile, "\(path) is not a log of a training: line \(index + 1) is of epoch \(number)")
      }
      // A training that was resumed from an earlier state tells some epochs anew.
      epochs.removeAll { $0.epoch! >= number }
      epochs.append(line)
    }
    guard !epochs.isEmpty else { throw Failure(.badFile, "\(path) tells of no finished epoch") }
    return epochs
  }
}
