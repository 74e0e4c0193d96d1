// Steps that a GPU takes in advance: whoever is told of every step, and looks, stops or changes something
// in between, must see what the processor shows, while the device seldom waits.

import TestSupport
import Testing

@testable import TwoLayerNet

@Suite(.serialized)
struct AheadTests {
  let digits: Dataset
  let shape: Shape

  init() throws {
    digits = try trainingDigits()
    shape = try Shape(input: 64, hidden: 20, output: 10)
  }

  private func makeTrainer(_ driver: EmulatorDriver?, batchSize: Int = 50) throws -> Trainer {
    var options = TrainerOptions()
    options.batchSize = batchSize
    let engine: any Engine =
      try driver.map { try GPUEngine.make(shape, driver: $0) } ?? CPUEngine.make(shape, threads: 1)
    let trainer = try Trainer.make(Network.make(on: engine, seed: 1), options)
    // However slow the emulator is.
    (trainer.optimizer as? GPUOptimizer)?.foresight.nanosecondsInAdvance = .max
    return trainer
  }

  private func line(_ progress: TwoLayerNet.Progress, _ trainer: Trainer) -> String {
    "\(progress) at \(trainer.progress)"
  }

  @Test func everyStepIsToldAndTheDeviceSeldomWaits() throws {
    let driver = EmulatorDriver()
    let trainers = [try makeTrainer(driver), try makeTrainer(nil)]
    let lines = try trainers.map { trainer in
      var lines: [String] = []
      try trainer.fit(digits, epochs: 8) {
        lines.append(line($0, trainer))
        return true
      }
      return lines
    }
    #expect(lines[0].count == 8 * 29 && lines[0] == lines[1])
    // The first one by one, then a quarter of what was well, up to an epoch; none twice.
    #expect(driver.downloads == 15 + 4 + 2 + 2 + 4)
    #expect(driver.launches.count == 8 * 29 * 3)
    #expect(driver.recordings == 1)
    #expect(try checkpoint(trainers[0]) == checkpoint(trainers[1]))
  }

  /// The state after the step that the callback stopped is what is left, wherever the device was.
  @Test(arguments: [0, 7, 40, 57, 58, 75, 83, 86])
  func stoppingLeavesTheStateAfterThatStep(_ stop: Int) throws {
    let whole = try makeTrainer(nil)
    try whole.fit(digits, epochs: 4)
    for cancels in [false, true] {
      let trainers = [try makeTrainer(EmulatorDriver()), try makeTrainer(nil)]
      for trainer in trainers {
        var count = 0
        expectFailure(.cancelled) {
          try trainer.fit(digits, epochs: 4) { _ in
            count += 1
            if count == stop + 1 && cancels { trainer.cancel() }
            return count <= stop || cancels
          }
        }
        #expect(count == stop + 1 && trainer.epochs * 29 + trainer.steps == count)
      }
      #expect(try checkpoint(trainers[0]) == checkpoint(trainers[1]))
      try trainers[0].fit(digits, epochs: 4 - trainers[0].epochs) { _ in true }
      #expect(try checkpoint(trainers[0]) == checkpoint(whole))
    }
  }

  /// What a callback may do with trainer and network, at some steps, gives what it gives on the processor.
  @Test(arguments: 0..<5)
  func lookingAndChangingIsAsWithoutStepsInAdvance(_ kind: Int) throws {
    func look(_ trainer: Trainer, _ progress: TwoLayerNet.Progress) throws -> String {
      switch kind {
      case 0: return "\(try checkpoint(trainer).hashValue)"
      case 1: return "\(try trainer.network.evaluate(digits))"
      case 2: return "\(try trainer.network.logits(Matrix(3, 64)))"
      case 3: return "\(try trainer.network.values(.outputBias)) \(try trainer.momentum(.outputBias))"
      default:
        try trainer.setLearningRate(0.1 / Double(progress.step + 2))
        return ""
      }
    }
    let driver = EmulatorDriver()
    let trainers = [try makeTrainer(driver), try makeTrainer(nil)]
    let lines = try trainers.map { trainer in
      var lines: [String] = []
      try trainer.fit(digits, epochs: 5) { progress in
        lines.append(line(progress, trainer))
        // Twice close to each other, then not for long; also at the end of an epoch.
        if [11, 12, 28].contains(progress.step) && progress.epoch % 2 == 0 {
          lines.append((try? look(trainer, progress)) ?? "it failed")
        }
        return true
      }
      return lines
    }
    #expect(lines[0] == lines[1])
    #expect(try checkpoint(trainers[0]) == checkpoint(trainers[1]))
    // Something was in vain, but not much.
    #expect((5 * 29 * 3...5 * 29 * 5).contains(driver.launches.count))
  }

  /// The row that spoils the loss is in the middle of steps that are taken at once.
  @Test func aLossThatIsNotFiniteComesAtItsStep() throws {
    var random = TestRandom(3)
    var features = random.uniforms(200 * 64)
    for column in 0..<64 { features[105 * 64 + column] = 3e38 }
    let labels = (0..<200).map { UInt8($0 % 10) }
    let dataset = try features.withUnsafeBufferPointer { features in
      try labels.withUnsafeBufferPointer {
        try Dataset.make(
          features: features.baseAddress!, type: .f32, rows: 200, columns: 64,
          labels: .u8($0.baseAddress!), copy: true)
      }
    }
    let trainers = [
      try makeTrainer(EmulatorDriver(), batchSize: 5), try makeTrainer(nil, batchSize: 5),
    ]
    let results = try trainers.map { trainer in
      var lines: [String] = []
      let unshuffled = try Trainer.make(trainer.network, inOrder(trainer.options))
      (unshuffled.optimizer as? GPUOptimizer)?.foresight.nanosecondsInAdvance = .max
      for _ in 0..<2 {
        expectFailure(.invalidArgument, "epoch 1, step 21 is not finite") {
          try unshuffled.fit(dataset, epochs: 9) {
            lines.append(line($0, unshuffled))
            return true
          }
        }
      }
      return (lines, try checkpoint(unshuffled))
    }
    #expect(results[0].0.count == 21 && results[0].0 == results[1].0)
    #expect(results[0].1 == results[1].1)
  }

  private func inOrder(_ options: TrainerOptions) -> TrainerOptions {
    var options = options
    options.shuffle = false
    return options
  }

  /// Every call of a training with a callback fails in turn.
  @Test func everyCallMayFail() throws {
    let part = try digits.part(firstRow: 0, rows: 130)
    func use(_ driver: EmulatorDriver) throws -> [Float] {
      let trainer = try makeTrainer(driver, batchSize: 10)
      var losses: [Float] = []
      try trainer.fit(part, epochs: 2) {
        losses.append($0.loss)
        if $0.step == 10 { losses += (try? trainer.network.values(.outputBias)) ?? [] }
        return true
      }
      return losses
    }
    let expected = try use(EmulatorDriver())
    for calls in 0..<10_000 {
      let driver = EmulatorDriver()
      driver.callsUntilFailure = calls
      do {
        #expect(try use(driver) == expected)
        #expect(calls > 50)
        return
      } catch let failure as Failure {
        #expect(failure.status == .deviceFailed)
      }
      #expect(driver.allocations == 0, "after \(calls) calls")
    }
    Issue.record("it never succeeds")
  }

  /// Whatever memory is enough without a callback is enough with one.
  @Test func stepsInAdvanceNeedNoMemoryThatIsNotThere() throws {
    func use(_ capacity: Int, told: Bool) throws -> Bool {
      let driver = EmulatorDriver()
      driver.memoryLimit = capacity
      do {
        let trainer = try makeTrainer(driver)
        try trainer.fit(digits, epochs: 3, progress: told ? { _ in true } : nil)
        _ = try trainer.network.evaluate(digits)
        try trainer.fit(digits, epochs: 2, progress: told ? { _ in true } : nil)
        return true
      } catch let failure as Failure {
        #expect(failure.status == .deviceFailed)
        return false
      }
    }
    var least = 0
    for capacity in stride(from: 320_000, to: 90_000, by: -7_000) {
      let (told, untold) = (try use(capacity, told: true), try use(capacity, told: false))
      #expect(told == untold, "with \(capacity) bytes")
      if told { least = capacity }
    }
    #expect(least > 100_000)
  }
}
