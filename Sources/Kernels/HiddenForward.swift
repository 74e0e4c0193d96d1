// The first layer forward: h = max(x w1 + b1, 0), over the non-zero features of each sample. The weights
// are stored feature by feature, so a sample is a sum of rows of hidden units.

import CKernels

/// h for samples first ..< last, or `panel_sums` for inputs first ..< last. Needs `present`.
enum HiddenForward<F: Feature>: TileKernel {
  @inline(__always) static var usesHalves: Bool { true }

  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    let inputs = step.pointee.inputs
    if let sums = step.pointee.panel_sums {
      let panelSize = step.pointee.capacity &* step.pointee.stride
      panels(
        tile, step, column, 0, step.pointee.rows, inputs: first, last,
        partial: sums + (first / panelLength(inputs) &* panelSize &+ column), spacing: panelSize,
        total: nil)
      return
    }
    // So many samples at a time that their sums stay in the second-level cache.
    var group = first
    while group < last {
      let end = group &+ 128 < last ? group &+ 128 : last
      let h = step.pointee.h! + column
      panels(
        tile, step, column, group, end, inputs: 0, inputs, partial: step.pointee.partial! + column,
        spacing: 0, total: h)
      rectify(h, step.pointee.stride, group, end, width: T.width)
      group = end
    }
  }

  /// Adds up whole panels for each sample, each in its own `partial`; with a total the sums and the bias are
  /// added up there, instead of staying where they are.
  @inline(never)
  private static func panels<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int,
    inputs firstInput: Int, _ lastInput: Int, partial: UnsafeMutablePointer<Float>, spacing: Int,
    total: UnsafeMutablePointer<Float>?
  ) {
    let length = panelLength(step.pointee.inputs)
    var partial = partial
    var start = firstInput
    while start < lastInput {
      let panelStart = start
      let panelEnd = start &+ length < lastInput ? start &+ length : lastInput
      // Blocks of up to 64 features: their weights stay in the first-level cache for all samples.
      while start < panelEnd {
        let wordEnd = (start | 63) &+ 1
        let end = wordEnd < panelEnd ? wordEnd : panelEnd
        block(
          tile, step, column, first, last, start, end, opensPanel: start == panelStart, partial: partial,
          total: end == panelEnd ? total : nil, isFirstPanel: panelStart == 0)
        start = end
      }
      partial += spacing
    }
  }

  /// Adds features start ..< end, which lie in one word of `present`, to each sample's sum of this panel;
  /// with a total the sum goes there, the first panel's with the bias.
  @inline(never)
  private static func block<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int,
    _ start: Int, _ end: Int, opensPanel: Bool, partial: UnsafeMutablePointer<Float>,
    total: UnsafeMutablePointer<Float>?, isFirstPanel: Bool
  ) {
    let (stride, rowStride) = (step.pointee.stride, step.pointee.x_stride)
    let word = start & ~63
    let weights = UnsafePointer(step.pointee.w1!) + (word &* stride &+ column)
    let closesPanel = total != nil
    let target = total ?? partial
    let bias = closesPanel && isFirstPanel ? UnsafePointer(step.pointee.b1! + column) : nil
    let byteValues = step.pointee.byte_values!
    let present = step.pointee.present! + start / 64 &* step.pointee.capacity
    let wanted = lowBits(end &- word) & ~lowBits(start &- word)
    let wordBytes = word &* MemoryLayout<F.Element>.stride
    let nextRows = column == 0 ? step.pointee.next_rows : nil
    var row = step.pointee.x! + (first &* rowStride &+ wordBytes)
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      for sample in first..<last {
        var mask = present[sample] & wanted
        let features = row.assumingMemoryBound(to: F.Element.self)
        // The features of a later sample, which lie too far apart for the processor to foresee, and in
        // passing those of the next batch, which may be anywhere in memory.
        tlnk_prefetch_near(row + 6 &* rowStride)
        if let nextRows {
          var offset = 0
          while offset < 64 &* MemoryLayout<F.Element>.stride {
            tlnk_prefetch(nextRows[sample]! + (wordBytes &+ offset))
            offset &+= 64
          }
        }
        row += rowStride
        if mask == 0 && opensPanel == closesPanel && bias == nil { continue }
        if opensPanel { sums.clear() } else { sums.load(partial + sample &* stride) }
        while mask != 0 {
          let feature = mask.trailingZeroBitCount
          mask &= mask &- 1
          sums.addProduct(F.value(features[feature], byteValues), weights + feature &* stride)
        }
        let place = target + sample &* stride
        if closesPanel { sums.add(bias ?? UnsafePointer(place)) }
        sums.store(at: place)
      }
    }
  }
}

/// h for samples first ..< last, from the sums of all panels.
func addPanels(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let s = step.pointee
  let panels = panelCount(s.inputs)
  for sample in first..<last {
    var unit = 0
    while unit < s.stride {
      let offset = sample &* s.stride &+ unit
      var sum = Lanes(at: s.b1! + unit)
      for panel in 0..<panels {
        sum = Lanes(at: s.panel_sums! + (panel &* s.capacity &* s.stride &+ offset)) + sum
      }
      sum.store(at: s.h! + offset)
      unit &+= Lanes.count
    }
  }
  rectify(s.h!, s.stride, first, last, width: s.stride)
}

/// max(z, 0) in place, except that NaN and -0 stay: `width` columns of rows first ..< last.
@inline(never)
private func rectify(
  _ z: UnsafeMutablePointer<Float>, _ stride: Int, _ first: Int, _ last: Int, width: Int
) {
  for sample in first..<last {
    let row = z + sample &* stride
    var unit = 0
    while unit < width {
      let lanes = Lanes(at: row + unit)
      lanes.replacing(with: 0, where: lanes .< Lanes(repeating: 0)).store(at: row + unit)
      unit &+= Lanes.count
    }
  }
}

/// The same where the sums are dots: batches of fewer than four rows (a single prediction above all), and
/// fewer than twelve hidden units.
enum HiddenForwardDots<F: Feature>: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    let s = step.pointee
    let tail = s.hidden & ~3
    for sample in first..<last {
      let h = s.h! + (sample &* s.stride &+ column)
      let order = dotOrder(s, sample, column: 0)
      if T.fitsFourTimes && T.width > Lanes.count && order.lanes == 4 && isDense(step, sample) {
        dotsOfDenseRow(tile, step, column, sample, order, h)
      } else {
        dots(tile, step, column, sample, order, h)
      }
      // The hidden units after the last multiple of four have orders of their own.
      var unit = tail > column ? tail : column
      while unit < s.hidden && unit < column &+ T.width {
        let ownOrder = dotOrder(s, sample, column: unit)
        if ownOrder != order { h[unit &- column] = dot(step, sample, unit, ownOrder) }
        unit &+= 1
      }
      var offset = 0
      while offset < T.width {
        (Lanes(at: s.b1! + (column &+ offset)) + Lanes(at: h + offset)).store(at: h + offset)
        offset &+= Lanes.count
      }
      rectify(h, s.stride, 0, 1, width: T.width)
    }
  }

  @inline(__always)
  private static func dotOrder(_ s: tlnk_step, _ sample: Int, column: Int) -> DotOrder {
    DotOrder(
      rows: s.batch, columns: s.hidden, terms: s.inputs, row: s.first_row &+ sample, column: column)
  }

  /// The dots of one sample with the hidden units of a tile.
  @inline(never)
  private static func dots<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ sample: Int, _ order: DotOrder,
    _ result: UnsafeMutablePointer<Float>
  ) {
    let inputs = step.pointee.inputs
    let end = order.lanesEnd(terms: inputs)
    // Folding needs three lanes at a time: (l0+l4)+(l2+l6), then (l1+l5)+(l3+l7).
    var (memory, pair, half) = (zeroSums(), zeroSums(), zeroSums())
    withUnsafeMutableBytes(of: &memory) { memory in
      withUnsafeMutableBytes(of: &pair) { pair in
        withUnsafeMutableBytes(of: &half) { half in
          let (sums, pairs, halves) = (Sums<T>(memory), Sums<T>(pair), Sums<T>(half))
          for parity in 0..<2 {
            for second in 0..<2 {
              let lane = parity &+ 2 &* second
              sums.clear()
              if lane == 0 { chain(sums, step, column, sample, from: 0, to: order.prefix, every: 1) }
              chain(
                sums, step, column, sample, from: order.prefix &+ lane, to: end, every: order.lanes)
              if order.lanes == 8 {
                sums.store(at: halves.memory)
                sums.clear()
                chain(
                  sums, step, column, sample, from: order.prefix &+ lane &+ 4, to: end,
                  every: order.lanes)
                sums.add(halves.memory)
              }
              if second == 0 { sums.store(at: pairs.memory) } else { sums.add(pairs.memory) }
            }
            if parity == 0 { sums.store(at: result) } else { sums.add(result) }
          }
          chain(sums, step, column, sample, from: end, to: inputs, every: 1)
          sums.store(at: result)
        }
      }
    }
  }

  /// Whether most features of a sample are not zero.
  private static func isDense(_ step: UnsafePointer<tlnk_step>, _ sample: Int) -> Bool {
    let inputs = step.pointee.inputs
    let row = step.pointee.row(sample, as: F.Element.self)
    var (input, count) = (0, 0)
    while input &+ 64 <= inputs {
      count &+= F.nonzero64(row + input).nonzeroBitCount
      input &+= 64
    }
    return 2 &* count > inputs
  }

  /// Dots in four lanes of all features, zero or not, in one go through the weights.
  @inline(never)
  private static func dotsOfDenseRow<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ sample: Int, _ order: DotOrder,
    _ result: UnsafeMutablePointer<Float>
  ) {
    let (inputs, stride) = (step.pointee.inputs, step.pointee.stride)
    let byteValues = step.pointee.byte_values!
    let row = step.pointee.row(sample, as: F.Element.self)
    var w = UnsafePointer(step.pointee.w1!) + column
    let end = order.lanesEnd(terms: inputs)
    var (memory0, memory1, memory2, memory3) = (zeroSums(), zeroSums(), zeroSums(), zeroSums())
    withUnsafeMutableBytes(of: &memory0) { memory0 in
      withUnsafeMutableBytes(of: &memory1) { memory1 in
        withUnsafeMutableBytes(of: &memory2) { memory2 in
          withUnsafeMutableBytes(of: &memory3) { memory3 in
            let (lane0, lane1) = (Sums<T>(memory0), Sums<T>(memory1))
            let (lane2, lane3) = (Sums<T>(memory2), Sums<T>(memory3))
            lane0.clear()
            lane1.clear()
            lane2.clear()
            lane3.clear()
            var k = 0
            while k < order.prefix {
              lane0.addRoundedProduct(F.value(row[k], byteValues), w)
              w += stride
              k &+= 1
            }
            while k < end {
              lane0.addRoundedProduct(F.value(row[k], byteValues), w)
              lane1.addRoundedProduct(F.value(row[k &+ 1], byteValues), w + stride)
              lane2.addRoundedProduct(F.value(row[k &+ 2], byteValues), w + 2 &* stride)
              lane3.addRoundedProduct(F.value(row[k &+ 3], byteValues), w + 3 &* stride)
              w += 4 &* stride
              k &+= 4
            }
            lane0.add(lane2.memory)
            lane1.add(lane3.memory)
            lane0.add(lane1.memory)
            while k < inputs {
              lane0.addRoundedProduct(F.value(row[k], byteValues), w)
              w += stride
              k &+= 1
            }
            lane0.store(at: result)
          }
        }
      }
    }
  }

  /// Adds the rounded products of features start, start + spacing, ... below end; spacing is 1, 4 or 8.
  @inline(never)
  private static func chain<T: Tile>(
    _ total: Sums<T>, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ sample: Int, from start: Int,
    to end: Int, every spacing: Int
  ) {
    let stride = step.pointee.stride
    let weights = UnsafePointer(step.pointee.w1!) + column
    let byteValues = step.pointee.byte_values!
    let row = step.pointee.row(sample, as: F.Element.self)
    let pattern: UInt64 =
      spacing == 1 ? ~0 : spacing == 4 ? 0x1111_1111_1111_1111 : 0x0101_0101_0101_0101
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      sums.load(total.memory)
      // Words of 64 features; the pattern is the same in each, since 4 and 8 divide 64.
      var word = start & ~63
      let shifted = pattern &<< UInt64(start & (spacing &- 1))
      while word < end {
        var mask = F.nonzero64(row + word) & shifted
        if word < start { mask &= ~0 &<< UInt64(start &- word) }
        if end &- word < 64 { mask &= (1 &<< UInt64(end &- word)) &- 1 }
        while mask != 0 {
          let feature = word &+ mask.trailingZeroBitCount
          mask &= mask &- 1
          sums.addRoundedProduct(F.value(row[feature], byteValues), weights + feature &* stride)
        }
        word &+= 64
      }
      sums.store(at: total.memory)
    }
  }

  /// One dot alone.
  @inline(never)
  private static func dot(
    _ step: UnsafePointer<tlnk_step>, _ sample: Int, _ unit: Int, _ order: DotOrder
  ) -> Float {
    let s = step.pointee
    let row = s.row(sample, as: F.Element.self)
    return laneSum(order, terms: s.inputs) {
      F.value(row[$0], s.byte_values!) * s.w1![$0 &* s.stride &+ unit]
    }
  }
}
