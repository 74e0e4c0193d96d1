// tln_trainer_...

public import CTwoLayerNet
internal import TwoLayerNet

@implementation @_cdecl("tln_trainer_options_init")
public func tln_trainer_options_init(_ options: UnsafeMutablePointer<tln_trainer_options>?) {
  if let options {
    UnsafeMutableRawPointer(options).storeBytes(of: defaults(), as: tln_trainer_options.self)
  }
}

private func defaults() -> tln_trainer_options {
  let standard = TrainerOptions()
  var options = tln_trainer_options()
  options.struct_size = MemoryLayout<tln_trainer_options>.size
  options.learning_rate = standard.sgd.learningRate
  options.momentum = standard.sgd.momentum
  options.batch_size = Int64(standard.batchSize)
  options.shuffle = standard.shuffle ? 1 : 0
  return options
}

@implementation @_cdecl("tln_trainer_create")
public func tln_trainer_create(
  _ network: OpaquePointer?, _ options: UnsafePointer<tln_trainer_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_trainer")
    let network = try object(network, "network", as: Network.self)
    let values = try readOptions(options, defaults: defaults(), "options")
    guard values.reserved == 0 else { throw Failure(.unsupported, "options->reserved is not 0") }
    var trainer = TrainerOptions()
    trainer.sgd.learningRate = values.learning_rate
    trainer.sgd.momentum = values.momentum
    trainer.sgd.dampening = values.dampening
    trainer.sgd.weightDecay = values.weight_decay
    trainer.sgd.nesterov = try flag(values.nesterov, "nesterov")
    trainer.sgd.maximize = try flag(values.maximize, "maximize")
    trainer.batchSize = Int(values.batch_size)
    trainer.shuffle = try flag(values.shuffle, "shuffle")
    trainer.dropLast = try flag(values.drop_last, "drop_last")
    trainer.seed = values.seed
    place.pointee = handle(try Trainer.make(network, trainer))
  }
}

@implementation @_cdecl("tln_trainer_fit")
public func tln_trainer_fit(
  _ trainer: OpaquePointer?, _ dataset: OpaquePointer?, _ epochs: Int64,
  _ callback: tln_progress_callback?, _ userData: UnsafeMutableRawPointer?
) -> tln_status {
  boundary { () throws(Failure) in
    let trainer = try object(trainer, "trainer", as: Trainer.self)
    let dataset = try object(dataset, "dataset", as: Dataset.self)
    guard let callback else {
      try trainer.fit(dataset, epochs: Int(epochs))
      return
    }
    try trainer.fit(dataset, epochs: Int(epochs)) { progress in
      var report = tln_progress(progress)
      return callback(&report, userData) == 0
    }
  }
}

extension tln_progress {
  fileprivate init(_ progress: Progress) {
    self.init(
      struct_size: MemoryLayout<tln_progress>.size, epoch: Int64(progress.epoch),
      epochs: Int64(progress.epochs), step: Int64(progress.step), steps: Int64(progress.steps),
      loss: progress.loss, mean_loss: progress.meanLoss, rows_done: Int64(progress.rowsDone))
  }
}

@implementation @_cdecl("tln_trainer_step")
public func tln_trainer_step(
  _ trainer: OpaquePointer?, _ features: UnsafePointer<Float>?, _ labels: UnsafePointer<Int64>?,
  _ rows: Int64, _ outLoss: UnsafeMutablePointer<Float>?
) -> tln_status {
  boundary { () throws(Failure) in
    let trainer = try object(trainer, "trainer", as: Trainer.self)
    let features = try required(features, "features")
    let labels = try required(labels, "labels")
    let place = try optional(outLoss, "out_loss")
    let count = try elementCount(rows, columns: trainer.network.shape.input)
    let loss = try trainer.step(
      UnsafeBufferPointer(start: features, count: count),
      labels: UnsafeBufferPointer(start: labels, count: Int(rows)))
    place?.pointee = loss
  }
}

@implementation @_cdecl("tln_trainer_set_learning_rate")
public func tln_trainer_set_learning_rate(_ trainer: OpaquePointer?, _ rate: Double) -> tln_status {
  boundary { () throws(Failure) in
    try object(trainer, "trainer", as: Trainer.self).setLearningRate(rate)
  }
}

@implementation @_cdecl("tln_trainer_get_position")
public func tln_trainer_get_position(
  _ trainer: OpaquePointer?, _ outEpochs: UnsafeMutablePointer<Int64>?,
  _ outSteps: UnsafeMutablePointer<Int64>?
) -> tln_status {
  boundary { () throws(Failure) in
    let trainer = try object(trainer, "trainer", as: Trainer.self)
    let (epochs, steps) = (try optional(outEpochs, "out_epochs"), try optional(outSteps, "out_steps"))
    let progress = trainer.progress
    epochs?.pointee = Int64(progress.epochs)
    steps?.pointee = Int64(progress.steps)
  }
}

@implementation @_cdecl("tln_trainer_cancel")
public func tln_trainer_cancel(_ trainer: OpaquePointer?) {
  object(trainer, as: Trainer.self)?._withUnsafeGuaranteedRef { $0.cancel() }
}

@implementation @_cdecl("tln_trainer_free")
public func tln_trainer_free(_ trainer: OpaquePointer?) { release(trainer, as: Trainer.self) }

// Files.

@implementation @_cdecl("tln_trainer_save")
public func tln_trainer_save(
  _ trainer: OpaquePointer?, _ target: UnsafePointer<CChar>?
) -> tln_status {
  boundary { () throws(Failure) in
    try object(trainer, "trainer", as: Trainer.self).save(path(target, "path"))
  }
}

@implementation @_cdecl("tln_trainer_load")
public func tln_trainer_load(
  _ trainer: OpaquePointer?, _ source: UnsafePointer<CChar>?
) -> tln_status {
  boundary { () throws(Failure) in
    try object(trainer, "trainer", as: Trainer.self).load(path(source, "path"))
  }
}
