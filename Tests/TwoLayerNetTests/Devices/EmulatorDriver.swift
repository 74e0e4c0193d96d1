// The emulated GPU (Tests/TestSupport/Emulator) as a driver: what a kernel or a copy does outside of its
// memory is a failure here. Failures can also be ordered.

import GPUEmulator
import TestSupport

@testable import TwoLayerNet

final class EmulatorDriver: GPUDriver {
  private let emulated: OpaquePointer
  /// Bytes that may be allocated; more is an error, as on a device.
  var memoryLimit = Int.max
  private(set) var used = 0
  private var sizes: [UInt64: Int] = [:]
  /// Calls that may still be made before one fails; nil for any number.
  var callsUntilFailure: Int?
  private(set) var isFull = false
  private(set) var uploadedBytes = 0
  /// Copies to the host, each of which waits for the device.
  private(set) var downloads = 0
  private(set) var launches: [GPULaunch] = []
  private(set) var recordings = 0
  /// Set while a call runs, to notice a second one.
  private var isBusy = false

  /// What runs at the same time, and whether the device has changed its mind about it.
  let capacity: GPUCapacity?
  var refusesTogether = false
  /// Groups that are not launched with the others.
  var missingGroups: Int32 = 0
  private(set) var launchesTogether = 0

  var device: Device { .cuda }

  init(shuffle: Int = 0, capacity: GPUCapacity? = nil) {
    emulated = tlne_device_create(Int32(shuffle))
    self.capacity = capacity
  }

  deinit { tlne_device_free(emulated) }

  var allocations: Int { Int(tlne_allocations(emulated)) }

  /// Runs one call to the device, and throws what it did wrong.
  private func call(_ body: () throws(Failure) -> Void) throws(Failure) {
    guard !isBusy else { throw Failure(.internal, "two calls at once") }
    isBusy = true
    defer { isBusy = false }
    if let left = callsUntilFailure {
      guard left > 0 else { throw Failure(.deviceFailed, "a failure was ordered") }
      callsUntilFailure = left - 1
    }
    try body()
    let message = String(cString: tlne_device_error(emulated))
    if !message.isEmpty { throw Failure(.deviceFailed, "\(message)") }
  }

  func allocate(bytes: Int) throws(Failure) -> GPUMemory {
    var memory = GPUMemory()
    try call { () throws(Failure) in
      isFull = bytes > memoryLimit - used
      guard bytes > 0, !isFull else { throw Failure(.deviceFailed, "the device has no more memory") }
      memory = GPUMemory(address: tlne_allocate(emulated, bytes), bytes: bytes)
      guard memory.address != 0 else { throw .outOfMemory(bytes: bytes) }
      used += bytes
      sizes[memory.address] = bytes
    }
    return memory
  }

  func free(_ memory: GPUMemory) {
    used -= sizes.removeValue(forKey: memory.address)!
    tlne_release(emulated, memory.address)
  }

  func upload(
    _ source: UnsafeRawBufferPointer, to memory: GPUMemory, offset: Int
  ) throws(Failure) {
    try call { () throws(Failure) in
      uploadedBytes += source.count
      tlne_write(emulated, memory.address + UInt64(offset), source.baseAddress, source.count)
    }
  }

  func download(
    _ memory: GPUMemory, offset: Int, into target: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    try call { () throws(Failure) in
      downloads += 1
      tlne_read(emulated, memory.address + UInt64(offset), target.baseAddress, target.count)
    }
  }

  func copy(_ source: GPUMemory, to target: GPUMemory) throws(Failure) {
    guard source.bytes == target.bytes else { throw Failure(.internal, "a copy of another size") }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: source.bytes, alignment: 16)
    defer { bytes.deallocate() }
    try call { () throws(Failure) in
      tlne_read(emulated, source.address, bytes.baseAddress, bytes.count)
      tlne_write(emulated, target.address, bytes.baseAddress, bytes.count)
    }
  }

  func clear(_ memory: GPUMemory) throws(Failure) {
    let zeros = [UInt8](repeating: 0, count: memory.bytes)
    try call { () throws(Failure) in tlne_write(emulated, memory.address, zeros, zeros.count) }
  }

  func launch(_ launch: GPULaunch, _ arguments: UnsafeRawBufferPointer) throws(Failure) {
    try call { () throws(Failure) in run(launch, arguments) }
  }

  private func run(_ launch: GPULaunch, _ arguments: UnsafeRawBufferPointer) {
    launches.append(launch)
    tlne_launch(
      emulated, launch.kernel.name.description, Int32(launch.groups), arguments.baseAddress)
  }

  func record(
    _ launches: [GPULaunch], _ arguments: UnsafeRawBufferPointer
  ) throws(Failure) -> GPUSequence {
    try call { () throws(Failure) in recordings += 1 }
    return Sequence(launches, Array(arguments))
  }

  func replay(_ sequence: GPUSequence, times: Int) throws(Failure) {
    let sequence = sequence as! Sequence
    for _ in 0..<times {
      try call { () throws(Failure) in
        for launch in sequence.launches { sequence.arguments.withUnsafeBytes { run(launch, $0) } }
      }
    }
  }

  func launchTogether(
    groups: Int, sharedBytes: Int, _ arguments: UnsafeRawBufferPointer
  ) throws(Failure) -> Bool {
    guard !refusesTogether else { return false }
    guard let capacity, groups <= capacity.groups, sharedBytes <= capacity.sharedBytes else {
      throw Failure(.internal, "more than the device has")
    }
    try call { () throws(Failure) in
      launchesTogether += 1
      tlne_launch_together(
        emulated, GPUKernel.resident.name.description, Int32(groups), missingGroups, sharedBytes,
        arguments.baseAddress)
    }
    return true
  }

  func finish() throws(Failure) { try call { () throws(Failure) in } }

  private final class Sequence: GPUSequence {
    let launches: [GPULaunch]
    let arguments: [UInt8]

    init(_ launches: [GPULaunch], _ arguments: [UInt8]) {
      (self.launches, self.arguments) = (launches, arguments)
    }
  }
}
