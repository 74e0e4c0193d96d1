// exp and log of vectors, with the polynomials that PyTorch uses, to the bit: SLEEF 3.6's expf and logf
// with 1.0 ULP, in the form for processors with FMA. The constants are SLEEF's (see THIRD_PARTY.md).

/// e to the power of each element.
@inline(__always)
func exp(_ x: Lanes) -> Lanes {
  // x = q ln 2 + s, with ln 2 in two parts. Adding 1.5 * 2^23 rounds to an integer.
  let rounder = Lanes(repeating: 0x1.8p23)
  let shifted =
    x * Lanes(repeating: 1.442695040888963407359924681001892137426645954152985934135449) + rounder
  let q = shifted - rounder
  var s = fma(q, Lanes(repeating: -0.693145751953125), x)
  s = fma(q, Lanes(repeating: -1.428606765330187045e-06), s)
  var u = Lanes(repeating: 0.000198527617612853646278381)
  u = fma(u, s, Lanes(repeating: 0.00139304355252534151077271))
  u = fma(u, s, Lanes(repeating: 0.00833336077630519866943359))
  u = fma(u, s, Lanes(repeating: 0.0416664853692054748535156))
  u = fma(u, s, Lanes(repeating: 0.166666671633720397949219))
  u = fma(u, s, Lanes(repeating: 0.5))
  u = Lanes(repeating: 1) + fma(s * s, u, s)
  // Times 2^q in two factors, so that results below the normal range round once.
  let exponent = unsafeBitCast(shifted, to: Integers.self) &- unsafeBitCast(rounder, to: Integers.self)
  let half = exponent &>> Integers(repeating: 1)
  u = u * powerOfTwo(half) * powerOfTwo(exponent &- half)
  u = u.replacing(with: 0, where: x .< Lanes(repeating: -104))
  return u.replacing(with: .infinity, where: x .> Lanes(repeating: 100))
}

@inline(__always)
private func powerOfTwo(_ exponent: Integers) -> Lanes {
  unsafeBitCast((exponent &+ Integers(repeating: 127)) &<< Integers(repeating: 23), to: Lanes.self)
}

/// A number as the unevaluated sum of two floats.
private struct Double2 {
  var high: Lanes
  var low: Lanes

  @inline(__always)
  init(_ high: Lanes, _ low: Lanes) { (self.high, self.low) = (high, low) }

  /// a + b exactly.
  @inline(__always)
  init(adding a: Lanes, _ b: Lanes) {
    high = a + b
    let back = high - a
    low = (a - (high - back)) + (b - back)
  }
}

/// The natural logarithm of each element, for positive, finite, normal numbers.
@inline(__always)
func log(_ x: Lanes) -> Lanes {
  // x = m 2^e with m in 0.75 ..< 1.5
  let scaled = unsafeBitCast(x * Lanes(repeating: 1 / 0.75), to: Integers.self)
  let exponent =
    ((scaled &>> Integers(repeating: 23)) & Integers(repeating: 255)) &- Integers(repeating: 127)
  let m = unsafeBitCast(
    unsafeBitCast(x, to: Integers.self) &- (exponent &<< Integers(repeating: 23)), to: Lanes.self)
  // t = (m - 1) / (m + 1), then log m = 2 atanh t
  let one = Lanes(repeating: 1)
  let n = Double2(adding: Lanes(repeating: -1), m)
  let d = Double2(adding: one, m)
  let reciprocal = one / d.high
  let quotient = n.high * reciprocal
  let u = fma(reciprocal, n.high, quotient.negated)
  let v = fma(d.low.negated, reciprocal, fma(d.high.negated, reciprocal, one))
  let t = Double2(quotient, fma(quotient, v, fma(n.low, reciprocal, u)))
  let square = t.high * t.high
  var p = Lanes(repeating: 0.3027294874e+0)
  p = fma(p, square, Lanes(repeating: 0.3996108174e+0))
  p = fma(p, square, Lanes(repeating: 0.6666694880e+0))
  // e ln 2 + 2 t + t^3 p
  let e = float(exponent)
  let (ln2High, ln2Low) = (
    Lanes(repeating: 0.69314718246459960938), Lanes(repeating: -1.904654323148236017e-09)
  )
  var sum = Double2(ln2High * e, Lanes(repeating: 0))
  sum.low = fma(ln2Low, e, fma(ln2High, e, sum.high.negated))
  let twice = Double2(t.high * Lanes(repeating: 2), t.low * Lanes(repeating: 2))
  var next = sum.high + twice.high
  sum = Double2(next, (((sum.high - next) + twice.high) + sum.low) + twice.low)
  let cubic = square * t.high * p
  next = sum.high + cubic
  sum = Double2(next, ((sum.high - next) + cubic) + sum.low)
  return sum.high + sum.low
}

/// Small integers as floats, by the bits of 1.5 * 2^23 + integer.
@inline(__always)
private func float(_ integer: Integers) -> Lanes {
  let rounder = Lanes(repeating: 0x1.8p23)
  return unsafeBitCast(unsafeBitCast(rounder, to: Integers.self) &+ integer, to: Lanes.self) - rounder
}
