// The stream format of PyTorch before 1.6: a hostile one for each promise that it makes.

import TestSupport
import Testing

@testable import TwoLayerNet

struct TorchStreamTests {
  /// A stream with one tensor of six floats under the key "94".
  private struct Stream {
    var version: [UInt8] = [0x4d, 0xe9, 0x03]
    var system = Pickled.dictionary([
      ("protocol_version", Pickled.int(1001)), ("little_endian", [0x88]),
    ])
    var object = Pickled.dictionary([
      ("w", Pickled.tensor("94", count: 6, sizes: [2, 3], strides: [3, 1]))
    ])
    var keys = [Pickled.text("94")]
    var keysAreAList = true
    var storages = little(6) + floats([0, 1, 2, 3, 4, 5])

    /// How each pickle begins.
    var start: [UInt8] = [0x80, 2]

    var bytes: [UInt8] {
      let magic: [UInt8] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]
      let keys = keysAreAList ? Pickled.list(keys) : Pickled.tuple(keys)
      return [magic, version, system, object, keys].flatMap { start + $0 + [0x2e] } + storages
    }
  }

  private func expectBad(
    _ word: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ change: (inout Stream) -> Void
  ) {
    var stream = Stream()
    change(&stream)
    expectFailure(.badFile, word, sourceLocation: sourceLocation) {
      try withCheckpoint(stream.bytes) { $0.tensors.count }
    }
  }

  private func values(_ stream: Stream) throws -> [Float] {
    try withCheckpoint(stream.bytes) { checkpoint in
      #expect(checkpoint.format == .torchStream)
      return try checkpoint.values(checkpoint.tensors[0])
    }
  }

  @Test func goodStreamsAreRead() throws {
    #expect(try values(Stream()) == [0, 1, 2, 3, 4, 5])
    var stream = Stream()
    stream.system = Pickled.dictionary([("little_endian", [0x89])])
    stream.storages = little(6) + [0, 1, 2, 3, 4, 5].flatMap { big(Float($0).bitPattern) }
    #expect(try values(stream) == [0, 1, 2, 3, 4, 5])
  }

  @Test func everyProtocolIsRead() throws {
    var stream = Stream()
    for start: [UInt8] in [[0x80, 3], [0x80, 4, 0x95] + little(13), [0x80, 5, 0x95] + little(13)] {
      stream.start = start
      #expect(try values(stream) == [0, 1, 2, 3, 4, 5])
    }
    expectBad("protocol 6") { $0.start = [0x80, 6] }
    expectBad("operation 0") { $0.start = [0, 2] }
  }

  @Test func headersThatMakeNoSenseAreRefused() {
    expectBad("header") { $0.version = Pickled.int(1002) }
    expectBad("header") { $0.version = [0x4e] }
    expectBad("header") { $0.system = [0x4e] }
    expectBad("order of bytes") { $0.system = [0x7d] }
    expectBad("order of bytes") { $0.system = Pickled.dictionary([("little_endian", [0x4e])]) }
  }

  @Test func storagesThatDoNotMatchAreRefused() {
    expectBad("does not name its storages") { $0.keysAreAList = false }
    expectBad("does not use") { $0.keys = [Pickled.text("95")] }
    expectBad("no data") { $0.keys = [] }
    expectBad("no data") { $0.keys = [Pickled.int(94)] }
    expectBad("does not use") { $0.keys += $0.keys }
    for count in [5, 7, -6, Int.max, Int.min] {
      expectBad("not complete") { $0.storages = little(count) + floats([0, 1, 2, 3, 4, 5]) }
    }
    expectBad("not complete") { $0.storages.removeLast() }
    expectBad("ended") { $0.storages = [6, 0] }
    expectBad("not complete") {
      $0.object = Pickled.dictionary([
        ("w", Pickled.tensor("94", count: 1 << 61, sizes: [2], strides: [1]))
      ])
      $0.storages = little(1 << 61)
    }
  }

  @Test func viewsOfStoragesAreUnsupported() {
    var stream = Stream()
    let view = Pickled.tuple([Pickled.text("95"), Pickled.int(0), Pickled.int(6)])
    stream.object =
      Pickled.tuple([
        Pickled.text("storage"), Pickled.global("torch", "FloatStorage"), Pickled.text("94"),
        Pickled.text("cpu"), Pickled.int(6), view,
      ]) + [0x51]
    expectFailure(.unsupported, "before 0.4") { try withCheckpoint(stream.bytes) { $0.tensors.count } }
  }
}
