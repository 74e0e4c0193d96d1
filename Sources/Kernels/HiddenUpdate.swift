// The first layer backward: for each feature the sum over the samples in which it is not zero of feature
// times gradient, and the update of that feature's weights. The gradient of the whole layer never exists.

import CKernels

/// Gradient and update of w1 for inputs first ..< last.
enum HiddenUpdate<F: Feature>: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    #if TLN_AVX512
      // The table has only panels done here.
      panels(tile, step, column, first, last)
    #else
      if isSequence(step) {
        sequences(step, column, T.width, first, last)
      } else {
        panels(tile, step, column, first, last)
      }
    #endif
  }

  static func isSequence(_ step: UnsafePointer<tlnk_step>) -> Bool {
    let s = step.pointee
    return updateIsSequence(rows: s.hidden, columns: s.inputs, terms: s.rows)
  }

  private static func panels<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int
  ) {
    let rows = step.pointee.rows
    let length = panelLength(rows)
    var start = 0
    while start < rows {
      let end = start &+ length < rows ? start &+ length : rows
      panel(tile, step, column, first, last, start, end)
      start = end
    }
  }

  /// Adds the sums over samples start ..< end to what earlier panels left in g1. The last panel's
  /// samples are followed by the update.
  @inline(never)
  private static func panel<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int,
    _ start: Int, _ end: Int
  ) {
    let stride = step.pointee.stride
    let gradients = UnsafePointer(step.pointee.d_h!) + column
    let byteValues = step.pointee.byte_values!
    let minusRate = Lanes(repeating: step.pointee.minus_learning_rate)
    let momentum = Lanes(repeating: step.pointee.momentum)
    let isLast = end == step.pointee.rows
    let isPlain = isPlain(step)
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      for input in first..<last {
        let features = step.pointee.column(input, as: F.Element.self)
        sums.clear()
        // 128 samples at a time, in one loop over two words: its end is mispredicted once, not twice.
        var sample = start
        while sample < end {
          var (low, high) = nonzero128(features + sample, count: end &- sample)
          while low | high != 0 {
            let isHigh = low == 0
            let word = isHigh ? high : low
            let next = sample &+ word.trailingZeroBitCount &+ (isHigh ? 64 : 0)
            let rest = word & (word &- 1)
            high = isHigh ? rest : high
            low = isHigh ? 0 : rest
            sums.addProduct(F.value(features[next], byteValues), gradients + next &* stride)
          }
          sample &+= 128
        }
        let offset = input &* stride &+ column
        if start > 0 { sums.add(step.pointee.g1! + offset) }
        let (w, v) = (step.pointee.w1! + offset, step.pointee.v1! + offset)
        if !isLast {
          sums.store(at: step.pointee.g1! + offset)
        } else if isPlain {
          T.forEachVector {
            updatePlain(Lanes(at: sums.memory + $0), w + $0, v + $0, minusRate, momentum)
          }
        } else {
          // A copy, so that the sums themselves can stay in registers.
          var copy = zeroSums()
          withUnsafeMutableBytes(of: &copy) {
            let copied = Sums<T>($0)
            copied.load(sums.memory)
            update(copied.memory, w, v, count: T.width, step)
          }
        }
      }
    }
  }

  /// Which of up to 128 features are not zero.
  @inline(__always)
  private static func nonzero128(
    _ features: UnsafePointer<F.Element>, count: Int
  ) -> (low: UInt64, high: UInt64) {
    let low = F.nonzero64(features)
    if count < 64 { return (low & ((1 &<< UInt64(count)) &- 1), 0) }
    if count == 64 { return (low, 0) }
    let high = F.nonzero64(features + 64)
    return (low, count < 128 ? high & ((1 &<< UInt64(count &- 64)) &- 1) : high)
  }

  /// The same with rounded products, for a batch of one row and for very small layers.
  @inline(never)
  private static func sequences(
    _ step: UnsafePointer<tlnk_step>, _ column: Int, _ width: Int, _ first: Int, _ last: Int
  ) {
    let s = step.pointee
    for input in first..<last {
      let features = s.column(input, as: F.Element.self)
      let offset = input &* s.stride &+ column
      var unit = column
      while unit < column &+ width {
        var sum = Lanes(repeating: 0)
        for sample in 0..<s.rows {
          let factor = Lanes(repeating: F.value(features[sample], s.byte_values!))
          let product = factor * Lanes(at: s.d_h! + (sample &* s.stride &+ unit))
          // A single product stays as it is, also if it is -0; but one row or column is added to 0.
          sum = s.rows == 1 && s.hidden > 1 && s.inputs > 1 ? product : sum + product
        }
        for lane in 0..<Lanes.count
        where groupedColumns(row: unit &+ lane, rows: s.hidden, columns: s.inputs, terms: s.rows) > input
        {
          sum[lane] = sequenceInGroups(count: s.rows) {
            s.d_h![$0 &* s.stride &+ unit &+ lane] * F.value(features[$0], s.byte_values!)
          }
        }
        withUnsafeBytes(of: &sum) {
          update(
            $0.baseAddress!.assumingMemoryBound(to: Float.self), s.w1! + (offset &+ unit &- column),
            s.v1! + (offset &+ unit &- column), count: Lanes.count, step)
        }
        unit &+= Lanes.count
      }
    }
  }
}
