// Apple's GPUs as a GPUDriver, as thin as it can be: it has been compiled against Metal's declarations but
// never run on Apple's hardware. What the kernels compute is in Sources/CGPUKernels.
//
// Embedded Swift cannot call Objective-C, so this exists in the Swift module and the command line. Tests
// compile it with TLN_METAL_STUBS, where declarations by hand stand for Metal.

#if (canImport(Metal) && !hasFeature(Embedded)) || TLN_METAL_STUBS
  import CGPUKernels
  import CSystem
  #if canImport(Metal)
    import Metal
  #endif

  final class MetalDriver: GPUDriver {
    let device = Device.mps
    private(set) var isFull = false
    private let metal: any MTLDevice
    private let queue: any MTLCommandQueue
    private let pipelines: [any MTLComputePipelineState]
    private var buffers: [any MTLBuffer] = []
    /// Takes launches until something has to wait for them, or there are many.
    private var commands: (buffer: any MTLCommandBuffer, encoder: any MTLComputeCommandEncoder)?
    private var launchesInCommands = 0
    /// What was handed over since the last wait.
    private var committed: [any MTLCommandBuffer] = []

    /// So many launches are encoded before the device gets them: enough that it has always work, and few
    /// enough that it begins early.
    private static let launchesPerCommit = 512

    private init(
      _ metal: any MTLDevice, _ queue: any MTLCommandQueue, _ pipelines: [any MTLComputePipelineState]
    ) {
      (self.metal, self.queue, self.pipelines) = (metal, queue, pipelines)
    }

    /// The device with this number, counted from 0, and the kernels on it.
    static func make(index: Int) throws(Failure) -> MetalDriver {
      let devices = MetalDevices.usable
      guard index < devices.count else {
        throw Failure(.noDevice, "there is no mps:\(index) among \(devices.count), counted from 0")
      }
      let metal = devices[index]
      guard let queue = metal.makeCommandQueue() else {
        throw Failure(.deviceFailed, "mps: makeCommandQueue failed")
      }
      return MetalDriver(metal, queue, try pipelines(metal))
    }

    /// The kernels' text in one piece: Metal has no files to include.
    private static var text: String {
      let lines = String(cString: tlng_metal_text()).split(
        separator: "\n", omittingEmptySubsequences: false)
      return lines.filter { !$0.hasPrefix("#include \"") }.joined(separator: "\n")
    }

    private static func pipelines(
      _ metal: any MTLDevice
    ) throws(Failure) -> [any MTLComputePipelineState] {
      let options = MTLCompileOptions()
      options.mathMode = .safe
      do {
        let library = try metal.makeLibrary(source: text, options: options)
        return try GPUKernel.allCases.filter { $0 != .resident }.map { kernel in
          guard let function = library.makeFunction(name: kernel.name.description) else {
            throw Failure(.deviceFailed, "mps: there is no kernel \(kernel.name)")
          }
          return try metal.makeComputePipelineState(function: function)
        }
      } catch {
        throw Failure(.deviceFailed, "mps: the kernels do not compile: \("\(error)")")
      }
    }
  }

  // Memory, which the processor and the device share.
  extension MetalDriver {
    func allocate(bytes: Int) throws(Failure) -> GPUMemory {
      let made = metal.makeBuffer(length: bytes, options: .storageModeShared)
      isFull = made == nil
      guard let buffer = made else {
        throw Failure(.deviceFailed, "mps: the device has no memory for \(bytes) bytes")
      }
      // The encoder that is open knows only the buffers that were there when it was opened.
      commit()
      buffers.append(buffer)
      return GPUMemory(address: buffer.gpuAddress, bytes: bytes)
    }

    func free(_ memory: GPUMemory) {
      do throws(Failure) { try finish() } catch {}
      buffers.removeAll { $0.gpuAddress == memory.address }
    }

    func upload(
      _ source: UnsafeRawBufferPointer, to memory: GPUMemory, offset: Int
    ) throws(Failure) {
      try finish()
      UnsafeMutableRawBufferPointer(start: contents(memory) + offset, count: source.count)
        .copyMemory(from: source)
    }

    func download(
      _ memory: GPUMemory, offset: Int, into target: UnsafeMutableRawBufferPointer
    ) throws(Failure) {
      try finish()
      target.copyMemory(
        from: UnsafeRawBufferPointer(start: contents(memory) + offset, count: target.count))
    }

    func copy(_ source: GPUMemory, to target: GPUMemory) throws(Failure) {
      try finish()
      memcpy(contents(target), contents(source), source.bytes)
    }

    func clear(_ memory: GPUMemory) throws(Failure) {
      try finish()
      memset(contents(memory), 0, memory.bytes)
    }

    /// Where the processor sees an address of the device.
    private func contents(_ memory: GPUMemory) -> UnsafeMutableRawPointer {
      for buffer in buffers {
        let offset = memory.address &- buffer.gpuAddress
        if offset < UInt64(buffer.length) { return buffer.contents() + Int(offset) }
      }
      preconditionFailure("memory of another driver")
    }
  }

  // Kernels.
  extension MetalDriver {
    func launch(_ launch: GPULaunch, _ arguments: UnsafeRawBufferPointer) throws(Failure) {
      let encoder = try openEncoder()
      encoder.setComputePipelineState(pipelines[launch.kernel.rawValue])
      encoder.setBytes(arguments.baseAddress!, length: arguments.count, index: 0)
      encoder.dispatchThreadgroups(
        MTLSize(width: launch.groups, height: 1, depth: 1),
        threadsPerThreadgroup: MTLSize(width: GPUKernel.threadsPerGroup, height: 1, depth: 1))
      encoder.memoryBarrier(scope: .buffers)
      launchesInCommands += 1
      if launchesInCommands == Self.launchesPerCommit { commit() }
    }

    private func openEncoder() throws(Failure) -> any MTLComputeCommandEncoder {
      if let commands { return commands.encoder }
      guard let buffer = queue.makeCommandBuffer(), let encoder = buffer.makeComputeCommandEncoder()
      else {
        throw Failure(.deviceFailed, "mps: makeCommandBuffer failed")
      }
      // The kernels get addresses, from which Metal cannot tell what they use.
      encoder.useResources(buffers, usage: [.read, .write])
      commands = (buffer, encoder)
      return encoder
    }

    private func commit() {
      guard let open = commands else { return }
      open.encoder.endEncoding()
      open.buffer.commit()
      commands = nil
      launchesInCommands = 0
      committed.append(open.buffer)
    }

    func record(
      _ launches: [GPULaunch], _ arguments: UnsafeRawBufferPointer
    ) throws(Failure) -> GPUSequence {
      let copy = try Buffer<UInt8>(uninitialized: arguments.count)
      UnsafeMutableRawBufferPointer(copy.mutable).copyMemory(from: arguments)
      return MetalSequence(launches, copy)
    }

    func replay(_ sequence: GPUSequence, times: Int) throws(Failure) {
      let recorded = unsafeDowncast(sequence, to: MetalSequence.self)
      for _ in 0..<times {
        for step in recorded.launches {
          try launch(step, UnsafeRawBufferPointer(recorded.arguments.readOnly))
        }
      }
    }

    /// Metal doesn't promise that groups run at the same time.
    var capacity: GPUCapacity? { nil }

    func launchTogether(
      groups: Int, sharedBytes: Int, _ arguments: UnsafeRawBufferPointer
    ) throws(Failure) -> Bool { false }

    func finish() throws(Failure) {
      commit()
      let waitedFor = committed
      committed = []
      for buffer in waitedFor { buffer.waitUntilCompleted() }
      for buffer in waitedFor {
        if let error = buffer.error {
          throw Failure(.deviceFailed, "mps: the device failed: \("\(error)")")
        }
      }
    }
  }

  private final class MetalSequence: GPUSequence {
    let launches: [GPULaunch]
    let arguments: Buffer<UInt8>

    init(_ launches: [GPULaunch], _ arguments: consuming Buffer<UInt8>) {
      self.launches = launches
      self.arguments = arguments
    }
  }

  enum MetalDevices {
    /// Metal 3 gives buffers an address.
    static var usable: [any MTLDevice] { MTLCopyAllDevices().filter { $0.supportsFamily(.metal3) } }

    static func describe() -> DeviceInfo {
      let usable = usable
      guard let first = usable.first else {
        return DeviceInfo(device: .mps, count: 0, name: "", reason: "there is no GPU with Metal 3")
      }
      return DeviceInfo(device: .mps, count: usable.count, name: first.name)
    }

    static func make(_ shape: Shape, index: Int, threads: Int) throws(Failure) -> any Engine {
      try GPUEngine.make(shape, driver: MetalDriver.make(index: index))
    }
  }

#else

  enum MetalDevices {
    static func describe() -> DeviceInfo {
      DeviceInfo(device: .mps, count: 0, name: "", reason: absent.message)
    }

    static func make(_ shape: Shape, index: Int, threads: Int) throws(Failure) -> any Engine {
      throw absent
    }

    private static var absent: Failure {
      Failure(.noDevice, "this build has no Metal engine; only the Swift module on Apple's systems has")
    }
  }

#endif
