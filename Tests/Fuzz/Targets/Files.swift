// Inputs as files: in memory, or in a directory that is kept in memory, for what takes a path only.

import Foundation
import TestSupport

@testable import TwoLayerNet

/// A place for the files of this process: TMPDIR, or memory, where fsync costs nothing.
private let directory: String = {
  let place = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/dev/shm"
  return FileManager.default.fileExists(atPath: place) ? place : "/tmp"
}()

/// Runs a body with the path of a file that does not exist yet, and removes it afterwards.
func withPath<R>(_ ending: String, _ body: (String) throws -> R) rethrows -> R {
  let path = "\(directory)/fuzz-\(getpid()).\(ending)"
  defer { unlink(path) }
  return try body(path)
}

/// Runs a body with a file that holds these bytes.
func withFile<R>(
  _ ending: String, _ bytes: UnsafeRawBufferPointer, _ body: (String) throws -> R
) rethrows -> R {
  try withPath(ending) { path in
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    require(descriptor >= 0, "\(path) cannot be created")
    require(
      bytes.isEmpty || write(descriptor, bytes.baseAddress!, bytes.count) == bytes.count,
      "\(path) cannot be written")
    close(descriptor)
    return try body(path)
  }
}

/// What `body` returns, or nil if it throws, which it may only do with a sentence.
func accepted<R: ~Copyable>(_ body: () throws(Failure) -> R) -> R? {
  do throws(Failure) { return try body() } catch {
    require(!error.message.isEmpty, "a failure without a message")
    return nil
  }
}

/// The same for a file, of which a failure may only say that it is bad or of an unsupported kind.
func acceptedFile<R: ~Copyable>(_ body: () throws(Failure) -> R) -> R? {
  do throws(Failure) { return try body() } catch {
    require(!error.message.isEmpty, "a failure without a message")
    require(
      error.status == .badFile || error.status == .unsupported,
      "a bad file gives \(error.status): \(error.message)")
    return nil
  }
}

func memoryFile(_ bytes: UnsafeRawBufferPointer) -> File { File(name: "input", contents: bytes) }
