// twolayernet train

import ArgumentParser
import CSystem
import CTwoLayerNet
import TwoLayerNet

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a network and save it.",
    discussion: """
      Standard output carries the lines that the article's PyTorch script prints, and nothing else; the \
      same seed gives the same lines and the same file. Progress and a summary go to standard error.

      EXAMPLES
        twolayernet train
        twolayernet train --data ~/mnist --epochs 5 --seed 42 --output five.pth
        twolayernet train --validation 0.1 --patience 3 --log run.jsonl
        twolayernet train --save-every 5
        twolayernet train --resume mnist.checkpoint.pth
      """)

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Device") var device: DeviceOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How often to go through the training set, in all.", valueName: "n"))
  var epochs = 25

  @Option(parsing: .unconditional, help: ArgumentHelp("Images in a step.", valueName: "n"))
  var batchSize = 100

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Units in the hidden layer. (default: 100)", valueName: "n"))
  var hidden: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Learning rate. (default: 0.1)", valueName: "rate"))
  var lr: Double?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Momentum. (default: 0.9)", valueName: "factor"))
  var momentum: Double?

  @Option(
    help: ArgumentHelp(
      "Epochs after which the learning rate is multiplied by --lr-factor: 10,20.", valueName: "list"))
  var lrSteps = EpochList(epochs: [])

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("What --lr-steps multiplies the learning rate by.", valueName: "factor"))
  var lrFactor = 0.1

  @Option(
    parsing: .unconditional, help: ArgumentHelp("As torch.manual_seed takes it.", valueName: "n"))
  var seed = Seed(value: 0)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Keep this part of the training set, its last images, for validation: 0.1.",
      valueName: "part"))
  var validation = 0.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Stop after so many epochs in which the validation loss did not fall, and save the best network.",
      valueName: "n"))
  var patience: Int?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where to save the network: .pth, .pt or .safetensors.", valueName: "file"),
    completion: .file())
  var output = "mnist.pth"

  @Option(
    help: ArgumentHelp(
      "Go on from the state of a training, as --save-every keeps it.", valueName: "file"),
    completion: .file())
  var resume: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Keep the state of the training beside the output (mnist.checkpoint.pth) every so many epochs.",
      valueName: "n"))
  var saveEvery = 0

  @Option(
    help: ArgumentHelp("Write what happens, one JSON object a line.", valueName: "file.jsonl"),
    completion: .file())
  var log: String?

  @Flag(name: .shortAndLong, help: "No progress and no summary.")
  var quiet = false

  func validate() throws {
    func require(_ condition: Bool, _ message: String) throws {
      guard condition else { throw ValidationError(message) }
    }
    func requireFactor(_ value: Double?, _ name: String) throws {
      let value = value ?? 0
      try require(
        value >= 0 && Float(value).isFinite, "\(name) must be a finite number, not negative")
    }
    try require(epochs >= 0, "--epochs must not be negative")
    try require(
      (1...Int(UInt32.max)).contains(batchSize), "--batch-size must be 1 to \(UInt32.max)")
    try require((1...Shape.limit).contains(hidden ?? 1), "--hidden must be 1 to \(Shape.limit)")
    try requireFactor(lr, "--lr")
    try requireFactor(momentum, "--momentum")
    try requireFactor(lrFactor, "--lr-factor")
    try require(
      validation >= 0 && validation < 1, "--validation must be a part of 1, such as 0.1")
    try require(patience ?? 1 > 0, "--patience must be at least 1")
    try require(patience == nil || validation > 0, "--patience needs --validation")
    try require(saveEvery >= 0, "--save-every must not be negative")
    try require(
      [".pth", ".pt", ".safetensors"].contains { output.hasSuffix($0) },
      "--output must end in .pth, .pt or .safetensors")
  }

  func run() throws {
    // Not after a download.
    _ = try Device.resolve(device.device.device)
    let source = try data.find(train: true)
    let (training, validation) = try split(try source.open(train: true))
    let trainer = try makeTrainer(inputs: training.columns)
    let network = trainer.network

    let run = TrainingRun(
      trainer, training: training, validation: validation,
      test: quiet && log == nil ? nil : try? source.open(train: false))
    run.epochs = epochs
    run.statePath = statePath
    run.saveEvery = saveEvery
    run.rateSteps = lrSteps.epochs
    run.rateFactor = lrFactor
    run.earlyStopping = patience.map(EarlyStopping.init)
    run.isQuiet = quiet
    // Hours of training must not end with a file that cannot be written.
    try network.probeSave(output)
    if saveEvery > 0 { try network.probeSave(statePath) }
    run.log = try log.map { path throws(Failure) in
      try TrainingLog(path, continuing: resume != nil)
    }
    try logStart(run, source)

    Interruption.watch()
    do {
      try run.run()
    } catch let interruption as Interrupted {
      try leave(run, interruption)
    }
    try network.save(output)
    try Output.line("Finished")
    try finish(run)
  }

  /// The last images are the validation set, if there is to be one.
  private func split(_ dataset: Dataset) throws(Failure) -> (Dataset, Dataset?) {
    if validation == 0 { return (dataset, nil) }
    let kept = Int((Double(dataset.rows) * validation).rounded())
    guard kept > 0, kept < dataset.rows else {
      throw Failure(
        .invalidArgument,
        "--validation takes \(kept) of the \(dataset.rows) images, which leaves nothing")
    }
    let first = dataset.rows - kept
    return (
      try dataset.part(firstRow: 0, rows: first), try dataset.part(firstRow: first, rows: kept)
    )
  }

  private func makeTrainer(inputs: Int) throws(Failure) -> Trainer {
    var options = TrainerOptions()
    options.batchSize = batchSize
    options.seed = seed.value
    options.sgd.learningRate = lr ?? options.sgd.learningRate
    options.sgd.momentum = momentum ?? options.sgd.momentum
    guard let resume else {
      let shape = try Shape(input: inputs, hidden: hidden ?? 100, output: 10)
      let network = try Network.make(
        shape, seed: seed.value, device: device.device.device, deviceIndex: device.device.index,
        threads: device.threads)
      return try Trainer.make(network, options)
    }
    let network = try device.load(resume)
    guard hidden == nil || hidden == network.shape.hidden else {
      throw Failure(
        .invalidArgument,
        "--hidden is \(hidden!), but \(resume) has \(network.shape.hidden) units in the hidden layer")
    }
    let trainer = try Trainer.make(network, options)
    do throws(Failure) {
      try trainer.load(resume)
    } catch {
      guard error.status == .badFile else { throw error }
      throw Failure(
        .badFile, "\(error.message); 'twolayernet train --save-every 1' keeps states to go on from")
    }
    // What is said now counts more than what the file says.
    var sgd = trainer.options.sgd
    sgd.learningRate = lr ?? sgd.learningRate
    sgd.momentum = momentum ?? sgd.momentum
    try trainer.setSGD(sgd)
    return trainer
  }

  /// Beside the output: mnist.checkpoint.pth.
  private var statePath: String {
    let ending = [".pth", ".pt", ".safetensors"].first { output.hasSuffix($0) } ?? ""
    return output.dropLast(ending.count) + ".checkpoint.pth"
  }

  /// Offers a person to keep what was reached, and ends the program.
  private func leave(_ run: TrainingRun, _ interruption: Interrupted) throws -> Never {
    let trainer = run.trainer
    let reached =
      "interrupted after \(counted(trainer.epochs, "epoch")) and \(counted(trainer.steps, "step"))"
    if interruption.signal == SIGINT && Console.isTerminal && isatty(STDIN_FILENO) == 1 {
      Interruption.endOnNextLine()
      Console.write("\(reached). Keep this state in \(visible(statePath)), to go on later? [y/N] ")
      let answer = readLine()
      // Ctrl-D ends no line.
      if answer == nil { Console.write("\n") }
      if answer?.first?.lowercased() == "y" {
        try trainer.save(statePath)
        Console.notice("to go on: \(ResumingCommand.text(state: statePath))")
      }
    } else {
      let isNew = saveEvery > 0 && trainer.epochs / saveEvery > run.firstEpoch / saveEvery
      let kept = isNew || resume == statePath
      Console.notice("\(reached); \(kept ? "the last kept state is \(statePath)" : "nothing was saved")")
    }
    throw interruption
  }

  private func logStart(_ run: TrainingRun, _ source: DataSource) throws(Failure) {
    guard let log = run.log else { return }
    let (trainer, shape) = (run.trainer, run.trainer.network.shape)
    let info = trainer.network.device.describe()
    try log.add(
      "start",
      [
        ("version", .string(TLN_VERSION_STRING)), ("data", .string(source.description)),
        ("training_images", .int(run.training.rows)),
        ("validation_images", .int(run.validation?.rows ?? 0)),
        ("test_images", .int(run.test?.rows ?? 0)), ("input_size", .int(shape.input)),
        ("hidden_size", .int(shape.hidden)), ("output_size", .int(shape.output)),
        ("epochs", .int(epochs)), ("finished_epochs", .int(trainer.epochs)),
        ("batch_size", .int(batchSize)), ("learning_rate", .number(trainer.options.sgd.learningRate)),
        ("momentum", .number(trainer.options.sgd.momentum)),
        ("seed", .int(Int(bitPattern: UInt(seed.value)))),
        ("device", .string(info.device.name)), ("device_name", .string(info.name)),
        ("threads", .int(device.threads == 0 ? info.threads : device.threads)),
      ])
  }

  /// The closing words, to the log and to the person.
  private func finish(_ run: TrainingRun) throws(Failure) {
    let network = run.trainer.network
    let tested = try run.test.map { test throws(Failure) in try network.evaluate(test) }
    if let log = run.log {
      var members: [(String, JSON)] = [
        ("epochs", .int(run.trainer.epochs)), ("seconds", .number(run.seconds)),
        ("images_per_second", .number(run.imagesPerSecond)), ("output", .string(output)),
      ]
      if let tested { members.append(("test_accuracy", .number(tested.accuracy))) }
      if let best = run.earlyStopping?.bestEpoch { members.append(("best_epoch", .int(best))) }
      try log.add("end", members)
    }
    if quiet { return }
    Console.notice(summary(run, tested))
  }

  /// What was done, on what, and what came out: two lines.
  private func summary(_ run: TrainingRun, _ tested: Evaluation?) -> String {
    let (all, new) = (run.trainer.epochs, run.trainer.epochs - run.firstEpoch)
    let info = run.trainer.network.device.describe()
    var text: String
    if let resume, new == 0 {
      text = "nothing to train: \(resume) has \(counted(all, "epoch")), and --epochs is \(epochs)"
    } else {
      let epochs =
        resume == nil ? counted(all, "epoch") : "\(counted(new, "more epoch")), \(all) in all,"
      text = "trained \(epochs) in \(duration(run.seconds))"
      if new > 0 { text += " (\(grouped(Int(run.imagesPerSecond))) images/s)" }
      text += " on \(info.device.name): \(Devices.description(info, threads: device.threads))"
    }
    text += "\n"
    if let tested {
      text += "accuracy \(fixed(100 * tested.accuracy, 2)) % on \(grouped(tested.rows)) test images; "
    }
    if let best = run.earlyStopping?.bestEpoch, best > 0 { text += "epoch \(best) was best; " }
    return text + "saved \(output)"
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

/// Numbers of epochs, separated by commas.
struct EpochList: ExpressibleByArgument {
  var epochs: [Int]

  init(epochs: [Int]) { self.epochs = epochs }

  init?(argument: String) {
    epochs = []
    for word in argument.split(separator: ",", omittingEmptySubsequences: false) {
      guard let epoch = Int(word), epoch > 0 else { return nil }
      epochs.append(epoch)
    }
  }

  var defaultValueDescription: String { epochs.map(String.init).joined(separator: ",") }
}
