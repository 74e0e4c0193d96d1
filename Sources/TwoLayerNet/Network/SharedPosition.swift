// Where training stands, for other threads to read while it runs. One thread writes; readers never wait
// for it for more than the moment that writing takes.

import Synchronization

final class SharedPosition {
  /// Odd while the numbers are being written.
  private let version = Atomic<UInt64>(0)
  private let epochs = Atomic<Int>(0)
  private let steps = Atomic<Int>(0)

  func write(epochs: Int, steps: Int) {
    let current = version.load(ordering: .relaxed)
    version.store(current &+ 1, ordering: .sequentiallyConsistent)
    self.epochs.store(epochs, ordering: .sequentiallyConsistent)
    self.steps.store(steps, ordering: .sequentiallyConsistent)
    version.store(current &+ 2, ordering: .sequentiallyConsistent)
  }

  /// Two numbers that belong together.
  func read() -> (epochs: Int, steps: Int) {
    while true {
      let before = version.load(ordering: .sequentiallyConsistent)
      let epochs = self.epochs.load(ordering: .sequentiallyConsistent)
      let steps = self.steps.load(ordering: .sequentiallyConsistent)
      if before & 1 == 0 && version.load(ordering: .sequentiallyConsistent) == before {
        return (epochs, steps)
      }
    }
  }
}
