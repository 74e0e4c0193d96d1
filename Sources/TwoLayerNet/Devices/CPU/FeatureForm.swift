// The form in which the kernels get a batch's features: as they are, for kernels that skip zeros, or as
// floats, for kernels that don't look at what they multiply. Which one is faster depends on how many zeros
// there are; the result is the same.

import CKernels

struct FeatureForm: Equatable {
  let source: FeatureType
  let isDense: Bool
  /// How many features lie side by side where the update reads them; 0 if it reads them where they are.
  let packedFeatures: Int
  /// Larger batches need room for the gradient of the first layer's weights.
  private(set) var rowsWithoutGradient = 0

  /// How the features lie in a workspace.
  var stored: FeatureType { isDense ? .f32 : source }

  /// The form for features of which this share is not zero, if the kernels have both.
  init(_ source: FeatureType, density: Float, hidden: Int, _ kernels: tlnk_kernels) {
    self.source = source
    let crossover = Self.crossover(source, hidden: hidden, kernels)
    isDense = kernels.dense.forward != nil && density >= crossover
    // With few hidden units the features are not read often enough, which is once for each tile.
    let worthwhile = kernels.lanes < 16 ? 256 : 1024
    packedFeatures = isDense && hidden >= worthwhile ? kernels.packed_features : 0
    rowsWithoutGradient =
      packedFeatures > 0 ? kernels.packed_rows_without_g1 : self.kernels(kernels).rows_without_g1
  }

  /// From which share of non-zero features on the dense kernels are faster, as measured. The widest vectors
  /// gain most from being dense, unless they go through narrower units; their sparse kernels are best for
  /// bytes and few tiles of hidden units.
  private static func crossover(_ source: FeatureType, hidden: Int, _ kernels: tlnk_kernels) -> Float {
    if kernels.lanes < 16 { return hidden > 200 ? 0.83 : 0.95 }
    if kernels.unit_lanes < 16 { return hidden > 224 ? 0.5 : hidden > 112 ? 0.68 : 0.85 }
    return source == .u8 && hidden <= 224 ? 0.58 : 0.38
  }

  /// The kernels for it.
  func kernels(_ kernels: tlnk_kernels) -> tlnk_hidden_kernels {
    isDense ? kernels.dense : source == .u8 ? kernels.sparse_u8 : kernels.sparse_f32
  }
}

/// The share of non-zero features in a few of the rows, spread over all: `limit` at most, and an eighth.
func sampledDensity(
  of source: FeatureType, rows: Int, columns: Int, limit: Int, row: (Int) -> UnsafeRawPointer
) -> Float {
  let count = min(max(rows / 8, 1), limit)
  var nonzero = 0
  for index in 0..<count {
    let features = row(index &* (rows / count))
    switch source {
    case .u8:
      let bytes = features.assumingMemoryBound(to: UInt8.self)
      for column in 0..<columns { nonzero &+= bytes[column] != 0 ? 1 : 0 }
    case .f32:
      let floats = features.assumingMemoryBound(to: Float.self)
      for column in 0..<columns { nonzero &+= floats[column] != 0 ? 1 : 0 }
    }
  }
  return Float(nonzero) / Float(count &* columns)
}
