// The generator itself: its published outputs, and its state in PyTorch's layout.

import TestSupport
import Testing

@testable import TwoLayerNet

struct MersenneTwisterTests {
  /// The authors' reference program prints 4123659995 as the 10,000th output for seed 5489.
  @Test func equalsThePublishedSequence() throws {
    var generator = try MersenneTwister(seed: 5489)
    let first = generator.next32()
    #expect(first == 3_499_211_612)
    var last: UInt32 = 0
    for _ in 1..<10_000 { last = generator.next32() }
    #expect(last == 4_123_659_995)
  }

  @Test func onlyTheLow32BitsOfTheSeedMatter() throws {
    var low = try MersenneTwister(seed: 1)
    var high = try MersenneTwister(seed: 1 + 1 << 32)
    let (a, b, seed) = (low.next64(), high.next64(), high.seed)
    #expect(a == b)
    #expect(seed == 1 + 1 << 32)
  }

  @Test func stateEqualsPyTorchs() throws {
    var generator = try MersenneTwister(seed: 3)
    for record in Recording.training.draws.state {
      for _ in 0..<record.draws { _ = generator.next32() }
      let bytes = serialized(generator)
      #expect(bytes.count == record.bytes)
      #expect(sha256(bytes) == record.sha256, "after \(record.draws) more draws")
    }
  }

  @Test(arguments: [0, 1, 5, 623, 624, 625, 1300])
  func stateGoesOnWhereItStopped(_ draws: Int) throws {
    var generator = try MersenneTwister(seed: 77)
    for _ in 0..<draws { _ = generator.next32() }
    var other = try MersenneTwister(seed: 0)
    let bytes = serialized(generator)
    let isState = bytes.withUnsafeBytes { other.deserialize(from: $0) }
    #expect(isState)
    let seed = other.seed
    #expect(seed == 77)
    for _ in 0..<1000 {
      let (a, b) = (generator.next32(), other.next32())
      #expect(a == b)
    }
  }

  @Test func damagedStatesAreRefused() throws {
    let good = serialized(try MersenneTwister(seed: 1))
    /// Offsets of: left, seeded, next, the high half of a word of the state.
    for (offset, value): (Int, UInt8) in [
      (8, 0), (9, 3), (11, 0x80), (12, 0), (16, 7), (23, 1), (28, 1),
    ] {
      var bad = good
      bad[offset] = value
      var generator = try MersenneTwister(seed: 9)
      let isState = bad.withUnsafeBytes { generator.deserialize(from: $0) }
      #expect(!isState, "byte \(offset)")
      var untouched = try MersenneTwister(seed: 9)
      let (a, b) = (generator.next64(), untouched.next64())
      #expect(a == b)
    }
    var generator = try MersenneTwister(seed: 9)
    let isState = Array(good.dropLast()).withUnsafeBytes { generator.deserialize(from: $0) }
    #expect(!isState)
  }

  private func serialized(_ generator: borrowing MersenneTwister) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xff, count: MersenneTwister.serializedByteCount)
    bytes.withUnsafeMutableBytes { generator.serialize(into: $0) }
    return bytes
  }
}
