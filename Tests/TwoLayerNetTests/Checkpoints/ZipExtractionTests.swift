// Files out of zip archives.

import TestSupport
import Testing

@testable import TwoLayerNet

struct ZipExtractionTests {
  /// An archive with the entry "root/a" in a new directory, which a body may spoil.
  private func withArchive(_ body: (String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.zip"
      var archive = try ZipWriter(path, root: "root")
      try archive.add("a", [1, 2, 3])
      try archive.add("empty", [])
      try archive.finish(comment: [])
      try body(path)
    }
  }

  @Test func entriesComeOutAsTheyWentIn() throws {
    try withArchive { path in
      let file = try File(path)
      let (full, empty) = (
        try file.contents(ofZipEntry: "root/a"), try file.contents(ofZipEntry: "root/empty")
      )
      #expect(full == [1, 2, 3])
      #expect(empty == [])
    }
  }

  @Test func whatIsNotInThereIsAnError() throws {
    try withArchive { path in
      expectFailure(.badFile, path, "root/b") { try File(path).contents(ofZipEntry: "root/b") }
    }
  }

  @Test func aDamagedEntryIsAnError() throws {
    try withArchive { path in
      var bytes = try File(path).all()
      // The first entry's data begin at the first multiple of 64 after its header.
      bytes[64] ^= 1
      _ = try write(bytes, to: path)
      expectFailure(.badFile, path) { try File(path).contents(ofZipEntry: "root/a") }
    }
  }
}

extension File {
  fileprivate borrowing func all() throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withUnsafeMutableBytes { try read(at: 0, into: $0) }
    return bytes
  }
}
