// What a network looks at: pictures from files, datasets or standard input, as its inputs.

import CSystem
import TwoLayerNet

/// One input of a network, and what to call it.
struct Digit {
  let name: String
  /// As many as the network has inputs.
  var features: [Float]

  /// The side of the square picture that a network of so many inputs takes, if it takes one.
  static func side(inputs: Int) -> Int? {
    let side = Int(Double(inputs).squareRoot().rounded())
    return side * side == inputs ? side : nil
  }

  /// What a file holds: a PNG or PGM picture, or the rows `indices` (none: the first) of an IDX file.
  static func read(_ path: String, inputs: Int, indices: [Int]) throws(Failure) -> [Digit] {
    let bytes = try readWhole(path)
    let isPicture = GrayImage.isPNG(bytes) || GrayImage.isPGM(bytes)
    guard isPicture else { return try readIDX(path, inputs: inputs, indices: indices) }
    let image =
      GrayImage.isPNG(bytes)
      ? try GrayImage(png: bytes, name: path) : try GrayImage(pgm: bytes, name: path)
    guard let side = side(inputs: inputs) else {
      throw Failure(
        .invalidArgument, "a picture cannot become \(inputs) inputs, which make no square")
    }
    return [Digit(name: path, features: image.fitted(to: side).pixels)]
  }

  private static func readIDX(
    _ path: String, inputs: Int, indices: [Int]
  ) throws(Failure) -> [Digit] {
    let dataset: Dataset
    do throws(Failure) {
      dataset = try Dataset.openIDX(images: path, labels: nil)
    } catch {
      guard error.status == .badFile else { throw error }
      throw Failure(.badFile, "\(path) is neither PNG nor PGM, and as IDX: \(error.message)")
    }
    guard dataset.columns == inputs else {
      throw Failure(
        .invalidArgument,
        "\(path) has images of \(dataset.columns) pixels, but the network takes \(inputs)")
    }
    var digits: [Digit] = []
    for index in indices.isEmpty ? [0] : indices {
      var features = [Float](repeating: 0, count: inputs)
      try dataset.read(firstRow: index, rows: 1, features: &features, labels: nil)
      digits.append(Digit(name: "\(path)[\(index)]", features: features))
    }
    return digits
  }

  /// Numbers from standard input: text, or float32 in this machine's byte order.
  static func read(numbers bytes: [UInt8], inputs: Int) throws(Failure) -> [Digit] {
    // Float32 pixels of a picture are never all printable: zero, for one, is not.
    let isText = bytes.allSatisfy { (32..<127).contains($0) || (9...13).contains($0) }
    let values: [Float]
    if isText {
      values = try parse(bytes)
    } else {
      guard bytes.count % 4 == 0 else {
        throw Failure(.badFile, "standard input is neither text nor whole float32 numbers")
      }
      values = bytes.withUnsafeBytes { memory in
        (0..<bytes.count / 4).map { memory.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
    }
    guard !values.isEmpty, values.count % inputs == 0 else {
      throw Failure(
        .badFile,
        "standard input has \(values.count) numbers, but the network takes \(inputs) for each digit")
    }
    return stride(from: 0, to: values.count, by: inputs).map {
      Digit(name: "input[\($0 / inputs)]", features: Array(values[$0..<$0 + inputs]))
    }
  }

  private static func parse(_ text: [UInt8]) throws(Failure) -> [Float] {
    var values: [Float] = []
    for word in text.split(whereSeparator: { Set(", \t\r\n".utf8).contains($0) }) {
      let word = String(decoding: word, as: UTF8.self)
      guard let value = Float(word) else {
        throw Failure(.badFile, "standard input has '\(word)' where a number should be")
      }
      values.append(value)
    }
    return values
  }
}
