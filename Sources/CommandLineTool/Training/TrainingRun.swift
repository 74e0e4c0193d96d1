// One run of `twolayernet train`: epochs, and what happens between them.

import CSystem
import TwoLayerNet

/// A trainer with its data, and what was asked for besides training.
final class TrainingRun {
  let trainer: Trainer
  let training: Dataset
  let validation: Dataset?
  let test: Dataset?

  /// Runs until the trainer has come so far.
  var epochs = 25
  /// Where the state of the training is kept, and after how many epochs each time; 0 for never.
  var statePath = ""
  var saveEvery = 0
  /// After these epochs the learning rate is multiplied by the factor.
  var rateSteps: [Int] = []
  var rateFactor = 0.1
  var earlyStopping: EarlyStopping?
  var log: TrainingLog?
  var isQuiet = false

  private(set) var seconds = 0.0
  let firstEpoch: Int

  init(_ trainer: Trainer, training: Dataset, validation: Dataset?, test: Dataset?) {
    self.trainer = trainer
    self.training = training
    self.validation = validation
    self.test = test
    firstEpoch = trainer.epochs
  }

  /// How many images a second were trained on, on average.
  var imagesPerSecond: Double {
    Double((trainer.epochs - firstEpoch) * training.rows) / max(seconds, 1e-9)
  }

  /// Trains, and prints the article's lines. Throws `Interrupted` after a signal.
  func run() throws {
    let progressLine = ProgressLine(
      finished: trainer.epochs, epochs: epochs, rows: training.rows, isQuiet: isQuiet)
    defer { progressLine.clear() }
    let start = ContinuousClock.now
    var running = RunningLoss()
    while trainer.epochs < epochs {
      let began = ContinuousClock.now
      var meanLoss = 0.0
      var outputFailure: Failure?
      do throws(Failure) {
        try trainer.fit(training, epochs: 1) { progress in
          meanLoss = progress.meanLoss
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
      let now = ContinuousClock.now
      seconds = (now - start).seconds
      if try finishEpoch(meanLoss: meanLoss, seconds: (now - began).seconds) { break }
    }
    try earlyStopping?.restoreBest(trainer.network)
  }

  /// What follows an epoch. Returns whether to stop.
  private func finishEpoch(meanLoss: Double, seconds: Double) throws(Failure) -> Bool {
    let epoch = trainer.epochs
    let rate = trainer.options.sgd.learningRate
    if rateSteps.contains(epoch) { try trainer.setLearningRate(rate * rateFactor) }
    let validated = try validation.map { data throws(Failure) in try trainer.network.evaluate(data) }
    if let log {
      var members: [(String, JSON)] = [
        ("epoch", .int(epoch)), ("loss", .number(meanLoss)), ("learning_rate", .number(rate)),
        ("seconds", .number(seconds)),
        ("images_per_second", .number(Double(training.rows) / max(seconds, 1e-9))),
      ]
      if let validated {
        members += [
          ("validation_loss", .number(validated.meanLoss)),
          ("validation_accuracy", .number(validated.accuracy)),
        ]
      }
      if let test {
        let tested = try trainer.network.evaluate(test)
        members += [
          ("test_loss", .number(tested.meanLoss)), ("test_accuracy", .number(tested.accuracy)),
        ]
      }
      try log.add("epoch", members)
    }
    if saveEvery > 0 && epoch % saveEvery == 0 { try trainer.save(statePath) }
    guard let validated, earlyStopping != nil else { return false }
    return try earlyStopping!.shouldStop(after: epoch, loss: validated.meanLoss, trainer.network)
  }
}
