// The sizes of a network and of its four parameters, checked once so that nothing multiplied from them
// later can overflow.

/// input -> hidden -> output.
public struct Shape: Equatable, Sendable {
  public let input: Int
  public let hidden: Int
  public let output: Int

  /// The largest size of a layer.
  public static let limit = 1 << 24

  public init(input: Int, hidden: Int, output: Int) throws(Failure) {
    try Self.check(input, "input_size")
    try Self.check(hidden, "hidden_size")
    try Self.check(output, "output_size")
    self.input = input
    self.hidden = hidden
    self.output = output
  }

  private static func check(_ size: Int, _ name: String) throws(Failure) {
    guard (1...limit).contains(size) else {
      throw .invalidArgument("\(name) is \(size), but must be 1 to \(limit)")
    }
  }
}

/// One of the four tensors of a network.
public enum Parameter: Int, CaseIterable, Sendable {
  case hiddenWeight, hiddenBias, outputWeight, outputBias

  /// PyTorch's name for it in the article's module.
  public var name: String {
    switch self {
    case .hiddenWeight: "layers.0.weight"
    case .hiddenBias: "layers.0.bias"
    case .outputWeight: "layers.2.weight"
    case .outputBias: "layers.2.bias"
    }
  }

  /// Rows and columns as PyTorch stores it, row-major; a bias has rows only.
  public func sizes(in shape: Shape) -> [Int] {
    switch self {
    case .hiddenWeight: [shape.hidden, shape.input]
    case .hiddenBias: [shape.hidden]
    case .outputWeight: [shape.output, shape.hidden]
    case .outputBias: [shape.output]
    }
  }

  public func count(in shape: Shape) -> Int {
    switch self {
    case .hiddenWeight: shape.hidden * shape.input
    case .hiddenBias: shape.hidden
    case .outputWeight: shape.output * shape.hidden
    case .outputBias: shape.output
    }
  }
}
