// Fetching the files of a dataset: from mirrors in turn, resumed where an earlier attempt ended, believed
// only if the checksum is right. The transfer is curl's or wget's.

import CSystem
import TwoLayerNet

extension Catalog {
  /// Fetches what is missing into `directory`. Files that are there with the right checksum are kept.
  ///
  /// - Parameter mirror: a place to use instead of the public ones.
  func download(to directory: String, mirror: String?) throws(Failure) {
    // What came out of a verified archive is complete.
    if !entries.isEmpty && entries.allSatisfy({ fileExists("\(directory)/\($0.file)") }) { return }
    let newDirectories = try createDirectory(directory)
    // Those that stayed empty; the others refuse.
    defer { for path in newDirectories.reversed() { rmdir(path) } }
    for (index, file) in files.enumerated() {
      let path = directory + "/" + file.name
      if fileExists(path), try MD5.ofFile(path) == file.md5 { continue }
      Console.notice("downloading \(title): \(file.name) (\(index + 1) of \(files.count))")
      try Self.fetch(file.name, md5: file.md5, to: path, from: mirror.map { [$0] } ?? mirrors)
    }
    if !entries.isEmpty { try unpack(directory) }
  }

  /// Takes the four files out of the archive, which is then no longer needed.
  private func unpack(_ directory: String) throws(Failure) {
    let path = directory + "/" + files[0].name
    for entry in entries {
      let contents = try File(path).contents(ofZipEntry: entry.name)
      try writeWhole(contents, to: "\(directory)/\(entry.file)")
    }
    unlink(path)
  }

  private static func fetch(
    _ name: String, md5: String, to path: String, from mirrors: [String]
  ) throws(Failure) {
    var reasons: [String] = []
    let partial = path + ".part"
    for mirror in mirrors {
      let address = mirror + (mirror.hasSuffix("/") ? "" : "/") + name
      var there = fileExists(partial) ? try MD5.ofFile(partial) : nil
      // What an earlier attempt left may be what is wrong: then once more, from the beginning.
      var attempts = there == nil ? 1 : 2
      var reason: String?
      while there != md5, reason == nil, attempts > 0 {
        attempts -= 1
        reason = transfer(address, to: partial)
        if reason != nil { break }
        there = try MD5.ofFile(partial)
        // Nothing that could be resumed.
        if there != md5 { unlink(partial) }
      }
      guard there == md5 else {
        let what = reason ?? "the file has another checksum than the published one"
        reasons.append("\(address): \(what)")
        continue
      }
      guard rename(partial, path) == 0 else {
        throw Failure(.ioError, "\(path) cannot be created: \(systemError())")
      }
      return
    }
    throw Failure(
      .ioError, "\(name) could not be downloaded (\(reasons.joined(separator: "; ")))")
  }

  /// What curl exits with if a server sends no parts of files.
  private static let cannotResume: Int32 = 33

  /// Transfers a file, going on where `path` ends. Returns what went wrong.
  private static func transfer(_ address: String, to path: String) -> String? {
    if address.hasPrefix("file://") {
      do throws(Failure) {
        try copyFile(percentDecoded(String(address.dropFirst("file://".count))), path)
        return nil
      } catch { return error.message }
    }
    let curl = [
      "curl", "--fail", "--location", "--silent", "--show-error", "--connect-timeout", "15",
      "--speed-limit", "1", "--speed-time", "60", "--continue-at", "-", "--output", path, address,
    ]
    let show = progress(of: path)
    defer { Console.clearLine() }
    var result = runProgram(curl, waiting: show)
    // The server has no rest, or none that begins there: what is here is no beginning of its file.
    if result.code == cannotResume || result.errorText.contains("error: 416") {
      unlink(path)
      result = runProgram(curl, waiting: show)
    }
    if result.code == 127 {
      let wget = [
        "wget", "--quiet", "--tries=2", "--timeout=60", "--continue", "--output-document", path, address,
      ]
      result = runProgram(wget, waiting: show)
    }
    if result.isSuccess { return nil }
    if result.code == 127 { return "neither curl nor wget is installed" }
    let text = result.errorText.split(separator: "\n").last.map(String.init)
    return text ?? "the transfer failed with code \(result.code)"
  }

  /// Shows on a terminal how much of a file is there, and how fast it comes.
  private static func progress(of path: String) -> () -> Void {
    let (start, first) = (ContinuousClock.now, fileSize(path))
    return {
      let size = fileSize(path)
      let seconds = max((ContinuousClock.now - start).seconds, 1e-9)
      let rate = Double(max(size - first, 0)) / seconds
      Console.redrawLine("\(fixed(Double(size) * 1e-6, 1)) MB  \(fixed(rate * 1e-6, 1)) MB/s")
    }
  }

  /// A path from a URL: %20 stands for a space.
  private static func percentDecoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let first = rest.popFirst() {
      let digits = String(decoding: rest.prefix(2), as: UTF8.self)
      if first == UInt8(ascii: "%"), digits.count == 2, let value = UInt8(digits, radix: 16) {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(first)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
