// Cross-entropy of the logits: log-softmax, each sample's log-probability of its label, and the
// gradient of the batch's mean loss. Vectors run over samples.

import CKernels

/// target and d_logits for samples first ..< last, where first is a multiple of 16; whole vectors of
/// samples are computed, so memory up to the next multiple of 16 after last is written.
func loss(_ step: tlnk_step, first: Int, last: Int) {
  let (outputs, capacity) = (step.outputs, step.capacity)
  let logits = step.logits!
  let logProbabilities = step.d_logits!
  // The gradient of the mean is -1/rows at the label, and PyTorch rounds exp(y)/rows - that once.
  let share = Lanes(repeating: -1 / Float(step.rows))
  let zero = Lanes(repeating: 0)
  var sample = first
  while sample < last {
    var largest = Lanes(at: logits + sample)
    for output in 1..<outputs {
      largest = largest.larger(Lanes(at: logits + (output &* capacity &+ sample)))
    }
    let logSum = log(
      sumOfExponentials(logits + sample, spacing: capacity, count: outputs, minus: largest))
    let labels = UnsafeRawPointer(step.labels! + sample).loadUnaligned(as: Integers.self)
    var target = zero
    for output in 0..<outputs {
      let y = (Lanes(at: logits + (output &* capacity &+ sample)) - largest) - logSum
      let isLabel = labels .== Integers(repeating: Int32(truncatingIfNeeded: output))
      target = target.replacing(with: y, where: isLabel)
      let gradient = fma(exp(y).negated, share, zero.replacing(with: share, where: isLabel))
      gradient.store(at: logProbabilities + (output &* capacity &+ sample))
    }
    target.store(at: step.target! + sample)
    sample &+= Lanes.count
  }
}

/// The sum over the outputs of exp(logit - largest), in the order of PyTorch's log-softmax: eight lanes
/// that take every eighth output, folded to four, then to two; fewer than eight outputs left to right.
@inline(__always)
private func sumOfExponentials(
  _ logits: UnsafeMutablePointer<Float>, spacing: Int, count: Int, minus largest: Lanes
) -> Lanes {
  func term(_ output: Int) -> Lanes { exp(Lanes(at: logits + output &* spacing) - largest) }
  /// Outputs lane, lane + 8, lane + 16, ...
  func lane(_ lane: Int) -> Lanes {
    var sum = term(lane)
    var output = lane &+ 8
    while output < count {
      sum = sum + term(output)
      output &+= 8
    }
    return sum
  }
  if count < 8 {
    var sum = term(0)
    for output in 1..<count { sum = sum + term(output) }
    return sum
  }
  let even = (lane(0) + lane(4)) + (lane(2) + lane(6))
  let odd = (lane(1) + lane(5)) + (lane(3) + lane(7))
  return even + odd
}
