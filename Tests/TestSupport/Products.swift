// The plain reference: the matrix products of a training step, element by element, in PyTorch's order of
// operations. It defines the engine's arithmetic; nothing here is meant to be fast.

/// A row-major matrix.
public struct Matrix: Equatable, Sendable {
  public var rows: Int
  public var columns: Int
  public var values: [Float]

  public init(_ rows: Int, _ columns: Int, _ values: [Float]) {
    precondition(values.count == rows * columns)
    (self.rows, self.columns, self.values) = (rows, columns, values)
  }

  public init(_ rows: Int, _ columns: Int) {
    self.init(rows, columns, [Float](repeating: 0, count: rows * columns))
  }

  public subscript(row: Int, column: Int) -> Float {
    get { values[row * columns + column] }
    set { values[row * columns + column] = newValue }
  }
}

/// In which order the terms of one sum are added.
enum SumOrder {
  /// Chains of fused multiply-adds over panels, each from 0, each then added.
  case panels(length: Int)
  /// Rounded products one by one.
  case sequence
  /// Groups of eight rounded products, (4+5+6+7) + (sum+0+1+2+3), the rest one by one.
  case groups
  /// The only product, as it is.
  case product
  /// `seed` first product taken as it is, `head` products one by one, groups of `width` products in
  /// `lanes`, the rest one by one; added to the bias.
  case dot(seed: Bool, head: Int, width: Int, lanes: Int)
}

private func panelLength(_ terms: Int) -> Int {
  if terms <= 192 { return terms }
  return terms < 384 ? terms / 2 : 192
}

/// How many floats lie between the address of element `index` and the next multiple of 16 bytes.
private func toAlignment(_ index: Int) -> Int { (4 - index % 4) % 4 }

private func sum(_ order: SumOrder, start: Float, terms: Int, _ a: (Int) -> Float, _ b: (Int) -> Float)
  -> Float
{
  switch order {
  case .panels(let length):
    var total = start
    var first = 0
    while first < terms {
      var panel: Float = 0
      for k in first..<min(first + length, terms) { panel = panel.addingProduct(a(k), b(k)) }
      total += panel
      first += length
    }
    return total
  case .sequence:
    var total = start
    for k in 0..<terms { total += a(k) * b(k) }
    return total
  case .groups:
    var total = start
    var k = 0
    while k + 8 <= terms {
      let p = (0..<8).map { a(k + $0) * b(k + $0) }
      total = (((p[4] + p[5]) + p[6]) + p[7]) + ((((total + p[0]) + p[1]) + p[2]) + p[3])
      k += 8
    }
    while k < terms {
      total += a(k) * b(k)
      k += 1
    }
    return total
  case .product:
    return a(0) * b(0)
  case .dot(let seed, let head, let width, let laneCount):
    var k = seed ? 1 : 0
    var total: Float = seed ? a(0) * b(0) : 0
    if terms - k >= head + width {
      for _ in 0..<head {
        total += a(k) * b(k)
        k += 1
      }
      var lanes = [Float](repeating: 0, count: laneCount)
      lanes[0] = total
      while k + width <= terms {
        for index in 0..<width { lanes[index % laneCount] += a(k + index) * b(k + index) }
        k += width
      }
      if laneCount == 8 { for lane in 0..<4 { lanes[lane] += lanes[lane + 4] } }
      total = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }
    while k < terms {
      total += a(k) * b(k)
      k += 1
    }
    return start + total
  }
}

/// A matrix times a vector: `count` results, of which this is number `index`.
private func vectorOrder(count: Int, index: Int, terms: Int) -> SumOrder {
  let whole = count / 4 * 4
  if count > 1 && index < whole {
    return .dot(seed: true, head: toAlignment(3 * terms + 1), width: 4, lanes: 4)
  }
  let isSecondOfPair = count > 1 && (index - whole) % 2 == 1
  return .dot(seed: true, head: 3, width: 8, lanes: isSecondOfPair ? 4 : 8)
}

/// y [M, N] = x [M, K] w [N, K] transposed + bias [N].
public func linearForward(_ x: Matrix, _ w: Matrix, _ bias: [Float]) -> Matrix {
  let (m, n, k) = (x.rows, w.rows, x.columns)
  var y = Matrix(m, n)
  for row in 0..<m {
    for column in 0..<n {
      let order: SumOrder
      if n == 1 {
        order = vectorOrder(count: m, index: row, terms: k)
      } else if m == 1 {
        order = vectorOrder(count: n, index: column, terms: k)
      } else if k == 1 {
        order = .sequence
      } else if m < 4 || n < 12 {
        let width = column < n / 4 * 4 ? 4 : 8
        order = .dot(seed: false, head: toAlignment(row * k), width: width, lanes: width)
      } else {
        order = .panels(length: panelLength(k))
      }
      y[row, column] = sum(order, start: bias[column], terms: k, { x[row, $0] }, { w[column, $0] })
    }
  }
  return y
}

/// dh [M, N] = g [M, K] w [K, N].
public func backwardToInput(_ g: Matrix, _ w: Matrix) -> Matrix {
  let (m, n, k) = (g.rows, w.columns, g.columns)
  var dh = Matrix(m, n)
  for row in 0..<m {
    for column in 0..<n {
      let order: SumOrder
      if n == 1 {
        order = vectorOrder(count: m, index: row, terms: k)
      } else if m == 1 {
        order = .sequence
      } else if k == 1 {
        order = .product
      } else if m < 4 || n < 12 {
        order = inGroups(row: row, column: column, columns: n) ? .groups : .sequence
      } else {
        order = .panels(length: panelLength(k))
      }
      dh[row, column] = sum(order, start: 0, terms: k, { g[row, $0] }, { w[$0, column] })
    }
  }
  return dh
}

/// dW [M, N] = g [K, M] transposed x [K, N], over the batch.
public func backwardToWeight(_ g: Matrix, _ x: Matrix) -> Matrix {
  let (m, n, k) = (g.columns, x.columns, g.rows)
  var dw = Matrix(m, n)
  for row in 0..<m {
    for column in 0..<n {
      let order: SumOrder
      if m == 1 || n == 1 {
        order = .sequence
      } else if k == 1 {
        order = .product
      } else if m < 4 || n < 12 {
        order = inGroups(row: row, column: column, columns: n) ? .groups : .sequence
      } else {
        order = .panels(length: panelLength(k))
      }
      dw[row, column] = sum(order, start: 0, terms: k, { g[$0, row] }, { x[$0, column] })
    }
  }
  return dw
}

/// The first columns of a row that does not begin at a multiple of 16 bytes are added up in groups.
private func inGroups(row: Int, column: Int, columns: Int) -> Bool {
  let head = toAlignment(row * columns)
  return column < head && columns >= 4 && columns >= head + 4
}
