// What a device has to do to be one. An engine knows arrays and arithmetic: nothing of files, of random
// numbers or of epochs. A further device is a folder beside CPU with one class for each protocol, and a
// line in Device.swift; if it is a GPU, the classes are there already, and the folder holds a GPUDriver.

/// The parameters of one network on one device.
///
/// Reading, `logits` and `evaluate` may run from several threads at once while nothing writes.
protocol Engine: AnyObject {
  var shape: Shape { get }
  var device: Device { get }

  /// Copies a parameter out, row-major as PyTorch has it. `values` holds exactly its elements.
  func read(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>) throws(Failure)
  /// Copies a parameter in.
  func write(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) throws(Failure)

  /// Momentum buffers and working memory for training these parameters.
  func makeOptimizer(_ sgd: SGD) throws(Failure) -> any Optimizer

  /// logits [rows, output] of features [rows, input].
  func logits(
    _ features: UnsafePointer<Float>, rows: Int, into logits: UnsafeMutablePointer<Float>
  ) throws(Failure)

  /// Runs over a dataset that fits and has labels.
  func evaluate(_ dataset: Dataset) throws(Failure) -> Evaluation
}

/// An optimiser's momentum and one network's training steps on one device.
protocol Optimizer: AnyObject {
  var sgd: SGD { get set }

  /// How many steps a call should be asked for when nobody is told of each of them: many enough that
  /// calling costs nothing, and so few that a training that is cancelled ends soon.
  func stepsAtOnce(batchSize: Int) -> Int

  /// Whether a step has been taken or momentum was written: until then there is no buffer.
  var hasMomentum: Bool { get }
  /// Copies the momentum buffer of a parameter out or in, as `Engine.read` and `write` do.
  func readMomentum(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>)
    throws(Failure)
  func writeMomentum(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) throws(Failure)

  /// As many steps as there is room for losses: batch b is rows order[b * batchSize ..<
  /// (b + 1) * batchSize] of the dataset, the last one smaller where the order ends. Writes each batch's
  /// loss and returns how many steps were taken; fewer than asked for only if the loss of the next one is
  /// not finite, which is then written too, and that step not taken.
  ///
  /// If the order is longer, the rest is what will be asked for next, from the same array, unless training
  /// ends before. A device may take such steps in advance as long as nobody can notice, until the order
  /// has come to its end or `settle` is called.
  func step(
    _ dataset: Dataset, order: UnsafeBufferPointer<UInt32>, batchSize: Int,
    losses: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) -> Int

  /// Training has ended: what was done in advance is undone.
  func settle() throws(Failure)

  /// One step on rows of the caller's: features [rows, input], labels [rows]. Returns the loss; if it is
  /// not finite the step is not taken.
  func step(
    _ features: UnsafePointer<Float>, labels: UnsafePointer<Int64>, rows: Int
  ) throws(Failure) -> Float
}

/// How well a network does on a dataset.
public struct Evaluation: Equatable, Sendable {
  public let rows: Int
  public let correct: Int
  /// Mean cross-entropy over the rows.
  public let meanLoss: Double

  /// 0 to 1.
  public var accuracy: Double { Double(correct) / Double(rows) }
}
