// The option structs of the C interface, with any size and any bytes: read no further than struct_size,
// refused with a sentence or used.

import CABI
import CTwoLayerNet
import Foundation

extension FuzzTarget {
  /// The first byte chooses the function; then struct_size in two bytes, 0xffff for an absurd one; then
  /// the struct's own bytes after struct_size.
  static let options = FuzzTarget(name: "options", memory: (base: 64 << 20, perByte: 64)) { input in
    guard input.count >= 3 else { return }
    let short = Int(input[1]) | Int(input[2]) << 8
    let size = short == 0xffff ? Int.min : short
    // Exactly as much as the size says, so that AddressSanitizer notices when more is read.
    let count = max(8, short == 0xffff ? 8 : short)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 8)
    defer { memory.deallocate() }
    memset(memory, 0, count)
    memory.storeBytes(of: size, as: Int.self)
    for (index, byte) in input.dropFirst(3).prefix(count - 8).enumerated() {
      memory.storeBytes(of: byte, toByteOffset: 8 + index, as: UInt8.self)
    }
    switch input[0] % 6 {
    case 0: createNetwork(memory, count)
    case 1: loadNetwork(memory)
    case 2: createTrainer(memory)
    case 3: createDataset(memory, count)
    case 4: describeDevice(memory, count)
    default: evaluate(memory, count)
    }
  }

  private static func expect(_ status: tln_status, _ handle: OpaquePointer?) {
    require((status == TLN_OK) == (handle != nil), "status \(status) and a handle, or neither")
    require((status == TLN_OK) == (tln_last_error().pointee == 0), "status \(status), wrong message")
    require(
      [TLN_OK, TLN_INVALID_ARGUMENT, TLN_UNSUPPORTED, TLN_NO_DEVICE, TLN_OUT_OF_MEMORY]
        .contains(Int(status)), "options give \(status): " + String(cString: tln_last_error()))
  }

  private static func createNetwork(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    // A network that would be large is not a question of options.
    var values = tln_network_options()
    tln_network_options_init(&values)
    withUnsafeMutableBytes(of: &values) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: memory, count: min(count, $0.count)))
    }
    let sizes = [values.input_size, values.hidden_size, values.output_size]
    let isRefused = sizes.contains { !(1...1 << 24).contains($0) }
    guard isRefused || sizes.allSatisfy({ $0 <= 1024 }) else { return }
    var network: OpaquePointer? = OpaquePointer(bitPattern: 8)
    expect(
      tln_network_create(memory.assumingMemoryBound(to: tln_network_options.self), &network), network)
    require(!isRefused || network == nil, "sizes of \(sizes)")
    tln_network_free(network)
  }

  private static func loadNetwork(_ memory: UnsafeMutableRawPointer) {
    var network: OpaquePointer? = OpaquePointer(bitPattern: 8)
    let options = memory.assumingMemoryBound(to: tln_network_options.self)
    let status = smallFile.withUnsafeBytes {
      tln_network_load_memory($0.baseAddress, $0.count, options, &network)
    }
    expect(status, network)
    tln_network_free(network)
  }

  private static func createTrainer(_ memory: UnsafeMutableRawPointer) {
    var trainer: OpaquePointer? = OpaquePointer(bitPattern: 8)
    let options = memory.assumingMemoryBound(to: tln_trainer_options.self)
    expect(tln_trainer_create(smallNetwork, options, &trainer), trainer)
    guard let trainer else { return }
    // Whatever was accepted trains, or says why not.
    let features: [Float] = [0, 0.5, 1]
    var loss: Float = 0
    let status = tln_trainer_step(trainer, features, [1], 1, &loss)
    require(status == TLN_OK || status == TLN_INVALID_ARGUMENT, "a step gives \(status)")
    require(status != TLN_OK || loss.isFinite, "a loss of \(loss)")
    let fit = tln_trainer_fit(trainer, smallDataset, 1, nil, nil)
    require(fit == TLN_OK || fit == TLN_INVALID_ARGUMENT, "fit gives \(fit)")
    tln_trainer_free(trainer)
  }

  /// Pointers cannot come from an input: it chooses between some. Rows are kept within what is there.
  private static func createDataset(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    var values = tln_dataset_options()
    tln_dataset_options_init(&values)
    withUnsafeMutableBytes(of: &values) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: memory, count: min(count, $0.count)))
    }
    let choice = UInt(bitPattern: values.features) & 3
    let labelChoice = UInt(bitPattern: values.labels) & 3
    let (bytes, labels) = (pool.baseAddress!, pool.baseAddress! + 64)
    let features: UnsafeRawPointer? = choice == 0 ? nil : UnsafeRawPointer(bytes + Int(choice) - 1)
    let labelPlace: UnsafeRawPointer? =
      labelChoice == 0 ? nil : UnsafeRawPointer(labels + Int(labelChoice) - 1)
    func place(_ pointer: UnsafeRawPointer?, _ path: KeyPath<tln_dataset_options, UnsafeRawPointer?>) {
      let offset = MemoryLayout<tln_dataset_options>.offset(of: path)!
      guard offset + 8 <= count else { return }
      memory.storeBytes(of: UInt(bitPattern: pointer), toByteOffset: offset, as: UInt.self)
    }
    place(features, \.features)
    place(labelPlace, \.labels)
    let element: Int64 = values.feature_type == 1 ? 4 : 1
    let (packed, overflow) = values.columns.multipliedReportingOverflow(by: element)
    let stride = values.row_stride_bytes == 0 ? packed : values.row_stride_bytes
    let (span, overflow2) = stride.multipliedReportingOverflow(by: values.rows)
    let isValid = values.columns > 0 && values.columns <= 1 << 24 && values.rows > 0 && !overflow
    if isValid && (overflow2 || span > 48 || values.rows > 16) && stride >= packed { return }
    var dataset: OpaquePointer? = OpaquePointer(bitPattern: 8)
    expect(
      tln_dataset_create(memory.assumingMemoryBound(to: tln_dataset_options.self), &dataset), dataset)
    guard let dataset else { return }
    var (rows, columns): (Int64, Int64) = (0, 0)
    require(tln_dataset_shape(dataset, &rows, &columns) == TLN_OK, "no shape")
    require(rows == values.rows && columns == values.columns, "another shape")
    var read = [Float](repeating: .nan, count: Int(rows * columns))
    require(tln_dataset_read(dataset, 0, rows, &read, nil) == TLN_OK, "cannot be read")
    require(read.allSatisfy(\.isFinite), "features that are not finite")
    tln_dataset_free(dataset)
  }

  private static func describeDevice(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    let device = Int32(count % 5)
    let status = tln_device_describe(device, memory.assumingMemoryBound(to: tln_device_info.self))
    require(status == TLN_OK || status == TLN_INVALID_ARGUMENT, "describing gives \(status)")
  }

  private static func evaluate(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    let result = memory.assumingMemoryBound(to: tln_evaluation.self)
    let size = memory.load(as: Int.self)
    let status = tln_network_evaluate(smallNetwork, smallDataset, result)
    require(status == TLN_OK || status == TLN_INVALID_ARGUMENT, "evaluating gives \(status)")
    require(memory.load(as: Int.self) == size, "struct_size was written to")
    if status == TLN_OK && count >= 24 {
      require(memory.load(fromByteOffset: 8, as: Int64.self) == 2, "rows")
    }
  }
}

/// A network of 3 inputs, 2 hidden units and 2 outputs.
nonisolated(unsafe) private let smallNetwork: OpaquePointer = {
  var options = tln_network_options()
  tln_network_options_init(&options)
  (options.input_size, options.hidden_size, options.output_size, options.threads) = (3, 2, 2, 1)
  var network: OpaquePointer?
  require(tln_network_create(&options, &network) == TLN_OK, "no network")
  return network!
}()

/// Its file.
private let smallFile: [UInt8] = withPath("safetensors") { path in
  require(tln_network_save(smallNetwork, path) == TLN_OK, "not saved")
  return [UInt8](FileManager.default.contents(atPath: path)!)
}

/// Two rows for it.
nonisolated(unsafe) private let smallDataset: OpaquePointer = {
  var options = tln_dataset_options()
  tln_dataset_options_init(&options)
  (options.features, options.rows, options.columns, options.copy) = (.init(pool.baseAddress!), 2, 3, 1)
  options.labels = .init(pool.baseAddress! + 96)
  var dataset: OpaquePointer?
  require(tln_dataset_create(&options, &dataset) == TLN_OK, "no dataset")
  return dataset!
}()

/// 48 bytes of features, finite as floats, and 16 labels of up to 64 bits, all zero.
nonisolated(unsafe) private let pool: UnsafeMutableBufferPointer<UInt8> = {
  let pool = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 + 16 * 8 + 8, alignment: 64)
    .bindMemory(to: UInt8.self)
  for index in pool.indices { pool[index] = index < 64 ? UInt8(index) : 0 }
  return pool
}()
