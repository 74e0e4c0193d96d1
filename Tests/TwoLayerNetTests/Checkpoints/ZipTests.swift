// Archives as other programs write them, and archives that lie.

import TestSupport
import Testing

@testable import TwoLayerNet

struct ZipTests {
  private let torch = TorchBuilder()

  private func expectGood(
    _ archive: ZipBuilder, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let network = try loadNetwork(archive.bytes)
    #expect(
      try parameters(network).flatMap { $0 } == (0..<14).map { Float($0) },
      sourceLocation: sourceLocation)
  }

  /// The archive with its first tensor's entry changed.
  private func archive(_ change: (inout ZipMember) -> Void) -> ZipBuilder {
    var archive = ZipBuilder(torch.members)
    change(&archive.members[2])
    return archive
  }

  // Good ones.

  @Test func deflatedEntriesAreInflated() throws {
    try expectGood(
      ZipBuilder(torch.members.map { .deflated(String(decoding: $0.name, as: UTF8.self), $0.bytes) }))
  }

  @Test(arguments: [true, false], [true, false])
  func sizesMayFollowTheData(_ signature: Bool, _ wide: Bool) throws {
    try expectGood(
      ZipBuilder(
        torch.members.map {
          .described(
            String(decoding: $0.name, as: UTF8.self), $0.bytes, signature: signature, wide: wide)
        }))
  }

  @Test func wideSizesAndEndRecordsAreRead() throws {
    var archive = ZipBuilder(torch.members)
    archive.isZip64 = true
    for index in archive.members.indices { archive.members[index].isWide = true }
    try expectGood(archive)
  }

  @Test func commentsAreIgnored() throws {
    var archive = ZipBuilder(torch.members)
    for comment in ["hello", "twolayer", String(repeating: "x", count: 65_535), "PK\u{5}\u{6}"] {
      archive.comment = Array(comment.utf8)
      try expectGood(archive)
    }
  }

  @Test func theOrderOfEntriesDoesNotMatter() throws {
    try expectGood(ZipBuilder(torch.members.reversed()))
  }

  @Test func checksumsThatAreAllZeroAreNotCompared() throws {
    var archive = ZipBuilder(torch.members)
    for index in archive.members.indices { archive.members[index].checksum = 0 }
    try expectGood(archive)
    archive.members[0].checksum = torch.members[0].checksum
    expectRefused(archive.bytes, "checksum")
  }

  // Directories that lie.

  @Test func duplicateNamesAreRefused() {
    var archive = ZipBuilder(torch.members)
    archive.members.append(archive.members[2])
    expectRefused(archive.bytes, "two entries called archive/data/0")
    archive.members = torch.members + [torch.members[0]]
    expectRefused(archive.bytes, "two entries")
  }

  @Test func severalRootsAreRefused() {
    var archive = ZipBuilder(torch.members)
    archive.members.append(ZipMember("other/data.pkl", torch.pickle))
    expectRefused(archive.bytes, "several checkpoints")
  }

  @Test func archivesWithoutAPickleAreRefused() {
    expectRefused(ZipBuilder(Array(torch.members.dropFirst())).bytes, "no data.pkl")
    expectRefused(ZipBuilder([ZipMember("data.pkl", torch.pickle)]).bytes, "no data.pkl")
    expectRefused(ZipBuilder([ZipMember("a/b/data.pkl", torch.pickle)]).bytes, "no data.pkl")
  }

  @Test func programsAreRefused() {
    var archive = ZipBuilder(torch.members)
    archive.members.append(ZipMember("archive/constants.pkl", [0x80, 2, 0x29, 0x2e]))
    expectRefused(archive.bytes, "TorchScript")
  }

  @Test func missingStoragesAreRefused() {
    var archive = ZipBuilder(torch.members)
    archive.members.remove(at: 2)
    expectRefused(archive.bytes, "no data")
  }

  @Test func wrongChecksumsAreRefused() {
    expectRefused(archive { $0.checksum ^= 1 }.bytes, "checksum")
    expectRefused(archive { $0.bytes[5] ^= 1 }.bytes, "checksum")
  }

  @Test func headersThatDisagreeAreRefused() {
    let patches: [(Int, [UInt8])] = [
      (0, Array("XK".utf8)), (6, [8, 0]), (8, [8, 0]), (14, [1]), (18, [1]), (22, [1]),
      (26, [255, 255]), (28, [255, 255]), (30, Array("x".utf8)),
    ]
    for (offset, bytes) in patches {
      expectRefused(archive { $0.localPatches[offset] = bytes }.bytes, "not what the directory says")
    }
  }

  @Test func descriptorsThatDisagreeAreRefused() {
    for offset in 4..<16 {
      var archive = ZipBuilder(torch.members)
      archive.members[2] = .described("archive/data/0", torch.storages[0].bytes)
      archive.members[2].descriptor[offset] ^= 1
      expectRefused(archive.bytes, "archive/data/0 is not what the directory says")
    }
  }

  @Test func offsetsOutsideAreRefused() {
    for offset: UInt32 in [5, 0x7fff_ffff, 0xffff_fffe] {
      expectRefused(archive { $0.centralPatches[42] = little(offset) }.bytes, "not what")
    }
    expectRefused(archive { $0.centralPatches[42] = little(UInt32.max) }.bytes, "missing")
  }

  @Test func sizesThatLieAreRefused() {
    for size in [0, 1, 25, 1 << 31, 0xffff_fffe] {
      expectRefused(archive { ($0.byteCount, $0.storedByteCount) = (size, size) }.bytes)
      expectRefused(archive { $0.byteCount = size }.bytes, "sizes of archive/data/0 make no sense")
    }
    for size in [1 << 40, Int.max] {
      expectRefused(
        archive { ($0.byteCount, $0.storedByteCount, $0.isWide) = (size, size, true) }.bytes)
    }
  }

  @Test func wideSizesThatAreMissingAreRefused() {
    expectRefused(archive { $0.centralPatches[20] = little(UInt32.max) }.bytes, "missing")
    expectRefused(
      archive {
        $0.isWide = true; $0.centralPatches[30] = [10, 0]
      }.bytes)
  }

  @Test func encryptionAndOtherMethodsAreUnsupported() {
    expectRefused(archive { $0.flags = 1 }.bytes, "encrypted", status: .unsupported)
    expectRefused(archive { $0.flags = 64 }.bytes, "encrypted", status: .unsupported)
    expectRefused(archive { $0.method = 99 }.bytes, "99", status: .unsupported)
  }

  @Test func endRecordsThatLieAreRefused() {
    func expectBad(
      _ patches: [Int: [UInt8]], wide: Bool = false,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      var archive = ZipBuilder(torch.members)
      archive.isZip64 = wide
      archive.endPatches = patches
      expectRefused(archive.bytes, sourceLocation: sourceLocation)
    }
    for (offset, width) in [(0, 1), (4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)] {
      for value in [UInt8(1), 0x7f, 0xff] {
        expectBad([offset: [UInt8](repeating: value, count: width)])
      }
    }
    expectBad([8: [60, 0, 60, 0]])
    expectBad([8: [6, 0, 6, 0]])
    // The record of zip64 at 0, its locator at 56, the old record at 76.
    for (offset, width) in [
      (0, 1), (4, 8), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8), (60, 4), (64, 8), (72, 4),
    ] {
      for value in [UInt8(3), 0x7f, 0xff] {
        expectBad([offset: [UInt8](repeating: value, count: width)], wide: true)
      }
    }
    expectBad([86: [1, 0]], wide: true)
    expectBad([88: [1, 0, 0, 0]], wide: true)
    expectBad([92: [1, 0, 0, 0]], wide: true)
  }

  @Test func bytesBeforeAndAfterAreRefused() {
    let bytes = ZipBuilder(torch.members).bytes
    expectRefused(bytes + [0])
    expectRefused([0] + bytes, "neither")
    expectRefused(Array("PK\u{3}\u{4}".utf8) + bytes)
  }

  @Test func namesThatAreNotUTF8AreRefused() {
    expectRefused(archive { $0.name[3] = 0xff }.bytes, "UTF-8")
  }

  // Compression.

  @Test func deflatedDataThatLieAreRefused() {
    func expectBad(
      _ change: (inout ZipMember) -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      var archive = ZipBuilder(torch.members)
      archive.members[2] = .deflated("archive/data/0", torch.storages[0].bytes)
      change(&archive.members[2])
      expectRefused(archive.bytes, sourceLocation: sourceLocation)
    }
    expectBad { $0.byteCount += 1 }
    expectBad { $0.byteCount -= 1 }
    expectBad { $0.byteCount = 1 << 31 }
    expectBad { $0.bytes[0] = 0xff }
    expectBad {
      $0.bytes.removeLast(); $0.storedByteCount -= 1
    }
    expectBad {
      $0.bytes.append(0); $0.storedByteCount += 1
    }
    expectBad {
      $0.bytes = []; $0.storedByteCount = 0
    }
    expectBad { $0.checksum ^= 1 }
  }

  @Test func smallFilesDoNotInflateToMuchMemory() {
    // 128 MB of zeros would be good deflate, but no weights.
    var member = ZipMember.deflated("archive/data/0", [UInt8](repeating: 0, count: 1 << 20))
    member.byteCount = 1 << 27
    member.bytes += [UInt8](repeating: 0, count: 1 << 17)
    member.storedByteCount = member.bytes.count
    var archive = ZipBuilder(torch.members)
    archive.members[2] = member
    expectRefused(archive.bytes, "sizes of archive/data/0")
  }

  @Test func manyEntriesAreRefusedQuickly() {
    let members = (0..<66_000).map { ZipMember("a/" + String($0), []) }
    var archive = ZipBuilder(members)
    archive.isZip64 = true
    expectRefused(archive.bytes, "too many entries")
  }

  @Test func manyGoodEntriesAreReadQuickly() throws {
    var archive = ZipBuilder(torch.members)
    archive.members += (0..<50_000).map { ZipMember("archive/data/x" + String($0), []) }
    try expectGood(archive)
  }
}
