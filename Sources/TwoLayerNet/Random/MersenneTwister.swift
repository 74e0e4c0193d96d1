// The 32-bit Mersenne Twister MT19937, as PyTorch's CPU generator runs it. What is drawn from it, and
// in which order, is in Draws.swift.
//
// Source: Matsumoto and Nishimura, "Mersenne Twister: A 623-dimensionally equidistributed uniform
// pseudorandom number generator", ACM TOMACS 8 (1998); seeding by the authors' init_genrand of 2002.

/// MT19937 with PyTorch's seeding: only the low 32 bits of the seed matter.
struct MersenneTwister: ~Copyable {
  /// What `torch.initial_seed()` would say; kept for the state that PyTorch exchanges.
  private(set) var seed: UInt64
  /// Draws left before the state is twisted, plus one: 1 to `size`, as PyTorch counts.
  private var left: Int
  /// The position of the next word in `state`: 0 when freshly seeded, else `size + 1 - left`.
  private var next: Int
  private let state: Buffer<UInt32>

  static var size: Int { 624 }
  private static var shift: Int { 397 }

  init(seed: UInt64) throws(Failure) {
    state = try Buffer(uninitialized: Self.size)
    self.seed = seed
    (left, next) = (1, 0)
    reseed(seed)
  }

  mutating func reseed(_ seed: UInt64) {
    self.seed = seed
    var word = UInt32(truncatingIfNeeded: seed)
    state[0] = word
    for index in 1..<Self.size {
      word = 1_812_433_253 &* (word ^ (word >> 30)) &+ UInt32(truncatingIfNeeded: index)
      state[index] = word
    }
    (left, next) = (1, 0)
  }

  /// The next 32 bits.
  mutating func next32() -> UInt32 {
    left &-= 1
    if left == 0 { twist() }
    next &+= 1
    return Self.tempered(state[next &- 1])
  }

  /// Draws `count` times, and gives each draw's index and 32 bits to `use`: what `next32` would return,
  /// with its counting done once for all words up to the next twist.
  mutating func draw(_ count: Int, _ use: (Int, UInt32) -> Void) {
    var done = 0
    while done < count {
      if left == 1 {
        twist()
        left &+= 1
      }
      let run = min(left &- 1, count &- done)
      for index in 0..<run { use(done &+ index, Self.tempered(state[next &+ index])) }
      left &-= run
      next &+= run
      done &+= run
    }
  }

  private static func tempered(_ word: UInt32) -> UInt32 {
    var word = word
    word ^= word >> 11
    word ^= (word << 7) & 0x9d2c_5680
    word ^= (word << 15) & 0xefc6_0000
    word ^= word >> 18
    return word
  }

  /// Two draws, the first one in the high half.
  mutating func next64() -> UInt64 {
    let high = UInt64(next32())
    return high << 32 | UInt64(next32())
  }

  private mutating func twist() {
    func mixed(_ upper: UInt32, _ lower: UInt32, _ far: UInt32) -> UInt32 {
      let joined = (upper & 0x8000_0000) | (lower & 0x7fff_ffff)
      return far ^ (joined >> 1) ^ (joined & 1 == 0 ? 0 : 0x9908_b0df)
    }
    let (size, shift) = (Self.size, Self.shift)
    for index in 0..<(size &- shift) {
      state[index] = mixed(state[index], state[index &+ 1], state[index &+ shift])
    }
    for index in (size &- shift)..<(size &- 1) {
      state[index] = mixed(state[index], state[index &+ 1], state[index &+ shift &- size])
    }
    state[size &- 1] = mixed(state[size &- 1], state[0], state[shift &- 1])
    (left, next) = (size, 0)
  }
}

// The state as torch.get_rng_state() lays it out (little-endian): u64 seed, i32 left, i32 seeded,
// u64 next, 624 words of u64, and 40 bytes for a cached normal draw, which this library never makes.
extension MersenneTwister {
  static var serializedByteCount: Int { 24 + 8 * size + 40 }

  func serialize(into bytes: UnsafeMutableRawBufferPointer) {
    precondition(bytes.count == Self.serializedByteCount)
    for index in 0..<bytes.count { bytes[index] = 0 }
    bytes.storeBytes(of: seed.littleEndian, toByteOffset: 0, as: UInt64.self)
    bytes.storeBytes(of: Int32(left).littleEndian, toByteOffset: 8, as: Int32.self)
    bytes.storeBytes(of: Int32(1).littleEndian, toByteOffset: 12, as: Int32.self)
    bytes.storeBytes(of: UInt64(next).littleEndian, toByteOffset: 16, as: UInt64.self)
    for index in 0..<Self.size {
      let word = UInt64(state[index])
      bytes.storeBytes(of: word.littleEndian, toByteOffset: 24 + 8 * index, as: UInt64.self)
    }
  }

  /// Takes over a serialized state; false, with nothing changed, if the bytes are not one.
  mutating func deserialize(from bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count == Self.serializedByteCount else { return false }
    func word64(_ offset: Int) -> UInt64 {
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    let left = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: Int32.self))
    let seeded = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: Int32.self))
    let next = word64(16)
    guard seeded == 1, (1...Int32(Self.size)).contains(left),
      next == UInt64(Self.size + 1 - Int(left)) || (left == 1 && next == 0)
    else { return false }
    for index in 0..<Self.size where word64(24 + 8 * index) > UInt64(UInt32.max) { return false }
    seed = word64(0)
    (self.left, self.next) = (Int(left), Int(next))
    for index in 0..<Self.size { state[index] = UInt32(word64(24 + 8 * index)) }
    return true
  }
}
