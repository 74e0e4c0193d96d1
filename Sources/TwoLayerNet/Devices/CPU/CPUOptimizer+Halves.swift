// Steps of two threads that divide the inputs between them instead of the samples. Each keeps its half of
// the first layer's weights in its own cache. Cut by samples, everybody needs all weights, and those that
// one thread updates have to leave the other's cache and come back. What goes between the caches here are
// the sums of panels and the gradients of the hidden units: less, if the batch is small.

import CKernels
import CSystem

/// Rows of a dataset: order[0 ..< rows], after which come those of the next batch.
struct Batch {
  let dataset: Dataset
  let order: UnsafeBufferPointer<UInt32>
  let rows: Int

  /// Which row of the dataset has the same place in the next batch. A smaller last batch has none for each.
  func nextIndex(_ row: Int) -> Int {
    let next = row &+ rows
    return Int(order[next < order.count ? next : row])
  }
}

extension CPUOptimizer {
  /// How two threads divide the inputs for batches of this size; nil where they had better divide the rows.
  func division(rows: Int, _ form: FeatureForm) -> Division? {
    let inputs = engine.shape.input
    let length = engine.kernels.panel_length(rows, engine.shape.hidden, inputs)
    // Kernels look at 64 features at once.
    guard usefulThreads(rows: rows) == 2, !form.isDense, length > 0, length % 64 == 0 else { return nil }
    let panels = (inputs &+ length &- 1) / length
    // Where there are more sums than this for each weight, they are what moves most.
    guard panels >= 4 && panels &* rows <= 2 &* inputs else { return nil }
    return Division(panels: panels, boundary: panels / 2 &* length)
  }

  func isDivided(rows: Int) -> Bool {
    workspace.halves != nil && division(rows: rows, workspace.form) != nil
  }

  /// One step on a batch whose sums may be there already, and the sums of the next.
  func dividedStep(_ batch: Batch, next: Batch?) -> Float {
    if begun == nil {
      describeHalves()
      begun = batch
      run(.sums, tasks: 2, threads: 2)
    }
    begun = nil
    run(.samplesFromSums, tasks: 2, threads: 2)
    let loss = batchLoss
    guard loss.isFinite else { return loss }
    describeHalves()
    begun = next
    run(.updateAndSums, tasks: 2, threads: 2)
    return loss
  }

  private func half(_ index: Int) -> Half { index == 0 ? workspace.halves!.0 : workspace.halves!.1 }

  private func describeHalves() {
    for index in 0..<2 {
      let half = half(index)
      half.step.pointee = workspace.step.pointee
      half.step.pointee.x = UnsafeRawPointer(half.rows)
      half.step.pointee.panel_sums = half.panelSums
    }
  }

  /// The gradient and update of a half's weights.
  func update(half index: Int) {
    let half = half(index)
    let hidden = workspace.form.kernels(engine.kernels)
    hidden.update(half.step, half.inputs.lowerBound, half.inputs.upperBound)
  }

  /// The sums of a half's panels for the batch that begins, if there is one.
  func sums(ofHalf index: Int) {
    guard let batch = begun else { return }
    let half = half(index)
    half.step.pointee.rows = batch.rows
    half.step.pointee.batch = batch.rows
    let asks = asksForNextRows(batch)
    half.step.pointee.next_rows = asks ? UnsafePointer(half.nextRows) : nil
    gather(batch, half, asks: asks, withLabels: index == 0)
    let hidden = workspace.form.kernels(engine.kernels)
    hidden.forward(half.step, half.inputs.lowerBound, half.inputs.upperBound)
    hidden.transpose(half.step, half.inputs.lowerBound, half.inputs.upperBound)
  }

  private func gather(_ batch: Batch, _ half: Half, asks: Bool, withLabels: Bool) {
    let (dataset, order) = (batch.dataset, batch.order)
    let (stride, labels) = (dataset.rowStride, dataset.labelBase)
    let size = dataset.featureType.byteCount
    let start = half.inputs.lowerBound &* size
    let xStride = half.step.pointee.x_stride
    for row in 0..<batch.rows {
      let index = Int(order[row])
      memcpy(
        half.rows + (row &* xStride &+ start), dataset.features + (index &* stride &+ start),
        half.inputs.count &* size)
      if withLabels { workspace.labels[row] = labels[index] }
      guard asks else { continue }
      let nextIndex = batch.nextIndex(row)
      if withLabels { tlnk_prefetch(labels + nextIndex) }
      half.nextRows[row] = dataset.features + nextIndex &* stride
    }
  }
}
