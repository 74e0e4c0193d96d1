// What the GPU engine asks of its driver: how often, with how much memory, and what it does when the
// driver refuses.

import TestSupport
import Testing

@testable import TwoLayerNet

@Suite(.serialized)
struct GPUEngineTests {
  let digits: Dataset
  let shape: Shape

  init() throws {
    digits = try trainingDigits()
    shape = try Shape(input: 64, hidden: 20, output: 10)
  }

  private func makeTrainer(_ driver: EmulatorDriver, batchSize: Int = 100) throws -> Trainer {
    var options = TrainerOptions()
    options.batchSize = batchSize
    return try Trainer.make(Network.make(on: GPUEngine.make(shape, driver: driver), seed: 1), options)
  }

  @Test func aDatasetIsUploadedOnceAndAStepRecordedOnce() throws {
    let driver = EmulatorDriver()
    let trainer = try makeTrainer(driver)
    let before = driver.uploadedBytes
    try trainer.fit(digits, epochs: 1)
    let first = driver.uploadedBytes - before
    #expect(first >= 1437 * 68)
    try trainer.fit(digits, epochs: 3)
    _ = try trainer.network.evaluate(digits)
    // Only the orders: four bytes a row, and 64 a call.
    #expect(driver.uploadedBytes - before - first <= 3 * (1437 * 4 + 64))
    #expect(driver.recordings == 1)
    // The last batch of an epoch is smaller.
    #expect(driver.launches.count == 4 * 15 * 3 + 2)
    // One step at a time is the same recording.
    try trainer.fit(digits, epochs: 1) { _ in true }
    #expect(driver.recordings == 1)
    #expect(driver.launches.count == 5 * 15 * 3 + 2)
  }

  @Test func everythingIsFreed() throws {
    let driver = EmulatorDriver()
    do {
      let trainer = try makeTrainer(driver)
      try trainer.fit(digits, epochs: 1)
      #expect(trainer.network.device == driver.device)
      for size in [7, 300, 40] {
        try Trainer.make(trainer.network, optionsWith(batchSize: size)).fit(digits, epochs: 1)
      }
      for rows in [1, 500, 3] { _ = try trainer.network.logits(Matrix(rows, 64)) }
      for first in 0..<5 {
        _ = try trainer.network.evaluate(digits.part(firstRow: first, rows: 200))
      }
      #expect(driver.allocations > 0)
      // Of five datasets, two are still there.
      #expect(driver.used < 4 << 20)
    }
    #expect(driver.allocations == 0 && driver.used == 0)
  }

  private func optionsWith(batchSize: Int) -> TrainerOptions {
    var options = TrainerOptions()
    options.batchSize = batchSize
    return options
  }

  /// Every call of a training, an evaluation and a prediction fails in turn: always an error, never a
  /// leak, and what was not spoilt goes on.
  @Test func everyCallMayFail() throws {
    let part = try digits.part(firstRow: 0, rows: 130)
    func use(_ driver: EmulatorDriver, _ stage: inout String) throws -> [Float] {
      stage = "make"
      let trainer = try makeTrainer(driver, batchSize: 40)
      stage = "fit"
      try trainer.fit(part, epochs: 2)
      stage = "evaluate"
      _ = try trainer.network.evaluate(part)
      stage = "logits"
      _ = try trainer.network.logits(Matrix(5, 64))
      stage = "step"
      let row = [Float](repeating: 0.5, count: 64)
      _ = try row.withUnsafeBufferPointer { row in
        try [3].withUnsafeBufferPointer { try trainer.step(row, labels: $0) }
      }
      stage = "read"
      return try Parameter.allCases.flatMap {
        try trainer.network.values($0) + trainer.momentum($0)
      }
    }
    var stage = ""
    let expected = try use(EmulatorDriver(), &stage)
    var failures: Set<String> = []
    for calls in 0..<10_000 {
      let driver = EmulatorDriver()
      driver.callsUntilFailure = calls
      do {
        let got = try use(driver, &stage)
        #expect(got == expected)
        #expect(calls > 50 && failures == ["make", "fit", "evaluate", "logits", "step", "read"])
        return
      } catch let failure as Failure {
        failures.insert(stage)
        #expect(failure.status == .deviceFailed)
      }
      #expect(driver.allocations == 0, "after \(calls) calls")
    }
    Issue.record("it never succeeds")
  }

  @Test func aFailureLeavesTheParametersReadable() throws {
    let driver = EmulatorDriver()
    let trainer = try makeTrainer(driver)
    try trainer.fit(digits, epochs: 1)
    let before = try trainer.network.values(.hiddenWeight)
    driver.callsUntilFailure = 0
    expectFailure(.deviceFailed, "ordered") { try trainer.fit(digits, epochs: 1) }
    expectFailure(.deviceFailed) { try trainer.network.evaluate(digits) }
    driver.callsUntilFailure = nil
    #expect(try trainer.network.values(.hiddenWeight) == before)
    // The epoch was begun; it goes on as if nothing had been.
    try trainer.fit(digits, epochs: 1)
    let other = try makeTrainer(EmulatorDriver())
    try other.fit(digits, epochs: 2)
    #expect(try checkpoint(trainer) == checkpoint(other))
  }

  /// With less and less memory: what is kept only to be faster goes first, and then it is an error.
  @Test func memoryMayRunOut() throws {
    let datasets = try [0, 700].map { try digits.part(firstRow: $0, rows: 700) }
    func use(_ driver: EmulatorDriver) throws -> [Int] {
      let trainer = try makeTrainer(driver)
      var correct: [Int] = []
      for dataset in datasets {
        try trainer.fit(dataset, epochs: 1)
        correct += try datasets.map { try trainer.network.evaluate($0).correct }
        _ = try trainer.network.logits(Matrix(300, 64))
      }
      return correct
    }
    let roomy = EmulatorDriver()
    let expected = try use(roomy)
    var (successes, failures) = (0, 0)
    for capacity in stride(from: 400_000, to: 0, by: -10_000) {
      let driver = EmulatorDriver()
      driver.memoryLimit = capacity
      do {
        #expect(try use(driver) == expected)
        #expect(failures == 0)
        successes += 1
      } catch let failure as Failure {
        #expect(failure.status == .deviceFailed)
        failures += 1
      }
      #expect(driver.allocations == 0)
    }
    #expect(successes > 10 && failures > 5)
  }

  /// However many rows a pass has, it is one batch.
  @Test(arguments: [1, 3, 64, 500, 1436])
  func inferenceGoesInPasses(_ rows: Int) throws {
    for hidden in [20, 5] {
      let shape = try Shape(input: 64, hidden: hidden, output: 10)
      let engine = try GPUEngine.make(shape, driver: EmulatorDriver())
      engine.passFloats = rows * (64 + hidden + 10)
      let engines: [any Engine] = [engine, try CPUEngine.make(shape, threads: 1)]
      let networks = try engines.map { try Network.make(on: $0, seed: 4) }
      var random = TestRandom(2)
      let x = Matrix(200, 64, random.uniforms(200 * 64))
      #expect(try networks[0].logits(x) == networks[1].logits(x))
      #expect(try networks[0].evaluate(digits) == networks[1].evaluate(digits))
    }
  }

  /// As large as it gets without being run: numbers of groups stay within what a device takes.
  @Test func groupsStayWithinBounds() throws {
    let sizes = [1, 3, 12, 65, 4096, Shape.limit]
    for input in sizes {
      for hidden in sizes {
        for output in sizes {
          for tiling in [GPUTiling.automatic, .always, .never] {
            let plan = GPUPlan(
              shape: try Shape(input: input, hidden: hidden, output: output), tiling: tiling)
            for rows in [1, 3, 100, 8192, Dataset.rowLimit] {
              let launches =
                plan.training(rows: rows).launches
                + plan.inference(rows: min(rows, 1 << 24), batch: rows, withLoss: true).launches
              #expect(launches.allSatisfy { (1...(1 << 20)).contains($0.groups) })
            }
          }
        }
      }
    }
  }

  @Test func largeNetworksGoThroughTiles() throws {
    func kernels(_ input: Int, _ hidden: Int, _ output: Int, rows: Int) throws -> [GPUKernel] {
      let shape = try Shape(input: input, hidden: hidden, output: output)
      return GPUPlan(shape: shape, tiling: .automatic).training(rows: rows).launches.map(\.kernel)
    }
    #expect(try kernels(784, 100, 10, rows: 100) == [.hidden, .output, .update])
    #expect(
      try kernels(784, 4096, 10, rows: 8192) == [
        .hiddenTiled, .fewLogits, .fewHiddenGradient, .updateTiled, .update,
      ])
    #expect(
      try kernels(4096, 4096, 1000, rows: 8192) == [
        .hiddenTiled, .logitsTiled, .output, .hiddenGradientTiled, .updateTiled, .update,
      ])
    #expect(try kernels(784, 4096, 10, rows: 1) == [.hidden, .output, .update])
  }
}
