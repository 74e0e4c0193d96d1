// The table of kernels that this compilation of the folder exports.

public import CKernels

#if TLN_AVX512
  /// What runs often and gains from wide vectors is compiled for AVX-512; the rest is AVX2's, which works
  /// on any stride.
  @_cdecl("tlnk_kernels_avx512")
  public func kernelsForAVX512(_ out: UnsafeMutablePointer<tlnk_kernels>) {
    out.pointee = kernelsForAVX2()
    out.pointee.lanes = Lanes.count
    out.pointee.unit_lanes = Lanes.count
    out.pointee.stride = { strideForHidden($0) }
    out.pointee.sparse_u8.forward = { step, first, last in
      if isDots(step!) {
        kernelsForAVX2().sparse_u8.forward(step, first, last)
      } else {
        sparseForward(Byte.self, step!, first: first, last: last)
      }
    }
    out.pointee.add_panels = { addPanels($0!, first: $1, last: $2) }
    out.pointee.logits = { step, first, last in
      let s = step!.pointee
      if dotsAreInterleaved(rows: s.batch, columns: s.outputs, terms: s.hidden) {
        interleavedDotLogits(s, first: first, last: last)
      } else {
        kernelsForAVX2().logits(step, first, last)
      }
    }
    out.pointee.hidden_gradient = { step, first, last in
      if HiddenGradient.isSequence(step!) {
        kernelsForAVX2().hidden_gradient(step, first, last)
      } else {
        forEachTile(HiddenGradient.self, step!, first: first, last: last)
      }
    }
    out.pointee.output_update = { step, first, last in
      if OutputUpdate.isSequence(step!) {
        kernelsForAVX2().output_update(step, first, last)
      } else {
        forEachTile(OutputUpdate.self, step!, first: first, last: last)
      }
    }
    // These take no samples apart; those for floats are AVX2's, which do.
    out.pointee.sparse_u8.rows_without_g1 = longestPanel
    out.pointee.sparse_u8.update = { step, first, last in
      if HiddenUpdate<Byte>.isSequence(step!) {
        kernelsForAVX2().sparse_u8.update(step, first, last)
      } else {
        forEachTile(HiddenUpdate<Byte>.self, step!, first: first, last: last)
      }
    }
    out.pointee.dense.forward = { step, first, last in
      if isDots(step!) && denseDotsApply(step!) {
        denseDots(step!, first: first, last: last)
      } else if isDots(step!) {
        forEachWideTile(HiddenForwardDots<Real>.self, step!, first: first, last: last)
      } else {
        denseForward(step!, first: first, last: last)
      }
    }
    out.pointee.dense.transpose = { packFeatures($0!, first: $1, last: $2) }
    out.pointee.packed_features = packedFeatures
    out.pointee.dense.update = { step, first, last in
      if HiddenUpdate<Real>.isSequence(step!) {
        kernelsForAVX2().dense.update(step, first, last)
      } else {
        denseUpdate(step!, first: first, last: last)
      }
    }
  }

  private func kernelsForAVX2() -> tlnk_kernels {
    var table = tlnk_kernels()
    tlnk_kernels_avx2(&table)
    return table
  }
#else
  #if TLN_AVX2
    @_cdecl("tlnk_kernels_avx2")
    public func kernelsForAVX2(_ out: UnsafeMutablePointer<tlnk_kernels>) { fill(out) }
  #else
    @_cdecl("tlnk_kernels_baseline")
    public func kernelsForBaseline(_ out: UnsafeMutablePointer<tlnk_kernels>) { fill(out) }
  #endif

  private func fill(_ out: UnsafeMutablePointer<tlnk_kernels>) {
    let sparse = tlnk_hidden_kernels(
      forward: { step, first, last in
        if isDots(step!) {
          forEachWideTile(HiddenForwardDots<Real>.self, step!, first: first, last: last)
        } else {
          sparseForward(Real.self, step!, first: first, last: last)
        }
      },
      transpose: { step, first, last in
        if isDots(step!) { findPresent(Real.self, step!, first: first, last: last) }
        transposePresent(step!, first: first, last: last)
      },
      update: { forEachTile(HiddenUpdate<Real>.self, $0!, first: $1, last: $2) },
      rows_without_g1: sparseRowsWithoutGradient)
    var dense = tlnk_hidden_kernels()
    #if TLN_AVX2 || arch(arm64)
      dense.forward = { step, first, last in
        if isDots(step!) && denseDotsApply(step!) {
          denseDots(step!, first: first, last: last)
        } else if isDots(step!) {
          forEachWideTile(HiddenForwardDots<Real>.self, step!, first: first, last: last)
        } else {
          denseForward(step!, first: first, last: last)
        }
      }
      dense.rows_without_g1 = longestPanel
      dense.transpose = { packFeatures($0!, first: $1, last: $2) }
      dense.update = { step, first, last in
        if HiddenUpdate<Real>.isSequence(step!) {
          forEachTile(HiddenUpdate<Real>.self, step!, first: first, last: last)
        } else {
          denseUpdate(step!, first: first, last: last)
        }
      }
    #endif
    out.pointee = tlnk_kernels(
      lanes: Lanes.count,
      unit_lanes: Lanes.count,
      stride: { strideForHidden($0) },
      sparse_u8: tlnk_hidden_kernels(
        forward: { step, first, last in
          if isDots(step!) {
            forEachVector(HiddenForwardDots<Byte>.self, step!, first: first, last: last)
          } else {
            sparseForward(Byte.self, step!, first: first, last: last)
          }
        },
        transpose: { step, first, last in
          if isDots(step!) { findPresent(Byte.self, step!, first: first, last: last) }
          transposePresent(step!, first: first, last: last)
        },
        update: { forEachTile(HiddenUpdate<Byte>.self, $0!, first: $1, last: $2) },
        rows_without_g1: sparseRowsWithoutGradient),
      sparse_f32: sparse,
      dense: dense,
      packed_features: packedFeatures,
      packed_rows_without_g1: packedPanelsAtOnce &* longestPanel,
      to_floats: { valuesOfBytes($0!, $1!, count: $2) },
      add_panels: { addPanels($0!, first: $1, last: $2) },
      panel_length: {
        forwardIsDots(rows: $0, columns: $1, terms: $2) ? 0 : panelLength($2)
      },
      logits: { logits($0!.pointee, first: $1, last: $2) },
      loss: { loss($0!.pointee, first: $1, last: $2) },
      logits_need_w2_t: { logitsNeedTransposedWeights(batch: $0, hidden: $1, outputs: $2) ? 1 : 0 },
      transpose_w2: { transposeOutputWeights($0!.pointee, first: $1, last: $2) },
      hidden_gradient: { forEachTile(HiddenGradient.self, $0!, first: $1, last: $2) },
      output_update: { forEachTile(OutputUpdate.self, $0!, first: $1, last: $2) },
      bias_update: { step, _, _ in biasUpdate(step!) })
  }
#endif

private func isDots(_ step: UnsafePointer<tlnk_step>) -> Bool {
  let s = step.pointee
  return forwardIsDots(rows: s.batch, columns: s.hidden, terms: s.inputs)
}

private func sparseForward<F: Feature>(
  _ feature: F.Type, _ step: UnsafePointer<tlnk_step>, first: Int, last: Int
) {
  findPresent(feature, step, first: first, last: last)
  forEachTile(HiddenForward<F>.self, step, first: first, last: last)
}
