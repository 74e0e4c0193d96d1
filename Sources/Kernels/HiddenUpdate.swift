// The first layer backward: for each feature the sum over the samples in which it is not zero of feature
// times gradient, and the update of that feature's weights. The gradient of the whole layer never exists.

import CKernels

/// Gradient and update of w1 for inputs first ..< last.
enum HiddenUpdate<F: Feature>: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    let s = step.pointee
    if updateIsSequence(rows: s.hidden, columns: s.inputs, terms: s.rows) {
      sequences(tile, step, column, first, last)
    } else {
      panels(tile, step, column, first, last)
    }
  }

  private static func panels<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int
  ) {
    let (rows, stride) = (step.pointee.rows, step.pointee.stride)
    let panel = panelLength(rows)
    var start = 0
    while start < rows {
      let end = start &+ panel < rows ? start &+ panel : rows
      for input in first..<last {
        let offset = input &* stride &+ column
        // Panels but the last leave their sums in g1.
        let earlier = start == 0 ? nil : step.pointee.g1! + offset
        if end < rows {
          gradient(tile, step, column, input, start, end, addTo: earlier, step.pointee.g1! + offset)
        } else {
          var memory = zeroSums()
          withUnsafeMutableBytes(of: &memory) {
            let finished = Sums<T>($0).memory
            gradient(tile, step, column, input, start, end, addTo: earlier, finished)
            update(
              finished, step.pointee.w1! + offset, step.pointee.v1! + offset, count: T.width, step)
          }
        }
      }
      start = end
    }
  }

  /// The sum over samples start ..< end of feature times gradient, for one feature.
  @inline(never)
  private static func gradient<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ input: Int, _ start: Int,
    _ end: Int, addTo earlier: UnsafePointer<Float>?, _ result: UnsafeMutablePointer<Float>
  ) {
    let stride = step.pointee.stride
    let features = step.pointee.column(input, as: F.Element.self)
    let gradients = UnsafePointer(step.pointee.d_h!) + column
    let byteValues = step.pointee.byte_values!
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      var word = start
      while word < end {
        var mask = F.nonzero64(features + word)
        if end &- word < 64 { mask &= (1 &<< UInt64(end &- word)) &- 1 }
        while mask != 0 {
          let sample = word &+ mask.trailingZeroBitCount
          mask &= mask &- 1
          sums.addProduct(F.value(features[sample], byteValues), gradients + sample &* stride)
        }
        word &+= 64
      }
      if let earlier { sums.add(earlier) }
      sums.store(at: result)
    }
  }

  /// The same with rounded products, for a batch of one row and for very small layers.
  @inline(never)
  private static func sequences<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int
  ) {
    let s = step.pointee
    for input in first..<last {
      let features = s.column(input, as: F.Element.self)
      let offset = input &* s.stride &+ column
      var unit = column
      while unit < column &+ T.width {
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
