// What PyTorch 2.1.2 draws from its generator, in its order and with its roundings: uniform numbers,
// the epoch's seeds, and permutations. Checked against recordings of PyTorch 1.13.1, 2.1.2 and 2.13.0.

extension MersenneTwister {
  /// `tensor.uniform_(low, high)` of float32: one draw for each value, 24 bits of it, and one fused
  /// multiply-add, as PyTorch's kernels for processors with FMA round it.
  mutating func fillUniform(
    _ values: UnsafeMutableBufferPointer<Float>, from low: Double, to high: Double
  ) {
    let start = Float(low)
    let span = Float(high) - start
    draw(values.count) { index, word in
      let fraction = Float(word & 0xff_ffff) * 0x1p-24
      values[index] = start.addingProduct(fraction, span)
    }
  }

  /// What one `for batch in DataLoader(...)` draws: the iterator's base seed, which nothing uses without
  /// worker processes, and, if it shuffles, the seed of the sampler's own generator.
  mutating func drawEpochSeed(shuffle: Bool) -> UInt64? {
    _ = next64()
    return shuffle ? next64() & 0x7fff_ffff_ffff_ffff : nil
  }

  /// `torch.randperm(order.count)`. For counts of 214,748,364 and more PyTorch 2.13 draws otherwise;
  /// this is what all versions up to 2.1.2 do.
  mutating func fillPermutation(_ order: UnsafeMutableBufferPointer<UInt32>) {
    let count = order.count
    for index in 0..<count { order[index] = UInt32(truncatingIfNeeded: index) }
    var index = 0
    while index < count - 1 {
      let other = index &+ Int(next32() % UInt32(truncatingIfNeeded: count &- index))
      order.swapAt(index, other)
      index &+= 1
    }
  }
}
