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
  let outputs = step.outputs
  // Samples whose dots have the same order go in pairs: r with r + 4.
  let paired = step.batch > 1 && outputs > 1 ? first &+ ((last &- first) & ~7) : first
  var sample = first
  while sample < paired {
    for row in sample..<(sample &+ 4) {
      var output = 0
      while output < outputs {
        // Whole groups of four outputs, then one by one.
        let isGroup = output < outputs & ~3
        pairOfDots(step, row, output, isGroup: isGroup)
        output &+= isGroup ? 4 : 1
      }
    }
    sample &+= 8
  }
  while sample < last {
    let h = UnsafePointer(step.h! + sample &* step.stride)
    for output in 0..<outputs {
      let w = UnsafePointer(step.w2! + output &* step.stride)
      step.logits![output &* step.capacity &+ sample] =
        step.b2![output] + dot(h, w, step.hidden, dotOrder(step, sample, output))
    }
    sample &+= 1
  }
}

private func dotOrder(_ step: tlnk_step, _ sample: Int, _ output: Int) -> DotOrder {
  DotOrder(
    rows: step.batch, columns: step.outputs, terms: step.hidden, row: step.first_row &+ sample,
    column: output)
}

/// The logits of two samples, `sample` and the fourth after it, for four outputs in the order of four
/// lanes, or for one in that of eight.
@inline(never)
private func pairOfDots(_ step: tlnk_step, _ sample: Int, _ output: Int, isGroup: Bool) {
  let (stride, count) = (step.stride, step.hidden)
  let order = dotOrder(step, sample, output)
  let end = order.lanesEnd(terms: count)
  let h0 = UnsafePointer(step.h! + sample &* stride)
  let h1 = h0 + 4 &* stride
  let w = UnsafePointer(step.w2! + output &* stride)
  // Lanes 0 to 3 of both samples; for one output, lanes 4 to 7 are sum1.
  var (sum0, sum1, sum2, sum3) = (Pair8(), Pair8(), Pair8(), Pair8())
  var k = order.prefix
  if isGroup {
    sum0 = prefix(h0, h1, w, k)
    sum1 = prefix(h0, h1, w + stride, k)
    sum2 = prefix(h0, h1, w + 2 &* stride, k)
    sum3 = prefix(h0, h1, w + 3 &* stride, k)
    let (w1, w2, w3) = (w + stride, w + 2 &* stride, w + 3 &* stride)
    while k < end {
      let h = Pair8(lowHalf: load4(h0 + k), highHalf: load4(h1 + k))
      let (p0, p1) = (h * twice(w + k), h * twice(w1 + k))
      let (p2, p3) = (h * twice(w2 + k), h * twice(w3 + k))
      (sum0, sum1, sum2, sum3) = (sum0 + p0, sum1 + p1, sum2 + p2, sum3 + p3)
      k &+= 4
    }
  } else {
    sum0 = prefix(h0, h1, w, k)
    while k < end {
      let low = Pair8(lowHalf: load4(h0 + k), highHalf: load4(h1 + k)) * twice(w + k)
      let high = Pair8(lowHalf: load4(h0 + (k &+ 4)), highHalf: load4(h1 + (k &+ 4))) * twice(w + (k &+ 4))
      (sum0, sum1) = (sum0 + low, sum1 + high)
      k &+= 8
    }
    sum0 = sum0 + sum1
  }
  for index in 0..<(isGroup ? 4 : 1) {
    let lanes = index == 0 ? sum0 : index == 1 ? sum1 : index == 2 ? sum2 : sum3
    let result = step.logits! + ((output &+ index) &* step.capacity &+ sample)
    let bias = step.b2![output &+ index]
    let w = w + index &* stride
    result[0] = bias + rest(lanes.lowHalf, h0, w, end, count)
    result[4] = bias + rest(lanes.highHalf, h1, w, end, count)
  }
}

/// The lanes of two samples.
private typealias Pair8 = SIMD8<Float>

@inline(__always)
private func twice(_ w: UnsafePointer<Float>) -> Pair8 {
  let w = load4(w)
  return Pair8(lowHalf: w, highHalf: w)
}

/// The products before the lanes begin, in lane 0.
@inline(__always)
private func prefix(
  _ h0: UnsafePointer<Float>, _ h1: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ count: Int
) -> Pair8 {
  var sums = Pair8()
  sums[0] = chain(0, h0, w, 0, count)
  sums[4] = chain(0, h1, w, 0, count)
  return sums
}

/// The sum of the lanes, and the products after them.
@inline(__always)
private func rest(
  _ lanes: SIMD4<Float>, _ h: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ start: Int, _ end: Int
) -> Float {
  chain((lanes.x + lanes.z) + (lanes.y + lanes.w), h, w, start, end)
}

/// Adds rounded products one by one.
@inline(__always)
private func chain(
  _ sum: Float, _ h: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ start: Int, _ end: Int
) -> Float {
  var sum = sum
  var k = start
  while k < end {
    let product = h[k] * w[k]
    sum = sum + product
    k &+= 1
  }
  return sum
}

/// h . w in the order of a dot; the lanes are adjacent here.
@inline(__always)
private func dot(
  _ h: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ count: Int, _ order: DotOrder
) -> Float {
  var k = order.prefix
  let end = order.lanesEnd(terms: count)
  var low = SIMD4<Float>(chain(0, h, w, 0, k), 0, 0, 0)
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
  return rest(low, h, w, k, count)
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
