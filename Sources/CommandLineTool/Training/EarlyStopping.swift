// Stopping when a network no longer gets better on images it is not trained on, and going back to where
// it was best.

import TwoLayerNet

struct EarlyStopping {
  /// Epochs without improvement that are borne.
  let patience: Int
  private var bestLoss = Double.infinity
  private(set) var bestEpoch = 0
  private var bestParameters: [[Float]] = []

  init(patience: Int) { self.patience = patience }

  /// Takes note of an epoch's validation loss. Returns whether it is time to stop.
  mutating func shouldStop(
    after epoch: Int, loss: Double, _ network: Network
  ) throws(Failure) -> Bool {
    if loss < bestLoss {
      (bestLoss, bestEpoch) = (loss, epoch)
      bestParameters = try network.parameters()
      return false
    }
    return epoch - bestEpoch >= patience
  }

  /// Gives the network the parameters it had when it was best.
  func restoreBest(_ network: Network) throws(Failure) {
    for (parameter, values) in zip(Parameter.allCases, bestParameters) {
      try network.write(parameter, values)
    }
  }
}

extension Network {
  func values(of parameter: Parameter) throws(Failure) -> [Float] {
    var values = [Float](repeating: 0, count: parameter.count(in: shape))
    try withBuffers([], &values) { (_, values) throws(Failure) in try read(parameter, into: values) }
    return values
  }

  /// All four, in the order of `Parameter.allCases`.
  func parameters() throws(Failure) -> [[Float]] {
    var all: [[Float]] = []
    for parameter in Parameter.allCases { all.append(try values(of: parameter)) }
    return all
  }

  func write(_ parameter: Parameter, _ values: [Float]) throws(Failure) {
    var none: [Float] = []
    try withBuffers(values, &none) { (values, _) throws(Failure) in try write(parameter, from: values) }
  }
}
