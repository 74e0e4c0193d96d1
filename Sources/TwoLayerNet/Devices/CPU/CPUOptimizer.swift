// Training on the processor: momentum, and a step as two parallel regions, the first cut by samples
// (forward, loss, gradients of the activations), the second by parameters (their gradients and updates).

import CKernels

final class CPUOptimizer: Job, Optimizer {
  private let engine: CPUEngine
  private let momentum: CPUParameters
  var sgd: SGD
  private(set) var hasMomentum = false
  private var workspace: Workspace
  private var region = Region.samples
  private var source = Source.none
  private var rowsPerTask = 0

  private enum Region { case samples, parameters }

  /// Where the rows of the current step come from.
  private enum Source {
    case none
    /// Rows of a dataset in this order, of which the first belong to this step and the next to the next.
    case dataset(Dataset, UnsafeBufferPointer<UInt32>)
    case arrays(UnsafePointer<Float>, UnsafePointer<Int64>)
  }

  /// Inputs whose weights one task of the second region updates.
  private static let inputsPerTask = 56

  private init(
    _ engine: CPUEngine, _ sgd: SGD, momentum: consuming CPUParameters, workspace: Workspace
  ) {
    self.engine = engine
    self.sgd = sgd
    self.momentum = momentum
    self.workspace = workspace
  }

  static func make(_ engine: CPUEngine, _ sgd: SGD) throws(Failure) -> CPUOptimizer {
    let momentum = try CPUParameters(engine.layout)
    let workspace = try Workspace.make(engine.layout, rows: 1, featureType: .f32, training: true)
    return CPUOptimizer(engine, sgd, momentum: momentum, workspace: workspace)
  }

  func stepsAtOnce(batchSize: Int) -> Int { 16 }

  func readMomentum(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>) {
    momentum.read(parameter, into: values)
  }

  func writeMomentum(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) {
    momentum.write(parameter, from: values)
    hasMomentum = true
  }

  func step(
    _ dataset: Dataset, order: UnsafeBufferPointer<UInt32>, batchSize: Int,
    losses: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) -> Int {
    try prepare(rows: min(batchSize, order.count), dataset.featureType)
    var first = 0
    for index in 0..<losses.count {
      let rows = min(batchSize, order.count &- first)
      source = .dataset(dataset, UnsafeBufferPointer(rebasing: order[first...]))
      losses[index] = step(rows: rows)
      guard losses[index].isFinite else { return index }
      first &+= rows
    }
    return losses.count
  }

  func step(
    _ features: UnsafePointer<Float>, labels: UnsafePointer<Int64>, rows: Int
  ) throws(Failure) -> Float {
    try prepare(rows: rows, .f32)
    source = .arrays(features, labels)
    return step(rows: rows)
  }

  /// Makes sure that the workspace holds batches of this size.
  private func prepare(rows: Int, _ type: FeatureType) throws(Failure) {
    if workspace.fits(rows: rows, type) && (rows <= 192 || workspace.step.g1 != nil) { return }
    workspace = try Workspace.make(engine.layout, rows: rows, featureType: type, training: true)
  }

  /// One step on the batch in the workspace. If the loss is not finite nothing is updated.
  private func step(rows: Int) -> Float {
    describeStep(rows: rows)
    let threads = engine.threads(forRows: rows, passes: 1)
    // A multiple of 16 rows for each task, so that transposing works on whole blocks.
    rowsPerTask = roundedUp((rows &+ threads &- 1) / threads, to: 16)
    workspace.prepareLogits(engine.kernels)
    region = .samples
    engine.pool.run(self, tasks: (rows &+ rowsPerTask &- 1) / rowsPerTask, threads: threads)
    let loss = meanLoss(UnsafePointer(workspace.step.target), rows: rows)
    source = .none
    guard loss.isFinite else { return loss }
    region = .parameters
    engine.pool.run(self, tasks: inputTasks &+ 1, threads: threads)
    hasMomentum = true
    return loss
  }

  private var inputTasks: Int {
    (engine.shape.input &+ Self.inputsPerTask &- 1) / Self.inputsPerTask
  }

  private func describeStep(rows: Int) {
    workspace.step.rows = rows
    workspace.step.batch = rows
    workspace.step.use(engine.parameters)
    workspace.step.useMomentum(momentum)
    workspace.step.minus_learning_rate = Float(-sgd.learningRate)
    workspace.step.momentum = Float(sgd.momentum)
    workspace.step.one_minus_dampening = Float(1 - sgd.dampening)
    workspace.step.weight_decay = Float(sgd.weightDecay)
    workspace.step.first = hasMomentum ? 0 : 1
    workspace.step.nesterov = sgd.nesterov ? 1 : 0
    workspace.step.maximize = sgd.maximize ? 1 : 0
    workspace.step.has_momentum = sgd.momentum != 0 ? 1 : 0
  }

  override func perform(_ task: Int) {
    let kernels = engine.kernels
    let isBytes = workspace.featureType == .u8
    withUnsafePointer(to: workspace.step) { step in
      switch region {
      case .samples:
        let first = task &* rowsPerTask
        let last = min(first &+ rowsPerTask, step.pointee.rows)
        gather(first, last)
        (isBytes ? kernels.hidden_u8 : kernels.hidden_f32)!(step, first, last)
        kernels.logits(step, first, last)
        kernels.loss(step, first, last)
        kernels.hidden_gradient(step, first, last)
        (isBytes ? kernels.transpose_u8 : kernels.transpose_f32)!(step, first, last)
      case .parameters:
        if task == 0 {
          kernels.output_update(step, 0, step.pointee.outputs)
          kernels.bias_update(step, 0, 1)
        } else {
          let first = (task &- 1) &* Self.inputsPerTask
          let last = min(first &+ Self.inputsPerTask, step.pointee.inputs)
          (isBytes ? kernels.hidden_update_u8 : kernels.hidden_update_f32)!(step, first, last)
        }
      }
    }
  }
}

// Bringing the rows of a batch together.
extension CPUOptimizer {
  private func gather(_ first: Int, _ last: Int) {
    switch source {
    case .none: break
    case .dataset(let dataset, let order):
      for row in first..<last {
        // Rows come from anywhere in memory: those of the next batch are asked for now.
        let next = row &+ workspace.step.rows
        if next < order.count { prefetch(dataset.row(Int(order[next])), bytes: dataset.rowByteCount) }
        let index = Int(order[row])
        workspace.gather(dataset.row(index), into: row)
        workspace.labels[row] = dataset.label(index)
      }
    case .arrays(let features, let labels):
      for row in first..<last {
        workspace.gather(UnsafeRawPointer(features + row &* engine.shape.input), into: row)
        workspace.labels[row] = Int32(truncatingIfNeeded: labels[row])
      }
    }
  }

  private func prefetch(_ row: UnsafeRawPointer, bytes: Int) {
    // Rows that do not fit in the second-level cache a hundred at a time are left to the hardware.
    guard bytes <= 4096 else { return }
    var offset = 0
    while offset < bytes {
      tlnk_prefetch(row + offset)
      offset &+= 64
    }
  }
}

/// The mean of -target, in the order of PyTorch's nll_loss: sixteen terms are added up, then carried to
/// the next of eight sums, like digits; the sums are added at the end.
private func meanLoss(_ target: UnsafePointer<Float>, rows: Int) -> Float {
  var sums: (Float, Float, Float, Float, Float, Float, Float, Float) = (0, 0, 0, 0, 0, 0, 0, 0)
  return withUnsafeMutableBytes(of: &sums) { bytes in
    let sums = bytes.bindMemory(to: Float.self)
    for row in 0..<rows {
      sums[0] -= target[row]
      for level in 0..<7 {
        if row & (15 << (4 * level)) != 0 { break }
        sums[level + 1] += sums[level]
        sums[level] = 0
      }
    }
    var total: Float = 0
    for sum in sums { total += sum }
    return total / Float(rows)
  }
}
