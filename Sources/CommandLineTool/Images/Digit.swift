// What a network looks at: pictures from files, datasets or standard input, as its inputs.

import CSystem
import TwoLayerNet

/// One input of a network, and what to call it.
struct Digit {
  /// What is done to a picture before a network sees it.
  struct Preparation {
    var invert = false
    /// Pictures only: datasets and numbers have been prepared already.
    var center = false
  }

  let name: String
  /// As many as the network has inputs.
  let features: [Float]

  /// The side of the square picture that a network of so many inputs takes, if it takes one.
  static func side(inputs: Int) -> Int? {
    let side = Int(Double(inputs).squareRoot().rounded())
    return side * side == inputs ? side : nil
  }

  /// What a file holds: a PNG or PGM picture, or the rows `indices` (none: the first) of an IDX file.
  static func read(
    _ path: String, inputs: Int, indices: [Int], _ preparation: Preparation
  ) throws(Failure) -> [Digit] {
    guard !isPipe(path) else {
      throw Failure(
        .unsupported, "\(path) is a pipe: 'twolayernet predict -' reads standard input, which may be one"
      )
    }
    let bytes = try readWhole(path)
    if let digit = try picture(bytes, name: path, inputs: inputs, preparation) {
      if !indices.isEmpty { Console.notice("\(path) is one picture: --index is for IDX files") }
      return [digit]
    }
    return try readIDX(path, inputs: inputs, indices: indices).map { $0.inverted(preparation.invert) }
  }

  /// What standard input holds: a PNG or PGM picture, or numbers.
  static func read(
    input bytes: [UInt8], inputs: Int, _ preparation: Preparation
  ) throws(Failure) -> [Digit] {
    if let digit = try picture(bytes, name: "input", inputs: inputs, preparation) {
      return [digit]
    }
    return try read(numbers: bytes, inputs: inputs).map { $0.inverted(preparation.invert) }
  }

  /// A PNG or PGM picture; nil if the bytes are neither. It is inverted before it is fitted: what is added
  /// around it is black in any case.
  private static func picture(
    _ bytes: [UInt8], name: String, inputs: Int, _ preparation: Preparation
  ) throws(Failure) -> Digit? {
    var image: GrayImage
    if GrayImage.isPNG(bytes) {
      image = try GrayImage(png: bytes, name: name)
    } else if GrayImage.isPGM(bytes) {
      image = try GrayImage(pgm: bytes, name: name)
    } else {
      return nil
    }
    guard let side = side(inputs: inputs) else {
      throw Failure(
        .invalidArgument, "a picture cannot become \(inputs) inputs, which make no square")
    }
    if preparation.invert { image.invert() }
    let fitted = preparation.center ? image.centered(in: side) : image.fitted(to: side)
    return Digit(name: name, features: fitted.pixels)
  }

  private func inverted(_ isWanted: Bool) -> Digit {
    isWanted ? Digit(name: name, features: features.map { 1 - $0 }) : self
  }

  private static func readIDX(
    _ path: String, inputs: Int, indices: [Int]
  ) throws(Failure) -> [Digit] {
    let dataset: Dataset
    do throws(Failure) {
      dataset = try Dataset.openIDX(images: path, labels: nil)
    } catch {
      guard error.status == .badFile else { throw error }
      throw Failure(
        .badFile, "\(path) is neither PNG nor PGM (save it as one of these), nor IDX: \(error.message)")
    }
    guard dataset.columns == inputs else {
      throw Failure(
        .invalidArgument,
        "\(path) has images of \(dataset.columns) pixels, but the network takes \(inputs)")
    }
    var digits: [Digit] = []
    for index in indices.isEmpty ? [0] : indices {
      guard (0..<dataset.rows).contains(index) else {
        throw Failure(
          .invalidArgument,
          "there is no image \(index) in \(path): its \(dataset.rows) images count from 0")
      }
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
