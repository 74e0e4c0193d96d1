// twolayernet test

import ArgumentParser
import TwoLayerNet

struct Test: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Test a network on a dataset's test images.",
    discussion: """
      EXAMPLES
        twolayernet test
        twolayernet test --model five.pth --data ~/mnist
      """)

  @Option(
    help: ArgumentHelp("The network: .pth of any PyTorch, or .safetensors.", valueName: "file"),
    completion: .file())
  var model = "mnist.pth"

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Device") var device: DeviceOptions

  func run() throws {
    let device = try Device.resolve(device.device.device)
    let network = try Network.load(model, device: device, threads: self.device.threads)
    let dataset = try data.open(train: false, inputs: network.shape.input)
    let result = try network.evaluate(dataset)
    try Output.line(device.name)
    let percent = fixed(100 * Double(result.correct) / Double(result.rows), 2)
    try Output.line(
      "Accuracy of the network on the \(result.rows) test images: \(percent) %")
  }
}
