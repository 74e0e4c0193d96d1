// Cross-entropy of the logits: log-softmax, each sample's log-probability of its label, and the
// gradient of the batch's mean loss. Vectors run over samples.

import CKernels

/// target and d_logits for samples first ..< last, where first is a multiple of 16; whole vectors of
/// samples are computed, so memory up to the next multiple of 16 after last is written.
func loss(_ step: tlnk_step, first: Int, last: Int) {
  let (outputs, capacity) = (step.outputs, step.capacity)
  let (logits, gradients) = (step.logits!, step.d_logits!)
  // The gradient of the mean is -1/rows at the label, and PyTorch rounds exp(y)/rows - that once.
  let share = Lanes(repeating: -1 / Float(step.rows))
  let zero = Lanes(repeating: 0)
  var sample = first
  while sample < last {
    var largest = Lanes(at: logits + sample)
    for output in 1..<outputs {
      largest = largest.larger(Lanes(at: logits + (output &* capacity &+ sample)))
    }
    // In the place of the gradients for a while.
    for output in 0..<outputs {
      let place = output &* capacity &+ sample
      exp(Lanes(at: logits + place) - largest).store(at: gradients + place)
    }
    let logSum = log(sumOfTerms(gradients + sample, spacing: capacity, count: outputs))
    let labels = UnsafeRawPointer(step.labels! + sample).loadUnaligned(as: Integers.self)
    var target = zero
    for output in 0..<outputs {
      let y = (Lanes(at: logits + (output &* capacity &+ sample)) - largest) - logSum
      let isLabel = labels .== Integers(repeating: Int32(truncatingIfNeeded: output))
      target = target.replacing(with: y, where: isLabel)
      let gradient = fma(exp(y).negated, share, zero.replacing(with: share, where: isLabel))
      gradient.store(at: gradients + (output &* capacity &+ sample))
    }
    target.store(at: step.target! + sample)
    sample &+= Lanes.count
  }
}

/// The sum over the outputs in the order of PyTorch's log-softmax: eight lanes that take every eighth output,
/// folded to four, then to two; fewer than eight outputs left to right.
@inline(__always)
private func sumOfTerms(_ terms: UnsafePointer<Float>, spacing: Int, count: Int) -> Lanes {
  /// Outputs first, first + stride, first + 2 stride, ...
  func sum(from first: Int, by stride: Int) -> Lanes {
    var sum = Lanes(at: terms + first &* spacing)
    var output = first &+ stride
    while output < count {
      sum = sum + Lanes(at: terms + output &* spacing)
      output &+= stride
    }
    return sum
  }
  if count < 8 { return sum(from: 0, by: 1) }
  func lane(_ first: Int) -> Lanes { sum(from: first, by: 8) }
  let even = (lane(0) + lane(4)) + (lane(2) + lane(6))
  let odd = (lane(1) + lane(5)) + (lane(3) + lane(7))
  return even + odd
}
