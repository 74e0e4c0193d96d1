// A few threads that help with one job at a time. They exist from the first job that is worth sharing
// until the pool goes; between jobs they spin for a moment and then sleep. Who does which task never
// changes a result, because tasks do not share what they write.

import CSystem
import Synchronization

/// Work that is cut into tasks 0 ..< n, which may run in any order and at the same time.
class Job {
  func perform(_ task: Int) {}
}

/// Threads owned by one engine.
final class WorkerPool {
  /// The most threads that work on a job, the caller's included.
  let limit: Int
  private let crew: Crew
  private var threads: [pthread_t] = []
  /// The process the threads belong to: a forked child has none of them.
  private var process: pid_t = 0
  /// Set while a job runs, so that a second caller does its work alone instead of waiting.
  private let isBusy = Atomic<Bool>(false)

  init(limit: Int, crew: Crew) {
    self.limit = limit
    self.crew = crew
  }

  static func make(limit: Int) throws(Failure) -> WorkerPool {
    WorkerPool(limit: limit, crew: try Crew.make())
  }

  deinit { dismiss() }

  /// Runs tasks 0 ..< tasks of the job, on up to `threads` threads, and returns when all are done.
  func run(_ job: Job, tasks: Int, threads wanted: Int) {
    let helpers = min(wanted, limit, tasks) - 1
    guard helpers > 0, tasks < Crew.taskLimit, !isBusy.exchange(true, ordering: .acquiring) else {
      for task in 0..<tasks { job.perform(task) }
      return
    }
    summon(helpers)
    crew.run(job, tasks: tasks)
    isBusy.store(false, ordering: .releasing)
  }

  /// Starts threads until there are `count`, as far as the system allows.
  private func summon(_ count: Int) {
    let current = getpid()
    if process != current {
      // In a forked child the parent's threads are gone, and whatever they held with them.
      if process != 0 { crew.reset() }
      threads.removeAll()
      process = current
    }
    if threads.count >= count { return }
    // Signals are for the host's threads.
    var all = sigset_t()
    var previous = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &previous)
    while threads.count < count {
      var thread = pthread_t()
      let started = pthread_create(
        &thread, nil,
        { context in
          Unmanaged<Crew>.fromOpaque(context!).takeUnretainedValue().work()
          return nil
        }, Unmanaged.passUnretained(crew).toOpaque())
      if started != 0 { break }
      threads.append(thread)
    }
    pthread_sigmask(SIG_SETMASK, &previous, nil)
  }

  private func dismiss() {
    guard process == getpid() else { return }
    crew.dismiss()
    for thread in threads { pthread_join(thread, nil) }
  }
}

/// What the pool and its threads share.
final class Crew {
  /// The current job as one word, so that a task is claimed in one operation: a serial number that
  /// changes with every job, the number of tasks, and how many are claimed from the end and from the
  /// beginning. The caller begins with the first task and the others with the last, so that from job to
  /// job everyone works on the same memory.
  private let board = Atomic<UInt64>(0)
  private let unfinished = Atomic<Int>(0)
  private let isDismissed = Atomic<Bool>(false)
  private let sleepers = Atomic<Int>(0)
  private let callerSleeps = Atomic<Bool>(false)
  /// Valid while a claimed task of the current job is unfinished.
  private nonisolated(unsafe) var job: Unmanaged<Job>?
  private let lockMemory: Buffer<UInt8>
  private let locks: UnsafeMutablePointer<Locks>

  /// For sleeping only: everything else that is shared is atomic.
  private struct Locks {
    var mutex: pthread_mutex_t
    var newJob: pthread_cond_t
    var jobDone: pthread_cond_t
  }

  private static let taskBits: UInt64 = 18
  static let taskLimit = 1 << 17
  private static let taskMask: UInt64 = (1 << taskBits) - 1

  /// How often to look before sleeping: some fifty microseconds. Waking takes as long, and a small
  /// training step not much longer.
  private static let spins = 4000

  private init(lockMemory: consuming Buffer<UInt8>) {
    locks = UnsafeMutableRawPointer(lockMemory.base).bindMemory(to: Locks.self, capacity: 1)
    self.lockMemory = lockMemory
    reset()
  }

  static func make() throws(Failure) -> Crew {
    Crew(lockMemory: try Buffer(zeroed: MemoryLayout<Locks>.size))
  }

  deinit {
    pthread_cond_destroy(&locks.pointee.newJob)
    pthread_cond_destroy(&locks.pointee.jobDone)
    pthread_mutex_destroy(&locks.pointee.mutex)
  }

  /// As if nobody had ever waited here.
  func reset() {
    pthread_mutex_init(&locks.pointee.mutex, nil)
    pthread_cond_init(&locks.pointee.newJob, nil)
    pthread_cond_init(&locks.pointee.jobDone, nil)
    sleepers.store(0, ordering: .relaxed)
    callerSleeps.store(false, ordering: .relaxed)
    unfinished.store(0, ordering: .relaxed)
  }

  /// Posts a job, helps with it, and waits until it is done.
  func run(_ job: Job, tasks: Int) {
    self.job = Unmanaged.passUnretained(job)
    unfinished.store(tasks, ordering: .relaxed)
    let serial = (board.load(ordering: .relaxed) >> (3 * Self.taskBits)) &+ 1
    let posted = serial << (3 * Self.taskBits) | UInt64(tasks) << (2 * Self.taskBits)
    board.store(posted, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(&locks.pointee.mutex)
      pthread_cond_broadcast(&locks.pointee.newJob)
      pthread_mutex_unlock(&locks.pointee.mutex)
    }
    performTasks(isCaller: true)
    waitUntilDone()
    self.job = nil
  }

  /// A thread's life.
  func work() {
    var seen: UInt64 = 0
    while true {
      seen = waitForJob(after: seen)
      if isDismissed.load(ordering: .acquiring) { return }
      performTasks(isCaller: false)
    }
  }

  func dismiss() {
    isDismissed.store(true, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(&locks.pointee.mutex)
    pthread_cond_broadcast(&locks.pointee.newJob)
    pthread_mutex_unlock(&locks.pointee.mutex)
  }

  /// Claims and performs tasks of the current job until none is left.
  private func performTasks(isCaller: Bool) {
    let one: UInt64 = isCaller ? 1 : 1 << Self.taskBits
    while true {
      let claim = board.wrappingAdd(one, ordering: .acquiringAndReleasing).oldValue
      let (fromStart, fromEnd) = (claim & Self.taskMask, (claim >> Self.taskBits) & Self.taskMask)
      let tasks = (claim >> (2 * Self.taskBits)) & Self.taskMask
      guard fromStart &+ fromEnd < tasks else { return }
      let task = isCaller ? fromStart : tasks &- 1 &- fromEnd
      job!._withUnsafeGuaranteedRef { $0.perform(Int(task)) }
      if unfinished.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue == 0,
        callerSleeps.load(ordering: .sequentiallyConsistent)
      {
        pthread_mutex_lock(&locks.pointee.mutex)
        pthread_cond_signal(&locks.pointee.jobDone)
        pthread_mutex_unlock(&locks.pointee.mutex)
      }
    }
  }

  /// Waits until the board shows another job than `seen`, and returns its serial number.
  private func waitForJob(after seen: UInt64) -> UInt64 {
    func isNew() -> Bool {
      board.load(ordering: .sequentiallyConsistent) >> (3 * Self.taskBits) != seen
        || isDismissed.load(ordering: .sequentiallyConsistent)
    }
    var spin = 0
    while spin < Self.spins && !isNew() {
      tlns_spin_hint()
      spin &+= 1
    }
    if !isNew() {
      pthread_mutex_lock(&locks.pointee.mutex)
      sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
      while !isNew() { pthread_cond_wait(&locks.pointee.newJob, &locks.pointee.mutex) }
      sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      pthread_mutex_unlock(&locks.pointee.mutex)
    }
    return board.load(ordering: .acquiring) >> (3 * Self.taskBits)
  }

  private func waitUntilDone() {
    func isDone() -> Bool { unfinished.load(ordering: .sequentiallyConsistent) == 0 }
    var spin = 0
    while spin < Self.spins && !isDone() {
      tlns_spin_hint()
      spin &+= 1
    }
    if isDone() { return }
    callerSleeps.store(true, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(&locks.pointee.mutex)
    while !isDone() { pthread_cond_wait(&locks.pointee.jobDone, &locks.pointee.mutex) }
    pthread_mutex_unlock(&locks.pointee.mutex)
    callerSleeps.store(false, ordering: .sequentiallyConsistent)
  }
}
