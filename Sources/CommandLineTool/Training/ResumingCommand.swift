// The command that goes on with a training that was interrupted: the one that was typed, with the state.

enum ResumingCommand {
  /// What the state holds, and what would override it.
  private static let replaced = ["--resume", "--lr", "--momentum"]

  /// For a person to paste into a shell.
  static func text(state: String, _ typed: [String] = CommandLine.arguments) -> String {
    var words: [String] = []
    var isValue = false
    for word in typed {
      defer { isValue = !isValue && replaced.contains(word) }
      if isValue || replaced.contains(word) { continue }
      if replaced.contains(where: { word.hasPrefix($0 + "=") }) { continue }
      words.append(word)
    }
    return (words + ["--resume", state]).map(quoted).joined(separator: " ")
  }

  private static func quoted(_ word: String) -> String {
    let isPlain = word.unicodeScalars.allSatisfy {
      $0.properties.isAlphabetic || ("0"..."9").contains($0) || "/._-+=:,@%".unicodeScalars.contains($0)
    }
    if isPlain && !word.isEmpty { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
      + "'"
  }
}
