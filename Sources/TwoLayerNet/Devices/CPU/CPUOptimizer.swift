// Training on the processor: momentum, and a step as two parallel regions, the first cut by samples
// (forward, loss, gradients of the activations), the second by parameters (their gradients and updates).
// Two threads do small batches otherwise: CPUOptimizer+Halves.swift.

import CKernels

final class CPUOptimizer: Job, Optimizer {
  let engine: CPUEngine
  private let momentum: CPUParameters
  var sgd: SGD
  private(set) var hasMomentum = false
  private(set) var workspace: Workspace
  private(set) var region = Region.samples
  private var source = Source.none
  private var sampleTasks = 1
  private var threads = 1
  private var pace = Pace()
  /// With divided inputs: the batch of which the sums of panels are found, or have been.
  var begun: Batch?

  /// What is done in parallel.
  enum Region {
    /// By samples: everything from the features to the gradients of the hidden units.
    case samples
    /// The same from the sums of panels on.
    case samplesFromSums
    /// By parameters: their gradients and updates.
    case parameters
    /// By halves of the inputs: the sums of panels; the same after the update.
    case sums, updateAndSums
  }

  /// Where the rows of the current step come from.
  private enum Source {
    case none
    case batch(Batch)
    case arrays(UnsafePointer<Float>, UnsafePointer<Int64>)
  }

  /// Inputs whose weights one task of the second region updates. Of sparse ones few, because no two tasks
  /// take as long, and an even number, because the kernels take them in pairs, or all, if there is one
  /// thread; of dense ones whole tiles; of a large network not so few that there would be thousands of tasks.
  private var inputsPerTask: Int {
    let inputs = engine.shape.input
    if workspace.form.isDense { return max(120, roundedUp(inputs / 256, to: 24)) }
    return threads == 1 ? inputs : max(28, roundedUp(inputs / 256, to: 2))
  }

  /// What is done with dense rows one after the other finds them in the cache if they are not too many.
  private var denseRowsPerTask: Int { engine.kernels.lanes < 16 ? 192 : 256 }

  private init(
    _ engine: CPUEngine, _ sgd: SGD, momentum: consuming CPUParameters, workspace: Workspace
  ) {
    self.engine = engine
    self.sgd = sgd
    self.momentum = momentum
    self.workspace = workspace
  }

  static func make(_ engine: CPUEngine, _ sgd: SGD) throws(Failure) -> CPUOptimizer {
    let momentum = try CPUParameters(besides: engine.parameters)
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
    func batch(_ index: Int) -> Batch {
      let rest = UnsafeBufferPointer(rebasing: order[(index &* batchSize)...])
      return Batch(dataset: dataset, order: rest, rows: min(batchSize, rest.count))
    }
    for index in 0..<losses.count {
      source = .batch(batch(index))
      let next = index &+ 1 < losses.count ? batch(index &+ 1) : nil
      losses[index] = step(rows: min(batchSize, order.count &- index &* batchSize), next: next)
      guard losses[index].isFinite else { return index }
    }
    return losses.count
  }

  func step(
    _ features: UnsafePointer<Float>, labels: UnsafePointer<Int64>, rows: Int
  ) throws(Failure) -> Float {
    try prepare(rows: rows, engine.form(features, rows: rows))
    source = .arrays(features, labels)
    return step(rows: rows, next: nil)
  }

  /// Makes sure that the workspace holds batches of this size in this form.
  private func prepare(rows: Int, _ form: FeatureForm) throws(Failure) {
    let hasGradient = rows <= form.rowsWithoutGradient || workspace.step.pointee.g1 != nil
    if workspace.fits(rows: rows, form) && hasGradient { return }
    workspace = try Workspace.make(
      engine.layout, rows: rows, form: form, training: true, division: division(rows: rows, form))
  }

  /// How many threads a batch is worth.
  func usefulThreads(rows: Int) -> Int {
    min(engine.threads(forRows: rows, passes: 1), engine.pool.limit)
  }

  /// One step on the batch in `source`, which may begin the next one. If the loss is not finite nothing is
  /// updated.
  private func step(rows: Int, next: Batch?) -> Float {
    describeStep(rows: rows)
    let useful = usefulThreads(rows: rows)
    threads = pace.isAlone ? 1 : useful
    let begin = useful > 1 ? nanoseconds() : 0
    workspace.prepareLogits(engine.kernels)
    let loss: Float
    if case .batch(let batch) = source, begun != nil || threads == 2 && isDivided(rows: rows) {
      sampleTasks = 2
      let follows = !pace.isAlone && next.map { isDivided(rows: $0.rows) } == true
      loss = dividedStep(batch, next: follows ? next : nil)
    } else {
      loss = sampledStep(rows: rows)
    }
    source = .none
    guard loss.isFinite else { return loss }
    hasMomentum = true
    if useful > 1 { pace.record(rows: rows, nanoseconds: nanoseconds() &- begin) }
    return loss
  }

  private func sampledStep(rows: Int) -> Float {
    let wanted = workspace.form.isDense ? max(threads, min(rows / denseRowsPerTask, 4096)) : threads
    sampleTasks = min(wanted, (rows &+ 15) / 16)
    run(.samples, tasks: sampleTasks, threads: threads)
    let loss = batchLoss
    if loss.isFinite { run(.parameters, tasks: inputTasks &+ 1, threads: threads) }
    return loss
  }

  func run(_ region: Region, tasks: Int, threads: Int) {
    self.region = region
    engine.pool.run(self, tasks: tasks, threads: threads)
  }

  var batchLoss: Float {
    meanLoss(UnsafePointer(workspace.step.pointee.target), rows: workspace.step.pointee.rows)
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
    case .samples, .samplesFromSums:
      let (first, last) = (firstSample(of: task), firstSample(of: task &+ 1))
      if region == .samples {
        gather(first, last)
        hidden.forward(step, first, last)
      } else {
        kernels.add_panels(workspace.halves!.0.step, first, last)
      }
      kernels.logits(step, first, last)
      kernels.loss(step, first, last)
      kernels.hidden_gradient(step, first, last)
      if region == .samples { hidden.transpose(step, first, last) }
    case .parameters:
      if task == 0 {
        updateOutputs()
      } else {
        let first = (task &- 1) &* inputsPerTask
        let last = min(first &+ inputsPerTask, step.pointee.inputs)
        hidden.update(step, first, last)
      }
    case .sums: sums(ofHalf: task)
    case .updateAndSums:
      update(half: task)
      if task == 0 { updateOutputs() }
      sums(ofHalf: task)
    }
  }

  /// All parameters but the first layer's weights.
  private func updateOutputs() {
    engine.kernels.output_update(workspace.step, 0, engine.shape.output)
    engine.kernels.bias_update(workspace.step, 0, 1)
  }
}

// Bringing the rows of a batch together.
extension CPUOptimizer {
  private func gather(_ first: Int, _ last: Int) {
    let (workspace, kernels) = (workspace, engine.kernels)
    switch source {
    case .none: break
    case .batch(let batch):
      let (dataset, order) = (batch.dataset, batch.order)
      let (features, stride, labels) = (dataset.features, dataset.rowStride, dataset.labelBase)
      let batchLabels = workspace.labels
      let rowBytes = dataset.rowByteCount
      let areSmall = rowBytes <= Self.largestAskedRow
      let asks = asksForNextRows(batch)
      for row in first..<last {
        let index = Int(order[row])
        let soon = row &+ Self.rowsAhead
        if soon < last && areSmall {
          let soonIndex = Int(order[soon])
          tlnk_prefetch_near(labels + soonIndex)
          prefetch(features + soonIndex &* stride, bytes: rowBytes)
        }
        workspace.gather(features + index &* stride, into: row, kernels)
        batchLabels[row] = labels[index]
        guard asks else { continue }
        let nextIndex = batch.nextIndex(row)
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

  /// A larger batch, in bytes, would be gone again from that cache before its turn.
  private static let largestAskedBatch = 1 << 20

  /// Rows of this batch are asked for so many rows before they are copied.
  private static let rowsAhead = 6

  private var kernelsAskForNextRows: Bool {
    guard case .batch(let batch) = source, !workspace.form.isDense else { return false }
    return asksForNextRows(batch)
  }

  func asksForNextRows(_ batch: Batch) -> Bool {
    let bytes = batch.dataset.rowByteCount
    return batch.order.count > batch.rows && bytes <= Self.largestAskedRow
      && batch.rows <= Self.largestAskedBatch / bytes
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
