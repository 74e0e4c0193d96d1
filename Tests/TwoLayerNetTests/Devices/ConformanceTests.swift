// What every engine has to do beside the arithmetic of a step: trainings as a whole, files in the middle
// of them, evaluation, prediction, options that change. The processor's engine is what the others are
// compared with, to the bit.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

@Suite(.serialized)
struct ConformanceTests {
  let digits: Dataset
  let shape: Shape

  init() throws {
    digits = try trainingDigits()
    shape = try Shape(input: 64, hidden: 50, output: 10)
  }

  private func makeTrainer(
    _ engine: TestEngine, shape: Shape? = nil, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) throws -> Trainer {
    try engine.require()
    var options = TrainerOptions()
    change(&options)
    return try Trainer.make(Network.make(on: engine.make(shape ?? self.shape), seed: 11), options)
  }

  /// The same trainer on an engine and on the processor.
  private func makePair(
    _ engine: TestEngine, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) throws -> [Trainer] {
    try [makeTrainer(engine, change), makeTrainer(.processor, change)]
  }

  private func expectSame(_ trainers: [Trainer], _ location: SourceLocation = #_sourceLocation) throws {
    let files = try trainers.map { try checkpoint($0) }
    #expect(files[0] == files[1], sourceLocation: location)
  }

  @Test(arguments: TestEngine.distinct)
  func aTrainingGivesTheSameFile(_ engine: TestEngine) throws {
    let trainers = try makePair(engine)
    for trainer in trainers { try trainer.fit(digits, epochs: 3) }
    try expectSame(trainers)
    // Again on the same engines: nothing is left over.
    for trainer in trainers { try Trainer.make(trainer.network).fit(digits, epochs: 1) }
    try expectSame(trainers)
    #expect(try trainers[0].network.evaluate(digits) == trainers[1].network.evaluate(digits))
  }

  /// A multiple of four hidden units and several panels of rows, for which GPUs have kernels of their own.
  @Test(arguments: TestEngine.distinct, [3, 10])
  func largeBatchesGiveTheSameFile(_ engine: TestEngine, _ outputs: Int) throws {
    var random = TestRandom(4)
    let shape = try Shape(input: 30, hidden: 52, output: outputs)
    let features = random.uniforms(1900 * 30)
    let labels = (0..<1900).map { _ in Int64(random.int(0...(outputs - 1))) }
    let dataset = try labels.withUnsafeBufferPointer {
      try Dataset.make(
        features: features, type: .f32, rows: 1900, columns: 30, labels: .i64($0.baseAddress!),
        copy: true)
    }
    let trainers = try [engine, .processor].map {
      try makeTrainer($0, shape: shape) { $0.batchSize = 700 }
    }
    for trainer in trainers { try trainer.fit(dataset, epochs: 2) }
    try expectSame(trainers)
    #expect(try trainers[0].network.evaluate(dataset) == trainers[1].network.evaluate(dataset))
  }

  @Test(arguments: TestEngine.distinct)
  func aFileGoesFromEngineToEngine(_ engine: TestEngine) throws {
    let whole = try makeTrainer(.processor)
    try whole.fit(digits, epochs: 2)
    for (from, to) in [(engine, TestEngine.processor), (.processor, engine), (engine, engine)] {
      let first = try makeTrainer(from)
      expectFailure(.cancelled) { try first.fit(digits, epochs: 2) { $0.step < 6 } }
      #expect(first.steps == 7)
      let second = try makeTrainer(to)
      try withTemporaryDirectory { directory in
        try first.save(directory + "/half.pth")
        try second.load(directory + "/half.pth")
      }
      try second.fit(digits, epochs: 2)
      try expectSame([second, whole])
    }
  }

  @Test(arguments: TestEngine.distinct)
  func optionsMayChangeOnTheWay(_ engine: TestEngine) throws {
    let trainers = try makePair(engine) { $0.batchSize = 64 }
    for trainer in trainers {
      try trainer.fit(digits, epochs: 1)
      try trainer.setLearningRate(0.01)
      try trainer.fit(digits, epochs: 1) {
        if $0.step == 9 { try? trainer.setLearningRate(0.003) }
        return true
      }
      var sgd = SGD()
      (sgd.weightDecay, sgd.nesterov) = (0.01, true)
      try trainer.setSGD(sgd)
      try trainer.fit(digits, epochs: 1)
      sgd.momentum = 0
      sgd.nesterov = false
      sgd.maximize = true
      sgd.learningRate = 1e-4
      try trainer.setSGD(sgd)
      try trainer.fit(digits, epochs: 1)
      sgd.momentum = 0.5
      try trainer.setSGD(sgd)
    }
    try expectSame(trainers)
  }

  @Test(arguments: TestEngine.distinct, [0.0, 0.9])
  func aDivergingRunStopsAtTheSameStep(_ engine: TestEngine, _ momentum: Double) throws {
    let trainers = try makePair(engine) {
      ($0.sgd.learningRate, $0.sgd.momentum) = (1e19, momentum)
    }
    for trainer in trainers {
      expectFailure(.invalidArgument, "not finite") { try trainer.fit(digits, epochs: 5) }
    }
    #expect(trainers[0].steps > 0 && trainers[0].steps < 15)
    #expect(trainers[0].steps == trainers[1].steps && trainers[0].epochs == trainers[1].epochs)
    try expectSame(trainers)
    // The loss stays what it is, and a run of less than the epoch's rest stops too.
    for trainer in trainers {
      let before = try checkpoint(trainer)
      expectFailure(.invalidArgument, "not finite") { try trainer.fit(digits, epochs: 1) { _ in true } }
      #expect(try checkpoint(trainer) == before)
    }
  }

  /// The step before the short batch that ends an epoch fails: the short one may not be taken instead.
  @Test(arguments: TestEngine.distinct)
  func nothingFollowsAStepThatFailed(_ engine: TestEngine) throws {
    let results = try [engine, .processor].map { engine in
      let trainer = try makeTrainer(engine)
      // Rows 0 ..< 20 are ordinary, row 20 makes the loss infinite, rows 30 ..< 33 are a short batch.
      var features = [Float](repeating: 0.5, count: 33 * 64)
      for column in 0..<64 { features[20 * 64 + column] = column % 2 == 0 ? 3e38 : -3e38 }
      let labels = (0..<33).map { Int64($0 % 10) }
      let dataset = try labels.withUnsafeBufferPointer {
        try Dataset.make(
          features: features, type: .f32, rows: 33, columns: 64, labels: .i64($0.baseAddress!),
          copy: true)
      }
      var losses = [Float](repeating: -1, count: 4)
      let order = (0..<UInt32(33)).map { $0 }
      let done = try order.withUnsafeBufferPointer { order in
        try losses.withUnsafeMutableBufferPointer {
          try trainer.optimizer.step(dataset, order: order, batchSize: 10, losses: $0)
        }
      }
      #expect(done == 2 && !losses[2].isFinite, "\(engine)")
      return (losses[..<2], try checkpoint(trainer))
    }
    #expect(results[0].0 == results[1].0)
    #expect(results[0].1 == results[1].1)
  }

  @Test(arguments: TestEngine.distinct)
  func rowsOfTheCallersAreTheSame(_ engine: TestEngine) throws {
    var random = TestRandom(3)
    let trainers = try makePair(engine)
    for rows in [1, 100, 7, 2, 300, 3] {
      let features = random.uniforms(rows * 64)
      let labels = (0..<rows).map { _ in Int64(random.int(0...9)) }
      let losses = try trainers.map { trainer in
        try features.withUnsafeBufferPointer { features in
          try labels.withUnsafeBufferPointer { try trainer.step(features, labels: $0) }
        }
      }
      #expect(losses[0].bitPattern == losses[1].bitPattern)
    }
    try expectSame(trainers)
  }

  @Test(arguments: TestEngine.distinct)
  func severalDatasetsAndNetworksDoNotMeet(_ engine: TestEngine) throws {
    let parts = try [0, 400, 800, 1200].map { try digits.part(firstRow: $0, rows: 200) }
    let other = try Shape(input: 64, hidden: 13, output: 10)
    let trainers = try [engine, .processor].flatMap {
      try [makeTrainer($0), makeTrainer($0, shape: other)]
    }
    for (index, part) in (parts + parts.reversed()).enumerated() {
      for trainer in trainers {
        try trainer.fit(part, epochs: 1 + index % 2)
        _ = try trainer.network.evaluate(parts[0])
      }
    }
    try expectSame([trainers[0], trainers[2]])
    try expectSame([trainers[1], trainers[3]])
  }

  @Test(arguments: TestEngine.distinct)
  func rowsMayLieApart(_ engine: TestEngine) throws {
    var random = TestRandom(9)
    let (rows, columns, stride) = (150, 64, 80)
    let features = random.uniforms(rows * stride)
    let labels = (0..<rows).map { _ in Int64(random.int(0...9)) }
    let dataset = try labels.withUnsafeBufferPointer { labels in
      try features.withUnsafeBufferPointer {
        try Dataset.make(
          features: $0.baseAddress!, type: .f32, rows: rows, columns: columns, rowStride: stride * 4,
          labels: .i64(labels.baseAddress!), copy: false)
      }
    }
    let trainers = try makePair(engine) { $0.batchSize = 40 }
    try features.withUnsafeBufferPointer { _ in
      for trainer in trainers { try trainer.fit(dataset, epochs: 2) }
      #expect(try trainers[0].network.evaluate(dataset) == trainers[1].network.evaluate(dataset))
    }
    try expectSame(trainers)
  }

  /// More rows, and more bytes of rows that have to be padded, than go to a GPU at once.
  @Test(arguments: TestEngine.distinct)
  func largeDatasetsGoInParts(_ engine: TestEngine) throws {
    let (rows, columns) = (70_001, 61)
    var random = TestRandom(12)
    var bytes = [UInt8](repeating: 0, count: rows * columns)
    for _ in 0..<50_000 { bytes[random.int(0...(bytes.count - 1))] = UInt8(random.int(0...255)) }
    let labels = [UInt8](repeating: 1, count: rows - 40) + [UInt8](repeating: 2, count: 40)
    let dataset = try labels.withUnsafeBufferPointer {
      try Dataset.make(
        features: bytes, type: .u8, rows: rows, columns: columns, labels: .u8($0.baseAddress!),
        copy: true)
    }
    let shape = try Shape(input: columns, hidden: 3, output: 3)
    let trainers = try [engine, .processor].map {
      try makeTrainer($0, shape: shape) { $0.batchSize = 9_000 }
    }
    for trainer in trainers { try trainer.fit(dataset, epochs: 1) }
    try expectSame(trainers)
    #expect(try trainers[0].network.evaluate(dataset) == trainers[1].network.evaluate(dataset))
  }

  @Test(arguments: TestEngine.distinct)
  func evaluationIsTheSame(_ engine: TestEngine) throws {
    for rows in [1, 2, 3, 5, 200, 1437] {
      let part = try digits.part(firstRow: 0, rows: rows)
      for hidden in [1, 5, 50] {
        let shape = try Shape(input: 64, hidden: hidden, output: 10)
        let results = try [engine, .processor].map {
          try makeTrainer($0, shape: shape).network.evaluate(part)
        }
        #expect(results[0] == results[1], "\(rows) rows, \(hidden) hidden units")
      }
    }
  }

  /// Logits that are equal, infinite or not numbers.
  @Test(arguments: TestEngine.distinct, [0, 1, 2, 3])
  func unusualLogitsAreJudgedAlike(_ engine: TestEngine, _ kind: Int) throws {
    let results = try [engine, .processor].map { engine in
      let network = try makeTrainer(engine).network
      func fill(_ parameter: Parameter, _ value: (Int) -> Float) throws {
        let values = (0..<parameter.count(in: shape)).map(value)
        try values.withUnsafeBufferPointer { try network.write(parameter, from: $0) }
      }
      try fill(.hiddenWeight) { _ in 1e30 }
      try fill(.outputWeight) { index in
        switch kind {
        case 0: 0
        case 1: 1e30
        case 2: index / 50 == 7 ? -1e30 : index / 50 > 3 ? 1e30 : 0
        // Some are infinity minus infinity.
        default: index / 50 < 4 ? 0 : index % 2 == 0 ? 1e30 : -1e30
        }
      }
      try fill(.outputBias) { _ in 0 }
      let evaluation = try network.evaluate(digits)
      return (evaluation.correct, evaluation.meanLoss.isNaN, evaluation.meanLoss)
    }
    #expect(results[0].0 == results[1].0 && results[0].1 == results[1].1)
    #expect(results[0].1 || results[0].2 == results[1].2)
  }

  @Test(arguments: TestEngine.distinct)
  func manyThreadsMayPredictAtOnce(_ engine: TestEngine) async throws {
    let trainer = try makeTrainer(engine)
    var random = TestRandom(5)
    let x = Matrix(70, 64, random.uniforms(70 * 64))
    let expected = try makeTrainer(.processor).network.logits(x)
    let evaluation = try makeTrainer(.processor).network.evaluate(digits)
    let (network, digits) = (UncheckedSendable(trainer.network), UncheckedSendable(digits))
    await withTaskGroup(of: Bool.self) { group in
      for thread in 0..<4 {
        group.addTask {
          for _ in 0..<10 {
            guard let got = try? network.value.logits(x), got == expected else { return false }
          }
          return thread > 0 || (try? network.value.evaluate(digits.value)) == evaluation
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }

  @Test(arguments: TestEngine.distinct)
  func parametersComeBackAsTheyWereSet(_ engine: TestEngine) throws {
    for sizes in [[1, 1, 1], [5, 7, 3], [33, 65, 2], [100, 1, 40]] {
      let shape = try Shape(input: sizes[0], hidden: sizes[1], output: sizes[2])
      let trainer = try makeTrainer(engine, shape: shape)
      var random = TestRandom(1)
      for parameter in Parameter.allCases {
        let values = random.uniforms(parameter.count(in: shape))
        let momentum = random.uniforms(parameter.count(in: shape))
        try values.withUnsafeBufferPointer { try trainer.network.write(parameter, from: $0) }
        try momentum.withUnsafeBufferPointer {
          try trainer.optimizer.writeMomentum(parameter, from: $0)
        }
        #expect(try trainer.network.values(parameter) == values)
        #expect(try trainer.momentum(parameter) == momentum)
      }
    }
  }
}

/// The bytes of a trainer's file.
func checkpoint(_ trainer: Trainer) throws -> Data {
  try withTemporaryDirectory { directory in
    try trainer.save(directory + "/trainer.pth")
    return try Data(contentsOf: URL(fileURLWithPath: directory + "/trainer.pth"))
  }
}
