// Looking for NaN and infinity in numbers from outside.

/// The index of the first value that is NaN or infinite.
func firstNonFinite(_ values: UnsafeBufferPointer<Float>) -> Int? {
  // 0 * x is NaN exactly for those, and a sum that was NaN once stays NaN: four sums, no branches.
  let wide = values.count / 16 * 16
  var sums = SIMD16<Float>(repeating: 0)
  var index = 0
  while index < wide {
    let lanes = UnsafeRawPointer(values.baseAddress! + index).loadUnaligned(as: SIMD16<Float>.self)
    sums = sums + lanes * SIMD16<Float>(repeating: 0)
    index &+= 16
  }
  var isSuspicious = false
  for lane in 0..<16 where sums[lane] != 0 { isSuspicious = true }
  for index in wide..<values.count where !values[index].isFinite { isSuspicious = true }
  if !isSuspicious { return nil }
  for index in 0..<values.count where !values[index].isFinite { return index }
  return nil
}

/// Refuses rows that hold NaN or infinity.
func checkFinite(_ values: UnsafeBufferPointer<Float>, columns: Int) throws(Failure) {
  if let index = firstNonFinite(values) {
    throw .invalidArgument(
      "the feature in row \(index / columns), column \(index % columns) is not finite")
  }
}
