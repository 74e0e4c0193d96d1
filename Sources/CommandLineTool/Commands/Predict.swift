// twolayernet predict

import ArgumentParser
import CSystem
import TwoLayerNet

struct Predict: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell which digit a picture shows.",
    discussion: """
      Pictures are PNG or PGM, of any size: they are scaled to what the network takes. MNIST's digits are \
      bright on dark; for dark on bright use --invert. For a digit that does not fill its picture use \
      --center. Other files are IDX, raw or .gz. Without a file, or \
      for -, standard input is read: a picture, or numbers, as text or as binary float32.

      EXAMPLES
        twolayernet predict seven.png --invert --center --show
        twolayernet predict --index 0 --index 5 t10k-images-idx3-ubyte.gz
        twolayernet predict --invert - < seven.png
        python3 -c 'print("0 " * 784)' | twolayernet predict --json
      """)

  @Argument(help: "Pictures, or IDX files.", completion: .file())
  var files: [String] = []

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The network.", valueName: "file"), completion: .file())
  var model = "mnist.pth"

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Which image of an IDX file, from 0; may be repeated.", valueName: "n"))
  var index: [Int] = []

  @Flag(help: "Swap dark and bright.")
  var invert = false

  @Flag(
    help: "Cut the digit out of a picture, scale it and put it in the middle, as MNIST's digits were.")
  var center = false

  @Flag(help: "Draw what the network sees.")
  var show = false

  @Flag(help: "One JSON object a line: file, label, probabilities.")
  var json = false

  @OptionGroup(title: "Device") var device: DeviceOptions

  func validate() throws {
    guard index.isEmpty || !files.allSatisfy({ $0 == "-" }) else {
      throw ValidationError("--index is for IDX files, which are named, not for standard input")
    }
  }

  func run() throws {
    let network = try device.load(model)
    let inputs = network.shape.input
    let preparation = Digit.Preparation(invert: invert, center: center)
    var isComplete = true
    for file in files.isEmpty ? ["-"] : files {
      let digits: [Digit]
      do throws(Failure) {
        if file == "-" {
          if isatty(STDIN_FILENO) == 1 { Console.notice("reading \(inputs) numbers from the keyboard") }
          digits = try Digit.read(input: readStandardInput(), inputs: inputs, preparation)
        } else {
          digits = try Digit.read(file, inputs: inputs, indices: index, preparation)
        }
      } catch {
        // The others may be all right.
        Console.error(error.message)
        isComplete = false
        continue
      }
      for digit in digits { try tell(digit, network) }
    }
    if !isComplete { throw ExitCode.failure }
  }

  private func tell(_ digit: Digit, _ network: Network) throws {
    var probabilities = [Float](repeating: 0, count: network.shape.output)
    try withBuffers(digit.features, &probabilities) { (features, values) throws(Failure) in
      try network.probabilities(features, rows: 1, into: values)
    }
    let label = probabilities.indices.max { probabilities[$0] < probabilities[$1] }!
    if json {
      let object = JSON.object([
        ("file", .string(digit.name)), ("label", .int(label)),
        ("probabilities", .array(probabilities.map { .number(Double($0)) })),
      ])
      return try Output.line(object.text)
    }
    if show, let side = Digit.side(inputs: network.shape.input) {
      let image = GrayImage(width: side, height: side, pixels: digit.features)
      let isNarrow = Output.columns.map { $0 < 2 * side } ?? false
      try Output.write(
        image.drawn(colours: Output.hasColours && Letters.hasUnicode, isNarrow: isNarrow))
    }
    try Output.line("\(visible(digit.name, keepingLines: false)): \(label)")
    // Besides the bar, a line has 14 letters.
    let longest = min(30, max(0, ((Output.columns ?? 80) - 14) / Letters.blockWidth))
    for (index, value) in probabilities.enumerated() {
      let percent = fixed(100 * Double(value), 2)
      let padding = String(repeating: " ", count: 7 - percent.count)
      let bar = String(repeating: Letters.block, count: Int((value * Float(longest)).rounded()))
      try Output.line("  \(index) \(padding)\(percent) %\(bar.isEmpty ? "" : " " + bar)")
    }
    if !invert && digit.features.reduce(0, +) > Float(digit.features.count) / 2 {
      Console.notice("the picture is mostly bright, MNIST's are mostly dark: try --invert")
    }
  }
}

/// Lends two arrays to the engine.
func withBuffers(
  _ input: [Float], _ output: inout [Float],
  _ body: (UnsafeBufferPointer<Float>, UnsafeMutableBufferPointer<Float>) throws(Failure) -> Void
) throws(Failure) {
  var failure: Failure?
  input.withUnsafeBufferPointer { input in
    output.withUnsafeMutableBufferPointer { output in
      do throws(Failure) { try body(input, output) } catch { failure = error }
    }
  }
  if let failure { throw failure }
}
