// Training on a GPU. The order of a call's batches goes to the device at once, the kernels of a step are
// recorded and replayed for each of them, and the losses come back at the end.

import CGPUKernels
import CSystem

final class GPUOptimizer: Optimizer {
  private let engine: GPUEngine
  private let momentum: GPUParameters
  var sgd: SGD
  private(set) var hasMomentum = false
  private var workspace: GPUWorkspace?
  private var run: GPURun?
  /// Rows of a caller's.
  private var rows: GPURows?
  /// What was recorded, and with which arguments.
  private var recorded: (step: tlng_step, sequence: GPUSequence)?

  private init(_ engine: GPUEngine, _ sgd: SGD, _ momentum: GPUParameters) {
    self.engine = engine
    self.sgd = sgd
    self.momentum = momentum
  }

  static func make(_ engine: GPUEngine, _ sgd: SGD) throws(Failure) -> GPUOptimizer {
    let momentum = try engine.withRoom { () throws(Failure) in
      try GPUParameters.make(engine.context, engine.shape)
    }
    return GPUOptimizer(engine, sgd, momentum)
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
    try momentum.read(parameter, into: values)
  }

  func writeMomentum(
    _ parameter: Parameter, from values: UnsafeBufferPointer<Float>
  ) throws(Failure) {
    engine.context.lock()
    defer { engine.context.unlock() }
    try momentum.write(parameter, from: values)
    hasMomentum = true
  }

  func step(
    _ dataset: Dataset, order: UnsafeBufferPointer<UInt32>, batchSize: Int,
    losses: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) -> Int {
    engine.context.lock()
    defer { engine.context.unlock() }
    let data = try engine.copy(of: dataset)
    let run = try takeRun(steps: losses.count, order: order.count)
    try run.begin(state, order)
    let whole = min(order.count / batchSize, losses.count)
    if whole > 0 {
      let step = try makeStep(data, run, rows: batchSize, batchSize: batchSize, isOrdered: true)
      try engine.context.driver.replay(try record(step), times: whole)
    }
    if whole < losses.count {
      let rest = order.count &- whole &* batchSize
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

  private var state: tlng_state {
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

  private func takeWorkspace(rows: Int) throws(Failure) -> GPUWorkspace {
    if let workspace, rows <= workspace.capacity { return workspace }
    workspace = nil
    let made = try engine.withRoom { () throws(Failure) in
      try GPUWorkspace.make(engine.context, engine.shape, rows: rows, training: true)
    }
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
    let made = try engine.withRoom { () throws(Failure) in
      try GPURows.make(engine.context, type: .f32, columns: engine.shape.input, rows: count)
    }
    rows = made
    return made
  }
}

private func isSame(_ a: tlng_step, _ b: tlng_step) -> Bool {
  var (a, b) = (a, b)
  return withUnsafeBytes(of: &a) { a in
    withUnsafeBytes(of: &b) { b in memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0 }
  }
}

/// What a run of steps has in the device's memory: losses, state and order, side by side, so that one
/// copy begins it and one ends it.
private final class GPURun {
  private let buffer: GPUBuffer
  private let staging: Buffer<UInt8>
  private let steps: Int
  private let orderCapacity: Int

  private static let stateBytes = 64

  private init(_ buffer: GPUBuffer, _ staging: consuming Buffer<UInt8>, steps: Int, order: Int) {
    self.buffer = buffer
    self.staging = staging
    self.steps = steps
    orderCapacity = order
  }

  static func make(_ context: GPUContext, steps: Int, order: Int) throws(Failure) -> GPURun {
    let steps = roundedUp(steps, to: 16)
    let bytes = stateBytes &+ 4 &* (steps &+ order)
    let staging = try Buffer<UInt8>(zeroed: bytes)
    return GPURun(try GPUBuffer.make(context, bytes: bytes), staging, steps: steps, order: order)
  }

  func fits(steps: Int, order: Int) -> Bool { steps <= self.steps && order <= orderCapacity }

  var losses: UInt64 { buffer.address }
  var state: UInt64 { buffer.address &+ UInt64(4 &* steps) }
  var order: UInt64 { state &+ UInt64(Self.stateBytes) }

  func begin(_ state: tlng_state, _ order: UnsafeBufferPointer<UInt32>) throws(Failure) {
    let start = UnsafeMutableRawPointer(staging.base)
    start.storeBytes(of: state, as: tlng_state.self)
    if let rows = order.baseAddress { memcpy(start + Self.stateBytes, rows, 4 &* order.count) }
    try buffer.upload(
      UnsafeRawBufferPointer(start: start, count: Self.stateBytes &+ 4 &* order.count),
      offset: 4 &* steps)
  }

  /// Waits for the steps. Returns how many were taken; their losses are written, and that of the next
  /// one if it is not finite.
  func end(_ losses: UnsafeMutableBufferPointer<Float>) throws(Failure) -> Int {
    // The last losses lie just before the state: those of this run are at the front.
    let start = UnsafeMutableRawPointer(staging.base)
    let bytes = 4 &* steps &+ Self.stateBytes
    try buffer.download(into: UnsafeMutableRawBufferPointer(start: start, count: bytes))
    memcpy(losses.baseAddress!, start, 4 &* losses.count)
    return Int((start + 4 &* steps).load(as: tlng_state.self).ended)
  }
}
