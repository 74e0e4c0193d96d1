// twolayernet train

import ArgumentParser
import CSystem
import TwoLayerNet

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a network and save it.",
    discussion: """
      Standard output carries the lines that the article's PyTorch script prints, and nothing else; the \
      same seed gives the same lines and the same file.

      EXAMPLES
        twolayernet train
        twolayernet train --data ~/mnist --epochs 5 --seed 42 --output five.pth
        twolayernet train --dataset digits --hidden 32
      """)

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Device") var device: DeviceOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How often to go through the training set.", valueName: "n"))
  var epochs = 25

  @Option(parsing: .unconditional, help: ArgumentHelp("Images in a step.", valueName: "n"))
  var batchSize = 100

  @Option(parsing: .unconditional, help: ArgumentHelp("Units in the hidden layer.", valueName: "n"))
  var hidden = 100

  @Option(parsing: .unconditional, help: ArgumentHelp("Learning rate.", valueName: "rate"))
  var lr = 0.1

  @Option(parsing: .unconditional, help: ArgumentHelp("Momentum.", valueName: "factor"))
  var momentum = 0.9

  @Option(
    parsing: .unconditional, help: ArgumentHelp("As torch.manual_seed takes it.", valueName: "n"))
  var seed = Seed(value: 0)

  @Option(
    help: ArgumentHelp("Where to save the network: .pth, .pt or .safetensors.", valueName: "file"),
    completion: .file())
  var output = "mnist.pth"

  @Flag(help: "No progress and no summary.")
  var quiet = false

  func validate() throws {
    func require(_ condition: Bool, _ message: String) throws {
      guard condition else { throw ValidationError(message) }
    }
    try require(epochs >= 0, "--epochs must not be negative")
    try require(
      (1...Int(UInt32.max)).contains(batchSize), "--batch-size must be 1 to \(UInt32.max)")
    try require((1...Shape.limit).contains(hidden), "--hidden must be 1 to \(Shape.limit)")
    try require(lr >= 0 && Float(lr).isFinite, "--lr must be a finite number, not negative")
    try require(
      momentum >= 0 && Float(momentum).isFinite, "--momentum must be a finite number, not negative")
  }

  func run() throws {
    let device = try Device.resolve(device.device.device)
    let dataset = try data.open(train: true)
    let shape = try Shape(input: dataset.columns, hidden: hidden, output: 10)
    let network = try Network.make(
      shape, seed: seed.value, device: device, threads: self.device.threads)
    var options = TrainerOptions()
    options.sgd.learningRate = lr
    options.sgd.momentum = momentum
    options.batchSize = batchSize
    let trainer = try Trainer.make(network, options)
    // Hours of training must not end with a file that cannot be written.
    try network.probeSave(output)

    Interruption.watch()
    let start = ContinuousClock.now
    try fit(trainer, dataset)
    try network.save(output)
    try Output.line("Finished")
    if !quiet {
      try summarize(network, trainer, dataset, seconds: (ContinuousClock.now - start).seconds)
    }
  }

  private func fit(_ trainer: Trainer, _ dataset: Dataset) throws {
    let progressLine = ProgressLine(
      finished: trainer.epochs, epochs: epochs, rows: dataset.rows, isQuiet: quiet)
    defer { progressLine.clear() }
    var running = RunningLoss()
    var outputFailure: Failure?
    do throws(Failure) {
      try trainer.fit(dataset, epochs: epochs) { progress in
        if let line = running.line(after: progress) {
          progressLine.clear()
          do throws(Failure) { try Output.line(line) } catch { outputFailure = error }
        }
        progressLine.update(progress)
        return outputFailure == nil && Interruption.signalNumber == nil
      }
    } catch {
      if let outputFailure { throw outputFailure }
      if let signal = Interruption.signalNumber { throw Interrupted(signal: signal) }
      throw error
    }
  }

  private func summarize(
    _ network: Network, _ trainer: Trainer, _ dataset: Dataset, seconds: Double
  ) throws {
    let info = network.device.describe()
    let rate = Double(trainer.epochs * dataset.rows) / max(seconds, 1e-9)
    Console.notice(
      """
      trained \(trainer.epochs) epochs in \(duration(seconds)) (\(grouped(Int(rate))) images/s) on \
      \(network.device.name) (\(Devices.description(info))); saved \(output)
      """)
  }
}

/// 64 bits; negative numbers are their two's complement, as in PyTorch.
struct Seed: ExpressibleByArgument {
  var value: UInt64

  init(value: UInt64) { self.value = value }

  init?(argument: String) {
    guard let value = UInt64(argument) ?? Int64(argument).map({ UInt64(bitPattern: $0) }) else {
      return nil
    }
    self.value = value
  }

  var defaultValueDescription: String { String(value) }
}
