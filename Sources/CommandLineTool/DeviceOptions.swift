// Where a command computes.

import ArgumentParser
import TwoLayerNet

struct DeviceOptions: ParsableArguments {
  enum Choice: String, CaseIterable, ExpressibleByArgument {
    case auto, cpu, cuda, mps

    /// nil asks for the best that is available.
    var device: Device? { Device.allCases.first { $0.name == rawValue } }
  }

  @Option(help: "auto, cpu, cuda or mps; auto takes cuda if available, else mps, else cpu.")
  var device = Choice.auto

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The most threads to use on the cpu; 0 chooses. Never changes a result.", valueName: "n"))
  var threads = 0

  func validate() throws {
    guard (0...Network.threadLimit).contains(threads) else {
      throw ValidationError("--threads must be 0 to \(Network.threadLimit)")
    }
  }

  /// The network in a file, on the device that was asked for.
  func load(_ path: String) throws(Failure) -> Network {
    do throws(Failure) {
      return try Network.load(
        path, device: Device.resolve(device.device), threads: threads, notice: Console.notice)
    } catch {
      if error.status != .ioError || fileExists(path) { throw error }
      throw Failure(.ioError, "\(error.message); 'twolayernet train' makes one")
    }
  }
}
