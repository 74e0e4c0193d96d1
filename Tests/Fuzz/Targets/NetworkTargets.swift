// Whole files through the doors that programs use: a network from memory through the C interface, and a
// trainer's state, with the generator and the position in its comment.

import CABI
import CTwoLayerNet
import TestSupport

@testable import TwoLayerNet

extension FuzzTarget {
  private static let memory = (base: 64 << 20, perByte: 32 * 1040)

  static let network = FuzzTarget(name: "network", memory: memory) { input in
    guard let network = load(input) else { return }
    defer { tln_network_free(network) }
    let parameters = parameters(network)
    let bits = parameters.map { $0.map(\.bitPattern) }
    require(parameters.joined().allSatisfy(\.isFinite), "a network that is not finite")
    for ending in ["pth", "safetensors"] {
      withPath(ending) { path in
        require(tln_network_save(network, path) == TLN_OK, String(cString: tln_last_error()))
        var copy: OpaquePointer?
        require(tln_network_load(path, nil, &copy) == TLN_OK, String(cString: tln_last_error()))
        let copied = FuzzTarget.parameters(copy!).map { $0.map(\.bitPattern) }
        require(copied == bits, "the copy as .\(ending) is different")
        tln_network_free(copy)
      }
    }
    let features = [Float](repeating: 0.5, count: parameters[0].count / parameters[1].count)
    var label: Int64 = -1
    require(tln_network_predict(network, features, 1, &label) == TLN_OK, "no prediction")
    require((0..<Int64(parameters[3].count)).contains(label), "class \(label)")
  }

  private static func load(_ input: UnsafeRawBufferPointer) -> OpaquePointer? {
    var options = tln_network_options()
    tln_network_options_init(&options)
    options.threads = 1
    var network: OpaquePointer?
    let status = tln_network_load_memory(input.baseAddress, input.count, &options, &network)
    require((status == TLN_OK) == (network != nil), "status \(status) and a network, or neither")
    require((status == TLN_OK) == (tln_last_error().pointee == 0), "status \(status), wrong message")
    require(
      [TLN_OK, TLN_BAD_FILE, TLN_UNSUPPORTED].contains(Int(status)),
      "a bad file gives \(status): " + String(cString: tln_last_error()))
    return network
  }

  private static func parameters(_ network: OpaquePointer) -> [[Float]] {
    var (input, hidden, output): (Int64, Int64, Int64) = (0, 0, 0)
    require(tln_network_sizes(network, &input, &hidden, &output) == TLN_OK, "no sizes")
    let shape = try! Shape(input: Int(input), hidden: Int(hidden), output: Int(output))
    return Parameter.allCases.map { parameter in
      var values = [Float](repeating: .nan, count: parameter.count(in: shape))
      require(
        tln_network_get_parameter(network, parameter.name, &values, values.count) == TLN_OK, "no values")
      return values
    }
  }

  /// Into a trainer with the sizes of the golden checkpoints.
  static let trainer = FuzzTarget(name: "trainer", memory: memory) { input in
    let (trainer, other) = (newTrainer(batchSize: 2), newTrainer(batchSize: 2))
    let before = State(trainer)
    let isLoaded: Void? = acceptedLoad { () throws(Failure) in
      try trainer.load(Checkpoint.read(memoryFile(input)))
    }
    guard isLoaded != nil else {
      return require(State(trainer) == before, "a file that was refused has changed something")
    }
    withPath("pth") { path in
      let isSame: Void? = accepted { () throws(Failure) in
        try trainer.save(path)
        try other.load(path)
      }
      require(isSame != nil, "what was loaded cannot be saved and loaded again")
    }
    require(other.position == trainer.position, "another position")
    require(State(other).sgd == State(trainer).sgd, "other options")
    // Both go on in the same way, wherever that leads.
    let features = (0..<14).map { Float($0 % 4) / 4 }
    let labels: [Int64] = [0, 1]
    let losses = [trainer, other].map { trainer in
      accepted { () throws(Failure) in
        try withBuffers(features, labels) { (features, labels) throws(Failure) in
          try trainer.step(features, labels: labels)
        }
      }
    }
    require(losses[0]?.bitPattern == losses[1]?.bitPattern, "training goes on differently")
    require(State(other).parameters == State(trainer).parameters, "other parameters")
    fitBoth(trainer, other)
  }

  /// A trainer's state, as far as it can be compared.
  private struct State: Equatable {
    let parameters: [[UInt32]]
    let generator: [UInt8]
    let epochs: Int
    let steps: Int
    let sgd: SGD

    init(_ trainer: Trainer) {
      parameters = Parameter.allCases.map { parameter in
        var values = [Float](repeating: 0, count: parameter.count(in: trainer.network.shape))
        values.withUnsafeMutableBufferPointer { try! trainer.network.read(parameter, into: $0) }
        return values.map(\.bitPattern)
      }
      var state = [UInt8](repeating: 0, count: MersenneTwister.serializedByteCount)
      state.withUnsafeMutableBytes { trainer.network.generator.serialize(into: $0) }
      generator = state
      (epochs, steps, sgd) = (trainer.epochs, trainer.steps, trainer.options.sgd)
    }
  }

  static func newTrainer(batchSize: Int = 100) -> Trainer {
    var options = TrainerOptions()
    options.batchSize = batchSize
    let shape = try! Shape(input: 7, hidden: 3, output: 2)
    return try! Trainer.make(Network.make(shape, seed: 7, threads: 1), options)
  }

  /// A file that does not suit the trainer is an invalid argument, and so is a bad one a bad file.
  private static func acceptedLoad(_ body: () throws(Failure) -> Void) -> Void? {
    do throws(Failure) { return try body() } catch {
      require(
        [.badFile, .unsupported, .invalidArgument].contains(error.status),
        "a bad file gives \(error.status): \(error.message)")
      return nil
    }
  }

  private static func fitBoth(_ one: Trainer, _ two: Trainer) {
    let pixels = (0..<35).map { UInt8($0 * 7) }
    let labels: [Int64] = [0, 1, 0, 1, 1]
    pixels.withUnsafeBytes { pixels in
      labels.withUnsafeBufferPointer { labels in
        let dataset = try! Dataset.make(
          features: pixels.baseAddress!, type: .u8, rows: 5, columns: 7,
          labels: .i64(labels.baseAddress!))
        let ends = [one, two].map { trainer in
          accepted { () throws(Failure) in try trainer.fit(dataset, epochs: 1) } != nil
        }
        require(ends[0] == ends[1], "training ends differently")
      }
    }
    require(State(one) == State(two), "the generators or the parameters differ after an epoch")
  }
}

/// The memory of arrays, with typed errors.
private func withBuffers<R>(
  _ one: [Float], _ two: [Int64],
  _ body: (UnsafeBufferPointer<Float>, UnsafeBufferPointer<Int64>) throws(Failure) -> R
) throws(Failure) -> R {
  let first = try Buffer<Float>(uninitialized: one.count)
  let second = try Buffer<Int64>(uninitialized: two.count)
  for index in one.indices { first[index] = one[index] }
  for index in two.indices { second[index] = two[index] }
  return try body(first.readOnly, second.readOnly)
}
