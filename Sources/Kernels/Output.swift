// The second layer forward: logits, class by class.

import CKernels

/// logits for samples first ..< last.
func logits(_ step: tlnk_step, first: Int, last: Int) {
  if dotsAreInterleaved(rows: step.batch, columns: step.outputs, terms: step.hidden) {
    interleavedDotLogits(step, first: first, last: last)
  } else if forwardIsDots(rows: step.batch, columns: step.outputs, terms: step.hidden) {
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

// The same for several rows whose length is a multiple of four, so that each dot goes into its lanes from
// the first product on. Four outputs with four lanes each make a vector; so do two of the outputs after
// the last multiple of four, which have eight lanes.

private typealias Quads = SIMD16<Float>

func dotsAreInterleaved(rows: Int, columns: Int, terms: Int) -> Bool {
  rows >= 4 && columns > 1 && terms >= 8 && terms & 3 == 0
    && forwardIsDots(rows: rows, columns: columns, terms: terms)
}

/// Four samples at a time, which share each vector of weights: so many sums that an addition need not wait
/// for the one before.
func interleavedDotLogits(_ step: tlnk_step, first: Int, last: Int) {
  let (hidden, outputs, capacity) = (step.hidden, step.outputs, step.capacity)
  var sample = first
  while sample < last {
    // Samples that do not exist repeat the last one.
    let rest = last &- sample
    let places = (1 < rest ? 1 : 0, 2 < rest ? 2 : rest &- 1, 3 < rest ? 3 : rest &- 1)
    let h = UnsafePointer(step.h! + sample &* step.stride)
    let rows = (
      h, h + places.0 &* step.stride, h + places.1 &* step.stride, h + places.2 &* step.stride
    )
    let logits = step.logits! + sample
    var output = 0
    while output < outputs & ~3 {
      let sums = fourDots(rows, step.w2_t! + output &* hidden, hidden)
      let bias = load4(step.b2! + output)
      let biased = (bias + sums.0, bias + sums.1, bias + sums.2, bias + sums.3)
      for index in 0..<4 {
        let target = logits + (output &+ index) &* capacity
        target[0] = biased.0[index]
        target[places.0] = biased.1[index]
        target[places.1] = biased.2[index]
        target[places.2] = biased.3[index]
      }
      output &+= 4
    }
    while output < outputs {
      let sums = twoDots(rows, step.w2_t! + output &* hidden, hidden)
      for index in 0..<(outputs &- output < 2 ? 1 : 2) {
        let bias = step.b2![output &+ index]
        let target = logits + (output &+ index) &* capacity
        target[0] = bias + sums.0[index]
        target[places.0] = bias + sums.1[index]
        target[places.1] = bias + sums.2[index]
        target[places.2] = bias + sums.3[index]
      }
      output &+= 2
    }
    sample &+= 4
  }
}

private typealias Rows = (
  UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>
)

/// Four dots with four lanes, for four samples.
@inline(__always)
private func fourDots(
  _ rows: Rows, _ w: UnsafePointer<Float>, _ count: Int
) -> (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>, SIMD4<Float>) {
  let zero = Quads(repeating: 0)
  var (sum0, sum1, sum2, sum3) = (zero, zero, zero, zero)
  var k = 0
  while k < count {
    let weights = load16(w + k &* 4)
    let (product0, product1) = (fourTimes(rows.0 + k) * weights, fourTimes(rows.1 + k) * weights)
    let (product2, product3) = (fourTimes(rows.2 + k) * weights, fourTimes(rows.3 + k) * weights)
    (sum0, sum1, sum2, sum3) = (sum0 + product0, sum1 + product1, sum2 + product2, sum3 + product3)
    k &+= 4
  }
  return (sumOfLanes(sum0), sumOfLanes(sum1), sumOfLanes(sum2), sumOfLanes(sum3))
}

@inline(__always)
private func fourTimes(_ h: UnsafePointer<Float>) -> Quads {
  let four = load4(h)
  let eight = SIMD8(lowHalf: four, highHalf: four)
  return Quads(lowHalf: eight, highHalf: eight)
}

@inline(__always)
private func sumOfLanes(_ sums: Quads) -> SIMD4<Float> {
  let (even, odd) = (sums.evenHalf, sums.oddHalf)
  return (even.evenHalf + even.oddHalf) + (odd.evenHalf + odd.oddHalf)
}

/// Two dots with eight lanes, and up to four more products, for four samples.
@inline(__always)
private func twoDots(
  _ rows: Rows, _ w: UnsafePointer<Float>, _ count: Int
) -> (SIMD2<Float>, SIMD2<Float>, SIMD2<Float>, SIMD2<Float>) {
  let zero = Quads(repeating: 0)
  var (sum0, sum1, sum2, sum3) = (zero, zero, zero, zero)
  let end = count & ~7
  var k = 0
  while k < end {
    let weights = load16(w + k &* 2)
    let (product0, product1) = (twoTimes(rows.0 + k) * weights, twoTimes(rows.1 + k) * weights)
    let (product2, product3) = (twoTimes(rows.2 + k) * weights, twoTimes(rows.3 + k) * weights)
    (sum0, sum1, sum2, sum3) = (sum0 + product0, sum1 + product1, sum2 + product2, sum3 + product3)
    k &+= 8
  }
  let (rest, left) = (w + end &* 2, count &- end)
  return (
    sumOfLanes(sum0, rows.0 + end, rest, left), sumOfLanes(sum1, rows.1 + end, rest, left),
    sumOfLanes(sum2, rows.2 + end, rest, left), sumOfLanes(sum3, rows.3 + end, rest, left)
  )
}

@inline(__always)
private func twoTimes(_ h: UnsafePointer<Float>) -> Quads {
  let eight = UnsafeRawPointer(h).loadUnaligned(as: SIMD8<Float>.self)
  return Quads(lowHalf: eight, highHalf: eight)
}

/// The sums of eight lanes, and `count` products more: four, which lie output by output, or none.
@inline(__always)
private func sumOfLanes(
  _ sums: Quads, _ h: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ count: Int
) -> SIMD2<Float> {
  let left = sums.lowHalf.lowHalf + sums.lowHalf.highHalf
  let right = sums.highHalf.lowHalf + sums.highHalf.highHalf
  var result = SIMD2((left.x + left.z) + (left.y + left.w), (right.x + right.z) + (right.y + right.w))
  for index in 0..<count {
    let products = SIMD2(h[index] * w[index], h[index] * w[4 &+ index])
    result = result + products
  }
  return result
}

@inline(__always)
private func load16(_ pointer: UnsafePointer<Float>) -> Quads {
  UnsafeRawPointer(pointer).loadUnaligned(as: Quads.self)
}

/// Whether `logits` reads w2_t.
func logitsNeedTransposedWeights(batch: Int, hidden: Int, outputs: Int) -> Bool {
  !forwardIsDots(rows: batch, columns: outputs, terms: hidden)
    || dotsAreInterleaved(rows: batch, columns: outputs, terms: hidden)
}

private let outputPadding = 16

/// w2_t for outputs first ..< last.
func transposeOutputWeights(_ step: tlnk_step, first: Int, last: Int) {
  if dotsAreInterleaved(rows: step.batch, columns: step.outputs, terms: step.hidden) {
    interleaveOutputWeights(step, first: first, last: last)
    return
  }
  let spacing = (step.outputs &+ outputPadding &- 1) / outputPadding &* outputPadding
  for output in first..<last {
    for unit in 0..<step.hidden {
      step.w2_t![unit &* spacing &+ output] = step.w2![output &* step.stride &+ unit]
    }
  }
}

/// The order in which `fourDots` and `twoDots` read.
private func interleaveOutputWeights(_ step: tlnk_step, first: Int, last: Int) {
  let hidden = step.hidden
  for output in first..<last {
    let w = UnsafePointer(step.w2! + output &* step.stride)
    let inFours = output < step.outputs & ~3
    // So many outputs side by side, with so many lanes.
    let (group, lanes) = inFours ? (4, 4) : (2, 8)
    let start = step.w2_t! + output / group &* group &* hidden
    var k = 0
    while k < hidden {
      // The last four of a row may be all that is left for eight lanes.
      let width = hidden &- k < lanes ? hidden &- k : lanes
      let target = start + (k &* group &+ output % group &* width)
      var index = 0
      while index < width {
        UnsafeMutableRawPointer(target + index).storeBytes(
          of: load4(w + (k &+ index)), as: SIMD4<Float>.self)
        index &+= 4
      }
      k &+= lanes
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
