// The IDX format of MNIST (http://yann.lecun.com/exdb/mnist/): two zero bytes, a type, the number of
// dimensions, each dimension as a big-endian 32-bit number, then the elements. Unsigned bytes only.

import CSystem

/// An array of unsigned bytes from an IDX file.
struct IDXArray: ~Copyable {
  /// The file's.
  let path: String
  let dimensions: [Int]
  let bytes: Buffer<UInt8>

  private static let unsignedByte: UInt8 = 0x08

  /// Reads an IDX file, raw or compressed with gzip.
  init(_ file: consuming File) throws(Failure) {
    let path = file.path
    var reader = try InflatingReader(file)
    let header = try Buffer<UInt8>(uninitialized: 4 + 4 * 255)
    func read(_ first: Int, _ count: Int) throws(Failure) {
      let target = UnsafeMutableRawBufferPointer(start: header.base + first, count: count)
      guard try reader.readSome(into: target) == count else {
        throw .badFile("\(path) is not an IDX file: its header is cut off")
      }
    }
    try read(0, 4)
    guard header[0] == 0, header[1] == 0, header[3] > 0 else {
      throw .badFile("\(path) is not an IDX file: it does not begin with an IDX header")
    }
    guard header[2] == Self.unsignedByte else {
      throw .unsupported("\(path) holds IDX elements of type \(header[2]), not unsigned bytes")
    }
    let rank = Int(header[3])
    try read(4, 4 * rank)
    var dimensions: [Int] = []
    var count = 1
    for index in 0..<rank {
      var dimension = 0
      for byte in 0..<4 { dimension = dimension << 8 | Int(header[4 + 4 * index + byte]) }
      dimensions.append(dimension)
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      count = overflow ? Int.max : product
    }
    // A file cannot hold more than its size allows, so neither memory nor arithmetic is at risk.
    guard count <= reader.largestByteCount else {
      throw .badFile("\(path) is cut off: its header promises more bytes than the file can hold")
    }
    let bytes = try Buffer<UInt8>(uninitialized: count)
    let got = try reader.readSome(into: .init(bytes.mutable))
    guard got == count else {
      throw .badFile("\(path) is cut off: it has \(got) of the \(count) bytes that its header promises")
    }
    guard try reader.readSome(into: .init(start: header.base, count: 1)) == 0 else {
      throw .badFile("\(path) has more bytes than the \(count) that its header promises")
    }
    self.path = path
    self.dimensions = dimensions
    self.bytes = bytes
  }
}

extension Dataset {
  /// A dataset from IDX files, raw or compressed with gzip: images with two dimensions or more, of which
  /// the first counts them, and labels with one; nil for a dataset without labels.
  public static func openIDX(images: String, labels: String?) throws(Failure) -> Dataset {
    let images = try readImages(File(images))
    guard let labels else { return owning(images, labels: try Buffer(uninitialized: 0)) }
    let labelBuffer = try readLabels(File(labels), of: images)
    return owning(images, labels: labelBuffer)
  }

  /// The same from files whose contents, raw or compressed, are in memory. Nothing is borrowed.
  public static func openIDX(images: consuming File, labels: consuming File) throws(Failure) -> Dataset {
    let images = try readImages(images)
    let labelBuffer = try readLabels(labels, of: images)
    return owning(images, labels: labelBuffer)
  }

  private static func owning(
    _ images: consuming IDXArray, labels: consuming Buffer<Int32>
  ) -> Dataset {
    let rows = images.dimensions[0]
    let columns = images.bytes.count / rows
    return Dataset(
      borrowing: UnsafeRawPointer(images.bytes.base), type: .u8, rows: rows, columns: columns,
      rowStride: columns, labels: labels, storage: images.bytes)
  }

  private static func readImages(_ file: consuming File) throws(Failure) -> IDXArray {
    let images = try IDXArray(file)
    let path = images.path
    guard images.dimensions.count >= 2 else {
      throw .badFile("\(path) has one dimension, as labels have; images need two or more")
    }
    let rows = images.dimensions[0]
    guard rows > 0 else { throw .badFile("\(path) holds no images") }
    let columns = images.bytes.count / rows
    guard (1...Shape.limit).contains(columns) else {
      throw .badFile("\(path) holds images of \(columns) pixels, but 1 to \(Shape.limit) are possible")
    }
    return images
  }

  private static func readLabels(
    _ file: consuming File, of images: borrowing IDXArray
  ) throws(Failure) -> Buffer<Int32> {
    let array = try IDXArray(file)
    let rows = images.dimensions[0]
    guard array.dimensions.count == 1 else {
      throw .badFile("\(array.path) has \(array.dimensions.count) dimensions; labels have one")
    }
    guard array.bytes.count == rows else {
      throw .badFile(
        "\(images.path) holds \(rows) images, but \(array.path) \(array.bytes.count) labels")
    }
    let labels = try Buffer<Int32>(uninitialized: rows)
    for row in 0..<rows { labels[row] = Int32(array.bytes[row]) }
    return labels
  }
}

// MNIST and its like: four files with fixed names.
extension Dataset {
  /// The training or the test set from a directory that holds the four files of MNIST, raw or with .gz,
  /// or holds them in MNIST/raw as torchvision does.
  public static func openMNIST(_ directory: String, train: Bool) throws(Failure) -> Dataset {
    let files = try findMNIST(directory, train: train)
    return try openIDX(images: files.images, labels: files.labels)
  }

  /// The paths of the images and the labels that `openMNIST` would open.
  ///
  /// - Parameter name: torchvision's name for the set, of which the folder inside `directory` is made:
  ///   MNIST/raw.
  public static func findMNIST(
    _ directory: String, name: String = "MNIST", train: Bool
  ) throws(Failure) -> (images: String, labels: String) {
    let prefix = train ? "train" : "t10k"
    var half: Failure?
    for folder in [directory, directory + "/" + name + "/raw"] {
      let images = existing(folder + "/" + prefix + "-images-idx3-ubyte")
      let labels = existing(folder + "/" + prefix + "-labels-idx1-ubyte")
      if let images, let labels { return (images, labels) }
      if half == nil && (images != nil || labels != nil) {
        let missing = images == nil ? "images-idx3" : "labels-idx1"
        half = .ioError("\(folder) holds only half of the set: \(prefix)-\(missing)-ubyte is missing")
      }
    }
    throw half
      ?? .ioError(
        "neither \(directory) nor its \(name)/raw holds \(prefix)-images-idx3-ubyte, raw or with .gz")
  }

  private static func existing(_ path: String) -> String? {
    for candidate in [path, path + ".gz"] where candidate.withCString({ access($0, F_OK) }) == 0 {
      return candidate
    }
    return nil
  }
}
