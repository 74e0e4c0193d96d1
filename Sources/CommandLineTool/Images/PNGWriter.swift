// Pictures as PNG, for pages that must carry everything inside.

import CSystem
import TwoLayerNet

/// Pixels with one sample (gray) or three (red, green, blue), row by row.
struct PNGWriter {
  let width: Int
  let height: Int
  let samples: Int
  let pixels: [UInt8]

  /// The file.
  var bytes: [UInt8] {
    var rows: [UInt8] = []
    for row in 0..<height {
      rows.append(0)
      rows += pixels[row * width * samples..<(row + 1) * width * samples]
    }
    let header =
      Self.bigEndian(UInt32(width)) + Self.bigEndian(UInt32(height))
      + [8, samples == 1 ? 0 : 2, 0, 0, 0]
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + Self.chunk("IHDR", header)
      + Self.chunk("IDAT", Self.compressed(rows)) + Self.chunk("IEND", [])
  }

  /// The picture as the address of an HTML image.
  var dataURL: String { "data:image/png;base64," + Self.base64(bytes) }

  private static func chunk(_ type: String, _ content: [UInt8]) -> [UInt8] {
    let checked = Array(type.utf8) + content
    let checksum = UInt32(truncatingIfNeeded: crc32(0, checked, UInt32(checked.count)))
    return bigEndian(UInt32(content.count)) + checked + bigEndian(checksum)
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  private static func compressed(_ bytes: [UInt8]) -> [UInt8] {
    var count = compressBound(uLong(bytes.count))
    var result = [UInt8](repeating: 0, count: Int(count))
    // Cannot fail: the room is enough for anything.
    _ = compress2(&result, &count, bytes, uLong(bytes.count), Z_BEST_COMPRESSION)
    return Array(result.prefix(Int(count)))
  }

  private static func base64(_ bytes: [UInt8]) -> String {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
      for place in 0..<4 {
        text.append(place <= group.count ? letters[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
