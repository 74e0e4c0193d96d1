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

/// So many samples' features share the second-level cache with weights; whole tiles.
#if TLN_AVX2
  private var denseGroup: Int { 96 }
#else
  private var denseGroup: Int { 256 }
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

/// Calls with room for the sums of two of the widest and highest tiles.
@inline(__always)
private func withDenseSums(
  _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
) {
  var memory = (zeroSums(), zeroSums(), zeroSums(), zeroSums())
  withUnsafeMutableBytes(of: &memory) {
    let sums = $0.baseAddress!.assumingMemoryBound(to: Float.self)
    body(sums, sums + 32 &* Lanes.count)
  }
}

/// Computes the sums of a tile that is `width` wide.
@inline(__always)
private func denseTile(_ panel: DensePanel, width: Int, _ sums: UnsafeMutablePointer<Float>) {
  switch width / Lanes.count {
  case 1: densePanel(Tile1.self, panel, sums)
  #if TLN_AVX2
    default: densePanel(Tile2.self, panel, sums)
  #else
    case 2: densePanel(Tile2.self, panel, sums)
    default: densePanel(Tile3.self, panel, sums)
  #endif
  }
}

/// h = max(x w1 + b1, 0) for samples first ..< last.
func denseForward(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let inputs = step.pointee.inputs
  // Each tile of hidden units goes through all features; or, where those are many more than hidden units,
  // panel by panel, so that not all features leave the cache before the next tile.
  let inputsAtOnce = inputs > 8 &* step.pointee.stride ? panelLength(inputs) : inputs
  withPackedPanel { packed in
    // So many samples at a time that their features stay in the second-level cache while all hidden units
    // go by.
    var start = first
    while start < last {
      let end = start &+ denseGroup < last ? start &+ denseGroup : last
      withDenseSums { sums, _ in
        var input = 0
        while input < inputs {
          let inputEnd = input &+ inputsAtOnce < inputs ? input &+ inputsAtOnce : inputs
          forEachDenseTile(step) {
            denseForward(step, sums, packed, column: $0, width: $1, start, end, inputs: input, inputEnd)
          }
          input = inputEnd
        }
      }
      start = end
    }
  }
}

/// The part of inputs firstInput ..< lastInput, which are whole panels.
@inline(never)
private func denseForward(
  _ step: UnsafePointer<tlnk_step>, _ sums: UnsafeMutablePointer<Float>, _ packed: PackedPanel?,
  column: Int, width: Int, _ first: Int, _ last: Int, inputs firstInput: Int, _ lastInput: Int
) {
  let s = step.pointee
  let length = panelLength(s.inputs)
  let bias = UnsafePointer(s.b1!) + column
  let tiles = (last &- first &+ denseRows &- 1) / denseRows
  var start = firstInput
  // A panel's weights stay in the first-level cache for all samples.
  while start < lastInput {
    let end = start &+ length < lastInput ? start &+ length : lastInput
    let least = Lanes(repeating: end == s.inputs ? 0 : -.infinity)
    let weights = UnsafePointer(s.w1!) + (start &* s.stride &+ column)
    var panel = DensePanel(
      a: s.row(first, as: Float.self) + start, aRow: s.x_stride / 4, aTerm: 1, b: weights,
      bTerm: s.stride, terms: end &- start, rows: denseRows)
    // After this panel comes the next one's weights, or those of the next tile's first.
    let next = end < lastInput ? end : firstInput
    var ahead = RowsAhead(
      UnsafePointer(s.w1!) + (next &* s.stride &+ (end < lastInput ? column : column &+ width)),
      stride: s.stride, count: next &+ length < lastInput ? length : lastInput &- next, times: tiles)
    if let packed, tiles >= PackedPanel.worthwhileTiles {
      packed.take(weights, stride: s.stride, terms: panel.terms, width: width)
      (panel.b, panel.bTerm) = (UnsafePointer(packed.values), width)
    }
    var sample = first
    while sample < last {
      if last &- sample < denseRows { panel.rows = last &- sample }
      let h = s.h! + (sample &* s.stride &+ column)
      if packed != nil {
        ahead.ask()
        for row in 0..<panel.rows { tlnk_prefetch_near(h + row &* s.stride) }
      }
      denseTile(panel, width: width, sums)
      for row in 0..<panel.rows {
        let h = h + row &* s.stride
        let before = start == 0 ? bias : UnsafePointer(h)
        forEachVector(width) {
          let sum = Lanes(at: before + $0) + Lanes(at: sums + (row &* width &+ $0))
          sum.replacing(with: 0, where: sum .< least).store(at: h + $0)
        }
      }
      panel.a += denseRows &* panel.aRow
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

/// Gradient and update of w1 for inputs first ..< last, which begin a tile.
func denseUpdate(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let rows = step.pointee.rows
  // Samples are taken so many panels at a time that their part of the factors stays in the second-level
  // cache. What they leave stays in g1.
  let length = panelLength(rows) &* (step.pointee.x_packed == nil ? 1 : packedPanelsAtOnce)
  var start = 0
  while start < rows {
    let end = start &+ length < rows ? start &+ length : rows
    withDenseSums { sums, panelSums in
      forEachDenseTile(step) {
        denseUpdate(step, sums, panelSums, column: $0, width: $1, first, last, start, end)
      }
    }
    start = end
  }
}

/// The part of samples start ..< end, which are whole panels.
@inline(never)
private func denseUpdate(
  _ step: UnsafePointer<tlnk_step>, _ sums: UnsafeMutablePointer<Float>,
  _ panelSums: UnsafeMutablePointer<Float>, column: Int, width: Int, _ first: Int, _ last: Int,
  _ start: Int, _ end: Int
) {
  let s = step.pointee
  let length = panelLength(s.rows)
  let isLast = end == s.rows
  let isPlain = isLast && isPlain(step)
  let minusRate = Lanes(repeating: s.minus_learning_rate)
  let momentum = Lanes(repeating: s.momentum)
  var input = first
  while input < last {
    let rows = last &- input < denseRows ? last &- input : denseRows
    let place = input &* s.stride &+ column
    if isLast { prefetch(step, place &+ rowsAhead &* s.stride, rows: denseRows, width: width) }
    var panelStart = start
    while panelStart < end {
      let panelEnd = panelStart &+ length < end ? panelStart &+ length : end
      let (features, aTerm) = columns(s, input, firstRow: panelStart)
      let panel = DensePanel(
        a: features, aRow: 1, aTerm: aTerm,
        b: UnsafePointer(s.d_h!) + (panelStart &* s.stride &+ column), bTerm: s.stride,
        terms: panelEnd &- panelStart, rows: rows)
      denseTile(panel, width: width, panelStart == start ? sums : panelSums)
      // Panels are added one after the other; the very first has nothing before it.
      if panelStart > start {
        forEachVector(rows &* width) {
          (Lanes(at: sums + $0) + Lanes(at: panelSums + $0)).store(at: sums + $0)
        }
      } else if start > 0 {
        for row in 0..<rows {
          let (sums, before) = (sums + row &* width, s.g1! + (place &+ row &* s.stride))
          forEachVector(width) { (Lanes(at: before + $0) + Lanes(at: sums + $0)).store(at: sums + $0) }
        }
      }
      panelStart = panelEnd
    }
    for row in 0..<rows {
      let (sums, place) = (sums + row &* width, place &+ row &* s.stride)
      let (w, v) = (s.w1! + place, s.v1! + place)
      if isPlain {
        forEachVector(width) { updatePlain(Lanes(at: sums + $0), w + $0, v + $0, minusRate, momentum) }
      } else if isLast {
        update(sums, w, v, count: width, step)
      } else {
        forEachVector(width) { Lanes(at: sums + $0).store(at: s.g1! + (place &+ $0)) }
      }
    }
    input &+= denseRows
  }
}

/// Where the features from `input` on are, beginning with a row, and how far it is to the next row's.
@inline(__always)
private func columns(_ s: tlnk_step, _ input: Int, firstRow: Int) -> (UnsafePointer<Float>, Int) {
  if let packed = s.x_packed {
    return (UnsafePointer(packed) + (input &* s.capacity &+ firstRow &* denseRows), denseRows)
  }
  return (s.row(firstRow, as: Float.self) + input, s.x_stride / 4)
}

/// How far ahead of a tile its weights are asked for: by a tile where tiles are small.
#if TLN_AVX2
  private var rowsAhead: Int { denseRows }
#else
  private var rowsAhead: Int { 0 }
#endif

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
