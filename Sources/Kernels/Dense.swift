// The first layer's products over features of which most are not zero. A tile of sums, some rows by some
// vectors of hidden units, stays in registers while the terms of one panel go through it: every factor
// that is loaded is used for the whole height or width of the tile.

import CKernels

/// The rows of a tile, and the vectors of a row of the widest: so many that the sums leave registers for
/// the factors, of 16 vector registers on AVX2 and 32 on AVX-512 and NEON. (On AVX2 4 rows by 3 leave just
/// enough, of which the compiler makes spills.)
#if TLN_AVX2
  private typealias Rows = Pair<Tile4, Tile2>
  private let widestDenseTile = 2
#else
  private typealias Rows = Tile8
  private let widestDenseTile = 3
#endif

/// How many rows a tile has.
let denseRows = Rows.width / Lanes.count

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
            sums.load(b)
            Rows.forEachVector {
              sums.addProduct(a[places[$0 / Lanes.count]], row: $0)
              #if TLN_AVX2
                // Row by row, or the compiler loads the factors of all rows at once, and spills.
                a = tlnk_after(sums.last(row: $0), a)
              #endif
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
  /// One vector of b's for each of these, behind the sums.
  private var factors: Int { Rows.width }

  @inline(__always)
  init(
    _ first: UnsafeMutableRawBufferPointer, _ second: UnsafeMutableRawBufferPointer,
    _ third: UnsafeMutableRawBufferPointer
  ) {
    self.first = first.baseAddress!.assumingMemoryBound(to: Float.self)
    self.second = second.baseAddress!.assumingMemoryBound(to: Float.self)
    self.third = third.baseAddress!.assumingMemoryBound(to: Float.self)
  }

  /// Takes one term's b's.
  @inline(__always)
  func load(_ b: UnsafePointer<Float>) {
    T.forEachVector {
      #if TLN_AVX2
        tlnk_keep(Lanes(at: b + $0)).store(at: memory($0) + factors)
      #else
        Lanes(at: b + $0).store(at: memory($0) + factors)
      #endif
    }
  }

  /// The sums of a vector of all rows.
  @inline(__always)
  private func memory(_ column: Int) -> UnsafeMutablePointer<Float> {
    column == 0 ? first : column == Lanes.count ? second : third
  }

  /// Here `row` is where the row's sums begin in each memory.
  @inline(__always)
  func addProduct(_ x: Float, row: Int) {
    let factor = Lanes(repeating: x)
    T.forEachVector {
      let sum = memory($0) + row
      fma(factor, Lanes(at: memory($0) + factors), Lanes(at: sum)).store(at: sum)
    }
  }

  /// The last vector of a row.
  @inline(__always)
  func last(row: Int) -> Lanes { Lanes(at: memory(T.width &- Lanes.count) + row) }

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
    let widest = widestDenseTile == 3 && left == 4 ? 2 : widestDenseTile
    let count = left < widest ? left : widest
    body(done &* Lanes.count, count &* Lanes.count)
    done &+= count
  }
}

/// Calls with room for the sums of the widest and highest tile.
@inline(__always)
private func withDenseSums(_ body: (UnsafeMutablePointer<Float>) -> Void) {
  var memory = (zeroSums(), zeroSums())
  withUnsafeMutableBytes(of: &memory) { body($0.baseAddress!.assumingMemoryBound(to: Float.self)) }
}

/// Computes the sums of a tile that is `width` wide, and calls with each row.
@inline(__always)
private func forEachRow(
  _ panel: DensePanel, width: Int, _ sums: UnsafeMutablePointer<Float>,
  _ body: (Int, UnsafeMutablePointer<Float>) -> Void
) {
  switch width / Lanes.count {
  case 1: densePanel(Tile1.self, panel, sums)
  #if TLN_AVX2
    default: densePanel(Tile2.self, panel, sums)
  #else
    case 2: densePanel(Tile2.self, panel, sums)
    default: densePanel(Tile3.self, panel, sums)
  #endif
  }
  for row in 0..<panel.rows { body(row, sums + row &* width) }
}

/// h = max(x w1 + b1, 0) for samples first ..< last.
func denseForward(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  // So many samples at a time that their features stay in the second-level cache while all hidden units
  // go by.
  var start = first
  while start < last {
    let end = start &+ 128 < last ? start &+ 128 : last
    withDenseSums { sums in
      forEachDenseTile(step) { denseForward(step, sums, column: $0, width: $1, start, end) }
    }
    start = end
  }
}

@inline(never)
private func denseForward(
  _ step: UnsafePointer<tlnk_step>, _ sums: UnsafeMutablePointer<Float>, column: Int, width: Int,
  _ first: Int, _ last: Int
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
      forEachRow(panel, width: width, sums) { row, sums in
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

/// Gradient and update of w1 for inputs first ..< last. What is left of a panel before the next one begins
/// stays in g1, which for these inputs is small enough for the second-level cache.
func denseUpdate(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let rows = step.pointee.rows
  let length = panelLength(rows)
  var start = 0
  while start < rows {
    let end = start &+ length < rows ? start &+ length : rows
    withDenseSums { sums in
      forEachDenseTile(step) { denseUpdate(step, sums, column: $0, width: $1, first, last, start, end) }
    }
    start = end
  }
}

/// The part of samples start ..< end.
@inline(never)
private func denseUpdate(
  _ step: UnsafePointer<tlnk_step>, _ sums: UnsafeMutablePointer<Float>, column: Int, width: Int,
  _ first: Int, _ last: Int, _ start: Int, _ end: Int
) {
  let s = step.pointee
  let isLast = end == s.rows
  let isPlain = isLast && isPlain(step)
  let minusRate = Lanes(repeating: s.minus_learning_rate)
  let momentum = Lanes(repeating: s.momentum)
  var input = first
  // The panel's gradients stay in the first-level cache for all inputs.
  while input < last {
    let panel = DensePanel(
      a: s.row(start, as: Float.self) + input, aRow: 1, aTerm: s.x_stride / 4,
      b: UnsafePointer(s.d_h!) + (start &* s.stride &+ column), bTerm: s.stride,
      terms: end &- start, rows: last &- input < denseRows ? last &- input : denseRows)
    let place = input &* s.stride &+ column
    if isLast { prefetch(step, place, rows: panel.rows, width: width) }
    forEachRow(panel, width: width, sums) { row, sums in
      let place = place &+ row &* s.stride
      let (w, v) = (s.w1! + place, s.v1! + place)
      // The first panel has nothing before it.
      let before = start > 0 ? UnsafePointer(s.g1! + place) : nil
      let g = isLast ? sums : s.g1! + place
      forEachVector(width) {
        var sum = Lanes(at: sums + $0)
        if let before { sum = Lanes(at: before + $0) + sum }
        if isPlain {
          updatePlain(sum, w + $0, v + $0, minusRate, momentum)
        } else {
          sum.store(at: g + $0)
        }
      }
      if isLast && !isPlain { update(g, w, v, count: width, step) }
    }
    input &+= denseRows
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
