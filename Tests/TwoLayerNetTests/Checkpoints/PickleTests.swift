// Pickles that try something: calling, growing, nesting, lying about sizes.

import TestSupport
import Testing

@testable import TwoLayerNet

struct PickleTests {
  /// An archive with this pickle, two bytes of protocol in front, and one storage of six floats.
  private func file(_ pickle: [UInt8]) -> [UInt8] {
    TorchBuilder(pickle: [0x80, 2] + pickle, storages: [("0", floats([0, 1, 2, 3, 4, 5]))]).bytes
  }

  private func expectBad(
    _ pickle: [UInt8], _ word: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectFailure(.badFile, word, sourceLocation: sourceLocation) {
      try withCheckpoint(file(pickle)) { $0.tensors.count }
    }
  }

  /// The values of the only tensor in a pickle, once it is one.
  private func values(_ pickle: [UInt8]) throws -> [Float] {
    try withCheckpoint(file(pickle + [0x2e])) { checkpoint in
      #expect(checkpoint.tensors.count == 1)
      return try checkpoint.values(checkpoint.tensors[0])
    }
  }

  private func text(_ text: String) -> [UInt8] { Pickled.text(text) }

  // Calls.

  @Test(arguments: [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"),
    ("builtins", "getattr"), ("torch", "load"), ("torch.serialization", "load"),
    ("collections", "OrderedDict "), ("collections", "orderedDict"), ("Collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v9"), ("torch", "FloatStorage"), ("", ""),
    ("collections.OrderedDict", ""), ("torch", "_utils._rebuild_tensor_v2"),
  ])
  func nothingElseIsCalled(_ module: String, _ name: String) {
    let argument = text("echo harm")
    expectBad(Pickled.call(Pickled.global(module, name), [argument]) + [0x2e], "called")
    // By STACK_GLOBAL, and by NEWOBJ.
    let stacked = text(module) + text(name) + [0x93]
    expectBad(stacked + Pickled.tuple([argument]) + [0x52, 0x2e], "called")
    expectBad(stacked + Pickled.tuple([argument]) + [0x81, 0x2e], "called")
  }

  @Test func unknownNamesThatAreNotCalledDoNoHarm() throws {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    let pickle = Pickled.dictionary([("w", tensor), ("type", Pickled.global("numpy", "float32"))])
    #expect(try values(pickle) == [0, 1, 2, 3, 4, 5])
  }

  @Test func whatNothingNeedsIsPassedOver() throws {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    let calls = [
      ("collections", "Counter", Pickled.dictionary([("a", [0x4e])])),
      ("_codecs", "encode", text("bytes")), ("__builtin__", "set", Pickled.list([[0x4e]])),
      ("builtins", "complex", Pickled.float(1)), ("torch", "device", text("cpu")),
      ("torch.serialization", "_get_layout", text("torch.strided")),
    ].map { Pickled.call(Pickled.global($0, $1), [$2]) }
    let pickle = Pickled.dictionary([("w", tensor)] + calls.map { ("other", $0) })
    #expect(try values(pickle) == [0, 1, 2, 3, 4, 5])
    // It is no function, no dictionary and no tensor afterwards.
    for call in calls {
      expectBad(call + Pickled.tuple([]) + [0x52, 0x2e], "called")
      expectBad(call + text("a") + [0x4e, 0x73, 0x2e], "dictionary")
    }
  }

  @Test func tensorsWithASignBitAreUnsupported() throws {
    let rebuild = Pickled.global("torch._utils", "_rebuild_tensor_v2")
    func tensor(_ marks: [UInt8]) -> [UInt8] {
      Pickled.call(
        rebuild,
        [
          Pickled.storage("0", count: 6), [0x4b, 0], Pickled.tuple([[0x4b, 6]]),
          Pickled.tuple([[0x4b, 1]]), [0x89], [0x7d], marks,
        ])
    }
    #expect(try values(tensor([0x7d])) == [0, 1, 2, 3, 4, 5])
    for marks in [Pickled.dictionary([("neg", [0x88])]), Pickled.list([]), [0x4b, 1]] {
      expectFailure(.unsupported, "negated") {
        try withCheckpoint(file(tensor(marks) + [0x2e])) { $0.tensors.count }
      }
    }
  }

  @Test func parametersDevicesAndSizesAreKnown() throws {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    let hooks = Pickled.call(Pickled.global("collections", "OrderedDict"), [])
    let parameter = Pickled.call(
      Pickled.global("torch._utils", "_rebuild_parameter"), [tensor, [0x88], hooks])
    let device = Pickled.call(Pickled.global("torch", "device"), [text("cpu")])
    let size = Pickled.call(Pickled.global("torch", "Size"), [Pickled.tuple([Pickled.int(6)])])
    let pickle = Pickled.dictionary([("device", device), ("size", size), ("w", parameter)])
    #expect(try values(pickle) == [0, 1, 2, 3, 4, 5])
  }

  @Test func aTensorIsReadWhole() throws {
    let pickle = Pickled.dictionary([("w", Pickled.tensor("0", count: 6, sizes: [6], strides: [1]))])
    try withCheckpoint(file(pickle + [0x2e])) { checkpoint in
      for count in [0, 5, 7] {
        var values = [Float](repeating: 0, count: count)
        expectFailure(.invalidArgument, "w has 6 elements, not \(count)") {
          try values.withUnsafeMutableBufferPointer {
            try checkpoint.read(checkpoint.tensors[0], into: $0)
          }
        }
      }
    }
  }

  @Test func onlySoManyValuesAreKept() throws {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    func pickle(_ count: Int) -> [UInt8] {
      Pickled.dictionary([("w", tensor)] + (0..<count).map { ("\($0)", Pickled.int($0)) })
    }
    #expect(try values(pickle(1 << 14)) == [0, 1, 2, 3, 4, 5])
    expectBad(pickle(1 << 14 + 1) + [0x2e], "more than 16384 values")
  }

  @Test func onlyTheListedOperationsExist() {
    // Those of Python's pickle that are not needed: INST, OBJ, EXT1, POP, DUP, PERSID, FLOAT, ...
    for code in Array("iopl120PdDFILSTV".utf8).filter({ !Array("1".utf8).contains($0) }) + [
      0x82, 0x83, 0x84, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x92, 0x96, 0x97, 0x98, 0, 0xff,
    ] {
      expectBad([0x4e, code, 0x2e], "operation")
    }
    expectBad([0x80, 6, 0x4e, 0x2e], "protocol 6")
    expectBad([0x80, 1, 0x4e, 0x2e], "protocol 1")
  }

  // The stack.

  @Test func whatIsNotThereIsNotTaken() {
    let empty: [[UInt8]] = [
      [0x2e], [0x85], [0x4e, 0x86], [0x4e, 0x4e, 0x87], [0x74], [0x61], [0x5d, 0x61], [0x65], [0x73],
      [0x7d, 0x73], [0x7d, 0x4e, 0x73], [0x75], [0x71, 0], [0x94], [0x51], [0x52], [0x4e, 0x52], [0x62],
      [0x7d, 0x62], [0x93], [0x4e, 0x93], [0x81],
    ]
    for pickle in empty { expectBad(pickle + [0x2e]) }
  }

  @Test func marksAreNoValues() {
    for pickle: [UInt8] in [
      [0x28, 0x2e], [0x28, 0x85, 0x2e], [0x5d, 0x28, 0x61, 0x2e], [0x28, 0x71, 0, 0x2e],
      [0x7d, 0x4e, 0x28, 0x73, 0x2e], [0x28, 0x51, 0x2e], [0x28, 0x29, 0x52, 0x2e],
    ] {
      expectBad(pickle)
    }
  }

  @Test func wrongKindsAreRefused() {
    let one: [UInt8] = [0x4b, 1]
    expectBad(one + one + [0x61, 0x2e], "appends to no list")
    expectBad(one + [0x28] + one + [0x65, 0x2e], "appends to no list")
    expectBad(one + one + one + [0x73, 0x2e], "dictionary")
    expectBad([0x7d, 0x28] + one + [0x75, 0x2e], "key too many")
    expectBad(one + one + [0x93, 0x2e], "without a name")
    expectBad(one + [0x51, 0x2e], "storage of an unknown kind")
    expectBad(one + one + [0x62, 0x2e], "attributes")
    expectBad(Pickled.global("collections", "OrderedDict") + one + [0x52, 0x2e], "without arguments")
    expectBad(one + Pickled.tuple([]) + [0x52, 0x2e], "called")
    expectBad(Pickled.call(Pickled.global("torch", "Size"), [one]) + [0x2e], "size")
    expectBad(Pickled.call(Pickled.global("torch._utils", "_rebuild_parameter"), [one]) + [0x2e])
    expectBad(Pickled.call(Pickled.global("collections", "OrderedDict"), [one]) + [0x2e])
    expectBad(
      Pickled.call(Pickled.global("collections", "OrderedDict"), [Pickled.list([one])]) + [0x2e], "pairs"
    )
    expectBad(one + one + [0x2e], "left over")
  }

  @Test func textThatEndsTooEarlyIsRefused() {
    for pickle: [UInt8] in [
      [], [0x58, 255, 255, 255, 255, 0x61], [0x58, 1], [0x8c, 5, 0x61], [0x8d] + little(UInt64.max),
      [0x8d] + little(Int.max), [0x47, 1], [0x4a, 1], [0x4d, 1], [0x4b], [0x8a], [0x8a, 4, 1],
      [0x63, 0x61],
      [0x95, 1], [0x71], [0x72, 0], [0x80], [0x43, 200],
    ] {
      expectBad(pickle, "ends too early")
    }
  }

  @Test func theMemoIsBounded() {
    expectBad([0x4e, 0x72] + little(UInt32.max) + [0x2e], "remembers")
    expectBad([0x4e, 0x72] + little(UInt32(100_000)) + [0x2e], "remembers")
    expectBad([0x68, 0, 0x2e], "not there")
    expectBad([0x4e, 0x71, 1, 0x68, 0, 0x86, 0x2e], "not there")
    expectBad([0x6a] + little(UInt32.max) + [0x2e], "not there")
  }

  // Size and depth.

  @Test func deepNestingIsRefusedAndFreed() {
    let depth = 500_000
    expectBad(
      [UInt8](repeating: 0x5d, count: depth) + [UInt8](repeating: 0x61, count: depth - 1) + [0x2e],
      "deep")
    expectBad(
      [0x4e] + [UInt8](repeating: 0x85, count: depth) + [0x2e], "deep")
  }

  @Test func manyValuesAreRefused() {
    expectBad([UInt8](repeating: 0x28, count: 1_100_000) + [0x2e], "values")
    expectBad([UInt8](repeating: 0x5d, count: 1_100_000) + [0x2e], "values")
  }

  @Test func unfoldingIsBounded() {
    // Each list holds the one before ten times: ten to the twelfth at the end.
    var pickle: [UInt8] = [0x5d, 0x71, 0]
    for level in 1...12 {
      pickle += [0x5d, 0x28]
      for _ in 0..<10 { pickle += [0x68, UInt8(level - 1)] }
      pickle += [0x65, 0x71, UInt8(level)]
    }
    // All but the last stay on the stack; a tuple takes them.
    expectBad([0x28] + pickle + [0x74, 0x2e], "deep")
  }

  @Test func cyclesAreRefused() {
    expectBad([0x5d, 0x71, 0, 0x68, 0, 0x61, 0x2e], "deep")
    expectBad([0x7d, 0x71, 0] + text("a") + [0x68, 0, 0x73, 0x2e], "deep")
  }

  @Test func longNamesAreRefused() {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    let name = String(repeating: "x", count: 2000)
    expectBad(Pickled.dictionary([(name, tensor)]) + [0x2e], "too long")
  }

  @Test func manyTensorsAreRefused() {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    var pickle = tensor + [0x71, 0, 0x30]
    pickle = [0x5d, 0x28] + tensor + [0x71, 0]
    for _ in 0..<20_000 { pickle += [0x68, 0] }
    expectBad(pickle + [0x65, 0x2e], "tensors")
  }

  @Test func longListsOfNumbersAreLeftOut() throws {
    let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])
    let losses = Pickled.list((0..<20_000).map { Pickled.float(Double($0)) })
    try withCheckpoint(
      file(Pickled.dictionary([("losses", losses), ("w", tensor), ("epoch", Pickled.int(3))]) + [0x2e])
    ) { checkpoint in
      #expect(checkpoint.tensors.count == 1)
      guard case .int(3) = checkpoint.scalar("epoch") else {
        Issue.record("no epoch")
        return
      }
      #expect(checkpoint.scalars.count == 65)
    }
  }

  // Tensors.

  @Test func viewsAreRead() throws {
    func view(_ offset: Int, _ sizes: [Int], _ strides: [Int]) throws -> [Float] {
      try values(Pickled.tensor("0", count: 6, offset: offset, sizes: sizes, strides: strides))
    }
    #expect(try view(0, [2, 3], [3, 1]) == [0, 1, 2, 3, 4, 5])
    #expect(try view(0, [3, 2], [1, 3]) == [0, 3, 1, 4, 2, 5])
    #expect(try view(1, [2, 2], [3, 1]) == [1, 2, 4, 5])
    #expect(try view(1, [3], [2]) == [1, 3, 5])
    #expect(try view(5, [], []) == [5])
    #expect(try view(4, [2, 3], [1, 0]) == [4, 4, 4, 5, 5, 5])
    #expect(try view(6, [0], [1]) == [])
    #expect(try view(2, [1, 2], [Int.max, 1]) == [2, 3])
    #expect(try view(0, [2, 1, 3], [3, Int.max, 1]) == [0, 1, 2, 3, 4, 5])
  }

  @Test func viewsOutsideTheirStorageAreRefused() {
    func bad(_ offset: Int, _ sizes: [Int], _ strides: [Int], count: Int = 6) {
      expectBad(
        Pickled.tensor("0", count: count, offset: offset, sizes: sizes, strides: strides) + [0x2e])
    }
    bad(1, [6], [1])
    bad(0, [7], [1])
    bad(0, [2], [6])
    bad(-1, [1], [1])
    bad(7, [0], [1])
    bad(0, [-1], [1])
    bad(5, [2], [-1])
    bad(0, [2, 2], [1])
    bad(0, [2], [1, 1])
    bad(Int.max, [1], [1])
    bad(1, [2], [Int.max])
    bad(0, [Int.max], [1])
    bad(0, [Int.max, Int.max], [0, 0])
    bad(0, [1 << 32, 1 << 32], [0, 0])
    bad(0, [0, Int.max, Int.max], [0, 0, 0])
    bad(0, [100_000], [0])
    bad(0, [Int](repeating: 1, count: 17), [Int](repeating: 1, count: 17))
  }

  @Test func storagesOfAnotherSizeAreRefused() {
    for count in [0, 5, 7, -1, 1 << 62, Int.max] {
      expectBad(Pickled.tensor("0", count: count, sizes: [0], strides: [1]) + [0x2e])
    }
    expectBad(
      Pickled.tensor("0", count: 6, sizes: [6], strides: [1], type: "DoubleStorage") + [0x2e], "size")
    expectBad(Pickled.tensor("1", count: 6, sizes: [6], strides: [1]) + [0x2e], "no data")
    expectBad(Pickled.tensor("../0", count: 6, sizes: [6], strides: [1]) + [0x2e], "no data")
  }

  @Test(arguments: [
    ("DoubleStorage", 8), ("HalfStorage", 2), ("BFloat16Storage", 2), ("LongStorage", 8),
    ("IntStorage", 4), ("ShortStorage", 2), ("CharStorage", 1), ("ByteStorage", 1), ("BoolStorage", 1),
    ("FloatStorage", 4),
  ])
  func everyTypeIsReadInBothByteOrders(_ type: String, _ width: Int) throws {
    // One and minus two, or 254 where there is no sign, or true.
    let bits: [String: [UInt64]] = [
      "DoubleStorage": [0x3ff0_0000_0000_0000, 0xc000_0000_0000_0000], "HalfStorage": [0x3c00, 0xc000],
      "BFloat16Storage": [0x3f80, 0xc000], "FloatStorage": [0x3f80_0000, 0xc000_0000],
    ]
    let numbers = bits[type] ?? [1, UInt64(bitPattern: -2)]
    let expected: [Float] = [1, type == "ByteStorage" ? 254 : type == "BoolStorage" ? 1 : -2]
    let pickle = Pickled.whole(
      Pickled.tensor("0", count: 2, sizes: [2], strides: [1], type: type))
    let lowFirst = numbers.map { Array(little($0)[..<width]) }
    for order in ["little", "big"] {
      let bytes = lowFirst.flatMap { order == "little" ? $0 : $0.reversed() }
      var builder = TorchBuilder(pickle: pickle, storages: [("0", bytes)])
      builder.byteOrder = order
      let values = try withCheckpoint(builder.bytes) { try $0.values($0.tensors[0]) }
      #expect(values == expected, "\(type) \(order)")
    }
  }

  @Test func unknownByteOrdersAreRefused() throws {
    var builder = TorchBuilder()
    builder.byteOrder = nil
    _ = try loadNetwork(builder.bytes)
    for order in ["", "middle", "bigger", "Little", String(repeating: "x", count: 100)] {
      builder.byteOrder = order
      expectRefused(builder.bytes, "byte")
    }
  }

  @Test func everyHalfIsRight() throws {
    let all = (0..<65_536).map { UInt16($0) }
    let pickle = Pickled.whole(
      Pickled.tensor("0", count: 65_536, sizes: [65_536], strides: [1], type: "HalfStorage"))
    let bytes = TorchBuilder(pickle: pickle, storages: [("0", all.flatMap { little($0) })]).bytes
    let values = try withCheckpoint(bytes) { try $0.values($0.tensors[0]) }
    for (bits, value) in zip(all, values) {
      // By the definition, in double precision.
      let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 0x3ff))
      if exponent == 31 {
        #expect(fraction == 0 ? value.isInfinite : value.isNaN)
        continue
      }
      var power = 1.0
      for _ in 0..<abs(max(exponent, 1) - 25) { power *= exponent > 25 ? 2 : 0.5 }
      let magnitude = (exponent == 0 ? fraction : fraction + 1024) * power
      #expect(Double(value.magnitude) == magnitude && (value.sign == .minus) == (bits >> 15 == 1))
    }
  }

  // Values that are not tensors, and random trees.

  @Test func scalarsAreNamed() throws {
    let pickle = Pickled.dictionary([
      ("none", [0x4e]), ("yes", [0x88]), ("no", [0x89]), ("int", Pickled.int(-70_000)),
      ("long", [0x8a, 2, 0xff, 0xff]), ("zero", [0x8a, 0]),
      ("huge", [0x8a, 9] + [UInt8](repeating: 1, count: 9)),
      ("float", Pickled.float(0.1)), ("text", text("ä")),
      ("list", Pickled.list([Pickled.int(5), Pickled.dictionary([("deep", Pickled.int(6))])])),
    ])
    try withCheckpoint(file(pickle + [0x2e])) { checkpoint in
      let found = checkpoint.scalars.map { "\($0.name)=\($0.value)" }
      #expect(
        found == [
          "none=none", "yes=bool(true)", "no=bool(false)", "int=int(-70000)", "long=int(-1)",
          "zero=int(0)", "float=float(0.1)", "text=text(\"ä\")", "list.0=int(5)", "list.1.deep=int(6)",
        ])
    }
  }

  @Test(arguments: 0..<200)
  func randomViewsEqualTheirDefinition(_ seed: Int) throws {
    var random = TestRandom(UInt64(seed))
    let count = random.int(1...60)
    let stored = random.uniforms(count)
    let rank = random.int(0...4)
    let sizes = (0..<rank).map { _ in random.int(0...4) }
    let strides = (0..<rank).map { _ in random.int(0...9) }
    let offset = random.int(0...(count - 1))
    let pickle = Pickled.whole(
      Pickled.tensor("0", count: count, offset: offset, sizes: sizes, strides: strides))
    let bytes = TorchBuilder(pickle: pickle, storages: [("0", floats(stored))]).bytes
    // Every index in order, by counting.
    let total = sizes.reduce(1, *)
    let places = (0..<total).map { position -> Int in
      var (rest, place) = (position, offset)
      for dimension in (0..<rank).reversed() {
        place += rest % sizes[dimension] * strides[dimension]
        rest /= sizes[dimension]
      }
      return place
    }
    if places.allSatisfy({ $0 < count }) {
      let values = try withCheckpoint(bytes) { try $0.values($0.tensors[0]) }
      #expect(values == places.map { stored[$0] })
    } else {
      expectFailure(.badFile, "storage") { try withCheckpoint(bytes) { $0.tensors.count } }
    }
  }
}
