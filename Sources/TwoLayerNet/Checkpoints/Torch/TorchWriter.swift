// Writing what torch.save of PyTorch 2.1.2 writes, byte for byte.

/// A float32 tensor to be written: its name, its sizes, and how to get at its elements.
struct TensorSource {
  let name: String
  let sizes: [Int]
  /// Fills exactly as many values as the sizes say.
  let read: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Void

  var count: Int { sizes.reduce(1, *) }

  func values() throws(Failure) -> Buffer<Float> {
    let values = try Buffer<Float>(uninitialized: count)
    try read(values.mutable)
    return values
  }
}

enum TorchWriter {
  /// torch.save(value, path).
  ///
  /// - Parameters:
  ///   - tensors: those in `value`, which refers to them by their index.
  ///   - comment: text for the archive's comment, which PyTorch does not read; at most 65,535 bytes.
  static func save(
    _ value: Picklable, tensors: [TensorSource], to path: String, comment: [UInt8] = []
  ) throws(Failure) {
    var archive = try ZipWriter(path, root: archiveName(path))
    try archive.add("data.pkl", PickleWriter.pickle(value))
    try archive.add("byteorder", Array("little".utf8))
    // PyTorch sorts the numbers of the storages as text.
    let keys = tensors.indices.map { (text: String($0), index: $0) }
      .sorted { $0.text.precedes($1.text) }
    for key in keys {
      let values = try tensors[key.index].values()
      try archive.add("data/" + key.text, UnsafeRawBufferPointer(values.readOnly))
    }
    try archive.add("version", Array("3\n".utf8))
    let id = serializationID(names: archive.names, checksums: archive.checksums)
    try archive.add(".data/serialization_id", Array(id.utf8))
    try archive.finish(comment: comment)
  }

  /// The file's name without its last ending; "archive" if the path is not ASCII, as PyTorch has it
  /// there, and where nothing else is left.
  private static func archiveName(_ path: String) -> String {
    let bytes = path.utf8
    if bytes.contains(where: { $0 >= 0x80 }) { return "archive" }
    let separators = [UInt8(ascii: "/"), UInt8(ascii: "\\")]
    var name = bytes[...]
    if let slash = bytes.lastIndex(where: { separators.contains($0) }) {
      name = bytes[bytes.index(after: slash)...]
    }
    if let dot = name.lastIndex(of: UInt8(ascii: ".")) { name = name[..<dot] }
    return name.isEmpty ? "archive" : String(Substring(name))
  }
}
