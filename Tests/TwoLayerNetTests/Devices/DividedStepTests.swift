// Training by two threads that divide the inputs: when it is done, and that it gives one thread's bits.

import TestSupport
import Testing

@testable import TwoLayerNet

@Suite(.serialized)
struct DividedStepTests {
  /// Batches of 100 and a last one of 50, of 100, of 16, which is for one thread, and of 2, which is summed up
  /// as dots.
  private static let rows = [350, 400, 416, 302]

  private func makeDataset(rows: Int, isBytes: Bool, scale: Float = 1) throws -> Dataset {
    var random = TestRandom(UInt64(rows))
    let test = Case(
      input: 784, hidden: 100, output: 10, batches: [], isBytes: isBytes, density: 20)
    let (dataset, x, labels) = try test.makeBatch(rows: rows, &random)
    if scale == 1 { return dataset }
    // The rows from 250 on are too large for a finite loss.
    let features = x.values.enumerated().map { $0.offset < 250 * 784 ? $0.element : $0.element * scale }
    return try labels.map(Int64.init).withUnsafeBufferPointer {
      try Dataset.make(
        features: features, type: .f32, rows: rows, columns: 784, labels: .i64($0.baseAddress!),
        copy: true)
    }
  }

  private func makeTrainer(
    _ set: InstructionSet, threads: Int, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainerOptions()
    options.shuffle = false
    change(&options)
    let shape = try Shape(input: 784, hidden: 100, output: 10)
    let engine = try CPUEngine.make(shape, threads: threads, set)
    return try Trainer.make(Network.make(on: engine, seed: 1), options)
  }

  private func expectEqual(_ one: Trainer, _ two: Trainer, _ what: String) throws {
    for parameter in Parameter.allCases {
      let name = "\(parameter), \(what)"
      expectEqualBits(try two.network.values(parameter), try one.network.values(parameter), name)
      expectEqualBits(try two.momentum(parameter), try one.momentum(parameter), "momentum of \(name)")
    }
  }

  @Test func onlyTwoThreadsDivideAndOnlyWhereItIsBetter() throws {
    let (sparse, dense) = (
      FeatureForm(.u8, density: 0.2, hidden: 100, InstructionSet.baseline.kernels),
      FeatureForm(.f32, density: 1, hidden: 100, InstructionSet.best.kernels)
    )
    func division(threads: Int, rows: Int, _ form: FeatureForm, input: Int = 784) throws -> Division? {
      let shape = try Shape(input: input, hidden: 100, output: 10)
      let engine = try CPUEngine.make(shape, threads: threads, .best)
      return try CPUOptimizer.make(engine, SGD()).division(rows: rows, form)
    }
    #expect(try division(threads: 2, rows: 100, sparse) == Division(panels: 5, boundary: 384))
    #expect(try division(threads: 1, rows: 100, sparse) == nil)
    #expect(try division(threads: 3, rows: 100, sparse) == nil)
    #expect(try division(threads: 2, rows: 3, sparse) == nil)
    #expect(try division(threads: 2, rows: 1000, sparse) == nil)
    // Panels that begin within 64 features, and fewer than four.
    #expect(try division(threads: 2, rows: 200, sparse, input: 380) == nil)
    #expect(try division(threads: 2, rows: 100, sparse, input: 576) == nil)
    if dense.isDense { #expect(try division(threads: 2, rows: 100, dense) == nil) }
  }

  @Test(arguments: rows, [true, false])
  func twoThreadsGiveTheBitsOfOne(rows: Int, isBytes: Bool) throws {
    let dataset = try makeDataset(rows: rows, isBytes: isBytes)
    for set in InstructionSet.allCases where set.isSupported {
      // The emulated multiply-add of the baseline is slow: the last of the row counts says enough.
      if set == .baseline && rows != Self.rows.last { continue }
      let (one, two) = (try makeTrainer(set, threads: 1), try makeTrainer(set, threads: 2))
      for epoch in 1...2 {
        try one.fit(dataset, epochs: 1)
        try two.fit(dataset, epochs: 1)
        try expectEqual(one, two, "\(rows) rows, bytes \(isBytes), \(set), epoch \(epoch)")
      }
      let optimizer = try #require(two.optimizer as? CPUOptimizer)
      #expect(optimizer.isDivided(rows: 100))
    }
  }

  @Test func optionsHoldInBothHalves() throws {
    let dataset = try makeDataset(rows: 250, isBytes: true)
    func change(_ options: inout TrainerOptions) {
      options.sgd.nesterov = true
      options.sgd.weightDecay = 1e-3
      options.sgd.maximize = true
      options.shuffle = true
    }
    let one = try makeTrainer(.best, threads: 1, change)
    let two = try makeTrainer(.best, threads: 2, change)
    try one.fit(dataset, epochs: 2)
    try two.fit(dataset, epochs: 2)
    try expectEqual(one, two, "options")
  }

  /// One step in a call, so that none is begun by the one before.
  @Test func stepsThatAreWatchedGiveTheSame() throws {
    let dataset = try makeDataset(rows: 350, isBytes: true)
    func run(threads: Int) throws -> (Trainer, [Float]) {
      let trainer = try makeTrainer(.best, threads: threads)
      var losses: [Float] = []
      try trainer.fit(dataset, epochs: 2) {
        losses.append($0.loss)
        return true
      }
      return (trainer, losses)
    }
    let ((one, losses), (two, others)) = (try run(threads: 1), try run(threads: 2))
    #expect(losses.count == 8)
    expectEqualBits(others, losses, "losses")
    try expectEqual(one, two, "watched steps")
  }

  /// The third batch's loss is infinite: its sums were begun with the second one's update, which stays.
  @Test func aStepThatWasBegunIsNotTakenIfItsLossIsNotFinite() throws {
    let dataset = try makeDataset(rows: 400, isBytes: false, scale: 1e38)
    let (one, two) = (try makeTrainer(.best, threads: 1), try makeTrainer(.best, threads: 2))
    for trainer in [one, two] {
      let error = #expect(throws: Failure.self) { try trainer.fit(dataset, epochs: 1) }
      #expect(error?.message.contains("step 2 ") == true, "\(error?.message ?? "")")
    }
    try expectEqual(one, two, "after the error")
    // What is left over of it does not get into the next step.
    let good = try makeDataset(rows: 200, isBytes: false)
    _ = try (one.stepOnce(good), two.stepOnce(good))
    try expectEqual(one, two, "a step after the error")
  }
}
