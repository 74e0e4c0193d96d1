// tln_network_...

internal import CSystem
public import CTwoLayerNet
internal import TwoLayerNet

@implementation @_cdecl("tln_network_options_init")
public func tln_network_options_init(_ options: UnsafeMutablePointer<tln_network_options>?) {
  if let options {
    UnsafeMutableRawPointer(options).storeBytes(of: defaults(), as: tln_network_options.self)
  }
}

private func defaults() -> tln_network_options {
  var options = tln_network_options()
  options.struct_size = MemoryLayout<tln_network_options>.size
  options.input_size = 784
  options.hidden_size = 100
  options.output_size = 10
  return options
}

/// Checked options of a network.
private func read(
  _ options: UnsafePointer<tln_network_options>?
) throws(Failure) -> (values: tln_network_options, device: Device?, index: Int, threads: Int) {
  let values = try readOptions(options, defaults: defaults(), "options")
  guard values.reserved == 0 else { throw Failure(.unsupported, "options->reserved is not 0") }
  return (values, try request(values.device), Int(values.device_index), Int(values.threads))
}

@implementation @_cdecl("tln_network_create")
public func tln_network_create(
  _ options: UnsafePointer<tln_network_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_network")
    let (values, device, index, threads) = try read(options)
    let shape = try Shape(
      input: Int(values.input_size), hidden: Int(values.hidden_size), output: Int(values.output_size))
    place.pointee = handle(
      try Network.make(
        shape, seed: values.seed, device: device, deviceIndex: index, threads: threads))
  }
}

@implementation @_cdecl("tln_network_free")
public func tln_network_free(_ network: OpaquePointer?) { release(network, as: Network.self) }

@implementation @_cdecl("tln_network_sizes")
public func tln_network_sizes(
  _ network: OpaquePointer?, _ outInput: UnsafeMutablePointer<Int64>?,
  _ outHidden: UnsafeMutablePointer<Int64>?, _ outOutput: UnsafeMutablePointer<Int64>?
) -> tln_status {
  boundary { () throws(Failure) in
    let shape = try object(network, "network", as: Network.self).shape
    let places = (
      try optional(outInput, "out_input_size"), try optional(outHidden, "out_hidden_size"),
      try optional(outOutput, "out_output_size")
    )
    places.0?.pointee = Int64(shape.input)
    places.1?.pointee = Int64(shape.hidden)
    places.2?.pointee = Int64(shape.output)
  }
}

@implementation @_cdecl("tln_network_get_device")
public func tln_network_get_device(
  _ network: OpaquePointer?, _ out: UnsafeMutablePointer<tln_device>?
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    try required(out, "out_device").pointee = network.device.rawValue
  }
}

@implementation @_cdecl("tln_network_get_parameter")
public func tln_network_get_parameter(
  _ network: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ out: UnsafeMutablePointer<Float>?,
  _ count: Int
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    let parameter = try parameter(name)
    let values = try required(out, "out_values")
    try network.checkCount(parameter, count)
    try network.read(parameter, into: UnsafeMutableBufferPointer(start: values, count: count))
  }
}

@implementation @_cdecl("tln_network_set_parameter")
public func tln_network_set_parameter(
  _ network: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ values: UnsafePointer<Float>?,
  _ count: Int
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    let parameter = try parameter(name)
    let values = try required(values, "values")
    try network.checkCount(parameter, count)
    try network.write(parameter, from: UnsafeBufferPointer(start: values, count: count))
  }
}

/// The parameter of that name.
private func parameter(_ name: UnsafePointer<CChar>?) throws(Failure) -> Parameter {
  guard let name else { throw Failure(.invalidArgument, "name is NULL") }
  for parameter in Parameter.allCases where strcmp(name, parameter.name) == 0 { return parameter }
  throw Failure(
    .invalidArgument,
    "a network's parameters are layers.0.weight, layers.0.bias, layers.2.weight and layers.2.bias")
}

extension Network {
  /// Refuses a count that is not the parameter's, before a buffer of that size is formed.
  fileprivate func checkCount(_ parameter: Parameter, _ count: Int) throws(Failure) {
    let expected = parameter.count(in: shape)
    guard count == expected else {
      throw Failure(
        .invalidArgument,
        "count is \(UInt(bitPattern: count)), but \(parameter.name) has \(expected) elements")
    }
  }
}

// Running a network.

@implementation @_cdecl("tln_network_logits")
public func tln_network_logits(
  _ network: OpaquePointer?, _ features: UnsafePointer<Float>?, _ rows: Int64,
  _ out: UnsafeMutablePointer<Float>?
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    let batch = try batch(network, features, rows)
    let results = try required(out, "out_logits")
    let count = try elementCount(rows, columns: network.shape.output)
    try network.logits(batch, rows: Int(rows), into: .init(start: results, count: count))
  }
}

@implementation @_cdecl("tln_network_probabilities")
public func tln_network_probabilities(
  _ network: OpaquePointer?, _ features: UnsafePointer<Float>?, _ rows: Int64,
  _ out: UnsafeMutablePointer<Float>?
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    let batch = try batch(network, features, rows)
    let results = try required(out, "out_probabilities")
    let count = try elementCount(rows, columns: network.shape.output)
    try network.probabilities(batch, rows: Int(rows), into: .init(start: results, count: count))
  }
}

@implementation @_cdecl("tln_network_predict")
public func tln_network_predict(
  _ network: OpaquePointer?, _ features: UnsafePointer<Float>?, _ rows: Int64,
  _ out: UnsafeMutablePointer<Int64>?
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    let batch = try batch(network, features, rows)
    let labels = try required(out, "out_labels")
    try network.predict(batch, rows: Int(rows), into: .init(start: labels, count: Int(rows)))
  }
}

/// Features [rows, input] from C.
private func batch(
  _ network: Network, _ features: UnsafePointer<Float>?, _ rows: Int64
) throws(Failure) -> UnsafeBufferPointer<Float> {
  let values = try required(features, "features")
  return .init(start: values, count: try elementCount(rows, columns: network.shape.input))
}

@implementation @_cdecl("tln_network_evaluate")
public func tln_network_evaluate(
  _ network: OpaquePointer?, _ dataset: OpaquePointer?,
  _ out: UnsafeMutablePointer<tln_evaluation>?
) -> tln_status {
  boundary { () throws(Failure) in
    let network = try object(network, "network", as: Network.self)
    let dataset = try object(dataset, "dataset", as: Dataset.self)
    guard out != nil else { throw Failure(.invalidArgument, "out_evaluation is NULL") }
    let evaluation = try network.evaluate(dataset)
    var result = tln_evaluation()
    result.rows = Int64(evaluation.rows)
    result.correct = Int64(evaluation.correct)
    result.accuracy = evaluation.accuracy
    result.mean_loss = evaluation.meanLoss
    try writeStruct(result, to: out, "out_evaluation")
  }
}

// Files.

@implementation @_cdecl("tln_network_load")
public func tln_network_load(
  _ source: UnsafePointer<CChar>?, _ options: UnsafePointer<tln_network_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_network")
    let source = try path(source, "path")
    let (_, device, index, threads) = try read(options)
    place.pointee = handle(
      try Network.load(source, device: device, deviceIndex: index, threads: threads))
  }
}

@implementation @_cdecl("tln_network_load_memory")
public func tln_network_load_memory(
  _ bytes: UnsafeRawPointer?, _ byteCount: Int, _ options: UnsafePointer<tln_network_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try emptied(out, "out_network")
    guard bytes != nil || byteCount == 0 else { throw Failure(.invalidArgument, "bytes is NULL") }
    try checkByteCount(byteCount, "byte_count")
    let (_, device, index, threads) = try read(options)
    let contents = UnsafeRawBufferPointer(start: bytes, count: byteCount)
    let checkpoint = try Checkpoint.read(File(name: "the file in memory", contents: contents))
    place.pointee = handle(
      try Network.load(checkpoint, device: device, deviceIndex: index, threads: threads))
  }
}

@implementation @_cdecl("tln_network_save")
public func tln_network_save(
  _ network: OpaquePointer?, _ target: UnsafePointer<CChar>?
) -> tln_status {
  boundary { () throws(Failure) in
    try object(network, "network", as: Network.self).save(path(target, "path"))
  }
}
