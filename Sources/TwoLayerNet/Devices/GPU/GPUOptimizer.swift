// Training on a GPU. The order of a call's batches goes to the device at once, the kernels of a step are
// recorded and replayed for each of them, and the losses come back at the end. Steps that are asked for one
// at a time are taken in advance (GPUAhead.swift).

import CGPUKernels
import CSystem

final class GPUOptimizer: Optimizer {
  let engine: GPUEngine
  let momentum: GPUParameters
  var sgd: SGD
  private(set) var hasMomentum = false
  private var workspace: GPUWorkspace?
  private var run: GPURun?
  /// Rows of a caller's.
  private var rows: GPURows?
  /// What was recorded, and with which arguments.
  private var recorded: (step: tlng_step, sequence: GPUSequence)?
  /// For the last size of batches: whether the network can stay in the device's groups, and the mail for it.
  private var residency:
    (features: FeatureType, batchSize: Int, found: (cut: GPUResidency, mail: GPUBuffer)?)?
  var foresight = GPUForesight()

  private init(_ engine: GPUEngine, _ sgd: SGD, _ momentum: GPUParameters) {
    self.engine = engine
    self.sgd = sgd
    self.momentum = momentum
  }

  static func make(_ engine: GPUEngine, _ sgd: SGD) throws(Failure) -> GPUOptimizer {
    GPUOptimizer(engine, sgd, try GPUParameters.make(engine.context, engine.shape))
  }

  func settle() throws(Failure) {
    engine.context.lock()
    defer { engine.context.unlock() }
    try engine.settle()
  }

  /// About a tenth of a second's worth on a large device.
  func stepsAtOnce(batchSize: Int) -> Int {
    let shape = engine.shape
    let perRow = shape.hidden &* (2 &* shape.input &+ 3 &* shape.output)
    let (products, overflow) = perRow.multipliedReportingOverflow(by: batchSize)
    return overflow ? 16 : min(max((1 << 40) / products, 16), 4096)
  }

  func readMomentum(
    _ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) {
    engine.context.lock()
    defer { engine.context.unlock() }
    try engine.settle()
    try momentum.read(parameter, into: values)
  }

  func writeMomentum(
    _ parameter: Parameter, from values: UnsafeBufferPointer<Float>
  ) throws(Failure) {
    engine.context.lock()
    defer { engine.context.unlock() }
    try engine.settle()
    try momentum.write(parameter, from: values)
    hasMomentum = true
  }

  func step(
    _ dataset: Dataset, order: UnsafeBufferPointer<UInt32>, batchSize: Int,
    losses: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) -> Int {
    engine.context.lock()
    defer { engine.context.unlock() }
    if losses.count == 1, let ahead = engine.ahead, ahead.optimizer === self,
      ahead.next(order, losses.baseAddress!)
    {
      if !ahead.isAhead { engine.ahead = nil }
      foresight.asked()
      return 1
    }
    try engine.settle()
    // For the largest run at once, and before memory goes to what can be done without; the dataset last,
    // which the others may push out.
    let left = (order.count &- 1) / batchSize &+ 1
    let limit = max(losses.count, min(left, stepsAtOnce(batchSize: batchSize)))
    _ = try takeRun(steps: limit, order: min(order.count, limit &* batchSize))
    _ = try takeWorkspace(rows: min(batchSize, order.count))
    _ = try engine.copy(of: dataset)
    guard losses.count == 1 else {
      return try take(dataset, order, batchSize: batchSize, state, losses)
    }
    let begin = nanoseconds()
    var steps = foresight.steps(atMost: limit)
    var done = 0
    if steps > 1, let snapshot = try engine.takeSnapshot() {
      let ahead = try GPUAhead(
        self, snapshot, dataset, order, batchSize: batchSize, steps: steps)
      if try ahead.begin(losses.baseAddress!) { done = 1 }
      if ahead.isAhead { engine.ahead = ahead }
    } else {
      steps = 1
      done = try take(dataset, order, batchSize: batchSize, state, losses)
    }
    foresight.record(steps: steps, nanoseconds: nanoseconds() &- begin)
    foresight.asked()
    return done
  }

  /// Steps for so many losses, and those of the optimiser from this state on.
  func take(
    _ dataset: Dataset, _ order: UnsafeBufferPointer<UInt32>, batchSize: Int, _ state: tlng_state,
    _ losses: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) -> Int {
    let data = try engine.copy(of: dataset)
    let rows = min(order.count, losses.count &* batchSize)
    let run = try takeRun(steps: losses.count, order: rows)
    try run.begin(state, UnsafeBufferPointer(start: order.baseAddress, count: rows))
    let whole = min(rows / batchSize, losses.count)
    if whole > 0 {
      let step = try makeStep(data, run, rows: batchSize, batchSize: batchSize, isOrdered: true)
      let stays = whole > 1 ? try stay(step, steps: whole) : false
      if !stays {
        try engine.context.driver.replay(try record(step), times: whole)
      }
    }
    if whole < losses.count {
      let rest = rows &- whole &* batchSize
      var step = try makeStep(data, run, rows: rest, batchSize: batchSize, isOrdered: true)
      step.only_step = tlng_int(whole)
      try engine.context.launch(engine.plan.training(rows: rest).launches, step)
    }
    return try end(run, losses)
  }

  func step(
    _ features: UnsafePointer<Float>, labels: UnsafePointer<Int64>, rows count: Int
  ) throws(Failure) -> Float {
    engine.context.lock()
    defer { engine.context.unlock() }
    try engine.settle()
    let data = try takeRows(count)
    try data.upload(features, rows: count)
    let small = try Buffer<Int32>(uninitialized: count)
    for row in 0..<count { small[row] = Int32(truncatingIfNeeded: labels[row]) }
    try data.upload(labels: small.readOnly)
    let run = try takeRun(steps: 1, order: 0)
    try run.begin(state, UnsafeBufferPointer(start: nil, count: 0))
    let step = try makeStep(data, run, rows: count, batchSize: count, isOrdered: false)
    try engine.context.launch(engine.plan.training(rows: count).launches, step)
    let loss = try Buffer<Float>(uninitialized: 1)
    _ = try end(run, loss.mutable)
    return loss[0]
  }

  /// How many steps were taken, and the losses.
  private func end(
    _ run: GPURun, _ losses: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) -> Int {
    let done = try run.end(losses)
    if done > 0 { hasMomentum = true }
    return done
  }

  var state: tlng_state {
    tlng_state(
      begun: 0, ended: 0, minus_learning_rate: Float(-sgd.learningRate),
      momentum: Float(sgd.momentum), one_minus_dampening: Float(1 - sgd.dampening),
      weight_decay: Float(sgd.weightDecay), first: hasMomentum ? 0 : 1,
      nesterov: sgd.nesterov ? 1 : 0, maximize: sgd.maximize ? 1 : 0,
      has_momentum: sgd.momentum != 0 ? 1 : 0)
  }

  private func makeStep(
    _ data: GPURows, _ run: GPURun, rows: Int, batchSize: Int, isOrdered: Bool
  ) throws(Failure) -> tlng_step {
    var step = try takeWorkspace(rows: rows).step
    step.use(engine.parameters)
    step.useMomentum(momentum)
    data.use(in: &step, from: 0, withLabels: true)
    step.rows = tlng_int(rows)
    step.batch = tlng_int(rows)
    step.batch_size = tlng_int(batchSize)
    step.state = run.state
    step.losses = run.losses
    step.order = isOrdered ? run.order : 0
    step.tiled = tlng_int(engine.plan.training(rows: rows).tiled)
    return step
  }

  /// The kernels of a step with these arguments; the last recording, if it was of the same.
  private func record(_ step: tlng_step) throws(Failure) -> GPUSequence {
    if let recorded, isSame(recorded.step, step) { return recorded.sequence }
    recorded = nil
    let (launches, driver) = (engine.plan.training(rows: Int(step.rows)).launches, engine.context.driver)
    var arguments = step
    let sequence = try withBytes(of: &arguments) { bytes throws(Failure) in
      try driver.record(launches, bytes)
    }
    recorded = (step, sequence)
    return sequence
  }

  /// Issues steps as one launch in which the network stays in the device's groups; false if it cannot.
  private func stay(_ step: tlng_step, steps: Int) throws(Failure) -> Bool {
    guard let (cut, mail) = try takeResidency(step.is_bytes != 0 ? .u8 : .f32, batchSize: Int(step.rows))
    else { return false }
    let driver = engine.context.driver
    try driver.clear(mail.memory)
    var step = step
    cut.use(in: &step, steps: steps, words: mail.address)
    let isIssued = try withBytes(of: &step) { bytes throws(Failure) in
      try driver.launchTogether(groups: cut.groups, sharedBytes: cut.sharedBytes, bytes)
    }
    if !isIssued { residency?.found = nil }
    return isIssued
  }

  private func takeResidency(
    _ features: FeatureType, batchSize: Int
  ) throws(Failure) -> (cut: GPUResidency, mail: GPUBuffer)? {
    if let residency, residency.batchSize == batchSize, residency.features == features {
      return residency.found
    }
    residency = (features, batchSize, nil)
    let context = engine.context
    guard engine.plan.tiling == .automatic, let capacity = context.driver.capacity,
      let cut = GPUResidency(engine.shape, features, batch: batchSize, capacity)
    else { return nil }
    do throws(Failure) {
      residency?.found = (cut, try GPUBuffer.make(context, bytes: 8 &* cut.words, isSpare: true))
    } catch {
      guard context.driver.isFull else { throw error }
    }
    return residency?.found
  }

  private func takeWorkspace(rows: Int) throws(Failure) -> GPUWorkspace {
    if let workspace, rows <= workspace.capacity { return workspace }
    workspace = nil
    let made = try GPUWorkspace.make(engine.context, engine.shape, rows: rows, training: true)
    workspace = made
    return made
  }

  private func takeRun(steps: Int, order: Int) throws(Failure) -> GPURun {
    if let run, run.fits(steps: steps, order: order) { return run }
    run = nil
    let made = try GPURun.make(engine.context, steps: steps, order: order)
    run = made
    return made
  }

  private func takeRows(_ count: Int) throws(Failure) -> GPURows {
    if let rows, count <= rows.capacity { return rows }
    rows = nil
    let made = try GPURows.make(
      engine.context, type: .f32, columns: engine.shape.input, rows: count)
    rows = made
    return made
  }
}

extension GPUEngine {
  /// Undoes what was done in advance.
  func settle() throws(Failure) {
    guard let ahead else { return }
    self.ahead = nil
    ahead.optimizer.foresight.wasInVain()
    try ahead.undo()
  }
}

private func isSame(_ a: tlng_step, _ b: tlng_step) -> Bool {
  var (a, b) = (a, b)
  return withUnsafeBytes(of: &a) { a in
    withUnsafeBytes(of: &b) { b in memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0 }
  }
}
