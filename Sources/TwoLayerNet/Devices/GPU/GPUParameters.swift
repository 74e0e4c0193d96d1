// The four parameters of a network, or their four momentum buffers, in a device's memory: one piece, the
// first layer's weights transposed, so that neighbouring threads read neighbouring hidden units.

import CGPUKernels

struct GPUParameters {
  private let shape: Shape
  private let buffer: GPUBuffer
  private let places: (w1: Int, b1: Int, w2: Int, b2: Int)

  /// All zero.
  static func make(
    _ context: GPUContext, _ shape: Shape, isSpare: Bool = false
  ) throws(Failure) -> GPUParameters {
    var places = GPUPlaces()
    let w1 = places.place(shape.input &* shape.hidden)
    let b1 = places.place(shape.hidden)
    let w2 = places.place(shape.output &* shape.hidden)
    let b2 = places.place(shape.output)
    let buffer = try GPUBuffer.make(context, bytes: places.bytes, isSpare: isSpare)
    try context.driver.clear(buffer.memory)
    return GPUParameters(shape: shape, buffer: buffer, places: (w1, b1, w2, b2))
  }

  var w1: UInt64 { buffer.address &+ UInt64(places.w1) }
  var b1: UInt64 { buffer.address &+ UInt64(places.b1) }
  var w2: UInt64 { buffer.address &+ UInt64(places.w2) }
  var b2: UInt64 { buffer.address &+ UInt64(places.b2) }

  private func place(_ parameter: Parameter) -> Int {
    switch parameter {
    case .hiddenWeight: places.w1
    case .hiddenBias: places.b1
    case .outputWeight: places.w2
    case .outputBias: places.b2
    }
  }

  func copy(from other: GPUParameters) throws(Failure) { try buffer.copy(from: other.buffer) }

  /// Copies a parameter out, row-major as PyTorch has it.
  func read(_ parameter: Parameter, into values: UnsafeMutableBufferPointer<Float>) throws(Failure) {
    guard parameter == .hiddenWeight else {
      return try buffer.download(
        offset: place(parameter), into: UnsafeMutableRawBufferPointer(values))
    }
    let transposed = try Buffer<Float>(uninitialized: values.count)
    try buffer.download(offset: places.w1, into: UnsafeMutableRawBufferPointer(transposed.mutable))
    transpose(transposed.readOnly, rows: shape.input, into: values)
  }

  /// Copies a parameter in.
  func write(_ parameter: Parameter, from values: UnsafeBufferPointer<Float>) throws(Failure) {
    guard parameter == .hiddenWeight else {
      return try buffer.upload(UnsafeRawBufferPointer(values), offset: place(parameter))
    }
    let transposed = try Buffer<Float>(uninitialized: values.count)
    transpose(values, rows: shape.hidden, into: transposed.mutable)
    try buffer.upload(UnsafeRawBufferPointer(transposed.readOnly), offset: places.w1)
  }
}

/// A matrix with so many rows, transposed; in blocks that stay in the first-level cache.
private func transpose(
  _ matrix: UnsafeBufferPointer<Float>, rows: Int, into target: UnsafeMutableBufferPointer<Float>
) {
  let columns = matrix.count / rows
  let (source, target) = (matrix.baseAddress!, target.baseAddress!)
  var first = 0
  while first < rows {
    let last = min(first &+ 32, rows)
    for column in 0..<columns {
      for row in first..<last { target[column &* rows &+ row] = source[row &* columns &+ column] }
    }
    first = last
  }
}

extension tlng_step {
  mutating func use(_ parameters: GPUParameters) {
    (w1, b1, w2, b2) = (parameters.w1, parameters.b1, parameters.w2, parameters.b2)
  }

  mutating func useMomentum(_ momentum: GPUParameters) {
    (v1, vb1, v2, vb2) = (momentum.w1, momentum.b1, momentum.w2, momentum.b2)
  }
}
