// A network's answers on a whole dataset, for those who want to know more than how many are right.

import TwoLayerNet

/// The answers on each image of a dataset with labels.
struct Classification {
  let classes: Int
  let labels: [Int64]
  let predicted: [Int]
  /// How sure the network was of its answer, and what probability it gave the right one.
  let confidence: [Float]
  let probabilityOfLabel: [Float]

  init(_ network: Network, _ dataset: Dataset) throws(Failure) {
    let outputs = network.shape.output
    // Checks that the dataset fits.
    _ = try network.evaluate(dataset)
    classes = outputs
    var labels = [Int64](repeating: 0, count: dataset.rows)
    try dataset.read(firstRow: 0, rows: dataset.rows, features: nil, labels: &labels)
    self.labels = labels
    var predicted: [Int] = []
    var confidence: [Float] = []
    var probabilityOfLabel: [Float] = []
    let rowsPerPass = max(1, min(dataset.rows, (1 << 20) / dataset.columns))
    for first in stride(from: 0, to: dataset.rows, by: rowsPerPass) {
      let rows = min(rowsPerPass, dataset.rows - first)
      var features = [Float](repeating: 0, count: rows * dataset.columns)
      try dataset.read(firstRow: first, rows: rows, features: &features, labels: nil)
      var values = [Float](repeating: 0, count: rows * outputs)
      try withBuffers(features, &values) { (features, values) throws(Failure) in
        try network.probabilities(features, rows: rows, into: values)
      }
      for row in 0..<rows {
        let own = values[row * outputs..<(row + 1) * outputs]
        let best = own.indices.max { own[$0] < own[$1] }!
        predicted.append(best - own.startIndex)
        confidence.append(own[best])
        probabilityOfLabel.append(own[own.startIndex + Int(labels[first + row])])
      }
    }
    (self.predicted, self.confidence, self.probabilityOfLabel) = (
      predicted, confidence, probabilityOfLabel
    )
  }

  /// confusion[label][predicted]: how many.
  var confusion: [[Int]] {
    var counts = [[Int]](repeating: [Int](repeating: 0, count: classes), count: classes)
    for (label, answer) in zip(labels, predicted) { counts[Int(label)][answer] += 1 }
    return counts
  }

  /// The images that were answered wrong, those first that the network was surest of.
  var mistakes: [Int] {
    labels.indices.filter { Int(labels[$0]) != predicted[$0] }
      .sorted { confidence[$0] > confidence[$1] }
  }
}

/// How well one class is told from the others.
struct ClassScore {
  /// Of the images answered so, the part that is; nil if there are none.
  let precision: Double?
  /// Of the images that are, the part answered so; nil if there are none.
  let recall: Double?

  init(_ confusion: [[Int]], _ index: Int) {
    let right = confusion[index][index]
    let answered = confusion.reduce(0) { $0 + $1[index] }
    let actual = confusion[index].reduce(0, +)
    precision = answered > 0 ? Double(right) / Double(answered) : nil
    recall = actual > 0 ? Double(right) / Double(actual) : nil
  }
}
