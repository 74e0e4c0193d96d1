// Factors of the dense products brought together in memory, in the order in which a tile needs them. Where
// they lie, each term of a sum is in another page; a processor whose first-level cache is as small as an
// AVX2 processor's may be has to wait for them.

import CKernels

/// A panel's weights of one tile, term after term.
struct PackedPanel {
  /// Room for a whole panel of the widest tile.
  let values: UnsafeMutablePointer<Float>

  /// From so many tiles on that use the weights, it pays to copy them.
  @inline(__always) static var worthwhileTiles: Int { 8 }

  /// Copies `terms` rows of `width` floats that lie `stride` apart.
  @inline(__always)
  func take(_ rows: UnsafePointer<Float>, stride: Int, terms: Int, width: Int) {
    for term in 0..<terms {
      var column = 0
      while column < width {
        Lanes(at: rows + (term &* stride &+ column)).store(at: values + (term &* width &+ column))
        column &+= Lanes.count
      }
    }
  }
}

/// Calls with room for a packed panel, if these kernels pack.
@inline(__always)
func withPackedPanel(_ body: (PackedPanel?) -> Void) {
  #if TLN_AVX2
    // 192 terms, two vectors each.
    var memory = (
      eight(zeroSums()), eight(zeroSums()), eight(zeroSums())
    )
    withUnsafeMutableBytes(of: &memory) {
      body(PackedPanel(values: $0.baseAddress!.assumingMemoryBound(to: Float.self)))
    }
  #else
    body(nil)
  #endif
}

#if TLN_AVX2
  private typealias Eight<T> = (T, T, T, T, T, T, T, T)

  @inline(__always)
  private func eight<T>(_ value: T) -> Eight<T> {
    (value, value, value, value, value, value, value, value)
  }
#endif

/// Rows that are needed soon and are asked for a few at a time, in passing.
struct RowsAhead {
  private var next: UnsafePointer<Float>
  private let stride: Int
  private var left: Int
  private let each: Int

  /// `count` rows, which are to be asked for within so many times.
  @inline(__always)
  init(_ first: UnsafePointer<Float>, stride: Int, count: Int, times: Int) {
    (next, self.stride, left) = (first, stride, count)
    each = (count &+ times &- 1) / times
  }

  @inline(__always)
  mutating func ask() {
    let count = left < each ? left : each
    left &-= count
    for _ in 0..<count {
      tlnk_prefetch_near(next)
      next += stride
    }
  }
}

/// How many features lie side by side in x_packed: those of a tile. 0 if these kernels read x.
var packedFeatures: Int {
  #if TLN_AVX2 || TLN_AVX512
    denseRows
  #else
    0
  #endif
}

/// With x_packed the update takes so many panels of samples at once.
@inline(__always) var packedPanelsAtOnce: Int { 3 }

/// x_packed for samples first ..< last.
func packFeatures(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let s = step.pointee
  guard let packed = s.x_packed else { return }
  var input = 0
  while input < s.inputs {
    for sample in first..<last {
      let features = UnsafeRawPointer(s.row(sample, as: Float.self) + input)
      let target = UnsafeMutableRawPointer(packed + (input &* s.capacity &+ sample &* denseRows))
      // Not a float more: the next sample's may be written by another thread.
      #if TLN_AVX2
        target.storeBytes(of: features.loadUnaligned(as: SIMD4<Float>.self), as: SIMD4<Float>.self)
        (target + 16).storeBytes(
          of: (features + 16).loadUnaligned(as: SIMD2<Float>.self), as: SIMD2<Float>.self)
      #else
        target.storeBytes(of: features.loadUnaligned(as: SIMD8<Float>.self), as: SIMD8<Float>.self)
      #endif
    }
    input &+= denseRows
  }
}
