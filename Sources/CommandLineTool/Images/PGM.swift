// PGM, the plainest of picture formats (https://netpbm.sourceforge.net/doc/pgm.html): P5 with binary
// pixels, P2 with pixels as text.

import TwoLayerNet

extension GrayImage {
  static func isPGM(_ bytes: [UInt8]) -> Bool {
    bytes.starts(with: Array("P5".utf8)) || bytes.starts(with: Array("P2".utf8))
  }

  init(pgm bytes: [UInt8], name: String) throws(Failure) {
    func broken(_ what: String) -> Failure { Failure(.badFile, "\(name) is not a PGM picture: \(what)") }
    var position = 2
    func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

    /// The next number of the text, after spaces and comments.
    func number(_ what: String) throws(Failure) -> Int {
      while position < bytes.count, isSpace(bytes[position]) || bytes[position] == UInt8(ascii: "#") {
        if bytes[position] == UInt8(ascii: "#") {
          while position < bytes.count, bytes[position] != 10 { position += 1 }
        } else {
          position += 1
        }
      }
      let start = position
      var value = 0
      while position < bytes.count, (48...57).contains(bytes[position]), value < 1 << 24 {
        value = value * 10 + Int(bytes[position] - 48)
        position += 1
      }
      guard position > start else { throw broken("its \(what) is missing") }
      return value
    }

    let width = try number("width")
    let height = try number("height")
    let largest = try number("largest value")
    guard (1...65535).contains(largest) else { throw broken("its largest value is \(largest)") }
    guard width > 0, height > 0, width * height <= Self.pixelLimit else {
      throw broken("it has \(width) x \(height) pixels")
    }
    self.width = width
    self.height = height
    pixels = []
    pixels.reserveCapacity(min(width * height, bytes.count))
    if bytes[1] == UInt8(ascii: "2") {
      for _ in 0..<width * height {
        pixels.append(Float(min(try number("picture"), largest)) / Float(largest))
      }
      return
    }
    position += 1
    let size = largest > 255 ? 2 : 1
    guard bytes.count - position >= width * height * size else { throw broken("it is cut off") }
    for index in 0..<width * height {
      let at = position + index * size
      let value = size == 1 ? Int(bytes[at]) : Int(bytes[at]) << 8 | Int(bytes[at + 1])
      pixels.append(Float(min(value, largest)) / Float(largest))
    }
  }
}
