// The safetensors format (https://github.com/huggingface/safetensors): the size of a header in eight
// bytes, the header as JSON, and the elements of all tensors, without gaps and overlaps.

enum Safetensors {
  /// The format allows a hundred million bytes; the checkpoints of this network have some hundred.
  private static let headerLimit = 1 << 24

  /// What the header calls the types of elements.
  private static var types: [(name: String, type: ElementType)] {
    [
      ("F32", .float32), ("F64", .float64), ("F16", .float16), ("BF16", .bfloat16), ("I64", .int64),
      ("I32", .int32), ("I16", .int16), ("I8", .int8), ("U64", .uint64), ("U32", .uint32),
      ("U16", .uint16), ("U8", .uint8), ("BOOL", .bool),
    ]
  }

  /// Eight bytes of size, and the brace that a header begins with.
  static func isOne(_ head: borrowing Buffer<UInt8>) -> Bool {
    head.count >= 9 && head[8] == UInt8(ascii: "{")
  }

  static func read(_ file: borrowing File) throws(Failure) -> Contents {
    let path = file.path
    func damaged(_ what: Message) -> Failure {
      .badFile("\(path) is a damaged safetensors file: \(what.text)")
    }
    let size = try Buffer<UInt8>(uninitialized: 8)
    try file.read(at: 0, into: .init(size.mutable))
    let headerSize = size.u64(0)
    guard headerSize <= file.byteCount - 8 else { throw damaged("its header is cut off") }
    guard headerSize <= headerLimit else { throw damaged("its header has \(headerSize) bytes") }
    let header = try Buffer<UInt8>(uninitialized: headerSize)
    try file.read(at: 8, into: .init(header.mutable))
    // The shortest pair of texts has seven bytes here, and two hundred in an array that is doubled.
    try checkMemory(64 * headerSize)
    var reader = JSONReader(header)
    let (start, available) = (8 + headerSize, file.byteCount - 8 - headerSize)
    var tensors: [Tensor] = []
    var metadata: [(name: String, value: Scalar)] = []
    var hasMetadata = false
    let isObject = try reader.object { reader, name throws(Failure) in
      guard name.utf8.count <= Contents.nameLimit, tensors.count < Contents.tensorLimit else {
        throw damaged("it has too many tensors, or one with a very long name")
      }
      if name.equals("__metadata__") {
        guard !hasMetadata else { return false }
        hasMetadata = true
        return try reader.object { reader, key throws(Failure) in
          guard let text = reader.string(), metadata.count < Contents.tensorLimit else { return false }
          metadata.append((key, .text(text)))
          return true
        }
      }
      guard let entry = try Entry(&reader) else { return false }
      guard let type = types.first(where: { $0.name.equals(entry.type) })?.type else {
        throw .unsupported("\(path): \(name) has elements of the unknown type \(entry.type)")
      }
      guard let count = elementCount(entry.sizes), entry.end <= available, entry.begin <= entry.end,
        count.multipliedReportingOverflow(by: type.byteCount) == (entry.end - entry.begin, false)
      else { throw damaged("the sizes of \(name) do not fit its data") }
      let storage = Storage(
        start: start + entry.begin, storedByteCount: entry.end - entry.begin,
        byteCount: entry.end - entry.begin)
      tensors.append(
        Tensor(
          container: "", key: name, type: type, sizes: entry.sizes,
          strides: packedStrides(entry.sizes), offset: 0, storage: storage))
      return true
    }
    guard isObject, reader.isAtEnd() else { throw damaged("its header is not what it should be") }
    try checkCoverage(tensors, from: start, to: file.byteCount, damaged)
    try checkNames(tensors.map { $0.key }, damaged)
    try checkNames(metadata.map { $0.name }, damaged)
    return Contents(tensors: tensors, scalars: metadata)
  }

  /// The tensors' data must follow each other and fill the file.
  private static func checkCoverage(
    _ tensors: [Tensor], from start: Int, to end: Int, _ damaged: (Message) -> Failure
  ) throws(Failure) {
    var position = start
    let order = sortedIndices(tensors.count) {
      let (one, other) = (tensors[$0].storage, tensors[$1].storage)
      return (one.start, one.byteCount) < (other.start, other.byteCount)
    }
    for index in order {
      guard tensors[index].storage.start == position else {
        throw damaged("there is a gap or an overlap between its tensors")
      }
      position += tensors[index].storage.byteCount
    }
    guard position == end else { throw damaged("it has bytes that belong to no tensor") }
  }

  private static func checkNames(
    _ names: [String], _ damaged: (Message) -> Failure
  ) throws(Failure) {
    var previous: String?
    for index in sortedIndices(names.count, by: { names[$0].precedes(names[$1]) }) {
      if let previous, names[index].equals(previous) {
        throw damaged("the name \(previous) occurs twice")
      }
      previous = names[index]
    }
  }

  /// {"dtype": "F32", "shape": [100, 784], "data_offsets": [0, 313600]} in any order.
  private struct Entry {
    private(set) var type = ""
    private(set) var sizes: [Int] = []
    private(set) var begin = 0
    private(set) var end = 0

    /// Nil if it is something else.
    init?(_ reader: inout JSONReader) throws(Failure) {
      var (type, sizes, offsets): (String?, [Int]?, [Int]?)
      let isObject = try reader.object { reader, key throws(Failure) in
        if key.equals("dtype"), type == nil {
          type = reader.string()
          return type != nil
        }
        if key.equals("shape"), sizes == nil {
          sizes = reader.numbers(limit: rankLimit)
          return sizes != nil
        }
        if key.equals("data_offsets"), offsets == nil {
          offsets = reader.numbers(limit: 2)
          return offsets?.count == 2
        }
        return false
      }
      guard isObject, let type, let sizes, let offsets else { return nil }
      (self.type, self.sizes, begin, end) = (type, sizes, offsets[0], offsets[1])
    }
  }
}

// Writing.
extension Safetensors {
  /// Writes what `safetensors.torch.save_file` writes: tensors in the order of their names, and a header
  /// padded to a multiple of eight bytes.
  static func save(_ tensors: [TensorSource], to path: String) throws(Failure) {
    let sorted = sortedIndices(tensors.count) { tensors[$0].name.precedes(tensors[$1].name) }
      .map { tensors[$0] }
    var header: [UInt8] = [UInt8(ascii: "{")]
    var offset = 0
    for (index, tensor) in sorted.enumerated() {
      if index > 0 { header.append(",") }
      appendQuoted(tensor.name, to: &header)
      header.append(":{\"dtype\":\"F32\",\"shape\":[")
      for (dimension, size) in tensor.sizes.enumerated() {
        header.append((dimension > 0 ? "," : "") + String(size))
      }
      header.append("],\"data_offsets\":[" + String(offset) + ",")
      offset += 4 * tensor.count
      header.append(String(offset) + "]}")
    }
    header.append("}")
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    var start: [UInt8] = []
    start.append(little: header.count)
    let file = try FileWriter(path)
    try file.write(all: start + header)
    for tensor in sorted {
      let values = try tensor.values()
      try file.write(UnsafeRawBufferPointer(values.readOnly))
    }
    try file.commit()
  }

  private static func appendQuoted(_ text: String, to bytes: inout [UInt8]) {
    let digits = "0123456789abcdef".bytes
    bytes.append("\"")
    for byte in text.bytes {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case 0..<0x20:
        bytes.append("\\u00")
        bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: bytes.append(byte)
      }
    }
    bytes.append("\"")
  }
}
