// The second layer forward: logits, class by class.

import CKernels

/// logits for samples first ..< last.
func logits(_ step: tlnk_step, first: Int, last: Int) {
  if forwardIsDots(rows: step.batch, columns: step.outputs, terms: step.hidden) {
    dotLogits(step, first: first, last: last)
  } else {
    panelLogits(step, first: first, last: last)
  }
}

private func dotLogits(_ step: tlnk_step, first: Int, last: Int) {
  let (hidden, outputs, stride) = (step.hidden, step.outputs, step.stride)
  for sample in first..<last {
    let h = UnsafePointer(step.h! + sample &* stride)
    for output in 0..<outputs {
      let w = UnsafePointer(step.w2! + output &* stride)
      let order = DotOrder(
        rows: step.batch, columns: outputs, terms: hidden, row: step.first_row &+ sample,
        column: output)
      step.logits![output &* step.capacity &+ sample] = step.b2![output] + dot(h, w, hidden, order)
    }
  }
}

/// h . w in the order of a dot; the lanes are adjacent here.
@inline(__always)
private func dot(
  _ h: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ count: Int, _ order: DotOrder
) -> Float {
  var k = 0
  var sum: Float = 0
  while k < order.prefix {
    let product = h[k] * w[k]
    sum = sum + product
    k &+= 1
  }
  let end = order.lanesEnd(terms: count)
  var low = SIMD4<Float>(sum, 0, 0, 0)
  if order.lanes == 4 {
    while k < end {
      let product = load4(h + k) * load4(w + k)
      low = low + product
      k &+= 4
    }
  } else {
    var high = SIMD4<Float>(repeating: 0)
    while k < end {
      let lowProduct = load4(h + k) * load4(w + k)
      let highProduct = load4(h + (k &+ 4)) * load4(w + (k &+ 4))
      low = low + lowProduct
      high = high + highProduct
      k &+= 8
    }
    low = low + high
  }
  sum = (low.x + low.z) + (low.y + low.w)
  while k < count {
    let product = h[k] * w[k]
    sum = sum + product
    k &+= 1
  }
  return sum
}

@inline(__always)
private func load4(_ pointer: UnsafePointer<Float>) -> SIMD4<Float> {
  UnsafeRawPointer(pointer).loadUnaligned(as: SIMD4<Float>.self)
}

/// Whether `logits` reads w2_t.
func logitsNeedTransposedWeights(batch: Int, hidden: Int, outputs: Int) -> Bool {
  !forwardIsDots(rows: batch, columns: outputs, terms: hidden)
}

private let outputPadding = 16

/// w2_t for outputs first ..< last.
func transposeOutputWeights(_ step: tlnk_step, first: Int, last: Int) {
  let spacing = (step.outputs &+ outputPadding &- 1) / outputPadding &* outputPadding
  for output in first..<last {
    for unit in 0..<step.hidden {
      step.w2_t![unit &* spacing &+ output] = step.w2![output &* step.stride &+ unit]
    }
  }
}

/// Vectors run over outputs, and four samples share each vector of weights.
private func panelLogits(_ step: tlnk_step, first: Int, last: Int) {
  let spacing = (step.outputs &+ outputPadding &- 1) / outputPadding &* outputPadding
  var output = 0
  while output < step.outputs {
    var sample = first
    while sample < last {
      let count = last &- sample < 4 ? last &- sample : 4
      panelLogits(step, output, sample, count, spacing)
      sample &+= 4
    }
    output &+= Lanes.count
  }
}

@inline(__always)
private func panelLogits(_ step: tlnk_step, _ output: Int, _ sample: Int, _ count: Int, _ spacing: Int) {
  let hidden = step.hidden
  let panel = panelLength(hidden)
  let weights = step.w2_t! + output
  // Samples that do not exist repeat the last one.
  func row(_ index: Int) -> UnsafeMutablePointer<Float> {
    step.h! + (sample &+ (index < count ? index : count &- 1)) &* step.stride
  }
  let (row0, row1, row2, row3) = (row(0), row(1), row(2), row(3))
  let bias = Lanes(at: step.b2! + output)
  var (total0, total1, total2, total3) = (bias, bias, bias, bias)
  var start = 0
  while start < hidden {
    let end = start &+ panel < hidden ? start &+ panel : hidden
    let zero = Lanes(repeating: 0)
    var (sum0, sum1, sum2, sum3) = (zero, zero, zero, zero)
    for unit in start..<end {
      let w = Lanes(at: weights + unit &* spacing)
      sum0 = fma(Lanes(repeating: row0[unit]), w, sum0)
      sum1 = fma(Lanes(repeating: row1[unit]), w, sum1)
      sum2 = fma(Lanes(repeating: row2[unit]), w, sum2)
      sum3 = fma(Lanes(repeating: row3[unit]), w, sum3)
    }
    (total0, total1, total2, total3) = (total0 + sum0, total1 + sum1, total2 + sum2, total3 + sum3)
    start = end
  }
  let outputs = step.outputs &- output < Lanes.count ? step.outputs &- output : Lanes.count
  for lane in 0..<outputs {
    let logits = step.logits! + ((output &+ lane) &* step.capacity &+ sample)
    logits[0] = total0[lane]
    if count > 1 { logits[1] = total1[lane] }
    if count > 2 { logits[2] = total2[lane] }
    if count > 3 { logits[3] = total3[lane] }
  }
}
