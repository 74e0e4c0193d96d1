// A device's working memory for batches, or passes of inference, up to a number of rows; and copies of
// datasets in its memory.

import CGPUKernels
import CSystem

/// Working memory for up to `capacity` rows, and the description of a step with its addresses.
final class GPUWorkspace {
  let capacity: Int
  /// All but parameters, features, labels and the size of the batch is filled in.
  let step: tlng_step
  private let buffer: GPUBuffer
  private let targets: Int

  private init(_ buffer: GPUBuffer, capacity: Int, step: tlng_step, targets: Int) {
    self.buffer = buffer
    self.capacity = capacity
    self.step = step
    self.targets = targets
  }

  static func make(
    _ context: GPUContext, _ shape: Shape, rows: Int, training: Bool
  ) throws(Failure) -> GPUWorkspace {
    var places = GPUPlaces()
    let h = places.place(rows &* shape.hidden)
    let logits = places.place(rows &* shape.output)
    // Read together after inference.
    let target = places.place(rows &* 2)
    let dLogits = training ? places.place(rows &* shape.output) : 0
    let dH = training ? places.place(rows &* shape.hidden) : 0
    let buffer = try GPUBuffer.make(context, bytes: places.bytes)
    func address(_ place: Int) -> UInt64 { buffer.address &+ UInt64(place) }
    var step = tlng_step()
    step.only_step = -1
    (step.inputs, step.hidden, step.outputs) = (
      tlng_int(shape.input), tlng_int(shape.hidden), tlng_int(shape.output)
    )
    step.h = address(h)
    step.logits = address(logits)
    step.target = address(target)
    if training {
      step.d_logits = address(dLogits)
      step.d_h = address(dH)
    }
    return GPUWorkspace(buffer, capacity: rows, step: step, targets: target)
  }

  func readLogits(_ rows: Int, into logits: UnsafeMutablePointer<Float>) throws(Failure) {
    let count = rows &* Int(step.outputs)
    try buffer.download(
      offset: Int(step.logits &- buffer.address),
      into: UnsafeMutableRawBufferPointer(start: logits, count: count &* 4))
  }

  /// Reads target and predicted of a pass whose `predicted` is behind `target`.
  func readResults(_ results: UnsafeMutableRawBufferPointer) throws(Failure) {
    try buffer.download(offset: targets, into: results)
  }
}

/// Features, and labels behind them.
final class GPURows {
  /// The dataset's; 0 for rows of a caller's.
  let serial: Int
  let type: FeatureType
  /// From row to row, a multiple of 4.
  let rowBytes: Int
  let capacity: Int
  private let buffer: GPUBuffer
  private let labelPlace: Int

  private init(
    serial: Int, type: FeatureType, rowBytes: Int, capacity: Int, buffer: GPUBuffer, labelPlace: Int
  ) {
    self.serial = serial
    self.type = type
    self.rowBytes = rowBytes
    self.capacity = capacity
    self.buffer = buffer
    self.labelPlace = labelPlace
  }

  /// Room for so many rows of a caller's.
  static func make(
    _ context: GPUContext, type: FeatureType, columns: Int, rows: Int, serial: Int = 0
  ) throws(Failure) -> GPURows {
    var places = GPUPlaces()
    let rowBytes = roundedUp(columns &* type.byteCount, to: 4)
    _ = places.place(rows &* rowBytes, of: 1)
    let labels = places.place(rows)
    let buffer = try GPUBuffer.make(context, bytes: places.bytes)
    return GPURows(
      serial: serial, type: type, rowBytes: rowBytes, capacity: rows, buffer: buffer,
      labelPlace: labels)
  }

  /// A copy of a dataset that has labels.
  static func make(_ context: GPUContext, _ dataset: Dataset) throws(Failure) -> GPURows {
    let rows = try make(
      context, type: dataset.featureType, columns: dataset.columns, rows: dataset.rows,
      serial: dataset.serial)
    try rows.uploadFeatures(of: dataset)
    let labels = try Buffer<Int32>(uninitialized: min(dataset.rows, labelsAtOnce))
    var first = 0
    while first < dataset.rows {
      let count = min(dataset.rows &- first, labels.count)
      for index in 0..<count { labels[index] = dataset.label(first &+ index) }
      try rows.buffer.upload(
        UnsafeRawBufferPointer(start: labels.base, count: count &* 4),
        offset: rows.labelPlace &+ first &* 4)
      first &+= count
    }
    return rows
  }

  private static let labelsAtOnce = 1 << 16
  private static let bytesAtOnce = 1 << 22

  private func uploadFeatures(of dataset: Dataset) throws(Failure) {
    let used = dataset.rowByteCount
    if dataset.rowStride == rowBytes && used == rowBytes {
      let bytes = UnsafeRawBufferPointer(start: dataset.row(0), count: capacity &* rowBytes)
      return try buffer.upload(bytes)
    }
    let rowsAtOnce = min(capacity, max(1, Self.bytesAtOnce / rowBytes))
    let staging = try Buffer<UInt8>(zeroed: rowsAtOnce &* rowBytes)
    var first = 0
    while first < capacity {
      let count = min(capacity &- first, rowsAtOnce)
      for row in 0..<count {
        memcpy(staging.base + row &* rowBytes, dataset.row(first &+ row), used)
      }
      try buffer.upload(
        UnsafeRawBufferPointer(start: staging.base, count: count &* rowBytes),
        offset: first &* rowBytes)
      first &+= count
    }
  }

  /// Copies rows of a caller's in, from row 0 on.
  func upload(_ features: UnsafePointer<Float>, rows: Int) throws(Failure) {
    try buffer.upload(UnsafeRawBufferPointer(start: features, count: rows &* rowBytes))
  }

  func upload(labels: UnsafeBufferPointer<Int32>) throws(Failure) {
    try buffer.upload(UnsafeRawBufferPointer(labels), offset: labelPlace)
  }

  /// Points a step at the rows from `first` on.
  func use(in step: inout tlng_step, from first: Int, withLabels: Bool) {
    step.x_stride = tlng_int(rowBytes)
    step.is_bytes = type == .u8 ? 1 : 0
    step.x = buffer.address &+ UInt64(first &* rowBytes)
    step.labels = withLabels ? buffer.address &+ UInt64(labelPlace &+ first &* 4) : 0
  }
}
