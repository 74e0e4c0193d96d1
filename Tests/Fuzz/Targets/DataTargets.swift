// IDX files and gzip streams: what is accepted can be written and read back equal.

import CSystem
import TestSupport

@testable import TwoLayerNet

extension FuzzTarget {
  /// Deflate shrinks to no less than a 1032nd.
  private static let inflating = (base: 8 << 20, perByte: 4 * 1040)

  static let idx = FuzzTarget(name: "idx", memory: inflating) { input in
    guard let array = acceptedFile({ () throws(Failure) in try IDXArray(memoryFile(input)) }) else {
      return
    }
    let dimensions = array.dimensions
    let bytes = Array(array.bytes.readOnly)
    let product = dimensions.contains(0) ? 0 : dimensions.reduce(1, *)
    require(product == bytes.count, "\(dimensions) do not make \(bytes.count) bytes")
    let raw = TestSupport.idx(dimensions.map { UInt32($0) }, bytes)
    for copy in [raw, TestSupport.gzip(raw)] {
      copy.withUnsafeBytes { copy in
        let again: ([Int], [UInt8])? = acceptedFile { () throws(Failure) in
          let array = try IDXArray(memoryFile(copy))
          return (array.dimensions, Array(array.bytes.readOnly))
        }
        require(again != nil && again! == (dimensions, bytes), "what was read is read again differently")
      }
    }
    checkDataset(input, dimensions, bytes)
  }

  /// The file as images, with labels made for it, and as the labels of images made for it.
  private static func checkDataset(
    _ input: UnsafeRawBufferPointer, _ dimensions: [Int], _ bytes: [UInt8]
  ) {
    let rows = dimensions[0]
    let isImages = dimensions.count > 1 && rows > 0 && !bytes.isEmpty
    guard isImages || dimensions.count == 1 && rows > 0 && rows < 1 << 16 else { return }
    let other = TestSupport.idx(
      isImages ? [UInt32(rows)] : [UInt32(rows), 1], [UInt8](repeating: 7, count: rows))
    other.withUnsafeBytes { other in
      let dataset = acceptedFile { () throws(Failure) in
        try Dataset.openIDX(
          images: memoryFile(isImages ? input : other), labels: memoryFile(isImages ? other : input))
      }
      guard let dataset else { return require(bytes.count / rows > Shape.limit, "no dataset") }
      require(dataset.rows == rows, "other rows")
      var features = [Float](repeating: 0, count: dataset.columns)
      var label: Int64 = -1
      for row in Set([0, rows / 2, rows - 1]) {
        let isRead: Void? = accepted { () throws(Failure) in
          try dataset.read(firstRow: row, rows: 1, features: &features, labels: &label)
        }
        require(isRead != nil, "row \(row) of \(rows) cannot be read")
        require(label == (isImages ? 7 : Int64(bytes[row])), "another label")
        if isImages {
          let expected = bytes[(row * dataset.columns)...].prefix(dataset.columns)
          require(features.elementsEqual(expected.map { Float($0) / 255 }), "other pixels")
        }
      }
    }
  }

  static let gzip = FuzzTarget(name: "gzip", memory: inflating) { input in
    let whole = inflated(input, step: 1 << 20)
    let pieces = inflated(input, step: 1 + input.count % 977)
    require(whole == pieces, "reading in pieces gives something else than reading at once")
    guard let whole else { return }
    TestSupport.gzip(whole).withUnsafeBytes { copy in
      require(inflated(copy, step: 1 << 16) == whole, "what was inflated cannot be inflated again")
    }
  }

  /// All that the reader gives, asked for `step` bytes at a time; nil if it refuses the file.
  private static func inflated(_ input: UnsafeRawBufferPointer, step: Int) -> [UInt8]? {
    var result: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: step)
    let isWhole: Bool? = acceptedFile { () throws(Failure) in
      var reader = try InflatingReader(memoryFile(input))
      let most = reader.largestByteCount
      while true {
        var failure: Failure?
        var count = 0
        piece.withUnsafeMutableBytes {
          do throws(Failure) { count = try reader.readSome(into: $0) } catch { failure = error }
        }
        if let failure { throw failure }
        result += piece[..<count]
        require(result.count <= most, "\(result.count) bytes where \(most) was said to be the most")
        if count < step { return true }
      }
    }
    return isWhole == nil ? nil : result
  }
}
