// Which kernels make up a training step or a pass of inference, and in how many groups each is launched.
// What the kernels themselves do is told in Sources/CGPUKernels/kernels.h.

import CGPUKernels

/// Whether products go through tiles of 128 x 128 elements, where the order of their sums allows it.
enum GPUTiling: Sendable {
  /// If there are so many tiles that most of a large device has work; fewer are slower than the kernels
  /// that add up the panels of a sum side by side.
  case automatic
  case always, never
}

struct GPUPlan {
  let shape: Shape
  let tiling: GPUTiling

  private static let threads = GPUKernel.threadsPerGroup
  /// Kernels walk over what is more than this many groups' work.
  private static let groupLimit = 1 << 20
  private static let tilesWorthwhile = 64

  /// The forward pass with its loss, and what of it is left to tiles (tlng_step.tiled).
  func inference(rows: Int, batch: Int, withLoss: Bool) -> (launches: [GPULaunch], tiled: Int) {
    var launches = [hiddenForward(rows: rows, batch: batch)]
    var tiled = 0
    addLogits(rows: rows, batch: batch, &launches, &tiled)
    if tiled == 0 || (withLoss && launches.last!.kernel != .fewLogits) {
      launches.append(launch(.output, rows))
    }
    return (launches, tiled)
  }

  func training(rows: Int) -> (launches: [GPULaunch], tiled: Int) {
    let (inputs, hidden, outputs) = (shape.input, shape.hidden, shape.output)
    var launches = [hiddenForward(rows: rows, batch: rows)]
    var tiled = 0
    addLogits(rows: rows, batch: rows, &launches, &tiled)
    let hasTiledGradient = isTiled(rows, hidden, !isSmall(rows: rows, columns: hidden, terms: outputs))
    if launches.last!.kernel != .fewLogits || !hasTiledGradient {
      launches.append(launch(.output, rows))
    }
    if hasTiledGradient {
      let isOfFew = outputs <= 16 && hidden % 4 == 0
      launches.append(
        launch(isOfFew ? .fewHiddenGradient : .hiddenGradientTiled, tiles(rows, hidden)))
      tiled |= Int(TLNG_HIDDEN_GRADIENT)
    }
    var (groups, tiledGroups) = (0, 0)
    // PyTorch's product for w1 has hidden units as its rows.
    if isTiled(inputs, hidden, !isSmall(rows: hidden, columns: inputs, terms: rows)) {
      tiledGroups = updateTiles(inputs, hidden) &+ parts(hidden, 32) &+ parts(outputs, 32)
      tiled |= Int(TLNG_W1 | TLNG_BIASES)
    } else {
      groups = (parts(inputs, 32) &+ 1) &* parts(hidden, 32) &+ parts(outputs, 32)
    }
    let isOfFew = outputs <= 16 && rows >= 384
    if !isSmall(rows: outputs, columns: hidden, terms: rows),
      isWorthwhile(outputs, hidden) || (tiledGroups > 0 && isOfFew)
    {
      tiledGroups &+= isOfFew ? parts(hidden, 32) : updateTiles(outputs, hidden)
      tiled |= Int(TLNG_W2)
    } else {
      groups &+= parts(outputs, 32) &* parts(hidden, 32)
    }
    if tiledGroups > 0 { launches.append(launch(.updateTiled, tiledGroups)) }
    launches.append(launch(.update, max(groups, 1)))
    return (launches, tiled)
  }

  private func hiddenForward(rows: Int, batch: Int) -> GPULaunch {
    let (inputs, hidden) = (shape.input, shape.hidden)
    if isSmall(rows: batch, columns: hidden, terms: inputs) {
      return launch(.hidden, parts(rows &* hidden, Self.threads))
    }
    if isTiled(rows, hidden, true) { return launch(.hiddenTiled, tiles(rows, hidden)) }
    let panels = parts(inputs, Int(tlng_panel_length(tlng_int(inputs))))
    let rowsPerTile = 32 / (panels <= 2 ? panels : panels <= 4 ? 4 : 8)
    return launch(.hidden, parts(rows, rowsPerTile) &* parts(hidden, 32))
  }

  private func addLogits(rows: Int, batch: Int, _ launches: inout [GPULaunch], _ tiled: inout Int) {
    let (hidden, outputs) = (shape.hidden, shape.output)
    if isOfFewOutputs(rows: rows, batch: batch) {
      launches.append(launch(.fewLogits, parts(rows, 64)))
    } else if isTiled(rows, outputs, !isSmall(rows: batch, columns: outputs, terms: hidden)) {
      launches.append(launch(.logitsTiled, tiles(rows, outputs)))
    } else {
      return
    }
    tiled |= Int(TLNG_LOGITS)
  }

  /// Whether logits are dots that a kernel does for many rows at once.
  private func isOfFewOutputs(rows: Int, batch: Int) -> Bool {
    let (hidden, outputs) = (shape.hidden, shape.output)
    guard batch > 1, 2..<12 ~= outputs, hidden >= 8, hidden % 4 == 0 else { return false }
    return switch tiling {
    case .automatic: rows >= 1536 && hidden >= 512
    case .always: true
    case .never: false
    }
  }

  /// Whether a product of so many rows and columns is done in large tiles.
  private func isTiled(_ rows: Int, _ columns: Int, _ isInPanels: Bool) -> Bool {
    isInPanels && isWorthwhile(rows, columns)
  }

  private func isWorthwhile(_ rows: Int, _ columns: Int) -> Bool {
    switch tiling {
    case .automatic:
      rows >= 64 && columns >= 48 && tiles(rows, columns) >= Self.tilesWorthwhile
    case .always: true
    case .never: false
    }
  }

  /// Whether the sums of a product are not in panels, as Sources/Kernels/Orders.swift has it.
  private func isSmall(rows: Int, columns: Int, terms: Int) -> Bool {
    rows < 4 || columns < 12 || terms == 1
  }

  private func tiles(_ rows: Int, _ columns: Int) -> Int { parts(rows, 128) &* parts(columns, 128) }
  /// The tiles of an update are smaller, so that 784 inputs are a multiple of them.
  private func updateTiles(_ rows: Int, _ columns: Int) -> Int {
    parts(rows, 112) &* parts(columns, 112)
  }
  private func parts(_ count: Int, _ size: Int) -> Int { (count &+ size &- 1) / size }

  private func launch(_ kernel: GPUKernel, _ groups: Int) -> GPULaunch {
    GPULaunch(kernel: kernel, groups: min(groups, Self.groupLimit))
  }
}
