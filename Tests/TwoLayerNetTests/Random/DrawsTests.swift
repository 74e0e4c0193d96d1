// What is drawn, against hashes recorded from PyTorch: initial weights and the orders of epochs.

import TestSupport
import Testing

@testable import TwoLayerNet

struct DrawsTests {
  @Test(arguments: Recording.training.draws.initial.indices)
  func initialWeightsEqualPyTorchs(_ index: Int) throws {
    let record = Recording.training.draws.initial[index]
    let shape = try Shape(input: record.size[0], hidden: record.size[1], output: record.size[2])
    let network = try Network.make(shape, seed: UInt64(record.seed)!, device: .cpu)
    let weights = try Parameter.allCases.flatMap { try network.values($0) }
    #expect(sha256(weights) == record.sha256, "seed \(record.seed), size \(record.size)")
  }

  @Test(arguments: Recording.training.draws.order.indices)
  func ordersEqualPyTorchs(_ index: Int) throws {
    let record = Recording.training.draws.order[index]
    // The stream goes on where the article's network was initialised.
    let shape = try Shape(input: 784, hidden: 100, output: 10)
    let network = try Network.make(shape, seed: record.seed, device: .cpu)
    for (epoch, hash) in record.sha256.enumerated() {
      var order = [UInt32](repeating: 0, count: record.count)
      let drawn = network.generator.drawEpochSeed(shuffle: true)
      let seed = try #require(drawn)
      var sampler = try MersenneTwister(seed: seed)
      order.withUnsafeMutableBufferPointer { sampler.fillPermutation($0) }
      #expect(sha256(order) == hash, "\(record.count) rows, seed \(record.seed), epoch \(epoch + 1)")
    }
  }

  @Test func anOrderIsAPermutation() throws {
    for count in [0, 1, 2, 3, 1000] {
      var generator = try MersenneTwister(seed: 5)
      var order = [UInt32](repeating: 0, count: count)
      order.withUnsafeMutableBufferPointer { generator.fillPermutation($0) }
      #expect(order.sorted() == (0..<UInt32(count)).map { $0 })
    }
  }

  @Test func rowsInTheirOrderStillDrawTheBaseSeed() throws {
    var one = try MersenneTwister(seed: 5)
    var other = try MersenneTwister(seed: 5)
    let seed = one.drawEpochSeed(shuffle: false)
    #expect(seed == nil)
    _ = other.next64()
    let (a, b) = (one.next32(), other.next32())
    #expect(a == b)
  }
}
