// Every system call on files. Reading is by position, from regular files only or from memory that stands
// for one; writing goes to a file beside the target, which is renamed when it is complete and on disk, so
// that the old file survives whatever happens before.

import CSystem

/// A regular file, open for reading, or memory with the contents of one.
public struct File: ~Copyable {
  /// What messages call it.
  public let path: String
  public let byteCount: Int
  /// -1 if the contents are in memory.
  private let descriptor: Int32
  private let memory: UnsafeRawBufferPointer

  public init(_ path: String) throws(Failure) {
    // Not blocking, so that a named pipe cannot hang the caller.
    let descriptor = path.withCString { tlns_open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0) }
    guard descriptor >= 0 else { throw .system("\(path) cannot be opened") }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let failure = Failure.system("\(path) cannot be examined")
      close(descriptor)
      throw failure
    }
    guard tlns_is_regular(&status) != 0 else {
      close(descriptor)
      throw .ioError("\(path) is not a regular file")
    }
    self.path = path
    self.byteCount = Int(status.st_size)
    self.descriptor = descriptor
    self.memory = UnsafeRawBufferPointer(start: nil, count: 0)
  }

  /// Borrows `contents`, which must outlive this value. `name` is what messages call it.
  public init(name: String, contents: UnsafeRawBufferPointer) {
    path = name
    byteCount = contents.count
    descriptor = -1
    memory = contents
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Fills `bytes` from the file, starting at `offset`; less than asked for only at the end of the file.
  /// Returns how many bytes were read.
  public func readSome(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Failure) -> Int
  {
    if descriptor < 0 {
      let count = min(bytes.count, max(byteCount - offset, 0))
      if count > 0 { memcpy(bytes.baseAddress!, memory.baseAddress! + offset, count) }
      return count
    }
    var done = 0
    while done < bytes.count {
      let count = pread(
        descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if count < 0 {
        if tlns_errno() == EINTR { continue }
        throw .system("\(path) cannot be read")
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// The same, but all of it: a file that ends too early, because it changed meanwhile, is an error.
  public func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard try readSome(at: offset, into: bytes) == bytes.count else {
      throw .badFile("\(path) ended while it was read")
    }
  }
}

/// A file being written beside its target. Nothing happens to the target until `commit`.
package struct FileWriter: ~Copyable {
  package let path: String
  /// Where the bytes go; the same as `path` if that is a device or a pipe, which cannot be renamed to.
  private let temporaryPath: String
  private let descriptor: Int32
  private var isCommitted = false

  package init(_ path: String) throws(Failure) {
    let target = try Self.resolvingLinks(path)
    var status = stat()
    let exists = target.withCString { stat($0, &status) } == 0
    guard exists || tlns_errno() == ENOENT else { throw .system("\(path) cannot be examined") }
    if exists && tlns_is_directory(&status) != 0 { throw .ioError("\(path) is a directory") }
    // Whoever may not write to the old file should not replace it either.
    if exists && target.withCString({ access($0, W_OK) }) != 0 {
      throw .system("\(path) cannot be written")
    }
    let opened =
      exists && tlns_is_regular(&status) == 0
      ? (path: target, descriptor: target.withCString { tlns_open_device($0) })
      : Self.createBeside(target, mode: exists ? status.st_mode & 0o777 : 0o666)
    guard opened.descriptor >= 0 else { throw .system("a file beside \(path) cannot be created") }
    // The old file's permissions, also those that the umask took away; without them the new file is
    // only harder to read.
    if exists && tlns_is_regular(&status) != 0 { fchmod(opened.descriptor, status.st_mode & 0o777) }
    self.path = target
    (temporaryPath, descriptor) = opened
  }

  /// A new file in the same directory, or a negative descriptor.
  private static func createBeside(
    _ path: String, mode: mode_t
  ) -> (path: String, descriptor: Int32) {
    var attempt = 0
    while true {
      let candidate = "\(path).\(getpid())-\(attempt).tmp"
      let descriptor = candidate.withCString {
        tlns_open($0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, UInt32(mode))
      }
      attempt += 1
      if descriptor >= 0 || tlns_errno() != EEXIST || attempt == 1000 { return (candidate, descriptor) }
    }
  }

  deinit {
    close(descriptor)
    if !isCommitted && !temporaryPath.equals(path) { _ = temporaryPath.withCString { unlink($0) } }
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    var done = 0
    while done < bytes.count {
      let count = CSystem.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
      if count < 0 {
        if tlns_errno() == EINTR { continue }
        throw .system("\(path) cannot be written")
      }
      guard count > 0 else { throw .ioError("\(path) takes no more bytes") }
      done += count
    }
  }

  func write(all bytes: [UInt8]) throws(Failure) {
    let copy = try Buffer(copying: bytes)
    try write(UnsafeRawBufferPointer(copy.readOnly))
  }

  /// Makes the bytes safe on disk and puts the file in its place.
  package consuming func commit() throws(Failure) {
    if temporaryPath.equals(path) {
      isCommitted = true
      return
    }
    while fsync(descriptor) != 0 {
      if tlns_errno() == EINTR { continue }
      throw .system("\(path) cannot be written to disk")
    }
    let renamed = temporaryPath.withCString { from in path.withCString { rename(from, $0) } }
    guard renamed == 0 else { throw .system("\(path) cannot be replaced") }
    isCommitted = true
    // The new name is in the directory only once the directory is on disk.
    let directory = Self.directory(of: path).withCString { tlns_open($0, O_RDONLY | O_CLOEXEC, 0) }
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  /// Reserves room and gives it back: fails now if `byteCount` bytes could not be written here.
  package static func probe(_ path: String, byteCount: Int) throws(Failure) {
    let writer = try FileWriter(path)
    if writer.temporaryPath.equals(writer.path) { return }
    #if os(Linux)
      let result = posix_fallocate(writer.descriptor, 0, off_t(max(byteCount, 1)))
      // File systems that cannot reserve say so; they are then taken at their word when it is written.
      guard result == 0 || result == EOPNOTSUPP || result == EINVAL else {
        throw .system("\(path) cannot hold \(byteCount) bytes", code: result)
      }
    #endif
  }

  /// The path that a chain of symbolic links leads to, so that the link stays and its target is
  /// replaced; the path itself where nothing is yet.
  private static func resolvingLinks(_ path: String) throws(Failure) -> String {
    guard let resolved = path.withCString({ realpath($0, nil) }) else {
      guard tlns_errno() == ENOENT else { throw .system("\(path) cannot be examined") }
      return path
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  private static func directory(of path: String) -> String {
    let bytes = path.bytes
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == 0 ? "/" : String(bytes: bytes[..<slash])
  }
}

extension Failure {
  /// What the last system call said, after what was tried.
  static func system(_ what: Message, code: Int32 = tlns_errno()) -> Failure {
    let reason = String(capacity: 256) { tlns_error_text(code, $0, 256) }
    return Failure(code == ENOMEM ? .outOfMemory : .ioError, "\(what.text): \(reason)")
  }
}

extension String {
  /// Text that a C function writes, with its NUL, into `capacity` bytes.
  init(capacity: Int, _ fill: (UnsafeMutablePointer<CChar>) -> Void) {
    self = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { text in
      text.initialize(repeating: 0)
      fill(text.baseAddress!)
      return String(cString: text.baseAddress!)
    }
  }
}
