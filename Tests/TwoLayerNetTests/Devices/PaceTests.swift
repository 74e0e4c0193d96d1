// Which number of threads training settles on, with made-up times of its steps.

import Testing

@testable import TwoLayerNet

struct PaceTests {
  /// How many of `count` steps were for one thread, and the time of all, when a step takes so long.
  private func run(
    _ pace: inout Pace, steps count: Int, alone: Int, together: (Int) -> Int
  ) -> (alone: Int, time: Int) {
    var (steps, time) = (0, 0)
    for step in 0..<count {
      let nanoseconds = pace.isAlone ? alone : together(step)
      steps += pace.isAlone ? 1 : 0
      time += nanoseconds
      pace.record(rows: 100, nanoseconds: nanoseconds)
    }
    return (steps, time)
  }

  @Test func severalThreadsThatAreFasterAreKept() {
    var pace = Pace()
    #expect(!pace.isAlone)
    let (alone, _) = run(&pace, steps: 10_000, alone: 70_000) { _ in 40_000 }
    #expect(alone > 0 && alone < 100)
  }

  @Test func severalThreadsThatAreSlowerAreGivenUp() {
    var pace = Pace()
    let (alone, _) = run(&pace, steps: 10_000, alone: 70_000) { _ in 110_000 }
    #expect(alone > 9_500)
  }

  @Test func aThreadThatIsPutAsideNowAndThenCostsLittle() {
    var pace = Pace()
    let (_, time) = run(&pace, steps: 100_000, alone: 70_000) { $0 % 20 == 0 ? 4_000_000 : 40_000 }
    #expect(time < 100_000 * 70_000 * 105 / 100)
  }

  @Test func aThreadThatIsPutAsideRarelyIsNotGivenUp() {
    var pace = Pace()
    let (alone, _) = run(&pace, steps: 100_000, alone: 70_000) { $0 % 2000 == 0 ? 4_000_000 : 40_000 }
    #expect(alone < 3_000)
  }

  @Test func severalThreadsComeBack() {
    var pace = Pace()
    _ = run(&pace, steps: 50_000, alone: 70_000) { _ in 110_000 }
    let (alone, _) = run(&pace, steps: 50_000, alone: 70_000) { _ in 40_000 }
    #expect(alone < 10_000)
  }

  @Test func severalThreadsThatWereHardlySlowerComeBackSoon() {
    var pace = Pace()
    _ = run(&pace, steps: 100_000, alone: 70_000) { _ in 71_000 }
    #expect(run(&pace, steps: 10_000, alone: 70_000) { _ in 40_000 }.alone < 400)
  }

  @Test func theFirstStepsAfterAChangeDoNotCount() {
    var pace = Pace()
    var (since, alone) = (0, 0)
    for _ in 0..<20_000 {
      let wasAlone = pace.isAlone
      since += 1
      // Threads that slept are slow for a while.
      let together = since <= 4 ? 600_000 : 40_000
      pace.record(rows: 100, nanoseconds: wasAlone ? 70_000 : together)
      alone += wasAlone ? 1 : 0
      if pace.isAlone != wasAlone { since = 0 }
    }
    #expect(alone < 200)
  }

  @Test func theLastSmallerBatchOfAnEpochIsNoImprovement() {
    var pace = Pace()
    for step in 0..<5000 {
      let rows = step % 8 == 7 ? 10 : 100
      pace.record(rows: rows, nanoseconds: rows * (pace.isAlone ? 700 : 900))
    }
    #expect(pace.isAlone)
  }
}
