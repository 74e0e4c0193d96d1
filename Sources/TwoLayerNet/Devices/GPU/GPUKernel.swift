// The names of the GPU kernels. Their text is in Sources/CGPUKernels; what they are launched with is in
// GPUPlan.swift.

import CGPUKernels

/// A kernel; every one takes a `tlng_step` by value and runs in groups of `threadsPerGroup` threads.
enum GPUKernel: Int, CaseIterable {
  // forward
  case hidden, hiddenTiled
  // from the hidden units to the gradient that goes back to them: at once, or in three
  case output
  case logitsTiled, loss, hiddenGradientTiled
  // gradients and updates
  case update
  case hiddenUpdateTiled, outputUpdate
  case outputUpdateTiled, biasUpdate

  static var threadsPerGroup: Int { Int(TLNG_THREADS) }

  /// The function's name in the text of the kernels.
  var name: StaticString {
    switch self {
    case .hidden: "tlng_hidden"
    case .hiddenTiled: "tlng_hidden_tiled"
    case .output: "tlng_output"
    case .logitsTiled: "tlng_logits_tiled"
    case .loss: "tlng_loss"
    case .hiddenGradientTiled: "tlng_hidden_gradient_tiled"
    case .update: "tlng_update"
    case .hiddenUpdateTiled: "tlng_hidden_update_tiled"
    case .outputUpdate: "tlng_output_update"
    case .outputUpdateTiled: "tlng_output_update_tiled"
    case .biasUpdate: "tlng_bias_update"
    }
  }
}
