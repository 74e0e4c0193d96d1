// Where a command computes.

import ArgumentParser
import TwoLayerNet

struct DeviceOptions: ParsableArguments {
  /// auto, cpu, cuda, mps, or one of several GPUs as PyTorch names it: cuda:1.
  struct Choice: ExpressibleByArgument {
    /// nil asks for the best that is available.
    var device: Device?
    var index = 0

    init() {}

    init?(argument: String) {
      let words = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      device = Device.allCases.first { $0.name == words[0] }
      guard device != nil || words[0] == "auto" else { return nil }
      if words.count == 1 { return }
      guard device != nil, device != .cpu, let number = Int32(words[1]), number >= 0 else { return nil }
      index = Int(number)
    }

    static let allValueStrings = ["auto", "cpu", "cuda", "mps"]
    static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
    var defaultValueDescription: String { device?.name ?? "auto" }
  }

  @Option(
    help: """
      auto, cpu, cuda or mps; cuda:1 is the second of several. auto takes cuda if available, else mps, \
      else cpu, but not mps as long as its engine has not been run on such hardware ('twolayernet devices').
      """)
  var device = Choice()

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
        .openWithNumPy(path), device: device.device, deviceIndex: device.index, threads: threads,
        notice: Console.notice)
    } catch {
      if error.status != .ioError || !isMissing(path) { throw error }
      throw Failure(.ioError, "\(error.message); 'twolayernet train' makes one")
    }
  }
}
