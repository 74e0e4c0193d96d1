// Pickles put together opcode by opcode, and the archives of PyTorch around them.

/// Pieces of a pickle in protocol 2.
public enum Pickled {
  public static func whole(_ value: [UInt8]) -> [UInt8] { [0x80, 2] + value + [0x2e] }

  public static func text(_ text: String) -> [UInt8] {
    [0x58] + little(UInt32(text.utf8.count)) + Array(text.utf8)
  }

  public static func int(_ number: Int) -> [UInt8] {
    if let small = Int32(exactly: number) { return [0x4a] + little(small) }
    return [0x8a, 8] + little(number)
  }

  public static func float(_ number: Double) -> [UInt8] { [0x47] + big(number.bitPattern) }

  public static func global(_ module: String, _ name: String) -> [UInt8] {
    [0x63] + Array((module + "\n" + name + "\n").utf8)
  }

  public static func tuple(_ items: [[UInt8]]) -> [UInt8] { [0x28] + items.flatMap { $0 } + [0x74] }
  public static func list(_ items: [[UInt8]]) -> [UInt8] {
    [0x5d, 0x28] + items.flatMap { $0 } + [0x65]
  }

  public static func dictionary(_ items: [(String, [UInt8])]) -> [UInt8] {
    [0x7d, 0x28] + items.flatMap { text($0) + $1 } + [0x75]
  }

  public static func call(_ function: [UInt8], _ arguments: [[UInt8]]) -> [UInt8] {
    function + tuple(arguments) + [0x52]
  }

  public static func storage(_ key: String, count: Int, type: String = "FloatStorage") -> [UInt8] {
    tuple([text("storage"), global("torch", type), text(key), text("cpu"), int(count)]) + [0x51]
  }

  public static func tensor(
    _ key: String, count: Int, offset: Int = 0, sizes: [Int], strides: [Int],
    type: String = "FloatStorage"
  ) -> [UInt8] {
    call(
      global("torch._utils", "_rebuild_tensor_v2"),
      [
        storage(key, count: count, type: type), int(offset), tuple(sizes.map(int)),
        tuple(strides.map(int)), [0x89], call(global("collections", "OrderedDict"), []),
      ])
  }
}

/// A file of torch.save.
public struct TorchBuilder {
  public var pickle: [UInt8]
  public var storages: [(key: String, bytes: [UInt8])]
  public var byteOrder: String? = "little"

  public init(pickle: [UInt8], storages: [(key: String, bytes: [UInt8])]) {
    self.pickle = pickle
    self.storages = storages
  }

  /// A network of 3 inputs, 2 hidden units and 2 outputs whose parameters count from 0 to 13.
  public init() {
    let sizes = [[2, 3], [2], [2, 2], [2]]
    let names = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]
    var next: Float = 0
    var entries: [(String, [UInt8])] = []
    storages = []
    for (index, (name, size)) in zip(names, sizes).enumerated() {
      let count = size.reduce(1, *)
      let strides = size.count == 2 ? [size[1], 1] : [1]
      entries.append((name, Pickled.tensor(String(index), count: count, sizes: size, strides: strides)))
      let values = (0..<count).map { Float($0) + next }
      next += Float(count)
      storages.append((String(index), floats(values)))
    }
    pickle = Pickled.whole(Pickled.dictionary(entries))
  }

  public var members: [ZipMember] {
    var members = [ZipMember("archive/data.pkl", pickle)]
    if let byteOrder { members.append(ZipMember("archive/byteorder", Array(byteOrder.utf8))) }
    members += storages.map { ZipMember("archive/data/" + $0.key, $0.bytes) }
    return members + [ZipMember("archive/version", Array("3\n".utf8))]
  }

  public var bytes: [UInt8] { ZipBuilder(members).bytes }
}

/// The bytes of float32 values, the lowest first.
public func floats(_ values: [Float]) -> [UInt8] { values.flatMap { little($0.bitPattern) } }
