// Reading the directory of a zip archive (PKWARE's APPNOTE.TXT 6.3.10): names, places, sizes and
// checksums of its entries, with or without zip64, each compared with the entry's own header. What the
// entries hold is not this file's business.

/// One file inside the archive.
struct ZipEntry {
  let name: String
  var storage: Storage
}

struct ZipArchive: ~Copyable {
  /// In the order of their names, as bytes.
  let entries: [ZipEntry]
  /// What stands at the end of the archive; empty in files that PyTorch wrote.
  let comment: [UInt8]

  /// More than any checkpoint has, few enough that a hostile directory is refused quickly.
  private static let entryLimit = 1 << 16
  private static let directoryLimit = 1 << 24

  static let signature: StaticString = "PK\u{3}\u{4}"
  private static let centralSignature: StaticString = "PK\u{1}\u{2}"
  private static let endSignature: StaticString = "PK\u{5}\u{6}"
  private static let end64Signature: StaticString = "PK\u{6}\u{6}"
  private static let locatorSignature: StaticString = "PK\u{6}\u{7}"
  private static let descriptorSignature: StaticString = "PK\u{7}\u{8}"

  init(_ file: borrowing File) throws(Failure) {
    let (directory, comment) = try Self.findDirectory(file)
    let bytes = try Buffer<UInt8>(uninitialized: directory.byteCount)
    try file.read(at: directory.start, into: .init(bytes.mutable))
    // An entry takes 46 bytes there and its name; here some hundred and its name, in an array that is
    // doubled and sorted.
    try checkMemory(16 * directory.byteCount)
    var entries: [ZipEntry] = []
    var position = 0
    // Entries that overlap would make much of a small file, so all together must fit in front.
    var room = directory.start
    for _ in 0..<directory.count {
      try checkMemory()
      entries.append(
        try Self.readEntry(bytes, &position, file, directoryStart: directory.start, &room))
    }
    guard position == bytes.count else { throw Self.damaged(file, "its directory has more entries") }
    let order = sortedIndices(entries.count) { entries[$0].name.precedes(entries[$1].name) }
    entries = order.map { entries[$0] }
    for index in entries.indices.dropFirst() where entries[index].name.equals(entries[index - 1].name) {
      throw .badFile("\(file.path) has two entries called \(entries[index].name)")
    }
    // torch.serialization.set_crc32_options(False) leaves all checksums zero.
    if !entries.contains(where: { $0.storage.checksum != 0 }) {
      for index in entries.indices { entries[index].storage.checksum = nil }
    }
    self.entries = entries
    self.comment = comment
  }

  func find(_ name: String) -> ZipEntry? {
    var range = entries[...]
    while !range.isEmpty {
      let middle = (range.startIndex + range.endIndex) / 2
      if entries[middle].name.equals(name) { return entries[middle] }
      range = entries[middle].name.precedes(name) ? range[(middle + 1)...] : range[..<middle]
    }
    return nil
  }

  private static func damaged(_ file: borrowing File, _ what: Message) -> Failure {
    .badFile("\(file.path) is a damaged zip archive: \(what.text)")
  }

  private typealias Directory = (start: Int, byteCount: Int, count: Int)

  /// The end record is the last thing in the file, with a comment of up to 65,535 bytes in it.
  private static func findDirectory(
    _ file: borrowing File
  ) throws(Failure) -> (Directory, comment: [UInt8]) {
    let tail = try Buffer<UInt8>(uninitialized: min(file.byteCount, 22 + 0xffff))
    let tailStart = file.byteCount - tail.count
    try file.read(at: tailStart, into: .init(tail.mutable))
    var end = tail.count - 22
    while end >= 0 && !(tail.has(endSignature, at: end) && end + 22 + tail.u16(end + 20) == tail.count) {
      end -= 1
    }
    guard end >= 0 else { throw damaged(file, "it ends too early, without its directory") }
    guard tail.u16(end + 4) == 0, tail.u16(end + 6) == 0, tail.u16(end + 8) == tail.u16(end + 10) else {
      throw damaged(file, "it is a part of several")
    }
    let old = (start: tail.u32(end + 16), byteCount: tail.u32(end + 12), count: tail.u16(end + 10))
    let new = try findDirectory64(file, end: tailStart + end)
    let directory = new?.directory ?? old
    if new != nil {
      guard old.start == directory.start || old.start == 0xffff_ffff,
        old.byteCount == directory.byteCount || old.byteCount == 0xffff_ffff,
        old.count == directory.count || old.count == 0xffff
      else { throw damaged(file, "its two end records disagree") }
    }
    let limit = new?.start ?? tailStart + end
    guard directory.byteCount <= limit, directory.start == limit - directory.byteCount else {
      throw damaged(file, "its directory is not where it should be")
    }
    guard directory.byteCount <= directoryLimit, directory.count <= entryLimit else {
      throw .badFile("\(file.path) has too many entries: \(directory.count)")
    }
    return (directory, Array(tail.readOnly[(end + 22)...]))
  }

  /// The record with 64-bit numbers, if there is one: a locator right before the end record points at it.
  private static func findDirectory64(
    _ file: borrowing File, end: Int
  ) throws(Failure) -> (directory: Directory, start: Int)? {
    guard end >= 20 else { return nil }
    let locator = try Buffer<UInt8>(uninitialized: 20)
    try file.read(at: end - 20, into: .init(locator.mutable))
    guard locator.has(locatorSignature, at: 0) else { return nil }
    let start = locator.u64(8)
    let record = try Buffer<UInt8>(uninitialized: 56)
    guard locator.u32(4) == 0, locator.u32(16) <= 1, end >= 76, start == end - 76 else {
      throw damaged(file, "its zip64 record is not where it should be")
    }
    try file.read(at: start, into: .init(record.mutable))
    guard record.has(end64Signature, at: 0), record.u64(4) == 44, record.u32(16) == 0,
      record.u32(20) == 0, record.u64(24) == record.u64(32)
    else { throw damaged(file, "its zip64 record makes no sense") }
    return ((record.u64(48), record.u64(40), record.u64(32)), start)
  }

  /// One entry of the directory, compared with the header in front of its data.
  private static func readEntry(
    _ bytes: borrowing Buffer<UInt8>, _ position: inout Int, _ file: borrowing File,
    directoryStart: Int, _ room: inout Int
  ) throws(Failure) -> ZipEntry {
    let start = position
    guard start + 46 <= bytes.count, bytes.has(centralSignature, at: start) else {
      throw damaged(file, "its directory is cut off")
    }
    let (flags, method) = (bytes.u16(start + 8), bytes.u16(start + 10))
    let nameEnd = start + 46 + bytes.u16(start + 28)
    let extraEnd = nameEnd + bytes.u16(start + 30)
    position = extraEnd + bytes.u16(start + 32)
    guard position <= bytes.count, let name = bytes.text((start + 46)..<nameEnd) else {
      throw damaged(file, "its directory is cut off or has a name that is not UTF-8")
    }
    guard flags & 0x2041 == 0 else { throw .unsupported("\(file.path) is encrypted") }
    guard method == 0 || method == 8 else {
      throw .unsupported("\(file.path) is compressed in an unknown way, \(method)")
    }
    guard
      let sizes = wideNumbers(
        [bytes.u32(start + 24), bytes.u32(start + 20), bytes.u32(start + 42)], bytes,
        extra: nameEnd..<extraEnd)
    else { throw damaged(file, "the size of \(name) is missing") }
    let (byteCount, storedByteCount, header) = (sizes[0], sizes[1], sizes[2])
    // Deflate shrinks nothing to less than a thousandth; weights hardly shrink at all. The bound keeps a
    // small file from claiming much memory.
    guard
      method == 0
        ? byteCount == storedByteCount
        : byteCount <= max(1 << 26, storedByteCount.multipliedReportingOverflow(by: 16).partialValue)
          && byteCount / 1040 <= storedByteCount
    else { throw damaged(file, "the sizes of \(name) make no sense") }
    let entry = LocalHeader(
      name: name, flags: flags, method: method, checksum: bytes.u32(start + 16), byteCount: byteCount,
      storedByteCount: storedByteCount)
    guard let dataStart = try entry.dataStart(file, header: header, limit: directoryStart, &room) else {
      throw damaged(file, "\(name) is not what the directory says")
    }
    return ZipEntry(
      name: name,
      storage: Storage(
        start: dataStart, storedByteCount: storedByteCount, byteCount: byteCount,
        isDeflated: method == 8, checksum: UInt32(entry.checksum)))
  }

  /// Numbers of 32 bits, of which those that are all ones stand in 64 bits in the extra field with the
  /// number 1, one after the other; nil if they do not.
  fileprivate static func wideNumbers(
    _ narrow: [Int], _ bytes: borrowing Buffer<UInt8>, extra: Range<Int>
  ) -> [Int]? {
    var field = extra.lowerBound
    var wide = 0..<0
    while wide.isEmpty && field + 4 <= extra.upperBound {
      let next = field + 4 + bytes.u16(field + 2)
      guard next <= extra.upperBound else { return nil }
      if bytes.u16(field) == 1 { wide = (field + 4)..<next }
      field = next
    }
    var numbers = narrow
    for index in narrow.indices where narrow[index] == 0xffff_ffff {
      guard wide.count >= 8 else { return nil }
      numbers[index] = bytes.u64(wide.lowerBound)
      wide = (wide.lowerBound + 8)..<wide.upperBound
    }
    return numbers
  }
}

/// What the header in front of an entry's data has to say.
private struct LocalHeader {
  let name: String
  let flags: Int
  let method: Int
  let checksum: Int
  let byteCount: Int
  let storedByteCount: Int

  /// Sizes and checksum are zero here and follow the data instead.
  private var hasDescriptor: Bool { flags & 8 != 0 }

  /// Where the data begins; nil if the header, or the descriptor behind the data, disagrees with the
  /// directory, or the data do not end before `limit`, or there is no room left for header and data.
  func dataStart(
    _ file: borrowing File, header: Int, limit: Int, _ room: inout Int
  ) throws(Failure) -> Int? {
    guard header <= limit - 30 else { return nil }
    let fixed = try Buffer<UInt8>(uninitialized: 30)
    try file.read(at: header, into: .init(fixed.mutable))
    let (nameCount, extraCount) = (fixed.u16(26), fixed.u16(28))
    let start = header + 30 + nameCount + extraCount
    guard fixed.has(ZipArchive.signature, at: 0), fixed.u16(6) == flags, fixed.u16(8) == method,
      start <= limit, storedByteCount <= limit - start
    else { return nil }
    room -= start - header + storedByteCount
    guard room >= 0 else { return nil }
    let rest = try Buffer<UInt8>(uninitialized: nameCount + extraCount)
    try file.read(at: header + 30, into: .init(rest.mutable))
    guard let ownName = rest.text(0..<nameCount), ownName.equals(name),
      let sizes = ZipArchive.wideNumbers(
        [fixed.u32(22), fixed.u32(18)], rest, extra: nameCount..<rest.count)
    else { return nil }
    let isFilledIn =
      fixed.u32(14) == checksum && sizes[0] == byteCount && sizes[1] == storedByteCount
    if !hasDescriptor { return isFilledIn ? start : nil }
    let isEmpty = fixed.u32(14) == 0 && sizes[0] == 0 && sizes[1] == 0
    guard isEmpty || isFilledIn else { return nil }
    return try descriptorAgrees(file, at: start + storedByteCount, limit: limit) ? start : nil
  }

  /// Checksum, stored size and size, with or without a signature before, in 32 or in 64 bits.
  private func descriptorAgrees(
    _ file: borrowing File, at position: Int, limit: Int
  ) throws(Failure) -> Bool {
    let bytes = try Buffer<UInt8>(zeroed: 24)
    let count = min(limit - position, 24)
    try file.read(at: position, into: .init(start: bytes.base, count: count))
    for start in [0, 4] where start == 0 || bytes.has("PK\u{7}\u{8}", at: 0) {
      for width in [4, 8] where start + 4 + 2 * width <= count {
        if bytes.u32(start) == checksum
          && bytes.number(at: start + 4, width: width) == storedByteCount
          && bytes.number(at: start + 4 + width, width: width) == byteCount
        {
          return true
        }
      }
    }
    return false
  }
}
