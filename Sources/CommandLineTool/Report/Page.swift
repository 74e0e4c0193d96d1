// The report: one HTML page with everything inside, so that it can be read without a network.

import CTwoLayerNet
import TwoLayerNet

struct ReportPage {
  let model: String
  let network: Network
  let dataset: Dataset
  let evaluation: Evaluation
  let answers: Classification
  let log: LogFile?

  /// The most images of each kind.
  private static let imageLimit = 100

  init(
    model: String, _ network: Network, _ dataset: Dataset, log: LogFile?
  ) throws(Failure) {
    (self.model, self.network, self.dataset, self.log) = (model, network, dataset, log)
    evaluation = try network.evaluate(dataset)
    answers = try Classification(network, dataset)
  }

  func html() throws(Failure) -> String {
    let shape = network.shape
    let accuracy = fixed(100 * evaluation.accuracy, 2)
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(escaped(lastComponent(model))): \(accuracy) %</title>
      <style>\(Self.style)</style></head><body>
      <h1>\(escaped(lastComponent(model)))</h1>
      <p class="lead"><strong id="accuracy">\(accuracy) %</strong> of \(grouped(evaluation.rows)) test images \
      are told right; mean cross-entropy \(fixed(evaluation.meanLoss, 4)). The network has \(shape.input) \
      inputs, \(shape.hidden) hidden units and \(shape.output) outputs: \
      \(grouped(Parameter.allCases.reduce(0) { $0 + $1.count(in: shape) })) parameters.</p>
      \(curves)\(confusion)\(try mistakes())\(try weights())
      <footer>twolayernet \(TLN_VERSION_STRING)</footer>
      </body></html>\n
      """
  }

  private static let style = """
    :root { color-scheme: light dark; --line: #8884; --c0: #3b76d6; --c1: #d9822b; --c2: #2f9e62 }
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
    h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem } .lead { font-size: 1.1rem }
    figure { display: inline-block; width: 30rem; max-width: 100%; margin: 0 }
    svg { width: 100% } svg text { font-size: 11px; fill: currentColor }
    .grid { stroke: var(--line) } .curve { fill: none; stroke-width: 2 }
    .c0 { stroke: var(--c0) } .c1 { stroke: var(--c1) } .c2 { stroke: var(--c2) }
    .key { white-space: nowrap } .key::before { content: "■ " } .key.c0 { color: var(--c0) } .key.c1 { color: var(--c1) }
    .key.c2 { color: var(--c2) }
    table { border-collapse: collapse; font-variant-numeric: tabular-nums }
    td, th { padding: .25rem .6rem; text-align: right; border: 1px solid var(--line) }
    .gallery { display: flex; flex-wrap: wrap; gap: .6rem }
    .wide { overflow-x: auto }
    .gallery div { text-align: center; font-size: .8rem; width: 4.8rem } img { image-rendering: pixelated }
    footer { margin: 3rem 0 1rem; opacity: .6 }
    """

  private var curves: String {
    guard let log else { return "" }
    func curve(_ name: String, _ colour: Int, _ value: (LogLine) -> Double?) -> Chart.Curve? {
      let points = log.epochs.compactMap { line in value(line).map { (epoch: line.epoch!, value: $0) } }
        .filter { abs($0.value) < Chart.Curve.valueLimit }
      return points.isEmpty ? nil : Chart.Curve(name: name, colour: colour, points: points)
    }
    let loss = [
      curve("training", 0, \.loss), curve("validation", 1, \.validationLoss),
      curve("test", 2, \.testLoss),
    ]
    let accuracy = [
      curve("validation", 1, { $0.validationAccuracy.map { 100 * $0 } }),
      curve("test", 2, { $0.testAccuracy.map { 100 * $0 } }),
    ]
    let charts = [
      Chart(title: "Mean loss by epoch", curves: loss.compactMap { $0 }),
      Chart(title: "Accuracy by epoch, in %", curves: accuracy.compactMap { $0 }),
    ]
    return "<h2>Training</h2>\n<p>\(Self.story(log))</p>\n"
      + charts.filter { !$0.curves.isEmpty }.map(\.html).joined()
  }

  /// How the network came about, as far as its log knows.
  private static func story(_ log: LogFile) -> String {
    let epochs = log.epochs.last!.epoch!
    var text = "Trained for \(counted(epochs, "epoch"))"
    if let start = log.start {
      if let images = start.trainingImages { text += " on \(counted(images, "image"))" }
      var facts: [String] = []
      if let size = start.batchSize { facts.append("batches of \(grouped(size))") }
      if let rate = start.learningRate { facts.append("learning rate \(rate)") }
      if let momentum = start.momentum { facts.append("momentum \(momentum)") }
      if let device = start.device {
        facts.append(start.deviceName.map { "\(device) (\($0))" } ?? device)
      }
      if let threads = start.threads { facts.append(counted(threads, "thread")) }
      if let seconds = log.end?.seconds { facts.append(duration(seconds)) }
      if !facts.isEmpty { text += ": " + facts.joined(separator: "; ") }
    }
    return escaped(text) + "."
  }

  private var confusion: String {
    let counts = answers.confusion
    func percent(_ part: Double?) -> String { part.map { fixed(100 * $0, 2) + " %" } ?? "–" }
    var text = """
      <h2>Confusion</h2>
      <p>Rows are what the images show, columns what the network said.</p>
      <div class="wide"><table id="confusion"><tr><th></th>
      """
    text += counts.indices.map { "<th>\($0)</th>" }.joined()
    text += "<th>precision</th><th>recall</th></tr>\n"
    for (label, row) in counts.enumerated() {
      let total = max(1, row.reduce(0, +))
      let score = ClassScore(counts, label)
      text += "<tr><th>\(label)</th>"
      for (answer, count) in row.enumerated() {
        // Green where it is right; errors are rare, so their red is stronger.
        let part = Double(count) / Double(total)
        let colour =
          answer == label
          ? "rgb(47 158 98 / \(fixed(0.6 * part, 3)))"
          : "rgb(214 69 65 / \(fixed(min(1, 15 * part), 3)))"
        text += count == 0 ? "<td></td>" : "<td style=\"background:\(colour)\">\(count)</td>"
      }
      text += "<td>\(percent(score.precision))</td><td>\(percent(score.recall))</td></tr>\n"
    }
    return text + "</table></div>\n"
  }

  private func mistakes() throws(Failure) -> String {
    guard let side = Digit.side(inputs: network.shape.input) else { return "" }
    let worst = answers.mistakes.prefix(Self.imageLimit)
    var text = """
      <h2>The most wrong images</h2>
      <p>\(grouped(answers.mistakes.count)) are told wrong. First those that the network was surest of: \
      what it said, how sure it was, and what is right.</p>
      <div class="gallery" id="mistakes">\n
      """
    for row in worst {
      var features = [Float](repeating: 0, count: network.shape.input)
      try dataset.read(firstRow: row, rows: 1, features: &features, labels: nil)
      let picture = PNGWriter(
        width: side, height: side, samples: 1,
        pixels: features.map { UInt8(min(max($0, 0), 1) * 255) })
      let sure = fixed(100 * Double(answers.confidence[row]), 1)
      text += """
        <div><img src="\(picture.dataURL)" width="64" height="64" \
        alt="test image \(row)" title="test image \(row)"><br>\
        \(answers.predicted[row]) (\(sure) %)<br>is \(answers.labels[row])</div>\n
        """
    }
    return text + "</div>\n"
  }

  private func weights() throws(Failure) -> String {
    guard let side = Digit.side(inputs: network.shape.input) else { return "" }
    let values = try network.values(of: .hiddenWeight)
    let shown = min(network.shape.hidden, Self.imageLimit)
    var text = """
      <h2>What the hidden units look for</h2>
      <p>Weights of the first layer, \(shown) of \(network.shape.hidden) units: a bright pixel excites the \
      unit where it is red, and inhibits it where it is blue.</p>
      <div class="gallery" id="weights">\n
      """
    for unit in 0..<shown {
      let own = values[unit * side * side..<(unit + 1) * side * side]
      let largest = max(own.reduce(0) { max($0, abs($1)) }, .leastNormalMagnitude)
      let picture = PNGWriter(
        width: side, height: side, samples: 3,
        pixels: own.flatMap { Self.colour($0 / largest) })
      text += """
        <img src="\(picture.dataURL)" width="56" height="56" alt="unit \(unit)" title="unit \(unit)">\n
        """
    }
    return text + "</div>\n"
  }

  /// -1 blue, 0 white, 1 red.
  private static func colour(_ value: Float) -> [UInt8] {
    let rest = UInt8((1 - min(abs(value), 1)) * 255)
    return value < 0 ? [rest, rest, 255] : [255, rest, rest]
  }
}
