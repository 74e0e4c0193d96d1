// The GPU kernels one by one, in plain C++ on the emulated device: odd sizes, any number of groups, every
// array in an allocation of its own that is exactly as large as it has to be and poisoned where nothing
// has been written.

import CGPUKernels
import TestSupport
import Testing

@testable import TwoLayerNet

/// The sizes of one launch.
struct KernelCase: Sendable, CustomStringConvertible {
  var rows: Int
  var input: Int
  var hidden: Int
  var output: Int
  var isBytes = true

  var description: String { "\(rows) rows, \(input)-\(hidden)-\(output), bytes \(isBytes)" }
}

@Suite(.serialized)
struct KernelTests {
  /// Any order of sums.
  static let cases = [
    KernelCase(rows: 1, input: 1, hidden: 1, output: 1),
    KernelCase(rows: 3, input: 5, hidden: 7, output: 2),
    KernelCase(rows: 4, input: 9, hidden: 12, output: 12, isBytes: false),
    KernelCase(rows: 5, input: 383, hidden: 12, output: 26),
    KernelCase(rows: 9, input: 193, hidden: 33, output: 8, isBytes: false),
    KernelCase(rows: 33, input: 70, hidden: 257, output: 3),
    KernelCase(rows: 19, input: 784, hidden: 40, output: 10),
    KernelCase(rows: 6, input: 1601, hidden: 31, output: 13),
    KernelCase(rows: 200, input: 3, hidden: 1, output: 5),
    KernelCase(rows: 400, input: 17, hidden: 14, output: 12),
    KernelCase(rows: 2, input: 30, hidden: 200, output: 40, isBytes: false),
  ]

  /// Panels in every product, and edges of tiles.
  static let tiled = [
    KernelCase(rows: 4, input: 12, hidden: 12, output: 12),
    KernelCase(rows: 130, input: 129, hidden: 65, output: 13, isBytes: false),
    KernelCase(rows: 197, input: 200, hidden: 64, output: 66),
    KernelCase(rows: 20, input: 390, hidden: 195, output: 193),
    // Four at a time, and where panels begin at any term.
    KernelCase(rows: 270, input: 202, hidden: 132, output: 20),
    KernelCase(rows: 150, input: 260, hidden: 136, output: 16, isBytes: false),
    KernelCase(rows: 64, input: 208, hidden: 256, output: 12, isBytes: false),
    KernelCase(rows: 1100, input: 20, hidden: 14, output: 17),
  ]

  static let groupCounts = [1, 3, 50]

  @Test(arguments: cases)
  func hidden(_ sizes: KernelCase) throws { try checkHidden(.hidden, sizes) }

  @Test(arguments: tiled)
  func hiddenTiled(_ sizes: KernelCase) throws { try checkHidden(.hiddenTiled, sizes) }

  private func checkHidden(_ kernel: GPUKernel, _ sizes: KernelCase) throws {
    for (groups, shuffle) in zip(Self.groupCounts, [0, 255, 37]) {
      let bench = try KernelBench(sizes, shuffle: shuffle)
      try bench.launch(kernel, groups: groups)
      bench.expect("h", bench.step.h, bench.network.forward(bench.x).h.values)
      #expect(try bench.state().begun == 3)
    }
  }

  @Test(arguments: cases + tiled)
  func output(_ sizes: KernelCase) throws {
    for (groups, shuffle) in zip(Self.groupCounts, [0, 255, 37]) {
      let bench = try KernelBench(sizes, shuffle: shuffle)
      let (h, logits) = bench.network.forward(bench.x)
      bench.write(bench.step.h, h.values)
      try bench.launch(.output, groups: groups)
      bench.expect("logits", bench.step.logits, logits.values)
      let gradient = bench.expectJudged(logits)
      bench.expect("d_h", bench.step.d_h, bench.network.hiddenGradient(gradient, h).values)
    }
  }

  /// From where exp is 0 or infinite to where it is neither, equal logits, and the sums of one.
  @Test(arguments: [2, 7, 8, 30])
  func extremeLogits(_ outputs: Int) throws {
    let bench = try KernelBench(KernelCase(rows: 40, input: 1, hidden: 1, output: outputs))
    var random = TestRandom(UInt64(outputs))
    var logits = Matrix(40, outputs)
    for row in 0..<40 {
      for column in 0..<outputs {
        logits[row, column] = random.uniform() * [0, 1, 50, 88, 104, 120, 1e4, 3e38][row % 8]
      }
    }
    bench.step.tiled = tlng_int(TLNG_LOGITS)
    bench.write(bench.step.logits, logits.values)
    bench.write(bench.step.h, [Float](repeating: 1, count: 40))
    try bench.launch(.output, groups: 9)
    let y = logSoftmax(logits)
    let gradient = crossEntropyGradient(y, bench.labels)
    bench.expect("target", bench.step.target, (0..<40).map { y[$0, bench.labels[$0]] })
    bench.expect("d_logits", bench.step.d_logits, gradient.values)
  }

  @Test(arguments: tiled)
  func logitsTiled(_ sizes: KernelCase) throws {
    let bench = try KernelBench(sizes)
    let (h, logits) = bench.network.forward(bench.x)
    bench.write(bench.step.h, h.values)
    try bench.launch(.logitsTiled, groups: 2)
    bench.expect("logits", bench.step.logits, logits.values)
    // The rest of the row is then still output's.
    bench.step.tiled = tlng_int(TLNG_LOGITS | TLNG_HIDDEN_GRADIENT)
    try bench.launch(.output, groups: 7)
    let gradient = crossEntropyGradient(logSoftmax(logits), bench.labels)
    bench.expect("d_logits", bench.step.d_logits, gradient.values)
    #expect(bench.read(bench.step.d_h, h.values.count).allSatisfy { $0.isNaN })
  }

  @Test(arguments: tiled)
  func hiddenGradientTiled(_ sizes: KernelCase) throws {
    let bench = try KernelBench(sizes)
    let (h, logits) = bench.network.forward(bench.x)
    let gradient = crossEntropyGradient(logSoftmax(logits), bench.labels)
    bench.write(bench.step.h, h.values)
    bench.write(bench.step.d_logits, gradient.values)
    try bench.launch(.hiddenGradientTiled, groups: 2)
    bench.expect("d_h", bench.step.d_h, bench.network.hiddenGradient(gradient, h).values)
  }

  /// Edges of tiles and of blocks of terms, outputs of four lanes and of eight, several panels of rows.
  static let few = [
    KernelCase(rows: 4, input: 5, hidden: 12, output: 2),
    KernelCase(rows: 67, input: 3, hidden: 132, output: 10),
    KernelCase(rows: 385, input: 4, hidden: 140, output: 7, isBytes: false),
    KernelCase(rows: 1999, input: 6, hidden: 44, output: 11),
    KernelCase(rows: 130, input: 2, hidden: 256, output: 4),
  ]

  @Test(arguments: few)
  func fewLogits(_ sizes: KernelCase) throws {
    for (groups, shuffle) in zip(Self.groupCounts, [0, 255, 37]) {
      let bench = try KernelBench(sizes, shuffle: shuffle)
      let (h, logits) = bench.network.forward(bench.x)
      bench.write(bench.step.h, h.values)
      try bench.launch(.fewLogits, groups: groups)
      bench.expect("logits", bench.step.logits, logits.values)
      bench.expectJudged(logits)
    }
  }

  @Test(arguments: few + [tiled[0]])
  func fewHiddenGradient(_ sizes: KernelCase) throws {
    for (groups, shuffle) in zip(Self.groupCounts, [0, 255, 37]) {
      let bench = try KernelBench(sizes, shuffle: shuffle)
      _ = try bench.fillGradients()
      let wanted = bench.read(bench.step.d_h, sizes.rows * sizes.hidden)
      bench.write(bench.step.d_h, wanted.map { _ in .nan })
      try bench.launch(.fewHiddenGradient, groups: groups)
      bench.expect("d_h", bench.step.d_h, wanted)
    }
  }

  /// Panels of rows side by side.
  @Test(arguments: [
    KernelCase(rows: 385, input: 4, hidden: 140, output: 7),
    KernelCase(rows: 1999, input: 6, hidden: 45, output: 16),
    KernelCase(rows: 1600, input: 6, hidden: 12, output: 4),
  ])
  func fewUpdate(_ sizes: KernelCase) throws {
    for (groups, shuffle) in zip(Self.groupCounts, [0, 255, 37]) {
      let launches: [(GPUKernel, Int)] = [(.updateTiled, groups), (.update, 5)]
      try checkUpdate(sizes, launches, tiled: Int(TLNG_W2 | TLNG_BIASES), shuffle: shuffle)
    }
  }

  @Test(arguments: cases)
  func update(_ sizes: KernelCase) throws {
    for (groups, shuffle) in zip(Self.groupCounts, [0, 255, 37]) {
      try checkUpdate(sizes, [(.update, groups)], tiled: 0, shuffle: shuffle)
    }
  }

  @Test(arguments: tiled)
  func updateTiled(_ sizes: KernelCase) throws {
    for tiled in [TLNG_W1, TLNG_W2, TLNG_BIASES, TLNG_W1 | TLNG_W2 | TLNG_BIASES] {
      try checkUpdate(sizes, [(.updateTiled, 2), (.update, 5)], tiled: Int(tiled), shuffle: 90)
    }
  }

  private func checkUpdate(
    _ sizes: KernelCase, _ launches: [(GPUKernel, Int)], tiled: Int, shuffle: Int
  ) throws {
    let bench = try KernelBench(sizes, shuffle: shuffle)
    bench.step.tiled = tlng_int(tiled)
    let loss = try bench.fillGradients()
    for (kernel, groups) in launches { try bench.launch(kernel, groups: groups) }
    var network = bench.network
    _ = network.step(bench.x, bench.labels)
    bench.expectParameters(network)
    let state = try bench.state()
    #expect(state.ended == 3 && bench.read(bench.step.losses, 3)[2].bitPattern == loss.bitPattern)
  }

  /// Sums over blocks of 16, of 256 and of 4096, with and without a rest.
  @Test(arguments: [1, 2, 16, 17, 18, 255, 256, 257, 272, 4096, 4097, 4098, 8500])
  func meanLoss(_ rows: Int) throws {
    let bench = try KernelBench(KernelCase(rows: rows, input: 1, hidden: 1, output: 2))
    let loss = try bench.fillGradients()
    try bench.launch(.update, groups: 3)
    #expect(bench.read(bench.step.losses, 3)[2].bitPattern == loss.bitPattern)
  }

  /// Columns in one run and in four, a column alone, blocks with and without a rest, blocks of blocks.
  @Test(arguments: [1, 3, 7, 8, 9, 31, 63, 64, 65, 68, 131, 256, 259, 1030, 4100, 1 << 19 + 77])
  func biases(_ rows: Int) throws {
    for (hidden, output) in rows > 5000 ? [(5, 2)] : [(1, 5), (3, 40), (36, 1), (70, 8), (6, 9)] {
      let bench = try KernelBench(
        KernelCase(rows: rows, input: 1, hidden: hidden, output: output), shuffle: 255)
      var random = TestRandom(UInt64(rows))
      let dH = Matrix(rows, hidden, random.uniforms(rows * hidden))
      let dLogits = Matrix(rows, output, random.uniforms(rows * output))
      bench.write(bench.step.d_h, dH.values)
      bench.write(bench.step.d_logits, dLogits.values)
      bench.write(bench.step.h, dH.values)
      bench.write(bench.step.target, [Float](repeating: -1, count: rows))
      try bench.launch(.update, groups: 3)
      var wanted = bench.network
      ReferenceSGD().update(&wanted.b1, &wanted.vb1, columnSums(dH))
      ReferenceSGD().update(&wanted.b2, &wanted.vb2, columnSums(dLogits))
      bench.expect("b1", bench.step.b1, wanted.b1)
      bench.expect("b2", bench.step.b2, wanted.b2)
      bench.expect("vb1", bench.step.vb1, wanted.vb1!)
      bench.expect("vb2", bench.step.vb2, wanted.vb2!)
    }
  }

  /// A loss that is not finite leaves everything as it was, and the step is not counted.
  @Test(arguments: [Float.nan, .infinity])
  func updateOfALossThatIsNotFinite(_ bad: Float) throws {
    for tiled in [0, Int(TLNG_W1 | TLNG_W2)] {
      let bench = try KernelBench(Self.tiled[1])
      bench.step.tiled = tlng_int(tiled)
      _ = try bench.fillGradients()
      var target = bench.read(bench.step.target, 130)
      target[129] = -bad
      bench.write(bench.step.target, target)
      if tiled != 0 { try bench.launch(.updateTiled, groups: 4) }
      try bench.launch(.update, groups: 4)
      bench.expectParameters(bench.network)
      #expect(try bench.state().ended == 2)
      #expect(!bench.read(bench.step.losses, 3)[2].isFinite)
    }
  }

  /// Arguments that are for another step than the run's current one do nothing.
  @Test(arguments: GPUKernel.allCases.filter { $0 != .resident })
  func otherSteps(_ kernel: GPUKernel) throws {
    for only in [0, 1, 3] {
      let bench = try KernelBench(Self.tiled[0])
      bench.step.only_step = tlng_int(only)
      try bench.launch(kernel, groups: 2)
      bench.expectParameters(bench.network)
      for (address, count) in [(bench.step.h, 48), (bench.step.logits, 48), (bench.step.d_h, 48)] {
        #expect(bench.read(address, count).allSatisfy { $0.isNaN })
      }
      let state = try bench.state()
      #expect(state.begun == 3 && state.ended == 2)
    }
  }

  /// All 256, as IEEE division gives them.
  @Test func bytes() throws {
    let bench = try KernelBench(KernelCase(rows: 256, input: 1, hidden: 1, output: 1))
    bench.step.order = 0
    bench.write(bytes: (0..<256).flatMap { [UInt8($0), 77, 77, 77] }, to: bench.step.x)
    bench.write(bench.step.w1, [1])
    bench.write(bench.step.b1, [0])
    try bench.launch(.hidden, groups: 1)
    bench.expect("h", bench.step.h, (0..<256).map { Float($0) / 255 })
  }

  /// The emulator says so when a kernel leaves its memory.
  @Test(arguments: GPUKernel.allCases.filter { $0 != .resident })
  func accessOutsideIsNoticed(_ kernel: GPUKernel) throws {
    let fields: [WritableKeyPath<tlng_step, UInt64>] =
      switch kernel {
      case .hidden, .hiddenTiled: [\.x, \.order, \.w1, \.b1, \.h]
      case .output: [\.h, \.w2, \.b2, \.logits, \.labels, \.target, \.d_logits, \.d_h]
      case .logitsTiled: [\.h, \.w2, \.b2, \.logits]
      case .fewLogits: [\.h, \.w2, \.b2, \.logits, \.labels, \.target, \.d_logits]
      case .hiddenGradientTiled, .fewHiddenGradient: [\.d_logits, \.w2, \.h, \.d_h]
      case .update: [\.x, \.d_h, \.d_logits, \.h, \.w1, \.v1, \.b1, \.vb1, \.w2, \.v2, \.b2, \.vb2]
      case .updateTiled: [\.x, \.d_h, \.d_logits, \.h, \.target, \.w1, \.v1, \.w2, \.v2]
      case .resident: []
      }
    let isOfFew = kernel == .fewLogits || kernel == .fewHiddenGradient
    for field in fields {
      let bench = try KernelBench(isOfFew ? Self.few[1] : Self.tiled[1])
      if kernel == .updateTiled { bench.step.tiled = tlng_int(TLNG_W1 | TLNG_W2) }
      _ = try bench.fillGradients()
      bench.step[keyPath: field] = try bench.shortened(bench.step[keyPath: field])
      expectFailure(.deviceFailed, kernel.name.description, "device memory") {
        try bench.launch(kernel, groups: 2)
      }
    }
  }
}
