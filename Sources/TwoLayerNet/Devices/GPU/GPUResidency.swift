// Whether a network can stay in the groups of one launch for many steps, and how it is cut for that. What the
// kernel does is told in Sources/CGPUKernels/resident.h.

import CGPUKernels

/// What a device runs at the same time: one group on each multiprocessor.
struct GPUCapacity {
  var groups: Int
  /// Shared memory that a group may have.
  var sharedBytes: Int
}

/// A network and a size of batches, cut into parts for the groups.
struct GPUResidency {
  let groups: Int
  let sharedBytes: Int
  /// Words of the mail between groups.
  let words: Int
  private let units: Int
  private let batches: Int

  /// A thread for each row of a batch, and for each output.
  private static let largestBatch = GPUKernel.threadsPerGroup
  /// Beyond that nothing fits; so that no product overflows.
  private static let largestSize = 1 << 14

  /// nil if it doesn't fit, if rows of bytes don't begin at a word in each panel, or if sums are taken in an order that the kernel doesn't have, which products of
  /// a few rows or columns are; see Sources/Kernels/Orders.swift.
  init?(_ shape: Shape, _ features: FeatureType, batch: Int, _ capacity: GPUCapacity) {
    let (inputs, hidden, outputs) = (shape.input, shape.hidden, shape.output)
    guard (4...Self.largestBatch).contains(batch), (12...Self.largestSize).contains(inputs),
      (12...Self.largestSize).contains(hidden), (2...Self.largestBatch).contains(outputs)
    else { return nil }
    func layout(_ units: Int, _ batches: Int) -> tlng_layout {
      tlng_layout_of(
        Int32(inputs), Int32(hidden), Int32(outputs), Int32(batch), Int32(capacity.groups),
        Int32(units), Int32(batches))
    }
    let (length, panels) = (layout(4, 1).length, layout(4, 1).panels)
    // Four bytes are read at a time.
    guard features != .u8 || length % 4 == 0 || panels == 1 else { return nil }
    let across = capacity.groups / Int(panels)
    guard across > 0 else { return nil }
    units = roundedUp((hidden &+ across &- 1) / across, to: 4)
    // Two batches, of which one is on its way, if there is room.
    batches = 4 &* Int(layout(units, 2).floats) <= capacity.sharedBytes ? 2 : 1
    let layout = layout(units, batches)
    sharedBytes = 4 &* Int(layout.floats)
    guard sharedBytes <= capacity.sharedBytes else { return nil }
    words = Int(layout.words)
    groups = capacity.groups
  }

  func use(in step: inout tlng_step, steps: Int, words: UInt64) {
    (step.steps, step.units, step.batches) = (tlng_int(steps), tlng_int(units), tlng_int(batches))
    step.words = words
  }
}
