// The kinds of device, what is known about each, and the only place that chooses: cuda, then mps, then
// cpu, as the article does.

import CSystem

/// A kind of device that can train a network.
public enum Device: Int32, CaseIterable, Sendable {
  case cpu = 1
  case cuda = 2
  case mps = 3

  public var name: String {
    switch self {
    case .cpu: "cpu"
    case .cuda: "cuda"
    case .mps: "mps"
    }
  }
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
  /// Why it is not available; empty if it is.
  public var reason = ""

  public var isAvailable: Bool { count > 0 }
}

extension Device {
  /// The order in which an automatic choice looks: that of the article.
  public static let preference: [Device] = [.cuda, .mps, .cpu]

  /// The device that a request leads to; nil asks for the best that is available. An explicit request
  /// that cannot be met is an error, never another device.
  public static func resolve(_ request: Device?) throws(Failure) -> Device {
    guard let request else {
      for device in preference where device.describe().isAvailable { return device }
      return .cpu
    }
    let info = request.describe()
    guard info.isAvailable else {
      throw Failure(.noDevice, "device \(request.name) is not available: \(info.reason)")
    }
    return request
  }

  public func describe() -> DeviceInfo {
    switch self {
    case .cpu: CPUEngine.describe()
    case .cuda: DeviceInfo(device: self, count: 0, name: "", reason: Self.notBuilt("CUDA"))
    case .mps: DeviceInfo(device: self, count: 0, name: "", reason: Self.notBuilt("Metal"))
    }
  }

  private static func notBuilt(_ what: String) -> String {
    "this version of the library has no \(what) engine"
  }

  /// The engine of an available device.
  func makeEngine(_ shape: Shape, threads: Int) throws(Failure) -> any Engine {
    try CPUEngine.make(shape, threads: threads)
  }
}
