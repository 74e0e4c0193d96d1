// The first layer's products over features of which most are not zero. A tile of sums, some rows by some
// vectors of hidden units, stays in registers while the terms of one panel go through it: every factor
// that is loaded is used for the whole height or width of the tile.

import CKernels

/// The rows of a tile. With three vectors a row, the sums leave registers for the factors: 16 vector
/// registers on AVX2, 32 on AVX-512 and NEON.
#if TLN_AVX2
  private typealias Rows = Tile4
#else
  private typealias Rows = Tile8
#endif

/// How many rows a tile has.
let denseRows = Rows.width / Lanes.count

/// The vectors of a row of the widest tile.
private let widestDenseTile = 3

/// One panel's factors: sums[row][column] = the chain over its terms of a[row, term] b[term, column].
struct DensePanel {
  /// a[row, term] is at a[row * aRow + term * aTerm].
  var a: UnsafePointer<Float>
  var aRow: Int
  var aTerm: Int
  /// b[term, column] is at b[term * bTerm + column].
  var b: UnsafePointer<Float>
  var bTerm: Int
  var terms: Int
  /// The rows of a that exist: those up to the tile's height repeat the last one.
  var rows: Int
}

/// The sums of one tile, row by row.
@inline(never)
private func densePanel<T: Tile>(
  _ tile: T.Type, _ panel: DensePanel, _ result: UnsafeMutablePointer<Float>
) {
  var (memory0, memory1, memory2) = (zeroSums(), zeroSums(), zeroSums())
  withUnsafeMutableBytes(of: &memory0) { bytes0 in
    withUnsafeMutableBytes(of: &memory1) { bytes1 in
      withUnsafeMutableBytes(of: &memory2) { bytes2 in
        // One piece of local memory for each vector of a row.
        let sums = DenseSums<T>(bytes0, bytes1, bytes2)
        let (aTerm, bTerm) = (panel.aTerm, panel.bTerm)
        // Rows by their distance from the first.
        var places = (0, 0, 0, 0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &places) {
          let places = $0.baseAddress!.assumingMemoryBound(to: Int.self)
          Rows.forEachVector {
            let row = $0 / Lanes.count
            places[row] = (row < panel.rows ? row : panel.rows &- 1) &* panel.aRow
          }
          var (a, b) = (panel.a, panel.b)
          var left = panel.terms
          while left > 0 {
            Rows.forEachVector {
              sums.addProduct(a[places[$0 / Lanes.count]], b, row: $0)
            }
            a += aTerm
            b += bTerm
            left &-= 1
          }
        }
        sums.store(at: result)
      }
    }
  }
}

/// The sums of a tile of several rows: to the eye local memory, like `Sums`, and like these in registers.
private struct DenseSums<T: Tile> {
  let first, second, third: UnsafeMutablePointer<Float>

  @inline(__always)
  init(
    _ first: UnsafeMutableRawBufferPointer, _ second: UnsafeMutableRawBufferPointer,
    _ third: UnsafeMutableRawBufferPointer
  ) {
    self.first = first.baseAddress!.assumingMemoryBound(to: Float.self)
    self.second = second.baseAddress!.assumingMemoryBound(to: Float.self)
    self.third = third.baseAddress!.assumingMemoryBound(to: Float.self)
  }

  /// The sums of a vector of all rows.
  @inline(__always)
  private func memory(_ column: Int) -> UnsafeMutablePointer<Float> {
    column == 0 ? first : column == Lanes.count ? second : third
  }

  /// Here `row` is where the row's sums begin in each memory.
  @inline(__always)
  func addProduct(_ x: Float, _ b: UnsafePointer<Float>, row: Int) {
    let factor = Lanes(repeating: x)
    T.forEachVector {
      let sum = memory($0) + row
      fma(factor, Lanes(at: b + $0), Lanes(at: sum)).store(at: sum)
    }
  }

  @inline(__always)
  func store(at result: UnsafeMutablePointer<Float>) {
    Rows.forEachVector { place in
      let row = result + place / Lanes.count &* T.width
      T.forEachVector { Lanes(at: memory($0) + place).store(at: row + $0) }
    }
  }
}

/// Calls with the first column and the width of each tile, all hidden units once.
@inline(__always)
private func forEachDenseTile(_ step: UnsafePointer<tlnk_step>, _ body: (Int, Int) -> Void) {
  let vectors = (step.pointee.hidden &+ Lanes.count &- 1) / Lanes.count
  var done = 0
  while done < vectors {
    let left = vectors &- done
    // Two twos are better than a three and a one.
    let count = left == 4 ? 2 : left < widestDenseTile ? left : widestDenseTile
    body(done &* Lanes.count, count &* Lanes.count)
    done &+= count
  }
}

/// Calls with each row's sums of a tile that is `width` wide.
@inline(__always)
private func forEachRow(
  _ panel: DensePanel, width: Int, _ body: (Int, UnsafePointer<Float>) -> Void
) {
  // Room for the widest and highest tile.
  var memory = (zeroSums(), zeroSums())
  withUnsafeMutableBytes(of: &memory) {
    let sums = $0.baseAddress!.assumingMemoryBound(to: Float.self)
    switch width / Lanes.count {
    case 1: densePanel(Tile1.self, panel, sums)
    case 2: densePanel(Tile2.self, panel, sums)
    default: densePanel(Tile3.self, panel, sums)
    }
    for row in 0..<panel.rows { body(row, sums + row &* width) }
  }
}

/// h = max(x w1 + b1, 0) for samples first ..< last.
func denseForward(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  // So many samples at a time that their features stay in the second-level cache while all hidden units
  // go by.
  var start = first
  while start < last {
    let end = start &+ 128 < last ? start &+ 128 : last
    forEachDenseTile(step) { denseForward(step, column: $0, width: $1, first: start, last: end) }
    start = end
  }
}

@inline(never)
private func denseForward(
  _ step: UnsafePointer<tlnk_step>, column: Int, width: Int, first: Int, last: Int
) {
  let s = step.pointee
  let length = panelLength(s.inputs)
  let bias = UnsafePointer(s.b1!) + column
  var start = 0
  // A panel's weights stay in the first-level cache for all samples.
  while start < s.inputs {
    let end = start &+ length < s.inputs ? start &+ length : s.inputs
    let least = Lanes(repeating: end == s.inputs ? 0 : -.infinity)
    var sample = first
    while sample < last {
      let panel = DensePanel(
        a: s.row(sample, as: Float.self) + start, aRow: s.x_stride / 4, aTerm: 1,
        b: UnsafePointer(s.w1!) + (start &* s.stride &+ column), bTerm: s.stride, terms: end &- start,
        rows: last &- sample < denseRows ? last &- sample : denseRows)
      forEachRow(panel, width: width) { row, sums in
        let h = s.h! + ((sample &+ row) &* s.stride &+ column)
        let before = start == 0 ? bias : UnsafePointer(h)
        forEachVector(width) {
          let sum = Lanes(at: before + $0) + Lanes(at: sums + $0)
          sum.replacing(with: 0, where: sum .< least).store(at: h + $0)
        }
      }
      sample &+= denseRows
    }
    start = end
  }
}

@inline(__always)
private func forEachVector(_ width: Int, _ body: (Int) -> Void) {
  var offset = 0
  while offset < width {
    body(offset)
    offset &+= Lanes.count
  }
}

/// Gradient and update of w1 for inputs first ..< last.
func denseUpdate(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  forEachDenseTile(step) { denseUpdate(step, column: $0, width: $1, first: first, last: last) }
}

@inline(never)
private func denseUpdate(
  _ step: UnsafePointer<tlnk_step>, column: Int, width: Int, first: Int, last: Int
) {
  let s = step.pointee
  let length = panelLength(s.rows)
  let isPlain = isPlain(step)
  let minusRate = Lanes(repeating: s.minus_learning_rate)
  let momentum = Lanes(repeating: s.momentum)
  var start = 0
  // A panel's gradients stay in the first-level cache for all inputs.
  while start < s.rows {
    let end = start &+ length < s.rows ? start &+ length : s.rows
    let isLast = end == s.rows
    var input = first
    while input < last {
      let panel = DensePanel(
        a: s.row(start, as: Float.self) + input, aRow: 1, aTerm: s.x_stride / 4,
        b: UnsafePointer(s.d_h!) + (start &* s.stride &+ column), bTerm: s.stride,
        terms: end &- start, rows: last &- input < denseRows ? last &- input : denseRows)
      let place = input &* s.stride &+ column
      if isLast { prefetch(step, place, rows: panel.rows, width: width) }
      forEachRow(panel, width: width) { row, sums in
        let place = place &+ row &* s.stride
        let (w, v) = (s.w1! + place, s.v1! + place)
        if isLast && isPlain && start == 0 {
          forEachVector(width) {
            updatePlain(Lanes(at: sums + $0), w + $0, v + $0, minusRate, momentum)
          }
        } else if isLast && isPlain {
          forEachVector(width) {
            let g = Lanes(at: s.g1! + (place &+ $0)) + Lanes(at: sums + $0)
            updatePlain(g, w + $0, v + $0, minusRate, momentum)
          }
        } else {
          let sums = UnsafeMutablePointer(mutating: sums)
          if start > 0 {
            forEachVector(width) {
              (Lanes(at: s.g1! + (place &+ $0)) + Lanes(at: sums + $0)).store(at: sums + $0)
            }
          }
          if isLast {
            update(sums, w, v, count: width, step)
          } else {
            forEachVector(width) { Lanes(at: sums + $0).store(at: s.g1! + (place &+ $0)) }
          }
        }
      }
      input &+= denseRows
    }
    start = end
  }
}

/// Asks for what the update of a tile reads and writes, which comes from far away.
@inline(__always)
private func prefetch(_ step: UnsafePointer<tlnk_step>, _ place: Int, rows: Int, width: Int) {
  for row in 0..<rows {
    var column = 0
    while column < width {
      let offset = place &+ row &* step.pointee.stride &+ column
      tlnk_prefetch_near(step.pointee.w1! + offset)
      tlnk_prefetch_near(step.pointee.v1! + offset)
      // Cache lines are 16 floats on all processors that have these vectors.
      column &+= 16
    }
  }
}
