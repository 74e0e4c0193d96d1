// The one error type of the engine. Which status a C caller sees is decided here and nowhere else.

/// What kind of thing went wrong. The numbers are those of `tln_status` in twolayernet.h.
public enum Status: Int32, Sendable {
  case invalidArgument = 1
  case ioError = 2
  case badFile = 3
  case unsupported = 4
  case noDevice = 5
  case deviceFailed = 6
  case outOfMemory = 7
  case cancelled = 8
  case `internal` = 9
}

/// An error: its kind, and one sentence that names the file, the tensor or the numbers, and what was
/// expected.
public struct Failure: Error, Sendable {
  public let status: Status
  public let message: String

  @inline(never)
  public init(_ status: Status, _ message: Message) {
    self.status = status
    self.message = message.text
  }
}

/// Text put together from literals, texts and whole numbers. It does what String's own interpolation
/// does in a tenth of the code: that one is inlined at every use.
public struct Message: ExpressibleByStringInterpolation {
  public let text: String

  public init(stringLiteral text: StaticString) { self.text = text.description }
  public init(stringInterpolation parts: Parts) { text = parts.text }

  public struct Parts: StringInterpolationProtocol {
    fileprivate var text = ""

    @inline(never)
    public init(literalCapacity: Int, interpolationCount: Int) {}

    @inline(never)
    public mutating func appendLiteral(_ literal: StaticString) {
      literal.withUTF8Buffer { text += String(decoding: $0, as: UTF8.self) }
    }

    @inline(never)
    public mutating func appendInterpolation(_ part: String) { text += part }

    @inline(never)
    public mutating func appendInterpolation(_ number: Int) { text += String(number) }
  }
}

extension Message.Parts {
  public mutating func appendInterpolation(_ part: StaticString) { appendLiteral(part) }
  public mutating func appendInterpolation(_ number: Int32) { appendInterpolation(Int(number)) }
  public mutating func appendInterpolation(_ number: Int64) { appendInterpolation(Int(number)) }
  public mutating func appendInterpolation(_ number: UInt8) { appendInterpolation(Int(number)) }
  public mutating func appendInterpolation(_ number: UInt) {
    appendInterpolation(Int(clamping: number))
  }
}

extension Failure {
  static func invalidArgument(_ message: Message) -> Failure { Failure(.invalidArgument, message) }
  static func ioError(_ message: Message) -> Failure { Failure(.ioError, message) }
  static func badFile(_ message: Message) -> Failure { Failure(.badFile, message) }
  static func unsupported(_ message: Message) -> Failure { Failure(.unsupported, message) }

  /// The system had no memory for small objects, and what is set aside for them is used up.
  public static var reserveIsLow: Failure { Failure(.outOfMemory, "out of memory") }

  static func outOfMemory(bytes: Int) -> Failure {
    Failure(.outOfMemory, "out of memory: \(bytes) bytes could not be allocated")
  }
}
