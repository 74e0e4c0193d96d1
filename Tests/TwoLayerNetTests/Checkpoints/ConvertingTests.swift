// What the command line's conversion does with checkpoints: NumPy's archives are read, and any checkpoint
// is written again.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

struct ConvertingTests {
  /// An array of float32 values as numpy.save writes it, its header padded to so many bytes.
  private func array(_ values: [Float], headerByteCount: Int = 128) -> [UInt8] {
    var header = Array(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (\(values.count),), }".utf8)
    header += [UInt8](repeating: UInt8(ascii: " "), count: headerByteCount - 11 - header.count)
    header.append(UInt8(ascii: "\n"))
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + little(UInt16(header.count)) + header
      + floats(values)
  }

  private func withArchive<R>(_ members: [ZipMember], _ body: (Checkpoint) throws -> R) throws -> R {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.npz"
      try Data(ZipBuilder(members).bytes).write(to: URL(fileURLWithPath: path))
      return try body(Checkpoint.openWithNumPy(path))
    }
  }

  @Test func arraysAreTensors() throws {
    let members = [ZipMember("b.npy", array([1, 2, 3])), ZipMember("a.npy", array([4]))]
    try withArchive(members) { checkpoint in
      #expect(checkpoint.format == .numpy && Set(checkpoint.tensors.map(\.name)) == ["a", "b"])
      for tensor in checkpoint.tensors {
        let values = try checkpoint.values(tensor)
        #expect(values == (tensor.name == "a" ? [4] : [1, 2, 3]))
      }
    }
  }

  @Test func whatIsNoArrayIsRefused() {
    expectFailure(.badFile, "readme.txt, which is no NumPy array") {
      try withArchive([ZipMember("a.npy", array([4])), ZipMember("readme.txt", [0])]) { _ in }
    }
    for headerByteCount in [125, 126, 127] {
      expectFailure(.unsupported, "not aligned") {
        try withArchive([ZipMember("a.npy", array([4], headerByteCount: headerByteCount))]) { _ in }
      }
    }
  }

  @Test func otherFilesAreToldByTheirContents() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.npz"
      try withCheckpoint(TorchBuilder().bytes) { try $0.write(to: directory + "/b.safetensors") }
      try FileManager.default.moveItem(atPath: directory + "/b.safetensors", toPath: path)
      let format = try Checkpoint.openWithNumPy(path).format
      #expect(format == .safetensors)
      try Data("hello".utf8).write(to: URL(fileURLWithPath: path))
      expectFailure(.badFile, "none of .pth, .safetensors and .npz") {
        _ = try Checkpoint.openWithNumPy(path)
      }
    }
  }

  @Test(arguments: ["b.safetensors", "b.pth"])
  func whatIsWrittenAgainIsTheSame(_ name: String) throws {
    try withTemporaryDirectory { directory in
      try withCheckpoint(TorchBuilder().bytes) { try $0.write(to: directory + "/" + name) }
      let written = try Checkpoint.open(directory + "/" + name)
      try withCheckpoint(TorchBuilder().bytes) { original in
        #expect(written.tensors.count == original.tensors.count)
        for tensor in original.tensors {
          let match = written.tensors.first { $0.name == tensor.name }
          let found = try #require(match)
          #expect(found.sizes == tensor.sizes)
          let (values, wanted) = (try written.values(found), try original.values(tensor))
          #expect(values == wanted)
        }
      }
    }
  }
}
