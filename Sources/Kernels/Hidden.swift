// The first layer: forward over the non-zero features of each sample, backward and update over the
// samples in which each feature is not zero. The weights are stored feature by feature, so that both
// walk along rows of hidden units, and the gradient of a row is complete before it is applied.

import CKernels

/// h = max(x w1 + b1, 0) for samples first ..< last.
enum HiddenForward<F: Feature>: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    // 64 samples at a time: which of them have begun a panel fits in one word.
    var group = first
    while group < last {
      let end = group &+ 64 < last ? group &+ 64 : last
      forward(tile, step, column, group, end)
      group = end
    }
  }

  private static func forward<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int
  ) {
    let (inputs, stride) = (step.pointee.inputs, step.pointee.stride)
    let h = step.pointee.h! + column
    let bias = step.pointee.b1! + column
    for sample in first..<last {
      T.forEachVector { Lanes(at: bias + $0).store(at: h + (sample &* stride &+ $0)) }
    }
    let panel = panelLength(inputs)
    var start = 0
    while start < inputs {
      let panelEnd = start &+ panel < inputs ? start &+ panel : inputs
      var begun: UInt64 = 0
      // Blocks of 64 features: their weights stay in the first-level cache for all samples.
      while start < panelEnd {
        let count = panelEnd &- start < 64 ? panelEnd &- start : 64
        begun = block(
          tile, step, column, first, last, start, count, begun, closesPanel: start &+ count == panelEnd)
        start &+= count
      }
    }
    let zero = Lanes(repeating: 0)
    for sample in first..<last {
      T.forEachVector {
        let z = Lanes(at: h + (sample &* stride &+ $0))
        // NaN stays NaN.
        z.replacing(with: 0, where: z .<= zero).store(at: h + (sample &* stride &+ $0))
      }
    }
  }

  /// Adds `count` features from `start` on to each sample's sum of this panel; at the panel's end the
  /// sum goes to h. A sample without any of them costs nothing. Returns which samples have a sum.
  @inline(never)
  private static func block<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int,
    _ start: Int, _ count: Int, _ alreadyBegun: UInt64, closesPanel: Bool
  ) -> UInt64 {
    let stride = step.pointee.stride
    let weights = UnsafePointer(step.pointee.w1!) + (start &* stride &+ column)
    let h = step.pointee.h! + column
    let partial = step.pointee.partial! + column
    let byteValues = step.pointee.byte_values!
    let rows = step.pointee.x!
    var begun = alreadyBegun
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      var bit: UInt64 = 1
      for sample in first..<last {
        let row = rows[sample]!.assumingMemoryBound(to: F.Element.self) + start
        var mask = F.nonzero(row, count: count)
        let hasSum = begun & bit != 0
        if mask != 0 || (closesPanel && hasSum) {
          if hasSum { sums.load(partial + sample &* stride) } else { sums.clear() }
          while mask != 0 {
            let feature = mask.trailingZeroBitCount
            mask &= mask &- 1
            sums.addProduct(F.value(row[feature], byteValues), weights + feature &* stride)
          }
          var target = partial + sample &* stride
          if closesPanel {
            target = h + sample &* stride
            sums.add(target)
          }
          sums.store(at: target)
          begun |= bit
        }
        bit = bit &<< 1
      }
    }
    return begun
  }
}

/// Gradient and update of w1 for inputs first ..< last.
enum HiddenUpdate<F: Feature>: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
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
            let finished = Sums<T>($0)
            gradient(tile, step, column, input, start, end, addTo: earlier, finished.memory)
            update(
              finished.memory, step.pointee.w1! + offset, step.pointee.v1! + offset, count: T.width,
              step)
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
    let row = UnsafePointer(
      step.pointee.x_t!.assumingMemoryBound(to: F.Element.self) + input &* step.pointee.capacity)
    let gradients = UnsafePointer(step.pointee.d_h!) + column
    let byteValues = step.pointee.byte_values!
    var memory = zeroSums()
    withUnsafeMutableBytes(of: &memory) {
      let sums = Sums<T>($0)
      var word = start
      while word < end {
        var mask = F.nonzero64(row + word)
        if end &- word < 64 { mask &= (1 &<< UInt64(end &- word)) &- 1 }
        while mask != 0 {
          let sample = word &+ mask.trailingZeroBitCount
          mask &= mask &- 1
          sums.addProduct(F.value(row[sample], byteValues), gradients + sample &* stride)
        }
        word &+= 64
      }
      if let earlier { sums.add(earlier) }
      sums.store(at: result)
    }
  }
}
