// A network's way to its device: a driver, of which one call at a time is made, and pieces of the
// device's memory that are given back with their owner.

import CSystem

/// A driver and its lock. Whoever holds the lock may take it again.
final class GPUContext {
  let driver: any GPUDriver
  /// Whose memory it is; nil while that is being made.
  unowned(unsafe) var engine: GPUEngine?
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let memory: Buffer<UInt8>

  private init(_ driver: any GPUDriver, _ memory: consuming Buffer<UInt8>) {
    self.driver = driver
    mutex = UnsafeMutableRawPointer(memory.base).bindMemory(to: pthread_mutex_t.self, capacity: 1)
    self.memory = memory
    tlns_recursive_mutex_init(mutex)
  }

  static func make(_ driver: any GPUDriver) throws(Failure) -> GPUContext {
    GPUContext(driver, try Buffer(zeroed: MemoryLayout<pthread_mutex_t>.size))
  }

  deinit { pthread_mutex_destroy(mutex) }

  func lock() { pthread_mutex_lock(mutex) }
  func unlock() { pthread_mutex_unlock(mutex) }
}

/// A piece of a device's memory.
final class GPUBuffer {
  private let context: GPUContext
  let memory: GPUMemory

  private init(_ context: GPUContext, _ memory: GPUMemory) {
    self.context = context
    self.memory = memory
  }

  /// If the device has no memory left, the engine has to do without what it keeps only to be faster;
  /// unless this is for such a purpose too.
  static func make(
    _ context: GPUContext, bytes: Int, isSpare: Bool = false
  ) throws(Failure) -> GPUBuffer {
    context.lock()
    defer { context.unlock() }
    do throws(Failure) {
      return GPUBuffer(context, try context.driver.allocate(bytes: max(bytes, 1)))
    } catch {
      guard context.driver.isFull, !isSpare, context.engine?.makeRoom() == true else { throw error }
      return GPUBuffer(context, try context.driver.allocate(bytes: max(bytes, 1)))
    }
  }

  deinit {
    context.lock()
    context.driver.free(memory)
    context.unlock()
  }

  var address: UInt64 { memory.address }

  func upload(_ source: UnsafeRawBufferPointer, offset: Int = 0) throws(Failure) {
    try context.driver.upload(source, to: memory, offset: offset)
  }

  /// Copies another one's contents in, of the same size.
  func copy(from other: GPUBuffer) throws(Failure) {
    try context.driver.copy(other.memory, to: memory)
  }

  func download(offset: Int = 0, into target: UnsafeMutableRawBufferPointer) throws(Failure) {
    try context.driver.download(memory, offset: offset, into: target)
  }
}

/// Places in a piece of memory, one after the other: first they are asked for, then it is allocated.
struct GPUPlaces {
  private(set) var bytes = 0

  /// Where `count` elements of so many bytes begin. The limits on sizes keep the sum below 2^62.
  mutating func place(_ count: Int, of size: Int = 4) -> Int {
    let start = bytes
    bytes &+= roundedUp(count &* size, to: 256)
    return start
  }
}
