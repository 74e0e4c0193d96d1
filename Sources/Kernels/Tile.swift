// A tile: a run of adjacent hidden units whose sums are kept in vector registers while a chain of fused
// multiply-adds goes through them. Its width is known when a kernel is compiled; tiles are pairs of
// narrower ones.

import CKernels

/// A number of adjacent vectors.
protocol Tile {
  /// In floats.
  static var width: Int { get }
  /// Whether the sums of two such tiles fit in the vector registers, with three to spare.
  static var fitsTwice: Bool { get }
  /// The same for four.
  static var fitsFourTimes: Bool { get }
  /// Whether the gradients of a hundred rows are more than a first-level cache holds beside other things.
  static var isLarge: Bool { get }
  /// Calls with the offset of each vector, unrolled.
  static func forEachVector(_ body: (Int) -> Void)
  /// Calls with the offset of half a vector, if the tile ends with one.
  static func forHalf(_ body: (Int) -> Void)
}

extension Tile {
  @inline(__always) static func forHalf(_ body: (Int) -> Void) {}
}

extension Tile {
  /// On AVX-512, which has 32 registers. With 16, tiles that are narrow enough would be too narrow to gain.
  @inline(__always) static var fitsTwice: Bool {
    #if TLN_AVX512
      2 &* width &+ 3 &* Lanes.count <= 32 &* Lanes.count
    #else
      false
    #endif
  }
}

extension Tile {
  @inline(__always) static var fitsFourTimes: Bool {
    #if TLN_AVX512
      4 &* width &+ 3 &* Lanes.count <= 32 &* Lanes.count
    #else
      false
    #endif
  }
}

extension Tile {
  /// Only the widest tile on AVX2.
  @inline(__always) static var isLarge: Bool {
    #if TLN_AVX2
      width > 8 &* Lanes.count
    #else
      false
    #endif
  }
}

/// One vector.
enum Single: Tile {
  @inline(__always) static var width: Int { Lanes.count }
  @inline(__always) static func forEachVector(_ body: (Int) -> Void) { body(0) }
}

/// Half a vector.
enum Half: Tile {
  @inline(__always) static var width: Int { HalfLanes.scalarCount }
  @inline(__always) static func forEachVector(_ body: (Int) -> Void) {}
  @inline(__always) static func forHalf(_ body: (Int) -> Void) { body(0) }
}

/// Two tiles side by side.
enum Pair<Left: Tile, Right: Tile>: Tile {
  @inline(__always) static var width: Int { Left.width &+ Right.width }

  @inline(__always)
  static func forEachVector(_ body: (Int) -> Void) {
    Left.forEachVector(body)
    Right.forEachVector { body(Left.width &+ $0) }
  }

  /// Only the right one may have a half.
  @inline(__always)
  static func forHalf(_ body: (Int) -> Void) { Right.forHalf { body(Left.width &+ $0) } }
}

typealias Tile1 = Single
typealias Tile2 = Pair<Tile1, Tile1>
typealias Tile3 = Pair<Tile2, Tile1>
typealias Tile4 = Pair<Tile2, Tile2>
typealias Tile6AndHalf = Pair<Tile4, Pair<Tile2, Half>>
typealias Tile7 = Pair<Tile4, Tile3>
typealias Tile8 = Pair<Tile4, Tile4>
typealias Tile13 = Pair<Tile8, Pair<Tile4, Tile1>>
typealias Tile16 = Pair<Tile8, Tile8>

/// The sums of a tile. To the eye they are local memory; since every access has a constant offset, the
/// compiler keeps them in registers. (As one large value that changes in a loop they were copied back
/// and forth on the stack.)
struct Sums<T: Tile> {
  let memory: UnsafeMutablePointer<Float>

  /// The sums of half a vector have a place of their own, or they would be taken for part of a whole one.
  @inline(__always)
  var half: UnsafeMutablePointer<Float> { memory + 16 &* Lanes.count }

  @inline(__always)
  func clear() {
    T.forEachVector { Lanes(repeating: 0).store(at: memory + $0) }
    T.forHalf { _ in HalfLanes(repeating: 0).store(at: half) }
  }

  @inline(__always)
  func load(_ row: UnsafePointer<Float>) {
    T.forEachVector { Lanes(at: row + $0).store(at: memory + $0) }
    T.forHalf { HalfLanes(at: row + $0).store(at: half) }
  }

  @inline(__always)
  func store(at row: UnsafeMutablePointer<Float>) {
    T.forEachVector { Lanes(at: memory + $0).store(at: row + $0) }
    T.forHalf { HalfLanes(at: half).store(at: row + $0) }
  }

  /// sums = x * row + sums, rounded once for each element.
  @inline(__always)
  func addProduct(_ x: Float, _ row: UnsafePointer<Float>) {
    let (factor, halfFactor) = (Lanes(repeating: x), HalfLanes(repeating: x))
    T.forEachVector { fma(factor, Lanes(at: row + $0), Lanes(at: memory + $0)).store(at: memory + $0) }
    T.forHalf { fma(halfFactor, HalfLanes(at: row + $0), HalfLanes(at: half)).store(at: half) }
  }

  /// sums = x * row + sums, each product rounded before it is added. For tiles without a half.
  @inline(__always)
  func addRoundedProduct(_ x: Float, _ row: UnsafePointer<Float>) {
    let factor = Lanes(repeating: x)
    T.forEachVector {
      let product = factor * Lanes(at: row + $0)
      (Lanes(at: memory + $0) + product).store(at: memory + $0)
    }
  }

  /// sums = row + sums
  @inline(__always)
  func add(_ row: UnsafePointer<Float>) {
    T.forEachVector { (Lanes(at: row + $0) + Lanes(at: memory + $0)).store(at: memory + $0) }
    T.forHalf { (HalfLanes(at: row + $0) + HalfLanes(at: half)).store(at: half) }
  }
}

/// As much local memory as the widest tile needs, and half a vector where there are tiles with one.
typealias SumMemory = (SixteenLanes, HalfSums)
typealias SixteenLanes = (
  Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes,
  Lanes, Lanes
)
#if TLN_AVX512
  typealias HalfSums = HalfLanes
  @inline(__always) private var zeroHalf: HalfSums { HalfLanes(repeating: 0) }
#else
  typealias HalfSums = Void
  @inline(__always) private var zeroHalf: HalfSums { () }
#endif

@inline(__always)
func zeroSums() -> SumMemory {
  let zero = Lanes(repeating: 0)
  return (
    (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero),
    zeroHalf
  )
}

extension Sums {
  @inline(__always)
  init(_ memory: UnsafeMutableRawBufferPointer) {
    self.memory = memory.baseAddress!.assumingMemoryBound(to: Float.self)
  }
}

/// Work that treats the hidden units tile by tile.
protocol TileKernel {
  /// Does items first ..< last for the hidden units from `column` on, as many as the tile holds.
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int)
  /// Whether it gains by leaving out half a vector of padding.
  static var usesHalves: Bool { get }
}

extension TileKernel {
  @inline(__always) static var usesHalves: Bool { false }
}

/// The widths that exist, in vectors, from narrow to wide. The widest leaves registers for the factors:
/// 16 vector registers on AVX2, 32 on AVX-512. Each width costs code, so not all exist.
#if TLN_AVX512
  private let widestTile = 16
  @inline(__always) private func tileWidth(atLeast vectors: Int) -> Int {
    vectors <= 2 ? vectors : vectors <= 4 ? 4 : vectors <= 7 ? 7 : 16
  }
  @inline(__always) private func tileWidth(atMost vectors: Int) -> Int { vectors }
#elseif TLN_AVX2
  private let widestTile = 13
  @inline(__always) private func tileWidth(atLeast vectors: Int) -> Int {
    vectors <= 2 ? vectors : vectors <= 4 ? 4 : vectors <= 8 ? 8 : 13
  }
  @inline(__always) private func tileWidth(atMost vectors: Int) -> Int {
    vectors >= 8 ? 8 : vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1
  }
#else
  private let widestTile = 4
  @inline(__always) private func tileWidth(atLeast vectors: Int) -> Int {
    vectors == 1 ? 1 : 4
  }
  @inline(__always) private func tileWidth(atMost vectors: Int) -> Int { vectors }
#endif

/// The vectors of a full tile when `vectors` of them are to be covered: as few tiles as possible, and
/// those of about equal width.
@inline(__always)
private func fullTileWidth(covering vectors: Int) -> Int {
  #if TLN_AVX512
    // The widest tile would be half empty.
    if vectors > 7 && vectors < 15 { return vectors == 8 ? 4 : 7 }
  #endif
  let tiles = (vectors &+ widestTile &- 1) / widestTile
  return tileWidth(atLeast: (vectors &+ tiles &- 1) / tiles)
}

/// The vectors of as many tiles as cover the hidden units.
@inline(__always)
private func tiledVectors(_ hidden: Int) -> Int {
  let vectors = (hidden &+ Lanes.count &- 1) / Lanes.count
  let full = fullTileWidth(covering: vectors)
  let rest = vectors % full
  return vectors &- rest &+ (rest == 0 ? 0 : tileWidth(atLeast: rest))
}

/// The number of floats that `hidden` units take in memory: a whole number of tiles. Where that is a
/// multiple of 256 bytes, a cache line more: rows that lie a power of two apart share few sets of the
/// cache.
func strideForHidden(_ hidden: Int) -> Int {
  let width = tiledVectors(hidden) &* Lanes.count
  return width % 64 == 0 ? width &+ 16 : width
}

/// The vectors that tiles have to cover: not more than the stride, which may be for other vectors.
@inline(__always)
private func tiledVectors(_ step: UnsafePointer<tlnk_step>) -> Int {
  let (tiled, stride) = (tiledVectors(step.pointee.hidden), step.pointee.stride / Lanes.count)
  return tiled < stride ? tiled : stride
}

/// Runs a kernel over all hidden units.
@inline(__always)
func forEachTile<K: TileKernel>(
  _ kernel: K.Type, _ step: UnsafePointer<tlnk_step>, first: Int, last: Int
) {
  let vectors = tiledVectors(step)
  let full = fullTileWidth(covering: (step.pointee.hidden &+ Lanes.count &- 1) / Lanes.count)
  var done = 0
  while done < vectors {
    // What is left may be what tiles of other vectors left, if the stride is theirs.
    let width = done &+ full <= vectors ? full : tileWidth(atMost: vectors &- done)
    let column = done &* Lanes.count
    switch width {
    case 1: K.run(Tile1.self, step, column: column, first: first, last: last)
    #if TLN_AVX2
      case 2: K.run(Tile2.self, step, column: column, first: first, last: last)
      case 4: K.run(Tile4.self, step, column: column, first: first, last: last)
      case 8: K.run(Tile8.self, step, column: column, first: first, last: last)
      default: K.run(Tile13.self, step, column: column, first: first, last: last)
    #elseif TLN_AVX512
      case 2: K.run(Tile2.self, step, column: column, first: first, last: last)
      case 4: K.run(Tile4.self, step, column: column, first: first, last: last)
      case 7:
        if K.usesHalves && step.pointee.hidden &- column <= Tile6AndHalf.width {
          K.run(Tile6AndHalf.self, step, column: column, first: first, last: last)
        } else {
          K.run(Tile7.self, step, column: column, first: first, last: last)
        }
      default: K.run(Tile16.self, step, column: column, first: first, last: last)
    #else
      default: K.run(Tile4.self, step, column: column, first: first, last: last)
    #endif
    }
    done &+= width
  }
}

/// Runs a kernel over all hidden units, one vector at a time: slower where there are many, but less code.
@inline(__always)
func forEachVector<K: TileKernel>(
  _ kernel: K.Type, _ step: UnsafePointer<tlnk_step>, first: Int, last: Int
) {
  let width = tiledVectors(step) &* Lanes.count
  var column = 0
  while column < width {
    K.run(Single.self, step, column: column, first: first, last: last)
    column &+= Lanes.count
  }
}

/// Runs a kernel over all hidden units, some vectors at a time: enough to hide the latency of an addition.
@inline(__always)
func forEachWideTile<K: TileKernel>(
  _ kernel: K.Type, _ step: UnsafePointer<tlnk_step>, first: Int, last: Int
) {
  var column = 0
  while column < step.pointee.stride {
    if column &+ WideTile.width <= step.pointee.stride {
      K.run(WideTile.self, step, column: column, first: first, last: last)
      column &+= WideTile.width
    } else {
      K.run(Single.self, step, column: column, first: first, last: last)
      column &+= Lanes.count
    }
  }
}

#if TLN_AVX512
  /// The article's hundred units.
  private typealias WideTile = Tile7
#else
  private typealias WideTile = Tile4
#endif
