// Epochs, cancelling, resuming and refusing: everything of a trainer that is not arithmetic.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

struct TrainerTests {
  let dataset: Dataset
  let shape: Shape

  init() throws {
    dataset = try trainingDigits()
    shape = try Shape(input: 64, hidden: 20, output: 10)
  }

  private func makeTrainer(_ change: (inout TrainerOptions) -> Void = { _ in }) throws -> Trainer {
    var options = TrainerOptions()
    change(&options)
    return try Trainer.make(try Network.make(shape, seed: 11, device: .cpu), options)
  }

  private func weights(_ trainer: Trainer) throws -> [Float] {
    try Parameter.allCases.flatMap { try trainer.network.values($0) }
  }

  /// One that was initialised here goes on with the seed it had.
  @Test func aNetworkFromAFileTakesTheFirstTrainersSeed() throws {
    try withTemporaryDirectory { directory in
      try makeTrainer().network.save(directory + "/a.pth")
      func train(_ seeds: UInt64...) throws -> [Float] {
        let network = try Network.load(directory + "/a.pth", device: .cpu)
        var trainers: [Trainer] = []
        for seed in seeds {
          var options = TrainerOptions()
          options.seed = seed
          trainers.append(try Trainer.make(network, options))
          try trainers.last!.fit(dataset, epochs: 1)
        }
        return try weights(trainers[0])
      }
      #expect(try train(5) == train(5))
      #expect(try train(5) != train(6))
      #expect(try train(5, 6) == train(5, 7))
    }
    let initialised = try [5, 6].map { (seed: UInt64) in
      let trainer = try makeTrainer { $0.seed = seed }
      try trainer.fit(dataset, epochs: 1)
      return try weights(trainer)
    }
    #expect(initialised[0] == initialised[1])
  }

  @Test func optionsThatMakeNoSenseAreRefused() throws {
    func expectRefused(_ word: String, _ change: (inout TrainerOptions) -> Void) {
      expectFailure(.invalidArgument, word) { try makeTrainer(change) }
    }
    for bad in [Double.nan, .infinity, -0.1, 1e300] {
      expectRefused("learning_rate") { $0.sgd.learningRate = bad }
      expectRefused("momentum") { $0.sgd.momentum = bad }
      expectRefused("weight_decay") { $0.sgd.weightDecay = bad }
    }
    for bad in [Double.nan, .infinity, 1e300] { expectRefused("dampening") { $0.sgd.dampening = bad } }
    expectRefused("nesterov") { ($0.sgd.nesterov, $0.sgd.momentum) = (true, 0) }
    expectRefused("nesterov") { ($0.sgd.nesterov, $0.sgd.dampening) = (true, 0.5) }
    for bad in [0, -1, Int.min, Int.max] { expectRefused("batch_size") { $0.batchSize = bad } }
  }

  @Test func progressCountsEpochsStepsAndRows() throws {
    let trainer = try makeTrainer()
    var reports: [TwoLayerNet.Progress] = []
    for epochs in [2, 1] {
      try trainer.fit(dataset, epochs: epochs) {
        reports.append($0)
        return true
      }
    }
    #expect(reports.count == 3 * 15)
    #expect(reports.map(\.epoch) == [1, 2, 3].flatMap { Array(repeating: $0, count: 15) })
    #expect(reports.map(\.step) == [0, 1, 2].flatMap { _ in Array(0..<15) })
    #expect(reports.allSatisfy { $0.steps == 15 })
    #expect(reports[0].epochs == 2 && reports[44].epochs == 3)
    #expect(reports[14].rowsDone == 1437 && reports[13].rowsDone == 1400)
    let sum: Double = reports[..<15].reduce(0) { $0 + Double($1.loss) }
    #expect(abs(reports[14].meanLoss - sum / 15) < 1e-12)
    #expect(trainer.epochs == 3 && trainer.steps == 0)
  }

  @Test func withoutACallbackTheRunIsTheSame() throws {
    let (told, untold) = (try makeTrainer(), try makeTrainer())
    try told.fit(dataset, epochs: 3) { _ in true }
    try untold.fit(dataset, epochs: 3)
    #expect(try weights(told) == weights(untold))
  }

  @Test(arguments: [0, 1, 7, 14, 15, 16, 29])
  func stoppingAndGoingOnIsNeverStopping(_ stop: Int) throws {
    let (whole, stopped) = (try makeTrainer(), try makeTrainer())
    try whole.fit(dataset, epochs: 2)
    var count = 0
    expectFailure(.cancelled) {
      try stopped.fit(dataset, epochs: 2) { _ in
        count += 1
        return count <= stop
      }
    }
    let done = stop + 1
    #expect(stopped.epochs == done / 15 && stopped.steps == done % 15)
    try stopped.fit(dataset, epochs: 2 - stopped.epochs)
    #expect(stopped.epochs == 2 && stopped.steps == 0)
    #expect(try weights(whole) == weights(stopped))
  }

  @Test func cancellingEndsTheNextFitBeforeItsFirstStep() throws {
    let trainer = try makeTrainer()
    let before = try weights(trainer)
    trainer.cancel()
    expectFailure(.cancelled) { try trainer.fit(dataset, epochs: 1) }
    #expect(try weights(trainer) == before)
    #expect(trainer.epochs == 0 && trainer.steps == 0)
    // The epoch's order was drawn already; it is not drawn again.
    try trainer.fit(dataset, epochs: 1)
    let other = try makeTrainer()
    try other.fit(dataset, epochs: 1)
    #expect(try weights(trainer) == weights(other))
  }

  @Test func anotherThreadMayCancel() async throws {
    let trainer = UncheckedSendable(try makeTrainer())
    let data = UncheckedSendable(dataset)
    async let result: Status? = {
      do throws(Failure) {
        try trainer.value.fit(data.value, epochs: 1_000_000)
        return nil
      } catch { return error.status }
    }()
    try await Task.sleep(for: .milliseconds(50))
    trainer.value.cancel()
    #expect(await result == .cancelled)
  }

  @Test func aDivergingRunStopsBeforeTheStepThatWouldSpoilIt() throws {
    let trainer = try makeTrainer { $0.sgd.learningRate = 1e30 }
    var steps = 0
    expectFailure(.invalidArgument, "epoch 1, step", "not finite") {
      try trainer.fit(dataset, epochs: 5) { _ in
        steps += 1
        return true
      }
    }
    #expect(steps > 0 && trainer.steps == steps)
    // Learning nothing from now on must leave the weights exactly as they are.
    let kept = try weights(trainer)
    expectFailure(.invalidArgument, "not finite") { try trainer.fit(dataset, epochs: 1) }
    #expect(try weights(trainer) == kept)
  }

  @Test func datasetsThatDoNotFitAreRefused() throws {
    let trainer = try makeTrainer()
    let bytes = [UInt8](repeating: 1, count: 64 * 3)
    func dataset(columns: Int, labels: [Int64]?) throws -> Dataset {
      let rows = bytes.count / columns
      guard let labels else {
        return try Dataset.make(features: bytes, type: .u8, rows: rows, columns: columns, copy: true)
      }
      return try labels.withUnsafeBufferPointer {
        try Dataset.make(
          features: bytes, type: .u8, rows: rows, columns: columns, labels: .i64($0.baseAddress!),
          copy: true)
      }
    }
    expectFailure(.invalidArgument, "32 features", "64 inputs") {
      try trainer.fit(dataset(columns: 32, labels: [0, 1, 2, 3, 4, 5]), epochs: 1)
    }
    expectFailure(.invalidArgument, "no labels") {
      try trainer.fit(dataset(columns: 64, labels: nil), epochs: 1)
    }
    expectFailure(.invalidArgument, "label 10", "10 outputs") {
      try trainer.fit(dataset(columns: 64, labels: [0, 10, 2]), epochs: 1)
    }
    let dropping = try makeTrainer { $0.dropLast = true }
    expectFailure(.invalidArgument, "drop_last") {
      try dropping.fit(dataset(columns: 64, labels: [0, 1, 2]), epochs: 1)
    }
    expectFailure(.invalidArgument, "epochs") { try trainer.fit(self.dataset, epochs: -1) }
    try trainer.fit(self.dataset, epochs: 0)
    #expect(trainer.epochs == 0)
  }

  @Test func anUnfinishedEpochNeedsItsDataset() throws {
    let trainer = try makeTrainer()
    expectFailure(.cancelled) { try trainer.fit(dataset, epochs: 1) { _ in false } }
    let labels: [UInt8] = [0, 1]
    let other = try labels.withUnsafeBufferPointer {
      try Dataset.make(
        features: [UInt8](repeating: 0, count: 128), type: .u8, rows: 2, columns: 64,
        labels: .u8($0.baseAddress!), copy: true)
    }
    expectFailure(.invalidArgument, "1437 rows", "2 rows") { try trainer.fit(other, epochs: 1) }
  }

  @Test func callbacksMayNotTrain() throws {
    let trainer = try makeTrainer()
    let other = try Trainer.make(trainer.network)
    var refused = 0
    try trainer.fit(dataset, epochs: 1) { [dataset] _ in
      expectFailure(.invalidArgument, "another call") { try other.fit(dataset, epochs: 1) }
      expectFailure(.invalidArgument, "another call") {
        try [Float](repeating: 0, count: 20).withUnsafeBufferPointer {
          try trainer.network.write(.hiddenBias, from: $0)
        }
      }
      refused += 1
      return true
    }
    #expect(refused == 15)
  }

  @Test func theLearningRateMayChangeOnTheWay() throws {
    let (one, other) = (try makeTrainer(), try makeTrainer())
    try one.fit(dataset, epochs: 1)
    try one.setLearningRate(0.01)
    try one.fit(dataset, epochs: 1)
    try other.fit(dataset, epochs: 2) {
      if $0.epoch == 1 && $0.step == 14 { try? other.setLearningRate(0.01) }
      return true
    }
    #expect(try weights(one) == weights(other))
    expectFailure(.invalidArgument, "learning_rate") { try one.setLearningRate(.nan) }
    #expect(one.options.sgd.learningRate == 0.01)
  }

  @Test func stepsOnOwnRowsEqualTheSameStepsOfAnEpoch() throws {
    let (epoch, steps) = (try makeTrainer { $0.shuffle = false }, try makeTrainer())
    var losses: [Float] = []
    try epoch.fit(dataset, epochs: 1) {
      losses.append($0.loss)
      return true
    }
    var features = [Float](repeating: 0, count: 1437 * 64)
    var labels = [Int64](repeating: 0, count: 1437)
    try features.withUnsafeMutableBufferPointer { features in
      try labels.withUnsafeMutableBufferPointer {
        try dataset.read(
          firstRow: 0, rows: 1437, features: features.baseAddress!, labels: $0.baseAddress!)
      }
    }
    for (index, first) in stride(from: 0, to: 1437, by: 100).enumerated() {
      let end = min(first + 100, 1437)
      let loss = try features[(first * 64)..<(end * 64)].withUnsafeBufferPointer { features in
        try labels[first..<end].withUnsafeBufferPointer { try steps.step(features, labels: $0) }
      }
      #expect(loss == losses[index])
    }
    #expect(try weights(epoch) == weights(steps))
    #expect(steps.epochs == 0)
  }

  @Test func ownRowsThatDoNotFitAreRefused() throws {
    let trainer = try makeTrainer()
    let before = try weights(trainer)
    func expectRefused(_ word: String, _ features: [Float], _ labels: [Int64]) {
      expectFailure(.invalidArgument, word) {
        try features.withUnsafeBufferPointer { features in
          try labels.withUnsafeBufferPointer { try trainer.step(features, labels: $0) }
        }
      }
    }
    let row = [Float](repeating: 0.5, count: 64)
    expectRefused("rows", [], [])
    expectRefused("rows", row, [1, 2])
    expectRefused("label in row 0 is 10", row, [10])
    expectRefused("label in row 0 is -1", row, [-1])
    expectRefused("label in row 0", row, [.max])
    expectRefused("row 0, column 63", Array(row.dropLast()) + [.nan], [1])
    #expect(try weights(trainer) == before)
  }

  @Test func gradientsEqualFiniteDifferences() throws {
    // One step with rate 1 and no momentum moves each parameter by minus its gradient.
    let small = try Shape(input: 6, hidden: 5, output: 4)
    let network = try Network.make(small, seed: 21, device: .cpu)
    var options = TrainerOptions()
    (options.sgd.learningRate, options.sgd.momentum) = (1, 0)
    var random = TestRandom(8)
    let features = random.uniforms(7 * 6)
    let labels = (0..<7).map { _ in Int64(random.int(0...3)) }
    let before = try Parameter.allCases.map { try network.values($0) }
    let trainer = try Trainer.make(network, options)
    _ = try features.withUnsafeBufferPointer { features in
      try labels.withUnsafeBufferPointer { try trainer.step(features, labels: $0) }
    }
    let after = try Parameter.allCases.map { try network.values($0) }
    /// The loss in double precision with one parameter moved.
    func loss(_ parameter: Int, _ element: Int, _ change: Double) -> Double {
      var p: [[Double]] = before.map { $0.map(Double.init) }
      p[parameter][element] += change
      var total = 0.0
      for row in 0..<7 {
        var z = p[3]
        for unit in 0..<5 {
          var h = p[1][unit]
          for input in 0..<6 { h += p[0][unit * 6 + input] * Double(features[row * 6 + input]) }
          for output in 0..<4 { z[output] += p[2][output * 5 + unit] * max(0, h) }
        }
        let sum: Double = z.reduce(0) { $0 + exp($1) }
        total += log(sum) - z[Int(labels[row])]
      }
      return total / 7
    }
    for parameter in 0..<4 {
      for element in before[parameter].indices {
        let slope = (loss(parameter, element, 1e-5) - loss(parameter, element, -1e-5)) / 2e-5
        let gradient = Double(before[parameter][element]) - Double(after[parameter][element])
        // Subtracting two floats of up to 1 leaves an error of 1e-7; the gradients are up to 0.3.
        #expect(abs(gradient - slope) < 1e-6, "\(Parameter.allCases[parameter]) \(element)")
      }
    }
  }
}
