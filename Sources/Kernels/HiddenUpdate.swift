// The first layer backward: for each feature the sum over the samples in which it is not zero of feature
// times gradient, and the update of that feature's weights. The gradient of the whole layer never exists.

import CKernels

/// The update of more rows needs g1, because it may take so many at a time: on AVX2 the bits of a word.
var sparseRowsWithoutGradient: Int {
  #if TLN_AVX2
    64
  #else
    longestPanel
  #endif
}

/// Gradient and update of w1 for inputs first ..< last.
enum HiddenUpdate<F: Feature>: TileKernel {
  @inline(__always) static var usesHalves: Bool { true }

  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    #if TLN_AVX512
      // The table has only panels done here.
      panels(tile, step, column, first, last)
    #else
      if isSequence(step) {
        sequences(step, column, T.width, first, last)
      } else {
        panels(tile, step, column, first, last)
      }
    #endif
  }

  static func isSequence(_ step: UnsafePointer<tlnk_step>) -> Bool {
    let s = step.pointee
    return updateIsSequence(rows: s.hidden, columns: s.inputs, terms: s.rows)
  }

  private static func panels<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int
  ) {
    let rows = step.pointee.rows
    let length = panelLength(rows)
    if T.isLarge && length == rows && rows > sparseRowsWithoutGradient {
      cutPanel(tile, step, column, first, last)
      return
    }
    var start = 0
    while start < rows {
      let end = start &+ length < rows ? start &+ length : rows
      part(tile, Place(step, column, start, end, moved: 0), first, last, continues: false, closes: true)
      start = end
    }
  }

  /// The only panel, if its gradients are more than the first-level cache holds beside other things. Between
  /// the parts the chains wait in g1, where one group of features after the other takes the first one's place.
  private static func cutPanel<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ first: Int, _ last: Int
  ) {
    let (rows, length) = (step.pointee.rows, sparseRowsWithoutGradient)
    var group = first
    while group < last {
      let groupEnd = group &+ 112 < last ? group &+ 112 : last
      var start = 0
      while start < rows {
        let end = start &+ length < rows ? start &+ length : rows
        part(
          tile, Place(step, column, start, end, moved: group &- first), group, groupEnd,
          continues: start > 0, closes: end == rows)
        start = end
      }
      group = groupEnd
    }
  }

  /// The part of a panel that `place` tells, whose chains begin or continue here.
  @inline(never)
  private static func part<T: Tile>(
    _ tile: T.Type, _ place: Place, _ first: Int, _ last: Int, continues: Bool, closes: Bool
  ) {
    var (memory, nextMemory) = (zeroSums(), zeroSums())
    withUnsafeMutableBytes(of: &memory) { memory in
      withUnsafeMutableBytes(of: &nextMemory) { nextMemory in
        let (sums, nextSums) = (Sums<T>(memory), Sums<T>(nextMemory))
        var input = first
        while input < last {
          if T.fitsTwice {
            pair(sums, nextSums, place, input)
            place.finish(sums, input, isFirst: place.start == 0)
            if input &+ 1 < last { place.finish(nextSums, input &+ 1, isFirst: place.start == 0) }
            input &+= 2
          } else {
            if continues { sums.load(place.gradient(input)) } else { sums.clear() }
            single(sums, place, input)
            if closes {
              place.finish(sums, input, isFirst: continues || place.start == 0)
            } else {
              sums.store(at: place.gradient(input))
            }
            input &+= 1
          }
        }
      }
    }
  }

  /// Continues the sums of one feature.
  @inline(__always)
  private static func single<T: Tile>(_ sums: Sums<T>, _ place: Place, _ input: Int) {
    let present = place.present + input &* place.words
    let features = place.features + input &* MemoryLayout<F.Element>.stride
    place.forEachWord { word, wanted in
      var mask = present[word] & wanted
      while mask != 0 {
        let sample = word &* 64 &+ mask.trailingZeroBitCount
        mask &= mask &- 1
        let feature = (features + sample &* place.rowStride).assumingMemoryBound(to: F.Element.self)
        sums.addProduct(
          F.value(feature[0], place.byteValues), place.gradients + sample &* place.stride)
      }
    }
  }

  /// The sums of two neighbouring features, over the samples that have either. Most that have one have the
  /// other too; a product with zero changes nothing.
  @inline(__always)
  private static func pair<T: Tile>(
    _ sums: Sums<T>, _ nextSums: Sums<T>, _ place: Place, _ input: Int
  ) {
    sums.clear()
    nextSums.clear()
    let present = place.present + input &* place.words
    let features = place.features + input &* MemoryLayout<F.Element>.stride
    place.forEachWord { word, wanted in
      var mask = (present[word] | present[word &+ place.words]) & wanted
      while mask != 0 {
        let sample = word &* 64 &+ mask.trailingZeroBitCount
        mask &= mask &- 1
        let feature = (features + sample &* place.rowStride).assumingMemoryBound(to: F.Element.self)
        let values = (F.value(feature[0], place.byteValues), F.value(feature[1], place.byteValues))
        let row = place.gradients + sample &* place.stride
        let (x, nextX) = (Lanes(repeating: values.0), Lanes(repeating: values.1))
        T.forEachVector {
          let gradient = Lanes(at: row + $0)
          fma(x, gradient, Lanes(at: sums.memory + $0)).store(at: sums.memory + $0)
          fma(nextX, gradient, Lanes(at: nextSums.memory + $0)).store(at: nextSums.memory + $0)
        }
        T.forHalf {
          let (x, nextX) = (HalfLanes(repeating: values.0), HalfLanes(repeating: values.1))
          let gradient = HalfLanes(at: row + $0)
          fma(x, gradient, HalfLanes(at: sums.half)).store(at: sums.half)
          fma(nextX, gradient, HalfLanes(at: nextSums.half)).store(at: nextSums.half)
        }
      }
    }
  }

  /// The same with rounded products, for a batch of one row and for very small layers.
  @inline(never)
  private static func sequences(
    _ step: UnsafePointer<tlnk_step>, _ column: Int, _ width: Int, _ first: Int, _ last: Int
  ) {
    let s = step.pointee
    for input in first..<last {
      let offset = input &* s.stride &+ column
      var unit = column
      while unit < column &+ width {
        var sum = Lanes(repeating: 0)
        for sample in 0..<s.rows {
          let factor = Lanes(repeating: s.feature(sample, input, F.self))
          let product = factor * Lanes(at: s.d_h! + (sample &* s.stride &+ unit))
          // A single product stays as it is, also if it is -0; but one row or column is added to 0.
          sum = s.rows == 1 && s.hidden > 1 && s.inputs > 1 ? product : sum + product
        }
        for lane in 0..<Lanes.count
        where groupedColumns(row: unit &+ lane, rows: s.hidden, columns: s.inputs, terms: s.rows) > input
        {
          sum[lane] = sequenceInGroups(count: s.rows) {
            s.d_h![$0 &* s.stride &+ unit &+ lane] * s.feature($0, input, F.self)
          }
        }
        withUnsafeBytes(of: &sum) {
          update(
            $0.baseAddress!.assumingMemoryBound(to: Float.self), s.w1! + (offset &+ unit &- column),
            s.v1! + (offset &+ unit &- column), count: Lanes.count, step)
        }
        unit &+= Lanes.count
      }
    }
  }
}

/// What the features of a panel have in common.
private struct Place {
  let step: UnsafePointer<tlnk_step>
  let column, start, end: Int
  /// How many features before their own the sums wait.
  let moved: Int
  /// Words in a row of `present`.
  let words: Int
  let present: UnsafeMutablePointer<UInt64>
  let features: UnsafeRawPointer
  let gradients: UnsafePointer<Float>
  let byteValues: UnsafePointer<Float>
  let stride, rowStride: Int
  /// The words of 64 samples that the panel touches, and which bits of the first and the last belong to it.
  let firstWord, lastWord: Int
  let firstBits, lastBits: UInt64
  let updatesPlainly: Bool
  let minusRate, momentum: Float

  @inline(__always)
  init(_ step: UnsafePointer<tlnk_step>, _ column: Int, _ start: Int, _ end: Int, moved: Int) {
    self.moved = moved
    let s = step.pointee
    (self.step, self.column, self.start, self.end) = (step, column, start, end)
    words = s.capacity / 64
    present = s.present_t!
    features = s.x!
    gradients = UnsafePointer(s.d_h!) + column
    byteValues = s.byte_values!
    (stride, rowStride) = (s.stride, s.x_stride)
    (firstWord, lastWord) = (start / 64, (end &- 1) / 64)
    firstBits = ~lowBits(start & 63)
    lastBits = lowBits(end &- lastWord &* 64)
    updatesPlainly = isPlain(step)
    (minusRate, momentum) = (s.minus_learning_rate, s.momentum)
  }

  /// Calls for each word that the panel touches, and the bits of it that belong to the panel.
  @inline(__always)
  func forEachWord(_ body: (Int, UInt64) -> Void) {
    var word = firstWord
    var bits = firstBits
    while word < lastWord {
      body(word, bits)
      bits = ~0
      word &+= 1
    }
    body(word, bits & lastBits)
  }

  /// Where the sums of a feature wait.
  @inline(__always)
  func gradient(_ input: Int) -> UnsafeMutablePointer<Float> {
    step.pointee.g1! + ((input &- moved) &* stride &+ column)
  }

  /// Adds what earlier panels left, and keeps the sums for the next panel or updates the weights.
  @inline(__always)
  func finish<T: Tile>(_ sums: Sums<T>, _ input: Int, isFirst: Bool) {
    if !isFirst { sums.add(gradient(input)) }
    if end < step.pointee.rows {
      sums.store(at: gradient(input))
      return
    }
    let offset = input &* stride &+ column
    let (w, v) = (step.pointee.w1! + offset, step.pointee.v1! + offset)
    if updatesPlainly {
      T.forEachVector {
        updatePlain(
          Lanes(at: sums.memory + $0), w + $0, v + $0, Lanes(repeating: minusRate),
          Lanes(repeating: momentum))
      }
      T.forHalf {
        updatePlain(
          HalfLanes(at: sums.half), w + $0, v + $0, HalfLanes(repeating: minusRate),
          HalfLanes(repeating: momentum))
      }
    } else {
      // A copy, so that the sums themselves can stay in registers.
      var copy = zeroSums()
      withUnsafeMutableBytes(of: &copy) {
        let gradient = $0.baseAddress!.assumingMemoryBound(to: Float.self)
        sums.store(at: gradient)
        update(gradient, w, v, count: T.width, step)
      }
    }
  }
}
