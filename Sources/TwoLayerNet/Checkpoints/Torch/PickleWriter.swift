// Writing pickles exactly as Python's pickler does in protocol 2, for the few kinds of value that a
// checkpoint consists of.

/// A value to be pickled.
indirect enum Picklable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case text(String)
  case list([Picklable])
  case dictionary([(key: Picklable, value: Picklable)])
  /// What nn.Module.state_dict() returns: an OrderedDict of tensors. `modules` are the names of the
  /// module and all modules inside it, which PyTorch notes down; empty for a bare OrderedDict.
  case stateDictionary([(key: String, value: Picklable)], modules: [String])
  /// A packed float32 tensor, with the number of its storage.
  case tensor(storage: Int, sizes: [Int])
}

/// Its small steps are not inlined into each other, which would triple the code.
struct PickleWriter {
  private(set) var bytes: [UInt8] = [0x80, 2]
  private var memoCount: UInt32 = 0
  /// Strings and globals that have been written, which later are only referred to. Python remembers
  /// strings by identity; in what is written here, equal strings are identical.
  private var strings: [(text: String, memo: UInt32)] = []
  private var globals: [(text: String, memo: UInt32)] = []

  /// The most items that Python's pickler writes at once.
  private static let batch = 1000

  static func pickle(_ value: Picklable) -> [UInt8] {
    var writer = PickleWriter()
    writer.write(value)
    writer.op(".")
    return writer.bytes
  }

  @inline(never)
  private mutating func op(_ code: Unicode.Scalar) { bytes.append(UInt8(code.value)) }

  @inline(never)
  private mutating func put() {
    if memoCount < 256 {
      op("q")
      bytes.append(UInt8(memoCount))
    } else {
      op("r")
      bytes.append(little: memoCount)
    }
    memoCount += 1
  }

  private mutating func get(_ memo: UInt32) {
    if memo < 256 {
      op("h")
      bytes.append(UInt8(memo))
    } else {
      op("j")
      bytes.append(little: memo)
    }
  }

  @inline(never)
  private mutating func write(_ value: Picklable) {
    switch value {
    case .none: op("N")
    case .bool(let value): op(value ? "\u{88}" : "\u{89}")
    case .int(let value): write(value)
    case .float(let value):
      op("G")
      bytes.append(little: value.bitPattern.byteSwapped)
    case .text(let text): write(text)
    case .list(let items):
      op("]")
      put()
      inBatches(items.count, one: "a", many: "e") { $0.write(items[$1]) }
    case .dictionary(let items):
      op("}")
      put()
      inBatches(items.count, one: "s", many: "u") {
        $0.write(items[$1].key)
        $0.write(items[$1].value)
      }
    case .stateDictionary(let items, let modules):
      writeOrderedDictionary()
      inBatches(items.count, one: "s", many: "u") {
        $0.write(items[$1].key)
        $0.write(items[$1].value)
      }
      if !modules.isEmpty { writeMetadata(modules) }
    case .tensor(let storage, let sizes): writeTensor(storage, sizes)
    }
  }

  private mutating func inBatches(
    _ count: Int, one: Unicode.Scalar, many: Unicode.Scalar, _ item: (inout Self, Int) -> Void
  ) {
    var first = 0
    while first < count {
      let end = min(first + Self.batch, count)
      if end - first > 1 { op("(") }
      for index in first..<end { item(&self, index) }
      op(end - first > 1 ? many : one)
      first = end
    }
  }

  @inline(never)
  private mutating func write(_ number: Int) {
    if let byte = UInt8(exactly: number) {
      op("K")
      bytes.append(byte)
    } else if let short = UInt16(exactly: number) {
      op("M")
      bytes.append(little: short)
    } else if let word = Int32(exactly: number) {
      op("J")
      bytes.append(little: word)
    } else {
      // As few bytes as hold the number with its sign.
      var count = 5
      while count < 8 && number >> (8 * count - 1) != 0 && number >> (8 * count - 1) != -1 { count += 1 }
      op("\u{8a}")
      bytes.append(UInt8(count))
      for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * index))) }
    }
  }

  @inline(never)
  private mutating func write(_ text: String) {
    if let known = strings.first(where: { $0.text.equals(text) }) { return get(known.memo) }
    strings.append((text, memoCount))
    writeNew(text)
  }

  @inline(never)
  private mutating func writeNew(_ text: String) {
    op("X")
    bytes.append(little: UInt32(truncatingIfNeeded: text.utf8.count))
    bytes.append(text)
    put()
  }

  /// A function or class: the module's name and its own, separated by a line feed.
  @inline(never)
  private mutating func writeGlobal(_ text: String) {
    if let known = globals.first(where: { $0.text.equals(text) }) { return get(known.memo) }
    globals.append((text, memoCount))
    op("c")
    bytes.append(text)
    op("\n")
    put()
  }

  /// An empty one.
  @inline(never)
  private mutating func writeOrderedDictionary() {
    writeGlobal("collections\nOrderedDict")
    op(")")
    op("R")
    put()
  }

  /// The attribute _metadata of a state_dict: each module's version.
  private mutating func writeMetadata(_ modules: [String]) {
    op("}")
    put()
    write("_metadata")
    writeOrderedDictionary()
    inBatches(modules.count, one: "s", many: "u") {
      $0.write(modules[$1])
      $0.write(.dictionary([(.text("version"), .int(1))]))
    }
    op("s")
    op("b")
  }

  private mutating func writeTensor(_ storage: Int, _ sizes: [Int]) {
    writeGlobal("torch._utils\n_rebuild_tensor_v2")
    op("(")
    op("(")
    write("storage")
    writeGlobal("torch\nFloatStorage")
    writeNew(String(storage))
    write("cpu")
    write(sizes.reduce(1, *))
    op("t")
    put()
    op("Q")
    write(0)
    writeTuple(sizes)
    writeTuple(packedStrides(sizes))
    op("\u{89}")
    writeOrderedDictionary()
    op("t")
    put()
    op("R")
    put()
  }

  private mutating func writeTuple(_ numbers: [Int]) {
    if numbers.isEmpty { return op(")") }
    if numbers.count > 3 { op("(") }
    for number in numbers { write(number) }
    switch numbers.count {
    case 1: op("\u{85}")
    case 2: op("\u{86}")
    case 3: op("\u{87}")
    default: op("t")
    }
    put()
  }
}
