// The batch's features, feature by feature: what the update of the first layer's weights walks along.

import CKernels

/// x_t for samples first ..< last, which start at a multiple of 16; the samples up to the next multiple
/// of 16 become zero.
func transposeBytes(_ step: tlnk_step, first: Int, last: Int) {
  let (inputs, capacity) = (step.inputs, step.capacity)
  let out = step.x_t!.assumingMemoryBound(to: UInt8.self)
  var sample = first
  while sample < last {
    var input = 0
    if sample &+ 16 <= last {
      let row = step.row(sample, as: UInt8.self)
      while input &+ 16 <= inputs {
        tlnk_transpose_bytes_16(
          row + input, step.x_stride, out + (input &* capacity &+ sample), capacity)
        input &+= 16
      }
    }
    transposeRest(step, UInt8.self, zero: 0, sample: sample, last: last, input: input)
    sample &+= 16
  }
}

/// The same for floats.
func transposeFloats(_ step: tlnk_step, first: Int, last: Int) {
  var sample = first
  while sample < last {
    transposeRest(step, Float.self, zero: 0, sample: sample, last: last, input: 0)
    sample &+= 16
  }
}

/// Element by element: 16 samples from `sample` on, the features from `input` on.
@inline(__always)
private func transposeRest<E>(
  _ step: tlnk_step, _: E.Type, zero: E, sample: Int, last: Int, input: Int
) {
  let out = step.x_t!.assumingMemoryBound(to: E.self)
  for row in sample..<(sample &+ 16) {
    for column in input..<step.inputs {
      out[column &* step.capacity &+ row] = row < last ? step.row(row, as: E.self)[column] : zero
    }
  }
}
