// The first layer forward where its sums are dots, over features of which most are not zero: batches of two
// or three rows, and fewer than twelve hidden units. Vectors run over hidden units; each lane of a dot is a
// vector of its own.

import CKernels

/// Whether `denseDots` can do it: there are whole groups of products, and neither a matrix has one row.
func denseDotsApply(_ step: UnsafePointer<tlnk_step>) -> Bool {
  step.pointee.batch > 1 && step.pointee.hidden > 1 && step.pointee.inputs >= 16
}

/// h = max(x w1 + b1, 0) for samples first ..< last.
func denseDots(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  var column = 0
  while column < step.pointee.hidden {
    for sample in first..<last { denseDots(step, column: column, sample: sample) }
    column &+= Lanes.count
  }
}

/// One vector of hidden units of one sample.
@inline(never)
private func denseDots(_ step: UnsafePointer<tlnk_step>, column: Int, sample: Int) {
  let s = step.pointee
  let (inputs, stride) = (s.inputs, s.stride)
  // The hidden units after the last multiple of four have eight lanes instead of four. Both begin at the
  // same product; four lanes may go on for one group more.
  let inFours = s.hidden & ~3
  let row = s.first_row &+ sample
  let order = DotOrder(rows: s.batch, columns: s.hidden, terms: inputs, row: row, column: inFours)
  let end = order.lanesEnd(terms: inputs)
  let endOfFours = end &+ ((inputs &- end) & ~3)
  let four = lanes(below: inFours &- column)
  let eight = ~four

  let x = s.row(sample, as: Float.self)
  let weights = UnsafePointer(s.w1!) + column
  @inline(__always)
  func product(_ k: Int) -> Lanes { Lanes(repeating: x[k]) * Lanes(at: weights + k &* stride) }

  let zero = Lanes(repeating: 0)
  var (l0, l1, l2, l3) = (zero, zero, zero, zero)
  var (l4, l5, l6, l7) = (zero, zero, zero, zero)
  var k = 0
  while k < order.prefix {
    l0 = l0 + product(k)
    k &+= 1
  }
  // A lane's sum is never -0, so that adding +0 changes nothing.
  while k < end {
    (l0, l1) = (l0 + product(k), l1 + product(k &+ 1))
    (l2, l3) = (l2 + product(k &+ 2), l3 + product(k &+ 3))
    let (p4, p5, p6, p7) = (product(k &+ 4), product(k &+ 5), product(k &+ 6), product(k &+ 7))
    (l0, l1, l2, l3) = (l0 + (p4 & four), l1 + (p5 & four), l2 + (p6 & four), l3 + (p7 & four))
    (l4, l5, l6, l7) = (l4 + (p4 & eight), l5 + (p5 & eight), l6 + (p6 & eight), l7 + (p7 & eight))
    k &+= 8
  }
  if end < endOfFours {
    (l0, l1) = (l0 + (product(k) & four), l1 + (product(k &+ 1) & four))
    (l2, l3) = (l2 + (product(k &+ 2) & four), l3 + (product(k &+ 3) & four))
  }
  var sum = ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
  while k < endOfFours {
    sum = sum + (product(k) & eight)
    k &+= 1
  }
  while k < inputs {
    sum = sum + product(k)
    k &+= 1
  }
  sum = Lanes(at: s.b1! + column) + sum
  sum.replacing(with: 0, where: sum .< zero).store(at: s.h! + (sample &* stride &+ column))
}

/// All bits of the first `count` lanes.
@inline(__always)
private func lanes(below count: Int) -> Words {
  var words = Words(repeating: 0)
  for lane in 0..<Lanes.count where lane < count { words[lane] = ~0 }
  return words
}

extension Lanes {
  @inline(__always)
  fileprivate static func & (lanes: Lanes, mask: Words) -> Lanes {
    unsafeBitCast(unsafeBitCast(lanes, to: Words.self) & mask, to: Lanes.self)
  }
}
