// Whether training steps are faster on several threads or on one, found out while they run. Several are
// slower where another program has one of the processors, because all wait for the thread that is put
// aside, and where two processors have no cache in common.

import CSystem

/// Counts steps of about equal work, and times them.
struct Pace {
  /// Whether the next step is for one thread.
  private(set) var isAlone = false
  /// Nanoseconds a row in the last stretch that was measured; 0 if none was.
  private var timeAlone = 0.0
  /// The current stretch: steps so far, steps in all, and what they took.
  private var (steps, length) = (0, stretch)
  private var (time, rows) = (0.0, 0)
  /// Stretches of several threads that were well, since one thread was measured.
  private var goodStretches = 0
  /// A bit for each of the last four stretches of several threads: whether it was slower than one thread.
  private var slowStretches = 0
  /// How long to stay alone after several threads were slower.
  private var penalty = shortestPenalty

  /// Steps whose mean is compared: as many as take a millisecond in a small network.
  private static let stretch = 32
  /// Of one thread, to have something to compare with; the first fill the caches.
  private static let (sample, warming) = (12, 4)
  /// From some ten to some hundred milliseconds of small steps: a thread that is put aside is lost for a
  /// few.
  private static let (shortestPenalty, longestPenalty) = (256, 8192)

  /// Takes notice of a step.
  mutating func record(rows count: Int, nanoseconds: Int) {
    steps &+= 1
    if !isAlone || steps > Self.warming {
      time += Double(nanoseconds)
      rows &+= count
    }
    if steps < length { return }
    let mean = time / Double(rows)
    if isAlone {
      timeAlone = mean
      begin(alone: false, length: Self.stretch)
    } else if timeAlone == 0 {
      begin(alone: true, length: Self.sample)
    } else {
      judge(isSlow: mean > timeAlone)
    }
  }

  /// Decides how to go on after a stretch of several threads. A thread that is put aside once makes one
  /// stretch slow; that alone is no reason to give up.
  private mutating func judge(isSlow: Bool) {
    slowStretches = (slowStretches << 1 | (isSlow ? 1 : 0)) & 15
    goodStretches &+= isSlow ? 0 : 1
    if slowStretches.nonzeroBitCount == 2 {
      begin(alone: true, length: penalty)
      penalty = min(2 * penalty, Self.longestPenalty)
      // Afterwards one slow stretch is enough for a while.
      (goodStretches, slowStretches) = (0, 1)
    } else if goodStretches == 128 {
      goodStretches = 0
      begin(alone: true, length: Self.sample)
    } else {
      if !isSlow && goodStretches % 16 == 0 { penalty = max(penalty / 2, Self.shortestPenalty) }
      begin(alone: false, length: Self.stretch)
    }
  }

  private mutating func begin(alone: Bool, length: Int) {
    (isAlone, self.length) = (alone, length)
    (steps, time, rows) = (0, 0, 0)
  }
}

/// Of a clock that only goes forward.
func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int(time.tv_sec) &* 1_000_000_000 &+ Int(time.tv_nsec)
}
