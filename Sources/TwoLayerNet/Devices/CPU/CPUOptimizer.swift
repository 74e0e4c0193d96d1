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
  private var sampleTasks = 1
  private var pace = Pace()

  private enum Region { case samples, parameters }

  /// Where the rows of the current step come from.
  private enum Source {
    case none
    /// Rows of a dataset in this order, of which the first belong to this step and the next to the next.
    case dataset(Dataset, UnsafeBufferPointer<UInt32>)
    case arrays(UnsafePointer<Float>, UnsafePointer<Int64>)
  }

  /// Inputs whose weights one task of the second region updates. Of sparse ones few, because no two tasks
  /// take as long, and an even number, because the kernels take them in pairs; of a large network not so
  /// few that there would be thousands of tasks.
  private var inputsPerTask: Int {
    max(workspace.form.isDense ? 112 : 28, roundedUp(engine.shape.input / 256, to: 2))
  }

  /// What is done with dense rows one after the other finds them in the cache if they are not too many.
  private static let denseRowsPerTask = 128

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
    let form = FeatureForm(.f32, density: 1, hidden: engine.shape.hidden, engine.kernels)
    let workspace = try Workspace.make(engine.layout, rows: 1, form: form, training: true)
    return CPUOptimizer(engine, sgd, momentum: momentum, workspace: workspace)
  }

  func stepsAtOnce(batchSize: Int) -> Int { 16 }

  /// Nothing is done in advance.
  func settle() {}

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
    try prepare(rows: min(batchSize, order.count), engine.form(dataset))
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
    try prepare(rows: rows, engine.form(features, rows: rows))
    source = .arrays(features, labels)
    return step(rows: rows)
  }

  /// Makes sure that the workspace holds batches of this size in this form.
  private func prepare(rows: Int, _ form: FeatureForm) throws(Failure) {
    if workspace.fits(rows: rows, form) && (rows <= 192 || workspace.step.pointee.g1 != nil) { return }
    workspace = try Workspace.make(engine.layout, rows: rows, form: form, training: true)
  }

  /// One step on the batch in the workspace. If the loss is not finite nothing is updated.
  private func step(rows: Int) -> Float {
    describeStep(rows: rows)
    let useful = min(engine.threads(forRows: rows, passes: 1), engine.pool.limit)
    let threads = pace.isAlone ? 1 : useful
    let begin = useful > 1 ? nanoseconds() : 0
    let wanted = workspace.form.isDense ? max(threads, min(rows / Self.denseRowsPerTask, 4096)) : threads
    sampleTasks = min(wanted, (rows &+ 15) / 16)
    workspace.prepareLogits(engine.kernels)
    region = .samples
    engine.pool.run(self, tasks: sampleTasks, threads: threads)
    let loss = meanLoss(UnsafePointer(workspace.step.pointee.target), rows: rows)
    source = .none
    guard loss.isFinite else { return loss }
    region = .parameters
    engine.pool.run(self, tasks: inputTasks &+ 1, threads: threads)
    hasMomentum = true
    if useful > 1 { pace.record(rows: rows, nanoseconds: nanoseconds() &- begin) }
    return loss
  }

  private var inputTasks: Int {
    (engine.shape.input &+ inputsPerTask &- 1) / inputsPerTask
  }

  /// Tasks begin with a multiple of 16 samples, so that they share no word of bits and no vector.
  private func firstSample(of task: Int) -> Int {
    let rows = workspace.step.pointee.rows
    return task == sampleTasks ? rows : rows &* task / sampleTasks & ~15
  }

  private func describeStep(rows: Int) {
    workspace.step.pointee.rows = rows
    workspace.step.pointee.batch = rows
    workspace.step.pointee.next_rows = kernelsAskForNextRows ? UnsafePointer(workspace.nextRows) : nil
    workspace.step.pointee.use(engine.parameters)
    workspace.step.pointee.useMomentum(momentum)
    workspace.step.pointee.minus_learning_rate = Float(-sgd.learningRate)
    workspace.step.pointee.momentum = Float(sgd.momentum)
    workspace.step.pointee.one_minus_dampening = Float(1 - sgd.dampening)
    workspace.step.pointee.weight_decay = Float(sgd.weightDecay)
    workspace.step.pointee.first = hasMomentum ? 0 : 1
    workspace.step.pointee.nesterov = sgd.nesterov ? 1 : 0
    workspace.step.pointee.maximize = sgd.maximize ? 1 : 0
    workspace.step.pointee.has_momentum = sgd.momentum != 0 ? 1 : 0
  }

  override func perform(_ task: Int) {
    let kernels = engine.kernels
    let hidden = workspace.form.kernels(kernels)
    let step = workspace.step
    switch region {
    case .samples:
      let (first, last) = (firstSample(of: task), firstSample(of: task &+ 1))
      gather(first, last)
      hidden.forward(step, first, last)
      kernels.logits(step, first, last)
      kernels.loss(step, first, last)
      kernels.hidden_gradient(step, first, last)
      hidden.transpose(step, first, last)
    case .parameters:
      if task == 0 {
        kernels.output_update(step, 0, step.pointee.outputs)
        kernels.bias_update(step, 0, 1)
      } else {
        let first = (task &- 1) &* inputsPerTask
        let last = min(first &+ inputsPerTask, step.pointee.inputs)
        hidden.update(step, first, last)
      }
    }
  }
}

// Bringing the rows of a batch together.
extension CPUOptimizer {
  private func gather(_ first: Int, _ last: Int) {
    let (workspace, kernels) = (workspace, engine.kernels)
    switch source {
    case .none: break
    case .dataset(let dataset, let order):
      let (features, stride, labels) = (dataset.features, dataset.rowStride, dataset.labelBase)
      let (rows, batchLabels) = (workspace.step.pointee.rows, workspace.labels)
      let rowBytes = dataset.rowByteCount
      let areSmall = rowBytes <= Self.largestAskedRow
      let asks = order.count > rows && areSmall
      for row in first..<last {
        let index = Int(order[row])
        let soon = row &+ Self.rowsAhead
        if soon < last && areSmall { prefetch(features + Int(order[soon]) &* stride, bytes: rowBytes) }
        workspace.gather(features + index &* stride, into: row, kernels)
        batchLabels[row] = labels[index]
        guard asks else { continue }
        // A smaller last batch has no next row for each.
        let next = row &+ rows
        let nextIndex = Int(order[next < order.count ? next : row])
        tlnk_prefetch(labels + nextIndex)
        let nextRow = features + nextIndex &* stride
        if workspace.step.pointee.next_rows != nil {
          workspace.nextRows[row] = nextRow
        } else {
          prefetch(nextRow, bytes: rowBytes)
        }
      }
    case .arrays(let features, let labels):
      for row in first..<last {
        let features = UnsafeRawPointer(features + row &* engine.shape.input)
        workspace.gather(features, into: row, kernels)
        workspace.labels[row] = Int32(truncatingIfNeeded: labels[row])
      }
    }
  }

  /// Rows come from anywhere in memory, so those of the next batch are asked for early: by the sparse
  /// kernels while they work on this one's, or before. Rows that do not fit in the second-level cache a
  /// hundred at a time are left to the hardware.
  private static let largestAskedRow = 4096

  /// Rows of this batch are asked for so many rows before they are copied.
  private static let rowsAhead = 6

  private var kernelsAskForNextRows: Bool {
    guard case .dataset(let dataset, let order) = source, !workspace.form.isDense else {
      return false
    }
    return order.count > workspace.step.pointee.rows && dataset.rowByteCount <= Self.largestAskedRow
  }

  private func prefetch(_ row: UnsafeRawPointer, bytes: Int) {
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
