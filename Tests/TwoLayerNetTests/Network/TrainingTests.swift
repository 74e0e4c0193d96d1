// Whole runs against PyTorch's, recorded as hashes: every loss and every bit of the weights.

import CDigits
import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

@Suite(.serialized)
struct TrainingTests {
  static let digits = Recording.training.runs.indices.filter {
    Recording.training.runs[$0].dataset == "digits"
  }
  static let mnist = Recording.training.runs.indices.filter {
    Recording.training.runs[$0].dataset == "mnist"
  }

  @Test(arguments: digits)
  func digitsEqualPyTorch(_ index: Int) throws {
    let run = Recording.training.runs[index]
    let dataset = try trainingDigits()
    for set in InstructionSet.allCases where set.isSupported {
      // The emulated multiply-add of the baseline is slow: two epochs say enough.
      let epochs = set == .baseline ? min(2, run.epochs) : run.epochs
      try compare(run, dataset, .cpu(set, threads: 1), epochs: epochs)
    }
    for threads in [2, 3, 4, 7] {
      try compare(run, dataset, .cpu(.best, threads: threads), epochs: run.epochs)
    }
    try compare(run, dataset, .emulator(.automatic, shuffle: 0), epochs: min(2, run.epochs))
  }

  @Test(arguments: TestEngine.devices)
  func digitsEqualPyTorchOnTheDevice(_ engine: TestEngine) throws {
    try engine.require()
    let dataset = try trainingDigits()
    for index in Self.digits {
      let run = Recording.training.runs[index]
      try compare(run, dataset, engine, epochs: run.epochs)
    }
  }

  @Test(.enabled(if: mnistDirectory != nil, "MNIST is not here"), arguments: mnist)
  func mnistEqualsPyTorch(_ index: Int) throws {
    let run = Recording.training.runs[index]
    let dataset = try Dataset.openMNIST(mnistDirectory!, train: true)
    try compare(run, dataset, .cpu(.best, threads: 2), epochs: run.epochs)
    for device in TestEngine.devices where device.reason.isEmpty {
      try compare(run, dataset, device, epochs: run.epochs)
    }
    if run.epochs == 2 {
      for set in InstructionSet.allCases where set.isSupported {
        try compare(run, dataset, .cpu(set, threads: 1), epochs: 1)
      }
    }
  }

  /// The article's run on an emulated GPU: as a rule one epoch of it, because each takes ten seconds.
  @Test(.enabled(if: mnistDirectory != nil, "MNIST is not here"))
  func theArticlesRunOnTheEmulator() throws {
    let run = Recording.training.runs[Self.mnist[0]]
    let dataset = try Dataset.openMNIST(mnistDirectory!, train: true)
    try compare(
      run, dataset, .emulator(.automatic, shuffle: 0), epochs: min(emulatedEpochs, run.epochs))
  }

  @Test(.enabled(if: mnistDirectory != nil, "MNIST is not here"), arguments: [0, 1, 2, 3, 4])
  func theArticlesNetworkLearns(_ seed: UInt64) throws {
    let network = try Network.make(Shape(input: 784, hidden: 100, output: 10), seed: seed, device: .cpu)
    let trainer = try Trainer.make(network)
    try trainer.fit(try Dataset.openMNIST(mnistDirectory!, train: true), epochs: 25)
    let result = try network.evaluate(try Dataset.openMNIST(mnistDirectory!, train: false))
    #expect(result.rows == 10_000)
    #expect(result.accuracy >= 0.975)
  }

  private func compare(
    _ run: Recording.Run, _ dataset: Dataset, _ engine: TestEngine, epochs: Int
  ) throws {
    let what = "\(run), \(engine)"
    let shape = try Shape(input: dataset.columns, hidden: run.hidden, output: 10)
    let network = try Network.make(on: engine.make(shape), seed: run.seed)
    let trainer = try Trainer.make(network, run.options)
    for epoch in 1...epochs {
      var losses: [Float] = []
      try trainer.fit(dataset, epochs: 1) {
        losses.append($0.loss)
        return true
      }
      #expect(
        String(format: "%.5f", losses[0]) == run.first_losses[epoch - 1], "\(what), epoch \(epoch)")
      #expect(sha256(losses) == run.losses_sha256[epoch - 1], "losses of \(what), epoch \(epoch)")
      if let hash = run.weights_sha256[String(epoch)] {
        let weights = try Parameter.allCases.flatMap { try network.values($0) }
        #expect(sha256(weights) == hash, "weights of \(what), epoch \(epoch)")
      }
    }
    if epochs == run.epochs {
      #expect(try network.evaluate(dataset).correct == run.correct, "\(what)")
    }
  }
}

/// TLN_TEST_EMULATED_EPOCHS, at most 25.
private let emulatedEpochs =
  ProcessInfo.processInfo.environment["TLN_TEST_EMULATED_EPOCHS"].flatMap { Int($0) } ?? 1

/// The training part of the embedded digits.
func trainingDigits() throws -> Dataset {
  func file(_ file: digits_file, _ name: String) -> File {
    File(name: name, contents: UnsafeRawBufferPointer(start: file.bytes, count: file.byte_count))
  }
  return try Dataset.openIDX(
    images: file(digits_train_images(), "images"), labels: file(digits_train_labels(), "labels"))
}

extension Recording.Run {
  var options: TrainerOptions {
    var options = TrainerOptions()
    options.batchSize = batch
    options.dropLast = drop_last ?? false
    options.shuffle = shuffle ?? true
    options.sgd.learningRate = lr ?? 0.1
    options.sgd.momentum = momentum ?? 0.9
    options.sgd.dampening = dampening ?? 0
    options.sgd.weightDecay = weight_decay ?? 0
    options.sgd.nesterov = nesterov ?? false
    options.sgd.maximize = maximize ?? false
    return options
  }
}
