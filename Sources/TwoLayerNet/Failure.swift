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

  public init(_ status: Status, _ message: String) {
    self.status = status
    self.message = message
  }
}

extension Failure {
  static func invalidArgument(_ message: String) -> Failure { Failure(.invalidArgument, message) }
  static func ioError(_ message: String) -> Failure { Failure(.ioError, message) }
  static func badFile(_ message: String) -> Failure { Failure(.badFile, message) }
  static func unsupported(_ message: String) -> Failure { Failure(.unsupported, message) }

  static func outOfMemory(bytes: Int) -> Failure {
    Failure(.outOfMemory, "out of memory: \(bytes) bytes could not be allocated")
  }
}
