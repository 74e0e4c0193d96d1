// Everything that one launch of a GPU kernel works on: a batch, a network with momentum, and their arrays
// on the emulated device.

import CGPUKernels
import TestSupport
import Testing

@testable import TwoLayerNet

final class KernelBench {
  private let driver: EmulatorDriver
  private var sizes: [UInt64: Int] = [:]
  let what: String
  var step = tlng_step()
  let x: Matrix
  let labels: [Int]
  let network: ReferenceNetwork

  /// The third step of a run, whose batches are rows of a dataset in a random order.
  init(_ sizes: KernelCase, shuffle: Int = 0) throws {
    driver = EmulatorDriver(shuffle: shuffle)
    what = "\(sizes), shuffle \(shuffle)"
    var random = TestRandom(UInt64(sizes.rows * 31 + sizes.input * 7 + sizes.hidden))
    let (rows, inputs, hidden, outputs) = (sizes.rows, sizes.input, sizes.hidden, sizes.output)
    let all = rows + 5
    let order = (0..<all).shuffled(using: &random)
    let dataLabels = (0..<all).map { _ in random.int(0...(outputs - 1)) }
    let rowBytes = sizes.isBytes ? (inputs + 3) / 4 * 4 : inputs * 4
    var features = [Float](repeating: 0, count: all * inputs)
    // What pads a row of bytes is not 0.
    var bytes = [UInt8](repeating: 201, count: all * rowBytes)
    for row in 0..<all {
      for column in 0..<inputs {
        let isZero = random.int(1...3) == 1
        let value = isZero ? 0 : UInt8(random.int(1...255))
        if sizes.isBytes { bytes[row * rowBytes + column] = value }
        features[row * inputs + column] =
          isZero ? 0 : sizes.isBytes ? Float(value) / 255 : random.uniform()
      }
    }
    var batch = Matrix(rows, inputs)
    for row in 0..<rows {
      for column in 0..<inputs { batch[row, column] = features[order[row] * inputs + column] }
    }
    x = batch
    labels = (0..<rows).map { dataLabels[order[$0]] }
    var network = ReferenceNetwork(
      w1: Matrix(hidden, inputs, random.uniforms(hidden * inputs, scale: 0.2)),
      b1: random.uniforms(hidden, scale: 0.2),
      w2: Matrix(outputs, hidden, random.uniforms(outputs * hidden, scale: 0.2)),
      b2: random.uniforms(outputs))
    network.v1 = random.uniforms(hidden * inputs)
    network.vb1 = random.uniforms(hidden)
    network.v2 = random.uniforms(outputs * hidden)
    network.vb2 = random.uniforms(outputs)
    self.network = network

    (step.rows, step.batch, step.batch_size) = (tlng_int(rows), tlng_int(rows), tlng_int(rows))
    step.only_step = -1
    (step.inputs, step.hidden, step.outputs) = (tlng_int(inputs), tlng_int(hidden), tlng_int(outputs))
    step.x_stride = tlng_int(rowBytes)
    step.is_bytes = sizes.isBytes ? 1 : 0
    step.x = try allocate(all * rowBytes)
    if sizes.isBytes { write(bytes: bytes, to: step.x) } else { write(step.x, features) }
    step.labels = try allocate(all * 4)
    write(step.labels, dataLabels.map { Float(bitPattern: UInt32($0)) })
    // Two batches before this one.
    step.order = try allocate(3 * rows * 4)
    let before = [UInt32](repeating: UInt32(all), count: 2 * rows)
    write(step.order, (before + order[..<rows].map { UInt32($0) }).map { Float(bitPattern: $0) })
    step.w1 = try array(transposed(network.w1.values))
    step.b1 = try array(network.b1)
    step.w2 = try array(network.w2.values)
    step.b2 = try array(network.b2)
    step.v1 = try array(transposed(network.v1!))
    step.vb1 = try array(network.vb1!)
    step.v2 = try array(network.v2!)
    step.vb2 = try array(network.vb2!)
    step.h = try allocate(rows * hidden * 4)
    step.logits = try allocate(rows * outputs * 4)
    step.d_logits = try allocate(rows * outputs * 4)
    step.d_h = try allocate(rows * hidden * 4)
    step.target = try allocate(rows * 4)
    step.predicted = try allocate(rows * 4)
    step.losses = try allocate(3 * 4)
    step.state = try allocate(MemoryLayout<tlng_state>.size)
    var state = tlng_state(
      begun: 3, ended: 2, minus_learning_rate: -0.1, momentum: 0.9, one_minus_dampening: 1,
      weight_decay: 0, first: 1, nesterov: 0, maximize: 0, has_momentum: 1)
    try withUnsafeBytes(of: &state) { try driver.upload($0, to: memory(step.state), offset: 0) }
  }

  private func allocate(_ bytes: Int) throws -> UInt64 {
    let memory = try driver.allocate(bytes: bytes)
    sizes[memory.address] = bytes
    return memory.address
  }

  private func array(_ values: [Float]) throws -> UInt64 {
    let address = try allocate(values.count * 4)
    write(address, values)
    return address
  }

  private func memory(_ address: UInt64) -> GPUMemory {
    GPUMemory(address: address, bytes: sizes[address]!)
  }

  /// The same contents, but an element less.
  func shortened(_ address: UInt64) throws -> UInt64 {
    let count = sizes[address]! - 4
    let contents = read(address, sizes[address]! / 4)
    let new = try allocate(count)
    write(new, Array(contents.dropLast()))
    return new
  }

  private func transposed(_ values: [Float]) -> [Float] {
    let (hidden, inputs) = (network.w1.rows, network.w1.columns)
    return (0..<(inputs * hidden)).map { values[$0 % hidden * inputs + $0 / hidden] }
  }

  func write(_ address: UInt64, _ values: [Float]) {
    values.withUnsafeBytes { try! driver.upload($0, to: memory(address), offset: 0) }
  }

  func write(bytes: [UInt8], to address: UInt64) {
    bytes.withUnsafeBytes {
      try! driver.upload(
        UnsafeRawBufferPointer(rebasing: $0.prefix(sizes[address]!)), to: memory(address), offset: 0)
    }
  }

  func read(_ address: UInt64, _ count: Int) -> [Float] {
    var values = [Float](repeating: 7, count: count)
    values.withUnsafeMutableBytes { try! driver.download(memory(address), offset: 0, into: $0) }
    return values
  }

  func state() throws -> tlng_state {
    var state = tlng_state()
    try withUnsafeMutableBytes(of: &state) {
      try driver.download(memory(step.state), offset: 0, into: $0)
    }
    return state
  }

  func launch(_ kernel: GPUKernel, groups: Int) throws {
    try withUnsafeBytes(of: &step) { try driver.launch(GPULaunch(kernel: kernel, groups: groups), $0) }
  }

  /// Writes what comes before an update; returns the loss.
  func fillGradients() throws -> Float {
    let (h, logits) = network.forward(x)
    let y = logSoftmax(logits)
    let gradient = crossEntropyGradient(y, labels)
    write(step.h, h.values)
    write(step.logits, logits.values)
    write(step.target, labels.indices.map { y[$0, labels[$0]] })
    write(step.d_logits, gradient.values)
    write(step.d_h, network.hiddenGradient(gradient, h).values)
    return negativeLogLikelihood(y, labels)
  }

  func expect(_ name: String, _ address: UInt64, _ wanted: [Float]) {
    expectEqualBits(read(address, wanted.count), wanted, "\(name), \(what)")
  }

  /// That what rows with such logits say is there; returns the gradients of these.
  @discardableResult
  func expectJudged(_ logits: Matrix) -> Matrix {
    let y = logSoftmax(logits)
    let gradient = crossEntropyGradient(y, labels)
    expect("target", step.target, labels.indices.map { y[$0, labels[$0]] })
    expect("d_logits", step.d_logits, gradient.values)
    let predicted = read(step.predicted, labels.count)
    for row in labels.indices {
      let own = (0..<logits.columns).map { logits[row, $0] }
      #expect(predicted[row].bitPattern == UInt32(own.firstIndex(of: own.max()!)!))
    }
    return gradient
  }

  /// That parameters and momentum are those of a network.
  func expectParameters(_ wanted: ReferenceNetwork) {
    expect("w1", step.w1, transposed(wanted.w1.values))
    expect("b1", step.b1, wanted.b1)
    expect("w2", step.w2, wanted.w2.values)
    expect("b2", step.b2, wanted.b2)
    expect("v1", step.v1, transposed(wanted.v1!))
    expect("vb1", step.vb1, wanted.vb1!)
    expect("v2", step.v2, wanted.v2!)
    expect("vb2", step.vb2, wanted.vb2!)
  }
}

extension ReferenceNetwork {
  /// The gradient that goes back to the hidden units.
  func hiddenGradient(_ gradient: Matrix, _ h: Matrix) -> Matrix {
    var dh = backwardToInput(gradient, w2)
    for index in dh.values.indices where h.values[index] <= 0 { dh.values[index] = 0 }
    return dh
  }
}
