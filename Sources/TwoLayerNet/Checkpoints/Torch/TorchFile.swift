// Files of torch.save: an archive of a pickle and storages (PyTorch 1.6 and later), or a stream of
// pickles with the storages after them (before 1.6).

enum TorchFile {
  /// Pickles of checkpoints have some kilobytes; beyond this nothing is read.
  private static let pickleLimit = 1 << 24

  /// What a stream begins with, after the number of its pickle's protocol and in protocols 4 and 5 the
  /// size of a frame: the number 0x1950a86a20f9469cfc6c in ten bytes.
  private static let streamMagic: [UInt8] = [
    0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  ]
  static let magicByteCount = 24

  static func isArchive(_ head: borrowing Buffer<UInt8>) -> Bool {
    head.has(ZipArchive.signature, at: 0)
  }

  static func isStream(_ head: borrowing Buffer<UInt8>) -> Bool {
    for start in [2, 11] where head.count >= start + streamMagic.count {
      let end = start + streamMagic.count
      if head.readOnly[start..<end].elementsEqual(streamMagic) { return true }
    }
    return false
  }

  /// The contents of an archive, and its comment.
  static func readArchive(
    _ file: borrowing File
  ) throws(Failure) -> (contents: Contents, comment: [UInt8]) {
    let archive = try ZipArchive(file)
    let root = try findRoot(archive, file)
    func entry(_ name: String, limit: Int) throws(Failure) -> Buffer<UInt8>? {
      guard let entry = archive.find(root + name) else { return nil }
      guard entry.storage.byteCount <= limit else {
        throw .badFile("\(file.path) has a \(name) of \(entry.storage.byteCount) bytes")
      }
      return try file.bytes(of: entry.storage)
    }
    var isBigEndian = false
    if let order = try entry("byteorder", limit: 16) {
      isBigEndian = order.count == 3 && order.has("big", at: 0)
      guard isBigEndian || (order.count == 6 && order.has("little", at: 0)) else {
        throw .badFile("\(file.path) has an unknown order of bytes")
      }
    }
    guard let bytes = try entry("data.pkl", limit: pickleLimit) else {
      throw .badFile("\(file.path) has no data.pkl")
    }
    var pickle = PickleReader(path: file.path, bytes)
    let value = try pickle.next()
    var places: [Storage] = []
    for storage in pickle.storages {
      guard let key = pickle.text(storage.key), let entry = archive.find(root + "data/" + key) else {
        throw .badFile("\(file.path) is damaged: one of its tensors has no data")
      }
      var place = entry.storage
      place.isBigEndian = isBigEndian
      places.append(place)
    }
    return (try Contents(value, pickle, places), archive.comment)
  }

  /// The directory inside the archive that holds everything, with its slash.
  private static func findRoot(
    _ archive: borrowing ZipArchive, _ file: borrowing File
  ) throws(Failure) -> String {
    var root: String?
    for entry in archive.entries {
      guard let candidate = entry.name.dropping(ending: "data.pkl"),
        candidate.bytes.firstIndex(of: UInt8(ascii: "/")) == candidate.utf8.count - 1
      else { continue }
      guard root == nil else { throw .badFile("\(file.path) holds several checkpoints in one archive") }
      root = candidate
    }
    guard let root else {
      throw .badFile("\(file.path) is a zip archive, but not one of torch.save: it has no data.pkl")
    }
    guard archive.find(root + "constants.pkl") == nil else {
      throw .badFile("\(file.path) is a TorchScript program, not a checkpoint")
    }
    return root
  }

  /// The contents of a stream: magic number, version, a description of the machine that wrote it, the
  /// object, the keys of its storages, and the storages in this order, each with its count before.
  static func readStream(_ file: borrowing File) throws(Failure) -> Contents {
    let bytes = try Buffer<UInt8>(uninitialized: min(file.byteCount, pickleLimit))
    try file.read(at: 0, into: .init(bytes.mutable))
    var pickle = PickleReader(path: file.path, bytes)
    _ = try pickle.next()
    guard case .int(1001) = try pickle.next(), case .dictionary(let system) = try pickle.next() else {
      throw .badFile("\(file.path) is damaged: its header is not that of a PyTorch file")
    }
    let isBigEndian = try isBigEndian(pickle, pickle.containers[system])
    let value = try pickle.next()
    guard case .list(let keys) = try pickle.next() else {
      throw .badFile("\(file.path) is damaged: it does not name its storages")
    }
    let places = try findStorages(file, pickle, pickle.containers[keys], isBigEndian: isBigEndian)
    return try Contents(value, pickle, places)
  }

  private static func isBigEndian(
    _ pickle: borrowing PickleReader, _ system: [PickleValue]
  ) throws(Failure) -> Bool {
    for index in stride(from: 0, to: system.count, by: 2) {
      if case .text(let key) = system[index], pickle.text(key)?.equals("little_endian") == true,
        case .bool(let isLittle) = system[index + 1]
      {
        return !isLittle
      }
    }
    throw .badFile("\(pickle.path) is damaged: its header does not tell the order of bytes")
  }

  /// Goes through the storages at the end of the stream.
  private static func findStorages(
    _ file: borrowing File, _ pickle: borrowing PickleReader, _ keys: [PickleValue], isBigEndian: Bool
  ) throws(Failure) -> [Storage] {
    // By key, so that each of many can be found quickly.
    var wanted: [(key: String, index: Int)] = []
    for (index, storage) in pickle.storages.enumerated() {
      guard let key = pickle.text(storage.key) else {
        throw .badFile("\(file.path) is damaged: it has a storage with a strange name")
      }
      wanted.append((key, index))
    }
    wanted = sortedIndices(wanted.count) { wanted[$0].key.precedes(wanted[$1].key) }.map { wanted[$0] }
    var places = [Storage?](repeating: nil, count: wanted.count)
    let count = try Buffer<UInt8>(uninitialized: 8)
    var position = pickle.position
    for key in keys {
      try checkMemory()
      guard case .text(let text) = key, let name = pickle.text(text) else { continue }
      var low = 0
      var high = wanted.count
      while low < high {
        let middle = (low + high) / 2
        if wanted[middle].key.precedes(name) { low = middle + 1 } else { high = middle }
      }
      guard low < wanted.count, wanted[low].key.equals(name), places[wanted[low].index] == nil else {
        throw .badFile("\(file.path) is damaged: it names a storage that it does not use")
      }
      let described = pickle.storages[wanted[low].index]
      try file.read(at: position, into: .init(count.mutable))
      let (byteCount, overflow) = described.count.multipliedReportingOverflow(
        by: described.type.byteCount)
      position += 8
      guard count.u64(0) == described.count, !overflow, byteCount <= file.byteCount - position else {
        throw .badFile("\(file.path) is cut off: a storage is not complete")
      }
      let place = Storage(
        start: position, storedByteCount: byteCount, byteCount: byteCount, isBigEndian: isBigEndian)
      while low < wanted.count, wanted[low].key.equals(name) {
        places[wanted[low].index] = place
        low += 1
      }
      position += byteCount
    }
    var found: [Storage] = []
    for place in places {
      guard let place else {
        throw .badFile("\(file.path) is damaged: one of its tensors has no data")
      }
      found.append(place)
    }
    return found
  }
}
