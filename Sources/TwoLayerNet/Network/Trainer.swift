// Epochs: their order, their batches, where training stands, and how it is stopped. The arithmetic of a
// step is the engine's; saving and loading are in Checkpoints.

import Synchronization

/// How a trainer goes through a dataset.
public struct TrainerOptions: Equatable, Sendable {
  public var sgd = SGD()
  public var batchSize = 100
  /// A new order each epoch, PyTorch's; else rows in their order.
  public var shuffle = true
  /// Leaves out a last batch that is smaller.
  public var dropLast = false
  /// Seeds the generator if the network came from a file.
  public var seed: UInt64 = 0

  public init() {}

  public func validate() throws(Failure) {
    try sgd.validate()
    guard (1...Dataset.rowLimit).contains(batchSize) else {
      throw .invalidArgument("batch_size is \(batchSize), but must be 1 to \(Dataset.rowLimit)")
    }
  }
}

/// What is told after every step.
public struct Progress: Sendable {
  /// From 1.
  public let epoch: Int
  /// The number of the last epoch of this call.
  public let epochs: Int
  /// From 0, within the epoch.
  public let step: Int
  /// Steps in an epoch.
  public let steps: Int
  /// Of this batch, before the step.
  public let loss: Float
  /// Of this epoch's batches so far.
  public let meanLoss: Double
  /// In this epoch, this batch included.
  public let rowsDone: Int
}

/// Where training stands: so many epochs, and an epoch that was left half-way.
struct Position: Equatable {
  var epochs = 0
  var unfinished: UnfinishedEpoch?
}

/// An epoch that was begun: what is needed to go on with it.
struct UnfinishedEpoch: Equatable {
  var rows: Int
  var batchSize: Int
  /// The seed of its order; nil if rows come in their order.
  var seed: UInt64?
  /// Steps that are done.
  var steps: Int
}

/// Trains one network with SGD.
public final class Trainer {
  public let network: Network
  private(set) var optimizer: any Optimizer
  public private(set) var options: TrainerOptions
  var position = Position() {
    didSet { shared.write(epochs: position.epochs, steps: position.unfinished?.steps ?? 0) }
  }
  private let shared = SharedPosition()
  private let isCancelled = Atomic<Bool>(false)

  private init(_ network: Network, _ options: TrainerOptions, _ optimizer: any Optimizer) {
    self.network = network
    self.options = options
    self.optimizer = optimizer
  }

  public static func make(
    _ network: Network, _ options: TrainerOptions = TrainerOptions()
  ) throws(Failure) -> Trainer {
    try options.validate()
    let optimizer = try network.engine.makeOptimizer(options.sgd)
    if network.awaitsSeed {
      network.generator.reseed(options.seed)
      network.awaitsSeed = false
    }
    return Trainer(network, options, optimizer)
  }

  /// Finished epochs, and finished steps of the epoch after those. From any thread, also while training.
  public var progress: (epochs: Int, steps: Int) { shared.read() }
  public var epochs: Int { progress.epochs }
  public var steps: Int { progress.steps }

  public func setLearningRate(_ rate: Double) throws(Failure) {
    var changed = options.sgd
    changed.learningRate = rate
    try setSGD(changed)
  }

  package func setSGD(_ sgd: SGD) throws(Failure) {
    try sgd.validate()
    options.sgd = sgd
    optimizer.sgd = sgd
  }

  /// Goes on with another optimiser of the same network, which has momentum from a file.
  func replaceOptimizer(_ new: any Optimizer) {
    options.sgd = new.sgd
    optimizer = new
  }

  /// Ends a running or the next `fit` after its current step. From any thread, also in a signal handler.
  public func cancel() { isCancelled.store(true, ordering: .relaxed) }

  /// Trains until `count` more epochs have ended; one that was left half-way is finished first and
  /// counts.
  ///
  /// - Parameter progress: called after every step; false stops the training.
  public func fit(
    _ dataset: Dataset, epochs count: Int, progress: ((Progress) -> Bool)? = nil
  ) throws(Failure) {
    // Another thread may be training by mistake, which `exclusively` finds out.
    guard count >= 0, epochs <= Int.max - count else {
      throw .invalidArgument("epochs is \(count), but must not be negative")
    }
    try dataset.check(fits: network.shape)
    guard dataset.rows <= Dataset.rowLimit else {
      throw .unsupported("a dataset of more than \(Dataset.rowLimit) rows cannot be shuffled")
    }
    guard !options.dropLast || dataset.rows >= options.batchSize else {
      throw .invalidArgument(
        "drop_last leaves no batch: \(dataset.rows) rows in batches of \(options.batchSize)")
    }
    if count == 0 { return }
    let order = try Buffer<UInt32>(uninitialized: dataset.rows)
    // Without anyone to tell, several steps at a time; else the device sees to it that it needn't wait.
    let stepsAtOnce = progress == nil ? optimizer.stepsAtOnce(batchSize: options.batchSize) : 1
    let losses = try Buffer<Float>(uninitialized: stepsAtOnce)
    try network.exclusively { () throws(Failure) in
      let (last, overflow) = position.epochs.addingReportingOverflow(count)
      if overflow { throw .invalidArgument("epochs is \(count), too many after \(position.epochs)") }
      do throws(Failure) {
        while position.epochs < last {
          try runEpoch(dataset, order.mutable, losses.mutable, last: last, progress)
        }
      } catch {
        try optimizer.settle()
        throw error
      }
    }
  }

  /// One step on rows of the caller's, which does not count towards epochs. Returns the loss before it.
  public func step(
    _ features: UnsafeBufferPointer<Float>, labels: UnsafeBufferPointer<Int64>
  ) throws(Failure) -> Float {
    let shape = network.shape
    let rows = labels.count
    guard rows > 0, rows <= Dataset.rowLimit, features.count == rows * shape.input else {
      throw .invalidArgument("rows is \(rows), but must be 1 to \(Dataset.rowLimit)")
    }
    try checkFinite(features, columns: shape.input)
    for row in 0..<rows where labels[row] < 0 || labels[row] >= shape.output {
      throw .invalidArgument(
        "the label in row \(row) is \(labels[row]), but must be 0 to \(shape.output - 1)")
    }
    let loss = try network.exclusively { () throws(Failure) in
      try optimizer.step(features.baseAddress!, labels: labels.baseAddress!, rows: rows)
    }
    guard loss.isFinite else { throw .invalidArgument("the loss of this batch is not finite") }
    return loss
  }

  private func runEpoch(
    _ dataset: Dataset, _ order: UnsafeMutableBufferPointer<UInt32>,
    _ losses: UnsafeMutableBufferPointer<Float>, last: Int, _ progress: ((Progress) -> Bool)?
  ) throws(Failure) {
    let batchSize = options.batchSize
    let (whole, rest) = dataset.rows.quotientAndRemainder(dividingBy: batchSize)
    let steps = rest == 0 || options.dropLast ? whole : whole + 1
    let number = position.epochs + 1
    var epoch = try beginEpoch(dataset)
    try fillOrder(order, seed: epoch.seed)
    var lossSum = 0.0
    let firstStep = epoch.steps
    let lastRow = min(steps * batchSize, dataset.rows)
    while epoch.steps < steps {
      if isCancelled.exchange(false, ordering: .relaxed) { throw Self.cancelled }
      let wanted = min(losses.count, steps - epoch.steps)
      let firstRow = epoch.steps * batchSize
      let endRow = min(firstRow + wanted * batchSize, dataset.rows)
      let done = try optimizer.step(
        dataset, order: UnsafeBufferPointer(rebasing: order[firstRow..<lastRow]), batchSize: batchSize,
        losses: UnsafeMutableBufferPointer(rebasing: losses[0..<wanted]))
      epoch.steps += done
      position =
        epoch.steps == steps
        ? Position(epochs: number) : Position(epochs: number - 1, unfinished: epoch)
      guard done == wanted else { throw Self.lossNotFinite(epoch: number, step: epoch.steps) }
      if let progress {
        lossSum += Double(losses[0])
        let report = Progress(
          epoch: number, epochs: last, step: epoch.steps - 1, steps: steps, loss: losses[0],
          meanLoss: lossSum / Double(epoch.steps - firstStep), rowsDone: endRow)
        guard progress(report) else { throw Self.cancelled }
      }
    }
    // Also of an epoch that was resumed with nothing left to do, because its last batch is now dropped.
    position = Position(epochs: number)
  }

  /// The epoch that was left half-way, or a new one, whose seed is drawn.
  private func beginEpoch(_ dataset: Dataset) throws(Failure) -> UnfinishedEpoch {
    if let epoch = position.unfinished {
      guard epoch.rows == dataset.rows, epoch.batchSize == options.batchSize else {
        throw .invalidArgument(
          """
          epoch \(position.epochs + 1) was begun with \(epoch.rows) rows in batches of \(epoch.batchSize); \
          it cannot go on with \(dataset.rows) rows in batches of \(options.batchSize)
          """
        )
      }
      return epoch
    }
    let seed = network.generator.drawEpochSeed(shuffle: options.shuffle)
    let epoch = UnfinishedEpoch(
      rows: dataset.rows, batchSize: options.batchSize, seed: seed, steps: 0)
    position.unfinished = epoch
    return epoch
  }

  private func fillOrder(
    _ order: UnsafeMutableBufferPointer<UInt32>, seed: UInt64?
  ) throws(Failure) {
    guard let seed else {
      for index in 0..<order.count { order[index] = UInt32(truncatingIfNeeded: index) }
      return
    }
    var sampler = try MersenneTwister(seed: seed)
    sampler.fillPermutation(order)
  }

  private static var cancelled: Failure { Failure(.cancelled, "training was cancelled") }

  private static func lossNotFinite(epoch: Int, step: Int) -> Failure {
    .invalidArgument(
      """
      the loss of epoch \(epoch), step \(step) is not finite; training stopped, and the network keeps the \
      parameters it had before that step. A smaller learning rate may help
      """
    )
  }
}
