// Where tests find their data: the recordings of the repository, MNIST if it is there, and directories
// of their own.

import Foundation

/// The root of the repository.
public let repository: URL = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// A recording in Tests/Golden.
public func golden(_ name: String) throws -> Data {
  try Data(contentsOf: repository.appendingPathComponent("Tests/Golden/\(name)"))
}

/// The directory of MNIST's four files: TLN_MNIST if set, else ../shared/mnist, else data; nil if none
/// of them holds it.
public let mnistDirectory: String? = {
  let places: [String?] = [
    ProcessInfo.processInfo.environment["TLN_MNIST"],
    repository.appendingPathComponent("../shared/mnist").path,
    repository.appendingPathComponent("data").path,
    repository.appendingPathComponent("data/MNIST/raw").path,
  ]
  for case let place? in places {
    for ending in ["", ".gz"]
    where FileManager.default.fileExists(atPath: place + "/train-images-idx3-ubyte" + ending) {
      return place
    }
  }
  return nil
}()

/// Runs a body with a new directory, which is removed afterwards.
public func withTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}

/// Writes a file and returns its path.
public func write(_ bytes: [UInt8], to path: String) throws -> String {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
  return path
}
