// The settings of the optimiser, as torch.optim.SGD defines them. The arithmetic is the engines'.

/// Stochastic gradient descent with momentum. With g the gradient of the mean loss and p a parameter:
///
///     g = (maximize ? -g : g) + weightDecay * p
///     v = g the first time, then momentum * v + (1 - dampening) * g
///     p = p - learningRate * (nesterov ? g + momentum * v : v)
///
/// and, with momentum 0, simply p - learningRate * g.
public struct SGD: Equatable, Sendable {
  public var learningRate = 0.1
  public var momentum = 0.9
  public var dampening = 0.0
  public var weightDecay = 0.0
  public var nesterov = false
  public var maximize = false

  public init() {}

  /// Refuses what torch.optim.SGD refuses, and numbers that are not finite.
  public func validate() throws(Failure) {
    try Self.checkNonNegative(learningRate, "learning_rate")
    try Self.checkNonNegative(momentum, "momentum")
    try Self.checkNonNegative(weightDecay, "weight_decay")
    guard Float(dampening).isFinite else { throw .invalidArgument("dampening must be a finite number") }
    guard !nesterov || (momentum > 0 && dampening == 0) else {
      throw .invalidArgument("nesterov needs a momentum above 0 and no dampening")
    }
  }

  private static func checkNonNegative(_ value: Double, _ name: String) throws(Failure) {
    guard value >= 0, Float(value).isFinite else {
      throw .invalidArgument("\(name) must be a finite number, not negative")
    }
  }
}
