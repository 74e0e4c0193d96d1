// From bytes of a file to float32: checksums, inflating, byte order, strides and types.

import CSystem

extension File {
  /// The bytes of a storage, inflated and compared with their checksum.
  borrowing func bytes(of storage: Storage) throws(Failure) -> Buffer<UInt8> {
    let bytes = try Buffer<UInt8>(uninitialized: storage.byteCount)
    if storage.isDeflated {
      try inflate(storage, into: bytes)
    } else {
      try read(at: storage.start, into: .init(bytes.mutable))
    }
    if let checksum = storage.checksum, UInt32(crc32_z(0, bytes.base, bytes.count)) != checksum {
      throw .badFile("\(path) is damaged: a part of it does not match its checksum")
    }
    return bytes
  }

  /// Inflates exactly `storage.byteCount` bytes out of exactly `storage.storedByteCount`.
  private borrowing func inflate(
    _ storage: Storage, into bytes: borrowing Buffer<UInt8>
  ) throws(Failure) {
    let damaged = Failure.badFile("\(path) is damaged: a compressed part of it does not inflate")
    // zlib counts in 32 bits, and a compressed part of this size is no checkpoint of this network.
    guard storage.storedByteCount < 1 << 31, storage.byteCount < 1 << 31 else {
      throw .unsupported("\(path) has a compressed part of more than 2 GB")
    }
    let input = try Buffer<UInt8>(uninitialized: storage.storedByteCount)
    try read(at: storage.start, into: .init(input.mutable))
    var stream = z_stream()
    // Minus 15: a window of 32 KiB, and bare deflate without a header.
    guard inflateInit2_(&stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw .outOfMemory(bytes: 1 << 16) }
    defer { inflateEnd(&stream) }
    stream.next_in = input.base
    stream.avail_in = UInt32(input.count)
    stream.next_out = bytes.base
    stream.avail_out = UInt32(bytes.count)
    guard CSystem.inflate(&stream, Z_FINISH) == Z_STREAM_END, stream.avail_out == 0, stream.avail_in == 0
    else { throw damaged }
  }
}

extension Tensor {
  var isPacked: Bool { strides == packedStrides(sizes) }

  /// Converts the elements, row-major, from the bytes of the storage. `values` holds exactly `count`.
  func convert(
    _ bytes: borrowing Buffer<UInt8>, into values: UnsafeMutableBufferPointer<Float>
  ) {
    let base = UnsafeRawPointer(bytes.base)
    if type == .float32 && !storage.isBigEndian && isPacked {
      if values.count > 0 { memcpy(values.baseAddress!, base + offset * 4, values.count * 4) }
      return
    }
    var index = [Int](repeating: 0, count: sizes.count)
    var place = offset
    for position in 0..<values.count {
      values[position] = element(base + place * type.byteCount)
      // On to the next element, like an odometer.
      var dimension = sizes.count - 1
      while dimension >= 0 {
        index[dimension] += 1
        // The stride of a dimension with one element may be anything, so this may wrap, there and back.
        place &+= strides[dimension]
        if index[dimension] < sizes[dimension] { break }
        place &-= strides[dimension] &* sizes[dimension]
        index[dimension] = 0
        dimension -= 1
      }
    }
  }

  private func element(_ bytes: UnsafeRawPointer) -> Float {
    switch type {
    case .float32: Float(bitPattern: load(bytes))
    case .float64: Float(Double(bitPattern: load(bytes)))
    case .float16: float(fromHalf: load(bytes))
    case .bfloat16: Float(bitPattern: UInt32(load(bytes, as: UInt16.self)) << 16)
    case .int64: Float(load(bytes, as: Int64.self))
    case .int32: Float(load(bytes, as: Int32.self))
    case .int16: Float(load(bytes, as: Int16.self))
    case .int8: Float(load(bytes, as: Int8.self))
    case .uint64: Float(load(bytes, as: UInt64.self))
    case .uint32: Float(load(bytes, as: UInt32.self))
    case .uint16: Float(load(bytes, as: UInt16.self))
    case .uint8: Float(load(bytes, as: UInt8.self))
    case .bool: load(bytes, as: UInt8.self) == 0 ? 0 : 1
    }
  }

  private func load<T: FixedWidthInteger & BitwiseCopyable>(
    _ bytes: UnsafeRawPointer, as _: T.Type = T.self
  ) -> T {
    let value = bytes.loadUnaligned(as: T.self)
    return storage.isBigEndian ? T(bigEndian: value) : T(littleEndian: value)
  }
}

/// IEEE 754 binary16, whose every value is a float: 1 bit of sign, 5 of exponent, 10 of fraction.
private func float(fromHalf bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let exponent = UInt32(bits >> 10 & 31)
  let fraction = UInt32(bits & 0x3ff)
  switch exponent {
  case 0:
    let magnitude = Float(fraction) * 0x1p-24
    return sign == 0 ? magnitude : -magnitude
  case 31: return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
  default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
  }
}
