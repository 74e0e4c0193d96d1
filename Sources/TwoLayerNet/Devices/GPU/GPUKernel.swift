// The names of the GPU kernels. Their text is in Sources/CGPUKernels; what they are launched with is in
// GPUPlan.swift.

import CGPUKernels

/// A kernel; every one takes a `tlng_step` by value and runs in groups of `threadsPerGroup` threads.
enum GPUKernel: Int, CaseIterable {
  /// The three that a step of moderate size is made of.
  case hidden, output, update
  /// Those that do one of their products in large tiles.
  case hiddenTiled, logitsTiled, hiddenGradientTiled, updateTiled
  /// Those that do it for many rows with few outputs.
  case fewLogits, fewHiddenGradient
  /// Many steps at once, on devices that run all its groups at the same time.
  case resident

  static var threadsPerGroup: Int { Int(TLNG_THREADS) }

  /// The function's name in the text of the kernels.
  var name: StaticString {
    switch self {
    case .hidden: "tlng_hidden"
    case .output: "tlng_output"
    case .update: "tlng_update"
    case .hiddenTiled: "tlng_hidden_tiled"
    case .logitsTiled: "tlng_logits_tiled"
    case .hiddenGradientTiled: "tlng_hidden_gradient_tiled"
    case .updateTiled: "tlng_update_tiled"
    case .fewLogits: "tlng_few_logits"
    case .fewHiddenGradient: "tlng_few_hidden_gradient"
    case .resident: "tlng_resident"
    }
  }
}
