// Which data a command works on, and how they are found: in a directory that was named, in data/, by
// downloading them, or, if nothing else is left, inside this program.

import ArgumentParser
import CDigits
import TwoLayerNet

/// What --dataset accepts.
enum DatasetChoice: String, CaseIterable, ExpressibleByArgument {
  case auto, mnist
  case fashion = "fashion-mnist"
  case kuzushiji = "kmnist"
  case emnistDigits = "emnist-digits"
  case digits

  /// The published dataset that is meant; nil for the digits inside this program.
  var catalog: Catalog? {
    switch self {
    case .auto, .mnist: .mnist
    case .fashion: .fashion
    case .kuzushiji: .kuzushiji
    case .emnistDigits: .emnistDigits
    case .digits: nil
    }
  }
}

struct DataOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Directory with the dataset's four files, raw or .gz, or with torchvision's folders.",
      discussion: "Without it: data/, and if they are not there either they are downloaded into it.",
      valueName: "dir"), completion: .directory)
  var data: String?

  @Option(
    help: ArgumentHelp(
      """
      Which images; digits are 1,797 small ones inside this program, and auto is mnist, or digits where \
      MNIST cannot be had.
      """, valueName: "name"))
  var dataset = DatasetChoice.auto

  @Option(help: ArgumentHelp("Where to download from instead of the public places.", valueName: "url"))
  var mirror: String?

  /// Refuses what is no place to download from, before anything else is done.
  static func check(mirror: String?) throws {
    guard let mirror, !["http://", "https://", "file:///"].contains(where: mirror.hasPrefix) else {
      return
    }
    let advice = mirror.hasPrefix("/") ? "file://\(mirror)" : "https://... or file:///..."
    throw ValidationError("--mirror is '\(mirror)', but takes a URL: \(advice)")
  }

  func validate() throws {
    try Self.check(mirror: mirror)
    if data != nil && dataset.catalog == nil {
      throw ValidationError(
        "--data names files, but --dataset digits is inside this program: leave one of them out")
    }
  }

  /// Finds the training or the test set, downloading it if need be.
  ///
  /// - Parameter inputs: the inputs of the network that the data are for, if there is one: an automatic
  ///   choice takes what fits.
  func find(train: Bool, inputs: Int? = nil) throws(Failure) -> DataSource {
    guard let catalog = dataset.catalog else { return .digits }
    if dataset == .auto && data == nil && inputs == DataSource.digitPixels {
      Console.notice("the network takes 8x8 pixels: using the embedded digits")
      return .digits
    }
    do throws(Failure) {
      return try find(catalog, train: train)
    } catch {
      guard dataset == .auto && data == nil && inputs == nil else { throw error }
      Console.notice(
        """
        \(error.message)
        MNIST is not here, so this trains on the small digits inside the program instead \
        (1,437 images of 8x8 pixels)
        """)
      return .digits
    }
  }

  static let defaultDirectory = "data"

  private func find(_ catalog: Catalog, train: Bool) throws(Failure) -> DataSource {
    let root = data ?? Self.defaultDirectory
    let folder = "\(root)/\(catalog.folder)/raw"
    // Files that lie flat in a directory are what the caller says they are; those in data/ are MNIST.
    let isFlat = data != nil || catalog.name == Catalog.mnist.name
    let source = DataSource.files(directory: isFlat ? root : folder, name: catalog.folder)
    do throws(Failure) {
      _ = try source.paths(train: train)
      return source
    } catch {
      guard data == nil || mirror != nil else {
        throw Failure(
          error.status,
          "\(error.message); 'twolayernet download \(catalog.name) --data \(root)' fetches them")
      }
    }
    try catalog.download(to: folder, mirror: mirror)
    return .files(directory: folder, name: catalog.folder)
  }
}

/// Where a dataset is.
enum DataSource {
  /// In IDX files below a directory.
  case files(directory: String, name: String)
  /// Inside this program.
  case digits

  /// The pixels of an embedded digit.
  static let digitPixels = 64

  var description: String {
    switch self {
    case .files(let directory, _): directory
    case .digits: "digits"
    }
  }

  func open(train: Bool) throws(Failure) -> Dataset {
    switch self {
    case .files:
      let files = try paths(train: train)!
      return try Dataset.openIDX(images: files.images, labels: files.labels)
    case .digits: return try Self.openDigits(train: train)
    }
  }

  /// The files that would be opened; nil for the embedded digits.
  func paths(train: Bool) throws(Failure) -> (images: String, labels: String)? {
    guard case .files(let directory, let name) = self else { return nil }
    return try Dataset.findMNIST(directory, name: name, train: train)
  }

  private static func openDigits(train: Bool) throws(Failure) -> Dataset {
    func file(_ name: String, _ contents: digits_file) -> File {
      File(
        name: "the embedded \(name)",
        contents: UnsafeRawBufferPointer(start: contents.bytes, count: contents.byte_count))
    }
    return train
      ? try .openIDX(
        images: file("training images", digits_train_images()),
        labels: file("training labels", digits_train_labels()))
      : try .openIDX(
        images: file("test images", digits_test_images()),
        labels: file("test labels", digits_test_labels()))
  }
}
