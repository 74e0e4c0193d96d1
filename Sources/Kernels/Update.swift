// The optimiser's arithmetic with the roundings of torch.optim.SGD: the momentum buffer is a rounded
// product to which the gradient is added, the parameter a fused multiply-add.

import CKernels

/// Updates `count` parameters `p` and their momentum `v`, a whole number of vectors, with gradient `g`.
@inline(never)
func update(
  _ g: UnsafePointer<Float>, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>,
  count: Int, _ step: UnsafePointer<tlnk_step>
) {
  let s = step.pointee
  if isPlain(step) {
    let (minusRate, momentum) = (Lanes(repeating: s.minus_learning_rate), Lanes(repeating: s.momentum))
    var index = 0
    while index < count {
      updatePlain(Lanes(at: g + index), p + index, v + index, minusRate, momentum)
      index &+= Lanes.count
    }
  } else {
    updateFully(g, p, v, count: count, step)
  }
}

/// Whether the step is momentum and nothing else. The first step of a batch of one row may have gradients
/// of -0, which become momentum as they are.
@inline(__always)
func isPlain(_ step: UnsafePointer<tlnk_step>) -> Bool {
  let s = step.pointee
  return s.has_momentum != 0 && s.one_minus_dampening == 1 && s.weight_decay == 0 && s.nesterov == 0
    && s.maximize == 0 && !(s.first != 0 && s.batch == 1)
}

/// Momentum and nothing else, as the article trains: v = momentum v + g, p = p - rate v. On the first
/// step v is 0, and momentum v + g is g.
@inline(__always)
func updatePlain(
  _ g: Lanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>, _ minusRate: Lanes,
  _ momentum: Lanes
) {
  let velocity = Lanes(at: v) * momentum + g
  velocity.store(at: v)
  fma(velocity, minusRate, Lanes(at: p)).store(at: p)
}

#if TLN_AVX512
  @inline(__always)
  func updatePlain(
    _ g: HalfLanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>,
    _ minusRate: HalfLanes, _ momentum: HalfLanes
  ) {
    let velocity = HalfLanes(at: v) * momentum + g
    velocity.store(at: v)
    fma(velocity, minusRate, HalfLanes(at: p)).store(at: p)
  }
#endif

/// Every option of torch.optim.SGD.
@inline(never)
private func updateFully(
  _ gradient: UnsafePointer<Float>, _ p: UnsafeMutablePointer<Float>,
  _ v: UnsafeMutablePointer<Float>, count: Int, _ step: UnsafePointer<tlnk_step>
) {
  let s = step.pointee
  let momentum = Lanes(repeating: s.momentum)
  let share = Lanes(repeating: s.one_minus_dampening)
  var index = 0
  while index < count {
    let parameter = Lanes(at: p + index)
    var g = Lanes(at: gradient + index)
    // A sum is never -0, because it was added to 0; a single product may be.
    if s.batch > 1 { g = g + Lanes(repeating: 0) }
    if s.maximize != 0 { g = g.negated }
    if s.weight_decay != 0 { g = fma(parameter, Lanes(repeating: s.weight_decay), g) }
    if s.has_momentum != 0 {
      // The first step takes the gradient as it is, without dampening.
      let velocity = s.first != 0 ? g : fma(g, share, Lanes(at: v + index) * momentum)
      velocity.store(at: v + index)
      g = s.nesterov != 0 ? fma(velocity, momentum, g) : velocity
    }
    fma(g, Lanes(repeating: s.minus_learning_rate), parameter).store(at: p + index)
    index &+= Lanes.count
  }
}
