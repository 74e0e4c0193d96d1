// What a pickle holds once it has been read. Values refer to each other by number, so that letting go of
// them never recurses, however deep a hostile pickle nests them.

enum PickleValue {
  /// Where a tuple, a list's or a dictionary's items begin on the stack.
  case mark
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case text(PickleText)
  /// One of the functions and classes that are known.
  case global(PickleGlobal)
  /// Any other; "module\nname" or the name alone. It is never looked up, and may not be called.
  case unknownGlobal(PickleText)
  case tuple(Int)
  case list(Int)
  /// Keys and values take turns.
  case dictionary(Int)
  case storage(Int)
  case tensor(Int)
  /// A value that nothing here needs, such as a large integer, a set or a device.
  case opaque
}

/// A stretch of the pickle's bytes.
struct PickleText {
  var start: Int
  var count: Int
}

/// The functions and classes that a checkpoint may name.
enum PickleGlobal {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  case size
  /// Returns something that nothing here needs.
  case passedOver
  case storage(ElementType)

  init?(module: String, name: String) {
    switch true {
    case module.equals("collections") && name.equals("OrderedDict"): self = .orderedDictionary
    case module.equals("torch._utils"):
      if name.equals("_rebuild_tensor_v2") || name.equals("_rebuild_tensor") {
        self = .rebuildTensor
      } else if name.equals("_rebuild_parameter") {
        self = .rebuildParameter
      } else {
        return nil
      }
    case module.equals("torch"):
      if name.equals("Size") {
        self = .size
      } else if name.equals("device") {
        self = .passedOver
      } else if let storage = Self.storages.first(where: { name.equals($0.name) }) {
        self = .storage(storage.type)
      } else {
        return nil
      }
    default:
      guard Self.harmless.contains(where: { module.equals($0.module) && name.equals($0.name) }) else {
        return nil
      }
      self = .passedOver
    }
  }

  /// With torch.device, what PyTorch's own safe loading (weights_only) calls besides: schedules of the
  /// learning rate have Counters, and protocol 2 writes bytes as text to be encoded.
  private static var harmless: [(module: String, name: String)] {
    [
      ("collections", "Counter"), ("_codecs", "encode"), ("torch.serialization", "_get_layout"),
      ("__builtin__", "set"), ("builtins", "set"), ("__builtin__", "complex"), ("builtins", "complex"),
      ("__builtin__", "bytearray"), ("builtins", "bytearray"),
    ]
  }

  private static var storages: [(name: String, type: ElementType)] {
    [
      ("FloatStorage", .float32), ("DoubleStorage", .float64), ("HalfStorage", .float16),
      ("BFloat16Storage", .bfloat16), ("LongStorage", .int64), ("IntStorage", .int32),
      ("ShortStorage", .int16), ("CharStorage", .int8), ("ByteStorage", .uint8),
      ("BoolStorage", .bool),
    ]
  }
}

/// A storage as the pickle describes it; where it is, the file around the pickle knows.
struct PickledStorage {
  let type: ElementType
  let key: PickleText
  let count: Int
}

/// A view of a storage. Its geometry has been checked against `PickledStorage.count`.
struct PickledTensor {
  let storage: Int
  let offset: Int
  let sizes: [Int]
  let strides: [Int]
}
