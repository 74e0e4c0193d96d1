// Runs of steps in which the network stays in the groups of one launch: the same bits as the processor's, at
// every way to cut the network, and what doesn't fit goes the usual way.

import CGPUKernels
import GPUEmulator
import TestSupport
import Testing

@testable import TwoLayerNet

/// A network, its batches and the device they are for.
struct ResidencyCase: Sendable, CustomStringConvertible {
  var input: Int
  var hidden: Int
  var output: Int
  var batch: Int
  var isBytes: Bool
  var groups: Int
  /// Room for one batch of features instead of two.
  var isTight = false

  var description: String {
    "\(input)-\(hidden)-\(output), batch \(batch), bytes \(isBytes), groups \(groups), tight \(isTight)"
  }

  var shape: Shape { get throws { try Shape(input: input, hidden: hidden, output: output) } }

  /// Shared memory of the device: all it needs, or so much that the second batch of features does not fit.
  func capacity() throws -> GPUCapacity {
    let much = GPUCapacity(groups: groups, sharedBytes: 1 << 20)
    guard isTight else { return much }
    let needed = try #require(GPUResidency(shape, isBytes ? .u8 : .f32, batch: batch, much)).sharedBytes
    return GPUCapacity(groups: groups, sharedBytes: needed - 4)
  }
}

@Suite(.serialized)
struct ResidencyTests {
  static let cases = [
    ResidencyCase(input: 784, hidden: 100, output: 10, batch: 100, isBytes: true, groups: 132),
    ResidencyCase(
      input: 784, hidden: 100, output: 10, batch: 100, isBytes: false, groups: 20, isTight: true),
    ResidencyCase(input: 12, hidden: 12, output: 2, batch: 4, isBytes: true, groups: 1),
    ResidencyCase(input: 13, hidden: 13, output: 3, batch: 5, isBytes: false, groups: 3),
    ResidencyCase(input: 64, hidden: 50, output: 10, batch: 32, isBytes: true, groups: 9, isTight: true),
    ResidencyCase(input: 193, hidden: 33, output: 8, batch: 7, isBytes: false, groups: 6),
    ResidencyCase(input: 200, hidden: 50, output: 12, batch: 256, isBytes: true, groups: 10),
    ResidencyCase(
      input: 376, hidden: 31, output: 5, batch: 197, isBytes: true, groups: 3, isTight: true),
    ResidencyCase(input: 385, hidden: 70, output: 40, batch: 64, isBytes: false, groups: 30),
    ResidencyCase(input: 1601, hidden: 20, output: 256, batch: 9, isBytes: true, groups: 11),
    ResidencyCase(input: 30, hidden: 300, output: 4, batch: 40, isBytes: false, groups: 132),
    ResidencyCase(input: 40, hidden: 90, output: 7, batch: 17, isBytes: true, groups: 2),
    ResidencyCase(input: 20, hidden: 12, output: 2, batch: 255, isBytes: true, groups: 4),
    ResidencyCase(input: 16, hidden: 12, output: 2, batch: 8, isBytes: true, groups: 4, isTight: true),
  ]

  private func dataset(_ sizes: ResidencyCase, rows: Int) throws -> Dataset {
    var random = TestRandom(UInt64(sizes.input * 31 + sizes.hidden))
    let count = rows * sizes.input
    let labels = (0..<rows).map { _ in Int64(random.int(0...(sizes.output - 1))) }
    let bytes = (0..<count).map { _ in random.int(1...3) == 1 ? UInt8(random.int(1...255)) : 0 }
    let floats = random.uniforms(count)
    return try labels.withUnsafeBufferPointer { labels in
      func make(_ features: UnsafeRawBufferPointer, _ type: FeatureType) throws -> Dataset {
        try Dataset.make(
          features: features.baseAddress!, type: type, rows: rows, columns: sizes.input,
          labels: .i64(labels.baseAddress!), copy: true)
      }
      return sizes.isBytes
        ? try bytes.withUnsafeBytes { try make($0, .u8) }
        : try floats.withUnsafeBytes { try make($0, .f32) }
    }
  }

  private func trainer(
    _ sizes: ResidencyCase, _ engine: any Engine, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainerOptions()
    options.batchSize = sizes.batch
    change(&options)
    return try Trainer.make(Network.make(on: engine, seed: 5), options)
  }

  /// Trains on the emulated device and on the processor.
  private func compare(
    _ sizes: ResidencyCase, shuffle: Int, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) throws {
    let driver = EmulatorDriver(shuffle: shuffle, capacity: try sizes.capacity())
    let trainers = try [
      trainer(sizes, GPUEngine.make(sizes.shape, driver: driver), change),
      trainer(sizes, CPUEngine.make(sizes.shape, threads: 1), change),
    ]
    // The last batch is smaller.
    let data = try dataset(sizes, rows: 3 * sizes.batch + 2)
    for trainer in trainers { try trainer.fit(data, epochs: 2) }
    #expect(driver.launchesTogether == 2)
    let files = try trainers.map { try checkpoint($0) }
    #expect(files[0] == files[1], "\(sizes), shuffle \(shuffle)")
  }

  @Test(arguments: cases)
  func theSameBitsAsOnTheProcessor(_ sizes: ResidencyCase) throws {
    for shuffle in [0, 255, 37] { try compare(sizes, shuffle: shuffle) }
  }

  @Test func everyOptionOfTheOptimizer() throws {
    let sizes = Self.cases[4]
    try compare(sizes, shuffle: 0) { $0.sgd.momentum = 0 }
    try compare(sizes, shuffle: 0) { $0.sgd.nesterov = true }
    try compare(sizes, shuffle: 0) { ($0.sgd.weightDecay, $0.sgd.dampening) = (0.01, 0.3) }
    try compare(sizes, shuffle: 0) { ($0.sgd.maximize, $0.sgd.learningRate) = (true, 1e-4) }
  }

  @Test func whatDoesNotFitGoesTheUsualWay() throws {
    let much = GPUCapacity(groups: 132, sharedBytes: 227 << 10)
    func fits(
      _ input: Int, _ hidden: Int, _ output: Int, batch: Int, _ capacity: GPUCapacity? = nil
    ) throws -> Bool {
      let shape = try Shape(input: input, hidden: hidden, output: output)
      return GPUResidency(shape, .u8, batch: batch, capacity ?? much) != nil
    }
    #expect(try fits(784, 100, 10, batch: 100))
    // Sums in other orders.
    #expect(try !fits(784, 100, 10, batch: 3))
    #expect(try !fits(11, 100, 10, batch: 100))
    #expect(try !fits(784, 11, 10, batch: 100))
    #expect(try !fits(784, 100, 1, batch: 100))
    #expect(try !fits(784, 100, 257, batch: 100))
    // Bytes whose panels don't begin at a word.
    #expect(try !fits(383, 100, 10, batch: 100))
    // Sizes.
    #expect(try !fits(784, 100, 10, batch: 257))
    #expect(try !fits(784, 4096, 10, batch: 100))
    #expect(try !fits(1 << 20, 100, 10, batch: 100))
    #expect(try !fits(784, 1 << 24, 1 << 16, batch: 100))
    // Devices.
    #expect(try !fits(784, 100, 10, batch: 100, GPUCapacity(groups: 4, sharedBytes: 1 << 20)))
    #expect(try !fits(784, 100, 10, batch: 100, GPUCapacity(groups: 132, sharedBytes: 96 << 10)))
  }

  /// The driver may refuse, and there may be no memory for the mail.
  @Test func aDeviceThatCannotAfterAll() throws {
    let sizes = Self.cases[4]
    let data = try dataset(sizes, rows: 100)
    let wanted = try trainer(sizes, CPUEngine.make(sizes.shape, threads: 1))
    try wanted.fit(data, epochs: 3)
    for isFull in [false, true] {
      let driver = EmulatorDriver(capacity: try sizes.capacity())
      let trainer = try trainer(sizes, GPUEngine.make(sizes.shape, driver: driver))
      if isFull {
        // All that is needed the usual way is there.
        try trainer.fit(data, epochs: 1) { _ in true }
        driver.memoryLimit = driver.used
      } else {
        driver.refusesTogether = true
        try trainer.fit(data, epochs: 1)
      }
      try trainer.fit(data, epochs: 2)
      #expect(driver.launchesTogether == 0)
      #expect(try checkpoint(trainer) == checkpoint(wanted))
    }
  }

  /// The emulator notices if groups wait for what never comes, as a device would for ever.
  @Test func groupsThatWaitForEverAreNoticed() throws {
    let sizes = Self.cases[4]
    let driver = EmulatorDriver(capacity: try sizes.capacity())
    let engine = try GPUEngine.make(sizes.shape, driver: driver)
    let trainer = try trainer(sizes, engine)
    driver.missingGroups = 3
    expectFailure(.deviceFailed, "all groups wait") {
      try trainer.fit(dataset(sizes, rows: 100), epochs: 1)
    }
  }
}
