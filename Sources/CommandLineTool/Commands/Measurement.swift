// The rate at which a device trains: the figure by which machines are compared.

import CSystem
import TwoLayerNet

struct Measurement {
  /// Of the article's network: float32 operations in training, a billion a second.
  let gigaflops: Double
  let imagesPerSecond: Double

  /// Trains the article's network on random images for about a second, and takes the best epoch: the
  /// others were disturbed.
  init(_ device: Device, threads: Int) throws(Failure) {
    let shape = try Shape(input: 784, hidden: 100, output: 10)
    let rows = 6000
    var state: UInt64 = 1
    let noise = (0..<rows * shape.input).map { _ -> UInt8 in
      // Knuth's linear congruential generator for 64 bits; any noise would do.
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    let labels = (0..<rows).map { UInt8($0 % shape.output) }
    let dataset = try Self.dataset(noise, labels, shape.input)
    var options = TrainerOptions()
    // Small, so that the loss on noise stays finite however long this takes.
    options.sgd.learningRate = 0.001
    let trainer = try Trainer.make(
      Network.make(shape, device: device, threads: threads), options)
    let start = ContinuousClock.now
    var best = Duration.seconds(1_000_000)
    while ContinuousClock.now - start < .seconds(1) {
      let began = ContinuousClock.now
      try trainer.fit(dataset, epochs: 1)
      best = min(best, ContinuousClock.now - began)
    }
    imagesPerSecond = Double(rows) / best.seconds
    gigaflops = imagesPerSecond * Double(Self.operations(shape)) * 1e-9
  }

  private static func dataset(
    _ features: [UInt8], _ labels: [UInt8], _ columns: Int
  ) throws(Failure) -> Dataset {
    var result: Dataset?
    var failure: Failure?
    features.withUnsafeBytes { features in
      labels.withUnsafeBufferPointer { labels in
        do throws(Failure) {
          result = try Dataset.make(
            features: features.baseAddress!, type: .u8, rows: labels.count, columns: columns,
            labels: .u8(labels.baseAddress!), copy: true)
        } catch { failure = error }
      }
    }
    if let failure { throw failure }
    return result!
  }

  /// Multiplications and additions of one image's training step in the five matrix products: forward and
  /// weight gradient of both layers, and the way back through the second.
  private static func operations(_ shape: Shape) -> Int {
    2 * (2 * shape.input * shape.hidden + 3 * shape.hidden * shape.output)
  }
}
