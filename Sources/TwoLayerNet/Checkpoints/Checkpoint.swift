// A checkpoint file, whatever its format: named tensors, and named values beside them. This is the list
// of formats; what the names mean for a network or a trainer is in NetworkCheckpoint and
// TrainerCheckpoint.

import CSystem

/// A file of named tensors, open for reading. Its structure has been checked; elements are read, checked
/// and converted when they are asked for.
public final class Checkpoint {
  public enum Format: Sendable {
    /// An archive of torch.save, since PyTorch 1.6.
    case torch
    /// A stream of torch.save, before PyTorch 1.6.
    case torchStream
    case safetensors
    /// An archive of numpy.savez, which only the command line reads.
    case numpy

    public var name: String {
      switch self {
      case .torch: "PyTorch"
      case .torchStream: "PyTorch before 1.6"
      case .safetensors: "safetensors"
      case .numpy: "NumPy"
      }
    }
  }

  public let format: Format
  /// In the file's order.
  public let tensors: [Tensor]
  /// Everything else that the file says, such as "epoch" or "optimizer.param_groups.0.lr".
  public let scalars: [(name: String, value: Scalar)]
  /// The comment of a zip archive.
  let comment: [UInt8]
  private let file: File

  public var path: String { file.path }

  init(
    _ format: Format, _ contents: Contents, comment: [UInt8], _ file: consuming File
  ) {
    self.format = format
    tensors = contents.tensors
    scalars = contents.scalars
    self.comment = comment
    self.file = file
  }

  public static func open(_ path: String) throws(Failure) -> Checkpoint { try read(File(path)) }

  /// The format is told by content. The file may be memory, which must then outlive the checkpoint.
  public static func read(_ file: consuming File) throws(Failure) -> Checkpoint {
    let head = try Buffer<UInt8>(uninitialized: min(file.byteCount, TorchFile.magicByteCount))
    try file.read(at: 0, into: .init(head.mutable))
    if TorchFile.isArchive(head) {
      let (contents, comment) = try TorchFile.readArchive(file)
      return Checkpoint(.torch, contents, comment: comment, file)
    }
    if TorchFile.isStream(head) {
      return Checkpoint(.torchStream, try TorchFile.readStream(file), comment: [], file)
    }
    if Safetensors.isOne(head) {
      return Checkpoint(.safetensors, try Safetensors.read(file), comment: [], file)
    }
    throw .badFile("\(file.path) is neither a PyTorch file nor a safetensors file")
  }

  /// Reads the elements of a tensor as float32, row-major. `values` holds exactly `tensor.count`.
  public func read(
    _ tensor: Tensor, into values: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) {
    guard values.count == tensor.count else {
      throw .invalidArgument("\(tensor.name) has \(tensor.count) elements, not \(values.count)")
    }
    let bytes = try file.bytes(of: tensor.storage)
    tensor.convert(bytes, into: values)
  }

  func scalar(_ name: String) -> Scalar? { scalars.first { $0.name.equals(name) }?.value }

  func tensor(_ name: String) -> Tensor? { tensors.first { $0.name.equals(name) } }

  /// The elements of a tensor, all of which must be finite.
  func finiteValues(_ tensor: Tensor) throws(Failure) -> Buffer<Float> {
    let values = try Buffer<Float>(uninitialized: tensor.count)
    try read(tensor, into: values.mutable)
    if let index = firstNonFinite(values.readOnly) {
      throw .badFile("\(path): element \(index) of \(tensor.name) is not finite")
    }
    return values
  }
}

// Writing.
extension Checkpoint {
  /// Writes all tensors, as float32 and with the names they have, to a file whose ending selects the
  /// format.
  public func write(to path: String) throws(Failure) {
    let sources = tensors.map { tensor in
      TensorSource(name: tensor.name, sizes: tensor.sizes) { values throws(Failure) in
        try self.read(tensor, into: values)
      }
    }
    try Self.write(sources, modules: [], to: path)
  }

  /// - Parameter modules: see `Picklable.stateDictionary`.
  static func write(_ tensors: [TensorSource], modules: [String], to path: String) throws(Failure) {
    switch try format(ofPath: path) {
    case .safetensors: try Safetensors.save(tensors, to: path)
    default:
      let value = Picklable.stateDictionary(entries(tensors, firstStorage: 0), modules: modules)
      try TorchWriter.save(value, tensors: tensors, to: path)
    }
  }

  /// Names and tensors of a dictionary whose storages are numbered from `firstStorage`.
  static func entries(
    _ tensors: [TensorSource], firstStorage: Int
  ) -> [(key: String, value: Picklable)] {
    tensors.indices.map {
      (tensors[$0].name, .tensor(storage: firstStorage + $0, sizes: tensors[$0].sizes))
    }
  }

  /// The format that the ending of a path stands for.
  static func format(ofPath path: String) throws(Failure) -> Format {
    if path.dropping(ending: ".pth") != nil || path.dropping(ending: ".pt") != nil { return .torch }
    if path.dropping(ending: ".safetensors") != nil { return .safetensors }
    throw .unsupported("\(path) does not end in .pth, .pt or .safetensors, so its format is unknown")
  }
}
