// NVIDIA's driver library, opened when a CUDA device is asked for: the functions of it that are used, and
// the names of its errors. What they are used for is in CUDADriver.swift and CUDADevices.swift.

import CSystem

/// The functions by the names that the library exports, which differ from those of cuda.h by a version at
/// the end. Nothing is kept beyond the life of this value but the library itself, which stays in the
/// process: its own threads would not survive that it is unloaded.
struct CUDALibrary {
  typealias Result = Int32
  typealias DeviceNumber = Int32
  typealias Handle = OpaquePointer
  typealias Out<T> = UnsafeMutablePointer<T>

  /// CUDA_ERROR_OUT_OF_MEMORY
  static let outOfMemory: Result = 2
  /// CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE
  static let tooManyTogether: Result = 720
  /// CUDA_ERROR_NOT_SUPPORTED
  static let notSupported: Result = 801

  /// CUDA 11.4, the first with all these functions. The PTX needs less: see generate.py.
  static let oldestVersion: Int32 = 11040

  typealias ErrorName = @convention(c) (Result, Out<UnsafePointer<CChar>?>) -> Result
  let getErrorName: ErrorName
  let getDeviceCount: @convention(c) (Out<Int32>) -> Result
  let getDevice: @convention(c) (Out<DeviceNumber>, Int32) -> Result
  let getDeviceName: @convention(c) (Out<CChar>, Int32, DeviceNumber) -> Result
  let getDeviceAttribute: @convention(c) (Out<Int32>, Int32, DeviceNumber) -> Result

  let retainContext: @convention(c) (Out<Handle?>, DeviceNumber) -> Result
  let releaseContext: @convention(c) (DeviceNumber) -> Result
  let pushContext: @convention(c) (Handle?) -> Result
  let popContext: @convention(c) (Out<Handle?>) -> Result

  let loadModule: @convention(c) (Out<Handle?>, UnsafeRawPointer) -> Result
  let unloadModule: @convention(c) (Handle?) -> Result
  let getFunction: @convention(c) (Out<Handle?>, Handle?, UnsafePointer<CChar>) -> Result

  let createStream: @convention(c) (Out<Handle?>, UInt32) -> Result
  let destroyStream: @convention(c) (Handle?) -> Result
  let synchronizeStream: @convention(c) (Handle?) -> Result

  let allocate: @convention(c) (Out<UInt64>, Int) -> Result
  let free: @convention(c) (UInt64) -> Result
  let copyToDevice: @convention(c) (UInt64, UnsafeRawPointer, Int, Handle?) -> Result
  let copyToHost: @convention(c) (UnsafeMutableRawPointer, UInt64, Int, Handle?) -> Result
  let copy: @convention(c) (UInt64, UInt64, Int, Handle?) -> Result
  let set: @convention(c) (UInt64, UInt8, Int, Handle?) -> Result

  typealias Arguments = UnsafeMutablePointer<UnsafeMutableRawPointer?>
  let launchKernel:
    @convention(c) (
      Handle?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle?, Arguments?,
      UnsafeMutableRawPointer?
    ) -> Result

  let setFunctionAttribute: @convention(c) (Handle?, Int32, Int32) -> Result
  let launchTogether:
    @convention(c) (
      Handle?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle?, Arguments?
    ) -> Result

  let createGraph: @convention(c) (Out<Handle?>, UInt32) -> Result
  let addKernelNode:
    @convention(c) (
      Out<Handle?>, Handle?, UnsafePointer<Handle?>?, Int, UnsafeRawPointer
    ) -> Result
  let instantiateGraph: @convention(c) (Out<Handle?>, Handle?, UInt64) -> Result
  let launchGraph: @convention(c) (Handle?, Handle?) -> Result
  let destroyGraph: @convention(c) (Handle?) -> Result
  let destroyExecutable: @convention(c) (Handle?) -> Result

  /// CUDA_KERNEL_NODE_PARAMS_v1: Swift lays it out as C does.
  struct KernelNode {
    var function: Handle?
    var gridX: UInt32 = 1
    var gridY: UInt32 = 1
    var gridZ: UInt32 = 1
    var blockX: UInt32 = 1
    var blockY: UInt32 = 1
    var blockZ: UInt32 = 1
    var sharedBytes: UInt32 = 0
    var arguments: Arguments?
    var extra: UnsafeMutableRawPointer?
  }
}

// Opening it.
extension CUDALibrary {
  /// The library, initialised, of a driver that is new enough; it is not closed again. Every failure is a
  /// reason why there is no such device.
  static func open() throws(Failure) -> CUDALibrary {
    var reason: UnsafePointer<CChar>?
    guard let handle = tlns_open_library("libcuda.so.1", &reason) else {
      let text = reason.flatMap { String(validatingCString: $0) } ?? "no reason given"
      throw Failure(.noDevice, "the NVIDIA driver cannot be opened: \(text)")
    }
    let symbols = Symbols(handle: handle)
    let getErrorName: ErrorName = try symbols["cuGetErrorName"]
    let initialize: @convention(c) (UInt32) -> Result = try symbols["cuInit"]
    let getVersion: @convention(c) (Out<Int32>) -> Result = try symbols["cuDriverGetVersion"]
    try check(initialize(0), "cuInit", getErrorName, .noDevice)
    var version: Int32 = 0
    try check(getVersion(&version), "cuDriverGetVersion", getErrorName, .noDevice)
    guard version >= oldestVersion else {
      throw Failure(
        .noDevice,
        """
        the NVIDIA driver is too old: it is made for CUDA \(version / 1000).\(version % 1000 / 10), but \
        \(oldestVersion / 1000).\(oldestVersion % 1000 / 10) is needed
        """)
    }
    return try CUDALibrary(
      getErrorName: getErrorName,
      getDeviceCount: symbols["cuDeviceGetCount"],
      getDevice: symbols["cuDeviceGet"],
      getDeviceName: symbols["cuDeviceGetName"],
      getDeviceAttribute: symbols["cuDeviceGetAttribute"],
      retainContext: symbols["cuDevicePrimaryCtxRetain"],
      releaseContext: symbols["cuDevicePrimaryCtxRelease_v2"],
      pushContext: symbols["cuCtxPushCurrent_v2"],
      popContext: symbols["cuCtxPopCurrent_v2"],
      loadModule: symbols["cuModuleLoadData"],
      unloadModule: symbols["cuModuleUnload"],
      getFunction: symbols["cuModuleGetFunction"],
      createStream: symbols["cuStreamCreate"],
      destroyStream: symbols["cuStreamDestroy_v2"],
      synchronizeStream: symbols["cuStreamSynchronize"],
      allocate: symbols["cuMemAlloc_v2"],
      free: symbols["cuMemFree_v2"],
      copyToDevice: symbols["cuMemcpyHtoDAsync_v2"],
      copyToHost: symbols["cuMemcpyDtoHAsync_v2"],
      copy: symbols["cuMemcpyDtoDAsync_v2"],
      set: symbols["cuMemsetD8Async"],
      launchKernel: symbols["cuLaunchKernel"],
      setFunctionAttribute: symbols["cuFuncSetAttribute"],
      launchTogether: symbols["cuLaunchCooperativeKernel"],
      createGraph: symbols["cuGraphCreate"],
      addKernelNode: symbols["cuGraphAddKernelNode"],
      instantiateGraph: symbols["cuGraphInstantiateWithFlags"],
      launchGraph: symbols["cuGraphLaunch"],
      destroyGraph: symbols["cuGraphDestroy"],
      destroyExecutable: symbols["cuGraphExecDestroy"])
  }

  private struct Symbols {
    let handle: UnsafeMutableRawPointer

    /// A function of the type that the place it goes to has.
    subscript<T>(name: StaticString) -> T {
      @inline(__always) get throws(Failure) { unsafeBitCast(try address(name), to: T.self) }
    }

    @inline(never)
    private func address(_ name: StaticString) throws(Failure) -> UnsafeMutableRawPointer {
      let text = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
      guard let address = tlns_find_function(handle, text) else {
        throw Failure(.noDevice, "the NVIDIA driver is too old: it has no \(name)")
      }
      return address
    }
  }
}

// Its errors.
extension CUDALibrary {
  /// Turns a result that is not success into a failure with the driver's own name of the error.
  @inline(__always)
  func check(
    _ result: Result, _ call: StaticString, _ status: Status = .deviceFailed
  ) throws(Failure) {
    try Self.check(result, call, getErrorName, status)
  }

  @inline(__always)
  private static func check(
    _ result: Result, _ call: StaticString, _ getErrorName: ErrorName, _ status: Status
  ) throws(Failure) {
    if result != 0 { throw failure(result, call, getErrorName, status) }
  }

  @inline(never)
  private static func failure(
    _ result: Result, _ call: StaticString, _ getErrorName: ErrorName, _ status: Status
  ) -> Failure {
    var name: UnsafePointer<CChar>?
    if getErrorName(result, &name) == 0, let name, let text = String(validatingCString: name) {
      return Failure(status, "cuda: \(call) failed: \(text)")
    }
    return Failure(status, "cuda: \(call) failed with the unknown error \(result)")
  }
}
