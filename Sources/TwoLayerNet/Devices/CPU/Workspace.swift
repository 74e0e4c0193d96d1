// The working memory of the CPU kernels for batches up to a size: one allocation, and the description of
// a step with pointers into it.

import CKernels
import CSystem

/// How two threads divide the inputs: how many panels there are, and where the second half begins.
struct Division: Equatable {
  let panels, boundary: Int
}

/// What the kernels are given for one half of the inputs: the step, but features and next_rows in memory of
/// its own. Amid the other half's, a processor would fetch them along with those, and lose them again.
struct Half {
  let inputs: Range<Int>
  let step: UnsafeMutablePointer<tlnk_step>
  let rows: UnsafeMutableRawPointer
  let nextRows: UnsafeMutablePointer<UnsafeRawPointer?>
  /// Of both halves.
  let panelSums: UnsafeMutablePointer<Float>
}

/// Working memory for batches of up to `capacity` rows in one form.
final class Workspace {
  let capacity: Int
  let form: FeatureForm
  let labels: UnsafeMutablePointer<Int32>
  /// Room for step.next_rows; only for training.
  let nextRows: UnsafeMutablePointer<UnsafeRawPointer?>
  /// What the kernels are given; all but rows, parameters and optimiser is filled in.
  let step: UnsafeMutablePointer<tlnk_step>
  /// If two threads divide the inputs.
  let halves: (Half, Half)?
  /// Where gathered rows go.
  private let rows: UnsafeMutableRawPointer
  private let rowStride: Int
  private let memory: Buffer<UInt8>

  private init(
    capacity: Int, form: FeatureForm, step: UnsafeMutablePointer<tlnk_step>,
    nextRows: UnsafeMutablePointer<UnsafeRawPointer?>, halves: (Half, Half)?,
    memory: consuming Buffer<UInt8>
  ) {
    self.capacity = capacity
    self.form = form
    self.step = step
    self.nextRows = nextRows
    self.halves = halves
    labels = UnsafeMutablePointer(mutating: step.pointee.labels!)
    rows = UnsafeMutableRawPointer(mutating: step.pointee.x!)
    rowStride = step.pointee.x_stride
    self.memory = memory
  }

  /// Rows are handled in groups of 64, the bits of a word.
  static func capacity(for rows: Int) -> Int { roundedUp(rows, to: 64) }

  /// Room for `rows` rows, at most `Dataset.rowLimit`; with the gradients if it is for training.
  static func make(
    _ layout: CPULayout, rows: Int, form: FeatureForm, training: Bool, division: Division? = nil
  ) throws(Failure) -> Workspace {
    let capacity = capacity(for: rows)
    let (shape, stride) = (layout.shape, layout.stride)
    let rowBytes = shape.input &* form.stored.byteCount
    // An odd number of cache lines, so that a column of features lies in many sets of the cache.
    let xStride = roundedUp(rowBytes, to: Buffer<UInt8>.alignment) | Buffer<UInt8>.alignment
    // First the places, then the memory. The limits on sizes keep the sum below 2^62.
    var size = 0
    func place(_ bytes: Int) -> Int {
      let start = size
      size &+= roundedUp(bytes, to: Buffer<UInt8>.alignment)
      return start
    }
    let description = place(MemoryLayout<tlnk_step>.size)
    // Kernels read features in groups of 64, also floats.
    let x = place(capacity &* xStride &+ 256)
    let labels = place(capacity &* 4)
    let values = place(256 &* 4)
    let h = place(capacity &* stride &* 4)
    let logits = place(capacity &* shape.output &* 4)
    let dLogits = place(capacity &* shape.output &* 4)
    let target = place(capacity &* 4)
    let w2T = place(shape.hidden &* roundedUp(shape.output, to: 16) &* 4)
    let inputWords = roundedUp(shape.input, to: 64) / 64
    let present = form.isDense ? 0 : place(inputWords &* capacity &* 8)
    // For each of 64 features of a word.
    let presentT = training && !form.isDense ? place(inputWords &* capacity &* 8) : 0
    let packs = training && form.packedFeatures > 0
    let xPacked = packs ? place(capacity &* roundedUp(shape.input, to: form.packedFeatures) &* 4) : 0
    let nextRows = training ? place(capacity &* 8) : 0
    // The forward pass's sums are done with when the gradients begin.
    let dH = place(capacity &* stride &* 4)
    let panelSums = place((division?.panels ?? 0) &* capacity &* stride &* 4)
    // The first half gathers where whole rows go, the second elsewhere.
    let firstStep = place(MemoryLayout<tlnk_step>.size)
    let secondStep = place(MemoryLayout<tlnk_step>.size)
    let secondX = division == nil ? 0 : place(capacity &* xStride &+ 256)
    let secondNextRows = division == nil ? 0 : place(capacity &* 8)
    let needsGradient = training && rows > form.rowsWithoutGradient
    let g1 = needsGradient ? place(shape.input &* stride &* 4) : 0

    let memory = try Buffer<UInt8>(zeroed: size)
    let base = UnsafeMutableRawPointer(memory.base)
    func floats(_ place: Int) -> UnsafeMutablePointer<Float> {
      (base + place).assumingMemoryBound(to: Float.self)
    }
    func half(_ inputs: Range<Int>, step: Int, x: Int, nextRows: Int) -> Half {
      Half(
        inputs: inputs, step: (base + step).bindMemory(to: tlnk_step.self, capacity: 1), rows: base + x,
        nextRows: (base + nextRows).assumingMemoryBound(to: UnsafeRawPointer?.self),
        panelSums: floats(panelSums))
    }
    for byte in 0..<256 { floats(values)[byte] = Float(byte) / 255 }
    var step = tlnk_step()
    step.inputs = shape.input
    step.hidden = shape.hidden
    step.outputs = shape.output
    step.stride = stride
    step.capacity = capacity
    step.x_stride = xStride
    step.x = UnsafeRawPointer(base + x)
    step.w2_t = floats(w2T)
    step.labels = UnsafePointer((base + labels).assumingMemoryBound(to: Int32.self))
    step.byte_values = UnsafePointer(floats(values))
    step.h = floats(h)
    step.partial = floats(dH)
    step.logits = floats(logits)
    step.d_logits = floats(dLogits)
    step.target = floats(target)
    step.present = (base + present).assumingMemoryBound(to: UInt64.self)
    if training {
      step.present_t = (base + presentT).assumingMemoryBound(to: UInt64.self)
      step.d_h = floats(dH)
      step.x_packed = packs ? floats(xPacked) : nil
      step.g1 = needsGradient ? floats(g1) : nil
    }
    let place = (base + description).bindMemory(to: tlnk_step.self, capacity: 1)
    place.initialize(to: step)
    let halves = division.map {
      (
        half(0..<$0.boundary, step: firstStep, x: x, nextRows: nextRows),
        half($0.boundary..<shape.input, step: secondStep, x: secondX, nextRows: secondNextRows)
      )
    }
    return Workspace(
      capacity: capacity, form: form, step: place,
      nextRows: (base + nextRows).assumingMemoryBound(to: UnsafeRawPointer?.self), halves: halves,
      memory: memory)
  }

  /// Copies a row of features in; what is behind it in the row stays zero.
  func gather(_ features: UnsafeRawPointer, into row: Int, _ kernels: borrowing tlnk_kernels) {
    let target = rows + row &* rowStride
    if form.source == form.stored {
      memcpy(target, features, step.pointee.inputs &* form.stored.byteCount)
    } else {
      kernels.to_floats(
        features.assumingMemoryBound(to: UInt8.self), target.assumingMemoryBound(to: Float.self),
        step.pointee.inputs)
    }
  }

  /// Lets the kernels read rows where they are, or those that were gathered.
  func read(_ source: (rows: UnsafeRawPointer, stride: Int)?) {
    step.pointee.x = source?.rows ?? UnsafeRawPointer(rows)
    step.pointee.x_stride = source?.stride ?? rowStride
  }

  /// Brings w2_t up to date, if the logits of this batch need it.
  func prepareLogits(_ kernels: tlnk_kernels) {
    let (batch, hidden, outputs) = (step.pointee.batch, step.pointee.hidden, step.pointee.outputs)
    guard kernels.logits_need_w2_t(batch, hidden, outputs) != 0 else { return }
    kernels.transpose_w2(step, 0, outputs)
  }

  func fits(rows: Int, _ form: FeatureForm) -> Bool { rows <= capacity && form == self.form }
}

extension tlnk_step {
  /// Points the step at parameters.
  mutating func use(_ parameters: borrowing CPUParameters) {
    (w1, b1, w2, b2) = (parameters.w1, parameters.b1, parameters.w2, parameters.b2)
  }

  /// Points the step at momentum buffers.
  mutating func useMomentum(_ momentum: borrowing CPUParameters) {
    (v1, vb1, v2, vb2) = (momentum.w1, momentum.b1, momentum.w2, momentum.b2)
  }
}
