// The table of kernels that this compilation of the folder exports.

public import CKernels

#if TLN_AVX512
  /// What runs often and gains from wide vectors is compiled for AVX-512; the rest is AVX2's, which works
  /// on any stride.
  @_cdecl("tlnk_kernels_avx512")
  public func kernelsForAVX512(_ out: UnsafeMutablePointer<tlnk_kernels>) {
    out.pointee = kernelsForAVX2()
    out.pointee.lanes = Lanes.count
    out.pointee.stride = { strideForHidden($0) }
    out.pointee.hidden_u8 = { step, first, last in
      if isDots(step!) {
        kernelsForAVX2().hidden_u8(step, first, last)
      } else {
        forEachTile(HiddenForward<Byte>.self, step!, first: first, last: last)
      }
    }
    out.pointee.hidden_update_u8 = { step, first, last in
      if HiddenUpdate<Byte>.isSequence(step!) {
        kernelsForAVX2().hidden_update_u8(step, first, last)
      } else {
        forEachTile(HiddenUpdate<Byte>.self, step!, first: first, last: last)
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
    out.pointee = tlnk_kernels(
      lanes: Lanes.count,
      stride: { strideForHidden($0) },
      hidden_u8: { step, first, last in
        if isDots(step!) {
          forEachVector(HiddenForwardDots<Byte>.self, step!, first: first, last: last)
        } else {
          forEachTile(HiddenForward<Byte>.self, step!, first: first, last: last)
        }
      },
      hidden_f32: { step, first, last in
        if isDots(step!) {
          forEachFourVectors(HiddenForwardDots<Real>.self, step!, first: first, last: last)
        } else {
          forEachTile(HiddenForward<Real>.self, step!, first: first, last: last)
        }
      },
      logits: { logits($0!.pointee, first: $1, last: $2) },
      loss: { loss($0!.pointee, first: $1, last: $2) },
      logits_need_w2_t: { logitsNeedTransposedWeights(batch: $0, hidden: $1, outputs: $2) ? 1 : 0 },
      transpose_w2: { transposeOutputWeights($0!.pointee, first: $1, last: $2) },
      hidden_gradient: { forEachTile(HiddenGradient.self, $0!, first: $1, last: $2) },
      transpose_u8: { transposeBytes($0!.pointee, first: $1, last: $2) },
      transpose_f32: { transposeFloats($0!.pointee, first: $1, last: $2) },
      hidden_update_u8: { forEachTile(HiddenUpdate<Byte>.self, $0!, first: $1, last: $2) },
      hidden_update_f32: { forEachTile(HiddenUpdate<Real>.self, $0!, first: $1, last: $2) },
      output_update: { forEachTile(OutputUpdate.self, $0!, first: $1, last: $2) },
      bias_update: { step, _, _ in biasUpdate(step!) })
  }
#endif

private func isDots(_ step: UnsafePointer<tlnk_step>) -> Bool {
  let s = step.pointee
  return forwardIsDots(rows: s.batch, columns: s.hidden, terms: s.inputs)
}
