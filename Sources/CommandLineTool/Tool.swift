// The command `twolayernet`: its subcommands, and how every error becomes one line and an exit code.

import ArgumentParser
import CSystem
import CTwoLayerNet
import TwoLayerNet

@main
struct Tool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "twolayernet",
    abstract: "Train and run a two-layer neural network, bit for bit as PyTorch does.",
    discussion: """
      EXAMPLES
        twolayernet train                        train on MNIST
        twolayernet test --confusion             test mnist.pth: what is mixed up?
        twolayernet predict --invert seven.png   which digit is it?
        twolayernet convert mnist.pth weights.h  for C, without any library
      """,
    version: TLN_VERSION_STRING,
    subcommands: [
      Train.self, Test.self, Predict.self, Inspect.self, Convert.self, Report.self, Devices.self,
      Download.self,
    ])

  static func main() {
    Startup.occupyStandardDescriptors()
    if let complaint = Startup.complaint(commandNames) {
      Console.error("\(complaint) (see 'twolayernet --help')")
      CSystem.exit(ExitCode.validationFailure.rawValue)
    }
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      leave(error)
    }
  }

  /// What the commands are called: as their types.
  private static var commandNames: [String] {
    configuration.subcommands.map { $0.configuration.commandName ?? "\($0)".lowercased() }
  }

  /// Ends the program: 0 after help, 64 for wrong usage, 128 + signal if interrupted, else 1.
  private static func leave(_ error: any Error) -> Never {
    let code = exitCode(for: error)
    switch error {
    case let failure as Failure:
      Console.error(failure.message)
      CSystem.exit(1)
    case let interruption as Interrupted:
      CSystem.exit(128 + interruption.signal)
    case _ where code == .validationFailure:
      // The parser's text has the usage too; the last of its lines says how to get more.
      let hint = fullMessage(for: error).split(separator: "\n").last.map { trimmed($0) } ?? ""
      let text = trimmed(message(for: error)[...])
      let isNetwork = [".pth'", ".pt'", ".safetensors'"].contains(where: text.hasSuffix)
      let advice =
        text.hasPrefix("Unexpected argument") && isNetwork ? "; --model names the network" : ""
      Console.error("\(text)\(advice) (\(hint))")
      CSystem.exit(code.rawValue)
    default:
      exit(withError: error)
    }
  }

  /// Without spaces, line ends and full stops around it.
  private static func trimmed(_ text: Substring) -> String {
    let isSpace: (Character) -> Bool = { $0.isWhitespace || $0 == "." }
    return String(text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
      .split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
