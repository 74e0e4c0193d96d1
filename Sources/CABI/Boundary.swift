// The two directions across the boundary with C: a failure becomes a status and this thread's message,
// and whatever comes from C is checked before Swift touches it.

internal import CSystem
internal import CTwoLayerNet
internal import TwoLayerNet

/// Runs the body of an exported function.
func boundary(_ body: () throws(Failure) -> Void) -> tln_status {
  do throws(Failure) {
    try body()
    if let message = tlns_thread_message() { message[0] = 0 }
    return tln_status(TLN_OK)
  } catch {
    keepMessage(error.message)
    return error.status.rawValue
  }
}

/// Keeps a sentence for tln_last_error, cut at a character if it is too long.
private func keepMessage(_ text: String) {
  guard let message = tlns_make_thread_message() else { return }
  copyText(text, into: UnsafeMutableRawBufferPointer(start: message, count: tlns_message_capacity))
}

/// Copies text and a NUL into `bytes`, cut at a character if it is too long; the rest becomes zero.
func copyText(_ text: String, into bytes: UnsafeMutableRawBufferPointer) {
  let copied: Int? = text.utf8.withContiguousStorageIfAvailable { source in
    var count = min(source.count, bytes.count - 1)
    // The first byte that is left out must not be one inside a character.
    while count > 0 && count < source.count && source[count] & 0xc0 == 0x80 { count -= 1 }
    for index in 0..<count { bytes[index] = source[index] }
    return count
  }
  for index in (copied ?? 0)..<bytes.count { bytes[index] = 0 }
}

/// Refuses NULL, and an address that is not a multiple of `alignment`.
@inline(never)
private func check(
  _ pointer: UnsafeRawPointer?, _ name: StaticString, alignment: Int
) throws(Failure) {
  guard let pointer else { throw Failure(.invalidArgument, "\(name) is NULL") }
  guard Int(bitPattern: pointer) % alignment == 0 else {
    throw Failure(.invalidArgument, "\(name) is not aligned to \(alignment) bytes")
  }
}

/// An array from C: not NULL, and aligned for its elements.
func required<T>(_ pointer: UnsafePointer<T>?, _ name: StaticString) throws(Failure) -> UnsafePointer<T>
{
  try check(pointer, name, alignment: MemoryLayout<T>.alignment)
  return pointer!
}

func required<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(Failure) -> UnsafeMutablePointer<T> {
  try check(pointer, name, alignment: MemoryLayout<T>.alignment)
  return pointer!
}

/// A place for a result that the caller may not want.
func optional<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(Failure) -> UnsafeMutablePointer<T>? {
  pointer == nil ? nil : try required(pointer, name)
}

/// Refuses a call when so much of the reserve for small objects is in use that it might not end well.
private func checkReserve() throws(Failure) {
  if tlns_reserve_is_low() != 0 { throw .reserveIsLow }
}

/// A place for a new handle. It is NULL until the call has succeeded.
func emptied(
  _ handle: UnsafeMutablePointer<OpaquePointer?>?, _ name: StaticString
) throws(Failure) -> UnsafeMutablePointer<OpaquePointer?> {
  let place = try required(handle, name)
  place.pointee = nil
  try checkReserve()
  return place
}

/// Whether a handle leads to a living object of this class, as far as a look at its first word tells: that
/// is the class of every object, and the allocator overwrites it when memory is freed.
private func isLive(_ handle: OpaquePointer, _ type: UnsafeRawPointer) -> Bool {
  Int(bitPattern: handle) % MemoryLayout<Int>.alignment == 0
    && UnsafeRawPointer(handle).load(as: UnsafeRawPointer.self) == type
}

@inline(never)
private func check(
  _ handle: OpaquePointer?, _ name: StaticString, _ type: UnsafeRawPointer
) throws(Failure) {
  guard let handle else { throw Failure(.invalidArgument, "\(name) is NULL") }
  guard isLive(handle, type) else {
    throw Failure(.invalidArgument, "\(name) is not a \(name), or has been freed")
  }
  try checkReserve()
}

/// The Swift object behind a handle.
func object<T: AnyObject>(
  _ handle: OpaquePointer?, _ name: StaticString, as type: T.Type
) throws(Failure) -> T {
  try check(handle, name, unsafeBitCast(type, to: UnsafeRawPointer.self))
  return Unmanaged<T>.fromOpaque(UnsafeRawPointer(handle!)).takeUnretainedValue()
}

/// The same where a handle that is none is ignored.
func object<T: AnyObject>(_ handle: OpaquePointer?, as type: T.Type) -> Unmanaged<T>? {
  guard let handle, isLive(handle, unsafeBitCast(type, to: UnsafeRawPointer.self)) else { return nil }
  return Unmanaged<T>.fromOpaque(UnsafeRawPointer(handle))
}

/// A new handle, which owns the object.
func handle<T: AnyObject>(_ object: T) -> OpaquePointer {
  OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

func release<T: AnyObject>(_ handle: OpaquePointer?, as type: T.Type) {
  object(handle, as: type)?.release()
}

/// An address has 57 bits at most, so no array has so many bytes.
func checkByteCount(_ count: Int, _ name: StaticString) throws(Failure) {
  guard (0..<(1 << 57)).contains(count) else {
    throw Failure(.invalidArgument, "\(name) is too large")
  }
}

/// Linux's PATH_MAX, with the NUL; macOS allows less and says so itself.
private let pathLimit = 4096

/// A path: not NULL, not empty, not longer than any path can be, UTF-8.
func path(_ pointer: UnsafePointer<CChar>?, _ name: StaticString) throws(Failure) -> String {
  guard let pointer else { throw Failure(.invalidArgument, "\(name) is NULL") }
  guard pointer.pointee != 0 else { throw Failure(.invalidArgument, "\(name) is empty") }
  guard strnlen(pointer, pathLimit) < pathLimit else {
    throw Failure(.ioError, "\(name) has \(pathLimit) bytes or more")
  }
  guard let text = String(validatingCString: pointer) else {
    throw Failure(.invalidArgument, "\(name) is not UTF-8")
  }
  return text
}

/// A struct of options from a caller that may have been compiled against an older or a newer header.
/// What the caller's struct lacks comes from `defaults`; what this library does not know must be zero.
func readOptions<T>(
  _ pointer: UnsafePointer<T>?, defaults: T, _ name: StaticString
) throws(Failure) -> T {
  guard let pointer else { return defaults }
  let bytes = UnsafeRawPointer(pointer)
  let size = try structSize(bytes, name)
  var result = defaults
  withUnsafeMutableBytes(of: &result) { target in
    target.copyMemory(
      from: UnsafeRawBufferPointer(start: bytes, count: min(size, MemoryLayout<T>.size)))
  }
  if size > MemoryLayout<T>.size {
    for offset in MemoryLayout<T>.size..<size
    where bytes.load(fromByteOffset: offset, as: UInt8.self) != 0 {
      throw Failure(
        .unsupported,
        """
        \(name) has options that this version does not know: struct_size is \(size), known are \
        \(MemoryLayout<T>.size)
        """
      )
    }
  }
  return result
}

/// Copies a result into a caller's struct, as much of it as the caller's struct_size has room for.
func writeStruct<T>(
  _ value: T, to pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(Failure) {
  guard let pointer else { throw Failure(.invalidArgument, "\(name) is NULL") }
  let bytes = UnsafeMutableRawPointer(pointer)
  let size = try structSize(UnsafeRawPointer(bytes), name)
  let header = MemoryLayout<Int>.size
  withUnsafeBytes(of: value) { source in
    let count = min(size, MemoryLayout<T>.size) - header
    (bytes + header).copyMemory(from: source.baseAddress! + header, byteCount: count)
  }
}

/// Larger than any struct of this interface will ever be: a size beyond it was never initialised.
private let structSizeLimit = 4096

private func structSize(_ bytes: UnsafeRawPointer, _ name: StaticString) throws(Failure) -> Int {
  let size = bytes.loadUnaligned(as: UInt.self)
  // No struct ends inside a word, and half a pointer would lead anywhere.
  guard size >= MemoryLayout<Int>.size, size <= structSizeLimit,
    size % UInt(MemoryLayout<Int>.alignment) == 0
  else {
    throw Failure(
      .invalidArgument, "\(name)->struct_size is \(size); set it to the size of the struct first")
  }
  return Int(size)
}

/// An int32_t that means yes or no.
func flag(_ value: Int32, _ name: StaticString) throws(Failure) -> Bool {
  guard value == 0 || value == 1 else {
    throw Failure(.invalidArgument, "\(name) is \(value), but must be 0 or 1")
  }
  return value == 1
}

/// A number of rows with their product with `columns`.
func elementCount(_ rows: Int64, columns: Int) throws(Failure) -> Int {
  let (count, overflow) = Int(rows).multipliedReportingOverflow(by: columns)
  guard rows > 0, !overflow else {
    throw Failure(.invalidArgument, "rows is \(rows), but must be at least 1 and not too many")
  }
  return count
}
