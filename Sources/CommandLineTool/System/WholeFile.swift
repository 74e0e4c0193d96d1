// Files that are read or written in one piece.

import CSystem
import TwoLayerNet

/// The contents of a file of at most `limit` bytes.
func readWhole(_ path: String, limit: Int = 1 << 28) throws(Failure) -> [UInt8] {
  let file = try File(path)
  guard file.byteCount <= limit else {
    throw Failure(
      .badFile, "\(path) has \(file.byteCount) bytes, more than the \(limit) that are sensible")
  }
  var bytes = [UInt8](repeating: 0, count: file.byteCount)
  var failure: Failure?
  bytes.withUnsafeMutableBytes {
    do throws(Failure) { try file.read(at: 0, into: $0) } catch { failure = error }
  }
  if let failure { throw failure }
  return bytes
}

/// Replaces a file by these contents, or leaves it as it was.
func writeWhole(_ bytes: [UInt8], to path: String) throws(Failure) {
  let writer = try FileWriter(path)
  var failure: Failure?
  bytes.withUnsafeBytes {
    do throws(Failure) { try writer.write($0) } catch { failure = error }
  }
  if let failure { throw failure }
  try writer.commit()
}

/// Everything on standard input, at most `limit` bytes.
func readStandardInput(limit: Int = 1 << 28) throws(Failure) -> [UInt8] {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(STDIN_FILENO, &chunk, chunk.count)
    if count < 0 {
      if tlns_errno() == EINTR { continue }
      throw Failure(.ioError, "standard input cannot be read: \(systemError())")
    }
    if count == 0 { return bytes }
    guard bytes.count + count <= limit else {
      throw Failure(.badFile, "standard input has more than the \(limit) bytes that are sensible")
    }
    bytes += chunk[..<count]
  }
}
