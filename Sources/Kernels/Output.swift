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
  let (hidden, outputs) = (step.hidden, step.outputs)
  var sample = first
  while sample < last {
    let rows = Rows(step, sample, last)
    var output = 0
    #if TLN_AVX512
      // Eight outputs at a time share what is loaded of h. With 16 registers their sums have no room.
      while output &+ 8 <= outputs {
        let w = UnsafePointer(step.w2_t! + output &* hidden)
        let dots = twiceFourDots(rows, w, w + 4 &* hidden, hidden)
        rows.finish(dots.0, output)
        rows.finish(dots.1, output &+ 4)
        output &+= 8
      }
    #endif
    while output < outputs & ~3 {
      rows.finish(fourDots(rows, step.w2_t! + output &* hidden, hidden), output)
      output &+= 4
    }
    while output < outputs {
      let dots = twoDots(rows, step.w2_t! + output &* hidden, hidden)
      rows.finish(dots.lowHalf, output)
      if output &+ 1 < outputs { rows.finish(dots.highHalf, output &+ 1) }
      output &+= 2
    }
    sample &+= 4
  }
}

/// The hidden units of four samples, and where their logits go. Samples that do not exist repeat the last one.
private struct Rows {
  let h0, h1, h2, h3: UnsafePointer<Float>
  private let logits: UnsafeMutablePointer<Float>
  private let biases: UnsafePointer<Float>
  private let capacity, count: Int

  @inline(__always)
  init(_ step: tlnk_step, _ sample: Int, _ last: Int) {
    count = last &- sample
    let stride = step.stride
    h0 = UnsafePointer(step.h! + sample &* stride)
    h1 = count > 1 ? h0 + stride : h0
    h2 = count > 2 ? h1 + stride : h1
    h3 = count > 3 ? h2 + stride : h2
    (logits, biases, capacity) = (step.logits! + sample, UnsafePointer(step.b2!), step.capacity)
  }

  /// The logits of four outputs.
  @inline(__always)
  func finish(_ dots: Quads, _ output: Int) {
    finish(dots.lowHalf.lowHalf, output)
    finish(dots.lowHalf.highHalf, output &+ 1)
    finish(dots.highHalf.lowHalf, output &+ 2)
    finish(dots.highHalf.highHalf, output &+ 3)
  }

  /// The logits of an output, from its dots with the four samples.
  @inline(__always)
  func finish(_ dots: SIMD4<Float>, _ output: Int) {
    let biased = SIMD4(repeating: biases[output]) + dots
    let target = logits + output &* capacity
    if count >= 4 {
      UnsafeMutableRawPointer(target).storeBytes(of: biased, as: SIMD4<Float>.self)
    } else {
      target[0] = biased.x
      if count > 1 { target[1] = biased.y }
      if count > 2 { target[2] = biased.z }
    }
  }
}

/// Four dots with four lanes, for four samples: output by output.
@inline(__always)
private func fourDots(_ rows: Rows, _ w: UnsafePointer<Float>, _ count: Int) -> Quads {
  var sums = FourLanes()
  var k = 0
  while k < count {
    sums.add(Factors(rows, k), load16(w + k &* 4))
    k &+= 4
  }
  return sums.folded
}

#if TLN_AVX512
  /// The same for two times four outputs.
  @inline(__always)
  private func twiceFourDots(
    _ rows: Rows, _ w: UnsafePointer<Float>, _ nextW: UnsafePointer<Float>, _ count: Int
  ) -> (Quads, Quads) {
    var (sums, nextSums) = (FourLanes(), FourLanes())
    var k = 0
    while k < count {
      let factors = Factors(rows, k)
      sums.add(factors, load16(w + k &* 4))
      nextSums.add(factors, load16(nextW + k &* 4))
      k &+= 4
    }
    return (sums.folded, nextSums.folded)
  }
#endif

/// Four hidden units of four samples, each four times.
private struct Factors {
  let h0, h1, h2, h3: Quads

  @inline(__always)
  init(_ rows: Rows, _ k: Int) {
    func fourTimes(_ h: UnsafePointer<Float>) -> Quads {
      let four = load4(h)
      let eight = SIMD8(lowHalf: four, highHalf: four)
      return Quads(lowHalf: eight, highHalf: eight)
    }
    (h0, h1) = (fourTimes(rows.h0 + k), fourTimes(rows.h1 + k))
    (h2, h3) = (fourTimes(rows.h2 + k), fourTimes(rows.h3 + k))
  }
}

/// The lanes of four outputs' dots with four samples.
private struct FourLanes {
  private var (sum0, sum1) = (Quads(repeating: 0), Quads(repeating: 0))
  private var (sum2, sum3) = (Quads(repeating: 0), Quads(repeating: 0))

  @inline(__always)
  mutating func add(_ factors: Factors, _ weights: Quads) {
    let (product0, product1) = (factors.h0 * weights, factors.h1 * weights)
    let (product2, product3) = (factors.h2 * weights, factors.h3 * weights)
    (sum0, sum1, sum2, sum3) = (sum0 + product0, sum1 + product1, sum2 + product2, sum3 + product3)
  }

  /// The dots, output by output.
  @inline(__always)
  var folded: Quads {
    tlnk_sums_of_twos(tlnk_halves_of_fours(sum0, sum1), tlnk_halves_of_fours(sum2, sum3))
  }
}

/// Two dots with eight lanes, and up to four more products, for four samples: output by output.
@inline(__always)
private func twoDots(_ rows: Rows, _ w: UnsafePointer<Float>, _ count: Int) -> SIMD8<Float> {
  let zero = Quads(repeating: 0)
  var (sum0, sum1, sum2, sum3) = (zero, zero, zero, zero)
  let end = count & ~7
  var k = 0
  while k < end {
    let weights = load16(w + k &* 2)
    let (product0, product1) = (twoTimes(rows.h0 + k) * weights, twoTimes(rows.h1 + k) * weights)
    let (product2, product3) = (twoTimes(rows.h2 + k) * weights, twoTimes(rows.h3 + k) * weights)
    (sum0, sum1, sum2, sum3) = (sum0 + product0, sum1 + product1, sum2 + product2, sum3 + product3)
    k &+= 8
  }
  // Each four lanes are now those of one output with one sample: 0 and 1 of the first output, then of the
  // second; the same for samples 2 and 3.
  let halves = tlnk_halves_of_fours(
    tlnk_halves_of_eights(sum0, sum1), tlnk_halves_of_eights(sum2, sum3))
  let sums = tlnk_sums_of_twos(halves, halves)
  var dots = SIMD8(
    sums[0], sums[4], sums[1], sums[5], sums[8], sums[12], sums[9], sums[13])
  while k < count {
    let h = SIMD4(rows.h0[k], rows.h1[k], rows.h2[k], rows.h3[k])
    let rest = w + (end &* 2 &+ k &- end)
    let weights = SIMD8(lowHalf: SIMD4(repeating: rest[0]), highHalf: SIMD4(repeating: rest[4]))
    let products = SIMD8(lowHalf: h, highHalf: h) * weights
    dots = dots + products
    k &+= 1
  }
  return dots
}

@inline(__always)
private func twoTimes(_ h: UnsafePointer<Float>) -> Quads {
  let eight = UnsafeRawPointer(h).loadUnaligned(as: SIMD8<Float>.self)
  return Quads(lowHalf: eight, highHalf: eight)
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
