// Writing files: what happens to the old one, and to what lies beside it.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

/// Writes a file the way checkpoints are written; an error in between leaves it unfinished.
private func save(_ text: String, to path: String, failing: Bool = false) throws {
  let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 1)
  defer { bytes.deallocate() }
  bytes.copyBytes(from: text.utf8)
  let writer = try FileWriter(path)
  try writer.write(UnsafeRawBufferPointer(bytes))
  if failing { throw Failure(.cancelled, "stopped") }
  try writer.commit()
}

private func contents(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
private func names(_ directory: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
}

struct FileTests {
  @Test func aFileIsReplacedOnlyWhenItIsComplete() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/mnist.pth"
      try save("old", to: path)
      expectFailure(.cancelled) { try save("new", to: path, failing: true) }
      #expect(contents(path) == "old")
      #expect(try names(directory) == ["mnist.pth"])
      try save("new", to: path)
      #expect(contents(path) == "new")
      #expect(try names(directory) == ["mnist.pth"])
    }
  }

  /// There is nothing to put in its place.
  @Test func aDeviceIsWrittenTo() throws {
    try save("gone", to: "/dev/null")
    let attributes = try FileManager.default.attributesOfItem(atPath: "/dev/null")
    #expect(attributes[.type] as? FileAttributeType == .typeCharacterSpecial)
  }

  @Test func theOldFilesPermissionsAndLinksStay() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/real.pth"
      let link = directory + "/link.pth"
      try save("old", to: path)
      #expect(chmod(path, 0o640) == 0 && symlink("real.pth", link) == 0)
      try save("new", to: link)
      #expect(contents(path) == "new")
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "real.pth")
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode == 0o640)
    }
  }

  @Test func impossibleTargetsAreRefused() throws {
    try withTemporaryDirectory { directory in
      expectFailure(.ioError, "is a directory") { try save("x", to: directory) }
      expectFailure(.ioError, "nowhere") { try save("x", to: directory + "/nowhere/mnist.pth") }
      expectFailure(.ioError) { try save("x", to: "") }
      expectFailure(.ioError) { try FileWriter.probe(directory + "/nowhere/a.pth", byteCount: 10) }
    }
  }

  @Test func aProbeLeavesNothing() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/mnist.pth"
      try FileWriter.probe(path, byteCount: 1000)
      #expect(try names(directory) == [])
      try save("old", to: path)
      try FileWriter.probe(path, byteCount: 1000)
      #expect(contents(path) == "old")
      #expect(try names(directory) == ["mnist.pth"])
      expectFailure(.ioError, "cannot hold") { try FileWriter.probe(path, byteCount: Int.max) }
      #expect(try names(directory) == ["mnist.pth"])
    }
  }

  @Test func aFullDiskIsAnError() throws {
    // /dev/full takes nothing, as a full disk does.
    guard FileManager.default.fileExists(atPath: "/dev/full") else { return }
    expectFailure(.ioError, "cannot be written", "No space left") { try save("x", to: "/dev/full") }
  }
}
