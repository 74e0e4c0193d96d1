// Which CUDA devices this machine has, and why they cannot be used if they cannot.

import CSystem

enum CUDADevices {
  /// The compute capability that the PTX is made for, and that a card must have: Maxwell, of 2014.
  private static let oldestMajor: Int32 = 5
  /// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
  private static let majorAttribute: Int32 = 75

  static func describe() -> DeviceInfo {
    do throws(Failure) {
      let library = try CUDALibrary.open()
      let count = try deviceCount(library)
      var first: Failure?
      for index in 0..<count {
        do throws(Failure) {
          let number = try device(index, library)
          try checkContext(number, library)
          return DeviceInfo(device: .cuda, count: count, name: try name(number, library))
        } catch {
          if first == nil { first = error }
        }
      }
      throw first!
    } catch {
      return DeviceInfo(device: .cuda, count: 0, name: "", reason: error.message)
    }
  }

  static func make(_ shape: Shape, index: Int, threads: Int) throws(Failure) -> any Engine {
    try GPUEngine.make(shape, driver: CUDADriver.make(index: index))
  }

  /// How many there are; none is a failure.
  private static func deviceCount(_ library: CUDALibrary) throws(Failure) -> Int {
    var count: Int32 = 0
    try library.check(library.getDeviceCount(&count), "cuDeviceGetCount", .noDevice)
    guard count > 0 else { throw Failure(.noDevice, "the NVIDIA driver finds no device") }
    return Int(count)
  }

  /// The driver's number of a device that can run the kernels.
  static func device(_ index: Int, _ library: CUDALibrary) throws(Failure) -> CUDALibrary.DeviceNumber {
    let count = try deviceCount(library)
    guard index < count else {
      throw Failure(.noDevice, "there is no cuda:\(index) among \(count), counted from 0")
    }
    var number: CUDALibrary.DeviceNumber = 0
    try library.check(library.getDevice(&number, Int32(index)), "cuDeviceGet", .noDevice)
    var major: Int32 = 0
    try library.check(
      library.getDeviceAttribute(&major, majorAttribute, number), "cuDeviceGetAttribute", .noDevice)
    guard major >= oldestMajor else {
      throw Failure(
        .noDevice,
        """
        cuda:\(index) is too old: it has compute capability \(major), but \(oldestMajor).0 is needed
        """)
    }
    return number
  }

  private static func name(
    _ number: CUDALibrary.DeviceNumber, _ library: CUDALibrary
  ) throws(Failure) -> String {
    let capacity = 128
    var result: CUDALibrary.Result = 0
    let name = String(capacity: capacity) {
      $0[0] = 0
      result = library.getDeviceName($0, Int32(capacity), number)
    }
    try library.check(result, "cuDeviceGetName", .noDevice)
    return name
  }

  /// Whether a context can be had, which takes memory of the device, and a device that others have not
  /// taken for themselves.
  private static func checkContext(
    _ number: CUDALibrary.DeviceNumber, _ library: CUDALibrary
  ) throws(Failure) {
    var context: CUDALibrary.Handle?
    try library.check(
      library.retainContext(&context, number), "cuDevicePrimaryCtxRetain", .noDevice)
    try library.check(library.releaseContext(number), "cuDevicePrimaryCtxRelease", .noDevice)
  }
}

extension CUDALibrary {
  /// What a device runs at the same time; nil if it has no cooperative launches.
  func capacity(_ number: DeviceNumber) throws(Failure) -> GPUCapacity? {
    func attribute(_ which: Int32) throws(Failure) -> Int {
      var value: Int32 = 0
      try check(getDeviceAttribute(&value, which, number), "cuDeviceGetAttribute")
      return Int(value)
    }
    // CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, _MULTIPROCESSOR_COUNT, _MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    guard try attribute(95) != 0 else { return nil }
    return GPUCapacity(groups: try attribute(16), sharedBytes: try attribute(97))
  }
}
