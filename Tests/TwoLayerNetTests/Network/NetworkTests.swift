// Shapes, parameters and predictions of a network.

import TestSupport
import Testing

@testable import TwoLayerNet

struct NetworkTests {
  @Test(arguments: [0, -1, Int.min, Int.max, Shape.limit + 1])
  func impossibleSizesAreRefused(_ size: Int) {
    expectFailure(.invalidArgument, "input_size") { try Shape(input: size, hidden: 1, output: 1) }
    expectFailure(.invalidArgument, "hidden_size") { try Shape(input: 1, hidden: size, output: 1) }
    expectFailure(.invalidArgument, "output_size") { try Shape(input: 1, hidden: 1, output: size) }
  }

  @Test func aNetworkTooLargeForMemoryIsAnError() throws {
    let shape = try Shape(input: Shape.limit, hidden: Shape.limit, output: 1)
    expectFailure(.outOfMemory) { try Network.make(shape, device: .cpu) }
  }

  @Test(arguments: [-1, 1025, Int.max])
  func impossibleThreadsAreRefused(_ threads: Int) throws {
    let shape = try Shape(input: 2, hidden: 2, output: 2)
    expectFailure(.invalidArgument, "threads") {
      try Network.make(shape, device: .cpu, threads: threads)
    }
  }

  @Test func parametersComeBackAsTheyWereSet() throws {
    let network = try Network.make(Shape(input: 5, hidden: 7, output: 3), device: .cpu)
    var random = TestRandom(1)
    for parameter in Parameter.allCases {
      let values = random.uniforms(parameter.count(in: network.shape))
      try values.withUnsafeBufferPointer { try network.write(parameter, from: $0) }
      #expect(try network.values(parameter) == values)
    }
  }

  @Test func parametersThatDoNotFitAreRefused() throws {
    let network = try Network.make(Shape(input: 2, hidden: 2, output: 2), device: .cpu)
    let before = try network.values(.hiddenWeight)
    for bad in [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, .nan, 4], [1, .infinity, 3, 4]] as [[Float]] {
      expectFailure(.invalidArgument, "layers.0.weight") {
        try bad.withUnsafeBufferPointer { try network.write(.hiddenWeight, from: $0) }
      }
    }
    #expect(try network.values(.hiddenWeight) == before)
  }

  @Test func predictionsAgreeWithEachOther() throws {
    let network = try Network.make(Shape(input: 20, hidden: 16, output: 4), seed: 2, device: .cpu)
    var random = TestRandom(3)
    let (rows, outputs) = (1300, 4)
    let features = random.uniforms(rows * 20)
    var logits = [Float](repeating: 0, count: rows * outputs)
    var probabilities = logits
    var labels = [Int64](repeating: -1, count: rows)
    try features.withUnsafeBufferPointer { features in
      try logits.withUnsafeMutableBufferPointer { try network.logits(features, rows: rows, into: $0) }
      try probabilities.withUnsafeMutableBufferPointer {
        try network.probabilities(features, rows: rows, into: $0)
      }
      try labels.withUnsafeMutableBufferPointer { try network.predict(features, rows: rows, into: $0) }
    }
    for row in 0..<rows {
      let own = Array(logits[(row * outputs)..<(row * outputs + outputs)])
      #expect(labels[row] == Int64(own.firstIndex(of: own.max()!)!))
      let shares = probabilities[(row * outputs)..<(row * outputs + outputs)]
      #expect(abs(shares.reduce(0, +) - 1) < 1e-5)
      #expect(shares.allSatisfy { $0 >= 0 && $0 <= 1 })
    }
  }

  @Test func featuresThatAreNotFiniteAreRefused() throws {
    let network = try Network.make(Shape(input: 3, hidden: 2, output: 2), device: .cpu)
    for bad in [Float.nan, .infinity, -.infinity] {
      let features: [Float] = [0, 0, 0, 0, bad, 0]
      var logits = [Float](repeating: 7, count: 4)
      expectFailure(.invalidArgument, "row 1, column 1") {
        try features.withUnsafeBufferPointer { features in
          try logits.withUnsafeMutableBufferPointer { try network.logits(features, rows: 2, into: $0) }
        }
      }
      #expect(logits == [7, 7, 7, 7])
    }
  }

  @Test func theFirstLargestLogitWins() {
    func index(_ values: [Float]) -> Int {
      let index = largestIndex(values, spacing: 1, count: values.count)
      // The same for four columns side by side, of which one has these values.
      for column in 0..<4 {
        var columns = [Float](repeating: 5, count: 4 * values.count)
        for (row, value) in values.enumerated() { columns[4 * row + column] = value }
        let indices = largestIndices(columns, spacing: 4, count: values.count)
        #expect((0..<4).allSatisfy { indices[$0] == ($0 == column ? Int32(index) : 0) })
      }
      return index
    }
    #expect(index([0, 1, 1, 0]) == 1)
    #expect(index([2, 2, 2, 2]) == 0)
    #expect(index([.nan, 3, .nan, 9]) == 0)
    #expect(index([1, .nan, 9]) == 1)
    #expect(index([0, -0, 0, -1]) == 0)
    #expect(index([-.infinity, -.infinity]) == 0)
  }

  /// Packed rows are read where they are, others are brought together first; neither may read what is
  /// behind the last one.
  @Test(arguments: [1, 30, 63, 64, 65, 200], [FeatureType.u8, .f32])
  func rowsAreEvaluatedAlikeWhereverTheyLie(_ columns: Int, _ type: FeatureType) throws {
    let network = try Network.make(Shape(input: columns, hidden: 20, output: 5), seed: 4, device: .cpu)
    var random = TestRandom(UInt64(columns))
    for rows in [1, 2, 3, 127, 128, 129, 300] {
      let labels = (0..<rows).map { _ in UInt8(random.uniforms(1)[0] < 0.5 ? 0 : 4) }
      // Four features of five are zero, so that the kernels which skip zeros are taken.
      let values = random.uniforms(rows * columns).map { $0 < 0.6 && $0 > -1 ? 0 : $0 }
      let stride = columns + 3
      var evaluations: [Evaluation] = []
      for spacing in [columns, stride] {
        let size = type == .u8 ? 1 : 4
        let memory = UnsafeMutableRawPointer.allocate(
          byteCount: ((rows - 1) * spacing + columns) * size, alignment: 4)
        defer { memory.deallocate() }
        for index in 0..<(rows - 1) * spacing + columns {
          let (row, column) = (index / spacing, index % spacing)
          // What is between rows would be seen.
          let value = column < columns ? values[row * columns + column] : 1
          if type == .u8 {
            memory.storeBytes(of: UInt8(abs(value) * 255), toByteOffset: index, as: UInt8.self)
          } else {
            memory.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
          }
        }
        let dataset = try labels.withUnsafeBufferPointer {
          try Dataset.make(
            features: memory, type: type, rows: rows, columns: columns, rowStride: spacing * size,
            labels: .u8($0.baseAddress!))
        }
        evaluations.append(try network.evaluate(dataset))
      }
      #expect(evaluations[0] == evaluations[1], "\(rows) rows")
    }
  }

  @Test func rowsAreCounted() throws {
    let network = try Network.make(Shape(input: 2, hidden: 3, output: 2), seed: 4, device: .cpu)
    let features: [Float] = [1, 2, 3, 4]
    var values = [Float](repeating: 7, count: 4)
    for rows in [0, 1, 3, -1, Int.min, .max, .max / 2 + 3] {
      expectFailure(.invalidArgument, "rows is \(rows)") {
        try features.withUnsafeBufferPointer { features in
          try values.withUnsafeMutableBufferPointer {
            try network.logits(features, rows: rows, into: $0)
          }
        }
      }
    }
    #expect(values == [7, 7, 7, 7])
  }

  @Test func manyThreadsMayPredictAtOnce() async throws {
    let network = try Network.make(Shape(input: 30, hidden: 20, output: 5), seed: 4, device: .cpu)
    let box = UncheckedSendable(network)
    var random = TestRandom(5)
    let features = random.uniforms(70 * 30)
    let expected = try logits(network, features)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<50 {
            guard let got = try? logits(box.value, features), got == expected else { return false }
          }
          return true
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }
}

struct UncheckedSendable<T>: @unchecked Sendable {
  let value: T
  init(_ value: T) { self.value = value }
}

private func logits(_ network: Network, _ features: [Float]) throws -> [Float] {
  let rows = features.count / network.shape.input
  var values = [Float](repeating: .nan, count: rows * network.shape.output)
  try features.withUnsafeBufferPointer { features in
    try values.withUnsafeMutableBufferPointer { try network.logits(features, rows: rows, into: $0) }
  }
  return values
}
