// The datasets that are known by name: where they are published, their checksums, and the folder that
// torchvision gives them.

/// A dataset of four IDX files, published under fixed names.
struct Catalog: Sendable {
  /// What the command line calls it.
  let name: String
  let title: String
  /// Torchvision's folder below a root: MNIST/raw.
  let folder: String
  /// Places that serve the files, tried in turn; each ends in a slash.
  let mirrors: [String]
  /// The published files and their MD5 checksums, as torchvision lists them too.
  let files: [(name: String, md5: String)]
  /// For a dataset that is published as one zip archive: what its four files are called in there, and
  /// what they shall be called.
  var entries: [(name: String, file: String)] = []

  static let mnist = Catalog(
    name: "mnist", title: "MNIST", folder: "MNIST",
    mirrors: [
      "https://ossci-datasets.s3.amazonaws.com/mnist/",
      "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    files: [
      ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
      ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
      ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
      ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ])

  static let fashion = Catalog(
    name: "fashion-mnist", title: "Fashion-MNIST", folder: "FashionMNIST",
    mirrors: [
      "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
      "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ],
    files: [
      ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
      ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
      ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
      ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ])

  static let kuzushiji = Catalog(
    name: "kmnist", title: "Kuzushiji-MNIST", folder: "KMNIST",
    mirrors: ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
    files: [
      ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
      ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
      ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
      ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ])

  /// The archive holds all of EMNIST. Its own files have no published checksums.
  static let emnistDigits = Catalog(
    name: "emnist-digits", title: "EMNIST", folder: "EMNIST-digits",
    mirrors: [
      "https://biometrics.nist.gov/cs_links/EMNIST/",
      "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
    ],
    files: [("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e")],
    entries: [
      ("gzip/emnist-digits-train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz"),
      ("gzip/emnist-digits-train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte.gz"),
      ("gzip/emnist-digits-test-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"),
      ("gzip/emnist-digits-test-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
    ])

  static let all = [mnist, fashion, kuzushiji, emnistDigits]
}
