// Checkpoint files as files of tensors: zip archives, pickles, safetensors, PyTorch's files and NumPy's.
// What is accepted has elements that can be read, and can be written and read back equal.

import CSystem
import TestSupport

@testable import TwoLayerNet

extension FuzzTarget {
  /// Entries may be deflated, and elements are converted from one byte to a float.
  private static let deflated = (base: 48 << 20, perByte: 24 * 1040)

  static let archive = FuzzTarget(name: "zip", memory: deflated) { input in
    let found: ([String], [UInt8])? = acceptedFile { () throws(Failure) in
      let archive = try ZipArchive(memoryFile(input))
      return (archive.entries.map(\.name), archive.comment)
    }
    guard let (names, comment) = found else { return }
    require(
      zip(names, names.dropFirst()).allSatisfy { $0.precedes($1) }, "names out of order, or twice")
    var members: [ZipMember] = []
    for name in names.prefix(32) {
      guard
        let bytes = acceptedFile({ () throws(Failure) in
          try memoryFile(input).contents(ofZipEntry: name)
        })
      else { continue }
      require(bytes.count <= 1040 * input.count, "an entry larger than deflate can make it")
      if name.utf8.count < 1 << 16 { members.append(ZipMember(name, bytes)) }
    }
    var builder = ZipBuilder(members)
    builder.comment = comment
    builder.bytes.withUnsafeBytes { copy in
      let again: [UInt8]? = acceptedFile { () throws(Failure) in
        let archive = try ZipArchive(memoryFile(copy))
        require(archive.entries.count == members.count, "another number of entries")
        return archive.comment
      }
      require(again == comment, "what was read cannot be read again")
      for member in members {
        let name = String(decoding: member.name, as: UTF8.self)
        let bytes = acceptedFile { () throws(Failure) in
          try memoryFile(copy).contents(ofZipEntry: name)
        }
        require(bytes == member.bytes, "\(name) is different")
      }
    }
  }

  /// A bare pickle; what it says about storages is made true by an archive around it.
  static let pickle = FuzzTarget(name: "pickle", memory: (base: 64 << 20, perByte: 2048)) { input in
    let storages: [(key: String, bytes: [UInt8])]? = acceptedFile { () throws(Failure) in
      let bytes = try Buffer(copying: Array(input))
      var reader = PickleReader(path: "input", bytes)
      _ = try reader.next()
      var found: [(key: String, bytes: [UInt8])] = []
      var room = 1 << 20
      for storage in reader.storages {
        guard let key = reader.text(storage.key) else { throw .badFile("a key that is no text") }
        if found.contains(where: { $0.key.equals(key) }) { continue }
        let (count, overflow) = storage.count.multipliedReportingOverflow(by: storage.type.byteCount)
        guard !overflow, count <= room, key.utf8.count < 1 << 15, found.count < 64 else { break }
        room -= count
        found.append((key, (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 5) }))
      }
      return found
    }
    guard let storages else { return }
    TorchBuilder(pickle: Array(input), storages: storages).bytes.withUnsafeBytes {
      checkCheckpoint(memoryFile($0))
    }
  }

  static let safetensors = FuzzTarget(name: "safetensors", memory: (base: 48 << 20, perByte: 512)) {
    input in
    // Only this format's reader, whatever the bytes look like.
    let isSafetensors: Bool? = acceptedFile { () throws(Failure) in
      let head = try Buffer(copying: Array(input.prefix(16)))
      return Safetensors.isOne(head)
    }
    if isSafetensors == true { checkCheckpoint(memoryFile(input)) }
  }

  static let torch = FuzzTarget(name: "torch", memory: deflated) { checkCheckpoint(memoryFile($0)) }

  static let npz = FuzzTarget(name: "npz", memory: deflated) { input in
    withFile("npz", input) { path in
      guard let checkpoint = acceptedFile({ () throws(Failure) in try Checkpoint.openWithNumPy(path) })
      else { return }
      check(checkpoint)
    }
  }

  private static func checkCheckpoint(_ file: consuming File) {
    let result: Checkpoint?
    do throws(Failure) { result = try Checkpoint.read(file) } catch {
      require(error.status == .badFile || error.status == .unsupported, error.message)
      result = nil
    }
    if let result { check(result) }
  }
}

/// A tensor's elements as they were read.
private struct Elements: Equatable {
  let name: String
  let sizes: [Int]
  let bits: [UInt32]
}

/// Reads what a checkpoint holds, some hundred tensors of it at most; nil for elements that are damaged.
private func elements(_ checkpoint: Checkpoint) -> [Elements?] {
  checkpoint.tensors.prefix(100).map { tensor in
    acceptedFile { () throws(Failure) in
      let values = try Buffer<Float>(uninitialized: tensor.count)
      try checkpoint.read(tensor, into: values.mutable)
      return Elements(name: tensor.name, sizes: tensor.sizes, bits: values.readOnly.map(\.bitPattern))
    }
  }
}

/// A checkpoint that was accepted.
func check(_ checkpoint: Checkpoint) {
  let read = elements(checkpoint)
  checkScalars(checkpoint)
  let whole = read.compactMap { $0 }
  // A file cannot hold two tensors of one name, and none of these.
  let names = Set(whole.map { Array($0.name.utf8) })
  guard whole.count == checkpoint.tensors.count, names.count == whole.count,
    !names.contains(Array("__metadata__".utf8)), names.allSatisfy({ $0.count < 1000 }),
    whole.reduce(0, { $0 + $1.bits.count }) < 1 << 18
  else { return }
  for ending in ["pth", "safetensors"] {
    withPath(ending) { path in
      let again: Checkpoint? = accepted { () throws(Failure) in
        try checkpoint.write(to: path)
        return try Checkpoint.open(path)
      }
      require(again != nil, "what was read cannot be written and read again as .\(ending)")
      let copies = elements(again!).compactMap { $0 }
      let order: (Elements, Elements) -> Bool = { $0.name.precedes($1.name) }
      require(
        copies.sorted(by: order) == whole.sorted(by: order), "the copy as .\(ending) is different")
    }
  }
}

/// The values beside the tensors, written in a dictionary and read again.
private func checkScalars(_ checkpoint: Checkpoint) {
  let scalars = checkpoint.scalars.prefix(200).filter { $0.name.utf8.count < 1000 }
  guard checkpoint.format != .safetensors else { return }
  let pickled = PickleWriter.pickle(.dictionary(scalars.map { (.text($0.name), $0.value.pickled) }))
  TorchBuilder(pickle: pickled, storages: []).bytes.withUnsafeBytes { file in
    let again = acceptedFile { () throws(Failure) in try Checkpoint.read(memoryFile(file)) }
    require(again != nil, "values cannot be read again")
    require(again!.scalars.count == scalars.count, "another number of values")
    for (copy, scalar) in zip(again!.scalars, scalars) {
      require(
        copy.name.equals(scalar.name) && copy.value.isSame(as: scalar.value),
        "\(scalar) was read again as \(copy)")
    }
  }
}

extension Scalar {
  fileprivate var pickled: Picklable {
    switch self {
    case .none: .none
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .float(let value): .float(value)
    case .text(let value): .text(value)
    }
  }

  fileprivate func isSame(as other: Scalar) -> Bool {
    switch (self, other) {
    case (.none, .none): true
    case (.bool(let one), .bool(let two)): one == two
    case (.int(let one), .int(let two)): one == two
    case (.float(let one), .float(let two)): one.bitPattern == two.bitPattern
    case (.text(let one), .text(let two)): one.equals(two)
    default: false
    }
  }
}
