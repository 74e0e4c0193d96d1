// twolayernet devices

import ArgumentParser
import TwoLayerNet

struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the devices: available or why not, and which one auto takes.")

  func run() throws {
    for device in Device.allCases {
      let info = device.describe()
      let what =
        info.isAvailable
        ? Self.description(info) : "not available: \(info.reason)"
      try Output.line(Self.row(device.name, what))
    }
    try Output.line(Self.row("auto", try Device.resolve(nil).name))
  }

  static func description(_ info: DeviceInfo) -> String {
    var parts = [info.name]
    if info.device == .cpu {
      parts += [info.instructionSet, "\(info.threads) thread\(info.threads == 1 ? "" : "s")"]
    } else if info.count > 1 {
      parts.append("\(info.count) of them")
    }
    return parts.joined(separator: ", ")
  }

  private static func row(_ name: String, _ what: String) -> String {
    name + String(repeating: " ", count: 6 - name.utf8.count) + what
  }
}
