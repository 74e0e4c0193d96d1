// The command line's pictures, PNG and PGM: what is accepted has all its pixels, between black and white.

import TestSupport
import TwoLayerNet

@testable import Images

extension FuzzTarget {
  /// Deflated bytes, of which each becomes up to eight floats.
  static let image = FuzzTarget(name: "image", memory: (base: 8 << 20, perByte: 12 * 1040 * 4)) {
    input in
    let bytes = Array(input)
    check(bytes)
    // Checksums stop most changes of a PNG, so the same again with right ones.
    if GrayImage.isPNG(bytes) { check(withChecksums(bytes)) }
  }

  private static func check(_ bytes: [UInt8]) {
    let decoded: GrayImage? = acceptedFile { () throws(Failure) in
      if GrayImage.isPNG(bytes) { return try GrayImage(png: bytes, name: "input") }
      guard GrayImage.isPGM(bytes) else { throw Failure(.badFile, "no picture") }
      return try GrayImage(pgm: bytes, name: "input")
    }
    guard let image = decoded else { return }
    require(image.pixels.count == image.width * image.height, "pixels are missing")
    require(image.pixels.allSatisfy { $0 >= 0 && $0 <= 1.00001 }, "a pixel beyond black or white")
    for side in [28, 3] {
      for small in [image.fitted(to: side), image.centered(in: side)] {
        require(small.pixels.count == side * side, "not fitted")
        require(small.pixels.allSatisfy { $0 >= 0 && $0 <= 1.00001 }, "a pixel beyond black or white")
      }
    }
  }

  private static func withChecksums(_ bytes: [UInt8]) -> [UInt8] {
    var (bytes, position) = (bytes, 8)
    while bytes.count - position >= 12 {
      let size = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard size <= bytes.count - position - 12 else { return bytes }
      let end = position + 8 + size
      bytes.replaceSubrange(end..<end + 4, with: big(crc32(bytes[position + 4..<end])))
      position = end + 4
    }
    return bytes
  }
}
