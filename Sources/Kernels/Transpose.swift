// Which features of a batch are not zero, as bits: sample by sample, along which the first layer's forward
// pass walks, and feature by feature, along which the update of its weights does.

import CKernels

/// What items first ..< last are: samples with all inputs, or inputs of all samples.
@inline(__always)
private func block(
  _ step: UnsafePointer<tlnk_step>, _ first: Int, _ last: Int
) -> (samples: Range<Int>, inputs: Range<Int>) {
  step.pointee.panel_sums == nil
    ? (first..<last, 0..<step.pointee.inputs) : (0..<step.pointee.rows, first..<last)
}

/// `present` for items first ..< last.
@inline(never)
func findPresent<F: Feature>(
  _: F.Type, _ step: UnsafePointer<tlnk_step>, first: Int, last: Int
) {
  let (samples, inputs) = block(step, first, last)
  let capacity = step.pointee.capacity
  let present = step.pointee.present! + inputs.lowerBound / 64 &* capacity
  for sample in samples {
    let row = step.pointee.row(sample, as: F.Element.self)
    var (input, place) = (inputs.lowerBound, sample)
    while input &+ 64 <= inputs.upperBound {
      present[place] = F.nonzero64(row + input)
      input &+= 64
      place &+= capacity
    }
    // What is behind a row of floats may be the next one.
    let rest = inputs.upperBound &- input
    if rest > 0 { present[place] = F.nonzero64(row + input) & lowBits(rest) }
  }
}

/// `present_t` for items first ..< last; samples start at a multiple of 16, and those up to the next
/// multiple of 16 have nothing.
@inline(never)
func transposePresent(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let (samples, inputs) = block(step, first, last)
  let capacity = step.pointee.capacity
  let columns = UnsafeMutableRawPointer(step.pointee.present_t!)
  var input = inputs.lowerBound
  var words = step.pointee.present! + input / 64 &* capacity
  while input < inputs.upperBound {
    var sample = samples.upperBound
    while sample & 15 != 0 {
      words[sample] = 0
      sample &+= 1
    }
    let end = sample
    sample = samples.lowerBound
    while sample < end {
      let target = columns + (input &* capacity &+ sample) / 8
      #if TLN_AVX2
        if sample & 31 == 0 && end &- sample >= 32 {
          tlnk_transpose_bits_32(
            words + sample, target.assumingMemoryBound(to: UInt32.self), capacity / 32)
          sample &+= 32
          continue
        }
      #endif
      tlnk_transpose_bits_16(words + sample, target.assumingMemoryBound(to: UInt16.self), capacity / 16)
      sample &+= 16
    }
    input &+= 64
    words += capacity
  }
}

/// The lowest `count` bits, of 0 to 64.
@inline(__always)
func lowBits(_ count: Int) -> UInt64 { count < 64 ? (1 &<< UInt64(count)) &- 1 : ~0 }
