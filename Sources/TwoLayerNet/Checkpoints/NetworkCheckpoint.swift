// Networks and named tensors: what the four parameters are called in a file, and where to look for them.

extension Network {
  /// The modules of the article's network, in the order in which PyTorch goes through them.
  static let modules = ["", "flatten", "layers", "layers.0", "layers.1", "layers.2"]

  /// A network from a file.
  ///
  /// - Parameters:
  ///   - device: nil for the best that is available.
  ///   - deviceIndex: which of several GPUs, counted from 0.
  ///   - notice: is told if the parameters have other names and were recognised by their sizes.
  public static func load(
    _ path: String, device: Device? = nil, deviceIndex: Int = 0, threads: Int = 0,
    notice: (String) -> Void = { _ in }
  ) throws(Failure) -> Network {
    try load(
      Checkpoint.open(path), device: device, deviceIndex: deviceIndex, threads: threads, notice: notice)
  }

  public static func load(
    _ checkpoint: Checkpoint, device: Device? = nil, deviceIndex: Int = 0, threads: Int = 0,
    notice: (String) -> Void = { _ in }
  ) throws(Failure) -> Network {
    let found = try checkpoint.findNetwork()
    let network = try makeEmpty(
      found.shape, device: device, deviceIndex: deviceIndex, threads: threads)
    for (parameter, tensor) in zip(Parameter.allCases, found.tensors) {
      let values = try checkpoint.finiteValues(tensor)
      try network.write(parameter, from: values.readOnly)
    }
    if let text = found.notice { notice(text) }
    return network
  }

  /// Writes the parameters; the ending of the path selects the format.
  public func save(_ path: String) throws(Failure) {
    try Checkpoint.write(parameterSources(), modules: Self.modules, to: path)
  }

  /// Fails if `save` to this path certainly would, because of its ending, permissions or a full disk.
  public func probeSave(_ path: String) throws(Failure) {
    _ = try Checkpoint.format(ofPath: path)
    let elements = Parameter.allCases.reduce(0) { $0 + $1.count(in: shape) }
    // Beside the elements, the files of a network have about two thousand bytes.
    try FileWriter.probe(path, byteCount: 4 * elements + 4096)
  }

  func parameterSources() -> [TensorSource] {
    Parameter.allCases.map { parameter in
      TensorSource(name: parameter.name, sizes: parameter.sizes(in: shape)) { values throws(Failure) in
        try self.read(parameter, into: values)
      }
    }
  }
}

extension Checkpoint {
  /// Where a network's tensors may be, the first choice first.
  private static let containers = ["", "state_dict", "model", "model_state_dict"]

  /// A network in a file: its tensors in the order of `Parameter`.
  struct FoundNetwork {
    let shape: Shape
    let tensors: [Tensor]
    /// What should be said about how it was found.
    let notice: String?
  }

  func findNetwork() throws(Failure) -> FoundNetwork {
    // Other tensors may lie beside a network's dictionary, such as torch.get_rng_state().
    var first: [Tensor] = []
    for container in Self.containers {
      let candidates = tensors.filter { $0.container.equals(container) }
      if candidates.count == 4 { return try recognize(candidates) }
      if first.isEmpty { first = candidates }
    }
    guard first.isEmpty else { return try recognize(first) }
    throw .badFile(
      "\(path) has no tensors at its top, nor in state_dict, model or model_state_dict")
  }

  private func recognize(_ candidates: [Tensor]) throws(Failure) -> FoundNetwork {
    guard candidates.count == 4 else {
      throw .badFile(
        "\(path) has \(candidates.count) tensors; two Linear layers have four: weights and biases")
    }
    for tensor in candidates where !tensor.type.isFloatingPoint {
      throw .badFile("\(path): \(tensor.name) has elements of type \(tensor.type.name)")
    }
    if let named = findByName(candidates) {
      guard let shape = try shape(of: named) else {
        throw .badFile("\(path): \(Self.describe(named)) are not two Linear layers that fit")
      }
      return FoundNetwork(shape: shape, tensors: named, notice: nil)
    }
    return try findBySizes(candidates)
  }

  /// The four with PyTorch's names, all behind the same prefix, such as "module.".
  private func findByName(_ candidates: [Tensor]) -> [Tensor]? {
    for first in candidates {
      guard let prefix = first.key.dropping(ending: Parameter.hiddenWeight.name) else { continue }
      var found: [Tensor] = []
      for parameter in Parameter.allCases {
        found += candidates.filter { $0.key.equals(prefix + parameter.name) }
      }
      if found.count == 4 && (prefix.isEmpty || prefix.bytes.last == UInt8(ascii: ".")) { return found }
    }
    return nil
  }

  /// Every way to take the four for the parameters in which sizes fit; of several, those in which
  /// weight and bias of a layer are called alike. There must be exactly one.
  private func findBySizes(_ candidates: [Tensor]) throws(Failure) -> FoundNetwork {
    let weights = candidates.filter { $0.sizes.count == 2 }
    let biases = candidates.filter { $0.sizes.count == 1 }
    var found: [FoundNetwork] = []
    if weights.count == 2 && biases.count == 2 {
      for (first, second) in [(0, 1), (1, 0)] {
        for (firstBias, secondBias) in [(0, 1), (1, 0)] {
          let tensors = [weights[first], biases[firstBias], weights[second], biases[secondBias]]
          guard let shape = try shape(of: tensors) else { continue }
          let notice = """
            \(path) has other names; by their sizes, \(Self.describe(tensors)) were taken for the weight \
            and the bias of the hidden and of the output layer
            """
          found.append(FoundNetwork(shape: shape, tensors: tensors, notice: notice))
        }
      }
    }
    guard !found.isEmpty else {
      throw .badFile("\(path): \(Self.describe(candidates)) are not two Linear layers that fit")
    }
    if found.count > 1 {
      found = found.filter {
        Self.isLayer($0.tensors[0], $0.tensors[1]) && Self.isLayer($0.tensors[2], $0.tensors[3])
      }
    }
    guard found.count == 1 else {
      throw .badFile(
        "\(path): it cannot be told which of \(Self.describe(candidates)) is which parameter")
    }
    return found[0]
  }

  /// Whether weight and bias are called alike: "fc1.weight" and "fc1.bias".
  private static func isLayer(_ weight: Tensor, _ bias: Tensor) -> Bool {
    guard let layer = weight.key.dropping(ending: "weight") else { return false }
    return bias.key.equals(layer + "bias")
  }

  private static func describe(_ tensors: [Tensor]) -> String {
    var text = ""
    for (index, tensor) in tensors.enumerated() {
      if index > 0 { text += index == tensors.count - 1 ? " and " : ", " }
      text += tensor.name + " ["
      for (position, size) in tensor.sizes.enumerated() {
        text += (position > 0 ? ", " : "") + String(size)
      }
      text += "]"
    }
    return text
  }

  /// The shape of the network with these parameters; nil if they do not fit.
  private func shape(of tensors: [Tensor]) throws(Failure) -> Shape? {
    guard tensors[0].sizes.count == 2, tensors[2].sizes.count == 2 else { return nil }
    let (input, hidden, output) = (tensors[0].sizes[1], tensors[0].sizes[0], tensors[2].sizes[0])
    for size in [input, hidden, output] where !(1...Shape.limit).contains(size) {
      throw .badFile("\(path) has a layer of size \(size), but 1 to \(Shape.limit) are possible")
    }
    let shape = try Shape(input: input, hidden: hidden, output: output)
    for (parameter, tensor) in zip(Parameter.allCases, tensors)
    where parameter.sizes(in: shape) != tensor.sizes { return nil }
    return shape
  }
}
