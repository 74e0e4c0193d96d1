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
    let head = "epoch \(progress.epoch)/\(epochs)"
    let facts = [
      "loss \(fixed(progress.meanLoss, 4))", "\(grouped(Int(rate))) images/s", "\(clock(left)) left",
    ]
    if Console.isTerminal {
      let part = Double(progress.rowsDone) / Double(rows)
      Console.redrawLine(Self.line(head, part, facts, columns: Console.columns))
      isShown = true
    } else {
      Console.notice("\(head)  \(facts.joined(separator: "  "))")
    }
  }

  /// What fits: a line that doesn't would be broken in two, and could not be redrawn.
  private static func line(
    _ head: String, _ part: Double, _ facts: [String], columns: Int
  ) -> String {
    var facts = facts
    /// Besides the head, the bar and what separates them; the last column stays free for the cursor.
    func room() -> Int { columns - 1 - head.count - 2 - facts.joined(separator: "  ").count }
    // The rate is missed least, the loss most.
    for index in [1, 1, 0] where room() < 0 { facts.remove(at: index) }
    if facts.isEmpty { return head }
    let width = min(max(room(), 0), 24) / Letters.blockWidth
    // A shorter bar says nothing.
    return "\(head) \(width < 4 ? "" : bar(part, width: width)) \(facts.joined(separator: "  "))"
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
