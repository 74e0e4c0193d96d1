// What is put right before anything else happens: descriptors that are closed, and arguments that no
// command could do anything with.

import CSystem

enum Startup {
  /// Gives closed standard descriptors something that refuses to be used. A file that is opened later
  /// would take their numbers, and results or notices would be written into it.
  static func occupyStandardDescriptors() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
      // Nothing can be known of a descriptor that is not open.
      if lseek(descriptor, 0, SEEK_CUR) >= 0 || tlns_errno() != EBADF { continue }
      // The lowest number that is free is this one.
      _ = tlns_open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY, 0)
    }
  }

  /// What is wrong with the arguments as such; nil if nothing is.
  ///
  /// - Parameter commands: all that there are.
  static func complaint(_ commands: [String]) -> String? {
    for index in 1..<max(1, Int(CommandLine.argc)) {
      guard let bytes = CommandLine.unsafeArgv[index] else { break }
      // Swift would replace these bytes, and another file would be read or written than was meant.
      guard let text = String(validatingCString: bytes) else {
        return "argument \(index), '\(String(cString: bytes))', is not UTF-8: rename the file"
      }
      if text.isEmpty { return "argument \(index) is empty" }
    }
    let words = CommandLine.arguments.dropFirst()
    let word = words.first == "help" ? words.dropFirst().first : words.first
    guard let word, !word.hasPrefix("-"), word != "help", !commands.contains(word) else { return nil }
    return "there is no command '\(word)'; the commands are \(commands.joined(separator: ", "))"
  }
}
