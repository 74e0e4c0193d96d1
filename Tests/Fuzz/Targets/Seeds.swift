// Inputs to start from, one folder for each target, made with the builders of the tests. Recorded files
// of other programs, Tests/Golden, are added by fuzz.py.

import Foundation
import TestSupport

@testable import TwoLayerNet

func writeSeeds(_ directory: String) {
  for (target, seeds) in seeds() {
    let folder = "\(directory)/\(target)"
    try! FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (index, seed) in seeds.enumerated() {
      try! Data(seed).write(to: URL(fileURLWithPath: "\(folder)/seed-\(index)"))
    }
  }
}

private func seeds() -> [String: [[UInt8]]] {
  let torch = TorchBuilder().bytes
  let files = [torch, deflatedTorch(), wideTorch(), described()]
  let pickles = [TorchBuilder().pickle, everyOperation()]
  let images = idx([3, 2, 2], Array(0..<12))
  return [
    "idx": [images, TestSupport.gzip(images), idx([3], [0, 1, 2]), idx([2, 0], [])],
    "gzip": [
      TestSupport.gzip(images), TestSupport.gzip([]) + TestSupport.gzip([7]), packed(),
      TestSupport.gzip([UInt8](repeating: 3, count: 3000)), images,
    ],
    "zip": files,
    "pickle": pickles,
    "torch": files,
    "network": files + [safetensors()],
    "safetensors": [safetensors(), safetensors(metadata: true)],
    "trainer": trainers(),
    "npz": npz(),
    "image": pictures(),
    "options": options(),
  ]
}

private func deflatedTorch() -> [UInt8] {
  ZipBuilder(
    TorchBuilder().members.map { ZipMember.deflated(String(decoding: $0.name, as: UTF8.self), $0.bytes) }
  ).bytes
}

private func wideTorch() -> [UInt8] {
  var members = TorchBuilder().members
  for index in members.indices { members[index].isWide = true }
  var builder = ZipBuilder(members)
  builder.isZip64 = true
  builder.comment = Array("twolayernet 1\n".utf8)
  return builder.bytes
}

private func described() -> [UInt8] {
  ZipBuilder(
    TorchBuilder().members.enumerated().map { index, member in
      .described(
        String(decoding: member.name, as: UTF8.self), member.bytes, signature: index % 2 == 0,
        wide: index % 3 == 0)
    }
  ).bytes
}

/// One of each kind of value and operation.
private func everyOperation() -> [UInt8] {
  let tensor = Pickled.tensor("0", count: 6, offset: 1, sizes: [2, 2], strides: [2, 1])
  return Pickled.whole(
    Pickled.dictionary([
      (
        "w",
        Pickled.call(Pickled.global("torch._utils", "_rebuild_parameter"), [tensor, [0x88], [0x4e]])
      ),
      ("size", Pickled.call(Pickled.global("torch", "Size"), [Pickled.tuple([Pickled.int(3)])])),
      (
        "list", Pickled.list([Pickled.int(1), Pickled.int(1 << 40), Pickled.float(0.5), [0x4e], [0x89]])
      ),
      ("bytes", [0x43, 2, 1, 2]), ("memo", Pickled.text("m") + [0x71, 5, 0x68, 5, 0x86]),
      ("name", [0x8c, 5] + Array("torch".utf8) + [0x8c, 4] + Array("Size".utf8) + [0x93]),
      (
        "ordered",
        Pickled.call(
          Pickled.global("collections", "OrderedDict"),
          [Pickled.list([Pickled.tuple([Pickled.text("a"), Pickled.int(1)])])]) + [0x7d, 0x62]
      ),
    ]))
}

private func safetensors(metadata: Bool = false) -> [UInt8] {
  var header = "{"
  if metadata { header += #""__metadata__":{"format":"pt","a\u00e9\n":"\ud83d\ude00"},"# }
  header += #""b1":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},"#
  header += #""W1":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#
  header += #""b2":{"dtype":"F16","shape":[3],"data_offsets":[32,38]},"#
  header += #""W2":{"dtype":"BF16","shape":[3,2],"data_offsets":[38,50]}}"#
  return little(UInt64(header.utf8.count)) + Array(header.utf8) + floats((0..<8).map { Float($0) })
    + [UInt8](repeating: 0x3c, count: 18)
}

/// Files of trainers before, in and after an epoch.
private func trainers() -> [[UInt8]] {
  let pixels = (0..<35).map { UInt8($0 * 7) }
  let labels: [Int64] = [0, 1, 0, 1, 1]
  return [0, 1, 3, 6].map { steps in
    withPath("pth") { path in
      let trainer = FuzzTarget.newTrainer(batchSize: 2)
      pixels.withUnsafeBytes { pixels in
        labels.withUnsafeBufferPointer { labels in
          let dataset = try! Dataset.make(
            features: pixels.baseAddress!, type: .u8, rows: 5, columns: 7,
            labels: .i64(labels.baseAddress!))
          var rest = steps
          if steps == 0 { return }
          try? trainer.fit(dataset, epochs: 9) { _ in
            rest -= 1
            return rest > 0
          }
        }
      }
      try! trainer.save(path)
      return [UInt8](FileManager.default.contents(atPath: path)!)
    }
  }
}

private func npz() -> [[UInt8]] {
  func array(_ description: String, order: String, shape: String, _ bytes: [UInt8], version: UInt8 = 1)
    -> [UInt8]
  {
    var header = "{'descr': '\(description)', 'fortran_order': \(order), 'shape': \(shape), }"
    while (header.utf8.count + (version == 1 ? 11 : 13)) % 64 != 0 { header += " " }
    header += "\n"
    let length = version == 1 ? little(UInt16(header.utf8.count)) : little(UInt32(header.utf8.count))
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + Array(header.utf8) + bytes
  }
  let weights = array("<f4", order: "False", shape: "(2, 3)", floats([0, 1, 2, 3, 4, 5]))
  let columns = array(
    ">f8", order: "True", shape: "(2,)", [UInt8](repeating: 0x40, count: 16), version: 2)
  return [
    ZipBuilder([ZipMember("W.npy", weights), .deflated("b.npy", columns)]).bytes,
    ZipBuilder([ZipMember("x.npy", array("|u1", order: "False", shape: "()", [3], version: 3))]).bytes,
  ]
}

private func pictures() -> [[UInt8]] {
  func chunk(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
    big(UInt32(bytes.count)) + Array(name.utf8) + bytes + big(crc32(Array(name.utf8) + bytes))
  }
  func png(_ width: Int, _ height: Int, depth: UInt8, type: UInt8, rowBytes: Int) -> [UInt8] {
    var pixels: [UInt8] = []
    for row in 0..<height {
      pixels.append(UInt8(row % 5))
      pixels += (0..<rowBytes).map { UInt8(truncatingIfNeeded: $0 * 37 + row) }
    }
    // A zlib stream: a header, bare deflate, and Adler's checksum.
    let (first, second) = pixels.reduce((1, 0)) { sums, byte in
      let first = (sums.0 + Int(byte)) % 65521
      return (first, (sums.1 + first) % 65521)
    }
    let data = [0x78, 0x9c] + deflate(pixels) + big(UInt32(second << 16 | first))
    return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
      + chunk("IHDR", big(UInt32(width)) + big(UInt32(height)) + [depth, type, 0, 0, 0])
      + (type == 3 ? chunk("PLTE", Array(0..<48)) + chunk("tRNS", [0, 128]) : []) + chunk("IDAT", data)
      + chunk("IEND", [])
  }
  return [
    png(5, 6, depth: 8, type: 0, rowBytes: 5), png(9, 5, depth: 1, type: 0, rowBytes: 2),
    png(4, 5, depth: 16, type: 2, rowBytes: 24), png(5, 7, depth: 4, type: 3, rowBytes: 3),
    png(3, 5, depth: 8, type: 4, rowBytes: 6), png(3, 5, depth: 8, type: 6, rowBytes: 12),
    Array("P5\n# a comment\n3 2 255\n".utf8) + Array(0..<6),
    Array("P5 2 2 1000\n".utf8) + Array(0..<8), Array("P2 2 2 9\n0 9 # x\n4 5\n".utf8),
  ]
}

/// The first byte chooses the function, the next two are struct_size; see the target.
private func options() -> [[UInt8]] {
  func input(_ function: UInt8, _ size: Int, _ words: [UInt64]) -> [UInt8] {
    [function] + little(UInt16(size)) + words.flatMap { little($0) }
  }
  let doubles = [0.1, 0.9, 0, 0].map(\.bitPattern)
  return [
    input(0, 56, [3, 2, 2, 42, 0]), input(0, 24, [5, 4]), input(0, 80, [3, 2, 2, 0, 1 << 32]),
    input(1, 56, [0, 0, 0, 0, 1]), input(2, 88, doubles + [0, 2, 1]), input(2, 16, doubles),
    input(2, 88, doubles + [1, 3, 1 << 32, 0, 7]), input(3, 72, [1, 0, 2, 3, 0, 1, 2]),
    input(3, 72, [1, 1, 2, 3, 12, 1, 1 | 1 << 32]), input(4, 400, []), input(5, 40, []),
    input(5, 16, []),
    [0, 0xff, 0xff],
  ]
}

/// Text that a compressor can do something with, as a gzip file with a name in its header.
private func packed() -> [UInt8] {
  let text = Array(String(repeating: "two layers, ", count: 40).utf8)
  return [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3, 0x61, 0] + deflate(text) + little(crc32(text))
    + little(UInt32(text.count))
}
