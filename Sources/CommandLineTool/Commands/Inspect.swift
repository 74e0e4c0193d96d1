// twolayernet inspect

import ArgumentParser
import TwoLayerNet

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what is in a network's file.",
    discussion: """
      Reads .pth of any PyTorch, .safetensors and .npz. Nothing in the file is ever run.

      EXAMPLES
        twolayernet inspect mnist.pth
        twolayernet inspect mnist.safetensors --json
      """)

  @Argument(help: ArgumentHelp("The file.", valueName: "file"), completion: .file())
  var file: String

  @Flag(help: "One JSON object instead of a table.")
  var json = false

  func run() throws {
    let checkpoint = try Checkpoint.openWithNumPy(file)
    var summaries: [(Tensor, Statistics?)] = []
    for tensor in checkpoint.tensors {
      summaries.append((tensor, try Statistics(tensor, in: checkpoint)))
    }
    if json { return try Output.line(Self.object(checkpoint, summaries).text) }
    let (tensors, elements) = (summaries.count, summaries.reduce(0) { $0 &+ $1.0.count })
    try Output.line(
      "\(visible(file)): \(checkpoint.format.name), \(counted(tensors, "tensor")), "
        + "\(counted(elements, "element"))")
    try Output.write(Self.table(summaries))
    for (name, value) in checkpoint.scalars {
      try Output.line("\(visible(name, keepingLines: false)) = \(visible(value.json.text))")
    }
  }

  private static func table(_ summaries: [(Tensor, Statistics?)]) -> String {
    var rows = [["name", "type", "shape", "minimum", "maximum", "mean", "deviation"]]
    for (tensor, statistics) in summaries {
      let numbers = statistics.map { [$0.minimum, $0.maximum, $0.mean, $0.deviation] } ?? []
      let shape = tensor.sizes.map(String.init).joined(separator: " x ")
      let name = visible(tensor.name, keepingLines: false)
      rows.append([name, tensor.type.name, shape] + numbers.map { fixed($0, 5) })
    }
    let widths = rows[0].indices.map { column in
      rows.compactMap { column < $0.count ? $0[column].count : nil }.max()!
    }
    return rows.map { row in
      let cells = row.enumerated().map { column, text in
        let space = String(repeating: " ", count: widths[column] - text.count)
        // Numbers stand at the right, words at the left.
        return column < 3 ? text + space : space + text
      }
      return cells.joined(separator: "  ") + "\n"
    }.joined()
  }

  private static func object(
    _ checkpoint: Checkpoint, _ summaries: [(Tensor, Statistics?)]
  ) -> JSON {
    let tensors = summaries.map { tensor, statistics in
      var members: [(String, JSON)] = [
        ("name", .string(tensor.name)), ("type", .string(tensor.type.name)),
        ("shape", .array(tensor.sizes.map(JSON.int))),
      ]
      if let statistics {
        members += [
          ("minimum", .number(statistics.minimum)), ("maximum", .number(statistics.maximum)),
          ("mean", .number(statistics.mean)), ("deviation", .number(statistics.deviation)),
        ]
      }
      return JSON.object(members)
    }
    return .object([
      ("file", .string(checkpoint.path)), ("format", .string(checkpoint.format.name)),
      ("tensors", .array(tensors)),
      ("values", .object(checkpoint.scalars.map { ($0.name, $0.value.json) })),
    ])
  }
}

/// What the elements of a tensor are like; NaN where an element is.
private struct Statistics {
  let minimum: Double
  let maximum: Double
  let mean: Double
  /// Standard deviation of these elements themselves, not an estimate from them.
  let deviation: Double

  /// nil for a tensor without elements.
  init?(_ tensor: Tensor, in checkpoint: Checkpoint) throws(Failure) {
    if tensor.count == 0 { return nil }
    var values = [Float](repeating: 0, count: tensor.count)
    try withBuffers([], &values) { (_, values) throws(Failure) in
      try checkpoint.read(tensor, into: values)
    }
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let square = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    self.mean = mean
    deviation = (square / Double(values.count)).squareRoot()
    minimum = mean.isNaN ? .nan : Double(values.min()!)
    maximum = mean.isNaN ? .nan : Double(values.max()!)
  }
}

extension Scalar {
  fileprivate var json: JSON {
    switch self {
    case .none: .null
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .float(let value): .number(value)
    case .text(let value): .string(value)
    }
  }
}
