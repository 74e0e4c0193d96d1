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

// Inference, in passes of at most `InferenceWork.rowLimit` rows.
extension CPUEngine {
  func logits(
    _ features: UnsafePointer<Float>, rows: Int, into logits: UnsafeMutablePointer<Float>
  ) throws(Failure) {
    let (inputs, outputs) = (shape.input, shape.output)
    try forEachPass(rows: rows, .f32) { work, first, count in
      work.run(first: first, count: count, of: rows, labels: nil) { row in
        UnsafeRawPointer(features + row &* inputs)
      }
      let step = work.workspace.step
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
    try forEachPass(rows: dataset.rows, dataset.featureType) { work, first, count in
      work.run(first: first, count: count, of: dataset.rows, labels: dataset.label) { row in
        dataset.row(row)
      }
      let step = work.workspace.step
      for row in 0..<count {
        let predicted = largestIndex(step.logits + row, spacing: step.capacity, count: shape.output)
        if predicted == Int(work.workspace.labels[row]) { correct &+= 1 }
        lossSum -= Double(step.target[row])
      }
    }
    return Evaluation(
      rows: dataset.rows, correct: correct, meanLoss: lossSum / Double(dataset.rows))
  }

  private func forEachPass(
    rows: Int, _ type: FeatureType, _ body: (InferenceWork, Int, Int) -> Void
  ) throws(Failure) {
    let work = try takeWork(rows: min(rows, InferenceWork.rowLimit), type)
    var first = 0
    while first < rows {
      let count = min(rows &- first, InferenceWork.rowLimit)
      body(work, first, count)
      first &+= count
    }
    returnWork(work)
  }

  /// Working memory of our own: what the last caller left, if it fits, else new.
  private func takeWork(rows: Int, _ type: FeatureType) throws(Failure) -> InferenceWork {
    if let left = spare.exchange(nil, ordering: .acquiring) {
      let work = Unmanaged<InferenceWork>.fromOpaque(left).takeRetainedValue()
      if work.workspace.fits(rows: rows, type) { return work }
    }
    return InferenceWork(
      self, try Workspace.make(layout, rows: rows, featureType: type, training: false))
  }

  private func returnWork(_ work: InferenceWork) {
    let returned = Unmanaged.passRetained(work).toOpaque()
    if let other = spare.exchange(returned, ordering: .acquiringAndReleasing) {
      Unmanaged<InferenceWork>.fromOpaque(other).release()
    }
  }
}

/// One pass of inference, cut into tasks by rows.
private final class InferenceWork: Job {
  static let rowLimit = 1024
  private static let rowsPerTask = 64

  unowned(unsafe) let engine: CPUEngine
  let workspace: Workspace
  private var withLoss = false

  init(_ engine: CPUEngine, _ workspace: Workspace) {
    self.engine = engine
    self.workspace = workspace
    workspace.step.use(engine.parameters)
  }

  /// Logits, and with labels the loss, of rows first ..< first + count of a batch.
  func run(
    first: Int, count: Int, of batch: Int, labels: ((Int) -> Int32)?, row: (Int) -> UnsafeRawPointer
  ) {
    for index in 0..<count {
      workspace.gather(row(first &+ index), into: index)
      if let labels { workspace.labels[index] = labels(first &+ index) }
    }
    withLoss = labels != nil
    workspace.step.rows = count
    workspace.step.first_row = first
    workspace.step.batch = batch
    workspace.prepareLogits(engine.kernels)
    engine.pool.run(
      self, tasks: roundedUp(count, to: Self.rowsPerTask) / Self.rowsPerTask,
      threads: engine.threads(forRows: count, passes: 1))
  }

  override func perform(_ task: Int) {
    let kernels = engine.kernels
    let first = task &* Self.rowsPerTask
    let last = min(first &+ Self.rowsPerTask, workspace.step.rows)
    withUnsafePointer(to: workspace.step) { step in
      (workspace.featureType == .u8 ? kernels.hidden_u8 : kernels.hidden_f32)!(step, first, last)
      kernels.logits(step, first, last)
      if withLoss { kernels.loss(step, first, last) }
    }
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
