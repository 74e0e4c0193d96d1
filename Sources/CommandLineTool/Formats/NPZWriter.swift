// Writing NumPy's .npz: a zip archive with one .npy file for each array
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

import CSystem
import TwoLayerNet

enum NPZWriter {
  /// The file that numpy.savez writes for a network's parameters, under PyTorch's names.
  static func file(_ network: Network) throws(Failure) -> [UInt8] {
    var archive: [UInt8] = []
    var directory: [UInt8] = []
    for parameter in Parameter.allCases {
      let array = npy(try network.values(of: parameter), sizes: parameter.sizes(in: network.shape))
      guard array.count + archive.count < Int(UInt32.max) / 2 else {
        throw Failure(.unsupported, "a .npz file of more than 2 GB cannot be written")
      }
      let name = Array((parameter.name + ".npy").utf8)
      let checksum = UInt32(truncatingIfNeeded: crc32_z(0, array, array.count))
      // Version 2.0, no flags, stored; the first day that zip can name: 1980-01-01.
      var common: [UInt8] = little(20, 2) + little(0, 2) + little(0, 2) + little(0, 2) + little(0x21, 2)
      common += little(Int(checksum), 4) + little(array.count, 4) + little(array.count, 4)
      common += little(name.count, 2) + little(0, 2)
      directory += Array("PK\u{1}\u{2}".utf8) + little(20, 2) + common
      // No comment, first disk, no attributes; where the entry is.
      directory += [UInt8](repeating: 0, count: 10) + little(archive.count, 4) + name
      archive += Array("PK\u{3}\u{4}".utf8) + common + name + array
    }
    let count = Parameter.allCases.count
    let end =
      Array("PK\u{5}\u{6}".utf8) + little(0, 4) + little(count, 2) + little(count, 2)
      + little(directory.count, 4) + little(archive.count, 4) + little(0, 2)
    return archive + directory + end
  }

  private static func npy(_ values: [Float], sizes: [Int]) -> [UInt8] {
    let shape = sizes.map(String.init).joined(separator: ", ") + (sizes.count == 1 ? "," : "")
    var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(shape)), }"
    // Magic, version and length take 10 bytes, and the whole header is a multiple of 64 with a line end.
    header += String(repeating: " ", count: (64 - (10 + header.utf8.count + 1) % 64) % 64) + "\n"
    let start = [0x93] + Array("NUMPY\u{1}\u{0}".utf8) + little(header.utf8.count, 2)
    return start + Array(header.utf8) + values.flatMap { little(Int($0.bitPattern), 4) }
  }

  /// A number as so many bytes, the lowest first.
  private static func little(_ value: Int, _ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
