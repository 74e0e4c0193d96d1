// Going on from files: ours, to the bit, and PyTorch's; and states that make no sense.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

struct TrainerCheckpointTests {
  private let dataset: Dataset
  private let shape: Shape

  init() throws {
    dataset = try trainingDigits()
    shape = try Shape(input: 64, hidden: 20, output: 10)
  }

  private func makeTrainer(
    seed: UInt64 = 11, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainerOptions()
    change(&options)
    return try Trainer.make(try Network.make(shape, seed: seed, device: .cpu), options)
  }

  private func momentum(_ trainer: Trainer) throws -> [[Float]] {
    try Parameter.allCases.map { parameter in
      var values = [Float](repeating: .nan, count: parameter.count(in: trainer.network.shape))
      try values.withUnsafeMutableBufferPointer {
        try trainer.optimizer.readMomentum(parameter, into: $0)
      }
      return values
    }
  }

  private func expectEqual(
    _ one: Trainer, _ other: Trainer, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(
      try parameters(one.network) == parameters(other.network), sourceLocation: sourceLocation)
    #expect(try momentum(one) == momentum(other), sourceLocation: sourceLocation)
    #expect(one.position == other.position, sourceLocation: sourceLocation)
    #expect(one.options.sgd == other.options.sgd, sourceLocation: sourceLocation)
  }

  // Our own files.

  @Test(arguments: [0, 1, 7, 14, 15, 16, 29])
  func savingAndGoingOnIsNeverStopping(_ stop: Int) throws {
    let whole = try makeTrainer()
    try whole.fit(dataset, epochs: 3)
    let stopped = try makeTrainer()
    var count = 0
    expectFailure(.cancelled) {
      try stopped.fit(dataset, epochs: 3) { _ in
        count += 1
        return count <= stop
      }
    }
    try withTemporaryDirectory { directory in
      try stopped.save(directory + "/a.pth")
      // Another seed, other options: the file has the last word.
      let resumed = try makeTrainer(seed: 99) { $0.sgd.learningRate = 5 }
      try resumed.load(directory + "/a.pth")
      #expect(resumed.epochs == stopped.epochs && resumed.steps == stopped.steps)
      try expectEqual(resumed, stopped)
      try resumed.fit(dataset, epochs: 3 - resumed.epochs)
      try expectEqual(resumed, whole)
      // And one after the other the draws agree.
      try resumed.fit(dataset, epochs: 1)
      try whole.fit(dataset, epochs: 1)
      try expectEqual(resumed, whole)
    }
  }

  @Test func aFileThatIsLoadedAndSavedStaysTheSame() throws {
    try withTemporaryDirectory { directory in
      let trainer = try makeTrainer()
      for name in ["begun", "trained"] {
        let path = directory + "/a.pth"
        try trainer.save(path)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let other = try makeTrainer(seed: 5)
        try other.load(path)
        try other.save(path)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes, "\(name)")
        try trainer.fit(dataset, epochs: 1)
      }
    }
  }

  @Test func aTrainerMayBeSavedWhileItTrains() throws {
    let (trainer, resumed) = (try makeTrainer(), try makeTrainer())
    try withTemporaryDirectory { directory in
      let path = directory + "/a.pth"
      try trainer.fit(dataset, epochs: 2) {
        if $0.epoch == 2 && $0.step == 4 { try? trainer.save(path) }
        return true
      }
      try resumed.load(path)
      #expect(resumed.epochs == 1 && resumed.steps == 5)
      try resumed.fit(dataset, epochs: 1)
      try expectEqual(resumed, trainer)
    }
  }

  @Test func rowsInTheirOrderAreResumedToo() throws {
    let (whole, stopped) = (
      try makeTrainer { $0.shuffle = false }, try makeTrainer { $0.shuffle = false }
    )
    try whole.fit(dataset, epochs: 1)
    expectFailure(.cancelled) { try stopped.fit(dataset, epochs: 1) { $0.step < 5 } }
    try withTemporaryDirectory { directory in
      try stopped.save(directory + "/a.pth")
      let resumed = try makeTrainer { $0.shuffle = false }
      try resumed.load(directory + "/a.pth")
      try resumed.fit(dataset, epochs: 1)
      try expectEqual(resumed, whole)
    }
  }

  @Test func aNetworkOfATrainerFileCanBeLoaded() throws {
    let trainer = try makeTrainer()
    try trainer.fit(dataset, epochs: 1)
    try withTemporaryDirectory { directory in
      try trainer.save(directory + "/a.pth")
      let network = try Network.load(directory + "/a.pth", device: .cpu)
      #expect(try parameters(network) == parameters(trainer.network))
    }
  }

  @Test func statesAreKeptInPyTorchsFormatOnly() throws {
    let trainer = try makeTrainer()
    expectFailure(.unsupported, ".pth") { try trainer.save("/tmp/a.safetensors") }
    expectFailure(.unsupported, ".pth") { try trainer.save("/tmp/a") }
  }

  // PyTorch's files.

  private func makeRecordedTrainer() throws -> Trainer {
    let network = try Network.make(try Shape(input: 7, hidden: 3, output: 2), seed: 77, device: .cpu)
    return try Trainer.make(network)
  }

  @Test(
    arguments: RecordedCheckpoints.versions,
    ["begun.pth", "trained.pth", "options.pth", "dampened.pth", "plain.pth"])
  func filesOfPyTorchAreRead(_ version: String, _ name: String) throws {
    let expected = try RecordedCheckpoints(version).checkpoints[name]!
    let trainer = try makeRecordedTrainer()
    try trainer.load(RecordedCheckpoints.path(version, name))
    #expect(try parameters(trainer.network) == expected.model.map { floats(hexadecimal: $0) })
    #expect(trainer.optimizer.hasMomentum == !expected.momentum.isEmpty)
    if !expected.momentum.isEmpty {
      #expect(try momentum(trainer) == expected.momentum.map { floats(hexadecimal: $0) })
    }
    var sgd = SGD()
    switch name {
    case "options.pth":
      (sgd.learningRate, sgd.momentum, sgd.weightDecay, sgd.nesterov) = (0.05, 0.8, 1e-3, true)
    case "dampened.pth":
      (sgd.learningRate, sgd.momentum, sgd.dampening, sgd.maximize) = (0.05, 0.8, 0.25, true)
    case "plain.pth": (sgd.learningRate, sgd.momentum) = (0.05, 0)
    default: break
    }
    #expect(trainer.options.sgd == sgd)
    // PyTorch's file does not tell where training stands.
    #expect(trainer.epochs == 0 && trainer.steps == 0)
  }

  @Test(arguments: RecordedCheckpoints.versions)
  func streamsAreReadToo(_ version: String) throws {
    let (one, other) = (try makeRecordedTrainer(), try makeRecordedTrainer())
    try one.load(RecordedCheckpoints.path(version, "trained.pth"))
    try other.load(RecordedCheckpoints.path(version, "trained.stream.pth"))
    try expectEqual(one, other)
  }

  @Test(arguments: [
    ("begun.pth", 0), ("trained.pth", 2), ("options.pth", 70_000), ("dampened.pth", 1),
  ])
  func writtenFilesEqualPyTorchsUpToTheComment(_ name: String, _ epoch: Int) throws {
    let recorded = RecordedCheckpoints.path("2.1.2", name)
    let trainer = try makeRecordedTrainer()
    try trainer.load(recorded)
    trainer.position.epochs = epoch
    try withTemporaryDirectory { directory in
      try trainer.save(directory + "/" + name)
      let bytes = try Data(contentsOf: URL(fileURLWithPath: directory + "/" + name))
      let expected = try Data(contentsOf: URL(fileURLWithPath: recorded))
      // The last two bytes of a file without a comment are the comment's size.
      #expect(bytes[..<(expected.count - 2)] == expected.dropLast(2))
      #expect(bytes[expected.count...].starts(with: "twolayernet 1\n".utf8))
    }
  }

  @Test func withoutMomentumThereIsNoneInTheFile() throws {
    let trainer = try makeTrainer { $0.sgd.momentum = 0 }
    try trainer.fit(dataset, epochs: 1)
    try withTemporaryDirectory { directory in
      try trainer.save(directory + "/a.pth")
      let checkpoint = try Checkpoint.open(directory + "/a.pth")
      #expect(checkpoint.tensors.count == 4)
      guard case .none? = checkpoint.scalar("optimizer.state.3.momentum_buffer") else {
        Issue.record("no None")
        return
      }
    }
  }

  // Refusals, after which nothing has changed.

  private func expectRefused(
    _ status: Status, _ word: String, _ bytes: [UInt8],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let network = try Network.make(try Shape(input: 3, hidden: 2, output: 2), seed: 1, device: .cpu)
    let trainer = try Trainer.make(network)
    let before = try parameters(network)
    expectFailure(status, word, sourceLocation: sourceLocation) {
      try withCheckpoint(bytes) { try trainer.load($0) }
    }
    #expect(try parameters(network) == before, sourceLocation: sourceLocation)
    #expect(trainer.options.sgd == SGD() && trainer.position == Position())
    #expect(!trainer.optimizer.hasMomentum)
  }

  /// A checkpoint of the builder's network with these options and momentum buffers.
  private func file(
    _ group: [(String, [UInt8])], momentum: [Int] = [], groups: Int = 1
  ) -> TorchBuilder {
    var builder = TorchBuilder()
    let model = Array(builder.pickle[2..<(builder.pickle.count - 1)])
    let state = momentum.flatMap { index -> [UInt8] in
      let sizes = [[2, 3], [2], [2, 2], [2]][index]
      let tensor = Pickled.tensor(
        String(index), count: sizes.reduce(1, *), sizes: sizes, strides: packedStrides(sizes))
      return Pickled.int(index) + Pickled.dictionary([("momentum_buffer", tensor)])
    }
    let optimizer = Pickled.dictionary([
      ("state", [0x7d, 0x28] + state + [0x75]),
      ("param_groups", Pickled.list((0..<groups).map { _ in Pickled.dictionary(group) })),
    ])
    builder.pickle = Pickled.whole(Pickled.dictionary([("model", model), ("optimizer", optimizer)]))
    return builder
  }

  private func group(_ changes: [String: [UInt8]] = [:], without: String = "") -> [(String, [UInt8])] {
    let standard: [(String, [UInt8])] = [
      ("lr", Pickled.float(0.1)), ("momentum", Pickled.float(0.9)), ("dampening", Pickled.int(0)),
      ("weight_decay", Pickled.int(0)), ("nesterov", [0x89]),
      ("params", Pickled.list((0..<4).map { Pickled.int($0) })),
    ]
    return standard.filter { $0.0 != without }.map { ($0, changes[$0] ?? $1) }
  }

  @Test func theBuilderIsGood() throws {
    let network = try Network.make(try Shape(input: 3, hidden: 2, output: 2), seed: 1, device: .cpu)
    let trainer = try Trainer.make(network)
    try withCheckpoint(file(group(), momentum: [0, 1, 2, 3]).bytes) { try trainer.load($0) }
    #expect(trainer.optimizer.hasMomentum && trainer.options.sgd == SGD())
  }

  @Test func optimisersThatMakeNoSenseAreRefused() throws {
    try expectRefused(.badFile, "no state of an optimiser", TorchBuilder().bytes)
    for name in ["momentum", "dampening", "weight_decay"] {
      try expectRefused(.badFile, "not SGD", file(group(without: name)).bytes)
    }
    for name in ["lr", "momentum", "dampening", "weight_decay"] {
      for bad in [
        Pickled.float(.nan), Pickled.float(.infinity), Pickled.float(1e300), Pickled.text("1"), [0x88],
      ] {
        try expectRefused(.badFile, "", file(group([name: bad])).bytes)
      }
    }
    try expectRefused(.badFile, "learning_rate", file(group(["lr": Pickled.float(-1)])).bytes)
    try expectRefused(.badFile, "nesterov", file(group(["nesterov": Pickled.int(1)])).bytes)
    try expectRefused(
      .badFile, "nesterov", file(group(["nesterov": [0x88], "momentum": Pickled.int(0)])).bytes)
    let params = { (numbers: [Int]) in Pickled.list(numbers.map { Pickled.int($0) }) }
    try expectRefused(.badFile, "four parameters", file(group(["params": params([0, 1, 2])])).bytes)
    try expectRefused(
      .badFile, "more than four", file(group(["params": params([0, 1, 2, 3, 4])])).bytes)
    try expectRefused(.unsupported, "several groups", file(group(), groups: 2).bytes)
    try expectRefused(.unsupported, "some of the parameters", file(group(), momentum: [0, 2]).bytes)
    // Momentum in another order has other sizes.
    try expectRefused(
      .badFile, "momentum of",
      file(group(["params": params([2, 1, 0, 3])]), momentum: [0, 1, 2, 3]).bytes)
  }

  @Test func momentumThatIsNotFiniteIsRefused() throws {
    let double = Pickled.tensor("4", count: 2, sizes: [2], strides: [1])
    var builder = file(group(), momentum: [0, 1, 2, 3])
    let single = Pickled.tensor("3", count: 2, sizes: [2], strides: [1])
    let place = builder.pickle.ranges(of: single).last!
    builder.pickle.replaceSubrange(place, with: double)
    builder.storages.append(("4", floats([1, .nan])))
    try expectRefused(.badFile, "not finite", builder.bytes)
  }

  @Test func otherSizesAreRefused() throws {
    let trainer = try makeTrainer()
    expectFailure(.invalidArgument, "3, 2 and 2 units", "64, 20 and 10") {
      try withCheckpoint(file(group()).bytes) { try trainer.load($0) }
    }
  }

  @Test func commentsThatMakeNoSenseAreRefused() throws {
    let state = String(repeating: "0", count: 2 * 5056)
    let network = try Network.make(try Shape(input: 3, hidden: 2, output: 2), device: .cpu)
    let good = String(
      decoding: try ResumptionComment(Position(epochs: 3), network.generator).bytes, as: UTF8.self)
    let half = good + "\nrows 10\nbatch 4\nsteps 3\norder "
    func withComment(_ comment: String) -> [UInt8] {
      var archive = ZipBuilder(file(group()).members)
      archive.comment = Array(comment.utf8)
      return archive.bytes
    }
    for comment in [good, half + "none", half + "18446744073709551615", "", "something else"] {
      let trainer = try Trainer.make(network)
      try withCheckpoint(withComment(comment)) { try trainer.load($0) }
    }
    for comment in [
      "twolayernet ", "twolayernet x", "twolayernet 2\n" + good, "twolayernet 99999999999999999999",
    ] {
      try expectRefused(.unsupported, "later version", withComment(comment))
    }
    for comment in [
      "twolayernet 1", "twolayernet 1\n", "twolayernet 1\ngenerator " + state + "\nepochs 1",
      String(good.dropLast()), good + "\n", good + " ", good + "x",
      good.replacingOccurrences(of: "epochs 3", with: "epochs -3"),
      good.replacingOccurrences(of: "epochs 3", with: "epochs 9223372036854775807"),
      good.replacingOccurrences(of: "epochs 3", with: "epochs 99999999999999999999"),
      good.replacingOccurrences(of: "generator 0", with: "generator g"),
      good + "\nrows 10", half, half + "x", half + "none\n", half + "18446744073709551616",
      good + "\nrows 0\nbatch 4\nsteps 0\norder none", good + "\nrows 10\nbatch 0\nsteps 0\norder none",
      good + "\nrows 10\nbatch 4\nsteps 4\norder none",
      good + "\nrows 4294967296\nbatch 4\nsteps 4\norder none",
    ] {
      try expectRefused(.badFile, "comment makes no sense", withComment(comment))
    }
  }
}
