// The vector of each instruction set, and the one operation on which the sets differ. This folder is
// compiled once for each of them (see Package.swift); only this file and Table.swift know which.
//
// Kernels use pointers, integers and fixed-size SIMD types, and of those only operations that compile
// to instructions: a generic function of the standard library would be emitted here for a higher
// instruction set and could be linked into code for a lower one.

#if TLN_AVX512
  typealias Lanes = SIMD16<Float>
  typealias Words = SIMD16<UInt32>
  typealias Integers = SIMD16<Int32>
  /// Processors that take two passes for a vector take one for this.
  typealias HalfLanes = SIMD8<Float>
#elseif TLN_AVX2
  typealias Lanes = SIMD8<Float>
  typealias Words = SIMD8<UInt32>
  typealias Integers = SIMD8<Int32>
#else
  typealias Lanes = SIMD4<Float>
  typealias Words = SIMD4<UInt32>
  typealias Integers = SIMD4<Int32>
#endif

#if TLN_AVX512
  @inline(__always)
  func fma(_ a: HalfLanes, _ b: HalfLanes, _ c: HalfLanes) -> HalfLanes { c.addingProduct(a, b) }
#else
  /// No tile has a half.
  typealias HalfLanes = Lanes
#endif

#if TLN_AVX512 || TLN_AVX2 || arch(arm64)
  /// a * b + c, rounded once.
  @inline(__always)
  func fma(_ a: Lanes, _ b: Lanes, _ c: Lanes) -> Lanes { c.addingProduct(a, b) }
#else
  /// a * b + c, rounded once, on processors that cannot: the product is exact in double precision, the
  /// sum's rounding error is found by Knuth's TwoSum, and a sum that was not exact is made odd in its last
  /// bit, so that the second rounding, to float, is right (Boldo and Melquiond, "Emulation of FMA and
  /// correctly rounded sums: proved algorithms using rounding to odd", IEEE Trans. Comput. 57, 2008). Not
  /// inlined, because it is some fifty instructions.
  @inline(never)
  func fma(_ a: Lanes, _ b: Lanes, _ c: Lanes) -> Lanes {
    let product = doubles(a) * doubles(b)
    let addend = doubles(c)
    let sum = product + addend
    let back = sum - product
    let error = (product - (sum - back)) + (addend - back)
    let bits = unsafeBitCast(sum, to: SIMD4<Int64>.self)
    let zero = SIMD4<Double>(repeating: 0)
    let up = (error .> zero)
    let down = (error .< zero)
    let away = (sum .> zero)
    let even = (bits & SIMD4<Int64>(repeating: 1)) .== SIMD4<Int64>(repeating: 0)
    let one = SIMD4<Int64>(repeating: 1)
    let none = SIMD4<Int64>(repeating: 0)
    // An error of the sum's sign moves its bits up, one of the other sign down.
    let grow = ((up .& away) .| (down .& .!away)) .& even
    let shrink = ((up .& .!away) .| (down .& away)) .& even
    let odd = bits &+ none.replacing(with: one, where: grow) &- none.replacing(with: one, where: shrink)
    return floats(unsafeBitCast(odd, to: SIMD4<Double>.self))
  }

  @inline(__always)
  private func doubles(_ v: Lanes) -> SIMD4<Double> {
    SIMD4(Double(v.x), Double(v.y), Double(v.z), Double(v.w))
  }

  @inline(__always)
  private func floats(_ v: SIMD4<Double>) -> Lanes {
    SIMD4(Float(v.x), Float(v.y), Float(v.z), Float(v.w))
  }
#endif

extension SIMD where Scalar == Float {
  @inline(__always)
  init(at pointer: UnsafePointer<Float>) {
    self = UnsafeRawPointer(pointer).loadUnaligned(as: Self.self)
  }

  @inline(__always)
  func store(at pointer: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Self.self)
  }
}

extension Lanes {
  @inline(__always)
  static var count: Int { scalarCount }

  /// -self, also of zeros. (The standard library's minus sign subtracts from 0, which is +0 for +0.)
  @inline(__always)
  var negated: Lanes {
    unsafeBitCast(
      unsafeBitCast(self, to: Words.self) ^ Words(repeating: 0x8000_0000), to: Lanes.self)
  }

  /// The larger of each pair; the first if either is NaN.
  @inline(__always)
  func larger(_ other: Lanes) -> Lanes { replacing(with: other, where: other .> self) }
}
