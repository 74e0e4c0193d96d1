// In which order PyTorch's matrix products (MKL's, on AMD processors) add up their terms. This is the
// definition of the engine's arithmetic; every kernel follows it, and the plain reference of the tests
// writes it out element by element.
//
// A product C[M, N] = A[M, K] B[K, N] is added up in one of these orders:
//   panels      the K terms are cut into panels; within one, a chain of fused multiply-adds starts at 0;
//               the panels' sums are added to what is there (0, or the bias) one after the other
//   sequence    rounded products are added to a rounded sum one after the other
//   dots        some products one by one, then in lanes (see DotOrder), the bias at the end
// Which one depends on the sizes. Where it says "columns", the vectors of a kernel run along N.

/// A panel never has more terms.
@inline(__always) var longestPanel: Int { 192 }

/// The length of the panels into which a sum of `count` terms is cut. The last one may be shorter.
@inline(__always)
func panelLength(_ count: Int) -> Int {
  count <= longestPanel ? count : count < 2 &* longestPanel ? count / 2 : longestPanel
}

/// Into how many it is cut.
@inline(__always)
func panelCount(_ count: Int) -> Int {
  let length = panelLength(count)
  return (count &+ length &- 1) / length
}

/// Rows [M, K] times a weight [N, K]: whether the sums are dots (else panels).
@inline(__always)
func forwardIsDots(rows: Int, columns: Int, terms: Int) -> Bool {
  rows < 4 || columns < 12 || terms == 1
}

/// Gradients [M, K] times a weight [K, N]: whether the sums are sequences (else panels). With one column
/// (N = 1) they are dots.
@inline(__always)
func backwardIsSequence(rows: Int, columns: Int, terms: Int) -> Bool {
  rows < 4 || columns < 12 || terms == 1
}

/// Gradients [K, M] transposed times inputs [K, N], over the batch: whether sequences (else panels).
@inline(__always)
func updateIsSequence(rows: Int, columns: Int, terms: Int) -> Bool {
  rows < 4 || columns < 12 || terms == 1
}

/// Columns 0 ..< this of a row of a sequence product are added up in groups of eight (see
/// `sequenceInGroups`), because the row begins at an address that is not a multiple of 16 bytes.
@inline(__always)
func groupedColumns(row: Int, rows: Int, columns: Int, terms: Int) -> Int {
  if rows == 1 || columns == 1 || terms == 1 { return 0 }
  let head = misalignment(row &* columns)
  return columns >= 4 && columns >= head &+ 4 ? head : 0
}

/// How many floats from index `index` on to the next multiple of four.
@inline(__always)
private func misalignment(_ index: Int) -> Int { (4 &- index & 3) & 3 }

/// The sum of `count` products: whole groups of eight as ((p4+p5)+p6)+p7 + ((((s+p0)+p1)+p2)+p3), the
/// rest one by one.
func sequenceInGroups(count: Int, _ product: (Int) -> Float) -> Float {
  var sum: Float = 0
  var k = 0
  while k &+ 8 <= count {
    let high = ((product(k &+ 4) + product(k &+ 5)) + product(k &+ 6)) + product(k &+ 7)
    let low = (((sum + product(k)) + product(k &+ 1)) + product(k &+ 2)) + product(k &+ 3)
    sum = high + low
    k &+= 8
  }
  while k < count {
    sum = sum + product(k)
    k &+= 1
  }
  return sum
}

/// A sum in lanes: `prefix` products one by one into lane 0, then groups of `width` products, of which
/// product i goes to lane i mod `lanes` (4 or 8), then ((l0+l4)+(l2+l6))+((l1+l5)+(l3+l7)), then the rest
/// one by one.
struct DotOrder: Equatable {
  var prefix: Int
  var width: Int
  var lanes: Int

  /// With fewer products than the prefix and one group, all are added one by one.
  @inline(__always)
  private init(seeded: Bool, head: Int, width: Int, lanes: Int, terms: Int) {
    let seed = seeded ? 1 : 0
    prefix = terms &- seed >= head &+ width ? seed &+ head : terms
    self.width = width
    self.lanes = lanes
  }

  /// The order for one row and column of rows [M, K] times a weight [N, K], where it is dots.
  @inline(__always)
  init(rows: Int, columns: Int, terms: Int, row: Int, column: Int) {
    if rows > 1 && columns > 1 {
      let head = misalignment(row &* terms)
      let isTail = column >= columns & ~3
      self.init(
        seeded: false, head: head, width: isTail ? 8 : 4, lanes: isTail ? 8 : 4, terms: terms)
    } else {
      // A matrix and a vector: the elements of the result count as columns, be they rows or columns.
      let (count, index) = columns == 1 ? (rows, row) : (columns, column)
      let tail = index &- count & ~3
      if count > 1 && tail < 0 {
        self.init(seeded: true, head: misalignment(3 &* terms &+ 1), width: 4, lanes: 4, terms: terms)
      } else {
        self.init(
          seeded: true, head: 3, width: 8, lanes: count > 1 && tail & 1 == 1 ? 4 : 8, terms: terms)
      }
    }
  }

  /// One past the last product that goes into the lanes.
  @inline(__always)
  func lanesEnd(terms: Int) -> Int { prefix &+ (terms &- prefix) / width &* width }
}

/// A sum in a dot's order, element by element.
@inline(__always)
func laneSum(_ order: DotOrder, terms: Int, _ product: (Int) -> Float) -> Float {
  let end = order.lanesEnd(terms: terms)
  func chain(_ sum: Float, from start: Int, to end: Int, every spacing: Int) -> Float {
    var sum = sum
    var k = start
    while k < end {
      sum = sum + product(k)
      k &+= spacing
    }
    return sum
  }
  func lane(_ lane: Int) -> Float {
    let start = lane == 0 ? chain(0, from: 0, to: order.prefix, every: 1) : 0
    let sum = chain(start, from: order.prefix &+ lane, to: end, every: order.lanes)
    if order.lanes == 4 { return sum }
    return sum + chain(0, from: order.prefix &+ lane &+ 4, to: end, every: order.lanes)
  }
  let sum = (lane(0) + lane(2)) + (lane(1) + lane(3))
  return chain(sum, from: end, to: terms, every: 1)
}
