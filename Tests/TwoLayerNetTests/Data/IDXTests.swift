// Reading IDX files: right ones, compressed ones, and each way of being wrong.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

/// Five images of 2 x 3 pixels, and their labels.
private let imageBytes = (0..<30).map { UInt8($0 * 8) }
private let images = idx([5, 2, 3], imageBytes)
private let labels = idx([5], [0, 1, 2, 1, 9])

/// Opens files with these contents.
private func open(_ images: [UInt8], _ labels: [UInt8]?) throws -> (
  rows: Int, columns: Int, last: [Float]
) {
  try withTemporaryDirectory { directory in
    let imagesPath = try write(images, to: directory + "/images")
    let labelsPath = try labels.map { try write($0, to: directory + "/labels") }
    let dataset = try Dataset.openIDX(images: imagesPath, labels: labelsPath)
    var last = [Float](repeating: .nan, count: dataset.columns)
    try last.withUnsafeMutableBufferPointer {
      try dataset.read(firstRow: dataset.rows - 1, rows: 1, features: $0.baseAddress!, labels: nil)
    }
    return (dataset.rows, dataset.columns, last)
  }
}

struct IDXTests {
  static let variants: [(name: String, images: [UInt8], labels: [UInt8]?)] = [
    ("raw", images, labels),
    ("without labels", images, nil),
    ("compressed", gzip(images), gzip(labels)),
    ("mixed", images, gzip(labels)),
    ("in two gzip members", gzip(Array(images[..<10])) + gzip(Array(images[10...])), labels),
    ("in four dimensions", idx([5, 1, 2, 3], imageBytes), labels),
    ("flat", idx([5, 6], imageBytes), labels),
  ]

  @Test(arguments: variants.indices)
  func aFileIsReadHoweverItIsStored(_ index: Int) throws {
    let variant = Self.variants[index]
    let dataset = try open(variant.images, variant.labels)
    #expect(dataset.rows == 5 && dataset.columns == 6, "\(variant.name)")
    #expect(dataset.last == imageBytes.suffix(6).map { Float($0) / 255 }, "\(variant.name)")
  }

  @Test func largeFilesCrossTheReadersBlocks() throws {
    let bytes = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let dataset = try open(gzip(idx([100, 7000], bytes)), nil)
    #expect(dataset.last == bytes.suffix(7000).map { Float($0) / 255 })
  }

  static let bad: [(name: String, images: [UInt8], labels: [UInt8], word: String)] = [
    ("empty", [], labels, "header"),
    ("cut in the header", Array(images[..<9]), labels, "header"),
    ("cut in the body", images.dropLast(), labels, "cut off"),
    ("one byte too many", images + [0], labels, "more bytes"),
    ("not IDX", Array("PK\u{3}\u{4}hello".utf8), labels, "not an IDX file"),
    ("no dimensions", [0, 0, 8, 0], labels, "not an IDX file"),
    ("a size that overflows", idx([.max, .max, .max, .max], []), labels, "cut off"),
    ("a size beyond the file", idx([1000, 28, 28], []), labels, "cut off"),
    ("no images", idx([0, 2, 3], []), idx([0], []), "no images"),
    ("no pixels", idx([5, 0, 3], []), labels, "0 pixels"),
    ("labels for images", labels, labels, "one dimension"),
    ("images for labels", images, images, "3 dimensions"),
    ("too few labels", images, idx([4], [0, 1, 2, 1]), "5 images"),
    ("gzip cut off", gzip(images).dropLast(12), labels, "cut off"),
    ("gzip without its checksum", gzip(images).dropLast(8), labels, "cut off"),
    ("gzip with a wrong checksum", damaged(gzip(images), at: -8), labels, "damaged"),
    ("gzip with a wrong length", damaged(gzip(images), at: -4), labels, "damaged"),
    ("gzip of nonsense", Array(gzip(images)[..<10]) + [7, 7, 7, 7], labels, "damaged"),
    ("gzip followed by garbage", gzip(images) + [1, 2, 3], labels, "damaged"),
  ]

  @Test(arguments: bad.indices)
  func aWrongFileIsRefused(_ index: Int) {
    let bad = Self.bad[index]
    expectFailure(.badFile, bad.word) { try open(bad.images, bad.labels) }
  }

  @Test func elementsThatAreNotBytesAreUnsupported() {
    expectFailure(.unsupported, "type 13") { try open([0, 0, 0x0d, 1, 0, 0, 0, 0], labels) }
  }

  @Test func whatIsNotARegularFileIsRefused() throws {
    try withTemporaryDirectory { directory in
      expectFailure(.ioError, "cannot be opened") {
        try Dataset.openIDX(images: directory + "/nowhere", labels: nil)
      }
      expectFailure(.ioError, "regular file") { try Dataset.openIDX(images: directory, labels: nil) }
      #expect(mkfifo(directory + "/pipe", 0o600) == 0)
      expectFailure(.ioError, "regular file") {
        try Dataset.openIDX(images: directory + "/pipe", labels: nil)
      }
    }
  }

  @Test(arguments: ["", "/MNIST/raw"], ["", ".gz"])
  func theFourFilesAreFound(_ folder: String, _ ending: String) throws {
    try withTemporaryDirectory { directory in
      let place = directory + folder
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      func store(_ bytes: [UInt8], _ name: String) throws {
        _ = try write(ending.isEmpty ? bytes : gzip(bytes), to: "\(place)/\(name)\(ending)")
      }
      try store(images, "train-images-idx3-ubyte")
      expectFailure(.ioError, "train-labels-idx1-ubyte is missing") {
        try Dataset.openMNIST(directory, train: true)
      }
      try store(labels, "train-labels-idx1-ubyte")
      #expect(try Dataset.openMNIST(directory, train: true).rows == 5)
      expectFailure(.ioError, "t10k-images-idx3-ubyte") {
        try Dataset.openMNIST(directory, train: false)
      }
    }
  }
}

/// A copy with one byte changed; a negative index counts from the end.
private func damaged(_ bytes: [UInt8], at index: Int) -> [UInt8] {
  var copy = bytes
  copy[index < 0 ? bytes.count + index : index] ^= 0x55
  return copy
}
