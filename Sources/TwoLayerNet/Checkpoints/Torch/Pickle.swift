// Reading pickles: a machine for the opcodes that torch.save writes, in protocols 2 to 5. Nothing is
// imported and nothing is called: a few functions are known by name, and what they would return is put
// together here. Everything else is refused.

/// The bytes of one pickle or several, and all that has been read from them.
struct PickleReader: ~Copyable {
  /// The file's name, for messages.
  let path: String
  let bytes: Buffer<UInt8>
  /// Where reading goes on.
  private(set) var position = 0
  /// The items of tuples, lists and dictionaries.
  private(set) var containers: [[PickleValue]] = []
  private(set) var storages: [PickledStorage] = []
  private(set) var tensors: [PickledTensor] = []
  private var stack: [PickleValue] = []
  private var memo: [PickleValue?] = []
  private var valueCount = 0

  /// The most values that one file may have; training logs in a checkpoint stay far below.
  private static let valueLimit = 1 << 20

  /// What a byte of a pickle can make of memory: a value of 24 bytes on the stack, in the memo and in a
  /// container of its own, each in an array that is being doubled, and its name and place later on.
  private static let bytesPerByte = 512

  init(path: String, _ bytes: consuming Buffer<UInt8>) {
    self.path = path
    self.bytes = bytes
  }

  /// Reads one pickle.
  mutating func next() throws(Failure) -> PickleValue {
    try checkMemory(Self.bytesPerByte * min(bytes.count - position, Self.valueLimit))
    stack = []
    memo = []
    while true {
      let code = try byte()
      if code == UInt8(ascii: ".") { break }
      try checkMemory()
      try perform(code)
    }
    let result = try pop()
    guard stack.isEmpty else { throw damaged("its pickle ends with values left over") }
    return result
  }

  func damaged(_ what: Message) -> Failure { .badFile("\(path) is damaged: \(what.text)") }

  /// Text of the length of a name; nil if it is longer, or not UTF-8.
  func text(_ text: PickleText) -> String? {
    text.count > Contents.nameLimit ? nil : bytes.text(text.start..<(text.start + text.count))
  }

  private mutating func perform(_ code: UInt8) throws(Failure) {
    switch code {
    case 0x80:  // PROTO
      let version = try byte()
      guard (2...5).contains(version) else { throw damaged("its pickle has protocol \(version)") }
    case 0x95: _ = try take(8)  // FRAME
    case UInt8(ascii: "("): try push(.mark)
    case UInt8(ascii: "N"): try push(.none)
    case 0x88: try push(.bool(true))
    case 0x89: try push(.bool(false))
    case UInt8(ascii: "K"): try push(.int(bytes.number(at: take(1), width: 1)))
    case UInt8(ascii: "M"): try push(.int(bytes.u16(take(2))))
    case UInt8(ascii: "J"):  // BININT
      try push(.int(Int(Int32(truncatingIfNeeded: bytes.u32(take(4))))))
    case 0x8a: try pushLong(count: Int(byte()))
    case UInt8(ascii: "G"):  // BINFLOAT, the only number that comes with its high byte first
      let start = try take(8)
      let bits = UnsafeRawPointer(bytes.base).loadUnaligned(fromByteOffset: start, as: UInt64.self)
      try push(.float(Double(bitPattern: UInt64(bigEndian: bits))))
    case UInt8(ascii: "X"): try push(.text(text(count: bytes.u32(take(4)))))
    case 0x8c, UInt8(ascii: "U"): try push(.text(text(count: Int(byte()))))
    case 0x8d: try push(.text(text(count: bytes.u64(take(8)))))
    case UInt8(ascii: "C"):  // SHORT_BINBYTES
      _ = try text(count: Int(byte()))
      try push(.opaque)
    case UInt8(ascii: "c"): try pushGlobal(start: position, line(), line())
    case 0x93:  // STACK_GLOBAL
      guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
        throw damaged("its pickle names something without a name")
      }
      try pushGlobal(start: name.start, module, name)
    case UInt8(ascii: ")"): try pushContainer([]) { .tuple($0) }
    case 0x85, 0x86, 0x87:  // TUPLE1 to TUPLE3
      let count = Int(code) - 0x84
      guard stack.count >= count else { throw damaged("its pickle takes more than it has put down") }
      let items = Array(stack[(stack.count - count)...])
      for item in items { if case .mark = item { throw damaged("its pickle has a tuple of marks") } }
      stack.removeLast(count)
      try pushContainer(items) { .tuple($0) }
    case UInt8(ascii: "t"): try pushContainer(popToMark()) { .tuple($0) }
    case UInt8(ascii: "]"): try pushContainer([]) { .list($0) }
    case UInt8(ascii: "}"): try pushContainer([]) { .dictionary($0) }
    case UInt8(ascii: "a"): try append([pop()])
    case UInt8(ascii: "e"): try append(popToMark())
    case UInt8(ascii: "s"):
      let value = try pop()
      try setItems([pop(), value])
    case UInt8(ascii: "u"): try setItems(popToMark())
    case UInt8(ascii: "q"): try put(Int(byte()))
    case UInt8(ascii: "r"): try put(bytes.u32(take(4)))
    case 0x94: try put(memo.count)
    case UInt8(ascii: "h"): try get(Int(byte()))
    case UInt8(ascii: "j"): try get(bytes.u32(take(4)))
    case UInt8(ascii: "Q"): try pushStorage(pop())
    case UInt8(ascii: "R"), 0x81:  // REDUCE, NEWOBJ
      let arguments = try pop()
      try call(pop(), arguments)
    case UInt8(ascii: "b"): try build()
    default: throw damaged("its pickle has the operation \(code), which no checkpoint needs")
    }
  }
}

// Bytes.
extension PickleReader {
  /// Moves over `count` bytes and returns where they begin.
  private mutating func take(_ count: Int) throws(Failure) -> Int {
    guard count <= bytes.count - position else { throw damaged("its pickle ends too early") }
    defer { position += count }
    return position
  }

  private mutating func byte() throws(Failure) -> UInt8 { bytes[try take(1)] }

  private mutating func text(count: Int) throws(Failure) -> PickleText {
    PickleText(start: try take(count), count: count)
  }

  /// The rest of a line.
  private mutating func line() throws(Failure) -> PickleText {
    let start = position
    while try byte() != UInt8(ascii: "\n") {}
    return PickleText(start: start, count: position - 1 - start)
  }

  private mutating func pushLong(count: Int) throws(Failure) {
    let start = try take(count)
    guard count <= 8 else { return try push(.opaque) }
    var value = 0
    for index in (0..<count).reversed() { value = value << 8 | Int(bytes[start + index]) }
    let shift = 64 - 8 * count
    try push(.int(count == 0 ? 0 : (value << shift) >> shift))
  }
}

// The stack and the memo.
extension PickleReader {
  private mutating func push(_ value: PickleValue, values: Int = 1) throws(Failure) {
    valueCount += values
    guard valueCount <= Self.valueLimit else {
      throw .badFile("\(path) has more than \(Self.valueLimit) values")
    }
    stack.append(value)
  }

  private mutating func pop() throws(Failure) -> PickleValue {
    guard let value = stack.popLast() else {
      throw damaged("its pickle takes more than it has put down")
    }
    if case .mark = value { throw damaged("its pickle takes a mark for a value") }
    return value
  }

  private mutating func popToMark() throws(Failure) -> [PickleValue] {
    var index = stack.count - 1
    while index >= 0 {
      if case .mark = stack[index] {
        let items = Array(stack[(index + 1)...])
        stack.removeLast(stack.count - index)
        return items
      }
      index -= 1
    }
    throw damaged("its pickle misses a mark")
  }

  /// The value on top, which stays.
  private func top() throws(Failure) -> PickleValue {
    guard let value = stack.last else { throw damaged("its pickle takes more than it has put down") }
    return value
  }

  private mutating func put(_ index: Int) throws(Failure) {
    let value = try top()
    if case .mark = value { throw damaged("its pickle takes a mark for a value") }
    // Numbers are given in turn, so none is larger than the bytes read so far.
    guard index <= position, index <= Self.valueLimit else {
      throw damaged("its pickle remembers a value under the number \(index)")
    }
    while memo.count <= index { memo.append(nil) }
    memo[index] = value
  }

  private mutating func get(_ index: Int) throws(Failure) {
    guard index < memo.count, let value = memo[index] else {
      throw damaged("its pickle refers to value \(index), which is not there")
    }
    try push(value)
  }
}

// Tuples, lists and dictionaries.
extension PickleReader {
  private mutating func pushContainer(
    _ items: [PickleValue], _ value: (Int) -> PickleValue
  ) throws(Failure) {
    containers.append(items)
    // The items too: an OrderedDict may be made from one list many times.
    try push(value(containers.count - 1), values: 1 + items.count)
  }

  private mutating func append(_ items: [PickleValue]) throws(Failure) {
    guard case .list(let index) = try top() else { throw damaged("its pickle appends to no list") }
    containers[index] += items
  }

  private mutating func setItems(_ items: [PickleValue]) throws(Failure) {
    guard case .dictionary(let index) = try top(), items.count % 2 == 0 else {
      throw damaged("its pickle has a dictionary with a key too many")
    }
    containers[index] += items
  }

  private func tuple(_ value: PickleValue) -> [PickleValue]? {
    if case .tuple(let index) = value { containers[index] } else { nil }
  }

  /// A tuple of integers, such as sizes.
  private func integers(_ value: PickleValue) -> [Int]? {
    guard let items = tuple(value), items.count <= rankLimit else { return nil }
    var numbers: [Int] = []
    for item in items {
      guard case .int(let number) = item else { return nil }
      numbers.append(number)
    }
    return numbers
  }
}

// Functions and classes.
extension PickleReader {
  private mutating func pushGlobal(
    start: Int, _ module: PickleText, _ name: PickleText
  ) throws(Failure) {
    if let moduleText = text(module), let nameText = text(name),
      let known = PickleGlobal(module: moduleText, name: nameText)
    {
      return try push(.global(known))
    }
    try push(.unknownGlobal(PickleText(start: start, count: name.start + name.count - start)))
  }

  private mutating func call(_ function: PickleValue, _ arguments: PickleValue) throws(Failure) {
    guard let items = tuple(arguments) else { throw damaged("its pickle calls without arguments") }
    guard case .global(let global) = function else { throw refusal(of: function) }
    switch global {
    case .orderedDictionary: try pushOrderedDictionary(items)
    case .rebuildTensor: try pushTensor(items)
    case .rebuildParameter:
      guard case .tensor? = items.first else { throw damaged("it has a parameter that is no tensor") }
      try push(items[0])
    case .size:
      guard items.count == 1, case .tuple = items[0] else { throw damaged("it has a strange size") }
      try push(items[0])
    case .passedOver: try push(.opaque)
    case .storage: throw refusal(of: function)
    }
  }

  private static var advice: StaticString {
    "a checkpoint holds tensors only: torch.save(model.state_dict(), path)"
  }

  private func refusal(of function: PickleValue) -> Failure {
    guard case .unknownGlobal(let name) = function, name.count <= 200, let text = text(name) else {
      return .badFile("\(path) wants something called that may not be; \(Self.advice)")
    }
    let dotted = String(bytes: text.bytes.map { $0 == 10 ? 46 : $0 }[...])
    return .badFile("\(path) wants \(dotted) called, which is never done; \(Self.advice)")
  }

  /// OrderedDict(), or OrderedDict([(key, value), ...]) as Python 2 wrote it.
  private mutating func pushOrderedDictionary(_ arguments: [PickleValue]) throws(Failure) {
    var items: [PickleValue] = []
    if let argument = arguments.first {
      guard arguments.count == 1, case .list(let list) = argument else {
        throw damaged("it has a dictionary of something else than a list")
      }
      for pair in containers[list] {
        let pairItems: [PickleValue]
        switch pair {
        case .tuple(let index), .list(let index): pairItems = containers[index]
        default: pairItems = []
        }
        guard pairItems.count == 2 else {
          throw damaged("it has a dictionary of something else than pairs")
        }
        items += pairItems
      }
    }
    try pushContainer(items) { .dictionary($0) }
  }

  /// ("storage", type, key, device, count), and in the stream format a sixth item, None.
  private mutating func pushStorage(_ value: PickleValue) throws(Failure) {
    guard let items = tuple(value), items.count >= 5, case .text(let kind) = items[0],
      text(kind)?.equals("storage") == true, case .global(.storage(let type)) = items[1],
      case .text(let key) = items[2], case .int(let count) = items[4], count >= 0
    else { throw .badFile("\(path) has a storage of an unknown kind; \(Self.advice)") }
    if items.count > 5, case .none = items[5] {
    } else if items.count > 5 {
      throw .unsupported("\(path) has views of storages, as PyTorch before 0.4 wrote them")
    }
    guard storages.count < Contents.tensorLimit else {
      throw .badFile("\(path) has more than \(Contents.tensorLimit) storages")
    }
    storages.append(PickledStorage(type: type, key: key, count: count))
    try push(.storage(storages.count - 1))
  }

  /// (storage, offset, sizes, strides, requires_grad, hooks), and a dictionary of marks if there are any.
  private mutating func pushTensor(_ arguments: [PickleValue]) throws(Failure) {
    guard arguments.count >= 4, case .storage(let storage) = arguments[0],
      case .int(let offset) = arguments[1], let sizes = integers(arguments[2]),
      let strides = integers(arguments[3]),
      fits(
        sizes: sizes, strides: strides, offset: offset, available: storages[storage].count)
    else { throw damaged("it has a tensor that does not fit into its storage") }
    // Such as "neg": its numbers are those of the storage with the other sign.
    if arguments.count > 6 {
      guard case .dictionary(let marks) = arguments[6], containers[marks].isEmpty else {
        throw .unsupported(
          """
          \(path) has a tensor that is to be negated or conjugated when it is read; Tensor.resolve_neg() \
          does so before it is saved
          """)
      }
    }
    guard tensors.count < Contents.tensorLimit else {
      throw .badFile("\(path) has more than \(Contents.tensorLimit) tensors")
    }
    tensors.append(PickledTensor(storage: storage, offset: offset, sizes: sizes, strides: strides))
    try push(.tensor(tensors.count - 1))
  }

  /// Attributes of an OrderedDict, such as a state_dict's _metadata: nothing that is needed.
  private mutating func build() throws(Failure) {
    guard case .dictionary = try pop(), case .dictionary = try top() else {
      throw damaged("its pickle gives attributes to something that has none")
    }
  }
}
