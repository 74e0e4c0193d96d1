// The optimiser's arithmetic with the roundings of torch.optim.SGD: the momentum buffer is a rounded
// product to which the gradient is added, the parameter a fused multiply-add.

import CKernels

/// Applies a gradient to one vector of parameters and their momentum.
protocol UpdateRule {
  func apply(_ gradient: Lanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>)
}

/// Momentum and nothing else, as the article trains: v = momentum * v + g, p = p - rate * v.
/// (On the first step v is -0 and momentum * v + g is g, also where g is -0.)
struct PlainMomentum: UpdateRule {
  let minusRate: Lanes
  let momentum: Lanes

  @inline(__always)
  init(_ step: tlnk_step) {
    minusRate = Lanes(repeating: step.minus_learning_rate)
    momentum = Lanes(repeating: step.momentum)
  }

  static func fits(_ step: tlnk_step) -> Bool {
    step.has_momentum != 0 && step.one_minus_dampening == 1 && step.weight_decay == 0
      && step.nesterov == 0 && step.maximize == 0
  }

  @inline(__always)
  func apply(_ gradient: Lanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>) {
    let velocity = Lanes(at: v) * momentum + gradient
    velocity.store(at: v)
    fma(velocity, minusRate, Lanes(at: p)).store(at: p)
  }
}

/// Every option of torch.optim.SGD.
struct FullRule: UpdateRule {
  let step: tlnk_step

  @inline(__always)
  func apply(_ gradient: Lanes, _ p: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>) {
    let parameter = Lanes(at: p)
    var g = gradient
    if step.maximize != 0 { g = -g }
    if step.weight_decay != 0 { g = fma(parameter, Lanes(repeating: step.weight_decay), g) }
    if step.has_momentum != 0 {
      let momentum = Lanes(repeating: step.momentum)
      // The first step takes the gradient as it is, without dampening.
      let share = Lanes(repeating: step.first != 0 ? 1 : step.one_minus_dampening)
      let velocity = fma(g, share, Lanes(at: v) * momentum)
      velocity.store(at: v)
      g = step.nesterov != 0 ? fma(velocity, momentum, g) : velocity
    }
    fma(g, Lanes(repeating: step.minus_learning_rate), parameter).store(at: p)
  }
}
