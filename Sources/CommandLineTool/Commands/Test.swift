// twolayernet test

import ArgumentParser
import TwoLayerNet

struct Test: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Test a network on a dataset's test images.",
    discussion: """
      EXAMPLES
        twolayernet test
        twolayernet test --model five.pth --data ~/mnist --confusion
      """)

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The network: .pth of any PyTorch, .safetensors or .npz.", valueName: "file"),
    completion: .file())
  var model = "mnist.pth"

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Device") var device: DeviceOptions

  @Flag(help: "Add the confusion matrix, and precision and recall of each class.")
  var confusion = false

  @Flag(help: "One JSON object instead of lines.")
  var json = false

  func run() throws {
    let network = try device.load(model)
    let dataset = try data.find(train: false, inputs: network.shape.input).open(train: false)
    let result = try network.evaluate(dataset)
    let counts = confusion ? try Classification(network, dataset).confusion : nil
    if json {
      return try Output.line(Self.object(model, network.device, result, counts).text)
    }
    try Output.line(network.device.name)
    let percent = fixed(100 * Double(result.correct) / Double(result.rows), 2)
    try Output.line(
      "Accuracy of the network on the \(result.rows) test images: \(percent) %")
    if let counts { try Output.write(Self.table(counts)) }
  }

  /// Rows are the labels, columns what the network said.
  private static func table(_ counts: [[Int]]) -> String {
    func cell(_ text: String, _ width: Int = 6) -> String {
      String(repeating: " ", count: max(1, width - text.count)) + text
    }
    func percent(_ part: Double?) -> String { part.map { fixed(100 * $0, 2) + " %" } ?? "-" }
    var text = "\nlabel" + counts.indices.map { cell(String($0)) }.joined()
    text += cell("precision", 11) + cell("recall", 10) + "\n"
    for (label, row) in counts.enumerated() {
      let score = ClassScore(counts, label)
      text += cell(String(label), 5) + row.map { cell(String($0)) }.joined()
      text += cell(percent(score.precision), 11) + cell(percent(score.recall), 10) + "\n"
    }
    return text
  }

  private static func object(
    _ model: String, _ device: Device, _ result: Evaluation, _ counts: [[Int]]?
  ) -> JSON {
    var members: [(String, JSON)] = [
      ("model", .string(model)), ("device", .string(device.name)), ("images", .int(result.rows)),
      ("correct", .int(result.correct)), ("accuracy", .number(result.accuracy)),
      ("mean_loss", .number(result.meanLoss)),
    ]
    if let counts {
      let scores = counts.indices.map { ClassScore(counts, $0) }
      func list(_ values: [Double?]) -> JSON { .array(values.map { $0.map(JSON.number) ?? .null }) }
      members += [
        ("confusion", .array(counts.map { .array($0.map(JSON.int)) })),
        ("precision", list(scores.map(\.precision))), ("recall", list(scores.map(\.recall))),
      ]
    }
    return .object(members)
  }
}
