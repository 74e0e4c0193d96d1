// Which kernels make up a training step or a pass of inference, and in how many groups each is launched.
// What the kernels themselves do is told in Sources/CGPUKernels/kernels.h.

import CGPUKernels

/// Whether products go through tiles of 128 x 64 elements, where the order of their sums allows it.
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
  private static let tilesWorthwhile = 96

  /// The forward pass, with what follows it up to the loss if `withLoss`.
  func inference(rows: Int, batch: Int, withLoss: Bool) -> [GPULaunch] {
    let (hidden, outputs) = (shape.hidden, shape.output)
    var launches = [hiddenForward(rows: rows, batch: batch)]
    if isTiled(rows, outputs, hidden, batch: batch) {
      launches.append(launch(.logitsTiled, tiles(rows, outputs)))
      if withLoss { launches.append(launch(.loss, rows)) }
    } else {
      launches.append(launch(.output, rows))
    }
    return launches
  }

  func training(rows: Int) -> [GPULaunch] {
    let (inputs, hidden, outputs) = (shape.input, shape.hidden, shape.output)
    var launches = [hiddenForward(rows: rows, batch: rows)]
    if isTiled(rows, outputs, hidden, batch: rows) && isTiled(rows, hidden, outputs, batch: rows) {
      launches.append(launch(.logitsTiled, tiles(rows, outputs)))
      launches.append(launch(.loss, rows))
      launches.append(launch(.hiddenGradientTiled, tiles(rows, hidden)))
    } else {
      launches.append(launch(.output, rows))
    }
    let biases = parts(hidden, Self.threads) &+ parts(outputs, Self.threads)
    let w2 = smallTiles(outputs, hidden)
    // PyTorch's product for w1 has hidden units as its rows.
    let isSmall = isSmall(rows: hidden, columns: inputs, terms: rows)
    if isSmall || !isWorthwhile(inputs, hidden) {
      launches.append(launch(.update, smallTiles(inputs, hidden) &+ w2 &+ biases))
      return launches
    }
    launches.append(launch(.hiddenUpdateTiled, tiles(inputs, hidden)))
    if isTiled(outputs, hidden, rows, batch: outputs) {
      launches.append(launch(.outputUpdateTiled, tiles(outputs, hidden)))
      launches.append(launch(.biasUpdate, biases))
    } else {
      launches.append(launch(.outputUpdate, w2 &+ biases))
    }
    return launches
  }

  private func hiddenForward(rows: Int, batch: Int) -> GPULaunch {
    let (inputs, hidden) = (shape.input, shape.hidden)
    if isSmall(rows: batch, columns: hidden, terms: inputs) {
      return launch(.hidden, parts(rows &* hidden, Self.threads))
    }
    if isWorthwhile(rows, hidden) { return launch(.hiddenTiled, tiles(rows, hidden)) }
    let length = inputs <= 192 ? inputs : inputs < 384 ? inputs / 2 : 192
    let panels = parts(inputs, length)
    let rowsPerTile = 32 / (panels <= 2 ? panels : panels <= 4 ? 4 : 8)
    return launch(.hidden, parts(rows, rowsPerTile) &* parts(hidden, 32))
  }

  /// Whether a product of so many rows, columns and terms is done in large tiles; `batch` is the rows on
  /// which the order depends.
  private func isTiled(_ rows: Int, _ columns: Int, _ terms: Int, batch: Int) -> Bool {
    !isSmall(rows: batch, columns: columns, terms: terms) && isWorthwhile(rows, columns)
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

  private func tiles(_ rows: Int, _ columns: Int) -> Int { parts(rows, 128) &* parts(columns, 64) }
  private func smallTiles(_ rows: Int, _ columns: Int) -> Int { parts(rows, 32) &* parts(columns, 32) }
  private func parts(_ count: Int, _ size: Int) -> Int { (count &+ size &- 1) / size }

  private func launch(_ kernel: GPUKernel, _ groups: Int) -> GPULaunch {
    GPULaunch(kernel: kernel, groups: min(groups, Self.groupLimit))
  }
}
