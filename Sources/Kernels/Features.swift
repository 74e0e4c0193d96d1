// The two kinds of input features: bytes that stand for value / 255, and floats. Zeros are skipped: in a
// chain that starts at +0 a zero factor changes nothing, fused or not.

import CKernels

protocol Feature {
  associatedtype Element
  /// Bit i says whether element i is not zero, for the 64 elements at `row`.
  static func nonzero64(_ row: UnsafePointer<Element>) -> UInt64
  /// What an element stands for.
  static func value(_ element: Element, _ byteValues: UnsafePointer<Float>) -> Float
}

enum Byte: Feature {
  @inline(__always)
  static func nonzero64(_ row: UnsafePointer<UInt8>) -> UInt64 { tlnk_nonzero_bytes_64(row) }
  @inline(__always)
  static func value(_ element: UInt8, _ byteValues: UnsafePointer<Float>) -> Float {
    byteValues[Int(element)]
  }
}

enum Real: Feature {
  @inline(__always)
  static func nonzero64(_ row: UnsafePointer<Float>) -> UInt64 { tlnk_nonzero_floats_64(row) }
  @inline(__always)
  static func value(_ element: Float, _ byteValues: UnsafePointer<Float>) -> Float { element }
}

extension tlnk_step {
  /// The features of a sample.
  @inline(__always)
  func row<E>(_ sample: Int, as _: E.Type) -> UnsafePointer<E> {
    (x! + sample &* x_stride).assumingMemoryBound(to: E.self)
  }

  /// A feature of a sample.
  @inline(__always)
  func feature<F: Feature>(_ sample: Int, _ input: Int, _: F.Type) -> Float {
    F.value(row(sample, as: F.Element.self)[input], byte_values!)
  }
}

/// What `count` bytes stand for.
func valuesOfBytes(_ bytes: UnsafePointer<UInt8>, _ values: UnsafeMutablePointer<Float>, count: Int) {
  var index = 0
  while index &+ 16 <= count {
    tlnk_values_of_bytes_16(bytes + index, values + index)
    index &+= 16
  }
  while index < count {
    values[index] = Float(bytes[index]) / 255
    index &+= 1
  }
}
