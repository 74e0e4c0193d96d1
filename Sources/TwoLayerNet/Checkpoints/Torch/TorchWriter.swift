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
    try archive.add("byteorder", "little".bytes)
    // PyTorch sorts the numbers of the storages as text.
    let keys = tensors.indices.map { String($0) }
    for index in sortedIndices(keys.count, by: { keys[$0].precedes(keys[$1]) }) {
      let values = try tensors[index].values()
      try archive.add("data/" + keys[index], UnsafeRawBufferPointer(values.readOnly))
    }
    try archive.add("version", "3\n".bytes)
    let id = serializationID(names: archive.names, checksums: archive.checksums)
    try archive.add(".data/serialization_id", id.bytes)
    try archive.finish(comment: comment)
  }

  /// The file's name without its last ending; "archive" if the path is not ASCII, as PyTorch has it
  /// there, and where nothing else is left.
  private static func archiveName(_ path: String) -> String {
    let bytes = path.bytes
    if bytes.contains(where: { $0 >= 0x80 }) { return "archive" }
    var name = bytes[...]
    if let slash = bytes.lastIndex(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }) {
      name = bytes[(slash + 1)...]
    }
    if let dot = name.lastIndex(of: UInt8(ascii: ".")) { name = name[..<dot] }
    return name.isEmpty ? "archive" : String(bytes: name)
  }
}
