// The gradients of the biases: sums over the samples of a batch, in the tree in which PyTorch's sum over
// the first dimension adds (ATen's cascade sum with vectors of 8).

import CKernels

/// Gradient and update of both biases.
func biasUpdate(_ step: UnsafePointer<tlnk_step>) {
  let s = step.pointee
  func hidden(_ row: Int, _ column: Int) -> Lanes { Lanes(at: s.d_h! + (row &* s.stride &+ column)) }
  sumColumns(rows: s.rows, columns: s.hidden, hidden) { column in
    fourRuns(count: s.rows) { hidden($0, column) }
  } _: { column, sum in
    update(sum, s.b1! + column, s.vb1! + column, count: Lanes.count, step)
  }
  func count(_ column: Int) -> Int {
    s.outputs &- column < Lanes.count ? s.outputs &- column : Lanes.count
  }
  sumColumns(rows: s.rows, columns: s.outputs) { row, column in
    var lanes = Lanes(repeating: 0)
    for index in 0..<count(column) { lanes[index] = s.d_logits![(column &+ index) &* s.capacity &+ row] }
    return lanes
  } _: { column in
    var lanes = Lanes(repeating: 0)
    for index in 0..<count(column) {
      lanes[index] = fourRuns(s.d_logits! + (column &+ index) &* s.capacity, count: s.rows)
    }
    return lanes
  } _: { column, sum in
    update(sum, s.b2! + column, s.vb2! + column, count: Lanes.count, step)
  }
}

/// Calls `body` with the sums over all rows of each vector of columns: of elements in one run over the rows,
/// or in four interleaved ones.
@inline(__always)
private func sumColumns(
  rows: Int, columns: Int, _ element: (Int, Int) -> Lanes, _ fourRuns: (Int) -> Lanes,
  _ body: (Int, UnsafePointer<Float>) -> Void
) {
  let inOneRun = columns >= 8 ? columns & ~31 : columns & ~3
  var column = 0
  while column < columns {
    var sum = Lanes(repeating: 0)
    if columns == 1 {
      sum = singleColumn(rows: rows) { element($0, 0) }
    } else {
      if column < inOneRun { sum = run(count: rows) { element($0, column) } }
      if column &+ Lanes.count > inOneRun {
        let other = fourRuns(column)
        for lane in 0..<Lanes.count where column &+ lane >= inOneRun { sum[lane] = other[lane] }
      }
    }
    withUnsafeBytes(of: &sum) { body(column, $0.baseAddress!.assumingMemoryBound(to: Float.self)) }
    column &+= Lanes.count
  }
}

/// A matrix of one column is a vector: eight lanes over the rows, each in four runs, added to the sum of
/// the rows that are left over.
@inline(__always)
private func singleColumn(rows: Int, _ row: (Int) -> Lanes) -> Lanes {
  if rows < 8 { return fourRuns(count: rows, row) }
  let vectors = rows / 8
  var sum = Lanes(repeating: 0)
  for index in (vectors &* 8)..<rows { sum = sum + row(index) }
  for lane in 0..<8 { sum = sum + fourRuns(count: vectors) { row($0 &* 8 &+ lane) } }
  return sum
}

@inline(__always)
private func fourRuns(count: Int, _ row: (Int) -> Lanes) -> Lanes {
  let quarter = count / 4
  var sum = Lanes(repeating: 0)
  for part in 0..<4 {
    let partial = run(count: quarter) { row($0 &* 4 &+ part) }
    sum = part == 0 ? partial : sum + partial
    if part == 0 { for index in (quarter &* 4)..<count { sum = sum + row(index) } }
  }
  return sum
}

/// The same of one column that lies in memory row after row: the runs are lanes.
@inline(__always)
private func fourRuns(_ column: UnsafePointer<Float>, count: Int) -> Float {
  let quarter = count / 4
  let runs = run(count: quarter) { SIMD4<Float>(at: column + $0 &* 4) }
  var sum = runs.x
  for index in (quarter &* 4)..<count { sum = sum + column[index] }
  return ((sum + runs.y) + runs.z) + runs.w
}

/// Blocks of rows are added up, and each full block is carried to the next of four sums, like digits.
@inline(__always)
private func run<V: SIMD<Float>>(count: Int, _ row: (Int) -> V) -> V {
  // Blocks of 16, and more only for more than 2^19 rows.
  let bits = bitsOfBlock(count)
  let block = 1 &<< bits
  let zero = V(repeating: 0)
  var (sum0, sum1, sum2, sum3) = (zero, zero, zero, zero)
  var index = 0
  while index &+ block <= count {
    for _ in 0..<block {
      sum0 = sum0 + row(index)
      index &+= 1
    }
    (sum1, sum0) = (sum1 + sum0, zero)
    if (index &>> bits) & (block &- 1) == 0 {
      (sum2, sum1) = (sum2 + sum1, zero)
      if (index &>> (2 &* bits)) & (block &- 1) == 0 { (sum3, sum2) = (sum3 + sum2, zero) }
    }
  }
  while index < count {
    sum0 = sum0 + row(index)
    index &+= 1
  }
  return ((sum0 + sum1) + sum2) + sum3
}

@inline(__always)
private func bitsOfBlock(_ count: Int) -> Int {
  if count <= 2 { return 4 }
  let logarithm = 64 &- (count &- 1).leadingZeroBitCount
  return logarithm / 4 > 4 ? logarithm / 4 : 4
}
