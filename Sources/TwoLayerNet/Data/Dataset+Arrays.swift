// Datasets from arrays of the caller's, and back.

import CSystem

/// Labels of the caller's, one for each row.
public enum Labels {
  case u8(UnsafePointer<UInt8>)
  case i32(UnsafePointer<Int32>)
  case i64(UnsafePointer<Int64>)
  case none
}

extension Dataset {
  /// A dataset from arrays. Without `copy` the features are borrowed: they must outlive the dataset and
  /// stay as they are. Labels are always copied.
  ///
  /// - Parameter rowStride: bytes from one row to the next; 0 if they are packed.
  public static func make(
    features: UnsafeRawPointer, type: FeatureType, rows: Int, columns: Int, rowStride: Int = 0,
    labels: Labels = .none, copy: Bool = false
  ) throws(Failure) -> Dataset {
    guard rows > 0 else { throw .invalidArgument("rows is \(rows), but must be at least 1") }
    guard (1...Shape.limit).contains(columns) else {
      throw .invalidArgument("columns is \(columns), but must be 1 to \(Shape.limit)")
    }
    let rowBytes = columns * type.byteCount
    let stride = rowStride == 0 ? rowBytes : rowStride
    guard stride >= rowBytes, stride % type.byteCount == 0 else {
      throw .invalidArgument(
        """
        row_stride_bytes is \(rowStride), but must be a multiple of \(type.byteCount), at least \(rowBytes)
        """
      )
    }
    let (byteCount, overflow) = rows.multipliedReportingOverflow(by: stride)
    // An address has 57 bits at most.
    guard !overflow, byteCount < 1 << 57 else {
      throw .invalidArgument("\(rows) rows of \(stride) bytes are too many")
    }
    guard type == .u8 || Int(bitPattern: features) % 4 == 0 else {
      throw .invalidArgument("float features must be aligned to 4 bytes")
    }
    let ownLabels = try readLabels(labels, rows: rows)
    if type == .f32 {
      for row in 0..<rows {
        let values = (features + row * stride).assumingMemoryBound(to: Float.self)
        if let column = firstNonFinite(UnsafeBufferPointer(start: values, count: columns)) {
          throw .invalidArgument("the feature in row \(row), column \(column) is not finite")
        }
      }
    }
    guard copy else {
      return Dataset(
        borrowing: features, type: type, rows: rows, columns: columns, rowStride: stride,
        labels: ownLabels, storage: try Buffer(uninitialized: 0))
    }
    let storage = try Buffer<UInt8>(uninitialized: rows * rowBytes)
    for row in 0..<rows { memcpy(storage.base + row * rowBytes, features + row * stride, rowBytes) }
    return Dataset(
      borrowing: UnsafeRawPointer(storage.base), type: type, rows: rows, columns: columns,
      rowStride: rowBytes, labels: ownLabels, storage: storage)
  }

  private static func readLabels(_ labels: Labels, rows: Int) throws(Failure) -> Buffer<Int32> {
    switch labels {
    case .none: return try Buffer(uninitialized: 0)
    case .u8(let values): return try checkedLabels(rows) { Int64(values[$0]) }
    case .i32(let values): return try checkedLabels(rows) { Int64(values[$0]) }
    case .i64(let values): return try checkedLabels(rows) { values[$0] }
    }
  }

  private static func checkedLabels(
    _ rows: Int, _ label: (Int) -> Int64
  ) throws(Failure) -> Buffer<Int32> {
    let buffer = try Buffer<Int32>(uninitialized: rows)
    for row in 0..<rows {
      let value = label(row)
      guard (0...Int64(labelLimit)).contains(value) else {
        throw .invalidArgument("the label in row \(row) is \(value), but must be 0 to \(labelLimit)")
      }
      buffer[row] = Int32(truncatingIfNeeded: value)
    }
    return buffer
  }

  /// Copies rows out: features as the float32 that training sees, and labels; nil skips either.
  public func read(
    firstRow: Int, rows count: Int, features: UnsafeMutablePointer<Float>?,
    labels: UnsafeMutablePointer<Int64>?
  ) throws(Failure) {
    guard firstRow >= 0, count >= 0, firstRow <= rows, count <= rows - firstRow else {
      throw .invalidArgument(
        "\(count) rows from row \(firstRow) on are not within the dataset's \(rows) rows")
    }
    guard labels == nil || hasLabels else { throw .invalidArgument("the dataset has no labels") }
    for index in 0..<count {
      let source = row(firstRow + index)
      if let features {
        let target = features + index * columns
        switch featureType {
        case .u8:
          let bytes = source.assumingMemoryBound(to: UInt8.self)
          for column in 0..<columns { target[column] = Float(bytes[column]) / 255 }
        case .f32: memcpy(target, source, columns * 4)
        }
      }
      if let labels { labels[index] = Int64(label(firstRow + index)) }
    }
  }
}
