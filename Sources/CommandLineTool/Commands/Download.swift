// twolayernet download

import ArgumentParser
import TwoLayerNet

struct Download: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Download a dataset.",
    discussion: """
      The files go where torchvision keeps them, data/MNIST/raw for MNIST, and are verified by their \
      published checksums. Interrupted downloads go on where they stopped.

      EXAMPLES
        twolayernet download mnist
        twolayernet download fashion-mnist --data ~/datasets
        twolayernet download mnist --mirror file:///media/usb/mnist
      """)

  @Argument(help: ArgumentHelp("Which dataset.", valueName: "name"))
  var name: Name

  struct Name: ExpressibleByArgument {
    let catalog: Catalog

    init?(argument: String) {
      guard let catalog = Catalog.all.first(where: { $0.name == argument }) else { return nil }
      self.catalog = catalog
    }

    static var allValueStrings: [String] { Catalog.all.map(\.name) }
    static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
  }

  @Option(
    help: ArgumentHelp("The root of torchvision's folders.", valueName: "dir"), completion: .directory)
  var data = DataOptions.defaultDirectory

  @Option(help: ArgumentHelp("Where to download from instead of the public places.", valueName: "url"))
  var mirror: String?

  func validate() throws { try DataOptions.check(mirror: mirror) }

  func run() throws {
    let folder = "\(data)/\(name.catalog.folder)/raw"
    try name.catalog.download(to: folder, mirror: mirror)
    Console.notice("\(name.catalog.title) is in \(folder)")
  }
}
