// A network on a GPU: its parameters in the device's memory, and what can be done with them without
// training. Training is in GPUOptimizer.swift; which device it is, and how it is talked to, only the
// driver knows.

import CGPUKernels

final class GPUEngine: Engine {
  let context: GPUContext
  let plan: GPUPlan
  let parameters: GPUParameters
  /// About how many floats a pass of inference may work in; tests make it less.
  var passFloats = 1 << 24
  /// Copies of the last datasets, the latest first: one to train on and one to test with.
  private var datasets: [GPURows] = []
  /// Working memory and features of the last inference.
  private var workspace: GPUWorkspace?
  private var features: GPURows?
  /// Steps that were taken and not asked for yet: set during a training alone.
  var ahead: GPUAhead?
  /// Where those before them are kept.
  private var snapshot: GPUSnapshot?
  private var snapshotFits = true

  var shape: Shape { plan.shape }
  var device: Device { context.driver.device }

  private init(_ context: GPUContext, _ plan: GPUPlan, _ parameters: GPUParameters) {
    self.context = context
    self.plan = plan
    self.parameters = parameters
    context.engine = self
  }

  /// An engine with all parameters zero. The driver is its own from now on.
  static func make(
    _ shape: Shape, driver: any GPUDriver, tiling: GPUTiling = .automatic
  ) throws(Failure) -> GPUEngine {
    let context = try GPUContext.make(driver)
    let parameters = try GPUParameters.make(context, shape)
    return GPUEngine(context, GPUPlan(shape: shape, tiling: tiling), parameters)
  }

  func read(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>) throws(Failure) {
    context.lock()
    defer { context.unlock() }
    try settle()
    try parameters.read(parameter, into: values)
  }

  func write(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) throws(Failure) {
    context.lock()
    defer { context.unlock() }
    try settle()
    try parameters.write(parameter, from: values)
  }

  func makeOptimizer(_ sgd: SGD) throws(Failure) -> any Optimizer {
    context.lock()
    defer { context.unlock() }
    return try GPUOptimizer.make(self, sgd)
  }

  func logits(
    _ features: UnsafePointer<Float>, rows: Int, into logits: UnsafeMutablePointer<Float>
  ) throws(Failure) {
    context.lock()
    defer { context.unlock() }
    try settle()
    let pass = rowsPerPass(rows)
    let staged = try takeFeatures(rows: pass)
    var first = 0
    while first < rows {
      let count = min(pass, rows &- first)
      try staged.upload(features + first &* shape.input, rows: count)
      let workspace = try infer(staged, at: 0, first: first, count: count, batch: rows, withLoss: false)
      try workspace.readLogits(count, into: logits + first &* shape.output)
      first &+= count
    }
  }

  func evaluate(_ dataset: Dataset) throws(Failure) -> Evaluation {
    context.lock()
    defer { context.unlock() }
    try settle()
    let data = try copy(of: dataset)
    let pass = rowsPerPass(dataset.rows)
    let results = try Buffer<Float>(uninitialized: 2 &* pass)
    var correct = 0
    var lossSum = 0.0
    var first = 0
    while first < dataset.rows {
      let count = min(pass, dataset.rows &- first)
      let workspace = try infer(
        data, at: first, first: first, count: count, batch: dataset.rows, withLoss: true)
      try workspace.readResults(UnsafeMutableRawBufferPointer(start: results.base, count: 8 &* count))
      for row in 0..<count {
        lossSum -= Double(results[row])
        let predicted = results[count &+ row].bitPattern
        if Int32(bitPattern: predicted) == dataset.label(first &+ row) { correct &+= 1 }
      }
      first &+= count
    }
    return Evaluation(
      rows: dataset.rows, correct: correct, meanLoss: lossSum / Double(dataset.rows))
  }

  /// Issues the forward pass for some rows of a batch.
  private func infer(
    _ data: GPURows, at row: Int, first: Int, count: Int, batch: Int, withLoss: Bool
  ) throws(Failure) -> GPUWorkspace {
    let workspace = try takeWorkspace(rows: count)
    var step = workspace.step
    step.use(parameters)
    data.use(in: &step, from: row, withLabels: withLoss)
    step.rows = tlng_int(count)
    step.first_row = tlng_int(first)
    step.batch = tlng_int(batch)
    step.predicted = withLoss ? step.target &+ UInt64(4 &* count) : 0
    let (launches, tiled) = plan.inference(rows: count, batch: batch, withLoss: withLoss)
    step.tiled = tlng_int(tiled)
    try context.launch(launches, step)
    return workspace
  }

  private func rowsPerPass(_ rows: Int) -> Int {
    min(rows, max(1, passFloats / (shape.input &+ shape.hidden &+ shape.output)))
  }

  private func takeWorkspace(rows: Int) throws(Failure) -> GPUWorkspace {
    if let workspace, rows <= workspace.capacity { return workspace }
    workspace = nil
    let made = try GPUWorkspace.make(context, shape, rows: rows, training: false)
    workspace = made
    return made
  }

  private func takeFeatures(rows: Int) throws(Failure) -> GPURows {
    if let features, rows <= features.capacity { return features }
    features = nil
    let made = try GPURows.make(context, type: .f32, columns: shape.input, rows: rows)
    features = made
    return made
  }
}

// What optimisers need as well; the caller holds the lock.
extension GPUEngine {
  /// A dataset in the device's memory: the copy that is there already, else a new one.
  func copy(of dataset: Dataset) throws(Failure) -> GPURows {
    for index in 0..<datasets.count where datasets[index].serial == dataset.serial {
      let found = datasets.remove(at: index)
      datasets.insert(found, at: 0)
      return found
    }
    if datasets.count == 2 { datasets.removeLast() }
    let made = try GPURows.make(context, dataset)
    datasets.insert(made, at: 0)
    return made
  }

  /// Memory for a snapshot; nil if the device has not enough left.
  func takeSnapshot() throws(Failure) -> GPUSnapshot? {
    if snapshot != nil || !snapshotFits { return snapshot }
    do throws(Failure) {
      snapshot = try GPUSnapshot(context, shape)
    } catch {
      guard context.driver.isFull else { throw error }
      snapshotFits = false
    }
    return snapshot
  }

  /// Frees what is kept only to be faster; false if there is nothing.
  func makeRoom() -> Bool {
    guard !datasets.isEmpty || workspace != nil || features != nil || snapshot != nil else {
      return false
    }
    datasets.removeAll()
    (workspace, features, snapshot) = (nil, nil, nil)
    return true
  }
}

extension GPUContext {
  /// Issues kernels, each with these arguments.
  func launch(_ launches: [GPULaunch], _ step: tlng_step) throws(Failure) {
    var step = step
    let driver = driver
    try withBytes(of: &step) { bytes throws(Failure) in
      for launch in launches { try driver.launch(launch, bytes) }
    }
  }
}

/// The bytes of a value, as `withUnsafeBytes` gives them, for bodies that throw a `Failure`.
func withBytes<T: BitwiseCopyable, R>(
  of value: inout T, _ body: (UnsafeRawBufferPointer) throws(Failure) -> R
) throws(Failure) -> R {
  let result: Result<R, Failure> = withUnsafeBytes(of: &value) { bytes in
    do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
  }
  return try result.get()
}
