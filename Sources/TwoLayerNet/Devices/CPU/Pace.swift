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
    } else if mean > timeAlone {
      begin(alone: true, length: penalty)
      penalty = min(2 * penalty, Self.longestPenalty)
      goodStretches = 0
    } else {
      goodStretches &+= 1
      if goodStretches == 128 {
        (goodStretches, penalty) = (0, Self.shortestPenalty)
        begin(alone: true, length: Self.sample)
      } else {
        begin(alone: false, length: Self.stretch)
      }
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
