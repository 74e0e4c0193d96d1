// Writing a zip archive exactly as PyTorch's writer does (caffe2/serialize/inline_container.cc on top of
// miniz 2.1): entries are stored, their sizes follow the data, and the data are aligned to 64 bytes.

import CSystem

struct ZipWriter: ~Copyable {
  private let file: FileWriter
  /// The archive's own name, which all entries' names begin with.
  private let root: String
  private var position = 0
  private var directory: [UInt8] = []
  /// The names, without the root, and the checksums of the entries so far.
  private(set) var names: [String] = []
  private(set) var checksums: [UInt32] = []

  private static let alignment = 64
  /// Sizes follow the data, and names are UTF-8.
  private static let flags: UInt16 = 0x0808

  init(_ path: String, root: String) throws(Failure) {
    file = try FileWriter(path)
    self.root = root
  }

  /// Adds an entry with these bytes.
  mutating func add(_ name: String, _ bytes: UnsafeRawBufferPointer) throws(Failure) {
    let fullName = root + "/" + name
    let header = position
    let isLarge = bytes.count >= 0xffff_ffff
    let isFar = header >= 0xffff_ffff
    var wide: [UInt8] = []
    if isLarge || isFar {
      wide.append(little: 1 as UInt16)
      wide.append(little: (isLarge ? 16 : 0) + (isFar ? 8 : 0) as UInt16)
      if isLarge {
        wide.append(little: bytes.count)
        wide.append(little: bytes.count)
      }
      if isFar { wide.append(little: header) }
    }
    let nameCount = fullName.utf8.count
    let unpadded = header + 30 + nameCount + 4 + wide.count
    let padding = (Self.alignment - unpadded % Self.alignment) % Self.alignment

    var local = "PK\u{3}\u{4}".bytes
    local.append(little: 0 as UInt16)
    local.append(little: Self.flags)
    for _ in 0..<3 { local.append(little: 0 as UInt16) }  // method, time, date
    for _ in 0..<3 { local.append(little: 0 as UInt32) }  // checksum and sizes
    local.append(little: UInt16(truncatingIfNeeded: nameCount))
    local.append(little: UInt16(truncatingIfNeeded: wide.count + 4 + padding))
    local.append(fullName)
    local += wide
    local.append("FB")
    local.append(little: UInt16(truncatingIfNeeded: padding))
    for _ in 0..<padding { local.append(UInt8(ascii: "Z")) }

    let checksum = UInt32(
      crc32_z(0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
    var descriptor = "PK\u{7}\u{8}".bytes
    descriptor.append(little: checksum)
    for _ in 0..<2 {
      if wide.isEmpty {
        descriptor.append(little: UInt32(truncatingIfNeeded: bytes.count))
      } else {
        descriptor.append(little: bytes.count)
      }
    }
    try write(local)
    try file.write(bytes)
    position += bytes.count
    try write(descriptor)

    directory.append("PK\u{1}\u{2}")
    for _ in 0..<2 { directory.append(little: 0 as UInt16) }  // versions
    directory.append(little: Self.flags)
    for _ in 0..<3 { directory.append(little: 0 as UInt16) }  // method, time, date
    directory.append(little: checksum)
    for _ in 0..<2 { directory.append(little: UInt32(clamping: bytes.count)) }
    directory.append(little: UInt16(truncatingIfNeeded: nameCount))
    directory.append(little: UInt16(truncatingIfNeeded: wide.count))
    for _ in 0..<3 { directory.append(little: 0 as UInt16) }  // comment, disk, attributes
    directory.append(little: 0 as UInt32)  // more attributes
    directory.append(little: UInt32(clamping: header))
    directory.append(fullName)
    directory += wide

    names.append(name)
    checksums.append(checksum)
  }

  mutating func add(_ name: String, _ bytes: [UInt8]) throws(Failure) {
    let copy = try Buffer(copying: bytes)
    try add(name, UnsafeRawBufferPointer(copy.readOnly))
  }

  /// Writes the directory, and the comment after it, and puts the file in its place.
  consuming func finish(comment: [UInt8]) throws(Failure) {
    let start = position
    let end = start + directory.count
    let count = names.count
    var records = directory
    records.append("PK\u{6}\u{6}")
    records.append(little: 44 as UInt64)
    records.append(little: 0x031e as UInt16)  // made by
    records.append(little: 45 as UInt16)  // needed
    for _ in 0..<2 { records.append(little: 0 as UInt32) }  // disks
    for number in [count, count, directory.count, start] { records.append(little: number) }
    records.append("PK\u{6}\u{7}")
    records.append(little: 0 as UInt32)
    records.append(little: end)
    records.append(little: 1 as UInt32)
    records.append("PK\u{5}\u{6}")
    for _ in 0..<2 { records.append(little: 0 as UInt16) }  // disks
    for _ in 0..<2 { records.append(little: UInt16(clamping: count)) }
    records.append(little: UInt32(clamping: directory.count))
    records.append(little: UInt32(clamping: start))
    records.append(little: UInt16(truncatingIfNeeded: comment.count))
    records += comment
    try write(records)
    try file.commit()
  }

  private mutating func write(_ bytes: [UInt8]) throws(Failure) {
    try file.write(all: bytes)
    position += bytes.count
  }
}
