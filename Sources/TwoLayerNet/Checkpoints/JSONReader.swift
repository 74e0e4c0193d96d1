// JSON as the headers of safetensors files need it (RFC 8259): objects, strings and whole numbers, read
// strictly from front to back. Every function returns nil, or false, for text that is something else.

struct JSONReader: ~Copyable {
  private let bytes: Buffer<UInt8>
  private var position = 0

  init(_ bytes: consuming Buffer<UInt8>) { self.bytes = bytes }

  /// Nothing but white space is left.
  mutating func isAtEnd() -> Bool {
    skipSpace()
    return position == bytes.count
  }

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0a, 0x0d: position += 1
      default: return
      }
    }
  }

  /// Moves over `character`, and white space before it, if it comes next.
  mutating func skip(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(character.value) else { return false }
    position += 1
    return true
  }

  /// Goes through an object; `member` reads the value of the key it is given.
  mutating func object(
    _ member: (inout JSONReader, String) throws(Failure) -> Bool
  ) throws(Failure) -> Bool {
    guard skip("{") else { return false }
    if skip("}") { return true }
    while true {
      try checkMemory()
      guard let key = string(), skip(":"), try member(&self, key) else { return false }
      if skip("}") { return true }
      guard skip(",") else { return false }
    }
  }

  /// An array of at most `limit` whole numbers that are not negative.
  mutating func numbers(limit: Int) -> [Int]? {
    guard skip("[") else { return nil }
    if skip("]") { return [] }
    var numbers: [Int] = []
    while numbers.count < limit, let number = number() {
      numbers.append(number)
      if skip("]") { return numbers }
      guard skip(",") else { return nil }
    }
    return nil
  }

  private mutating func number() -> Int? {
    skipSpace()
    let start = position
    var value = 0
    while position < bytes.count, (48...57).contains(bytes[position]) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.addingReportingOverflow(Int(bytes[position]) - 48)
      if overflow || overflow2 { return nil }
      value = sum
      position += 1
    }
    let hasLeadingZero = position - start > 1 && bytes[start] == 48
    return position > start && !hasLeadingZero ? value : nil
  }

  mutating func string() -> String? {
    guard skip("\"") else { return nil }
    var text: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard let scalar = escape() else { return nil }
        UTF8.encode(scalar)!.forEach { text.append($0) }
      case 0..<0x20: return nil
      default: text.append(byte)
      }
    }
    return nil
  }

  /// What stands for a character after a backslash.
  private mutating func escape() -> Unicode.Scalar? {
    guard position < bytes.count else { return nil }
    position += 1
    switch bytes[position - 1] {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      guard let unit = codeUnit() else { return nil }
      guard UTF16.isLeadSurrogate(unit) else { return Unicode.Scalar(unit) }
      guard bytes.has("\\u", at: position) else { return nil }
      position += 2
      guard let second = codeUnit(), UTF16.isTrailSurrogate(second) else { return nil }
      return Unicode.Scalar(0x10000 + (UInt32(unit & 0x3ff) << 10 | UInt32(second & 0x3ff)))
    default: return nil
    }
  }

  /// Four hexadecimal digits.
  private mutating func codeUnit() -> UInt16? {
    guard bytes.count - position >= 4 else { return nil }
    var unit: UInt16 = 0
    for _ in 0..<4 {
      switch bytes[position] {
      case 48...57: unit = unit << 4 | UInt16(bytes[position] - 48)
      case 65...70: unit = unit << 4 | UInt16(bytes[position] - 55)
      case 97...102: unit = unit << 4 | UInt16(bytes[position] - 87)
      default: return nil
      }
      position += 1
    }
    return unit
  }
}
