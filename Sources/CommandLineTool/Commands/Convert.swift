// twolayernet convert

import ArgumentParser
import TwoLayerNet

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a network in another format.",
    discussion: """
      Reads .pth, .safetensors and .npz, told by content. What is written is told by the ending: .pth, .pt, \
      .safetensors, .npz (as numpy.savez), or .h: a C header with the numbers and the functions that run \
      them, which needs no library and fits a small device.

      EXAMPLES
        twolayernet convert mnist.pth mnist.safetensors
        twolayernet convert mnist.pth weights.h
      """)

  @Argument(help: ArgumentHelp("The network.", valueName: "from"), completion: .file())
  var source: String

  @Argument(help: ArgumentHelp("The file to write.", valueName: "to"), completion: .file())
  var target: String

  func run() throws {
    let network = try Network.load(
      .openWithNumPy(source), device: .cpu, threads: 1, notice: Console.notice)
    if target.hasSuffix(".npz") {
      try writeWhole(NPZWriter.file(network), to: target)
    } else if target.hasSuffix(".h") {
      try writeWhole(Array(WeightsHeader(network, path: target).text.utf8), to: target)
    } else if [".pth", ".pt", ".safetensors"].contains(where: target.hasSuffix) {
      try network.save(target)
    } else {
      throw Failure(
        .unsupported, "\(target) ends in none of .pth, .pt, .safetensors, .npz and .h")
    }
  }
}
