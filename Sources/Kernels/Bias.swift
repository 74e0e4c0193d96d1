// The gradients of the biases: sums over the samples of a batch, in the tree in which PyTorch's sum
// over the first dimension adds (ATen's cascade sum with AVX2's vectors of 8).

import CKernels

/// Gradient and update of both biases.
func biasUpdate(_ step: tlnk_step, first: Int, last: Int) {
  var column = 0
  while column < step.hidden {
    let gradients = UnsafePointer(step.d_h! + column)
    let sum = columnSum(rows: step.rows, column: column, columns: step.hidden) {
      Lanes(at: gradients + $0 &* step.stride)
    }
    apply(sum, step.b1! + column, step.vb1! + column, step)
    column &+= Lanes.count
  }
  column = 0
  while column < step.outputs {
    let count = step.outputs &- column < Lanes.count ? step.outputs &- column : Lanes.count
    let gradients = UnsafePointer(step.d_logits! + column &* step.capacity)
    let sum = columnSum(rows: step.rows, column: column, columns: step.outputs) { row in
      var lanes = Lanes(repeating: 0)
      for index in 0..<count { lanes[index] = gradients[index &* step.capacity &+ row] }
      return lanes
    }
    apply(sum, step.b2! + column, step.vb2! + column, step)
    column &+= Lanes.count
  }
}

@inline(__always)
private func apply(
  _ gradient: Lanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>,
  _ step: tlnk_step
) {
  if PlainMomentum.fits(step) {
    PlainMomentum(step).apply(gradient, p, v)
  } else {
    FullRule(step: step).apply(gradient, p, v)
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
