// The few things done to files that the engine has no use for.

import CSystem
import TwoLayerNet

func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Whether there is no such file; false if nothing can be known of it.
func isMissing(_ path: String) -> Bool { access(path, F_OK) != 0 && tlns_errno() == ENOENT }

func isPipe(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && Int(status.st_mode) & Int(S_IFMT) == Int(S_IFIFO)
}

/// 0 for a file that is not there.
func fileSize(_ path: String) -> Int {
  var status = stat()
  return stat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// Creates a directory and those above it. Returns those that were not there, the innermost last.
func createDirectory(_ path: String) throws(Failure) -> [String] {
  var new: [String] = []
  var made = path.hasPrefix("/") ? "/" : ""
  for part in path.split(separator: "/") {
    made += (made.isEmpty || made.hasSuffix("/") ? "" : "/") + part
    if mkdir(made, 0o777) == 0 {
      new.append(made)
    } else if tlns_errno() != EEXIST {
      throw Failure(.ioError, "the directory \(made) cannot be created: \(systemError())")
    }
  }
  return new
}

/// What follows the last slash.
func lastComponent(_ path: String) -> String {
  path.split(separator: "/").last.map(String.init) ?? path
}

func copyFile(_ from: String, _ to: String) throws(Failure) {
  let source = try File(from)
  guard let target = fopen(to, "wb") else {
    throw Failure(.ioError, "\(to) cannot be written: \(systemError())")
  }
  let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
  defer { chunk.deallocate() }
  var offset = 0
  var isWritten = true
  while isWritten {
    let count: Int
    do throws(Failure) {
      count = try source.readSome(at: offset, into: chunk)
    } catch {
      fclose(target)
      throw error
    }
    if count == 0 { break }
    isWritten = fwrite(chunk.baseAddress, 1, count, target) == count
    offset += count
  }
  guard fclose(target) == 0, isWritten else {
    throw Failure(.ioError, "\(to) cannot be written: \(systemError())")
  }
}
