// What a GPU's driver has to do for GPUEngine: memory, copies, kernels by name, and a sequence of kernels
// that can be replayed. CUDA, Metal and the tests' emulator each implement it; none knows of networks.

/// Memory of a device, as its kernels see it: an address, which may be added to.
struct GPUMemory: Equatable {
  var address: UInt64 = 0
  var bytes = 0
}

/// A kernel launch, in groups of `GPUKernel.threadsPerGroup` threads; groups are one-dimensional, at
/// least 1 and less than 2^31.
struct GPULaunch: Equatable {
  var kernel: GPUKernel
  var groups: Int
}

/// A recorded sequence of launches, made by a driver. It may outlive the memory in its arguments, but is
/// then not replayed.
class GPUSequence {}

/// One network's way to a device. Calls come from any thread, but never two at once. After a failure
/// other than of `allocate` the device may be unusable; the caller then only reads and frees.
protocol GPUDriver: AnyObject {
  var device: Device { get }

  /// Memory of at least this many bytes (more than 0), aligned to 256, its contents undefined.
  func allocate(bytes: Int) throws(Failure) -> GPUMemory
  /// Whether the last `allocate` failed because the device has not so much.
  var isFull: Bool { get }
  /// Waits until nothing uses it, and gives it back. Never fails visibly.
  func free(_ memory: GPUMemory)

  /// Copies from the host into memory, at an offset in bytes, after all work issued before; the source
  /// may be reused when it returns.
  func upload(_ source: UnsafeRawBufferPointer, to memory: GPUMemory, offset: Int) throws(Failure)
  /// Waits for all work issued before, and copies to the host.
  func download(_ memory: GPUMemory, offset: Int, into target: UnsafeMutableRawBufferPointer)
    throws(Failure)
  /// Copies all bytes to memory of the same size, after all work issued before.
  func copy(_ source: GPUMemory, to target: GPUMemory) throws(Failure)
  /// Sets all bytes to zero, after all work issued before.
  func clear(_ memory: GPUMemory) throws(Failure)

  /// Issues a kernel after all work issued before, and returns at once. The arguments are the bytes of
  /// one C struct, `tlng_step`, that every kernel takes by value.
  func launch(_ launch: GPULaunch, _ arguments: UnsafeRawBufferPointer) throws(Failure)

  /// Prepares launches, each with these arguments, to be replayed together (a CUDA graph).
  func record(_ launches: [GPULaunch], _ arguments: UnsafeRawBufferPointer) throws(Failure)
    -> GPUSequence
  /// Issues a recorded sequence `times` times, after all work issued before, and returns at once.
  func replay(_ sequence: GPUSequence, times: Int) throws(Failure)

  /// What runs at the same time; nil if the device makes no promise.
  var capacity: GPUCapacity? { get }
  /// Issues the kernel `resident` in groups that run at the same time, each with so many bytes of shared
  /// memory; both within `capacity`. False if that is not possible now after all.
  func launchTogether(groups: Int, sharedBytes: Int, _ arguments: UnsafeRawBufferPointer)
    throws(Failure) -> Bool

  /// Waits for all work issued before.
  func finish() throws(Failure)
}
