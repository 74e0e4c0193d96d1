// The plain reference as a whole: a network with its momentum, and one step of training.

/// The network Linear, ReLU, Linear in plain arrays.
public struct ReferenceNetwork: Sendable {
  public var w1: Matrix
  public var b1: [Float]
  public var w2: Matrix
  public var b2: [Float]
  public var v1: [Float]?
  public var vb1: [Float]?
  public var v2: [Float]?
  public var vb2: [Float]?

  public init(w1: Matrix, b1: [Float], w2: Matrix, b2: [Float]) {
    (self.w1, self.b1, self.w2, self.b2) = (w1, b1, w2, b2)
  }

  /// Hidden units after ReLU, and logits.
  public func forward(_ x: Matrix) -> (h: Matrix, logits: Matrix) {
    var h = linearForward(x, w1, b1)
    for index in h.values.indices where h.values[index] < 0 { h.values[index] = 0 }
    return (h, linearForward(h, w2, b2))
  }

  /// One step of training; returns the loss before it.
  public mutating func step(_ x: Matrix, _ labels: [Int], _ sgd: ReferenceSGD = ReferenceSGD()) -> Float
  {
    let (h, logits) = forward(x)
    let y = logSoftmax(logits)
    let gradient = crossEntropyGradient(y, labels)
    let dw2 = backwardToWeight(gradient, h)
    let db2 = columnSums(gradient)
    var dh = backwardToInput(gradient, w2)
    for index in dh.values.indices where h.values[index] <= 0 { dh.values[index] = 0 }
    let dw1 = backwardToWeight(dh, x)
    let db1 = columnSums(dh)
    sgd.update(&w1.values, &v1, dw1.values)
    sgd.update(&b1, &vb1, db1)
    sgd.update(&w2.values, &v2, dw2.values)
    sgd.update(&b2, &vb2, db2)
    return negativeLogLikelihood(y, labels)
  }
}

/// Numbers for tests: the same in every run.
public struct TestRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(_ seed: UInt64) { state = seed }

  /// SplitMix64.
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Uniform in -1 ..< 1.
  public mutating func uniform() -> Float { Float(Int64(bitPattern: next()) >> 39) * 0x1p-24 }

  public mutating func uniforms(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in uniform() * scale }
  }

  public mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
}
