// Which features of a batch are not zero, as bits: sample by sample, along which the first layer's forward
// pass walks, and feature by feature, along which the update of its weights does.

import CKernels

/// `present` for samples first ..< last.
@inline(never)
func findPresent<F: Feature>(
  _: F.Type, _ step: UnsafePointer<tlnk_step>, first: Int, last: Int
) {
  let (inputs, capacity) = (step.pointee.inputs, step.pointee.capacity)
  let present = step.pointee.present!
  for sample in first..<last {
    let row = step.pointee.row(sample, as: F.Element.self)
    var (input, place) = (0, sample)
    while input &+ 64 <= inputs {
      present[place] = F.nonzero64(row + input)
      input &+= 64
      place &+= capacity
    }
    // What is behind a row of floats may be the next one.
    let rest = inputs &- input
    if rest > 0 { present[place] = F.nonzero64(row + input) & lowBits(rest) }
  }
}

/// `present_t` for samples first ..< last, which start at a multiple of 16; the samples up to the next
/// multiple of 16 have nothing.
@inline(never)
func transposePresent(_ step: UnsafePointer<tlnk_step>, first: Int, last: Int) {
  let (inputs, capacity) = (step.pointee.inputs, step.pointee.capacity)
  let present = step.pointee.present!
  let columns = UnsafeMutableRawPointer(step.pointee.present_t!).assumingMemoryBound(to: UInt16.self)
  let spacing = capacity / 16
  var (input, words) = (0, present)
  while input < inputs {
    var sample = first
    while sample < last {
      var index = last
      while index < sample &+ 16 {
        words[index] = 0
        index &+= 1
      }
      tlnk_transpose_bits_16(
        words + sample, columns + (input &* spacing &+ sample / 16), spacing)
      sample &+= 16
    }
    input &+= 64
    words += capacity
  }
}

/// The lowest `count` bits, of 0 to 64.
@inline(__always)
func lowBits(_ count: Int) -> UInt64 { count < 64 ? (1 &<< UInt64(count)) &- 1 : ~0 }
