// Steps that are taken before they are asked for: whoever is told of every step asks for one at a time, and
// the device would wait for the host after each. Nobody can notice. Who looks at the network or the momentum,
// or goes on in another way, finds them as they were after the last step that was asked for; for that, the
// steps are undone, and those that were asked for taken again.

import CGPUKernels
import CSystem

/// Steps that were taken at once, and of which not all were asked for yet.
final class GPUAhead {
  let optimizer: GPUOptimizer
  private let snapshot: GPUSnapshot
  private let dataset: Dataset
  /// The caller's, who asks for its steps one after the other.
  private let order: UnsafeBufferPointer<UInt32>
  private let batchSize: Int
  private let sgd: SGD
  private let state: tlng_state
  private let losses: Buffer<Float>
  private var (taken, asked) = (0, 0)

  init(
    _ optimizer: GPUOptimizer, _ snapshot: GPUSnapshot, _ dataset: Dataset,
    _ order: UnsafeBufferPointer<UInt32>, batchSize: Int, steps: Int
  ) throws(Failure) {
    (self.optimizer, self.snapshot, self.dataset) = (optimizer, snapshot, dataset)
    (self.batchSize, sgd, state) = (batchSize, optimizer.sgd, optimizer.state)
    self.order = order
    losses = try Buffer(uninitialized: steps)
  }

  /// Takes the steps, and asks for the first; returns whether that could be taken.
  func begin(_ loss: UnsafeMutablePointer<Float>) throws(Failure) -> Bool {
    try snapshot.save(optimizer)
    taken = try optimizer.take(dataset, order, batchSize: batchSize, state, losses.mutable)
    loss.pointee = losses[0]
    asked = 1
    return taken > 0
  }

  /// Asks for the step after those, and writes its loss; false if it is to be taken in another way.
  func next(_ order: UnsafeBufferPointer<UInt32>, _ loss: UnsafeMutablePointer<Float>) -> Bool {
    guard order.baseAddress == self.order.baseAddress! + asked &* batchSize, sgd == optimizer.sgd
    else { return false }
    loss.pointee = losses[asked]
    asked &+= 1
    return true
  }

  /// Whether there are steps that were not asked for.
  var isAhead: Bool { asked < taken }

  /// Goes back to the last step that was asked for.
  func undo() throws(Failure) {
    try snapshot.restore(optimizer)
    _ = try optimizer.take(
      dataset, order, batchSize: batchSize, state,
      UnsafeMutableBufferPointer(start: losses.base, count: asked))
  }
}

/// A copy of parameters and momentum in the device's memory.
final class GPUSnapshot {
  private let parameters: GPUParameters
  private let momentum: GPUParameters

  init(_ context: GPUContext, _ shape: Shape) throws(Failure) {
    parameters = try GPUParameters.make(context, shape, isSpare: true)
    momentum = try GPUParameters.make(context, shape, isSpare: true)
  }

  func save(_ optimizer: GPUOptimizer) throws(Failure) {
    try parameters.copy(from: optimizer.engine.parameters)
    try momentum.copy(from: optimizer.momentum)
  }

  func restore(_ optimizer: GPUOptimizer) throws(Failure) {
    try optimizer.engine.parameters.copy(from: parameters)
    try optimizer.momentum.copy(from: momentum)
  }
}

/// How many steps to take in advance.
struct GPUForesight {
  /// Steps since some were taken in vain.
  private var calm = 0
  /// What a step took when it was last measured.
  private var nanosecondsPerStep = 0

  /// Whoever stops or is asked to stop waits for them, twice if they are undone. Tests make it more.
  var nanosecondsInAdvance = 50_000_000

  /// At most a quarter of those that were well, so that what is done in vain stays within bounds, also
  /// for somebody who looks at the network after every hundredth step.
  func steps(atMost limit: Int) -> Int {
    let inTime = nanosecondsInAdvance / max(nanosecondsPerStep, 1)
    return max(1, min(limit, calm / 4, inTime))
  }

  mutating func asked() { calm &+= 1 }
  mutating func wasInVain() { calm = 0 }
  mutating func record(steps: Int, nanoseconds: Int) { nanosecondsPerStep = nanoseconds / steps }
}
