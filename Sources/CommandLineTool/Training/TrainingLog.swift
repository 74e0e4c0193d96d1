// The log of a training: one JSON object a line, each written as soon as it is known. The README beside
// these sources says what the members mean.

import CSystem
import TwoLayerNet

final class TrainingLog {
  private let path: String
  private let file: UnsafeMutablePointer<FILE>

  /// - Parameter continuing: adds to the file that is there, instead of replacing it.
  init(_ path: String, continuing: Bool) throws(Failure) {
    guard let file = fopen(path, continuing ? "a" : "w") else {
      throw Failure(.ioError, "the log \(path) cannot be written: \(systemError())")
    }
    self.path = path
    self.file = file
    if continuing { try removeHalfLine() }
  }

  /// Takes away what a full disk has left of a last line; the next one would become part of it.
  private func removeHalfLine() throws(Failure) {
    guard let bytes = try? readWhole(path),
      let end = bytes.lastIndex(of: UInt8(ascii: "\n")), end < bytes.count - 1
    else { return }
    guard truncate(path, off_t(end + 1)) == 0 else {
      throw Failure(.ioError, "the log \(path) cannot be written: \(systemError())")
    }
  }

  deinit { fclose(file) }

  func add(_ event: String, _ members: [(String, JSON)]) throws(Failure) {
    let line = JSON.object([("event", .string(event))] + members).text + "\n"
    let isWritten = line.withCString { fputs($0, file) >= 0 }
    guard isWritten, fflush(file) == 0 else {
      throw Failure(.ioError, "the log \(path) cannot be written: \(systemError())")
    }
  }
}
