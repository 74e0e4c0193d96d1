// NumPy's .npz as a checkpoint: a zip archive of .npy files
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Only the command line reads
// these, so the embedded library goes without.

#if !hasFeature(Embedded)

  import CSystem

  extension Checkpoint {
    /// What `open` opens, or an archive of arrays that numpy.savez or savez_compressed wrote.
    package static func openWithNumPy(_ path: String) throws(Failure) -> Checkpoint {
      let file = try File(path)
      let head = try Buffer<UInt8>(uninitialized: min(file.byteCount, TorchFile.magicByteCount))
      try file.read(at: 0, into: .init(head.mutable))
      guard TorchFile.isArchive(head) else {
        guard TorchFile.isStream(head) || Safetensors.isOne(head) else {
          throw .badFile("\(path) is no network's file: none of .pth, .safetensors and .npz")
        }
        return try open(path)
      }
      let archive = try ZipArchive(file)
      guard archive.entries.contains(where: { $0.name.hasSuffix(".npy") }) else {
        return try open(path)
      }
      var tensors: [Tensor] = []
      for entry in archive.entries {
        guard entry.name.hasSuffix(".npy") else {
          throw .badFile("\(path) holds \(entry.name), which is no NumPy array")
        }
        let bytes = try file.bytes(of: entry.storage)
        let array = Array(bytes.readOnly)
        tensors.append(try NumPyArray(array, name: "\(path): \(entry.name)").tensor(entry))
      }
      return Checkpoint(.numpy, Contents(tensors: tensors, scalars: []), comment: [], file)
    }
  }

  /// What the header of a .npy file says.
  private struct NumPyArray {
    let type: ElementType
    let isBigEndian: Bool
    let isColumnMajor: Bool
    let sizes: [Int]
    /// Of the header: where the elements begin.
    let headerByteCount: Int

    private static let types: [String: ElementType] = [
      "f2": .float16, "f4": .float32, "f8": .float64, "b1": .bool, "i1": .int8, "i2": .int16,
      "i4": .int32, "i8": .int64, "u1": .uint8, "u2": .uint16, "u4": .uint32, "u8": .uint64,
    ]

    /// NumPy refuses longer ones too, as its max_header_size.
    private static let headerLimit = 10_000

    /// Reads and checks the header of the whole file's bytes.
    init(_ bytes: [UInt8], name: String) throws(Failure) {
      let damaged = Failure.badFile("\(name) is not a NumPy array")
      guard bytes.count >= 12, bytes.starts(with: [0x93] + Array("NUMPY".utf8)),
        (1...3).contains(bytes[6])
      else { throw damaged }
      let width = bytes[6] == 1 ? 2 : 4
      let length = (0..<width).reduce(0) { $0 | Int(bytes[8 + $1]) << (8 * $1) }
      headerByteCount = 8 + width + length
      guard length <= Self.headerLimit, headerByteCount <= bytes.count else { throw damaged }
      let header = String(decoding: bytes[(8 + width)..<headerByteCount], as: UTF8.self)

      /// What follows the name of a member, without leading spaces.
      func member(_ name: String) -> Substring? {
        header.firstRange(of: "'\(name)':").map { header[$0.upperBound...].drop { $0 == " " } }
      }
      guard let description = member("descr"), let order = member("fortran_order"),
        let shape = member("shape"), shape.first == "(", let end = shape.firstIndex(of: ")")
      else { throw damaged }
      let kind = description.dropFirst().prefix { $0 != "'" }
      guard description.first == "'", let type = Self.types[String(kind.dropFirst())] else {
        throw .unsupported("\(name) has elements of type \(String(description.prefix(20)))")
      }
      self.type = type
      isBigEndian = kind.first == ">"
      isColumnMajor = order.hasPrefix("True")
      var sizes: [Int] = []
      for word in shape[..<end].dropFirst().split(separator: ",") {
        guard let size = Int(word.filter { $0 != " " }) else { throw damaged }
        sizes.append(size)
      }
      self.sizes = sizes
      guard let count = elementCount(sizes), count <= bytes.count,
        bytes.count - headerByteCount == count * type.byteCount
      else { throw .badFile("\(name) does not hold as many elements as its header says") }
      guard headerByteCount % type.byteCount == 0 else {
        throw .unsupported("\(name) has elements that are not aligned")
      }
    }

    func tensor(_ entry: ZipEntry) -> Tensor {
      var storage = entry.storage
      storage.isBigEndian = isBigEndian
      let strides = isColumnMajor ? packedStrides(sizes.reversed()).reversed() : packedStrides(sizes)
      return Tensor(
        container: "", key: String(entry.name.dropLast(".npy".count)), type: type, sizes: sizes,
        strides: strides, offset: headerByteCount / type.byteCount, storage: storage)
    }
  }

#endif
