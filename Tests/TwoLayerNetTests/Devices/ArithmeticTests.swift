// Whole training steps and predictions, bit by bit against the plain reference, on every engine that this
// machine has, for ordinary and for odd sizes.

import TestSupport
import Testing

@testable import TwoLayerNet

/// One training run to compare.
struct Case: Sendable, CustomStringConvertible {
  var input: Int
  var hidden: Int
  var output: Int
  var batches: [Int]
  var isBytes = false
  /// The share of features that are not zero, in percent.
  var density = 50
  var sgd = ReferenceSGD()

  var description: String {
    """
    \(input)-\(hidden)-\(output), batches \(batches), \(isBytes ? "bytes" : "floats"), \
    momentum \(sgd.momentum), dampening \(sgd.dampening), decay \(sgd.weightDecay), \
    nesterov \(sgd.nesterov), maximize \(sgd.maximize)
    """
  }
}

@Suite(.serialized)
struct ArithmeticTests {
  static let ordinary = [
    Case(input: 784, hidden: 100, output: 10, batches: [100, 100], isBytes: true, density: 20),
    Case(input: 784, hidden: 100, output: 10, batches: [100, 37, 1, 3], density: 20),
    Case(input: 64, hidden: 32, output: 10, batches: [64, 1, 2, 3, 4, 5], isBytes: true),
    Case(input: 200, hidden: 37, output: 26, batches: [128, 96], isBytes: true),
    Case(input: 400, hidden: 130, output: 62, batches: [20, 200], isBytes: true),
    Case(input: 13, hidden: 17, output: 5, batches: [250, 400, 7]),
    Case(input: 50, hidden: 10, output: 10, batches: [10, 16]),
    Case(input: 385, hidden: 12, output: 12, batches: [193, 4]),
    Case(input: 30, hidden: 250, output: 3, batches: [33]),
    Case(input: 387, hidden: 112, output: 11, batches: [5, 1], density: 90),
    // Rows with few zeros, predicted one at a time, by more hidden units than the widest tile has.
    Case(input: 200, hidden: 230, output: 4, batches: [5, 1], density: 80),
    // Few rows, most of whose features are not zero, in datasets that still count as sparse.
    Case(input: 387, hidden: 112, output: 11, batches: [3, 2], isBytes: true, density: 55),
    Case(input: 385, hidden: 100, output: 11, batches: [3, 2], density: 75),
    // More gradients than a first-level cache holds, in one panel and in several; one and two wide tiles.
    Case(input: 150, hidden: 90, output: 7, batches: [192, 130, 65, 193, 64], isBytes: true),
    Case(input: 115, hidden: 200, output: 7, batches: [129, 191]),
  ]

  /// Every combination of very small sizes is another order of sums.
  static let tiny: [Case] = {
    var random = TestRandom(1)
    return (0..<150).map { index in
      Case(
        input: random.int(1...24), hidden: random.int(1...24), output: random.int(1...14),
        batches: (0..<3).map { _ in random.int(1...18) }, isBytes: index % 3 == 0,
        density: random.int(0...100))
    }
  }()

  static let options: [Case] = {
    var cases: [Case] = []
    for momentum in [0, 0.9] {
      for dampening in [0, 0.1] {
        for weightDecay in [0, 1e-4] {
          for flags in 0..<4 {
            var sgd = ReferenceSGD()
            (sgd.momentum, sgd.dampening, sgd.weightDecay) = (momentum, dampening, weightDecay)
            (sgd.nesterov, sgd.maximize) = (flags & 1 == 1, flags & 2 == 2)
            if sgd.nesterov && (momentum == 0 || dampening != 0) { continue }
            cases.append(
              Case(
                input: 20, hidden: 15, output: 10, batches: [9, 9, 1, 9], isBytes: flags == 0, sgd: sgd))
          }
        }
      }
    }
    // A tile with half a vector.
    var sgd = ReferenceSGD()
    (sgd.dampening, sgd.weightDecay, sgd.nesterov) = (0, 1e-3, true)
    sgd.momentum = 0.9
    cases.append(
      Case(input: 21, hidden: 100, output: 11, batches: [100, 193, 9], isBytes: true, sgd: sgd))
    return cases
  }()

  /// Which engines the tests below run on; those that are not there are skipped, which is reported here.
  @Test(arguments: TestEngine.all)
  func engineIsHere(_ engine: TestEngine) throws {
    try engine.require()
    _ = try engine.make(Shape(input: 1, hidden: 1, output: 1))
  }

  /// Without zeros, so that the dense kernels are taken: tiles of every width and height, whole and cut
  /// off, one panel and several, and the sizes beside which other orders of sums begin.
  static let dense: [Case] = {
    var cases: [Case] = []
    for isBytes in [false, true] {
      for (input, hidden, output, batches) in [
        (784, 100, 10, [100, 37, 1, 3]), (20, 12, 3, [4, 5, 8, 9]), (13, 17, 5, [250, 400, 7]),
        (385, 33, 12, [193, 6]), (200, 64, 10, [384, 20]), (50, 250, 26, [200, 16]),
        (30, 49, 4, [128, 3, 140]), (400, 65, 10, [20, 12, 2]), (64, 10, 10, [64, 1, 30]),
        (11, 40, 10, [40]), (1, 20, 3, [9, 1]), (150, 3, 4, [50]), (133, 70, 3, [1200, 961, 300]),
        (133, 260, 3, [1200, 577, 300, 100, 2]), (21, 1030, 3, [600, 193, 2]),
      ] {
        cases.append(
          Case(
            input: input, hidden: hidden, output: output, batches: batches, isBytes: isBytes,
            density: 100))
      }
    }
    var sgd = ReferenceSGD()
    (sgd.dampening, sgd.weightDecay, sgd.maximize) = (0.1, 1e-3, true)
    cases.append(Case(input: 40, hidden: 30, output: 10, batches: [9, 200, 9], density: 100, sgd: sgd))
    for hidden in [70, 270] {
      cases.append(
        Case(input: 40, hidden: hidden, output: 10, batches: [970, 9], density: 100, sgd: sgd))
    }
    return cases
  }()

  @Test(arguments: dense)
  func denseCasesTakeTheDenseKernels(_ test: Case) throws {
    var random = TestRandom(5)
    let (dataset, _, _) = try test.makeBatch(rows: test.batches[0], &random)
    #expect(dataset.density == 1)
    for set in InstructionSet.allCases where set.isSupported {
      let shape = try Shape(input: test.input, hidden: test.hidden, output: test.output)
      let form = try CPUEngine.make(shape, threads: 1, set).form(dataset)
      // Without fused multiply-adds there are none.
      #expect(form.isDense == (set != .baseline), "\(set)")
      #expect(form.stored == (form.isDense ? .f32 : form.source))
    }
  }

  /// Sums over so many rows that blocks of blocks of blocks are full, in one run and in four.
  static let large = [Case(input: 2, hidden: 33, output: 3, batches: [4200, 16500])]

  @Test(arguments: ordinary + tiny + options + dense + large)
  func stepsEqualTheReference(_ test: Case) throws { try check(test, on: TestEngine.available) }

  /// So many rows that the blocks are larger. (For the GPUs' kernels KernelTests does it.)
  @Test func aHugeBatch() throws {
    let test = Case(input: 1, hidden: 5, output: 2, batches: [1 << 19 + 77], density: 100)
    try check(test, on: TestEngine.processors.filter { $0.reason.isEmpty })
  }

  private func check(_ test: Case, on engines: [TestEngine]) throws {
    var random = TestRandom(UInt64(test.input * 1_000_000 + test.hidden * 1000 + test.output))
    let shape = try Shape(input: test.input, hidden: test.hidden, output: test.output)
    let trainers = try engines.map { engine in
      (engine, try Trainer.make(Network.make(on: engine.make(shape), seed: 3), test.options))
    }
    let start = try Network.make(shape, seed: 3, device: .cpu)
    var reference = ReferenceNetwork(
      w1: Matrix(test.hidden, test.input, try start.values(.hiddenWeight)),
      b1: try start.values(.hiddenBias),
      w2: Matrix(test.output, test.hidden, try start.values(.outputWeight)),
      b2: try start.values(.outputBias))
    for (number, batch) in test.batches.enumerated() {
      let (dataset, x, labels) = try test.makeBatch(rows: batch, &random)
      let loss = reference.step(x, labels, test.sgd)
      let predictions = Set([1, min(3, batch), batch]).map { rows in
        let part = Matrix(rows, x.columns, Array(x.values[..<(rows * x.columns)]))
        return (part, reference.forward(part).logits)
      }
      for (engine, trainer) in trainers {
        let what = "batch \(number) of \(batch): \(engine), \(test)"
        let got = try trainer.stepOnce(dataset)
        #expect(got.bitPattern == loss.bitPattern, "loss \(got), not \(loss), \(what)")
        try compareParameters(trainer, reference, what)
        for (x, logits) in predictions {
          expectEqualBits(try trainer.network.logits(x), logits.values, "\(x.rows) logits, \(what)")
        }
      }
    }
  }

  private func compareParameters(
    _ trainer: Trainer, _ reference: ReferenceNetwork, _ what: String
  ) throws {
    let wanted = [reference.w1.values, reference.b1, reference.w2.values, reference.b2]
    let momentum = [reference.v1, reference.vb1, reference.v2, reference.vb2]
    for (parameter, (values, velocity)) in zip(Parameter.allCases, zip(wanted, momentum)) {
      expectEqualBits(try trainer.network.values(parameter), values, "\(parameter), \(what)")
      if let velocity {
        expectEqualBits(try trainer.momentum(parameter), velocity, "momentum of \(parameter), \(what)")
      }
    }
  }
}

func expectEqualBits(_ got: [Float], _ wanted: [Float], _ what: String) {
  guard got.count == wanted.count else {
    Issue.record("\(got.count) values, not \(wanted.count): \(what)")
    return
  }
  for index in got.indices where got[index].bitPattern != wanted[index].bitPattern {
    Issue.record("element \(index) is \(got[index]), not \(wanted[index]): \(what)")
    return
  }
}

extension Case {
  var options: TrainerOptions {
    var options = TrainerOptions()
    options.sgd.learningRate = sgd.rate
    options.sgd.momentum = sgd.momentum
    options.sgd.dampening = sgd.dampening
    options.sgd.weightDecay = sgd.weightDecay
    options.sgd.nesterov = sgd.nesterov
    options.sgd.maximize = sgd.maximize
    return options
  }

  /// A batch as a dataset and as the reference wants it.
  func makeBatch(rows: Int, _ random: inout TestRandom) throws -> (Dataset, Matrix, [Int]) {
    let labels = (0..<rows).map { _ in random.int(0...(output - 1)) }
    var bytes = [UInt8](repeating: 0, count: rows * input)
    var floats = [Float](repeating: 0, count: rows * input)
    for index in bytes.indices where random.int(1...100) <= density {
      if isBytes {
        bytes[index] = UInt8(random.int(1...255))
        floats[index] = Float(bytes[index]) / 255
      } else {
        floats[index] = random.uniform()
      }
    }
    let dataset = try labels.map(Int64.init).withUnsafeBufferPointer { labels in
      if isBytes {
        try Dataset.make(
          features: bytes, type: .u8, rows: rows, columns: input, labels: .i64(labels.baseAddress!),
          copy: true)
      } else {
        try Dataset.make(
          features: floats, type: .f32, rows: rows, columns: input, labels: .i64(labels.baseAddress!),
          copy: true)
      }
    }
    return (dataset, Matrix(rows, input, floats), labels)
  }
}

extension Network {
  func values(_ parameter: Parameter) throws -> [Float] {
    var values = [Float](repeating: .nan, count: parameter.count(in: shape))
    try values.withUnsafeMutableBufferPointer { try read(parameter, into: $0) }
    return values
  }
}

extension Network {
  func logits(_ x: Matrix) throws -> [Float] {
    var logits = [Float](repeating: .nan, count: x.rows * shape.output)
    try x.values.withUnsafeBufferPointer { features in
      try logits.withUnsafeMutableBufferPointer {
        try self.logits(features, rows: x.rows, into: $0)
      }
    }
    return logits
  }
}

extension Trainer {
  /// One step on all rows of a dataset, in their order.
  func stepOnce(_ dataset: Dataset) throws -> Float {
    let order = (0..<UInt32(dataset.rows)).map { $0 }
    var loss: [Float] = [.nan]
    _ = try order.withUnsafeBufferPointer { order in
      try loss.withUnsafeMutableBufferPointer { loss in
        try optimizer.step(dataset, order: order, batchSize: dataset.rows, losses: loss)
      }
    }
    return loss[0]
  }

  func momentum(_ parameter: Parameter) throws -> [Float] {
    var values = [Float](repeating: .nan, count: parameter.count(in: network.shape))
    try values.withUnsafeMutableBufferPointer { try optimizer.readMomentum(parameter, into: $0) }
    return values
  }
}
