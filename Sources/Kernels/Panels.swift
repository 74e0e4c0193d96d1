// Where PyTorch's matrix products (MKL's, for AVX2) cut a sum: each panel is a chain of fused
// multiply-adds that starts at zero, and the panels' sums are added one after the other.

/// The length of the panels into which a sum of `count` terms is cut. The last one may be shorter.
@inline(__always)
func panelLength(_ count: Int) -> Int {
  count <= 192 ? count : count < 384 ? count / 2 : 192
}
