// The engines that the conformance tests run on, in one list: the processor at each instruction set, the
// emulated GPU, and the GPUs of this machine.

import Testing

@testable import TwoLayerNet

/// A way to make an engine.
enum TestEngine: Hashable, Sendable, CustomStringConvertible {
  case cpu(InstructionSet, threads: Int)
  /// `together`: how many groups the device runs at the same time.
  case emulator(GPUTiling, shuffle: Int, together: Int = 0)
  case device(Device)

  static let processors = InstructionSet.allCases.flatMap { set in
    (set == .baseline ? [1, 3] : [1, 2, 3]).map { TestEngine.cpu(set, threads: $0) }
  }
  static let emulators: [TestEngine] = [
    .emulator(.automatic, shuffle: 0), .emulator(.never, shuffle: 255), .emulator(.always, shuffle: 0),
    .emulator(.always, shuffle: 90), .emulator(.automatic, shuffle: 255, together: 7),
  ]
  static let devices = Device.allCases.filter { $0 != .cpu }.map { TestEngine.device($0) }
  static let all = processors + emulators + devices
  static let available = all.filter { $0.reason.isEmpty }
  /// What the others are compared with.
  static let processor = TestEngine.cpu(.best, threads: 1)
  /// Everything that is not another order of the same.
  static let distinct: [TestEngine] =
    [
      .cpu(.best, threads: 2), .emulator(.automatic, shuffle: 0),
      .emulator(.automatic, shuffle: 90, together: 5),
    ] + devices

  var description: String {
    switch self {
    case .cpu(let set, let threads): "cpu, \(set.name), threads \(threads)"
    case .emulator(let tiling, let shuffle, let together):
      "emulator, tiling \(tiling), shuffle \(shuffle), together \(together)"
    case .device(let device): device.name
    }
  }

  /// Why it is not there; empty if it is.
  var reason: String {
    switch self {
    case .cpu(let set, _): set.isSupported ? "" : "this processor has no \(set.name)"
    case .emulator: ""
    case .device(let device):
      if case let info = device.describe(), !info.isAvailable { info.reason } else { "" }
    }
  }

  func make(_ shape: Shape) throws -> any Engine {
    switch self {
    case .cpu(let set, let threads): try CPUEngine.make(shape, threads: threads, set)
    case .emulator(let tiling, let shuffle, let together):
      try GPUEngine.make(
        shape,
        driver: EmulatorDriver(
          shuffle: shuffle,
          capacity: together > 0 ? GPUCapacity(groups: together, sharedBytes: 1 << 18) : nil),
        tiling: tiling)
    case .device(let device): try device.makeEngine(shape, threads: 0)
    }
  }

  /// Reports the test as skipped if the engine is not there.
  func require() throws {
    if !reason.isEmpty { try Test.cancel("\(self): \(reason)") }
  }
}
