// PNG (https://www.w3.org/TR/png-3/) as shades of gray: every colour type and depth, interlaced or not.
// Transparent pixels show white paper. zlib inflates and checks.

import CSystem
import TwoLayerNet

extension GrayImage {
  private static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  static func isPNG(_ bytes: [UInt8]) -> Bool { bytes.starts(with: signature) }

  init(png bytes: [UInt8], name: String) throws(Failure) {
    let chunks = try PNGChunks(bytes, name: name)
    let layout = try PNGLayout(chunks)
    let passes = layout.passes
    let data = try chunks.inflated(byteCount: passes.reduce(0) { $0 + $1.layout.filteredByteCount })
    width = layout.width
    height = layout.height
    if passes.count == 1 {
      pixels = try layout.grays(data)
      return
    }
    pixels = [Float](repeating: 0, count: width * height)
    var start = 0
    for pass in passes {
      let part = pass.layout
      let own = try part.grays(Array(data[start..<start + part.filteredByteCount]))
      start += part.filteredByteCount
      for row in 0..<part.height {
        for column in 0..<part.width {
          let at = (pass.y + row * pass.rowStep) * width + pass.x + column * pass.columnStep
          pixels[at] = own[row * part.width + column]
        }
      }
    }
  }
}

/// The pieces of a PNG file, each with a right checksum.
private struct PNGChunks {
  let name: String
  var header: [UInt8] = []
  var palette: [UInt8] = []
  var transparency: [UInt8] = []
  var data: [UInt8] = []

  init(_ bytes: [UInt8], name: String) throws(Failure) {
    self.name = name
    func number(_ at: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) } }
    var position = 8
    while true {
      guard bytes.count - position >= 12 else { throw broken("it is cut off") }
      let size = number(position)
      guard size <= bytes.count - position - 12 else { throw broken("it is cut off") }
      let content = bytes[position + 8..<position + 8 + size]
      let checked = Array(bytes[position + 4..<position + 8 + size])
      guard crc32(0, checked, UInt32(checked.count)) == UInt(number(position + 8 + size)) else {
        throw broken("a checksum is wrong")
      }
      switch String(decoding: bytes[position + 4..<position + 8], as: UTF8.self) {
      case "IHDR": header = Array(content)
      case "PLTE": palette = Array(content)
      case "tRNS": transparency = Array(content)
      case "IDAT": data += content
      case "IEND": return
      default: break
      }
      position += 12 + size
    }
  }

  func broken(_ what: String) -> Failure {
    Failure(.badFile, "\(name) is a damaged PNG picture: \(what)")
  }

  /// Deflate shrinks to no less than a 1032nd (https://zlib.net/zlib_tech.html), so a small file cannot
  /// claim much memory.
  func inflated(byteCount: Int) throws(Failure) -> [UInt8] {
    guard byteCount / 1032 <= data.count else { throw broken("its pixels are not all there") }
    var result = [UInt8](repeating: 0, count: byteCount)
    var count = uLongf(byteCount)
    let status = uncompress(&result, &count, data, uLong(data.count))
    guard status == Z_OK, count == uLongf(byteCount) else {
      throw broken("its pixels do not inflate to \(byteCount) bytes")
    }
    return result
  }
}

/// How the pixels of a PNG lie in its bytes.
private struct PNGLayout {
  let chunks: PNGChunks
  private(set) var width: Int
  private(set) var height: Int
  let depth: Int
  let colourType: UInt8
  private let isInterlaced: Bool

  /// A part of an interlaced picture: where its first pixel is, and how far apart they are.
  struct Pass {
    let layout: PNGLayout
    let x: Int
    let y: Int
    let columnStep: Int
    let rowStep: Int
  }

  /// The whole picture, or the parts of Adam7 (section 8 of the standard) that have pixels.
  var passes: [Pass] {
    if !isInterlaced { return [Pass(layout: self, x: 0, y: 0, columnStep: 1, rowStep: 1)] }
    let starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    return (starts + [(0, 1, 1, 2)]).compactMap { x, y, columnStep, rowStep in
      guard x < width, y < height else { return nil }
      var layout = self
      layout.width = (width - x + columnStep - 1) / columnStep
      layout.height = (height - y + rowStep - 1) / rowStep
      return Pass(layout: layout, x: x, y: y, columnStep: columnStep, rowStep: rowStep)
    }
  }

  init(_ chunks: PNGChunks) throws(Failure) {
    self.chunks = chunks
    let header = chunks.header
    guard header.count == 13 else { throw chunks.broken("its header is missing") }
    width = (0..<4).reduce(0) { $0 << 8 | Int(header[$1]) }
    height = (4..<8).reduce(0) { $0 << 8 | Int(header[$1]) }
    depth = Int(header[8])
    colourType = header[9]
    let depths: [UInt8: [Int]] = [
      0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16],
    ]
    guard width > 0, height > 0, width <= GrayImage.pixelLimit, height <= GrayImage.pixelLimit,
      width * height <= GrayImage.pixelLimit
    else { throw chunks.broken("it has \(width) x \(height) pixels") }
    guard depths[colourType]?.contains(depth) == true, header[10] == 0, header[11] == 0, header[12] <= 1
    else { throw chunks.broken("its header is not one of PNG's") }
    isInterlaced = header[12] == 1
    if colourType == 3 && (chunks.palette.isEmpty || chunks.palette.count % 3 != 0) {
      throw chunks.broken("its palette is missing")
    }
  }

  /// Samples of a pixel: gray, red-green-blue or index, and opacity.
  private var samples: Int { [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][colourType]! }
  private var rowByteCount: Int { (width * samples * depth + 7) / 8 }
  /// A byte before each row says how it was filtered.
  var filteredByteCount: Int { (rowByteCount + 1) * height }

  /// The rows without their filters.
  private func unfiltered(_ data: [UInt8]) throws(Failure) -> [UInt8] {
    let distance = max(1, samples * depth / 8)
    let size = rowByteCount
    var result = [UInt8](repeating: 0, count: size * height)
    for row in 0..<height {
      let filter = data[row * (size + 1)]
      for index in 0..<size {
        let left = index >= distance ? Int(result[row * size + index - distance]) : 0
        let up = row > 0 ? Int(result[(row - 1) * size + index]) : 0
        let corner = row > 0 && index >= distance ? Int(result[(row - 1) * size + index - distance]) : 0
        let predicted: Int
        switch filter {
        case 0: predicted = 0
        case 1: predicted = left
        case 2: predicted = up
        case 3: predicted = (left + up) / 2
        case 4: predicted = Self.paeth(left, up, corner)
        default: throw chunks.broken("row \(row) has an unknown filter")
        }
        result[row * size + index] =
          data[row * (size + 1) + 1 + index] &+ UInt8(truncatingIfNeeded: predicted)
      }
    }
    return result
  }

  private static func paeth(_ left: Int, _ up: Int, _ corner: Int) -> Int {
    let estimate = left + up - corner
    let (a, b, c) = (abs(estimate - left), abs(estimate - up), abs(estimate - corner))
    return a <= b && a <= c ? left : b <= c ? up : corner
  }

  /// The pixels of filtered rows, row by row.
  func grays(_ filtered: [UInt8]) throws(Failure) -> [Float] {
    let raw = try unfiltered(filtered)
    let (palette, alphas) = (chunks.palette, chunks.transparency)
    let largest = Float((1 << depth) - 1)
    let transparentColour = stride(from: 0, to: alphas.count - 1, by: 2).map {
      Int(alphas[$0]) << 8 | Int(alphas[$0 + 1])
    }
    func sample(_ row: Int, _ index: Int) -> Int {
      let start = row * rowByteCount
      if depth == 16 { return Int(raw[start + 2 * index]) << 8 | Int(raw[start + 2 * index + 1]) }
      let bit = index * depth
      return Int(raw[start + bit / 8]) >> (8 - depth - bit % 8) & ((1 << depth) - 1)
    }
    var pixels: [Float] = []
    pixels.reserveCapacity(width * height)
    for row in 0..<height {
      for column in 0..<width {
        func share(_ index: Int) -> Float {
          Float(sample(row, column * samples + index)) / largest
        }
        switch colourType {
        case 0, 2:
          // One colour may stand for no ink at all.
          let parts = (0..<samples).map { sample(row, column * samples + $0) }
          let gray = samples == 1 ? share(0) : Self.luminance(share(0), share(1), share(2))
          pixels.append(Self.onPaper(gray, opacity: parts == transparentColour ? 0 : 1))
        case 4: pixels.append(Self.onPaper(share(0), opacity: share(1)))
        case 6:
          let gray = Self.luminance(share(0), share(1), share(2))
          pixels.append(Self.onPaper(gray, opacity: share(3)))
        default:
          let index = min(sample(row, column), palette.count / 3 - 1)
          func colour(_ part: Int) -> Float { Float(palette[3 * index + part]) / 255 }
          let opacity = index < alphas.count ? Float(alphas[index]) / 255 : 1
          let gray = Self.luminance(colour(0), colour(1), colour(2))
          pixels.append(Self.onPaper(gray, opacity: opacity))
        }
      }
    }
    return pixels
  }

  /// The weights of ITU-R BT.601, which common tools use to turn colours into gray.
  private static func luminance(_ red: Float, _ green: Float, _ blue: Float) -> Float {
    0.299 * red + 0.587 * green + 0.114 * blue
  }

  private static func onPaper(_ gray: Float, opacity: Float) -> Float {
    gray * opacity + (1 - opacity)
  }
}
