// SHA-256 (FIPS 180-4), for comparing large arrays with hashes recorded from PyTorch.

/// The hash of some bytes, in hexadecimal.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
  var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
    0x5be0_cd19,
  ]
  var block = [UInt8](repeating: 0, count: 64)
  let whole = bytes.count / 64
  for index in 0..<whole {
    block.withUnsafeMutableBytes {
      $0.copyMemory(from: .init(rebasing: bytes[(64 * index)..<(64 * index + 64)]))
    }
    compress(&state, block)
  }
  var rest = Array(bytes[(64 * whole)...]) + [0x80]
  while rest.count % 64 != 56 { rest.append(0) }
  let bits = UInt64(bytes.count) * 8
  for shift in stride(from: 56, through: 0, by: -8) {
    rest.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
  }
  for start in stride(from: 0, to: rest.count, by: 64) {
    compress(&state, Array(rest[start..<(start + 64)]))
  }
  return state.map { word in
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }.joined()
}

/// The hash of the elements of an array as they lie in memory.
public func sha256<T: BitwiseCopyable>(_ values: [T]) -> String {
  values.withUnsafeBytes { sha256($0) }
}

/// The cube roots of the first 64 primes, their first 32 fractional bits.
private let constants: [UInt32] = {
  var primes: [Int] = []
  var candidate = 2
  while primes.count < 64 {
    if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
    candidate += 1
  }
  // floor(2^32 * cube root) by bisection in whole numbers, modulo 2^32.
  return primes.map { prime in
    var (low, high): (UInt64, UInt64) = (0, 8 << 32)
    while low + 1 < high {
      let middle = (low + high) / 2
      if isCubeAtMost(middle, prime) { low = middle } else { high = middle }
    }
    return UInt32(truncatingIfNeeded: low)
  }
}()

/// Whether value^3 <= prime * 2^96, exactly.
private func isCubeAtMost(_ value: UInt64, _ prime: Int) -> Bool {
  let square = value.multipliedFullWidth(by: value)
  let low = square.low.multipliedFullWidth(by: value)
  let high = square.high.multipliedReportingOverflow(by: value).partialValue
  let (middle, carry) = high.addingReportingOverflow(low.high)
  precondition(!carry)
  let limit = UInt64(prime) << 32
  return middle < limit || (middle == limit && low.low == 0)
}

private func compress(_ state: inout [UInt32], _ block: [UInt8]) {
  func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 { word >> count | word << (32 - count) }
  var w = (0..<16).map { index in
    (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(block[4 * index + $1]) }
  }
  for index in 16..<64 {
    let s0 = rotated(w[index - 15], 7) ^ rotated(w[index - 15], 18) ^ (w[index - 15] >> 3)
    let s1 = rotated(w[index - 2], 17) ^ rotated(w[index - 2], 19) ^ (w[index - 2] >> 10)
    w.append(w[index - 16] &+ s0 &+ w[index - 7] &+ s1)
  }
  var h = state
  for index in 0..<64 {
    let s1 = rotated(h[4], 6) ^ rotated(h[4], 11) ^ rotated(h[4], 25)
    let choice = (h[4] & h[5]) ^ (~h[4] & h[6])
    let t1 = h[7] &+ s1 &+ choice &+ constants[index] &+ w[index]
    let s0 = rotated(h[0], 2) ^ rotated(h[0], 13) ^ rotated(h[0], 22)
    let majority = (h[0] & h[1]) ^ (h[0] & h[2]) ^ (h[1] & h[2])
    h = [t1 &+ s0 &+ majority, h[0], h[1], h[2], h[3] &+ t1, h[4], h[5], h[6]]
  }
  for index in 0..<8 { state[index] &+= h[index] }
}
