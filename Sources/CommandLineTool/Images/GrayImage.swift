// A picture in shades of gray, scaled to what a network takes. How files become one is told in PNG.swift
// and PGM.swift.

import TwoLayerNet

struct GrayImage {
  let width: Int
  let height: Int
  /// Row by row, 0 black to 1 white.
  var pixels: [Float]

  /// The most pixels a picture may have; more is a mistake or an attack.
  static let pixelLimit = 1 << 26

  mutating func invert() { for index in pixels.indices { pixels[index] = 1 - pixels[index] } }

  var mean: Float { pixels.reduce(0, +) / Float(pixels.count) }

  /// The picture in a square of `side` x `side` pixels: as it is if it has that size, else scaled with its
  /// proportions kept, in the middle of black. Each new pixel is the mean of the area it covers.
  func fitted(to side: Int) -> GrayImage {
    if width == side && height == side { return self }
    let longest = Double(max(width, height))
    let (left, top) = ((longest - Double(width)) / 2, (longest - Double(height)) / 2)
    let columns = (0..<side).map { Self.overlaps($0, side, longest, shift: left, count: width) }
    let rows = (0..<side).map { Self.overlaps($0, side, longest, shift: top, count: height) }
    let area = (longest / Double(side)) * (longest / Double(side))
    var result = GrayImage(
      width: side, height: side, pixels: [Float](repeating: 0, count: side * side))
    for row in 0..<side {
      for column in 0..<side {
        var sum = 0.0
        for (y, rowWeight) in rows[row] {
          for (x, columnWeight) in columns[column] {
            sum += rowWeight * columnWeight * Double(pixels[y * width + x])
          }
        }
        result.pixels[row * side + column] = Float(min(sum / area, 1))
      }
    }
    return result
  }

  /// The old pixels under new pixel `index`, and how much of each.
  private static func overlaps(
    _ index: Int, _ side: Int, _ longest: Double, shift: Double, count: Int
  ) -> [(Int, Double)] {
    let start = Double(index) * longest / Double(side) - shift
    let end = Double(index + 1) * longest / Double(side) - shift
    let first = max(0, Int(start.rounded(.down)))
    let last = min(count - 1, Int(end.rounded(.up)) - 1)
    guard first <= last else { return [] }
    return (first...last).compactMap { pixel in
      let part = min(end, Double(pixel + 1)) - max(start, Double(pixel))
      return part > 0 ? (pixel, part) : nil
    }
  }

  /// A picture for a terminal: two pixels in a character if there are colours, else one in two letters,
  /// or in one where there is no room for two.
  func drawn(colours: Bool, isNarrow: Bool) -> String {
    var text = ""
    func shade(_ x: Int, _ y: Int) -> Float { y < height ? pixels[y * width + x] : 0 }
    if colours {
      // The terminal's 24 grays, from number 232 on.
      func gray(_ value: Float) -> Int { 232 + Int((min(max(value, 0), 1) * 23).rounded()) }
      for y in stride(from: 0, to: height, by: 2) {
        for x in 0..<width {
          text += "\u{1B}[38;5;\(gray(shade(x, y)));48;5;\(gray(shade(x, y + 1)))m▀"
        }
        text += "\u{1B}[0m\n"
      }
    } else {
      let ramp = Array(" .:-=+*#%@")
      for y in 0..<height {
        for x in 0..<width {
          let letter = ramp[Int((min(max(shade(x, y), 0), 1) * 9).rounded())]
          text.append(letter)
          if !isNarrow { text.append(letter) }
        }
        while text.last == " " { text.removeLast() }
        text += "\n"
      }
    }
    return text
  }
}
