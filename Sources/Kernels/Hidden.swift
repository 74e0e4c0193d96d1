// The first layer: forward over the non-zero features of each sample, backward and update over the
// samples in which each feature is not zero. The weights are stored feature by feature, so that both
// walk along rows of hidden units, and the gradient of a row is complete before it is applied.

import CKernels

/// h = max(x w1 + b1, 0) for samples first ..< last.
enum HiddenForward<F: Feature>: TileKernel {
  static func run<T: Tile>(_ tile: T.Type, _ step: tlnk_step, column: Int, first: Int, last: Int) {
    // 64 samples at a time: which of them have begun a panel fits in one word.
    var group = first
    while group < last {
      let end = group &+ 64 < last ? group &+ 64 : last
      forward(tile, step, column: column, first: group, last: end)
      group = end
    }
  }

  @inline(__always)
  private static func forward<T: Tile>(
    _ tile: T.Type, _ step: tlnk_step, column: Int, first: Int, last: Int
  ) {
    let (inputs, stride) = (step.inputs, step.stride)
    let panel = panelLength(inputs)
    let weights = UnsafePointer(step.w1!) + column
    let h = step.h! + column
    let partial = step.partial! + column
    for sample in first..<last { T(at: step.b1! + column).store(at: h + sample &* stride) }
    var panelStart = 0
    while panelStart < inputs {
      let panelEnd = panelStart &+ panel < inputs ? panelStart &+ panel : inputs
      var begun: UInt64 = 0
      // Blocks of 64 features: their weights stay in the first-level cache for all samples.
      var start = panelStart
      while start < panelEnd {
        let count = panelEnd &- start < 64 ? panelEnd &- start : 64
        let isLast = start &+ count == panelEnd
        for sample in first..<last {
          let row = step.x![sample]!.assumingMemoryBound(to: F.Element.self) + start
          var mask = F.nonzero(row, count: count)
          let bit: UInt64 = 1 &<< UInt64(sample &- first)
          if mask == 0 && !(isLast && begun & bit != 0) { continue }
          var sum = begun & bit != 0 ? T(at: partial + sample &* stride) : T()
          begun |= bit
          while mask != 0 {
            let feature = mask.trailingZeroBitCount
            mask &= mask &- 1
            sum.addProduct(
              F.value(row[feature], step.byte_values), weights + (start &+ feature) &* stride)
          }
          if isLast {
            sum.add(h + sample &* stride)
            sum.store(at: h + sample &* stride)
          } else {
            sum.store(at: partial + sample &* stride)
          }
        }
        start &+= count
      }
      panelStart = panelEnd
    }
    for sample in first..<last {
      T(at: h + sample &* stride).rectified().store(at: h + sample &* stride)
    }
  }
}

/// Gradient and update of w1 for inputs first ..< last.
enum HiddenUpdate<F: Feature>: TileKernel {
  static func run<T: Tile>(_ tile: T.Type, _ step: tlnk_step, column: Int, first: Int, last: Int) {
    if PlainMomentum.fits(step) {
      update(tile, PlainMomentum(step), step, column: column, first: first, last: last)
    } else {
      update(tile, FullRule(step: step), step, column: column, first: first, last: last)
    }
  }

  @inline(__always)
  private static func update<T: Tile, U: UpdateRule>(
    _ tile: T.Type, _ rule: U, _ step: tlnk_step, column: Int, first: Int, last: Int
  ) {
    let (rows, stride, capacity) = (step.rows, step.stride, step.capacity)
    let panel = panelLength(rows)
    let features = step.x_t!.assumingMemoryBound(to: F.Element.self)
    let gradients = UnsafePointer(step.d_h!) + column
    var panelStart = 0
    while panelStart < rows {
      let panelEnd = panelStart &+ panel < rows ? panelStart &+ panel : rows
      for input in first..<last {
        let row = UnsafePointer(features + input &* capacity)
        var sum = T()
        var start = panelStart
        while start < panelEnd {
          let count = panelEnd &- start < 64 ? panelEnd &- start : 64
          var mask = F.nonzero64(row + start)
          if count < 64 { mask &= (1 &<< UInt64(count)) &- 1 }
          while mask != 0 {
            let sample = start &+ mask.trailingZeroBitCount
            mask &= mask &- 1
            sum.addProduct(F.value(row[sample], step.byte_values), gradients + sample &* stride)
          }
          start &+= count
        }
        let offset = input &* stride &+ column
        if panelStart > 0 { sum.add(step.g1! + offset) }
        if panelEnd == rows {
          sum.update(rule, step.w1! + offset, step.v1! + offset)
        } else {
          sum.store(at: step.g1! + offset)
        }
      }
      panelStart = panelEnd
    }
  }
}

/// x_t for samples first ..< last, which start at a multiple of 16; the samples up to the next multiple
/// of 16 become zero.
func transposeBytes(_ step: tlnk_step, first: Int, last: Int) {
  let (inputs, capacity) = (step.inputs, step.capacity)
  let out = step.x_t!.assumingMemoryBound(to: UInt8.self)
  var sample = first
  while sample < last {
    var input = 0
    if sample &+ 16 <= last {
      let rows = UnsafeRawPointer(step.x! + sample).assumingMemoryBound(
        to: UnsafePointer<UInt8>?.self)
      while input &+ 16 <= inputs {
        tlnk_transpose_bytes_16(rows, input, out + (input &* capacity &+ sample), capacity)
        input &+= 16
      }
    }
    transposeRest(step, UInt8.self, zero: 0, sample: sample, last: last, input: input)
    sample &+= 16
  }
}

/// The same for floats.
func transposeFloats(_ step: tlnk_step, first: Int, last: Int) {
  var sample = first
  while sample < last {
    transposeRest(step, Float.self, zero: 0, sample: sample, last: last, input: 0)
    sample &+= 16
  }
}

/// Element by element: 16 samples from `sample` on, the features from `input` on.
@inline(__always)
private func transposeRest<E>(
  _ step: tlnk_step, _: E.Type, zero: E, sample: Int, last: Int, input: Int
) {
  let out = step.x_t!.assumingMemoryBound(to: E.self)
  for row in sample..<(sample &+ 16) {
    let features = row < last ? step.x![row]!.assumingMemoryBound(to: E.self) : nil
    for column in input..<step.inputs {
      out[column &* step.capacity &+ row] = features.map { $0[column] } ?? zero
    }
  }
}
