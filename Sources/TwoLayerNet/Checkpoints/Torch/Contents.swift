// From the nested dictionaries and lists of a pickle to named tensors and values.

/// A value of a checkpoint that is not a tensor.
public enum Scalar: Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case text(String)
}

/// The tensors and values of a file, with their names.
struct Contents {
  private(set) var tensors: [Tensor] = []
  private(set) var scalars: [(name: String, value: Scalar)] = []

  /// Far more than the checkpoints of this network have; together they bound the memory for names.
  static let tensorLimit = 1 << 14
  private static let scalarLimit = 1 << 14
  static let nameLimit = 1024
  private static let depthLimit = 16
  /// Longer lists of plain values, such as all losses of a training, are left out.
  private static let listLimit = 64

  /// A file that knows its tensors already.
  init(tensors: [Tensor], scalars: [(name: String, value: Scalar)]) {
    self.tensors = tensors
    self.scalars = scalars
  }

  /// - Parameter places: where each storage of the pickle is.
  init(
    _ value: PickleValue, _ pickle: borrowing PickleReader, _ places: [Storage]
  ) throws(Failure) {
    for (storage, place) in zip(pickle.storages, places) {
      let (byteCount, overflow) = storage.count.multipliedReportingOverflow(by: storage.type.byteCount)
      guard !overflow, byteCount == place.byteCount else {
        throw pickle.damaged("a storage has another size than its tensors")
      }
    }
    // The same container may appear in many places, so that a small pickle unfolds to a large tree.
    // Twice what a pickle may have, since items are counted once more with what holds them.
    var budget = 1 << 21
    try visit(value, container: "", key: "", depth: 0, &budget, pickle, places)
  }

  private mutating func visit(
    _ value: PickleValue, container: String, key: String, depth: Int, _ budget: inout Int,
    _ pickle: borrowing PickleReader, _ places: [Storage]
  ) throws(Failure) {
    try checkMemory()
    budget -= 1
    guard depth <= Self.depthLimit, budget > 0 else {
      throw .badFile("\(pickle.path) nests its values too deeply")
    }
    switch value {
    case .tensor(let index):
      let tensor = pickle.tensors[index]
      guard tensors.count < Self.tensorLimit else {
        throw .badFile("\(pickle.path) has more than \(Self.tensorLimit) tensors")
      }
      try tensors.checkRoom()
      tensors.append(
        Tensor(
          container: container, key: key, type: pickle.storages[tensor.storage].type,
          sizes: tensor.sizes, strides: tensor.strides, offset: tensor.offset,
          storage: places[tensor.storage]))
    case .dictionary(let index):
      let items = pickle.containers[index]
      budget -= items.count
      let inside = joined(container, key)
      for position in stride(from: 0, to: items.count, by: 2) {
        guard let name = try keyText(items[position], inside: inside, pickle) else { continue }
        try visit(
          items[position + 1], container: inside, key: name, depth: depth + 1, &budget, pickle, places)
      }
    case .list(let index), .tuple(let index):
      let items = pickle.containers[index]
      budget -= items.count
      let inside = joined(container, key)
      for (position, item) in items.enumerated() {
        if position >= Self.listLimit && isPlain(item) { continue }
        try visit(
          item, container: inside, key: String(position), depth: depth + 1, &budget, pickle, places)
      }
    case .none: try add(.none, container, key, pickle)
    case .bool(let value): try add(.bool(value), container, key, pickle)
    case .int(let value): try add(.int(value), container, key, pickle)
    case .float(let value): try add(.float(value), container, key, pickle)
    case .text(let text):
      guard text.count <= Self.nameLimit, let value = pickle.text(text) else { return }
      try add(.text(value), container, key, pickle)
    case .global, .unknownGlobal, .storage, .opaque, .mark: break
    }
  }

  private mutating func add(
    _ value: Scalar, _ container: String, _ key: String, _ pickle: borrowing PickleReader
  ) throws(Failure) {
    guard scalars.count < Self.scalarLimit else {
      throw .badFile("\(pickle.path) has more than \(Self.scalarLimit) values beside its tensors")
    }
    try scalars.checkRoom()
    scalars.append((joined(container, key), value))
  }

  private func isPlain(_ value: PickleValue) -> Bool {
    switch value {
    case .none, .bool, .int, .float, .text: true
    default: false
    }
  }

  /// A dictionary's key as text; nil for keys that are neither text nor an integer.
  private func keyText(
    _ key: PickleValue, inside container: String, _ pickle: borrowing PickleReader
  ) throws(Failure) -> String? {
    switch key {
    case .int(let number): return String(number)
    case .text(let text):
      guard text.count + container.utf8.count < Self.nameLimit, let name = pickle.text(text) else {
        throw pickle.damaged("a name is too long or not UTF-8")
      }
      return name
    default: return nil
    }
  }
}
