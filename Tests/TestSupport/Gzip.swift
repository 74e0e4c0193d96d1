// Compressed files as gzip writes them, with stored (uncompressed) blocks: enough to test a reader.

/// A gzip file whose contents are `bytes`.
public func gzip(_ bytes: [UInt8]) -> [UInt8] {
  var file: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
  var rest = bytes[...]
  repeat {
    let block = rest.prefix(65535)
    rest = rest.dropFirst(block.count)
    let count = UInt16(block.count)
    file += [rest.isEmpty ? 1 : 0] + little(count) + little(~count) + block
  } while !rest.isEmpty
  return file + little(crc32(bytes)) + little(UInt32(bytes.count))
}

/// The checksum of gzip and zip.
public func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
  var sum = ~UInt32(0)
  for byte in bytes {
    sum ^= UInt32(byte)
    for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 1 ? 0xedb8_8320 : 0) }
  }
  return ~sum
}

/// A number's bytes, the lowest first.
public func little(_ number: some FixedWidthInteger) -> [UInt8] {
  withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

/// A number's bytes, the highest first.
public func big(_ number: some FixedWidthInteger) -> [UInt8] {
  withUnsafeBytes(of: number.bigEndian) { Array($0) }
}

/// An IDX file of unsigned bytes.
public func idx(_ dimensions: [UInt32], _ bytes: [UInt8]) -> [UInt8] {
  [0, 0, 8, UInt8(dimensions.count)] + dimensions.flatMap { big($0) } + bytes
}
