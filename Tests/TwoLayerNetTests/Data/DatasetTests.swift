// Datasets from arrays.

import TestSupport
import Testing

@testable import TwoLayerNet

private let bytes: [UInt8] = [0, 51, 102, 153, 204, 255]

struct DatasetTests {
  @Test(arguments: [false, true])
  func rowsComeBackWithTheirStride(_ copy: Bool) throws {
    // Three rows of one feature; the bytes between them are not looked at.
    let dataset = try bytes.withUnsafeBytes { bytes in
      try Dataset.make(
        features: bytes.baseAddress!, type: .u8, rows: 3, columns: 1, rowStride: 2, copy: true)
    }
    var features = [Float](repeating: -1, count: 3)
    try features.withUnsafeMutableBufferPointer {
      try dataset.read(firstRow: 0, rows: 3, features: $0.baseAddress!, labels: nil)
    }
    #expect(features == [0, 102 / 255, 204 / 255])
  }

  @Test func everyByteBecomesItsShareOf255() throws {
    let all = (0...255).map { UInt8($0) }
    var features = [Float](repeating: -1, count: 256)
    try all.withUnsafeBytes { bytes in
      let dataset = try Dataset.make(features: bytes.baseAddress!, type: .u8, rows: 1, columns: 256)
      try features.withUnsafeMutableBufferPointer {
        try dataset.read(firstRow: 0, rows: 1, features: $0.baseAddress!, labels: nil)
      }
    }
    #expect(features == all.map { Float($0) / 255 })
  }

  @Test func labelsOfEveryTypeAreTheSame() throws {
    var read: [[Int64]] = []
    try bytes.withUnsafeBytes { features in
      func open(_ labels: Labels) throws {
        let dataset = try Dataset.make(
          features: features.baseAddress!, type: .u8, rows: 3, columns: 2, labels: labels)
        var labels = [Int64](repeating: -1, count: 3)
        try labels.withUnsafeMutableBufferPointer {
          try dataset.read(firstRow: 0, rows: 3, features: nil, labels: $0.baseAddress!)
        }
        read.append(labels)
      }
      try [UInt8]([7, 0, 2]).withUnsafeBufferPointer { try open(.u8($0.baseAddress!)) }
      try [Int32]([7, 0, 2]).withUnsafeBufferPointer { try open(.i32($0.baseAddress!)) }
      try [Int64]([7, 0, 2]).withUnsafeBufferPointer { try open(.i64($0.baseAddress!)) }
    }
    #expect(read == [[7, 0, 2], [7, 0, 2], [7, 0, 2]])
  }

  @Test(arguments: [-1, Int64.min, Int64.max, Int64(Shape.limit) + 1])
  func impossibleLabelsAreRefused(_ label: Int64) {
    bytes.withUnsafeBytes { features in
      [0, label].withUnsafeBufferPointer { labels in
        expectFailure(.invalidArgument, "row 1", "\(label)") {
          try Dataset.make(
            features: features.baseAddress!, type: .u8, rows: 2, columns: 2,
            labels: .i64(labels.baseAddress!))
        }
      }
    }
  }

  @Test func impossibleShapesAreRefused() {
    bytes.withUnsafeBytes { features in
      func expectRefusal(_ word: String, rows: Int = 1, columns: Int = 1, stride: Int = 0) {
        expectFailure(.invalidArgument, word) {
          try Dataset.make(
            features: features.baseAddress!, type: .f32, rows: rows, columns: columns, rowStride: stride)
        }
      }
      for rows in [0, -1, Int.min] { expectRefusal("rows", rows: rows) }
      expectRefusal("too many", rows: Int.max)
      for columns in [0, -1, Int.min, Int.max, Shape.limit + 1] {
        expectRefusal("columns", columns: columns)
      }
      for stride in [-4, 3, 6, Int.min, Int.max] { expectRefusal("row_stride_bytes", stride: stride) }
    }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity, .signalingNaN])
  func featuresThatAreNotFiniteAreRefused(_ value: Float) {
    for column in [0, 16, 39] {
      var features = [Float](repeating: 1, count: 80)
      features[40 + column] = value
      features.withUnsafeBytes { features in
        expectFailure(.invalidArgument, "row 1, column \(column) ") {
          try Dataset.make(features: features.baseAddress!, type: .f32, rows: 2, columns: 40)
        }
      }
    }
  }

  @Test func misalignedFloatsAreRefused() {
    [Float](repeating: 1, count: 4).withUnsafeBytes { features in
      expectFailure(.invalidArgument, "aligned") {
        try Dataset.make(features: features.baseAddress! + 1, type: .f32, rows: 1, columns: 2)
      }
    }
  }

  @Test(arguments: [(0, 4), (3, 1), (-1, 1), (1, -1), (Int.max, 1), (1, Int.max)])
  func rowsThatAreNotThereCannotBeRead(_ first: Int, _ count: Int) throws {
    try bytes.withUnsafeBytes { bytes in
      let dataset = try Dataset.make(features: bytes.baseAddress!, type: .u8, rows: 3, columns: 2)
      expectFailure(.invalidArgument, "rows") {
        try dataset.read(firstRow: first, rows: count, features: nil, labels: nil)
      }
    }
  }

  @Test func aPartHoldsItsRowsAndKeepsTheWholeAlive() throws {
    func part(firstRow: Int, rows: Int) throws -> Dataset {
      let whole = try bytes.withUnsafeBytes { features in
        try [UInt8]([4, 5, 6]).withUnsafeBufferPointer {
          try Dataset.make(
            features: features.baseAddress!, type: .u8, rows: 3, columns: 2,
            labels: .u8($0.baseAddress!), copy: true)
        }
      }
      return try whole.part(firstRow: firstRow, rows: rows)
    }
    let part = try part(firstRow: 1, rows: 2)
    var features = [Float](repeating: -1, count: 4)
    var labels = [Int64](repeating: -1, count: 2)
    try part.read(firstRow: 0, rows: 2, features: &features, labels: &labels)
    #expect(features == bytes[2...].map { Float($0) / 255 })
    #expect(labels == [5, 6])
  }

  @Test(arguments: [(-1, 1), (0, 0), (0, 4), (3, 1), (2, Int.max), (Int.max, 1)])
  func partsOutsideTheDatasetAreRefused(_ first: Int, _ count: Int) throws {
    try bytes.withUnsafeBytes { bytes in
      let dataset = try Dataset.make(features: bytes.baseAddress!, type: .u8, rows: 3, columns: 2)
      expectFailure(.invalidArgument, "rows") { try dataset.part(firstRow: first, rows: count) }
    }
  }

  @Test func aDatasetThatDoesNotFitTheNetworkIsRefused() throws {
    let network = try Network.make(Shape(input: 2, hidden: 3, output: 2), device: .cpu)
    try bytes.withUnsafeBytes { features in
      func open(columns: Int, labels: [UInt8]?) throws -> Dataset {
        try (labels ?? []).withUnsafeBufferPointer {
          try Dataset.make(
            features: features.baseAddress!, type: .u8, rows: 2, columns: columns,
            labels: labels == nil ? .none : .u8($0.baseAddress!))
        }
      }
      let refused: [(Dataset, String)] = [
        (try open(columns: 3, labels: [0, 1]), "3 features"),
        (try open(columns: 2, labels: nil), "no labels"),
        (try open(columns: 2, labels: [0, 2]), "label 2"),
      ]
      for (dataset, word) in refused {
        expectFailure(.invalidArgument, word) { try network.evaluate(dataset) }
        let trainer = try Trainer.make(network)
        expectFailure(.invalidArgument, word) { try trainer.fit(dataset, epochs: 1) }
      }
    }
  }
}
