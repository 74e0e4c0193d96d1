// A network on the processor: its parameters, its kernels and its threads, and what can be done with
// them without training. Training is in CPUOptimizer.swift.

import CKernels
import CSystem
import Synchronization

final class CPUEngine: Engine {
  let shape: Shape
  let instructionSet: InstructionSet
  let kernels: tlnk_kernels
  let parameters: CPUParameters
  let pool: WorkerPool
  /// Working memory that the last caller left for the next one.
  private let spare = Atomic<UnsafeMutableRawPointer?>(nil)

  var device: Device { .cpu }
  var layout: CPULayout { parameters.layout }

  private init(
    instructionSet: InstructionSet, kernels: tlnk_kernels, parameters: consuming CPUParameters,
    pool: WorkerPool
  ) {
    shape = parameters.layout.shape
    self.instructionSet = instructionSet
    self.kernels = kernels
    self.parameters = parameters
    self.pool = pool
  }

  /// An engine with all parameters zero. `threads` is a limit; 0 lets the engine choose.
  static func make(_ shape: Shape, index: Int = 0, threads: Int) throws(Failure) -> any Engine {
    guard index == 0 else {
      throw Failure(.noDevice, "device_index is \(index), but the cpu has only 0")
    }
    return try make(shape, threads: threads, try InstructionSet.chosen())
  }

  /// The same with the kernels for one instruction set, which the processor must have.
  static func make(_ shape: Shape, threads: Int, _ set: InstructionSet) throws(Failure) -> CPUEngine {
    let kernels = set.kernels
    let layout = CPULayout(shape: shape, stride: kernels.stride(shape.hidden))
    let parameters = try CPUParameters(layout)
    let limit = threads > 0 ? threads : defaultThreads
    let pool = try WorkerPool.make(limit: limit)
    return CPUEngine(instructionSet: set, kernels: kernels, parameters: parameters, pool: pool)
  }

  deinit {
    if let workspace = spare.load(ordering: .relaxed) {
      Unmanaged<InferenceWork>.fromOpaque(workspace).release()
    }
  }

  /// As many threads as processors, but not more than this kind of work can feed.
  static var defaultThreads: Int { min(Int(tlns_available_processors()), 16) }

  static func describe() -> DeviceInfo {
    let name = String(capacity: 128) { tlns_processor_name($0, 128) }
    var info = DeviceInfo(device: .cpu, count: 1, name: name)
    info.threads = defaultThreads
    do throws(Failure) {
      info.instructionSet = try InstructionSet.chosen().name
    } catch {
      info.instructionSet = InstructionSet.best.name
    }
    return info
  }

  func read(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>) {
    parameters.read(parameter, into: values)
  }

  func write(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) {
    parameters.write(parameter, from: values)
  }

  /// The form for the rows of a dataset, and for rows of the caller's.
  func form(_ dataset: Dataset) -> FeatureForm {
    FeatureForm(dataset.featureType, density: dataset.density, hidden: shape.hidden, kernels)
  }

  func form(_ features: UnsafePointer<Float>, rows: Int) -> FeatureForm {
    let inputs = shape.input
    // For a single row the dense kernels look at it themselves.
    if rows == 1 { return FeatureForm(.f32, density: 1, hidden: shape.hidden, kernels) }
    let share = sampledDensity(of: .f32, rows: rows, columns: inputs, limit: 16) {
      UnsafeRawPointer(features + $0 &* inputs)
    }
    return FeatureForm(.f32, density: share, hidden: shape.hidden, kernels)
  }

  func makeOptimizer(_ sgd: SGD) throws(Failure) -> any Optimizer {
    try CPUOptimizer.make(self, sgd)
  }

  /// How many threads a pass over `rows` rows is worth: a thread should have some tens of microseconds
  /// of multiply-adds to do, many times what it takes to wake it.
  func threads(forRows rows: Int, passes: Int) -> Int {
    let work = rows &* passes &* (shape.input / 4 &+ shape.output) &* layout.stride
    return max(1, work / 400_000)
  }
}

// Inference, in passes of a few tasks, whose numbers stay in the caches.
extension CPUEngine {
  func logits(
    _ features: UnsafePointer<Float>, rows: Int, into logits: UnsafeMutablePointer<Float>
  ) throws(Failure) {
    let outputs = shape.output
    let source = InferenceWork.Source(
      features: UnsafeRawPointer(features), rowStride: shape.input &* 4, labels: nil, rows: rows)
    try forEachPass(source, form(features, rows: rows)) { work, first, count in
      let step = work.workspace.step.pointee
      for row in 0..<count {
        for output in 0..<outputs {
          logits[(first &+ row) &* outputs &+ output] = step.logits[output &* step.capacity &+ row]
        }
      }
    }
  }

  func evaluate(_ dataset: Dataset) throws(Failure) -> Evaluation {
    var correct = 0
    var lossSum = 0.0
    let labels = dataset.labelBase
    let source = InferenceWork.Source(
      features: dataset.features, rowStride: dataset.rowStride, labels: labels, rows: dataset.rows)
    try forEachPass(source, form(dataset)) { work, first, count in
      let step = work.workspace.step
      let (logits, target) = (step.pointee.logits!, step.pointee.target!)
      var row = 0
      while row < count {
        let predicted = largestIndices(
          logits + row, spacing: step.pointee.capacity, count: shape.output)
        for index in 0..<min(count &- row, 4) {
          if predicted[index] == labels[first &+ row &+ index] { correct &+= 1 }
          lossSum -= Double(target[row &+ index])
        }
        row &+= 4
      }
    }
    return Evaluation(
      rows: dataset.rows, correct: correct, meanLoss: lossSum / Double(dataset.rows))
  }

  private func forEachPass(
    _ source: InferenceWork.Source, _ form: FeatureForm, _ body: (InferenceWork, Int, Int) -> Void
  ) throws(Failure) {
    let rows = source.rows
    let wanted = min(threads(forRows: rows, passes: 1), pool.limit)
    let limit = min(128 &* wanted, InferenceWork.rowLimit)
    let work = try takeWork(rows: min(rows, limit), form)
    var first = 0
    while first < rows {
      let count = min(rows &- first, limit)
      work.run(source, first: first, count: count, threads: wanted)
      body(work, first, count)
      first &+= count
    }
    returnWork(work)
  }

  /// Working memory of our own: what the last caller left, if it fits, else new.
  private func takeWork(rows: Int, _ form: FeatureForm) throws(Failure) -> InferenceWork {
    if let left = spare.exchange(nil, ordering: .acquiring) {
      let work = Unmanaged<InferenceWork>.fromOpaque(left).takeRetainedValue()
      if work.workspace.fits(rows: rows, form) { return work }
    }
    return InferenceWork(
      self, try Workspace.make(layout, rows: rows, form: form, training: false))
  }

  private func returnWork(_ work: InferenceWork) {
    let returned = Unmanaged.passRetained(work).toOpaque()
    if let other = spare.exchange(returned, ordering: .acquiringAndReleasing) {
      Unmanaged<InferenceWork>.fromOpaque(other).release()
    }
  }
}

/// One pass of inference, cut into tasks by rows.
final class InferenceWork: Job {
  /// A batch of rows.
  struct Source {
    let features: UnsafeRawPointer
    let rowStride: Int
    let labels: UnsafePointer<Int32>?
    let rows: Int
  }

  static let rowLimit = 1024

  unowned(unsafe) let engine: CPUEngine
  let workspace: Workspace
  private var source: Source?
  private var rowsPerTask = 0
  private var readsInPlace = false

  init(_ engine: CPUEngine, _ workspace: Workspace) {
    self.engine = engine
    self.workspace = workspace
    workspace.step.pointee.use(engine.parameters)
  }

  /// Logits, and with labels the loss, of rows first ..< first + count of a batch.
  func run(_ source: Source, first: Int, count: Int, threads: Int) {
    self.source = source
    workspace.step.pointee.rows = count
    workspace.step.pointee.first_row = first
    workspace.step.pointee.batch = source.rows
    readsInPlace = isReadableInPlace(source, first: first, count: count)
    workspace.read(
      readsInPlace ? (source.features + first &* source.rowStride, source.rowStride) : nil)
    workspace.prepareLogits(engine.kernels)
    // Whoever works alone reads the weights once for all rows.
    rowsPerTask = threads == 1 ? count : 64
    engine.pool.run(self, tasks: (count &+ rowsPerTask &- 1) / rowsPerTask, threads: threads)
  }

  /// Whether the kernels may read these rows where they are: those that skip zeros may, if what they read
  /// behind the last of them is the next one.
  private func isReadableInPlace(_ source: Source, first: Int, count: Int) -> Bool {
    let (form, inputs) = (workspace.form, workspace.step.pointee.inputs)
    let rowBytes = inputs &* form.stored.byteCount
    return !form.isDense && source.rowStride == rowBytes && first &+ count < source.rows
      && roundedUp(inputs, to: 64) &* form.stored.byteCount <= 2 &* rowBytes
  }

  override func perform(_ task: Int) {
    guard let source else { return }
    let (kernels, workspace) = (engine.kernels, workspace)
    let first = task &* rowsPerTask
    let last = min(first &+ rowsPerTask, workspace.step.pointee.rows)
    if !readsInPlace {
      let row = source.features + (workspace.step.pointee.first_row &+ first) &* source.rowStride
      for index in first..<last {
        workspace.gather(row + (index &- first) &* source.rowStride, into: index, kernels)
      }
    }
    if let labels = source.labels {
      let batch = labels + workspace.step.pointee.first_row
      for index in first..<last { workspace.labels[index] = batch[index] }
    }
    let step = workspace.step
    workspace.form.kernels(kernels).forward(step, first, last)
    kernels.logits(step, first, last)
    if source.labels != nil { kernels.loss(step, first, last) }
  }
}

/// The index of the largest value, the lowest if there are several; the first NaN wins, as in PyTorch.
func largestIndex(_ values: UnsafePointer<Float>, spacing: Int, count: Int) -> Int {
  var best = 0
  for index in 0..<count {
    let value = values[index &* spacing]
    if value.isNaN { return index }
    if value > values[best &* spacing] { best = index }
  }
  return best
}

/// The same for four adjacent columns of a matrix with rows of `spacing`.
func largestIndices(_ values: UnsafePointer<Float>, spacing: Int, count: Int) -> SIMD4<Int32> {
  func row(_ index: Int) -> SIMD4<Float> {
    UnsafeRawPointer(values + index &* spacing).loadUnaligned(as: SIMD4<Float>.self)
  }
  var best = row(0)
  var indices = SIMD4<Int32>(repeating: 0)
  for index in 1..<count {
    let value = row(index)
    let isBetter = (value .> best) .| ((value .!= value) .& (best .== best))
    best.replace(with: value, where: isBetter)
    indices.replace(with: Int32(truncatingIfNeeded: index), where: isBetter)
  }
  return indices
}
