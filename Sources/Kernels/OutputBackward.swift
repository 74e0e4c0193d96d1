// The second layer backward: the gradient that goes back to the hidden units, and its own update.

import CKernels

/// d_h for samples first ..< last: d_logits w2, and zero where the unit was not active.
enum HiddenGradient: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    var sample = first
    while sample < last {
      // The next one, if two at once are possible.
      let next = T.fitsTwice && sample &+ 1 < last ? sample &+ 1 : sample
      #if TLN_AVX512
        // The table has only panels done here.
        panels(tile, step, column, sample, next)
      #else
        if isSequence(step) {
          let place = sample &* step.pointee.stride &+ column
          let target = step.pointee.d_h! + place
          sequences(step, column, T.width, sample, target)
          storeWhereActive(tile, target, step.pointee.h! + place, target)
        } else {
          panels(tile, step, column, sample, next)
        }
      #endif
      sample = next &+ 1
    }
  }

  static func isSequence(_ step: UnsafePointer<tlnk_step>) -> Bool {
    let s = step.pointee
    return backwardIsSequence(rows: s.batch, columns: s.hidden, terms: s.outputs)
  }

  /// One sample, and for tiles that fit twice another one, which shares what is loaded of w2.
  @inline(never)
  private static func panels<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, _ column: Int, _ sample: Int, _ next: Int
  ) {
    let (outputs, stride, capacity) = (step.pointee.outputs, step.pointee.stride, step.pointee.capacity)
    let (h, d_h) = (UnsafePointer(step.pointee.h!) + column, step.pointee.d_h! + column)
    let (place, nextPlace) = (sample &* stride, next &* stride)
    let panel = panelLength(outputs)
    var gradients = UnsafePointer(step.pointee.d_logits!) + sample
    var weights = UnsafePointer(step.pointee.w2!) + column
    var (memory, nextMemory) = (zeroSums(), zeroSums())
    withUnsafeMutableBytes(of: &memory) { memory in
      withUnsafeMutableBytes(of: &nextMemory) { nextMemory in
        let (sums, nextSums) = (Sums<T>(memory), Sums<T>(nextMemory))
        var start = 0
        while start < outputs {
          let end = start &+ panel < outputs ? start &+ panel : outputs
          sums.clear()
          if T.fitsTwice { nextSums.clear() }
          for _ in start..<end {
            sums.addProduct(gradients[0], weights)
            if T.fitsTwice { nextSums.addProduct(gradients[next &- sample], weights) }
            gradients += capacity
            weights += stride
          }
          if start > 0 {
            sums.add(d_h + place)
            if T.fitsTwice { nextSums.add(d_h + nextPlace) }
          }
          if end < outputs {
            sums.store(at: d_h + place)
            if T.fitsTwice { nextSums.store(at: d_h + nextPlace) }
          }
          start = end
        }
        storeWhereActive(tile, sums.memory, h + place, d_h + place)
        if T.fitsTwice { storeWhereActive(tile, nextSums.memory, h + nextPlace, d_h + nextPlace) }
      }
    }
  }

  /// A unit that is NaN passes its gradient on, as in PyTorch.
  @inline(__always)
  private static func storeWhereActive<T: Tile>(
    _ tile: T.Type, _ sums: UnsafePointer<Float>, _ h: UnsafePointer<Float>,
    _ target: UnsafeMutablePointer<Float>
  ) {
    T.forEachVector {
      let isInactive = Lanes(at: h + $0) .<= Lanes(repeating: 0)
      Lanes(at: sums + $0).replacing(with: 0, where: isInactive).store(at: target + $0)
    }
  }

  /// With rounded products; a single hidden unit is a dot.
  @inline(never)
  private static func sequences(
    _ step: UnsafePointer<tlnk_step>, _ column: Int, _ width: Int, _ sample: Int,
    _ target: UnsafeMutablePointer<Float>
  ) {
    let s = step.pointee
    let row = s.first_row &+ sample
    func product(_ output: Int, _ unit: Int) -> Float {
      s.d_logits![output &* s.capacity &+ sample] * s.w2![output &* s.stride &+ unit]
    }
    if s.hidden == 1 {
      let order = DotOrder(rows: s.batch, columns: 1, terms: s.outputs, row: row, column: 0)
      target[0] = laneSum(order, terms: s.outputs) { product($0, 0) }
      return
    }
    let grouped = groupedColumns(row: row, rows: s.batch, columns: s.hidden, terms: s.outputs)
    var offset = 0
    while offset < width {
      var sum = Lanes(repeating: 0)
      for output in 0..<s.outputs {
        let factor = Lanes(repeating: s.d_logits![output &* s.capacity &+ sample])
        let product = factor * Lanes(at: s.w2! + (output &* s.stride &+ column &+ offset))
        sum = s.outputs == 1 && s.batch > 1 ? product : sum + product
      }
      sum.store(at: target + offset)
      offset &+= Lanes.count
    }
    var unit = column
    while unit < grouped && unit < column &+ width {
      target[unit &- column] = sequenceInGroups(count: s.outputs) { product($0, unit) }
      unit &+= 1
    }
  }
}

/// Gradient and update of w2 for outputs first ..< last.
enum OutputUpdate: TileKernel {
  static func run<T: Tile>(
    _ tile: T.Type, _ step: UnsafePointer<tlnk_step>, column: Int, first: Int, last: Int
  ) {
    var (memory, nextMemory) = (zeroSums(), zeroSums())
    withUnsafeMutableBytes(of: &memory) { memory in
      withUnsafeMutableBytes(of: &nextMemory) { nextMemory in
        let (gradient, nextGradient) = (Sums<T>(memory).memory, Sums<T>(nextMemory).memory)
        var output = first
        while output < last {
          #if TLN_AVX512
            let isSequence = avx512HasSequences
          #else
            let isSequence = isSequence(step)
          #endif
          let place = Place(step, column, output)
          // The next output's, if two at once are possible.
          var next = place
          if isSequence {
            sequence(step, column, T.width, output, gradient)
          } else {
            if T.fitsTwice && output &+ 1 < last { next = Place(step, column, output &+ 1) }
            panels(tile, place, next, gradient, nextGradient)
          }
          place.updateWeights(gradient, width: T.width)
          if next.output > output { next.updateWeights(nextGradient, width: T.width) }
          output = next.output &+ 1
        }
      }
    }
  }

  static func isSequence(_ step: UnsafePointer<tlnk_step>) -> Bool {
    let s = step.pointee
    return updateIsSequence(rows: s.outputs, columns: s.hidden, terms: s.rows)
  }

  #if TLN_AVX512
    /// Table.swift leaves those to AVX2. Not in place, where the compiler warns of code that never runs.
    private static var avx512HasSequences: Bool { false }
  #endif

  /// The gradients of an output's weights and, for tiles that fit twice, of the next one's, which share what is
  /// loaded of h.
  @inline(never)
  private static func panels<T: Tile>(
    _ tile: T.Type, _ place: Place, _ next: Place, _ gradient: UnsafeMutablePointer<Float>,
    _ nextGradient: UnsafeMutablePointer<Float>
  ) {
    let (factors, nextFactors) = (place.factors, next.factors)
    var (memory, nextMemory) = (zeroSums(), zeroSums())
    withUnsafeMutableBytes(of: &memory) { memory in
      withUnsafeMutableBytes(of: &nextMemory) { nextMemory in
        let (sums, nextSums) = (Sums<T>(memory), Sums<T>(nextMemory))
        place.forEachPanel { start, end in
          sums.clear()
          if T.fitsTwice { nextSums.clear() }
          for sample in start..<end {
            let h = place.h(sample)
            sums.addProduct(factors[sample], h)
            if T.fitsTwice { nextSums.addProduct(nextFactors[sample], h) }
          }
          if start > 0 {
            sums.add(gradient)
            if T.fitsTwice { nextSums.add(nextGradient) }
          }
          sums.store(at: gradient)
          if T.fitsTwice { nextSums.store(at: nextGradient) }
        }
      }
    }
  }

  /// With rounded products, for batches of one row and very small layers.
  @inline(never)
  private static func sequence(
    _ step: UnsafePointer<tlnk_step>, _ column: Int, _ width: Int, _ output: Int,
    _ gradient: UnsafeMutablePointer<Float>
  ) {
    let s = step.pointee
    let factors = s.d_logits! + output &* s.capacity
    var offset = 0
    while offset < width {
      var sum = Lanes(repeating: 0)
      for sample in 0..<s.rows {
        let product =
          Lanes(repeating: factors[sample])
          * Lanes(at: s.h! + (sample &* s.stride &+ column &+ offset))
        // A single product stays as it is, also if it is -0; but one row or column is added to 0.
        sum = s.rows == 1 && s.outputs > 1 && s.hidden > 1 ? product : sum + product
      }
      sum.store(at: gradient + offset)
      offset &+= Lanes.count
    }
    let grouped = groupedColumns(row: output, rows: s.outputs, columns: s.hidden, terms: s.rows)
    var unit = column
    while unit < grouped && unit < column &+ width {
      gradient[unit &- column] = sequenceInGroups(count: s.rows) {
        factors[$0] * s.h![$0 &* s.stride &+ unit]
      }
      unit &+= 1
    }
  }
}

/// The weights of an output that belong to a tile, and the factors of their gradients.
private struct Place {
  let step: UnsafePointer<tlnk_step>
  let column, output: Int

  @inline(__always)
  init(_ step: UnsafePointer<tlnk_step>, _ column: Int, _ output: Int) {
    (self.step, self.column, self.output) = (step, column, output)
  }

  @inline(__always)
  var factors: UnsafePointer<Float> {
    UnsafePointer(step.pointee.d_logits!) + output &* step.pointee.capacity
  }

  @inline(__always)
  func h(_ sample: Int) -> UnsafePointer<Float> {
    UnsafePointer(step.pointee.h!) + (sample &* step.pointee.stride &+ column)
  }

  @inline(__always)
  func forEachPanel(_ body: (Int, Int) -> Void) {
    let rows = step.pointee.rows
    let length = panelLength(rows)
    var start = 0
    while start < rows {
      let end = start &+ length < rows ? start &+ length : rows
      body(start, end)
      start = end
    }
  }

  @inline(__always)
  func updateWeights(_ gradient: UnsafePointer<Float>, width: Int) {
    let offset = output &* step.pointee.stride &+ column
    update(gradient, step.pointee.w2! + offset, step.pointee.v2! + offset, count: width, step)
  }
}
