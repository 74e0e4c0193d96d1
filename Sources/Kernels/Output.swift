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
  static func run<T: Tile>(_ tile: T.Type, _ step: tlnk_step, column: Int, first: Int, last: Int) {
    let (outputs, stride, capacity) = (step.outputs, step.stride, step.capacity)
    let panel = panelLength(outputs)
    let weights = UnsafePointer(step.w2!) + column
    for sample in first..<last {
      let offset = sample &* stride &+ column
      var panelStart = 0
      while panelStart < outputs {
        let panelEnd = panelStart &+ panel < outputs ? panelStart &+ panel : outputs
        var sum = T()
        for output in panelStart..<panelEnd {
          sum.addProduct(step.d_logits![output &* capacity &+ sample], weights + output &* stride)
        }
        if panelStart > 0 { sum.add(step.d_h! + offset) }
        if panelEnd == outputs { sum = sum.whereActive(step.h! + offset) }
        sum.store(at: step.d_h! + offset)
        panelStart = panelEnd
      }
    }
  }
}

/// Gradient and update of w2 for outputs first ..< last.
enum OutputUpdate: TileKernel {
  static func run<T: Tile>(_ tile: T.Type, _ step: tlnk_step, column: Int, first: Int, last: Int) {
    let (rows, stride, capacity) = (step.rows, step.stride, step.capacity)
    let panel = panelLength(rows)
    let h = UnsafePointer(step.h!) + column
    let plain = PlainMomentum.fits(step)
    for output in first..<last {
      let gradients = step.d_logits! + output &* capacity
      var total = T()
      var panelStart = 0
      while panelStart < rows {
        let panelEnd = panelStart &+ panel < rows ? panelStart &+ panel : rows
        var sum = T()
        for sample in panelStart..<panelEnd { sum.addProduct(gradients[sample], h + sample &* stride) }
        if panelStart > 0 { sum = total + sum }
        total = sum
        panelStart = panelEnd
      }
      let offset = output &* stride &+ column
      let (p, v) = (step.w2! + offset, step.v2! + offset)
      if plain {
        total.update(PlainMomentum(step), p, v)
      } else {
        total.update(FullRule(step: step), p, v)
      }
    }
  }
}
