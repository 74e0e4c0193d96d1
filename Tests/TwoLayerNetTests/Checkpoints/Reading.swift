// What the tests of checkpoints share: networks from bytes, and values to compare.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

/// Opens a checkpoint in memory and hands it to a body.
func withCheckpoint<R>(_ bytes: [UInt8], _ body: (Checkpoint) throws -> R) throws -> R {
  // From the heap and of exactly this size, so that AddressSanitizer sees every byte too many.
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  return try body(
    Checkpoint.read(File(name: "the file in memory", contents: UnsafeRawBufferPointer(copy))))
}

func loadNetwork(_ bytes: [UInt8], notice: (String) -> Void = { _ in }) throws -> Network {
  try withCheckpoint(bytes) { try Network.load($0, device: .cpu, notice: notice) }
}

/// All parameters in PyTorch's order.
func parameters(_ network: Network) throws -> [[Float]] {
  try Parameter.allCases.map { try network.values($0) }
}

/// Expects that a file is refused as a bad one, with this word.
func expectRefused(
  _ bytes: [UInt8], _ word: String = "", status: Status = .badFile,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  expectFailure(status, word, sourceLocation: sourceLocation) { try loadNetwork(bytes) }
}

extension Checkpoint {
  func values(_ tensor: Tensor) throws -> [Float] {
    var values = [Float](repeating: .nan, count: tensor.count)
    try values.withUnsafeMutableBufferPointer { try read(tensor, into: $0) }
    return values
  }
}

/// Values from their bytes in hexadecimal.
func floats(hexadecimal text: String) -> [Float] {
  let digits = Array(text.utf8).map { UInt32($0 < 97 ? $0 - 48 : $0 - 87) }
  return stride(from: 0, to: digits.count, by: 8).map { start in
    var bits: UInt32 = 0
    for byte in 0..<4 {
      bits |= (digits[start + 2 * byte] << 4 | digits[start + 2 * byte + 1]) << UInt32(8 * byte)
    }
    return Float(bitPattern: bits)
  }
}

/// What Tests/Golden/record_checkpoints.py recorded of one version of PyTorch.
struct RecordedCheckpoints: Decodable {
  struct Trained: Decodable {
    let epoch: Int
    let model: [String]
    let momentum: [String]
  }
  let network: [String: String]
  let checkpoints: [String: Trained]

  static let versions = ["1.13.0", "2.1.2", "2.13.0"]

  init(_ version: String) throws {
    self = try JSONDecoder().decode(
      Self.self, from: golden("checkpoints/torch-\(version)/expected.json"))
  }

  static func path(_ version: String, _ name: String) -> String {
    repository.appendingPathComponent("Tests/Golden/checkpoints/torch-\(version)/\(name)").path
  }

  /// The parameters of the recorded network.
  var parameters: [[Float]] { Parameter.allCases.map { floats(hexadecimal: network[$0.name]!) } }
}
