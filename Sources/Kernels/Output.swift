// The second layer: logits, the gradient that goes back to the hidden units, and its own update.

import CKernels

/// logits for samples first ..< last.
///
/// PyTorch computes outputs as dot products: the first multiple of four outputs in four lanes of
/// products that are rounded before they are added, the rest in eight lanes.
func logits(_ step: tlnk_step, first: Int, last: Int) {
  let (hidden, outputs, stride) = (step.hidden, step.outputs, step.stride)
  let inFourLanes = outputs & ~3
  for sample in first..<last {
    let h = UnsafePointer(step.h! + sample &* stride)
    for output in 0..<outputs {
      let w = UnsafePointer(step.w2! + output &* stride)
      let sum = output < inFourLanes ? dot4(h, w, hidden) : dot8(h, w, hidden)
      step.logits![output &* step.capacity &+ sample] = sum + step.b2![output]
    }
  }
}

@inline(__always)
private func dot4(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
  var lanes = SIMD4<Float>(repeating: 0)
  var index = 0
  while index &+ 4 <= count {
    let product = load4(a + index) * load4(b + index)
    lanes = lanes + product
    index &+= 4
  }
  return finish(lanes, a, b, from: index, count)
}

@inline(__always)
private func dot8(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
  var low = SIMD4<Float>(repeating: 0)
  var high = SIMD4<Float>(repeating: 0)
  var index = 0
  while index &+ 8 <= count {
    let lowProduct = load4(a + index) * load4(b + index)
    let highProduct = load4(a + (index &+ 4)) * load4(b + (index &+ 4))
    low = low + lowProduct
    high = high + highProduct
    index &+= 8
  }
  return finish(low + high, a, b, from: index, count)
}

@inline(__always)
private func load4(_ pointer: UnsafePointer<Float>) -> SIMD4<Float> {
  UnsafeRawPointer(pointer).loadUnaligned(as: SIMD4<Float>.self)
}

@inline(__always)
private func finish(
  _ lanes: SIMD4<Float>, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, from: Int, _ count: Int
) -> Float {
  var sum = (lanes.x + lanes.z) + (lanes.y + lanes.w)
  for index in from..<count {
    let product = a[index] * b[index]
    sum = sum + product
  }
  return sum
}

/// d_h for samples first ..< last: d_logits w2, and zero where the unit was not active.
enum HiddenGradient: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    let (outputs, stride, capacity) = (step.pointee.outputs, step.pointee.stride, step.pointee.capacity)
    let gradients = step.pointee.d_logits!
    let weights = UnsafePointer(step.pointee.w2!) + column
    let (h, result) = (step.pointee.h! + column, step.pointee.d_h! + column)
    let panel = panelLength(outputs)
    let zero = Lanes(repeating: 0)
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      for sample in first..<last {
        let target = result + sample &* stride
        var start = 0
        while start < outputs {
          let end = start &+ panel < outputs ? start &+ panel : outputs
          sums.clear()
          for output in start..<end {
            sums.addProduct(gradients[output &* capacity &+ sample], weights + output &* stride)
          }
          if start > 0 { sums.add(target) }
          sums.store(at: target)
          start = end
        }
        T.forEachVector {
          // A unit that is NaN passes its gradient on, as in PyTorch.
          let inactive = Lanes(at: h + (sample &* stride &+ $0)) .<= zero
          Lanes(at: target + $0).replacing(with: 0, where: inactive).store(at: target + $0)
        }
      }
    }
  }
}

/// Gradient and update of w2 for outputs first ..< last.
enum OutputUpdate: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    let (rows, stride) = (step.pointee.rows, step.pointee.stride)
    let panel = panelLength(rows)
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let gradient = Sums<T>($0)
      for output in first..<last {
        var start = 0
        while start < rows {
          let end = start &+ panel < rows ? start &+ panel : rows
          panelSum(tile, step, column, output, start, end, gradient.memory)
          start = end
        }
        let offset = output &* stride &+ column
        update(
          gradient.memory, step.pointee.w2! + offset, step.pointee.v2! + offset, count: T.width, step)
      }
    }
  }

  /// Adds the sum over samples start ..< end to `gradient`, which the first panel fills.
  @inline(never)
  private static func panelSum<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ output: Int, _ start: Int,
    _ end: Int, _ gradient: UnsafeMutablePointer<Float>
  ) {
    let stride = step.pointee.stride
    let factors = step.pointee.d_logits! + output &* step.pointee.capacity
    let h = UnsafePointer(step.pointee.h!) + column
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      for sample in start..<end { sums.addProduct(factors[sample], h + sample &* stride) }
      if start > 0 { sums.add(gradient) }
      sums.store(at: gradient)
    }
  }
}
