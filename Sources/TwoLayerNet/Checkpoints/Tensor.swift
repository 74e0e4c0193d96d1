// A tensor as it lies in a file: its name, its type, and where its elements are. Every number in it has
// been checked against the file before one of these is made.

/// The types of elements that files have.
public enum ElementType: UInt8, Sendable {
  case float32, float64, float16, bfloat16
  case int64, int32, int16, int8
  case uint64, uint32, uint16, uint8
  case bool

  public var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .int8, .uint8, .bool: 1
    }
  }

  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .float64, .float16, .bfloat16: true
    default: false
    }
  }

  /// PyTorch's name for it.
  public var name: String {
    switch self {
    case .float32: "float32"
    case .float64: "float64"
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    case .int64: "int64"
    case .int32: "int32"
    case .int16: "int16"
    case .int8: "int8"
    case .uint64: "uint64"
    case .uint32: "uint32"
    case .uint16: "uint16"
    case .uint8: "uint8"
    case .bool: "bool"
    }
  }
}

/// A run of bytes in a file, of which several tensors may be views.
struct Storage {
  /// In the file.
  var start: Int
  var storedByteCount: Int
  /// Once inflated; the same as `storedByteCount` unless they are deflated.
  var byteCount: Int
  var isDeflated = false
  /// Their CRC-32; nil if the file has none.
  var checksum: UInt32?
  var isBigEndian = false
}

/// A named tensor of a checkpoint.
public struct Tensor {
  /// Names of the dictionaries that it is in, joined by dots, such as "model"; "" at the top.
  public let container: String
  /// Its name there, such as "layers.0.weight".
  public let key: String
  public let type: ElementType
  public let sizes: [Int]
  /// How many elements apart neighbours along each dimension are.
  let strides: [Int]
  /// The first element's index in the storage.
  let offset: Int
  let storage: Storage

  public var name: String { joined(container, key) }
  public var count: Int { sizes.reduce(1, *) }
}

/// A name inside a container.
func joined(_ container: String, _ key: String) -> String {
  container.isEmpty ? key : container + "." + key
}

/// The strides of a tensor without gaps, row-major. The product of `sizes` must fit.
func packedStrides(_ sizes: [Int]) -> [Int] {
  var strides = sizes
  var stride = 1
  for index in sizes.indices.reversed() {
    strides[index] = stride
    stride *= max(sizes[index], 1)
  }
  return strides
}

/// The most dimensions that a tensor may have.
let rankLimit = 16

/// The number of elements of these sizes; nil if one is negative, there are too many or they overflow.
func elementCount(_ sizes: [Int]) -> Int? {
  guard sizes.count <= rankLimit else { return nil }
  var (count, largest) = (1, 1)
  for size in sizes {
    // Without the zeros too, so that no product of some of the sizes overflows either.
    let (bound, overflow) = largest.multipliedReportingOverflow(by: max(size, 1))
    guard size >= 0, !overflow else { return nil }
    (count, largest) = (count * size, bound)
  }
  return count
}

/// Whether a view with this geometry stays inside a storage of `available` elements and is not an
/// expansion of few elements to very many.
func fits(sizes: [Int], strides: [Int], offset: Int, available: Int) -> Bool {
  guard sizes.count == strides.count, offset >= 0, offset <= available,
    let count = elementCount(sizes)
  else { return false }
  if count == 0 { return true }
  var last = offset
  for (size, stride) in zip(sizes, strides) {
    let (distance, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
    let (sum, overflow2) = last.addingReportingOverflow(distance)
    guard stride >= 0, !overflow, !overflow2 else { return false }
    last = sum
  }
  return last < available && count <= max(available, 1 << 16)
}
