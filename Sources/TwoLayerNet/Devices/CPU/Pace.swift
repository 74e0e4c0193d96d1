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
  /// The current stretch: steps so far, those at its beginning that don't count, and steps in all.
  private var (steps, warming, length) = (0, 0, stretch)
  /// What the steps that count took.
  private var (time, rows) = (0.0, 0)
  /// Stretches of several threads that were well, since one thread was measured.
  private var goodStretches = 0
  /// A bit for each of the last four stretches of several threads: whether it was slower than one thread.
  private var slowStretches = 0

  /// Steps whose mean is compared: as many as take a millisecond in a small network.
  private static let stretch = 32
  /// Of one thread, to have something to compare with.
  private static let sample = 12
  /// The first steps after a change fill the caches and wake threads.
  private static let warmingAfterChange = 4
  /// How long to stay alone after several threads were slower: so long that what trying cost is one per cent
  /// of it. That is some ten milliseconds of small steps where two threads are hardly slower, and some hundred
  /// where one is put aside for a few.
  private static let (shortestRest, longestRest) = (256.0, 8192.0)

  /// Takes notice of a step.
  mutating func record(rows count: Int, nanoseconds: Int) {
    steps &+= 1
    if steps > warming {
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
      judge(mean / timeAlone)
    }
  }

  /// Decides how to go on after a stretch of several threads that took so many times what one takes. A thread
  /// that is put aside once makes one stretch slow; that alone is no reason to give up.
  private mutating func judge(_ ratio: Double) {
    let isSlow = ratio > 1
    slowStretches = (slowStretches << 1 | (isSlow ? 1 : 0)) & 15
    goodStretches &+= isSlow ? 0 : 1
    if slowStretches.nonzeroBitCount == 2 {
      let rest = 100 * Double(Self.stretch) * (ratio - 1)
      begin(alone: true, length: Int(min(max(rest, Self.shortestRest), Self.longestRest)))
      // Afterwards one slow stretch is enough for a while.
      (goodStretches, slowStretches) = (0, 1)
    } else if goodStretches == 128 {
      goodStretches = 0
      begin(alone: true, length: Self.sample)
    } else {
      begin(alone: false, length: Self.stretch)
    }
  }

  private mutating func begin(alone: Bool, length: Int) {
    warming = alone == isAlone ? 0 : Self.warmingAfterChange
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
