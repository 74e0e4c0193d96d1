// The two kinds of input features: bytes that stand for value / 255, and floats. Zeros are skipped: in
// a chain of fused multiply-adds that starts at +0 a zero factor changes nothing.

import CKernels

protocol Feature {
  associatedtype Element
  /// Bit i says whether element i is not zero, for the 64 elements at `row`.
  static func nonzero64(_ row: UnsafePointer<Element>) -> UInt64
  static func isZero(_ element: Element) -> Bool
  /// What an element stands for.
  static func value(_ element: Element, _ byteValues: UnsafePointer<Float>) -> Float
}

enum Byte: Feature {
  @inline(__always)
  static func nonzero64(_ row: UnsafePointer<UInt8>) -> UInt64 { tlnk_nonzero_bytes_64(row) }
  @inline(__always)
  static func isZero(_ element: UInt8) -> Bool { element == 0 }
  @inline(__always)
  static func value(_ element: UInt8, _ byteValues: UnsafePointer<Float>) -> Float {
    byteValues[Int(element)]
  }
}

enum Real: Feature {
  @inline(__always)
  static func nonzero64(_ row: UnsafePointer<Float>) -> UInt64 { tlnk_nonzero_floats_64(row) }
  @inline(__always)
  static func isZero(_ element: Float) -> Bool { element == 0 }
  @inline(__always)
  static func value(_ element: Float, _ byteValues: UnsafePointer<Float>) -> Float { element }
}

extension Feature {
  /// The same for the first `count` elements, without touching any beyond.
  @inline(__always)
  static func nonzero(_ row: UnsafePointer<Element>, count: Int) -> UInt64 {
    if count >= 64 { return nonzero64(row) }
    var mask: UInt64 = 0
    for index in 0..<count where !isZero(row[index]) { mask |= 1 << UInt64(index) }
    return mask
  }
}
