// Little-endian numbers in bytes, text compared as bytes, and sorting. Swift's own == of strings brings
// Unicode's tables along, and its views of strings more code than the rest of the library.

import CSystem

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
  /// In place of the standard library's, which is inlined with all that growing takes.
  @inline(never)
  mutating func append(_ byte: UInt8) { append(contentsOf: CollectionOfOne(byte)) }

  mutating func append<T: FixedWidthInteger>(little value: T) {
    append(UInt64(truncatingIfNeeded: value), byteCount: T.bitWidth / 8)
  }

  @inline(never)
  private mutating func append(_ value: UInt64, byteCount: Int) {
    for index in 0..<byteCount { append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }

  @inline(never)
  mutating func append(_ text: String) { append(contentsOf: text.bytes) }
}

extension String {
  /// Its UTF-8.
  @inline(never)
  var bytes: [UInt8] { Array(utf8) }

  func equals(_ other: String) -> Bool { comparison(with: other) == 0 }

  func precedes(_ other: String) -> Bool { comparison(with: other) < 0 }

  /// Below 0 if it comes before `other`, 0 if it is the same bytes.
  @inline(never)
  private func comparison(with other: String) -> Int {
    // On this platform the UTF-8 of every string is contiguous.
    let order: Int?? = utf8.withContiguousStorageIfAvailable { mine in
      other.utf8.withContiguousStorageIfAvailable { theirs in
        let common = min(mine.count, theirs.count)
        let order = common == 0 ? 0 : memcmp(mine.baseAddress!, theirs.baseAddress!, common)
        return order != 0 ? Int(order) : mine.count - theirs.count
      }
    }
    return (order ?? 0) ?? 0
  }

  /// What stands before `ending`; nil if the text does not end so.
  func dropping(ending: String) -> String? {
    let (whole, part) = (bytes, ending.bytes)
    guard part.count <= whole.count else { return nil }
    let cut = whole.count - part.count
    for index in part.indices where whole[cut + index] != part[index] { return nil }
    return String(bytes: whole[..<cut])
  }

  /// Of UTF-8.
  @inline(never)
  init(bytes: ArraySlice<UInt8>) { self.init(decoding: bytes, as: UTF8.self) }
}

/// 0 ..< count in an order, in which equals may come either way. One sort of indices for all that is
/// sorted, since each sort of the standard library is two kilobytes of code.
@inline(never)
func sortedIndices(_ count: Int, by precedes: (Int, Int) -> Bool) -> [Int] {
  var indices = Array(0..<count)
  indices.sort(by: precedes)
  return indices
}
