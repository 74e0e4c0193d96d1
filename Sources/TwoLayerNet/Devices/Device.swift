// The kinds of device, what is known about each, and the only place that chooses: cuda, then mps, then
// cpu, as the article does. A further kind is a folder beside these and a line in `Device.kind`.

import CSystem

/// A kind of device that can train a network.
public enum Device: Int32, CaseIterable, Sendable {
  case cpu = 1
  case cuda = 2
  case mps = 3

  /// All that the rest of the engine has to know about a kind of device.
  private struct Kind {
    var name: String
    var describe: () -> DeviceInfo
    /// An engine on the device with this number, counted from 0.
    var make: (_ shape: Shape, _ index: Int, _ threads: Int) throws(Failure) -> any Engine
  }

  private var kind: Kind {
    switch self {
    case .cpu: Kind(name: "cpu", describe: CPUEngine.describe, make: CPUEngine.make)
    case .cuda: Kind(name: "cuda", describe: CUDADevices.describe, make: CUDADevices.make)
    case .mps: Kind(name: "mps", describe: MetalDevices.describe, make: MetalDevices.make)
    }
  }

  /// Those whose engine has been run on their hardware. Others work when they are asked for by name; an
  /// automatic choice passes them over.
  static let provenOnHardware: [Device] = [.cpu, .cuda]

  public var name: String { kind.name }
}

/// What is known about a device of this machine.
public struct DeviceInfo: Sendable {
  public var device: Device
  /// How many devices of this kind could be used; 0 if it is not available.
  public var count: Int
  /// The model, such as "AMD EPYC 9354"; empty if it is not available.
  public var name: String
  /// cpu only: the instruction set of the kernels, and the threads that may be used.
  public var instructionSet = ""
  public var threads = 0
  /// Why it is not available, or why an automatic choice passes it over; empty otherwise.
  public var reason = ""

  public var isAvailable: Bool { count > 0 }
}

extension Device {
  /// The order in which an automatic choice looks: that of the article.
  public static let preference: [Device] = [.cuda, .mps, .cpu]

  /// Those that an automatic choice tries, one after the other.
  static var candidates: [Device] { preference.filter { provenOnHardware.contains($0) } }

  /// The device that a request leads to; nil asks for the best that is available. An explicit request
  /// that cannot be met is an error, never another device.
  public static func resolve(_ request: Device?) throws(Failure) -> Device {
    guard let request else {
      for device in candidates where device.describe().isAvailable { return device }
      return .cpu
    }
    let info = request.describe()
    guard info.isAvailable else { throw request.notAvailable(info.reason) }
    return request
  }

  private func notAvailable(_ reason: String) -> Failure {
    Failure(.noDevice, "device \(name) is not available: \(reason)")
  }

  public func describe() -> DeviceInfo {
    var info = kind.describe()
    if info.isAvailable && !Self.provenOnHardware.contains(self) {
      info.reason = "auto passes it over, because its engine has not been run on such hardware yet"
    }
    return info
  }

  /// An engine on the device that was asked for, or, for nil, on the best one that works.
  static func makeEngine(
    _ request: Device?, index: Int, _ shape: Shape, threads: Int,
    among candidates: [Device] = candidates
  ) throws(Failure) -> any Engine {
    if let request { return try request.makeEngine(shape, index: index, threads: threads) }
    for device in candidates where device != .cpu {
      do throws(Failure) {
        return try device.makeEngine(shape, index: index, threads: threads)
      } catch {
        if error.status != .noDevice && error.status != .deviceFailed { throw error }
      }
    }
    return try cpu.makeEngine(shape, index: index, threads: threads)
  }

  func makeEngine(_ shape: Shape, index: Int = 0, threads: Int) throws(Failure) -> any Engine {
    guard index >= 0 else {
      throw Failure(.noDevice, "device_index is \(index), but devices are counted from 0")
    }
    do throws(Failure) {
      return try kind.make(shape, index, threads)
    } catch {
      if error.status == .noDevice { throw notAvailable(error.message) }
      throw error
    }
  }
}
