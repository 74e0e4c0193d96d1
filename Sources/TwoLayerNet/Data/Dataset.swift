// Rows of features with labels, in memory, never changed after creation. How one is made from arrays is
// told in Dataset+Arrays.swift, how it is read from files in IDX.swift.

import Synchronization

/// What the features of a dataset are stored as.
public enum FeatureType: Int32, Sendable {
  /// Unsigned bytes, used as byte / 255 in float32.
  case u8 = 0
  case f32 = 1

  var byteCount: Int { self == .u8 ? 1 : 4 }
}

/// The number of datasets that were made.
private let datasets = Atomic<Int>(0)

/// Rows of features, with or without labels. Immutable, so any number of threads may read it.
public final class Dataset {
  /// No other dataset of this process has or had it: what a device knows its copy by.
  let serial: Int
  public let rows: Int
  public let columns: Int
  public let featureType: FeatureType
  /// The features; row r begins at byte r * rowStride.
  let features: UnsafeRawPointer
  let rowStride: Int
  /// One label for each row; empty if there are none.
  private let labels: Buffer<Int32>
  /// The largest label, or -1 if there are none.
  let largestLabel: Int
  /// The share of features that are not zero, as a sample of the rows has it.
  let density: Float
  /// The features, if this dataset owns them; else empty.
  private let storage: Buffer<UInt8>
  /// The dataset that owns the features, if this is a part of another.
  private let whole: Dataset?

  /// The largest label that a dataset may hold.
  static let labelLimit = Shape.limit

  /// Rows that can be shuffled: an order is made of 32-bit indices.
  static let rowLimit = Int(UInt32.max)

  /// Borrows `features`, which must outlive the dataset. Everything has been checked by the caller.
  init(
    borrowing features: UnsafeRawPointer, type: FeatureType, rows: Int, columns: Int, rowStride: Int,
    labels: consuming Buffer<Int32>, storage: consuming Buffer<UInt8>, whole: Dataset? = nil
  ) {
    serial = datasets.wrappingAdd(1, ordering: .relaxed).newValue
    self.features = features
    self.rows = rows
    self.columns = columns
    self.featureType = type
    self.rowStride = rowStride
    density = sampledDensity(of: type, rows: rows, columns: columns, limit: 64) {
      features + $0 &* rowStride
    }
    var largest: Int32 = -1
    for index in 0..<labels.count where labels[index] > largest { largest = labels[index] }
    largestLabel = Int(largest)
    self.labels = labels
    self.storage = storage
    self.whole = whole
  }

  /// Some rows of this dataset as another one, which keeps this one alive and shares its features.
  public func part(firstRow: Int, rows count: Int) throws(Failure) -> Dataset {
    guard firstRow >= 0, count > 0, firstRow <= rows, count <= rows - firstRow else {
      throw .invalidArgument(
        "\(count) rows from row \(firstRow) on are not within the dataset's \(rows) rows")
    }
    let partLabels = try Buffer<Int32>(uninitialized: hasLabels ? count : 0)
    for index in 0..<partLabels.count { partLabels[index] = label(firstRow + index) }
    return Dataset(
      borrowing: row(firstRow), type: featureType, rows: count, columns: columns, rowStride: rowStride,
      labels: partLabels, storage: try Buffer(uninitialized: 0), whole: self)
  }

  public var hasLabels: Bool { largestLabel >= 0 }

  /// The label of a row of a dataset that has labels.
  @inline(__always)
  func label(_ row: Int) -> Int32 { labels[row] }

  /// The labels of all rows, in loops that are too short for a call a row.
  var labelBase: UnsafePointer<Int32> { UnsafePointer(labels.base) }

  var rowByteCount: Int { columns &* featureType.byteCount }

  @inline(__always)
  func row(_ row: Int) -> UnsafeRawPointer { features + row &* rowStride }

  /// Refuses a dataset that a network of this shape cannot be trained or tested on.
  func check(fits shape: Shape) throws(Failure) {
    guard columns == shape.input else {
      throw .invalidArgument(
        "the dataset has \(columns) features in a row, but the network has \(shape.input) inputs")
    }
    guard hasLabels else { throw .invalidArgument("the dataset has no labels") }
    guard largestLabel < shape.output else {
      throw .invalidArgument(
        "the dataset has a label \(largestLabel), but the network has \(shape.output) outputs")
    }
  }
}
