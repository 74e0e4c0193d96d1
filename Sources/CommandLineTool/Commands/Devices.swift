// twolayernet devices

import ArgumentParser
import TwoLayerNet

struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the devices: available or why not, and which one auto takes.",
    discussion: """
      auto takes cuda if there is a card, else the cpu; --device cuda:1 is the second card. The Metal engine \
      has not been run on Apple hardware yet, and until it has, auto passes it over: ask for it with \
      --device mps.

      EXAMPLES
        twolayernet devices
        twolayernet devices --measure
      """)

  @Flag(
    help: """
      Add the float32 rate that training the article's network reaches on each device, in billions of \
      operations a second (takes a second each).
      """)
  var measure = false

  @Flag(help: "One JSON object a line.")
  var json = false

  func run() throws {
    let automatic = try Device.resolve(nil)
    for device in Device.allCases {
      let info = device.describe()
      let rate = measure && info.isAvailable ? try Measurement(device, threads: 0) : nil
      try Output.line(
        json
          ? Self.object(info, rate, isAutomatic: device == automatic).text
          : Self.row(device.name, Self.text(info, rate)))
    }
    if !json { try Output.line(Self.row("auto", automatic.name)) }
  }

  private static func text(_ info: DeviceInfo, _ rate: Measurement?) -> String {
    guard info.isAvailable else { return "not available: \(info.reason)" }
    var text = description(info)
    if let rate {
      text += ": \(fixed(rate.gigaflops, 1)) GFLOP/s (\(grouped(Int(rate.imagesPerSecond))) images/s)"
    }
    return info.reason.isEmpty ? text : "\(text); \(info.reason)"
  }

  /// A device that is available, in a few words.
  static func description(_ info: DeviceInfo, threads: Int = 0) -> String {
    var parts = [info.name]
    if info.device == .cpu {
      let count = threads == 0 ? info.threads : threads
      parts += [info.instructionSet, "\(count) thread\(count == 1 ? "" : "s")"]
    } else if info.count > 1 {
      parts.append("\(info.count) of them")
    }
    return parts.joined(separator: ", ")
  }

  private static func row(_ name: String, _ what: String) -> String {
    name + String(repeating: " ", count: 6 - name.utf8.count) + what
  }

  private static func object(
    _ info: DeviceInfo, _ rate: Measurement?, isAutomatic: Bool
  ) -> JSON {
    var members: [(String, JSON)] = [
      ("device", .string(info.device.name)), ("available", .bool(info.isAvailable)),
      ("auto", .bool(isAutomatic)), ("count", .int(info.count)), ("name", .string(info.name)),
    ]
    if info.device == .cpu {
      members += [("instruction_set", .string(info.instructionSet)), ("threads", .int(info.threads))]
    }
    if !info.reason.isEmpty { members.append(("reason", .string(info.reason))) }
    if let rate {
      members += [
        ("gigaflops", .number(rate.gigaflops)), ("images_per_second", .number(rate.imagesPerSecond)),
      ]
    }
    return .object(members)
  }
}
