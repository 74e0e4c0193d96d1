// Zip archives put together field by field, good ones and any kind of bad ones.

import CSystem

/// One entry of an archive. Every field that a header has may be made to lie.
public struct ZipMember {
  public var name: [UInt8]
  /// As they are stored.
  public var bytes: [UInt8]
  public var method: UInt16 = 0
  public var flags: UInt16 = 0
  public var checksum: UInt32
  public var byteCount: Int
  public var storedByteCount: Int
  /// In 64 bits, with all ones where the 32 bits are.
  public var isWide = false
  /// Changes to the local header's numbers: bytes at offsets from its start.
  public var localPatches: [Int: [UInt8]] = [:]
  /// The same in the directory.
  public var centralPatches: [Int: [UInt8]] = [:]
  /// Follows the data.
  public var descriptor: [UInt8] = []

  public init(_ name: String, _ bytes: [UInt8]) {
    self.name = Array(name.utf8)
    self.bytes = bytes
    checksum = crc32(bytes)
    byteCount = bytes.count
    storedByteCount = bytes.count
  }

  /// Compressed, as bare deflate.
  public static func deflated(_ name: String, _ bytes: [UInt8]) -> ZipMember {
    var member = ZipMember(name, bytes)
    member.bytes = deflate(bytes)
    member.method = 8
    member.storedByteCount = member.bytes.count
    return member
  }

  /// With sizes and checksum behind the data.
  public static func described(
    _ name: String, _ bytes: [UInt8], signature: Bool = true, wide: Bool = false
  ) -> ZipMember {
    var member = ZipMember(name, bytes)
    member.flags = 8
    member.localPatches = [14: [UInt8](repeating: 0, count: 12)]
    member.descriptor = signature ? Array("PK\u{7}\u{8}".utf8) : []
    member.descriptor += little(member.checksum)
    for _ in 0..<2 {
      member.descriptor += wide ? little(UInt64(bytes.count)) : little(UInt32(bytes.count))
    }
    return member
  }

  fileprivate func header(central: Bool, offset: Int) -> [UInt8] {
    let ones = UInt32.max
    let sizes =
      isWide ? [ones, ones] : [storedByteCount, byteCount].map { UInt32(truncatingIfNeeded: $0) }
    var extra: [UInt8] = []
    if isWide {
      extra = little(UInt16(1)) + little(UInt16(16)) + little(UInt64(byteCount))
      extra += little(UInt64(storedByteCount))
    }
    var bytes = Array((central ? "PK\u{1}\u{2}" : "PK\u{3}\u{4}").utf8)
    if central { bytes += little(UInt16(20)) }
    bytes += little(UInt16(20)) + little(flags) + little(method) + little(UInt32(0))
    bytes += little(checksum) + little(sizes[0]) + little(sizes[1])
    bytes += little(UInt16(name.count)) + little(UInt16(extra.count))
    if central { bytes += [UInt8](repeating: 0, count: 10) + little(UInt32(truncatingIfNeeded: offset)) }
    bytes += name + extra
    for (offset, patch) in central ? centralPatches : localPatches {
      bytes.replaceSubrange(offset..<(offset + patch.count), with: patch)
    }
    return bytes
  }
}

/// A whole archive.
public struct ZipBuilder {
  public var members: [ZipMember]
  public var comment: [UInt8] = []
  public var isZip64 = false
  /// Changes to the end records, from the zip64 record (if there is one) on.
  public var endPatches: [Int: [UInt8]] = [:]

  public init(_ members: [ZipMember]) { self.members = members }

  public var bytes: [UInt8] {
    var archive: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      directory += member.header(central: true, offset: archive.count)
      archive += member.header(central: false, offset: 0) + member.bytes + member.descriptor
    }
    let start = archive.count
    archive += directory
    var end: [UInt8] = []
    let (count, size) = (members.count, directory.count)
    if isZip64 {
      end += Array("PK\u{6}\u{6}".utf8) + little(UInt64(44)) + little(UInt32(0x2d_002d))
      end += [UInt8](repeating: 0, count: 8)
      end += [count, count, size, start].flatMap { little(UInt64($0)) }
      end += Array("PK\u{6}\u{7}".utf8) + little(UInt32(0)) + little(UInt64(archive.count))
      end += little(UInt32(1))
    }
    end += Array("PK\u{5}\u{6}".utf8) + little(UInt32(0))
    if isZip64 {
      end += [UInt8](repeating: 0xff, count: 12)
    } else {
      end += little(UInt16(count)) + little(UInt16(count)) + little(UInt32(size)) + little(UInt32(start))
    }
    end += little(UInt16(comment.count)) + comment
    for (offset, patch) in endPatches {
      end.replaceSubrange(offset..<(offset + patch.count), with: patch)
    }
    return archive + end
  }
}

/// Bare deflate.
public func deflate(_ bytes: [UInt8]) -> [UInt8] {
  var stream = z_stream()
  precondition(
    deflateInit2_(
      &stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size)) == Z_OK)
  defer { deflateEnd(&stream) }
  var input = bytes
  var output = [UInt8](repeating: 0, count: bytes.count + 1024)
  input.withUnsafeMutableBufferPointer { input in
    output.withUnsafeMutableBufferPointer { output in
      stream.next_in = input.baseAddress
      stream.avail_in = UInt32(input.count)
      stream.next_out = output.baseAddress
      stream.avail_out = UInt32(output.count)
      precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
    }
  }
  return Array(output[..<Int(stream.total_out)])
}
