// The CUDA device as a GPUDriver: the primary context of a card, which a host shares that uses CUDA
// itself, one stream, and the kernels. What the kernels compute is in Sources/CGPUKernels.

import CGPUKernels
import CSystem

final class CUDADriver: GPUDriver {
  typealias Handle = CUDALibrary.Handle

  let device = Device.cuda
  private let library: CUDALibrary
  private let number: CUDALibrary.DeviceNumber
  private let process = getpid()
  // What is not nil has to be given back.
  private var context: Handle?
  private var stream: Handle?
  private var module: Handle?
  private let functions: Buffer<Handle?>
  private(set) var isFull = false
  private(set) var capacity: GPUCapacity?

  private init(
    _ library: CUDALibrary, _ number: CUDALibrary.DeviceNumber, _ functions: consuming Buffer<Handle?>
  ) {
    self.library = library
    self.number = number
    self.functions = functions
  }

  /// The device with this number, counted from 0, and the kernels on it.
  static func make(index: Int) throws(Failure) -> CUDADriver {
    let library = try CUDALibrary.open()
    let number = try CUDADevices.device(index, library)
    let driver = CUDADriver(library, number, try Buffer(zeroed: GPUKernel.allCases.count))
    try driver.prepare()
    return driver
  }

  private func prepare() throws(Failure) {
    try library.check(library.retainContext(&context, number), "cuDevicePrimaryCtxRetain")
    // Not ordered with the stream 0 of the host's own work.
    let nonBlocking: UInt32 = 1
    try enter()
    try leave(library.createStream(&stream, nonBlocking), "cuStreamCreate")
    let ptx = try CUDAProgram.text()
    try enter()
    try leave(library.loadModule(&module, ptx.base), "cuModuleLoadData")
    for kernel in GPUKernel.allCases {
      let name = UnsafeRawPointer(kernel.name.utf8Start).assumingMemoryBound(to: CChar.self)
      let place = functions.base + kernel.rawValue
      try enter()
      try leave(library.getFunction(place, module, name), "cuModuleGetFunction")
    }
    capacity = try library.capacity(number)
  }

  /// Gives everything back, whatever the driver says to it; it may be that nothing works any more.
  deinit {
    guard let context, process == getpid() else { return }
    if library.pushContext(context) == 0 {
      if let stream { _ = library.destroyStream(stream) }
      if let module { _ = library.unloadModule(module) }
      var popped: Handle?
      _ = library.popContext(&popped)
    }
    _ = library.releaseContext(number)
  }

  /// Makes this context the thread's, for one call; `leave` has to follow.
  @inline(never)
  private func enter() throws(Failure) {
    guard process == getpid() else {
      throw Failure(
        .deviceFailed, "cuda: a network of the parent process cannot be used in a child process")
    }
    try library.check(library.pushContext(context), "cuCtxPushCurrent")
  }

  /// Makes the context before it the thread's again, and looks at the result of the call.
  @inline(never)
  private func leave(_ result: CUDALibrary.Result, _ call: StaticString) throws(Failure) {
    var popped: Handle?
    let popResult = library.popContext(&popped)
    try library.check(result, call)
    try library.check(popResult, "cuCtxPopCurrent")
  }

  /// The same where nothing can be done about a failure: an earlier call has told of it, or the context is
  /// gone, and what was in it too.
  private func giveBack(_ call: () -> CUDALibrary.Result) {
    do throws(Failure) {
      try enter()
      try leave(call(), "")
    } catch {}
  }
}

// Memory.
extension CUDADriver {
  func allocate(bytes: Int) throws(Failure) -> GPUMemory {
    var memory = GPUMemory(address: 0, bytes: bytes)
    try enter()
    let result = library.allocate(&memory.address, bytes)
    isFull = result == CUDALibrary.outOfMemory
    do throws(Failure) {
      try leave(result, "cuMemAlloc")
    } catch {
      if memory.address != 0 { free(memory) }
      guard isFull else { throw error }
      throw Failure(.deviceFailed, "\(error.message) for \(bytes) bytes")
    }
    return memory
  }

  func free(_ memory: GPUMemory) {
    giveBack {
      _ = library.synchronizeStream(stream)
      return library.free(memory.address)
    }
  }

  func upload(_ source: UnsafeRawBufferPointer, to memory: GPUMemory, offset: Int) throws(Failure) {
    guard let start = source.baseAddress, !source.isEmpty else { return }
    let target = memory.address &+ UInt64(offset)
    try enter()
    try leave(library.copyToDevice(target, start, source.count, stream), "cuMemcpyHtoDAsync")
    // The source could be memory that the host has pinned, from which the card then reads by itself.
    try finish()
  }

  func download(
    _ memory: GPUMemory, offset: Int, into target: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    guard let start = target.baseAddress, !target.isEmpty else { return }
    let source = memory.address &+ UInt64(offset)
    try enter()
    try leave(library.copyToHost(start, source, target.count, stream), "cuMemcpyDtoHAsync")
    try finish()
  }

  func copy(_ source: GPUMemory, to target: GPUMemory) throws(Failure) {
    try enter()
    try leave(
      library.copy(target.address, source.address, source.bytes, stream), "cuMemcpyDtoDAsync")
  }

  func clear(_ memory: GPUMemory) throws(Failure) {
    try enter()
    try leave(library.set(memory.address, 0, memory.bytes, stream), "cuMemsetD8Async")
  }

  func finish() throws(Failure) {
    try enter()
    try leave(library.synchronizeStream(stream), "cuStreamSynchronize")
  }
}

// Kernels.
extension CUDADriver {
  func launch(_ launch: GPULaunch, _ arguments: UnsafeRawBufferPointer) throws(Failure) {
    var argument = UnsafeMutableRawPointer(mutating: arguments.baseAddress)
    try enter()
    try leave(
      library.launchKernel(
        functions[launch.kernel.rawValue], UInt32(launch.groups), 1, 1,
        UInt32(GPUKernel.threadsPerGroup), 1, 1, 0, stream, &argument, nil), "cuLaunchKernel")
  }

  func launchTogether(
    groups: Int, sharedBytes: Int, _ arguments: UnsafeRawBufferPointer
  ) throws(Failure) -> Bool {
    let function = functions[GPUKernel.resident.rawValue]
    // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: usually not more than 48 KiB.
    try enter()
    try leave(library.setFunctionAttribute(function, 8, Int32(sharedBytes)), "cuFuncSetAttribute")
    var argument = UnsafeMutableRawPointer(mutating: arguments.baseAddress)
    try enter()
    let result = library.launchTogether(
      function, UInt32(groups), 1, 1, UInt32(GPUKernel.threadsPerGroup), 1, 1, UInt32(sharedBytes),
      stream, &argument)
    let isPossible = result != CUDALibrary.tooManyTogether && result != CUDALibrary.notSupported
    try leave(isPossible ? result : 0, "cuLaunchCooperativeKernel")
    return isPossible
  }

  func record(
    _ launches: [GPULaunch], _ arguments: UnsafeRawBufferPointer
  ) throws(Failure) -> GPUSequence {
    var graph: Handle?
    defer { if let graph { giveBack { library.destroyGraph(graph) } } }
    try enter()
    try leave(library.createGraph(&graph, 0), "cuGraphCreate")
    // Each waits for the one before it.
    var last: Handle?
    for launch in launches {
      var before = last
      var argument = UnsafeMutableRawPointer(mutating: arguments.baseAddress)
      try enter()
      let result = withUnsafeMutablePointer(to: &argument) { argument in
        var node = CUDALibrary.KernelNode(
          function: functions[launch.kernel.rawValue], arguments: argument)
        node.gridX = UInt32(launch.groups)
        node.blockX = UInt32(GPUKernel.threadsPerGroup)
        return library.addKernelNode(&last, graph, &before, before == nil ? 0 : 1, &node)
      }
      try leave(result, "cuGraphAddKernelNode")
    }
    let sequence = CUDASequence(self)
    try enter()
    try leave(library.instantiateGraph(&sequence.graph, graph, 0), "cuGraphInstantiate")
    return sequence
  }

  func replay(_ sequence: GPUSequence, times: Int) throws(Failure) {
    let graph = unsafeDowncast(sequence, to: CUDASequence.self).graph
    var result: CUDALibrary.Result = 0
    try enter()
    for _ in 0..<times where result == 0 { result = library.launchGraph(graph, stream) }
    try leave(result, "cuGraphLaunch")
  }

  fileprivate func destroy(_ graph: Handle) {
    giveBack {
      _ = library.synchronizeStream(stream)
      return library.destroyExecutable(graph)
    }
  }
}

/// A CUDA graph, ready to be launched.
private final class CUDASequence: GPUSequence {
  private let driver: CUDADriver
  fileprivate var graph: CUDALibrary.Handle?

  init(_ driver: CUDADriver) { self.driver = driver }

  deinit { if let graph { driver.destroy(graph) } }
}
