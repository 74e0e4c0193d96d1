// MD5 (RFC 1321), the checksum that the publishers of the datasets give for their files. It tells a
// damaged or different file from the right one.

import CSystem
import TwoLayerNet

struct MD5 {
  private var state: (UInt32, UInt32, UInt32, UInt32) = (
    0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476
  )
  /// Bytes that do not fill a block of 64 yet.
  private var rest: [UInt8] = []
  private var byteCount: UInt64 = 0

  /// abs(sin(i + 1)) * 2^32, as the RFC defines its table.
  private static let constants = (0..<64).map { UInt32(abs(sin(Double($0 + 1))) * 0x1p32) }
  private static let shifts: [UInt32] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21]

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    byteCount &+= UInt64(bytes.count)
    var bytes = bytes[...]
    if !rest.isEmpty {
      let missing = bytes.prefix(64 - rest.count)
      rest += missing
      bytes = bytes.dropFirst(missing.count)
      if rest.count < 64 { return }
      rest.withUnsafeBytes { addBlock($0.baseAddress!) }
      rest.removeAll(keepingCapacity: true)
    }
    var whole = UnsafeRawBufferPointer(rebasing: bytes)[...]
    while whole.count >= 64 {
      addBlock(UnsafeRawBufferPointer(rebasing: whole).baseAddress!)
      whole = whole.dropFirst(64)
    }
    rest += whole
  }

  /// The checksum as 32 hexadecimal digits; nothing may be added afterwards.
  mutating func finish() -> String {
    let bits = byteCount &* 8
    let padding = [0x80] + [UInt8](repeating: 0, count: Int((119 &- byteCount % 64) % 64))
    let length = (0..<8).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
    (padding + length).withUnsafeBytes { update($0) }
    var text = ""
    for word in [state.0, state.1, state.2, state.3] {
      for byte in 0..<4 {
        let value = UInt8(truncatingIfNeeded: word >> (8 * UInt32(byte)))
        text += (value < 16 ? "0" : "") + String(value, radix: 16)
      }
    }
    return text
  }

  private mutating func addBlock(_ block: UnsafeRawPointer) {
    var (a, b, c, d) = state
    for step in 0..<64 {
      let mixed: UInt32
      let word: Int
      switch step / 16 {
      case 0: (mixed, word) = ((b & c) | (~b & d), step)
      case 1: (mixed, word) = ((d & b) | (~d & c), (5 * step + 1) % 16)
      case 2: (mixed, word) = (b ^ c ^ d, (3 * step + 5) % 16)
      default: (mixed, word) = (c ^ (b | ~d), 7 * step % 16)
      }
      let value = UInt32(
        littleEndian: block.loadUnaligned(fromByteOffset: 4 * word, as: UInt32.self))
      let sum = a &+ mixed &+ Self.constants[step] &+ value
      let shift = Self.shifts[step / 16 * 4 + step % 4]
      (a, d, c, b) = (d, c, b, b &+ (sum << shift | sum >> (32 - shift)))
    }
    state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d)
  }

  /// The checksum of a file.
  static func ofFile(_ path: String) throws(Failure) -> String {
    let file = try File(path)
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
    defer { chunk.deallocate() }
    var sum = MD5()
    var offset = 0
    while true {
      let count = try file.readSome(at: offset, into: chunk)
      if count == 0 { return sum.finish() }
      sum.update(UnsafeRawBufferPointer(rebasing: chunk[..<count]))
      offset += count
    }
  }
}
