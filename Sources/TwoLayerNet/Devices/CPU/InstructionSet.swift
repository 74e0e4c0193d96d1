// Which compilation of the kernels runs: the best that the processor has, unless the environment lowers
// it.

import CKernels
import CSystem

/// An instruction set for which the kernels were compiled.
enum InstructionSet: Int32, CaseIterable {
  case baseline = 0
  case avx2 = 1
  case avx512 = 2
  case neon = 3

  /// The word for it in TLN_INSTRUCTION_SET and in descriptions of the device.
  var name: String {
    switch self {
    case .baseline: "baseline"
    case .avx2: "avx2"
    case .avx512: "avx512"
    case .neon: "neon"
    }
  }

  static var environmentVariable: StaticString { "TLN_INSTRUCTION_SET" }

  /// The best that this processor has.
  static var best: InstructionSet { InstructionSet(rawValue: tlns_instruction_set()) ?? .baseline }

  /// The one to use: the best, or what the environment asks for instead.
  static func chosen() throws(Failure) -> InstructionSet {
    guard let word = getenv(environmentVariable) else { return best }
    for set in allCases where strcmp(word, set.name) == 0 {
      guard set.isSupported else {
        throw .unsupported("TLN_INSTRUCTION_SET asks for \(set.name), which this processor lacks")
      }
      return set
    }
    throw .unsupported("TLN_INSTRUCTION_SET must be baseline, avx2 or avx512")
  }

  /// Levels of one processor family include the lower ones.
  var isSupported: Bool {
    #if arch(x86_64)
      self != .neon && rawValue <= Self.best.rawValue
    #else
      self == Self.best
    #endif
  }

  var kernels: tlnk_kernels {
    var table = tlnk_kernels()
    switch self {
    #if arch(x86_64)
      case .avx2: tlnk_kernels_avx2(&table)
      case .avx512:
        tlnk_kernels_avx512(&table)
        if tlns_halves_avx512() { table.unit_lanes = table.lanes / 2 }
    #endif
    default: tlnk_kernels_baseline(&table)
    }
    return table
  }
}

/// getenv of a constant name.
private func getenv(_ name: StaticString) -> UnsafeMutablePointer<CChar>? {
  CSystem.getenv(UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self))
}
