// twolayernet report

import ArgumentParser
import TwoLayerNet

struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write one HTML page about a trained network.",
    discussion: """
      Curves (from the log of its training), confusion matrix, the most wrong images and the weights, all \
      in one file that needs no network to be read.

      EXAMPLES
        twolayernet train --log run.jsonl
        twolayernet report --log run.jsonl --output report.html
      """)

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The network.", valueName: "file"), completion: .file())
  var model = "mnist.pth"

  @Option(
    help: ArgumentHelp("The log that train --log wrote.", valueName: "file.jsonl"), completion: .file())
  var log: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The page to write.", valueName: "file.html"),
    completion: .file())
  var output = "report.html"

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Device") var device: DeviceOptions

  func run() throws {
    let told = try log.map { path throws(Failure) in try LogFile(path) }
    let network = try device.load(model)
    let dataset = try data.find(train: false, inputs: network.shape.input).open(train: false)
    let page = try ReportPage(model: model, network, dataset, log: told)
    try writeWhole(Array(try page.html().utf8), to: output)
    Console.notice("open \(output) in a browser")
  }
}
