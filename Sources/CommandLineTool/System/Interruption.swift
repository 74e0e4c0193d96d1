// Ctrl-C and its relatives: noticed between two steps, so that nothing is left half-done.

import CSystem
import Synchronization

/// The program was asked to stop.
struct Interrupted: Error {
  let signal: Int32
}

enum Interruption {
  private static let received = Atomic<Int32>(0)

  /// SIG_IGN, whose type Swift does not import everywhere.
  private static let ignored = 1

  /// From now on the first SIGINT, SIGTERM or SIGHUP is only remembered; a second one ends the program.
  /// Signals that are ignored, as nohup and shells arrange it, stay so.
  static func watch() {
    _ = received.load(ordering: .relaxed)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      let before = signal(number) { number in
        let isFirst = Interruption.received.exchange(number, ordering: .relaxed) == 0
        if !isFirst { _exit(128 + number) }
      }
      if unsafeBitCast(before, to: Int.self) == ignored { signal(number, before) }
    }
  }

  /// From now on Ctrl-C ends the program, and the line on which its question stands.
  static func endOnNextLine() {
    signal(SIGINT) { number in
      _ = CSystem.write(STDERR_FILENO, "\n", 1)
      _exit(128 + number)
    }
  }

  /// The signal that has arrived.
  static var signalNumber: Int32? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }
}
