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
  private let order: Buffer<UInt32>
  private let batchSize: Int
  private let sgd: SGD
  private let state: tlng_state
  private let losses: Buffer<Float>
  private(set) var taken = 0
  private var asked = 0

  init(
    _ optimizer: GPUOptimizer, _ snapshot: GPUSnapshot, _ dataset: Dataset,
    _ order: UnsafeBufferPointer<UInt32>, batchSize: Int, steps: Int
  ) throws(Failure) {
    (self.optimizer, self.snapshot, self.dataset) = (optimizer, snapshot, dataset)
    (self.batchSize, sgd, state) = (batchSize, optimizer.sgd, optimizer.state)
    let copy = try Buffer<UInt32>(uninitialized: min(order.count, steps &* batchSize))
    memcpy(copy.base, order.baseAddress!, 4 &* copy.count)
    self.order = copy
    losses = try Buffer(uninitialized: steps)
  }

  /// Takes the steps; after a failure the network is as before, if the device still allows it.
  func take() throws(Failure) {
    try snapshot.save(optimizer)
    do throws(Failure) {
      taken = try optimizer.take(
        dataset, order.readOnly, batchSize: batchSize, state, losses.mutable)
    } catch {
      do throws(Failure) { try snapshot.restore(optimizer) } catch {}
      throw error
    }
  }

  /// The loss of the first step, also if it is not finite and the step was not taken.
  var firstLoss: Float {
    asked = 1
    return losses[0]
  }

  /// The loss of the next step, if these are its rows and its options.
  func nextLoss(
    _ dataset: Dataset, _ order: UnsafeBufferPointer<UInt32>, batchSize: Int
  ) -> Float? {
    let first = asked &* batchSize
    let rows = min(batchSize, order.count)
    guard dataset.serial == self.dataset.serial, batchSize == self.batchSize, sgd == optimizer.sgd,
      rows == min(batchSize, self.order.count &- first),
      memcmp(self.order.base + first, order.baseAddress!, 4 &* rows) == 0
    else { return nil }
    asked &+= 1
    return losses[asked &- 1]
  }

  var isOver: Bool { asked >= taken }

  /// Goes back to the last step that was asked for.
  func undo() throws(Failure) {
    try snapshot.restore(optimizer)
    let rows = min(order.count, asked &* batchSize)
    _ = try optimizer.take(
      dataset, UnsafeBufferPointer(start: order.base, count: rows), batchSize: batchSize, state,
      UnsafeMutableBufferPointer(start: losses.base, count: asked))
  }
}

/// A copy of parameters and momentum in the device's memory.
final class GPUSnapshot {
  private let parameters: GPUParameters
  private let momentum: GPUParameters

  init(_ context: GPUContext, _ shape: Shape) throws(Failure) {
    parameters = try GPUParameters.make(context, shape)
    momentum = try GPUParameters.make(context, shape)
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

  /// Whoever stops or is asked to stop waits for them, twice if they are undone.
  private static let nanosecondsInAdvance = 50_000_000

  /// At most a quarter of those that were well, so that what is done in vain stays within bounds, also
  /// for somebody who looks at the network after every hundredth step.
  func steps(atMost limit: Int) -> Int {
    let inTime = Self.nanosecondsInAdvance / max(nanosecondsPerStep, 1)
    return max(1, min(limit, calm / 4, inTime))
  }

  mutating func asked() { calm &+= 1 }
  mutating func wasInVain() { calm = 0 }
  mutating func record(steps: Int, nanoseconds: Int) { nanosecondsPerStep = nanoseconds / steps }
}
