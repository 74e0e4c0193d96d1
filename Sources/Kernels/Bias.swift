// The gradients of the biases: sums over the samples of a batch, in the tree in which PyTorch's sum
// over the first dimension adds (ATen's cascade sum with AVX2's vectors of 8).

import CKernels

/// Gradient and update of both biases.
func biasUpdate(_ step: UnsafePointer<tlnk_step>) {
  let s = step.pointee
  var column = 0
  while column < s.hidden {
    let gradients = UnsafePointer(s.d_h! + column)
    var sum = columnSum(rows: s.rows, column: column, columns: s.hidden) {
      Lanes(at: gradients + $0 &* s.stride)
    }
    update(&sum, s.b1! + column, s.vb1! + column, step)
    column &+= Lanes.count
  }
  column = 0
  while column < s.outputs {
    let count = s.outputs &- column < Lanes.count ? s.outputs &- column : Lanes.count
    let gradients = UnsafePointer(s.d_logits! + column &* s.capacity)
    var sum = columnSum(rows: s.rows, column: column, columns: s.outputs) { row in
      var lanes = Lanes(repeating: 0)
      for index in 0..<count { lanes[index] = gradients[index &* s.capacity &+ row] }
      return lanes
    }
    update(&sum, s.b2! + column, s.vb2! + column, step)
    column &+= Lanes.count
  }
}

/// One vector of gradients.
private func update(
  _ gradient: inout Lanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>,
  _ step: UnsafePointer<tlnk_step>
) {
  withUnsafeBytes(of: &gradient) {
    update(
      $0.baseAddress!.assumingMemoryBound(to: Float.self), p, v, count: Lanes.count, step)
  }
}

/// The sum over all rows of the vector that starts at `column`: in one run where the columns come in
/// whole groups of 32, else in four interleaved runs.
@inline(__always)
private func columnSum(rows: Int, column: Int, columns: Int, _ row: (Int) -> Lanes) -> Lanes {
  if column < columns & ~31 { return cascade(count: rows, row) }
  let quarter = rows / 4
  var sum = cascade(count: quarter) { row($0 &* 4) }
  for index in (quarter &* 4)..<rows { sum = sum + row(index) }
  for run in 1..<4 { sum = sum + cascade(count: quarter) { row($0 &* 4 &+ run) } }
  return sum
}

/// Sixteen rows are added up, then carried to the next of four sums, like digits.
@inline(__always)
private func cascade(count: Int, _ row: (Int) -> Lanes) -> Lanes {
  let zero = Lanes(repeating: 0)
  var (sum0, sum1, sum2, sum3) = (zero, zero, zero, zero)
  var index = 0
  while index &+ 16 <= count {
    for _ in 0..<16 {
      sum0 = sum0 + row(index)
      index &+= 1
    }
    (sum1, sum0) = (sum1 + sum0, zero)
    if index & 0xf0 == 0 {
      (sum2, sum1) = (sum2 + sum1, zero)
      if index & 0xf00 == 0 { (sum3, sum2) = (sum3 + sum2, zero) }
    }
  }
  while index < count {
    sum0 = sum0 + row(index)
    index &+= 1
  }
  return ((sum0 + sum1) + sum2) + sum3
}
