// The plain reference: everything of a training step that is not a matrix product, in PyTorch's order of
// operations: exp and log, log-softmax, the loss and its gradient, sums over the batch, ReLU and SGD.

/// e to the x by SLEEF's polynomial (1.0 ULP, with fused multiply-adds).
public func exponential(_ x: Float) -> Float {
  if x.isNaN { return x }
  if x < -104 { return 0 }
  if x > 100 { return .infinity }
  let q = (x * 1.442695040888963407359924681001892137426645954152985934135449406931).rounded(
    .toNearestOrEven)
  var s = x.addingProduct(q, -0.693145751953125)
  s = s.addingProduct(q, -1.428606765330187045e-06)
  var u: Float = 0.000198527617612853646278381
  for coefficient: Float in [
    0.00139304355252534151077271, 0.00833336077630519866943359, 0.0416664853692054748535156,
    0.166666671633720397949219, 0.5,
  ] { u = coefficient.addingProduct(u, s) }
  u = 1 + s.addingProduct(s * s, u)
  let exponent = Int(q)
  let half = exponent >> 1
  return u * powerOfTwo(half) * powerOfTwo(exponent - half)
}

private func powerOfTwo(_ exponent: Int) -> Float {
  Float(bitPattern: UInt32(exponent + 127) << 23)
}

/// The natural logarithm by SLEEF's polynomial (1.0 ULP), for numbers of at least 1.
public func logarithm(_ x: Float) -> Float {
  if x.isNaN { return x }
  let exponent = Int(((x * (1 / 0.75)).bitPattern >> 23) & 255) - 127
  let m = Float(bitPattern: x.bitPattern &- UInt32(truncatingIfNeeded: exponent << 23))
  /// a + b and its rounding error.
  func exactSum(_ a: Float, _ b: Float) -> (Float, Float) {
    let sum = a + b
    let back = sum - a
    return (sum, (a - (sum - back)) + (b - back))
  }
  let (n, nLow) = exactSum(-1, m)
  let (d, dLow) = exactSum(1, m)
  let reciprocal = 1 / d
  let t = n * reciprocal
  let u = (-t).addingProduct(reciprocal, n)
  let v = (Float(1).addingProduct(-d, reciprocal)).addingProduct(-dLow, reciprocal)
  let tLow = (u.addingProduct(nLow, reciprocal)).addingProduct(t, v)
  let square = t * t
  var p: Float = 0.3027294874
  p = Float(0.3996108174).addingProduct(p, square)
  p = Float(0.6666694880).addingProduct(p, square)
  let e = Float(exponent)
  let (ln2, ln2Low): (Float, Float) = (0.69314718246459960938, -1.904654323148236017e-09)
  var high = ln2 * e
  var low = ((-high).addingProduct(ln2, e)).addingProduct(ln2Low, e)
  var sum = high + t * 2
  low = (((high - sum) + t * 2) + low) + tLow * 2
  high = sum
  let cubic = square * t * p
  sum = high + cubic
  low = ((high - sum) + cubic) + low
  return sum + low
}

/// log-softmax of each row.
public func logSoftmax(_ logits: Matrix) -> Matrix {
  var y = logits
  for row in 0..<logits.rows {
    let values = (0..<logits.columns).map { logits[row, $0] }
    let largest = values.contains(where: \.isNaN) ? Float.nan : values.max()!
    let logSum = logarithm(sumInLanes(values.map { exponential($0 - largest) }))
    for column in 0..<logits.columns { y[row, column] = (values[column] - largest) - logSum }
  }
  return y
}

/// Eight lanes that take every eighth value, folded; fewer than eight values left to right.
private func sumInLanes(_ values: [Float]) -> Float {
  if values.count < 8 { return values.dropFirst().reduce(values[0], +) }
  var lanes = Array(values[..<8])
  for index in 8..<max(8, values.count) { lanes[index % 8] += values[index] }
  for lane in 0..<4 { lanes[lane] += lanes[lane + 4] }
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

/// The mean of -y[label]: eight sums in base 16.
public func negativeLogLikelihood(_ y: Matrix, _ labels: [Int]) -> Float {
  var sums = [Float](repeating: 0, count: 8)
  for row in 0..<y.rows {
    sums[0] -= y[row, labels[row]]
    for level in 0..<7 {
      if row >> (4 * level) & 15 != 0 { break }
      sums[level + 1] += sums[level]
      sums[level] = 0
    }
  }
  return sums.reduce(0, +) / Float(y.rows)
}

/// The gradient of the mean loss with respect to the logits.
public func crossEntropyGradient(_ y: Matrix, _ labels: [Int]) -> Matrix {
  var gradient = y
  let share = -1 / Float(y.rows)
  for row in 0..<y.rows {
    for column in 0..<y.columns {
      let own = column == labels[row] ? share : 0
      gradient[row, column] = own.addingProduct(-exponential(y[row, column]), share)
    }
  }
  return gradient
}

/// The sum of each column.
public func columnSums(_ g: Matrix) -> [Float] {
  func run(_ values: [Float]) -> Float {
    var bits = 0
    while values.count > 1 << bits { bits += 1 }
    let block = max(4, bits / 4)
    var sums: [Float] = [0, 0, 0, 0]
    var index = 0
    while index + 1 << block <= values.count {
      for _ in 0..<(1 << block) {
        sums[0] += values[index]
        index += 1
      }
      for level in 1..<4 {
        sums[level] += sums[level - 1]
        sums[level - 1] = 0
        if index >> (level * block) & (1 << block - 1) != 0 { break }
      }
    }
    for value in values[index...] { sums[0] += value }
    return ((sums[0] + sums[1]) + sums[2]) + sums[3]
  }
  func fourRuns(_ values: [Float]) -> Float {
    let quarter = values.count / 4
    var sums = (0..<4).map { part in run((0..<quarter).map { values[$0 * 4 + part] }) }
    for value in values[(quarter * 4)...] { sums[0] += value }
    return ((sums[0] + sums[1]) + sums[2]) + sums[3]
  }
  if g.columns == 1 && g.rows >= 8 {
    let vectors = g.rows / 8
    var total: Float = 0
    for value in g.values[(vectors * 8)...] { total += value }
    for lane in 0..<8 { total += fourRuns((0..<vectors).map { g.values[$0 * 8 + lane] }) }
    return [0 + total]
  }
  let inOneRun = g.columns >= 8 ? g.columns / 32 * 32 : g.columns / 4 * 4
  return (0..<g.columns).map { column in
    let values = (0..<g.rows).map { g[$0, column] }
    return 0 + (column < inOneRun && g.columns > 1 ? run(values) : fourRuns(values))
  }
}

/// The options of torch.optim.SGD.
public struct ReferenceSGD: Sendable {
  public var rate = 0.1
  public var momentum = 0.9
  public var dampening = 0.0
  public var weightDecay = 0.0
  public var nesterov = false
  public var maximize = false

  public init() {}

  /// Updates parameters and momentum; `buffer` is nil before the first step.
  public func update(_ p: inout [Float], _ buffer: inout [Float]?, _ gradient: [Float]) {
    var updated = [Float]()
    for index in p.indices {
      var g = maximize ? -gradient[index] : gradient[index]
      if weightDecay != 0 { g = g.addingProduct(p[index], Float(weightDecay)) }
      if momentum != 0 {
        var velocity = g
        if let buffer {
          velocity = (buffer[index] * Float(momentum)).addingProduct(g, Float(1 - dampening))
        }
        updated.append(velocity)
        g = nesterov ? g.addingProduct(velocity, Float(momentum)) : velocity
      }
      p[index] = p[index].addingProduct(g, Float(-rate))
    }
    if momentum != 0 { buffer = updated }
  }
}
