// A two-layer network: its shape, the engine that holds its parameters, and the generator that
// initialised them. Files are in Checkpoints, training in Trainer.swift.

import CSystem
import Synchronization

/// logits = W2 max(W1 x + b1, 0) + b2, on one device.
public final class Network {
  let engine: any Engine
  /// What is left of the seed's stream of random numbers; trainers go on drawing from it.
  var generator: MersenneTwister
  /// Whether the generator still has to be seeded, because the parameters came from a file.
  var awaitsSeed: Bool
  /// Set while a call trains or changes the network, so that a second one is refused.
  private let isChanging = Atomic<Bool>(false)

  public var shape: Shape { engine.shape }
  public var device: Device { engine.device }

  private init(_ engine: any Engine, _ generator: consuming MersenneTwister, awaitsSeed: Bool) {
    self.engine = engine
    self.generator = generator
    self.awaitsSeed = awaitsSeed
  }

  /// A network initialised as PyTorch's nn.Linear does it, from torch.manual_seed(seed).
  ///
  /// - Parameters:
  ///   - device: nil for the best that is available.
  ///   - deviceIndex: which of several GPUs, counted from 0.
  ///   - threads: the most threads that the cpu device may use; 0 lets it choose.
  public static func make(
    _ shape: Shape, seed: UInt64 = 0, device: Device? = nil, deviceIndex: Int = 0, threads: Int = 0
  ) throws(Failure) -> Network {
    let network = try makeEmpty(shape, device: device, deviceIndex: deviceIndex, threads: threads)
    try network.initialize(seed: seed)
    return network
  }

  /// The same on an engine that is there already.
  static func make(on engine: any Engine, seed: UInt64) throws(Failure) -> Network {
    let network = Network(engine, try MersenneTwister(seed: 0), awaitsSeed: true)
    try network.initialize(seed: seed)
    return network
  }

  /// A network with all parameters zero, to be filled from a file.
  static func makeEmpty(
    _ shape: Shape, device: Device?, deviceIndex: Int, threads: Int
  ) throws(Failure) -> Network {
    guard (0...Self.threadLimit).contains(threads) else {
      throw .invalidArgument("threads is \(threads), but must be 0 to \(Self.threadLimit)")
    }
    let engine = try Device.makeEngine(device, index: deviceIndex, shape, threads: threads)
    return Network(engine, try MersenneTwister(seed: 0), awaitsSeed: true)
  }

  /// The most threads that may be asked for.
  public static let threadLimit = 1024

  private func initialize(seed: UInt64) throws(Failure) {
    generator.reseed(seed)
    awaitsSeed = false
    try initialize(.hiddenWeight, .hiddenBias, inputs: shape.input)
    try initialize(.outputWeight, .outputBias, inputs: shape.hidden)
  }

  /// Draws one Linear layer: the weight, then the bias. Both are uniform in ±1/sqrt(inputs), but
  /// PyTorch gets to the weight's bound by way of kaiming_uniform_ with a = sqrt(5), which rounds
  /// differently.
  private func initialize(_ weight: Parameter, _ bias: Parameter, inputs: Int) throws(Failure) {
    let root = Double(inputs).squareRoot()
    let slope = 5.0.squareRoot()
    let gain = (2 / (1 + slope * slope)).squareRoot()
    let weightBound = 3.0.squareRoot() * (gain / root)
    try draw(weight, bound: weightBound)
    try draw(bias, bound: 1 / root)
  }

  private func draw(_ parameter: Parameter, bound: Double) throws(Failure) {
    let values = try Buffer<Float>(uninitialized: parameter.count(in: shape))
    generator.fillUniform(values.mutable, from: -bound, to: bound)
    try engine.write(parameter, from: values.readOnly)
  }
}

// The parameters from outside.
extension Network {
  /// Copies a parameter out, row-major as PyTorch has it.
  public func read(
    _ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) {
    try check(parameter, count: values.count)
    try engine.read(parameter, into: values)
  }

  /// Copies a parameter in. Every value must be finite.
  public func write(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) throws(Failure) {
    try check(parameter, count: values.count)
    if let index = firstNonFinite(values) {
      throw .invalidArgument("element \(index) of \(parameter.name) is not finite")
    }
    try exclusively { () throws(Failure) in try engine.write(parameter, from: values) }
  }

  /// Runs a body that trains or changes the network. A call from within such a body, from a progress
  /// callback for example, is an error; so is one from another thread that happens to be noticed.
  func exclusively<R>(_ body: () throws(Failure) -> R) throws(Failure) -> R {
    guard !isChanging.exchange(true, ordering: .acquiring) else {
      throw .invalidArgument("the network is being trained or changed by another call")
    }
    defer { isChanging.store(false, ordering: .releasing) }
    return try body()
  }

  private func check(_ parameter: Parameter, count: Int) throws(Failure) {
    let expected = parameter.count(in: shape)
    guard count == expected else {
      throw .invalidArgument("\(parameter.name) has \(expected) elements, not \(count)")
    }
  }
}

// Running the network.
extension Network {
  /// logits [rows, output] of features [rows, input].
  public func logits(
    _ features: UnsafeBufferPointer<Float>, rows: Int, into logits: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) {
    try checkRows(features, rows: rows)
    try engine.logits(features.baseAddress!, rows: rows, into: logits.baseAddress!)
  }

  /// softmax of the logits [rows, output].
  public func probabilities(
    _ features: UnsafeBufferPointer<Float>, rows: Int, into values: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) {
    try logits(features, rows: rows, into: values)
    for row in 0..<rows { softmax(values.baseAddress! + row * shape.output, count: shape.output) }
  }

  /// The index of each row's largest logit, the lowest if there are several.
  public func predict(
    _ features: UnsafeBufferPointer<Float>, rows: Int, into labels: UnsafeMutableBufferPointer<Int64>
  ) throws(Failure) {
    try checkRows(features, rows: rows)
    // In passes, so that the logits need little room however many rows there are.
    let outputs = shape.output
    let rowsPerPass = min(rows, max(1, 16_384 / outputs))
    if rows == 1 && outputs <= SIMD64<Float>.scalarCount {
      // One image at a time is predicted often: without an allocation.
      var values = SIMD64<Float>()
      try withUnsafeMutableBytes(of: &values) { (bytes) throws(Failure) in
        try predict(features, 1, 1, bytes.baseAddress!.assumingMemoryBound(to: Float.self), labels)
      }
    } else {
      let values = try Buffer<Float>(uninitialized: rowsPerPass * outputs)
      try predict(features, rows, rowsPerPass, values.base, labels)
    }
  }

  private func predict(
    _ features: UnsafeBufferPointer<Float>, _ rows: Int, _ rowsPerPass: Int,
    _ values: UnsafeMutablePointer<Float>, _ labels: UnsafeMutableBufferPointer<Int64>
  ) throws(Failure) {
    let outputs = shape.output
    var first = 0
    while first < rows {
      let count = min(rowsPerPass, rows - first)
      try engine.logits(features.baseAddress! + first * shape.input, rows: count, into: values)
      for row in 0..<count {
        labels[first + row] = Int64(largestIndex(values + row * outputs, spacing: 1, count: outputs))
      }
      first += count
    }
  }

  /// Runs over a dataset with labels.
  public func evaluate(_ dataset: Dataset) throws(Failure) -> Evaluation {
    try dataset.check(fits: shape)
    return try engine.evaluate(dataset)
  }

  private func checkRows(_ features: UnsafeBufferPointer<Float>, rows: Int) throws(Failure) {
    let (count, overflow) = rows.multipliedReportingOverflow(by: shape.input)
    guard rows > 0, rows <= Dataset.rowLimit, !overflow, features.count == count else {
      throw .invalidArgument("rows is \(rows), but must be 1 to \(Dataset.rowLimit)")
    }
    try checkFinite(features, columns: shape.input)
  }
}

/// exp(x - max) / sum in place.
private func softmax(_ values: UnsafeMutablePointer<Float>, count: Int) {
  let largest = values[largestIndex(values, spacing: 1, count: count)]
  var sum: Float = 0
  for index in 0..<count {
    values[index] = expf(values[index] - largest)
    sum += values[index]
  }
  for index in 0..<count { values[index] /= sum }
}
