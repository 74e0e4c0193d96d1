// Threads: every task is done once, whatever their number and whoever asks.

import Foundation
import Synchronization
import TestSupport
import Testing

@testable import TwoLayerNet

/// Counts how often each task was performed.
private final class Counting: Job {
  let counts: [Atomic<Int>.Box]
  init(_ tasks: Int) { counts = (0..<tasks).map { _ in .init() } }
  override func perform(_ task: Int) { counts[task].add() }
  var all: [Int] { counts.map(\.value) }
}

extension Atomic<Int> {
  /// An atomic number that an array can hold.
  fileprivate final class Box: Sendable {
    private let number = Atomic<Int>(0)
    func add() { number.wrappingAdd(1, ordering: .relaxed) }
    var value: Int { number.load(ordering: .relaxed) }
  }
}

struct WorkerPoolTests {
  @Test(arguments: [1, 2, 3, 8, 64])
  func everyTaskIsDoneOnce(_ threads: Int) throws {
    let pool = try WorkerPool.make(limit: threads)
    for tasks in [1, 2, 3, 7, 100, 1000, 1, 2] {
      for _ in 0..<50 {
        let job = Counting(tasks)
        pool.run(job, tasks: tasks, threads: threads)
        #expect(job.all.allSatisfy { $0 == 1 })
      }
    }
  }

  @Test func sleepingThreadsWakeUp() throws {
    let pool = try WorkerPool.make(limit: 3)
    for _ in 0..<20 {
      let job = Counting(9)
      pool.run(job, tasks: 9, threads: 3)
      #expect(job.all.allSatisfy { $0 == 1 })
      usleep(2000)
    }
  }

  @Test func manyCallersMayUseOnePool() async throws {
    let pool = UncheckedSendable(try WorkerPool.make(limit: 4))
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          (0..<200).allSatisfy { _ in
            let job = Counting(5)
            pool.value.run(job, tasks: 5, threads: 4)
            return job.all.allSatisfy { $0 == 1 }
          }
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }

  @Test func poolsComeAndGo() throws {
    for _ in 0..<200 {
      let job = Counting(4)
      try WorkerPool.make(limit: 4).run(job, tasks: 4, threads: 4)
      #expect(job.all.allSatisfy { $0 == 1 })
    }
  }
}
