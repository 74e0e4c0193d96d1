// The two directions across the boundary with C: a failure becomes a status and this thread's message,
// and whatever comes from C is checked before Swift touches it.

internal import CSystem
internal import CTwoLayerNet
internal import TwoLayerNet

/// Runs the body of an exported function.
func boundary(_ body: () throws(Failure) -> Void) -> tln_status {
  do throws(Failure) {
    try body()
    setMessage("")
    return tln_status(TLN_OK)
  } catch {
    setMessage(error.message)
    return error.status.rawValue
  }
}

/// Keeps a sentence for tln_last_error, cut at a character if it is too long.
private func setMessage(_ text: String) {
  let buffer = UnsafeMutableBufferPointer(
    start: tlns_thread_message(), count: tlns_message_capacity)
  copyText(text, into: UnsafeMutableRawBufferPointer(buffer))
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

func isAligned<T>(_ pointer: UnsafePointer<T>) -> Bool {
  Int(bitPattern: pointer) % MemoryLayout<T>.alignment == 0
}

/// An array from C: not NULL, and aligned for its elements.
func required<T>(_ pointer: UnsafePointer<T>?, _ name: StaticString) throws(Failure) -> UnsafePointer<T>
{
  guard let pointer else { throw Failure(.invalidArgument, "\(name) is NULL") }
  guard isAligned(pointer) else {
    throw Failure(.invalidArgument, "\(name) is not aligned to \(MemoryLayout<T>.alignment) bytes")
  }
  return pointer
}

func required<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(Failure) -> UnsafeMutablePointer<T> {
  UnsafeMutablePointer(mutating: try required(UnsafePointer(pointer), name))
}

/// A place for a result that the caller may not want.
func optional<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(Failure) -> UnsafeMutablePointer<T>? {
  pointer == nil ? nil : try required(pointer, name)
}

/// A place for a new handle. It is NULL until the call has succeeded.
func emptied(
  _ handle: UnsafeMutablePointer<OpaquePointer?>?, _ name: StaticString
) throws(Failure) -> UnsafeMutablePointer<OpaquePointer?> {
  let place = try required(handle, name)
  place.pointee = nil
  return place
}

/// The Swift object behind a handle.
func object<T: AnyObject>(
  _ handle: OpaquePointer?, _ name: StaticString, as _: T.Type
) throws(Failure) -> T {
  guard let handle else { throw Failure(.invalidArgument, "\(name) is NULL") }
  guard Int(bitPattern: handle) % MemoryLayout<Int>.alignment == 0 else {
    throw Failure(.invalidArgument, "\(name) is not a handle")
  }
  return Unmanaged<T>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

/// A new handle, which owns the object.
func handle<T: AnyObject>(_ object: T) -> OpaquePointer {
  OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

func release<T: AnyObject>(_ handle: OpaquePointer?, as _: T.Type) {
  guard let handle else { return }
  Unmanaged<T>.fromOpaque(UnsafeRawPointer(handle)).release()
}

/// A path: not NULL, not empty, UTF-8.
func path(_ pointer: UnsafePointer<CChar>?, _ name: StaticString) throws(Failure) -> String {
  guard let pointer else { throw Failure(.invalidArgument, "\(name) is NULL") }
  guard pointer.pointee != 0 else { throw Failure(.invalidArgument, "\(name) is empty") }
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
  guard size >= MemoryLayout<Int>.size, size <= structSizeLimit else {
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
