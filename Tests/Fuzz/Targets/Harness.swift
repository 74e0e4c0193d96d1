// What libFuzzer calls, and the properties that every target must have: little memory and little time
// for a small input. What a target does with an input is told in the other files.

import FuzzMemory
import Foundation

/// One thing to be fuzzed.
struct FuzzTarget: Sendable {
  let name: String
  /// The most bytes that may be allocated at once: so many, and so many more for each byte of input.
  var memory: (base: Int, perByte: Int) = (base: 8 << 20, perByte: 64)
  let run: @Sendable (UnsafeRawBufferPointer) -> Void

  static let all: [FuzzTarget] = [
    idx, gzip, archive, pickle, safetensors, torch, network, trainer, npz, image, options,
  ]
}

/// The most seconds of processor time that an input may take, with all checks and under
/// AddressSanitizer, which makes things two to five times as slow.
private let timeLimit = 4.0

nonisolated(unsafe) private var target = FuzzTarget.all[0]

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
  _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
  fuzz_memory_install()
  let environment = ProcessInfo.processInfo.environment
  if let directory = environment["TLN_FUZZ_SEEDS"] {
    writeSeeds(directory)
    exit(0)
  }
  let name = environment["TLN_FUZZ_TARGET"] ?? ""
  guard let named = FuzzTarget.all.first(where: { $0.name == name }) else {
    let names = FuzzTarget.all.map(\.name).joined(separator: " ")
    FileHandle.standardError.write(Data("TLN_FUZZ_TARGET must be one of: \(names)\n".utf8))
    exit(64)
  }
  target = named
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  let begin = fuzz_processor_seconds()
  fuzz_memory_begin()
  target.run(UnsafeRawBufferPointer(start: bytes, count: count))
  let peak = Int(fuzz_memory_peak())
  let seconds = fuzz_processor_seconds() - begin
  require(
    peak <= target.memory.base + target.memory.perByte * count,
    "\(count) bytes of input made \(peak) bytes be allocated at once")
  require(seconds <= timeLimit, "\(count) bytes of input took \(seconds) seconds")
  return 0
}

/// Ends the process, which libFuzzer reports together with the input.
func require(
  _ condition: Bool, _ property: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) {
  if !condition { fatalError(property(), file: file, line: line) }
}
