// What a device needs to know of a run of steps before it begins, and what it tells at its end; each is one
// copy.

import CGPUKernels
import CSystem

/// What a run of steps has in the device's memory: losses, state and order, side by side, so that one
/// copy begins it and one ends it.
final class GPURun {
  private let buffer: GPUBuffer
  private let staging: Buffer<UInt8>
  private let steps: Int
  private let orderCapacity: Int

  private static let stateBytes = 64

  private init(_ buffer: GPUBuffer, _ staging: consuming Buffer<UInt8>, steps: Int, order: Int) {
    self.buffer = buffer
    self.staging = staging
    self.steps = steps
    orderCapacity = order
  }

  static func make(_ context: GPUContext, steps: Int, order: Int) throws(Failure) -> GPURun {
    let steps = roundedUp(steps, to: 16)
    let bytes = stateBytes &+ 4 &* (steps &+ order)
    let staging = try Buffer<UInt8>(zeroed: bytes)
    return GPURun(try GPUBuffer.make(context, bytes: bytes), staging, steps: steps, order: order)
  }

  func fits(steps: Int, order: Int) -> Bool { steps <= self.steps && order <= orderCapacity }

  var losses: UInt64 { buffer.address }
  var state: UInt64 { buffer.address &+ UInt64(4 &* steps) }
  var order: UInt64 { state &+ UInt64(Self.stateBytes) }

  func begin(_ state: tlng_state, _ order: UnsafeBufferPointer<UInt32>) throws(Failure) {
    let start = UnsafeMutableRawPointer(staging.base)
    start.storeBytes(of: state, as: tlng_state.self)
    if let rows = order.baseAddress { memcpy(start + Self.stateBytes, rows, 4 &* order.count) }
    try buffer.upload(
      UnsafeRawBufferPointer(start: start, count: Self.stateBytes &+ 4 &* order.count),
      offset: 4 &* steps)
  }

  /// Waits for the steps. Returns how many were taken; their losses are written, and that of the next
  /// one if it is not finite.
  func end(_ losses: UnsafeMutableBufferPointer<Float>) throws(Failure) -> Int {
    // The last losses lie just before the state: those of this run are at the front.
    let start = UnsafeMutableRawPointer(staging.base)
    let bytes = 4 &* steps &+ Self.stateBytes
    try buffer.download(into: UnsafeMutableRawBufferPointer(start: start, count: bytes))
    memcpy(losses.baseAddress!, start, 4 &* losses.count)
    return Int((start + 4 &* steps).load(as: tlng_state.self).ended)
  }
}
