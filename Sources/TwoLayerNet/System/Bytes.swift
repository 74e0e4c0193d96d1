// Little-endian numbers in bytes, and text compared as bytes: Swift's own == of strings brings Unicode's
// tables along, which are larger than the rest of the library.

extension Buffer where Element == UInt8 {
  init(copying bytes: [UInt8]) throws(Failure) {
    try self.init(uninitialized: bytes.count)
    for index in bytes.indices { self[index] = bytes[index] }
  }

  /// The number at `offset`, which the caller has checked, in `width` bytes (at most 8); the largest Int
  /// if it is larger than that, so that comparing it with the size of a file refuses it.
  func number(at offset: Int, width: Int) -> Int {
    var value: UInt64 = 0
    for index in 0..<width { value |= UInt64(self[offset &+ index]) << UInt64(8 &* index) }
    return Int(clamping: value)
  }

  func u16(_ offset: Int) -> Int { number(at: offset, width: 2) }
  func u32(_ offset: Int) -> Int { number(at: offset, width: 4) }
  func u64(_ offset: Int) -> Int { number(at: offset, width: 8) }

  /// `range`, which the caller has checked, as text; nil if it is not UTF-8.
  func text(_ range: Range<Int>) -> String? {
    String(validating: UnsafeBufferPointer(rebasing: readOnly[range]), as: UTF8.self)
  }

  /// Whether the bytes from `offset` on are these.
  func has(_ bytes: StaticString, at offset: Int) -> Bool {
    let size = bytes.utf8CodeUnitCount
    guard offset >= 0, offset <= count, size <= count &- offset else { return false }
    for index in 0..<size where self[offset &+ index] != bytes.utf8Start[index] { return false }
    return true
  }
}

extension Array where Element == UInt8 {
  mutating func append<T: FixedWidthInteger>(little value: T) {
    var rest = value
    for _ in 0..<(T.bitWidth / 8) {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  mutating func append(_ text: String) {
    for byte in text.utf8 { append(byte) }
  }
}

extension String {
  func equals(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }

  func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }

  /// What stands before `ending`; nil if the text does not end so.
  func dropping(ending: String) -> String? {
    let (whole, part) = (utf8, ending.utf8)
    guard part.count <= whole.count else { return nil }
    let cut = whole.index(whole.endIndex, offsetBy: -part.count)
    return whole[cut...].elementsEqual(part) ? String(self[..<cut]) : nil
  }
}
