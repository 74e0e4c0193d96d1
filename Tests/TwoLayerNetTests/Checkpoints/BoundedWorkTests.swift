// Small files that ask for much work or memory: each would take minutes, or many gigabytes, if it were
// believed. What has no bound here shows by hanging, or by the process being killed.

import CSystem
import TestSupport
import Testing

@testable import TwoLayerNet

struct BoundedWorkTests {
  private let tensor = Pickled.tensor("0", count: 6, sizes: [6], strides: [1])

  private func expectBad(
    _ pickle: [UInt8], _ word: String, storages: [(String, [UInt8])]? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let file = TorchBuilder(
      pickle: Pickled.whole(pickle), storages: storages ?? [("0", [UInt8](repeating: 0, count: 24))])
    expectFailure(.badFile, word, sourceLocation: sourceLocation) {
      try withCheckpoint(file.bytes) { $0.tensors.count }
    }
  }

  /// `count` times the value with the number 0 in the memo.
  private func again(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in [0x68, 0] as [UInt8] } }

  // Pickles.

  @Test func aLongListInALongListIsRefused() {
    // 300,000 plain values, which are left out, looked at 300,000 times.
    let plain = [UInt8](repeating: 0x4e, count: 300_000)
    expectBad(
      [0x5d, 0x28, 0x5d, 0x28] + plain + [0x65, 0x71, 0] + again(300_000) + [0x65], "deep")
    // The same with a dictionary whose keys are no names.
    expectBad(
      [0x5d, 0x28, 0x7d, 0x28] + plain + [0x75, 0x71, 0] + again(300_000) + [0x65], "deep")
  }

  @Test func anOrderedDictMadeManyTimesIsRefused() {
    // 100,000 pairs, copied 100,000 times.
    let list: [UInt8] =
      [0x5d, 0x28, 0x4e, 0x4e, 0x86, 0x71, 0] + again(100_000) + [0x65, 0x85, 0x71, 1]
    let calls = (0..<100_000).flatMap { _ in [0x68, 2, 0x68, 1, 0x52] as [UInt8] }
    let type = Pickled.global("collections", "OrderedDict") + [0x71, 2]
    expectBad([0x28] + list + type + calls + [0x74], "values")
  }

  @Test func aLongNameLookedUpManyTimesIsNoName() {
    // Four megabytes of module name, 200,000 times.
    let module = Pickled.text(String(repeating: "m", count: 4 << 20)) + [0x71, 0]
    let calls = (0..<200_000).flatMap { _ in [0x68, 0, 0x68, 0, 0x93] as [UInt8] }
    // Such a name is unknown, which does no harm; a checkpoint without tensors is no network.
    #expect(throws: Never.self) {
      let file = TorchBuilder(pickle: Pickled.whole([0x28] + module + calls + [0x74]), storages: [])
      try withCheckpoint(file.bytes) { #expect($0.tensors.isEmpty) }
    }
  }

  @Test func manyStoragesAndTensorsAreRefused() {
    let key = String(repeating: "k", count: 60_000)
    let arguments = Pickled.tuple([
      Pickled.text("storage"), Pickled.global("torch", "FloatStorage"), Pickled.text(key),
      Pickled.text("cpu"), Pickled.int(6),
    ])
    let storages = [UInt8]((0..<100_000).flatMap { _ in [0x68, 0, 0x51] as [UInt8] })
    expectBad(
      [0x28] + arguments + [0x71, 0] + storages + [0x74], "storages",
      storages: [(key, [UInt8](repeating: 0, count: 24))])
    let function = Pickled.global("torch._utils", "_rebuild_tensor") + [0x71, 0]
    let place = Pickled.tuple([
      Pickled.storage("0", count: 6), Pickled.int(0), Pickled.tuple([Pickled.int(6)]),
      Pickled.tuple([Pickled.int(1)]),
    ])
    let calls = (0..<100_000).flatMap { _ in [0x68, 0, 0x68, 1, 0x52] as [UInt8] }
    expectBad([0x28] + function + place + [0x71, 1] + calls + [0x74], "tensors")
  }

  @Test func aLongStorageKeyInAStreamIsNoName() {
    let key = Pickled.text(String(repeating: "k", count: 4 << 20))
    let arguments = Pickled.tuple([
      Pickled.text("storage"), Pickled.global("torch", "FloatStorage"), key, Pickled.text("cpu"),
      Pickled.int(0),
    ])
    let object =
      [0x28] + arguments + [0x71, 0] + (0..<16_000).flatMap { _ in [0x68, 0, 0x51] as [UInt8] } + [0x74]
    let magic: [UInt8] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]
    let parts = [
      magic, [0x4d, 0xe9, 3], Pickled.dictionary([("little_endian", [0x88])]), object, [0x5d],
    ]
    expectFailure(.badFile, "strange name") {
      try withCheckpoint(parts.flatMap { Pickled.whole($0) }) { $0.tensors.count }
    }
  }

  @Test func manyMarksAreWalkedOverOnce() {
    // Each tuple takes what lies above the last mark only.
    expectBad(
      [UInt8](repeating: 0x28, count: 300_000) + [UInt8](repeating: 0x74, count: 300_000), "deep")
  }

  // Archives.

  @Test func entriesThatShareTheirBytesAreRefused() {
    // Of two entries one lies, with its header, in the data of the other.
    let inner = ZipMember("archive/data/x", [UInt8](repeating: 0, count: 400))
    let local = Array(ZipBuilder([inner]).bytes[..<(30 + 14 + 400)])
    let members = [ZipMember("archive/data/y", local)] + TorchBuilder().members
    let archive = ZipBuilder(members + [inner]).bytes
    func places(_ signature: String) -> [Int] {
      archive.indices.filter { archive[$0...].starts(with: Array(signature.utf8)) }
    }
    let (ownHeader, directory) = (places("PK\u{3}\u{4}").last!, places("PK\u{1}\u{2}"))
    /// Without the second copy, which the directory does not mean any more; with a gap instead.
    func file(gap: Int) -> [UInt8] {
      var file = archive
      file.replaceSubrange(
        (directory.last! + 42)..<(directory.last! + 46), with: little(UInt32(30 + 14)))
      file.replaceSubrange(ownHeader..<directory[0], with: [UInt8](repeating: 0, count: gap))
      file.replaceSubrange(
        (file.count - 6)..<(file.count - 2), with: little(UInt32(ownHeader + gap)))
      return file
    }
    expectRefused(file(gap: 0), "not what the directory says")
    // Nothing else is wrong with it.
    #expect(throws: Never.self) { try loadNetwork(file(gap: 444)) }
  }

  @Test func manyEntriesInOnePlaceAreRefused() {
    // Each local header has a 64 KB extra field that overlaps with those of the next thousands.
    var archive: [UInt8] = []
    var directory: [UInt8] = []
    let count = 20_000
    for index in 0..<count {
      var member = ZipMember(String(100_000 + index), [])
      member.localPatches = [28: [0xff, 0xff]]
      let header = ZipBuilder([member]).bytes
      let central = header[(36)..<(36 + 52)]
      directory += central[..<(36 + 42)] + little(UInt32(archive.count)) + central[(36 + 46)...]
      archive += header[..<36]
    }
    archive += [UInt8](repeating: 0, count: 1 << 16)
    let end =
      Array("PK\u{5}\u{6}".utf8) + little(UInt32(0)) + little(UInt16(count)) + little(UInt16(count))
      + little(UInt32(directory.count)) + little(UInt32(archive.count)) + [0, 0]
    expectRefused(archive + directory + end, "not what the directory says")
  }

  @Test func aDirectoryWithoutItsEntriesIsRefused() {
    // 65,535 times the same place.
    let central = ZipBuilder([ZipMember("a", [])]).bytes[31..<(31 + 47)]
    let directory = (0..<65_535).flatMap { _ in central }
    let start = ZipBuilder([ZipMember("a", [])]).bytes[..<31]
    let end =
      Array("PK\u{5}\u{6}".utf8) + little(UInt32(0)) + little(UInt16(65_535)) + little(UInt16(65_535))
      + little(UInt32(directory.count)) + little(UInt32(31)) + [0, 0]
    expectRefused(start + directory + end, "not what the directory says")
  }

  // safetensors.

  @Test func metadataTwiceIsRefusedAlsoIfItIsEmpty() {
    let header = Array(#"{"__metadata__":{},"__metadata__":{}}"#.utf8)
    expectFailure(.badFile, "header") {
      try withCheckpoint(little(UInt64(header.count)) + header) { $0.tensors.count }
    }
  }
}
