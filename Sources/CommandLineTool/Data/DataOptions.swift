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
  case digits

  /// The published dataset that is meant; nil for the digits inside this program.
  var catalog: Catalog? {
    switch self {
    case .auto, .mnist: .mnist
    case .fashion: .fashion
    case .kuzushiji: .kuzushiji
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
      "auto, mnist, fashion-mnist, kmnist, or digits: 1,797 small digits inside this program.",
      discussion: "auto is mnist, or digits where MNIST cannot be had.", valueName: "name"))
  var dataset = DatasetChoice.auto

  @Option(help: ArgumentHelp("Where to download from instead of the public places.", valueName: "url"))
  var mirror: String?

  /// Opens the training or the test set.
  ///
  /// - Parameter inputs: the inputs of the network that the data are for, if there is one: an automatic
  ///   choice takes what fits.
  func open(train: Bool, inputs: Int? = nil) throws(Failure) -> Dataset {
    guard let catalog = dataset.catalog else { return try Self.openDigits(train: train) }
    if dataset == .auto && data == nil && inputs == Self.digitPixels {
      Console.notice("the network takes 8x8 pixels: testing on the embedded digits")
      return try Self.openDigits(train: train)
    }
    do throws(Failure) {
      let files = try find(catalog, train: train)
      return try Dataset.openIDX(images: files.images, labels: files.labels)
    } catch {
      guard dataset == .auto && data == nil && inputs == nil && error.status == .ioError else {
        throw error
      }
      Console.notice(
        """
        \(error.message)
        MNIST is not here, so this trains on the small digits inside the program instead \
        (1,437 images of 8x8 pixels)
        """)
      return try Self.openDigits(train: train)
    }
  }

  private static let defaultDirectory = "data"

  private func find(
    _ catalog: Catalog, train: Bool
  ) throws(Failure) -> (images: String, labels: String) {
    let root = data ?? Self.defaultDirectory
    let folder = "\(root)/\(catalog.folder)/raw"
    do throws(Failure) {
      // Files that lie flat in a directory are what the caller says they are; those in data/ are MNIST.
      let isFlat = data != nil || catalog.name == Catalog.mnist.name
      return try Dataset.findMNIST(isFlat ? root : folder, name: catalog.folder, train: train)
    } catch {
      if data != nil && mirror == nil { throw error }
    }
    try catalog.download(to: folder, mirror: mirror)
    return try Dataset.findMNIST(folder, name: catalog.folder, train: train)
  }

  /// The pixels of an embedded digit.
  private static let digitPixels = 64

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
