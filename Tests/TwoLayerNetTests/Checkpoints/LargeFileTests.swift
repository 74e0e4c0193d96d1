// Files of more than four gigabytes, where 32-bit numbers end: sparse ones, of which nearly nothing is on
// disk, and of whose large tensor nothing is read.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

struct LargeFileTests {
  /// Elements of the large tensor: more bytes than 32 bits count.
  private let count = 1 << 30 + 5
  private var byteCount: Int { 4 * count }

  /// A file of zeros with some bytes here and there.
  private func withSparseFile<R>(
    _ parts: [(offset: Int, bytes: [UInt8])], byteCount: Int, _ body: (String) throws -> R
  ) throws -> R {
    try withTemporaryDirectory { directory in
      let path = directory + "/large"
      _ = try write([], to: path)
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try file.truncate(atOffset: UInt64(byteCount))
      for part in parts {
        try file.seek(toOffset: UInt64(part.offset))
        file.write(Data(part.bytes))
      }
      try file.close()
      return try body(path)
    }
  }

  private func expectSmallTensor(_ path: String) throws {
    let checkpoint = try Checkpoint.open(path)
    #expect(checkpoint.tensors.map(\.name) == ["large", "small"])
    #expect(checkpoint.tensors[0].count == count)
    #expect(try checkpoint.values(checkpoint.tensors[1]) == [1, 2, 3])
  }

  @Test func safetensors() throws {
    var header = #"{"large":{"dtype":"F32","shape":[\#(count)],"data_offsets":[0,\#(byteCount)]},"#
    header += #""small":{"dtype":"F32","shape":[3],"data_offsets":[\#(byteCount),\#(byteCount + 12)]}}"#
    let start = 8 + header.utf8.count
    let parts = [
      (offset: 0, bytes: little(UInt64(header.utf8.count)) + Array(header.utf8)),
      (offset: start + byteCount, bytes: floats([1, 2, 3])),
    ]
    try withSparseFile(parts, byteCount: start + byteCount + 12) { try expectSmallTensor($0) }
    // Cut off after four gigabytes.
    try withSparseFile([parts[0]], byteCount: 1 << 32) { path in
      expectFailure(.badFile, "large") { try Checkpoint.open(path) }
    }
  }

  private var pickle: [UInt8] {
    Pickled.whole(
      Pickled.dictionary([
        ("large", Pickled.tensor("0", count: count, sizes: [count], strides: [1])),
        ("small", Pickled.tensor("1", count: 3, sizes: [3], strides: [1])),
      ]))
  }

  @Test func archives() throws {
    try withSparseFile(archive.parts, byteCount: archive.byteCount) { try expectSmallTensor($0) }
    // A size that would be right if only its low 32 bits counted.
    var wrong = archive.parts
    let low = little(UInt64(byteCount - 1 << 32))
    let header = wrong[1].bytes
    let place = header.indices.first { header[$0...].starts(with: little(UInt64(byteCount))) }!
    wrong[1].bytes.replaceSubrange(place..<(place + 8), with: low)
    try withSparseFile(wrong, byteCount: archive.byteCount) { path in
      expectFailure(.badFile, "directory says") { try Checkpoint.open(path) }
    }
  }

  /// An archive in zip64, whose second storage begins behind the first four gigabytes.
  private var archive: (parts: [(offset: Int, bytes: [UInt8])], byteCount: Int) {
    let members: [(name: String, bytes: [UInt8], count: Int)] = [
      ("a/data.pkl", pickle, pickle.count), ("a/data/0", [], byteCount),
      ("a/data/1", floats([1, 2, 3]), 12),
    ]
    var parts: [(offset: Int, bytes: [UInt8])] = []
    var directory: [UInt8] = []
    var position = 0
    for member in members {
      let sizes = little(UInt64(member.count)) + little(UInt64(member.count))
      let ones = [UInt8](repeating: 0xff, count: 8)
      // No flags, stored, no time; all checksums are zero, which means that there are none.
      let common = [UInt8](repeating: 0, count: 12) + ones + little(UInt16(member.name.utf8.count))
      let local = Array("PK\u{3}\u{4}".utf8) + [45, 0] + common + [20, 0] + Array(member.name.utf8)
      directory += Array("PK\u{1}\u{2}".utf8) + [45, 0, 45, 0] + common + [28, 0]
      directory += [UInt8](repeating: 0, count: 10) + little(UInt32.max) + Array(member.name.utf8)
      directory += [1, 0, 24, 0] + sizes + little(UInt64(position))
      let extra = [1, 0, 16, 0] + sizes
      parts.append((position, local + extra + member.bytes))
      position += local.count + extra.count + member.count
    }
    var end = Array("PK\u{6}\u{6}".utf8) + little(UInt64(44)) + [45, 0, 45, 0]
    end += [UInt8](repeating: 0, count: 8)
    end += [members.count, members.count, directory.count, position].flatMap { little(UInt64($0)) }
    end += Array("PK\u{6}\u{7}".utf8) + little(UInt32(0))
    end += little(UInt64(position + directory.count)) + little(UInt32(1))
    end += Array("PK\u{5}\u{6}".utf8) + [0, 0, 0, 0] + [UInt8](repeating: 0xff, count: 12) + [0, 0]
    parts.append((position, directory + end))
    return (parts, position + directory.count + end.count)
  }

  @Test func streams() throws {
    let magic: [UInt8] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]
    let system = Pickled.dictionary([("little_endian", [0x88])])
    let head =
      [magic, [0x4d, 0xe9, 0x03], system].flatMap { Pickled.whole($0) } + pickle
      + Pickled.whole(Pickled.list([Pickled.text("0"), Pickled.text("1")]))
    let second = head.count + 8 + byteCount
    let parts = [
      (offset: 0, bytes: head + little(UInt64(count))),
      (offset: second, bytes: little(UInt64(3)) + floats([1, 2, 3])),
    ]
    try withSparseFile(parts, byteCount: second + 20) { try expectSmallTensor($0) }
    try withSparseFile([parts[0]], byteCount: 1 << 32) { path in
      expectFailure(.badFile, "cut off") { try Checkpoint.open(path) }
    }
  }

  @Test func datasets() throws {
    // Six bytes of images, and four gigabytes behind them.
    let small = idx([2, 3], [0, 1, 2, 3, 4, 5])
    try withSparseFile([(0, small)], byteCount: 1 << 32 + 18) { path in
      expectFailure(.badFile, "more bytes") { try Dataset.openIDX(images: path, labels: nil) }
    }
    // 2^32 and 2^64 bytes of images, of which the file has none.
    for dimensions: [UInt32] in [[1 << 16, 1 << 16], [1 << 31, 1 << 31, 4], [.max, .max, .max, .max]] {
      try withSparseFile([(0, idx(dimensions, []))], byteCount: 100) { path in
        expectFailure(.badFile, "cut off") { try Dataset.openIDX(images: path, labels: nil) }
      }
    }
  }
}
