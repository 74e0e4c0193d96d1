// What the program says: results on standard output, everything else on standard error.

import CSystem
import TwoLayerNet

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Standard output carries results and nothing else; each line leaves at once, as a pipe's reader expects.
enum Output {
  /// Colours only on a terminal, and never against the wish that https://no-color.org describes.
  static let hasColours = isatty(STDOUT_FILENO) == 1 && Console.mayUseColours

  /// How wide the terminal is; nil if there is none.
  static var columns: Int? {
    isatty(STDOUT_FILENO) == 1 ? Console.columns(of: STDOUT_FILENO) : nil
  }

  static func line(_ text: String) throws(Failure) { try write(text + "\n") }

  static func write(_ text: String) throws(Failure) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { CSystem.write(STDOUT_FILENO, $0.baseAddress!, $0.count) }
      if count < 0 {
        if tlns_errno() == EINTR { continue }
        throw Failure(.ioError, "standard output cannot be written: \(systemError())")
      }
      bytes = bytes.dropFirst(count)
    }
  }
}

/// Standard error: notices, progress, errors.
enum Console {
  /// Whether a person watches, on a terminal that can move its cursor.
  static let isTerminal = isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb"

  /// Whether colours are welcome where there is a terminal.
  static let mayUseColours = (environment("NO_COLOR") ?? "").isEmpty && environment("TERM") != "dumb"

  private static let hasColours = isTerminal && mayUseColours

  /// How wide the terminal is.
  static var columns: Int { columns(of: STDERR_FILENO) }

  static func columns(of descriptor: Int32) -> Int {
    var size = winsize()
    let isKnown = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return isKnown ? Int(size.ws_col) : environment("COLUMNS").flatMap(Int.init) ?? 80
  }

  static func notice(_ text: String) { write("\(visible(text))\n") }

  static func error(_ text: String) {
    write("\(styled("twolayernet:", .red)) \(visible(text, keepingLines: false))\n")
  }

  static func write(_ text: String) {
    // Whoever cannot hear notices misses nothing that matters.
    text.withCString { _ = CSystem.write(STDERR_FILENO, $0, strlen($0)) }
  }

  /// Replaces the line on which the cursor is, if there is a terminal.
  static func redrawLine(_ text: String) { if isTerminal { write("\r\u{1B}[K\(text)") } }

  /// Takes that line away, so that something else can be written.
  static func clearLine() { redrawLine("") }

  enum Style: String {
    case red = "31", green = "32", dim = "2"
  }

  static func styled(_ text: String, _ style: Style) -> String {
    hasColours ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }
}

/// What the locale says about the letters that may be used. Without any, they are taken for UTF-8: so is
/// everything else in this program.
enum Letters {
  private static let locale =
    ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(environment).first { !$0.isEmpty } ?? "UTF-8"

  /// Whether there are others than ASCII's.
  static let hasUnicode: Bool = {
    let lowercase = locale.lowercased()
    return lowercase.contains("utf-8") || lowercase.contains("utf8")
  }()

  /// The columns that a block or a line takes: East Asian fonts may give them two
  /// (https://www.unicode.org/reports/tr11).
  static let blockWidth = ["ja", "ko", "zh"].contains(where: locale.hasPrefix) ? 2 : 1

  static let block = hasUnicode ? "█" : "#"
  static let line = hasUnicode ? (done: "━", left: "─") : (done: "=", left: "-")
}

/// Text from outside, made harmless for a terminal: what could move its cursor, colour it or turn the
/// direction of writing is shown as \u{1b}.
func visible(_ text: String, keepingLines: Bool = true) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar.value {
    case 0x0A where keepingLines: result.unicodeScalars.append(scalar)
    case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// The value of an environment variable.
func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// What the last system call said.
func systemError(_ code: Int32 = tlns_errno()) -> String { String(cString: strerror(code)) }
