// Reading a file that may be compressed with gzip, through zlib. What the bytes mean is the caller's
// business.

import CSystem

/// The bytes of a file from front to back, inflated on the way if the file is a gzip file, which is told
/// by its first two bytes.
struct InflatingReader: ~Copyable {
  private let file: File
  private let isCompressed: Bool
  /// Compressed bytes wait here; `file` has been read up to `offset`.
  private let input: Buffer<UInt8>
  private var offset = 0
  /// On the heap, because zlib remembers its address.
  private let stream: UnsafeMutablePointer<z_stream>
  private let streamMemory: Buffer<UInt8>
  private var isFinished = false

  /// More than deflate can compress anything: 1032 to 1.
  private static let highestRatio = 1040

  init(_ file: consuming File) throws(Failure) {
    let input = try Buffer<UInt8>(uninitialized: 1 << 18)
    let streamMemory = try Buffer<UInt8>(zeroed: MemoryLayout<z_stream>.size)
    let head = try file.readSome(at: 0, into: .init(start: input.base, count: 2))
    let isGzip = head == 2 && input[0] == 0x1f && input[1] == 0x8b
    let stream = UnsafeMutableRawPointer(streamMemory.base).bindMemory(to: z_stream.self, capacity: 1)
    // 15 bits of window, and 16 for "gzip only".
    if isGzip
      && inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK
    {
      throw .outOfMemory(bytes: 1 << 16)
    }
    isCompressed = isGzip
    self.file = file
    self.input = input
    self.stream = stream
    self.streamMemory = streamMemory
  }

  deinit { if isCompressed { inflateEnd(stream) } }

  var path: String { file.path }

  /// The most bytes that this file could hold once inflated: nobody needs to allocate more.
  var largestByteCount: Int {
    isCompressed ? file.byteCount &* Self.highestRatio : file.byteCount
  }

  /// Fills `bytes` with what comes next; less than asked for only at the end. Returns how many.
  mutating func readSome(into bytes: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    guard isCompressed else {
      let count = try file.readSome(at: offset, into: bytes)
      offset += count
      return count
    }
    var done = 0
    while done < bytes.count && !isFinished {
      if stream.pointee.avail_in == 0 { try refill() }
      // zlib counts in 32 bits.
      let room = min(bytes.count - done, 1 << 30)
      stream.pointee.next_out = (bytes.baseAddress! + done).assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(room)
      let result = inflate(stream, Z_NO_FLUSH)
      done += room - Int(stream.pointee.avail_out)
      switch result {
      case Z_OK: break
      case Z_STREAM_END: try finishMember()
      case Z_MEM_ERROR: throw .outOfMemory(bytes: 1 << 16)
      default:
        throw .badFile("\(path) is damaged: its gzip data do not inflate or fail their checksum")
      }
    }
    return done
  }

  private mutating func refill() throws(Failure) {
    let count = try file.readSome(at: offset, into: .init(input.mutable))
    guard count > 0 else { throw .badFile("\(path) is cut off: its gzip data end too early") }
    offset += count
    stream.pointee.next_in = input.base
    stream.pointee.avail_in = UInt32(count)
  }

  /// A gzip file may consist of several members, one after the other.
  private mutating func finishMember() throws(Failure) {
    if stream.pointee.avail_in == 0 && offset < file.byteCount { try refill() }
    if stream.pointee.avail_in == 0 {
      isFinished = true
    } else {
      inflateReset(stream)
    }
  }
}
