// The four parameters of a network, or their four momentum buffers, as the CPU kernels want them: one
// piece of memory, the first layer's weights transposed, rows padded to whole tiles of vectors.

/// Where each parameter lies, for one shape and one instruction set.
struct CPULayout {
  let shape: Shape
  /// Hidden units, padded.
  let stride: Int

  /// Padding after the last parameters, so that whole vectors may be read and written: the widest vector.
  private static let outputPadding = 16

  var b1: Int { shape.input &* stride }
  var w2: Int { b1 &+ stride }
  var b2: Int { w2 &+ shape.output &* stride }
  var count: Int { b2 &+ roundedUp(shape.output, to: Self.outputPadding) }
}

/// Parameters or momentum: w1 [input][stride], b1 [stride], w2 [output][stride], b2 [output].
struct CPUParameters: ~Copyable {
  let layout: CPULayout
  private let memory: Buffer<Float>
  let w1: UnsafeMutablePointer<Float>

  /// All zero.
  init(_ layout: CPULayout) throws(Failure) {
    self.layout = layout
    memory = try Buffer(zeroed: layout.count)
    w1 = memory.base
  }

  /// All zero, and half a page away from where others lie in theirs: a processor takes a load for one of what
  /// was just stored if the places in a page are the same, and an update goes through both in step.
  init(besides others: borrowing CPUParameters) throws(Failure) {
    layout = others.layout
    let page = 4096
    memory = try Buffer(zeroed: layout.count &+ page / 4)
    let place = Int(bitPattern: others.w1) &+ page / 2 &- Int(bitPattern: memory.base)
    w1 = memory.base + (place & (page &- 1)) / 4
  }

  var b1: UnsafeMutablePointer<Float> { w1 + layout.b1 }
  var w2: UnsafeMutablePointer<Float> { w1 + layout.w2 }
  var b2: UnsafeMutablePointer<Float> { w1 + layout.b2 }

  /// Copies a parameter out, row-major as PyTorch has it.
  func read(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>) {
    forEachElement(parameter) { values[$0] = w1[$1] }
  }

  /// Copies a parameter in.
  func write(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) {
    forEachElement(parameter) { w1[$1] = values[$0] }
  }

  /// Calls with PyTorch's index and ours of each element.
  private func forEachElement(_ parameter: Parameter, _ body: (Int, Int) -> Void) {
    let (shape, stride) = (layout.shape, layout.stride)
    switch parameter {
    case .hiddenWeight:
      for unit in 0..<shape.hidden {
        for input in 0..<shape.input { body(unit &* shape.input &+ input, input &* stride &+ unit) }
      }
    case .hiddenBias:
      for unit in 0..<shape.hidden { body(unit, layout.b1 &+ unit) }
    case .outputWeight:
      for output in 0..<shape.output {
        for unit in 0..<shape.hidden {
          body(output &* shape.hidden &+ unit, layout.w2 &+ output &* stride &+ unit)
        }
      }
    case .outputBias:
      for output in 0..<shape.output { body(output, layout.b2 &+ output) }
    }
  }
}
