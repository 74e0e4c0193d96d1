// The generator and the position of a trainer as text, which fits into the comment of a zip archive.
// PyTorch does not read it; people can, with `unzip -z`:
//
//     twolayernet 1
//     generator 2a00...       torch.get_rng_state() in hexadecimal
//     epochs 3
//     rows 60000              this and the next three lines if an epoch was left half-way
//     batch 100
//     steps 250
//     order 123456            the seed of the epoch's order, or "none"

struct ResumptionComment {
  let position: Position
  /// As `MersenneTwister.serialize` writes it.
  let generator: [UInt8]

  private static let name = "twolayernet "
  private static let version = 1
  /// More epochs than anyone trains, few enough to count on.
  private static let epochLimit = 1 << 53

  init(_ position: Position, _ generator: borrowing MersenneTwister) throws(Failure) {
    self.position = position
    let state = try Buffer<UInt8>(uninitialized: MersenneTwister.serializedByteCount)
    generator.serialize(into: UnsafeMutableRawBufferPointer(state.mutable))
    self.generator = Array(state.readOnly)
  }

  var bytes: [UInt8] {
    var text: [UInt8] = []
    func add(_ name: String, _ value: String) {
      text.append(name)
      text.append(value)
    }
    add(Self.name, String(Self.version))
    add("\ngenerator ", "")
    for byte in generator {
      for digit in [byte >> 4, byte & 15] { text.append(digit < 10 ? 48 + digit : 87 + digit) }
    }
    add("\nepochs ", String(position.epochs))
    if let epoch = position.unfinished {
      add("\nrows ", String(epoch.rows))
      add("\nbatch ", String(epoch.batchSize))
      add("\nsteps ", String(epoch.steps))
      add("\norder ", epoch.seed.map { String($0) } ?? "none")
    }
    return text
  }

  /// What the comment of a file says; nil if it has none of this kind, because PyTorch wrote it.
  init?(_ checkpoint: Checkpoint) throws(Failure) {
    var reader = TextReader(bytes: checkpoint.comment)
    guard reader.skip(Self.name) else { return nil }
    guard reader.number() == UInt64(Self.version) else {
      throw .unsupported("\(checkpoint.path) was written by a later version of twolayernet")
    }
    guard reader.skip("\ngenerator "),
      let state = reader.hexadecimal(count: MersenneTwister.serializedByteCount),
      let position = Self.readPosition(&reader), try Self.isGenerator(state)
    else { throw .badFile("\(checkpoint.path) is damaged: its comment makes no sense") }
    generator = state
    self.position = position
  }

  private static func readPosition(_ reader: inout TextReader) -> Position? {
    guard reader.skip("\nepochs "), let epochs = reader.number(), epochs <= epochLimit else {
      return nil
    }
    var position = Position(epochs: Int(epochs))
    if reader.isAtEnd { return position }
    let limit = UInt64(Dataset.rowLimit)
    guard reader.skip("\nrows "), let rows = reader.number(), (1...limit).contains(rows),
      reader.skip("\nbatch "), let batch = reader.number(), (1...limit).contains(batch),
      reader.skip("\nsteps "), let steps = reader.number(), steps <= (rows + batch - 1) / batch,
      reader.skip("\norder ")
    else { return nil }
    var seed: UInt64?
    if !reader.skip("none") {
      seed = reader.number()
      if seed == nil { return nil }
    }
    position.unfinished = UnfinishedEpoch(
      rows: Int(rows), batchSize: Int(batch), seed: seed, steps: Int(steps))
    return reader.isAtEnd ? position : nil
  }

  private static func isGenerator(_ state: [UInt8]) throws(Failure) -> Bool {
    var generator = try MersenneTwister(seed: 0)
    let bytes = try Buffer(copying: state)
    return generator.deserialize(from: UnsafeRawBufferPointer(bytes.readOnly))
  }
}

/// Goes through text from front to back.
private struct TextReader {
  let bytes: [UInt8]
  private var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { position == bytes.count }

  mutating func skip(_ text: String) -> Bool {
    let wanted = text.bytes
    guard bytes[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }

  /// Decimal digits.
  mutating func number() -> UInt64? {
    let start = position
    var value: UInt64 = 0
    while position < bytes.count, (48...57).contains(bytes[position]) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.addingReportingOverflow(UInt64(bytes[position] - 48))
      if overflow || overflow2 { return nil }
      value = sum
      position += 1
    }
    return position > start ? value : nil
  }

  /// `count` bytes in twice as many digits.
  mutating func hexadecimal(count: Int) -> [UInt8]? {
    guard 2 * count <= bytes.count - position else { return nil }
    var result: [UInt8] = []
    for _ in 0..<count {
      var byte: UInt8 = 0
      for _ in 0..<2 {
        switch bytes[position] {
        case 48...57: byte = byte << 4 | (bytes[position] - 48)
        case 97...102: byte = byte << 4 | (bytes[position] - 87)
        default: return nil
        }
        position += 1
      }
      result.append(byte)
    }
    return result
  }
}
