// Networks from files of three versions of PyTorch and of safetensors, into files, and what is not one.

import Foundation
import TestSupport
import Testing

@testable import TwoLayerNet

struct NetworkCheckpointTests {
  @Test(
    arguments: RecordedCheckpoints.versions,
    [
      "network.pth", "network.stream.pth", "network.archive.pth", "dictionary.pth", "prefixed.pth",
      "nested.pth", "model_state_dict.pth", "views.pth", "parameters.pth", "protocol4.pth",
      "float64.pth", "deflated.pth", "begun.pth",
    ])
  func filesOfPyTorchAreRead(_ version: String, _ name: String) throws {
    let expected = try RecordedCheckpoints(version)
    var notices: [String] = []
    let network = try Network.load(
      RecordedCheckpoints.path(version, name), device: .cpu, notice: { notices.append($0) })
    #expect(network.shape == (try Shape(input: 7, hidden: 3, output: 2)))
    #expect(try parameters(network) == expected.parameters)
    #expect(notices.isEmpty)
  }

  @Test(arguments: ["2.1.2", "2.13.0"], ["network.safetensors", "metadata.safetensors"])
  func filesOfSafetensorsAreRead(_ version: String, _ name: String) throws {
    let network = try Network.load(RecordedCheckpoints.path(version, name), device: .cpu)
    #expect(try parameters(network) == (try RecordedCheckpoints(version).parameters))
  }

  @Test(arguments: RecordedCheckpoints.versions, ["float16.pth", "bfloat16.pth"])
  func halvesAreConverted(_ version: String, _ name: String) throws {
    let expected = try RecordedCheckpoints(version).parameters
    let network = try Network.load(RecordedCheckpoints.path(version, name), device: .cpu)
    for (values, exact) in try zip(parameters(network), expected) {
      for (value, exact) in zip(values, exact) {
        // The file's values have 11 or 8 bits; rounding to them is PyTorch's.
        #expect(abs(value - exact) <= abs(exact) * (name == "float16.pth" ? 0x1p-11 : 0x1p-8))
        #expect(name == "float16.pth" || value.bitPattern & 0xffff == 0)
      }
    }
  }

  @Test(arguments: RecordedCheckpoints.versions)
  func otherNamesAreRecognisedBySizesWithANotice(_ version: String) throws {
    var notices: [String] = []
    let network = try Network.load(
      RecordedCheckpoints.path(version, "renamed.pth"), device: .cpu, notice: { notices.append($0) })
    #expect(try parameters(network) == (try RecordedCheckpoints(version).parameters))
    #expect(notices.count == 1 && notices[0].contains("fc1.weight [3, 7]"))
  }

  @Test(arguments: RecordedCheckpoints.versions)
  func wholeModulesAreRefusedWithAdvice(_ version: String) {
    expectFailure(.badFile, "__main__.Network", "torch.save(model.state_dict(), path)") {
      try Network.load(RecordedCheckpoints.path(version, "module.pth"), device: .cpu)
    }
  }

  @Test(arguments: ["network.pth", "network.safetensors"])
  func writtenFilesEqualPyTorchs(_ name: String) throws {
    let recorded = RecordedCheckpoints.path("2.1.2", name)
    try withTemporaryDirectory { directory in
      try Network.load(recorded, device: .cpu).save(directory + "/" + name)
      let bytes = try Data(contentsOf: URL(fileURLWithPath: directory + "/" + name))
      #expect(try bytes == Data(contentsOf: URL(fileURLWithPath: recorded)))
    }
  }

  @Test func theArchiveIsCalledAsPyTorchCallsIt() throws {
    let network = try Network.make(Shape(input: 2, hidden: 1, output: 1), device: .cpu)
    try withTemporaryDirectory { directory in
      for (file, root) in [
        ("a.pth", "a"), ("a.b.pth", "a.b"), ("ä.pth", "archive"), (".pth", "archive"), ("x y.pt", "x y"),
      ] {
        try network.save(directory + "/" + file)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: directory + "/" + file))
        #expect(bytes[30...].starts(with: (root + "/data.pkl").utf8), "\(file)")
      }
    }
  }

  @Test(arguments: [(1, 1, 1), (784, 100, 10), (5, 70, 300), (70_000, 3, 2), (3, 2, 70_000)])
  func networksComeBackBitForBit(_ sizes: (Int, Int, Int)) throws {
    let shape = try Shape(input: sizes.0, hidden: sizes.1, output: sizes.2)
    let network = try Network.make(shape, seed: 5, device: .cpu)
    try withTemporaryDirectory { directory in
      for ending in [".pth", ".pt", ".safetensors"] {
        try network.save(directory + "/n" + ending)
        let loaded = try Network.load(directory + "/n" + ending, device: .cpu)
        #expect(loaded.shape == shape)
        #expect(try parameters(loaded) == parameters(network))
      }
    }
  }

  @Test func otherEndingsAreNotWritten() throws {
    let network = try Network.make(Shape(input: 2, hidden: 1, output: 1), device: .cpu)
    for name in ["a", "a.onnx", "pth", "a.pth.gz", "a.PTH"] {
      expectFailure(.unsupported, ".safetensors") { try network.save("/nowhere/" + name) }
      expectFailure(.unsupported, ".safetensors") { try network.probeSave("/nowhere/" + name) }
    }
    expectFailure(.ioError, "/nowhere/a.pth") { try network.save("/nowhere/a.pth") }
    expectFailure(.ioError, "/nowhere/a.pth") { try network.probeSave("/nowhere/a.pth") }
  }

  @Test func aFailedSaveLeavesTheOldFile() throws {
    let network = try Network.make(Shape(input: 2, hidden: 1, output: 1), device: .cpu)
    try withTemporaryDirectory { directory in
      let path = try write([1, 2, 3], to: directory + "/a.pth")
      // A file that cannot be written beside the old one: there is a directory in the way of none.
      #expect(chmod(path, 0o400) == 0)
      if access(path, W_OK) != 0 { expectFailure(.ioError) { try network.save(path) } }
      #expect(chmod(path, 0o600) == 0)
      expectFailure(.unsupported) { try network.save(path + ".unknown") }
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["a.pth"])
      try network.save(path)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["a.pth"])
      _ = try Network.load(path, device: .cpu)
    }
  }

  // What a network is recognised by.

  /// A file with tensors of these sizes, all ones.
  private func file(_ tensors: [(name: String, sizes: [Int])], type: String = "FloatStorage") -> [UInt8]
  {
    var entries: [(String, [UInt8])] = []
    var storages: [(key: String, bytes: [UInt8])] = []
    for (index, tensor) in tensors.enumerated() {
      let count = tensor.sizes.reduce(1, *)
      entries.append(
        (
          tensor.name,
          Pickled.tensor(
            String(index), count: count, sizes: tensor.sizes, strides: packedStrides(tensor.sizes),
            type: type)
        ))
      let width = type == "LongStorage" ? 8 : 4
      storages.append((String(index), [UInt8](repeating: 0, count: count * width)))
    }
    return TorchBuilder(pickle: Pickled.whole(Pickled.dictionary(entries)), storages: storages).bytes
  }

  private func network(_ names: [String], _ sizes: [[Int]]) -> [UInt8] {
    file(zip(names, sizes).map { ($0, $1) })
  }

  private let names = Parameter.allCases.map(\.name)

  @Test func theBuilderIsGood() throws {
    let network = try loadNetwork(TorchBuilder().bytes)
    #expect(try parameters(network).flatMap { $0 } == (0..<14).map { Float($0) })
  }

  @Test func layersThatDoNotFitAreRefused() {
    expectRefused(
      network(names, [[3, 7], [3], [2, 4], [2]]), "layers.2.weight [2, 4] and layers.2.bias [2] are not")
    expectRefused(network(names, [[3, 7], [4], [2, 3], [2]]), "fit")
    expectRefused(network(names, [[3, 7], [3], [2, 3], [3]]), "fit")
    expectRefused(network(names, [[3, 7, 1], [3], [2, 3], [2]]), "fit")
    expectRefused(network(names, [[21], [3], [2, 3], [2]]), "fit")
    expectRefused(network(["a", "b", "c", "d"], [[3, 7], [4], [2, 3], [2]]), "fit")
    expectRefused(network(["a", "b", "c", "d"], [[3, 7], [2, 3], [4, 2], [2]]), "fit")
  }

  @Test func emptyLayersAreRefused() {
    expectRefused(network(names, [[0, 7], [0], [2, 0], [2]]), "size 0")
    expectRefused(network(names, [[3, 0], [3], [2, 3], [2]]), "size 0")
    expectRefused(network(names, [[3, 7], [3], [0, 3], [0]]), "size 0")
  }

  @Test func furtherAndMissingTensorsAreRefused() {
    let sizes = [[3, 7], [3], [2, 3], [2]]
    expectRefused(network(names + ["extra"], sizes + [[1]]), "5 tensors")
    expectRefused(network(Array(names[..<3]), sizes), "3 tensors")
    expectRefused(network([], []), "no tensors")
  }

  @Test func tensorsBesideTheNetworkDoNoHarm() throws {
    var builder = TorchBuilder()
    let model = Array(builder.pickle.dropFirst(2).dropLast())
    let state = Pickled.tensor("9", count: 3, sizes: [3], strides: [1], type: "ByteStorage")
    builder.storages.append(("9", [1, 2, 3]))
    for name in ["state_dict", "model", "model_state_dict"] {
      builder.pickle = Pickled.whole(Pickled.dictionary([("rng", state), (name, model)]))
      let network = try loadNetwork(builder.bytes)
      #expect(try parameters(network).flatMap { $0 } == (0..<14).map { Float($0) })
    }
    builder.pickle = Pickled.whole(Pickled.dictionary([("rng", state), ("other", model)]))
    expectRefused(builder.bytes, "1 tensors")
  }

  @Test func integersAreRefused() {
    let tensors = zip(names, [[3, 7], [3], [2, 3], [2]]).map { (name: $0, sizes: $1) }
    expectRefused(file(tensors, type: "LongStorage"), "layers.0.weight has elements of type int64")
  }

  @Test func ambiguousSizesAreRefused() throws {
    // Square layers: nothing tells which comes first.
    expectRefused(network(["a", "b", "c", "d"], [[3, 3], [3], [3, 3], [3]]), "cannot be told")
    // An autoencoder's layers fit in both orders.
    expectRefused(
      network(["a.weight", "a.bias", "b.weight", "b.bias"], [[2, 5], [2], [5, 2], [5]]),
      "cannot be told")
    // Equal biases are told apart by their names, in any order.
    let named = try loadNetwork(
      network(["z.bias", "z.weight", "b.weight", "b.bias"], [[3], [3, 3], [3, 7], [3]]))
    #expect(named.shape == (try Shape(input: 7, hidden: 3, output: 3)))
    expectRefused(
      network(["a", "b", "c", "d"], [[3, 7], [3], [3, 3], [3]]), "cannot be told")
  }

  @Test func valuesThatAreNotFiniteAreRefused() {
    for value in [Float.nan, .infinity, -.infinity] {
      var builder = TorchBuilder()
      builder.storages[1].bytes = floats([1, value])
      expectRefused(builder.bytes, "element 1 of layers.0.bias is not finite")
    }
  }

  @Test func doublesThatAreTooLargeAreRefused() {
    var builder = TorchBuilder()
    let double = Pickled.tensor("3", count: 2, sizes: [2], strides: [1], type: "DoubleStorage")
    let single = Pickled.tensor("3", count: 2, sizes: [2], strides: [1])
    let start = builder.pickle.firstRange(of: single)!
    builder.pickle.replaceSubrange(start, with: double)
    builder.storages[3].bytes = [1.5, 1e300].flatMap { little($0.bitPattern) }
    expectRefused(builder.bytes, "element 1 of layers.2.bias is not finite")
  }

  @Test func otherFilesAreRefused() throws {
    for bytes in [[], [1], Array("PK".utf8), Array("hello world, this is text".utf8)] as [[UInt8]] {
      expectRefused(bytes, "neither")
    }
    try withTemporaryDirectory { directory in
      expectFailure(.ioError, "nothing.pth") { try Network.load(directory + "/nothing.pth") }
      expectFailure(.ioError, "regular") { try Network.load(directory) }
    }
  }

  @Test func everyTruncationIsRefused() throws {
    for bytes in [
      TorchBuilder().bytes, Array(try golden("checkpoints/torch-2.1.2/network.pth")),
      Array(try golden("checkpoints/torch-2.1.2/network.safetensors")),
      Array(try golden("checkpoints/torch-2.1.2/network.stream.pth")),
    ] {
      for count in 0..<bytes.count { expectRefused(Array(bytes[..<count])) }
    }
  }

  @Test func noChangedByteDoesHarm() throws {
    var random = TestRandom(1)
    for name in [
      "network.pth", "network.stream.pth", "trained.pth", "network.safetensors", "deflated.pth",
    ] {
      let original = Array(try golden("checkpoints/torch-2.1.2/" + name))
      for position in original.indices {
        var bytes = original
        bytes[position] ^= UInt8(random.int(1...255))
        do { _ = try loadNetwork(bytes) } catch let failure as Failure {
          #expect([.badFile, .unsupported].contains(failure.status), "\(failure.message)")
        }
      }
    }
  }
}
