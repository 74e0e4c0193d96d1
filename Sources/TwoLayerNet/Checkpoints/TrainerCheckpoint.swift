// A trainer's state in a file: {"model": ..., "optimizer": ..., "epoch": ...} as PyTorch users save it,
// and the generator and position, which PyTorch does not keep there, as text in the archive's comment.

extension Trainer {
  /// Writes everything that training needs to go on. Also during `fit`, from its callback.
  public func save(_ path: String) throws(Failure) {
    guard case .torch = try Checkpoint.format(ofPath: path) else {
      throw .unsupported("\(path): the state of a training is kept in files that end in .pth or .pt")
    }
    let parameters = network.parameterSources()
    let momentum = keepsMomentum ? momentumSources() : []
    let value = Picklable.dictionary([
      (
        .text("model"),
        .stateDictionary(
          Checkpoint.entries(parameters, firstStorage: 0), modules: Network.modules)
      ),
      (
        .text("optimizer"),
        .dictionary([
          (.text("state"), optimizerState(momentum, firstStorage: parameters.count)),
          (.text("param_groups"), .list([.dictionary(options.sgd.pickled)])),
        ])
      ),
      (.text("epoch"), .int(position.epochs)),
    ])
    let comment = try ResumptionComment(position, network.generator)
    try TorchWriter.save(value, tensors: parameters + momentum, to: path, comment: comment.bytes)
  }

  /// Goes on from a file that `save` or PyTorch wrote. On failure nothing has changed.
  public func load(_ path: String) throws(Failure) { try load(Checkpoint.open(path)) }

  public func load(_ checkpoint: Checkpoint) throws(Failure) {
    let found = try checkpoint.findNetwork()
    guard found.shape == network.shape else {
      let (theirs, ours) = (found.shape, network.shape)
      throw .invalidArgument(
        """
        \(checkpoint.path) has a network of \(theirs.input), \(theirs.hidden) and \(theirs.output) units; \
        this one has \(ours.input), \(ours.hidden) and \(ours.output)
        """
      )
    }
    let state = try OptimizerCheckpoint(checkpoint)
    let optimizer = try network.engine.makeOptimizer(state.sgd)
    for (parameter, tensor) in zip(Parameter.allCases, state.momentum) {
      guard tensor.sizes == parameter.sizes(in: network.shape), tensor.type.isFloatingPoint else {
        throw .badFile("\(checkpoint.path): \(tensor.name) is not the momentum of \(parameter.name)")
      }
      let values = try checkpoint.finiteValues(tensor)
      try optimizer.writeMomentum(parameter, from: values.readOnly)
    }
    let first = try checkpoint.finiteValues(found.tensors[0])
    let second = try checkpoint.finiteValues(found.tensors[1])
    let third = try checkpoint.finiteValues(found.tensors[2])
    let fourth = try checkpoint.finiteValues(found.tensors[3])
    let resumption = try ResumptionComment(checkpoint)
    try network.exclusively { () throws(Failure) in
      try network.engine.write(.hiddenWeight, from: first.readOnly)
      try network.engine.write(.hiddenBias, from: second.readOnly)
      try network.engine.write(.outputWeight, from: third.readOnly)
      try network.engine.write(.outputBias, from: fourth.readOnly)
      try resume(resumption)
    }
    replaceOptimizer(optimizer)
  }

  private func resume(_ comment: ResumptionComment?) throws(Failure) {
    guard let comment else { return }
    let state = try Buffer(copying: comment.generator)
    // It was one when the comment was read.
    _ = network.generator.deserialize(from: UnsafeRawBufferPointer(state.readOnly))
    position = comment.position
  }

  /// Without momentum there are no buffers, as in PyTorch.
  private var keepsMomentum: Bool { optimizer.hasMomentum && options.sgd.momentum != 0 }

  private func momentumSources() -> [TensorSource] {
    Parameter.allCases.map { parameter in
      TensorSource(name: parameter.name, sizes: parameter.sizes(in: network.shape)) {
        values throws(Failure) in
        try self.optimizer.readMomentum(parameter, into: values)
      }
    }
  }

  /// The optimiser's entry for each parameter by its number: none before the first step, and without
  /// momentum an empty one, as PyTorch 2.1.2 writes them.
  private func optimizerState(_ momentum: [TensorSource], firstStorage: Int) -> Picklable {
    guard optimizer.hasMomentum else { return .dictionary([]) }
    return .dictionary(
      Parameter.allCases.indices.map { index in
        let buffer: Picklable =
          momentum.isEmpty
          ? .none : .tensor(storage: firstStorage + index, sizes: momentum[index].sizes)
        return (.int(index), .dictionary([(.text("momentum_buffer"), buffer)]))
      })
  }
}

extension SGD {
  /// The optimiser's only group of parameters. Options that are zero are PyTorch's default, the integer.
  fileprivate var pickled: [(key: Picklable, value: Picklable)] {
    func number(_ value: Double) -> Picklable { value == 0 ? .int(0) : .float(value) }
    return [
      (.text("lr"), .float(learningRate)),
      (.text("momentum"), number(momentum)),
      (.text("dampening"), number(dampening)),
      (.text("weight_decay"), number(weightDecay)),
      (.text("nesterov"), .bool(nesterov)),
      (.text("maximize"), .bool(maximize)),
      (.text("foreach"), .none),
      (.text("differentiable"), .bool(false)),
      (.text("params"), .list((0..<4).map { .int($0) })),
    ]
  }
}

/// What a file says about the optimiser.
private struct OptimizerCheckpoint {
  let sgd: SGD
  /// In the order of `Parameter`; none if the file has no momentum.
  let momentum: [Tensor]

  init(_ checkpoint: Checkpoint) throws(Failure) {
    var root: String?
    for candidate in ["optimizer", "optimizer_state_dict"] where root == nil {
      if checkpoint.scalar(candidate + ".param_groups.0.lr") != nil { root = candidate }
    }
    guard let root else { throw .badFile("\(checkpoint.path) holds no state of an optimiser") }
    let group = root + ".param_groups.0."
    func number(_ name: String, default standard: Double? = nil) throws(Failure) -> Double {
      switch checkpoint.scalar(group + name) {
      case .float(let value): return value
      case .int(let value): return Double(value)
      case nil where standard != nil: return standard!
      default: throw .badFile("\(checkpoint.path): the optimiser is not SGD, or its \(name) no number")
      }
    }
    func flag(_ name: String) throws(Failure) -> Bool {
      switch checkpoint.scalar(group + name) {
      case .bool(let value): return value
      case nil: return false
      default: throw .badFile("\(checkpoint.path): the optimiser's \(name) is neither True nor False")
      }
    }
    guard checkpoint.scalar(root + ".param_groups.1.lr") == nil else {
      throw .unsupported("\(checkpoint.path): the optimiser has several groups of parameters")
    }
    var sgd = SGD()
    sgd.learningRate = try number("lr")
    sgd.momentum = try number("momentum")
    sgd.dampening = try number("dampening")
    sgd.weightDecay = try number("weight_decay")
    sgd.nesterov = try flag("nesterov")
    sgd.maximize = try flag("maximize")
    do throws(Failure) { try sgd.validate() } catch {
      throw .badFile("\(checkpoint.path): \(error.message)")
    }
    var momentum: [Tensor] = []
    for index in 0..<4 {
      guard case .int(let number) = checkpoint.scalar(group + "params.\(index)") else {
        throw .badFile("\(checkpoint.path): the optimiser does not have the four parameters")
      }
      let name = root + ".state." + String(number) + ".momentum_buffer"
      if let tensor = checkpoint.tensor(name) { momentum.append(tensor) }
    }
    guard checkpoint.scalar(group + "params.4") == nil else {
      throw .badFile("\(checkpoint.path): the optimiser has more than four parameters")
    }
    guard momentum.isEmpty || momentum.count == 4 else {
      throw .unsupported("\(checkpoint.path) has momentum for some of the parameters only")
    }
    self.sgd = sgd
    self.momentum = momentum
  }
}
