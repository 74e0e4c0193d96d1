// A tile: a run of adjacent hidden units, held in vector registers while a chain of fused
// multiply-adds goes through them. Tiles of any width are pairs of narrower ones.

import CKernels

/// `width` adjacent floats in registers.
protocol Tile {
  static var width: Int { get }
  /// All zero.
  init()
  init(at pointer: UnsafePointer<Float>)
  func store(at pointer: UnsafeMutablePointer<Float>)
  /// self = x * row + self, rounded once for each element.
  mutating func addProduct(_ x: Float, _ row: UnsafePointer<Float>)
  /// self = row + self
  mutating func add(_ row: UnsafePointer<Float>)
  static func + (a: Self, b: Self) -> Self
  /// max(self, 0), except that NaN stays NaN.
  func rectified() -> Self
  /// self where `h` > 0 (or NaN), 0 elsewhere.
  func whereActive(_ h: UnsafePointer<Float>) -> Self
  /// Updates parameters `p` and momentum `v` with self as the gradient.
  func update<U: UpdateRule>(
    _ rule: U, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>)
}

/// One vector.
struct Single: Tile {
  var lanes: Lanes

  @inline(__always) static var width: Int { Lanes.count }
  @inline(__always) init() { lanes = Lanes(repeating: 0) }
  @inline(__always) init(at pointer: UnsafePointer<Float>) { lanes = Lanes(at: pointer) }
  @inline(__always) func store(at pointer: UnsafeMutablePointer<Float>) { lanes.store(at: pointer) }

  @inline(__always)
  mutating func addProduct(_ x: Float, _ row: UnsafePointer<Float>) {
    lanes = fma(Lanes(repeating: x), Lanes(at: row), lanes)
  }

  @inline(__always)
  mutating func add(_ row: UnsafePointer<Float>) { lanes = Lanes(at: row) + lanes }

  @inline(__always)
  static func + (a: Single, b: Single) -> Single {
    var result = a
    result.lanes = a.lanes + b.lanes
    return result
  }

  @inline(__always)
  func rectified() -> Single {
    var result = self
    result.lanes = lanes.replacing(with: 0, where: lanes .<= Lanes(repeating: 0))
    return result
  }

  @inline(__always)
  func whereActive(_ h: UnsafePointer<Float>) -> Single {
    var result = self
    result.lanes = lanes.replacing(with: 0, where: Lanes(at: h) .<= Lanes(repeating: 0))
    return result
  }

  @inline(__always)
  func update<U: UpdateRule>(
    _ rule: U, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>
  ) {
    rule.apply(lanes, p, v)
  }
}

/// Two tiles side by side.
struct Pair<Left: Tile, Right: Tile>: Tile {
  var left: Left
  var right: Right

  @inline(__always) static var width: Int { Left.width &+ Right.width }
  @inline(__always) init() { (left, right) = (Left(), Right()) }

  @inline(__always)
  init(at pointer: UnsafePointer<Float>) {
    (left, right) = (Left(at: pointer), Right(at: pointer + Left.width))
  }

  @inline(__always)
  func store(at pointer: UnsafeMutablePointer<Float>) {
    left.store(at: pointer)
    right.store(at: pointer + Left.width)
  }

  @inline(__always)
  mutating func addProduct(_ x: Float, _ row: UnsafePointer<Float>) {
    left.addProduct(x, row)
    right.addProduct(x, row + Left.width)
  }

  @inline(__always)
  mutating func add(_ row: UnsafePointer<Float>) {
    left.add(row)
    right.add(row + Left.width)
  }

  @inline(__always)
  static func + (a: Pair, b: Pair) -> Pair {
    var result = a
    (result.left, result.right) = (a.left + b.left, a.right + b.right)
    return result
  }

  @inline(__always)
  func rectified() -> Pair {
    var result = self
    (result.left, result.right) = (left.rectified(), right.rectified())
    return result
  }

  @inline(__always)
  func whereActive(_ h: UnsafePointer<Float>) -> Pair {
    var result = self
    (result.left, result.right) = (left.whereActive(h), right.whereActive(h + Left.width))
    return result
  }

  @inline(__always)
  func update<U: UpdateRule>(
    _ rule: U, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>
  ) {
    left.update(rule, p, v)
    right.update(rule, p + Left.width, v + Left.width)
  }
}

typealias Tile1 = Single
typealias Tile2 = Pair<Tile1, Tile1>
typealias Tile3 = Pair<Tile2, Tile1>
typealias Tile4 = Pair<Tile2, Tile2>
typealias Tile6 = Pair<Tile4, Tile2>
typealias Tile7 = Pair<Tile4, Tile3>
typealias Tile8 = Pair<Tile4, Tile4>
typealias Tile10 = Pair<Tile8, Tile2>
typealias Tile13 = Pair<Tile8, Pair<Tile4, Tile1>>
typealias Tile16 = Pair<Tile8, Tile8>

/// Work that treats the hidden units tile by tile.
protocol TileKernel {
  /// Does items first ..< last for the hidden units from `column` on, as many as the tile holds.
  static func run<T: Tile>(
    _ tile: T.Type, _ step: tlnk_step, column: Int, first: Int, last: Int)
}

/// The widths that exist, in vectors, from narrow to wide. The widest leaves registers for the factors:
/// 16 vector registers on AVX2, 32 on AVX-512. Each width costs code, so not all exist.
#if TLN_AVX512
  private let widestTile = 16
  @inline(__always) private func tileWidth(atLeast vectors: Int) -> Int {
    vectors <= 4 ? vectors : vectors <= 7 ? 7 : vectors <= 10 ? 10 : vectors <= 13 ? 13 : 16
  }
#elseif TLN_AVX2
  private let widestTile = 13
  @inline(__always) private func tileWidth(atLeast vectors: Int) -> Int {
    vectors <= 4 ? vectors : vectors <= 6 ? 6 : vectors <= 8 ? 8 : vectors <= 10 ? 10 : 13
  }
#else
  private let widestTile = 8
  @inline(__always) private func tileWidth(atLeast vectors: Int) -> Int {
    vectors <= 2 ? vectors : vectors <= 4 ? 4 : 8
  }
#endif

/// The vectors of a full tile when `vectors` of them are to be covered: as few tiles as possible, and
/// those of about equal width.
@inline(__always)
private func fullTileWidth(covering vectors: Int) -> Int {
  let tiles = (vectors &+ widestTile &- 1) / widestTile
  return tileWidth(atLeast: (vectors &+ tiles &- 1) / tiles)
}

/// The number of floats that `hidden` units take in memory: a whole number of tiles.
func strideForHidden(_ hidden: Int) -> Int {
  let vectors = (hidden &+ Lanes.count &- 1) / Lanes.count
  let full = fullTileWidth(covering: vectors)
  let rest = vectors % full
  return (vectors &- rest &+ (rest == 0 ? 0 : tileWidth(atLeast: rest))) &* Lanes.count
}

/// Runs a kernel over all hidden units.
@inline(__always)
func forEachTile<K: TileKernel>(_ kernel: K.Type, _ step: tlnk_step, first: Int, last: Int) {
  let vectors = step.stride / Lanes.count
  let full = fullTileWidth(covering: (step.hidden &+ Lanes.count &- 1) / Lanes.count)
  var done = 0
  while done < vectors {
    let width = done &+ full <= vectors ? full : vectors &- done
    let column = done &* Lanes.count
    switch width {
    case 1: K.run(Tile1.self, step, column: column, first: first, last: last)
    case 2: K.run(Tile2.self, step, column: column, first: first, last: last)
    case 4: K.run(Tile4.self, step, column: column, first: first, last: last)
    case 8: K.run(Tile8.self, step, column: column, first: first, last: last)
    #if TLN_AVX2
      case 3: K.run(Tile3.self, step, column: column, first: first, last: last)
      case 6: K.run(Tile6.self, step, column: column, first: first, last: last)
      case 10: K.run(Tile10.self, step, column: column, first: first, last: last)
      default: K.run(Tile13.self, step, column: column, first: first, last: last)
    #elseif TLN_AVX512
      case 3: K.run(Tile3.self, step, column: column, first: first, last: last)
      case 7: K.run(Tile7.self, step, column: column, first: first, last: last)
      case 10: K.run(Tile10.self, step, column: column, first: first, last: last)
      case 13: K.run(Tile13.self, step, column: column, first: first, last: last)
      default: K.run(Tile16.self, step, column: column, first: first, last: last)
    #else
      default: K.run(Tile8.self, step, column: column, first: first, last: last)
    #endif
    }
    done &+= width
  }
}
