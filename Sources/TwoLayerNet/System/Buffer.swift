// Memory for numbers: allocated once, aligned for vectors, freed with its owner. Every large allocation
// of the engine is one of these, so that running out of memory is an error and not a crash.

import CSystem

/// `count` elements of plain memory, aligned to a cache line and owned by this value.
struct Buffer<Element: BitwiseCopyable>: ~Copyable {
  let base: UnsafeMutablePointer<Element>
  let count: Int

  /// A cache line, and the widest vector of any supported processor.
  static var alignment: Int { 64 }

  /// Allocates without initialising.
  init(uninitialized count: Int) throws(Failure) {
    let size = MemoryLayout<Element>.stride
    let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
    guard count >= 0, !overflow else {
      throw Failure(.outOfMemory, "out of memory: \(count) elements of \(size) bytes")
    }
    guard let memory = tlns_allocate(Self.alignment, max(bytes, 1)) else {
      throw .outOfMemory(bytes: bytes)
    }
    base = memory.bindMemory(to: Element.self, capacity: count)
    self.count = count
  }

  /// Allocates with all bytes zero.
  init(zeroed count: Int) throws(Failure) {
    try self.init(uninitialized: count)
    memset(base, 0, count &* MemoryLayout<Element>.stride)
  }

  deinit { free(base) }

  var mutable: UnsafeMutableBufferPointer<Element> { .init(start: base, count: count) }
  var readOnly: UnsafeBufferPointer<Element> { .init(start: base, count: count) }

  subscript(index: Int) -> Element {
    get { base[index] }
    nonmutating set { base[index] = newValue }
  }
}

/// `count` rounded up to a multiple of `multiple`; both small enough that it cannot overflow.
@inline(__always)
func roundedUp(_ count: Int, to multiple: Int) -> Int {
  (count &+ multiple &- 1) / multiple &* multiple
}

/// Refuses work whose small objects will need up to `bytes` when there is not so much memory, or when the
/// system had none for the objects so far: what is not a `Buffer` cannot fail by itself.
@inline(never)
func checkMemory(_ bytes: Int = 0) throws(Failure) {
  if tlns_reserve_is_low() != 0 { throw .reserveIsLow }
  if bytes > 0 && tlns_has_memory(bytes) == 0 { throw .outOfMemory(bytes: bytes) }
}

extension Array {
  /// Refuses to append when the array would have to grow and there is no memory for that.
  func checkRoom() throws(Failure) {
    if count == capacity { try checkMemory(2 * (count + 1) * MemoryLayout<Element>.stride) }
  }
}
