// The article's lines: a sum of losses that is printed and reset every 600 steps.

import TwoLayerNet

struct RunningLoss {
  private var sum = 0.0

  /// The line that the article's script prints after this step, if it does.
  mutating func line(after progress: Progress) -> String? {
    if progress.step == 0 { sum = 0 }
    sum += Double(progress.loss)
    guard progress.step % 600 == 0 else { return nil }
    defer { sum = 0 }
    return "epoch=\(progress.epoch), loss=\(fixed(sum, 5))"
  }
}
