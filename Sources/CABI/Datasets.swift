// tln_dataset_...

public import CTwoLayerNet
internal import TwoLayerNet

@implementation @_cdecl("tln_dataset_options_init")
public func tln_dataset_options_init(_ options: UnsafeMutablePointer<tln_dataset_options>?) {
  if let options {
    UnsafeMutableRawPointer(options).storeBytes(of: defaults(), as: tln_dataset_options.self)
  }
}

private func defaults() -> tln_dataset_options {
  var options = tln_dataset_options()
  options.struct_size = MemoryLayout<tln_dataset_options>.size
  options.feature_type = Int32(TLN_FEATURES_U8)
  options.label_type = Int32(TLN_LABELS_I64)
  return options
}

@implementation @_cdecl("tln_dataset_create")
public func tln_dataset_create(
  _ options: UnsafePointer<tln_dataset_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_dataset")
    let values = try readOptions(options, defaults: defaults(), "options")
    guard let features = values.features else { throw Failure(.invalidArgument, "features is NULL") }
    guard let type = FeatureType(rawValue: values.feature_type) else {
      throw Failure(.invalidArgument, "feature_type is \(values.feature_type), which is no type")
    }
    place.pointee = handle(
      try Dataset.make(
        features: features, type: type, rows: Int(values.rows), columns: Int(values.columns),
        rowStride: Int(values.row_stride_bytes), labels: try labels(values),
        copy: try flag(values.copy, "copy")))
  }
}

private func labels(_ options: tln_dataset_options) throws(Failure) -> Labels {
  guard let labels = options.labels else { return .none }
  switch Int(options.label_type) {
  case TLN_LABELS_U8: return .u8(labels.assumingMemoryBound(to: UInt8.self))
  case TLN_LABELS_I32:
    return .i32(try required(labels.assumingMemoryBound(to: Int32.self), "labels"))
  case TLN_LABELS_I64:
    return .i64(try required(labels.assumingMemoryBound(to: Int64.self), "labels"))
  default:
    throw Failure(.invalidArgument, "label_type is \(options.label_type), which is no type")
  }
}

@implementation @_cdecl("tln_dataset_open_idx")
public func tln_dataset_open_idx(
  _ imagesPath: UnsafePointer<CChar>?, _ labelsPath: UnsafePointer<CChar>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_dataset")
    let images = try path(imagesPath, "images_path")
    let labels = labelsPath == nil ? nil : try path(labelsPath, "labels_path")
    place.pointee = handle(try Dataset.openIDX(images: images, labels: labels))
  }
}

@implementation @_cdecl("tln_dataset_open_mnist")
public func tln_dataset_open_mnist(
  _ directory: UnsafePointer<CChar>?, _ train: Int32, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_dataset")
    let directory = try path(directory, "directory")
    place.pointee = handle(try Dataset.openMNIST(directory, train: try flag(train, "train")))
  }
}

@implementation @_cdecl("tln_dataset_shape")
public func tln_dataset_shape(
  _ dataset: OpaquePointer?, _ outRows: UnsafeMutablePointer<Int64>?,
  _ outColumns: UnsafeMutablePointer<Int64>?
) -> tln_status {
  boundary { () throws(Failure) in
    let dataset = try object(dataset, "dataset", as: Dataset.self)
    let (rows, columns) = (try optional(outRows, "out_rows"), try optional(outColumns, "out_columns"))
    rows?.pointee = Int64(dataset.rows)
    columns?.pointee = Int64(dataset.columns)
  }
}

@implementation @_cdecl("tln_dataset_read")
public func tln_dataset_read(
  _ dataset: OpaquePointer?, _ firstRow: Int64, _ rows: Int64,
  _ outFeatures: UnsafeMutablePointer<Float>?, _ outLabels: UnsafeMutablePointer<Int64>?
) -> tln_status {
  boundary { () throws(Failure) in
    let dataset = try object(dataset, "dataset", as: Dataset.self)
    try dataset.read(
      firstRow: Int(firstRow), rows: Int(rows), features: try optional(outFeatures, "out_features"),
      labels: try optional(outLabels, "out_labels"))
  }
}

@implementation @_cdecl("tln_dataset_free")
public func tln_dataset_free(_ dataset: OpaquePointer?) { release(dataset, as: Dataset.self) }
