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
  // Of the start.
  let trainingImages: Int?
  let batchSize: Int?
  let learningRate: Double?
  let momentum: Double?
  let device: String?
  let deviceName: String?
  let threads: Int?
  // Of the end.
  let seconds: Double?

  enum CodingKeys: String, CodingKey {
    case event, epoch, loss, momentum, device, threads, seconds
    case validationLoss = "validation_loss"
    case validationAccuracy = "validation_accuracy"
    case testLoss = "test_loss"
    case testAccuracy = "test_accuracy"
    case trainingImages = "training_images"
    case batchSize = "batch_size"
    case learningRate = "learning_rate"
    case deviceName = "device_name"
  }
}

/// What a log tells.
struct LogFile {
  /// How the training began, for the last time if it was resumed.
  private(set) var start: LogLine?
  /// In their order.
  private(set) var epochs: [LogLine] = []
  /// nil if the training did not come to its end.
  private(set) var end: LogLine?

  init(_ path: String) throws(Failure) {
    let bytes = try readWhole(path)
    let isCutOff = bytes.last != UInt8(ascii: "\n")
    let lines = bytes.split(separator: UInt8(ascii: "\n"))
    for (index, text) in lines.enumerated() {
      guard let line = try? JSONDecoder().decode(LogLine.self, from: Data(text)) else {
        // A full disk may have cut off the last line.
        if isCutOff && index > 0 && index == lines.count - 1 { break }
        throw Failure(.badFile, "\(path) is not a log of a training: line \(index + 1)")
      }
      if line.event == "start" { (start, end) = (line, nil) }
      if line.event == "end" { end = line }
      guard line.event == "epoch", let number = line.epoch else { continue }
      guard (1...Int(Int32.max)).contains(number) else {
        throw Failure(
          .badFile, "\(path) is not a log of a training: line \(index + 1) is of epoch \(number)")
      }
      // A training that was resumed from an earlier state tells some epochs anew.
      while let last = epochs.last, last.epoch! >= number { epochs.removeLast() }
      epochs.append(line)
    }
    guard !epochs.isEmpty else { throw Failure(.badFile, "\(path) tells of no finished epoch") }
  }
}
