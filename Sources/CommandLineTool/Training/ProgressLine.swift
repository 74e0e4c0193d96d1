// How far a training has come, for whoever watches: one line that is redrawn on a terminal, a line every
// few seconds elsewhere.

import TwoLayerNet

final class ProgressLine {
  private let epochs: Int
  private let rows: Int
  private let isQuiet: Bool
  private let start = ContinuousClock.now
  private let firstEpoch: Int
  private var lastDrawn = ContinuousClock.now
  /// Whether the line stands on the terminal now.
  private var isShown = false

  /// A terminal is redrawn ten times a second; a log gets a line every five seconds.
  private static let pause: Duration = Console.isTerminal ? .milliseconds(100) : .seconds(5)

  /// - Parameters:
  ///   - finished: epochs that were done before this run.
  ///   - epochs: the last one of this run.
  ///   - rows: in an epoch.
  init(finished: Int, epochs: Int, rows: Int, isQuiet: Bool) {
    firstEpoch = finished
    self.epochs = epochs
    self.rows = rows
    self.isQuiet = isQuiet
  }

  func update(_ progress: Progress) {
    if isQuiet { return }
    let now = ContinuousClock.now
    if now - lastDrawn < Self.pause { return }
    lastDrawn = now
    let seconds = (now - start).seconds
    let done = (progress.epoch - 1 - firstEpoch) * rows + progress.rowsDone
    let rate = Double(done) / max(seconds, 1e-9)
    let left = Double((epochs - firstEpoch) * rows - done) / max(rate, 1e-9)
    let facts =
      "loss \(fixed(progress.meanLoss, 4))  \(grouped(Int(rate))) images/s  \(clock(left)) left"
    if Console.isTerminal {
      let head = "epoch \(progress.epoch)/\(epochs) "
      // A line that does not fit would be broken in two, and could not be redrawn.
      let room = Console.columns - 1 - head.count - 1 - facts.count
      let width = min(max(room, 0), 24) / Letters.blockWidth
      let bar = Self.bar(Double(progress.rowsDone) / Double(rows), width: width)
      let tail = room < 0 ? String(facts.prefix(max(facts.count + room, 0))) : facts
      Console.redrawLine("\(head)\(bar) \(tail)")
      isShown = true
    } else {
      Console.notice("epoch \(progress.epoch)/\(epochs)  \(facts)")
    }
  }

  /// Takes the line away, so that something else can be written.
  func clear() {
    if isShown { Console.clearLine() }
    isShown = false
  }

  private static func bar(_ part: Double, width: Int) -> String {
    let full = Int(Double(width) * min(max(part, 0), 1))
    let rest = String(repeating: Letters.line.left, count: width - full)
    return Console.styled(String(repeating: Letters.line.done, count: full), .green)
      + Console.styled(rest, .dim)
  }
}
