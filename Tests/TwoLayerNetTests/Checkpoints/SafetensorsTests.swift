// safetensors files: what the format allows, and one test for everything that it forbids.

import TestSupport
import Testing

@testable import TwoLayerNet

struct SafetensorsTests {
  private func file(_ header: String, data: Int = 24, size: UInt64? = nil) -> [UInt8] {
    little(size ?? UInt64(header.utf8.count)) + Array(header.utf8)
      + floats((0..<(data / 4)).map { Float($0) }) + [UInt8](repeating: 0, count: data % 4)
  }

  private func expectBad(
    _ header: String, _ word: String = "", data: Int = 24, size: UInt64? = nil,
    status: Status = .badFile,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectFailure(status, word, sourceLocation: sourceLocation) {
      try withCheckpoint(file(header, data: data, size: size)) { $0.tensors.count }
    }
  }

  private let good = #"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#

  @Test func goodFilesAreRead() throws {
    for header in [
      good, good + "   ",
      "{ \"w\" :\n{\t\"dtype\": \"F32\", \"shape\" : [ 2 , 3 ],\"data_offsets\":[0,24] } }",
      #"{"w":{"data_offsets":[0,24],"shape":[2,3],"dtype":"F32"}}"#,
      #"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#,
      #"{"__metadata__":{},"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"e":{"dtype":"F32","shape":[0],"data_offsets":[24,24]}}"#,
    ] {
      // What begins with a space is not told from other files, and the format forbids it.
      try withCheckpoint(file(header)) { checkpoint in
        #expect(checkpoint.format == .safetensors)
        let tensor = checkpoint.tensors.first { $0.name == "w" }!
        let values = try checkpoint.values(tensor)
        #expect(values == [0, 1, 2, 3, 4, 5])
      }
    }
    try withCheckpoint(file("{}", data: 0)) { #expect($0.tensors.isEmpty) }
  }

  @Test func stringsAreJSON() throws {
    let header =
      #"{"__metadata__":{"a":"\"\\\/\b\f\n\r\tä\u00e4\ud83d\ude00\u0000"},"\u0077":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#
    try withCheckpoint(file(header)) { checkpoint in
      #expect(checkpoint.tensors[0].name == "w")
      guard case .text(let text)? = checkpoint.scalar("a") else {
        Issue.record("no text")
        return
      }
      #expect(text == "\"\\/\u{8}\u{c}\n\r\tää😀\0")
    }
  }

  @Test func otherJSONIsRefused() {
    for header in [
      "{", "{}}", "{},", "{x", #"{"w"}"#, #"{"w":}"#, #"{"w":1}"#, #"{"w":null}"#, #"{"w":[]}"#,
      #"{"w":{}}"#,
      #"{"w":{"dtype":"F32","shape":[6]}}"#, #"{"w":{"shape":[6],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24],"x":1}}"#,
      #"{"w":{"dtype":"F32","dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"shape":[6],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24],}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},}"#,
      #"{"w":{"dtype":"F32","shape":[6,],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[06],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6.0],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[-6],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6e0],"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"data_offsets":[0]}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24,24]}}"#,
      #"{"w":{"dtype":"F32","shape":[6],"data_offsets":[0,99999999999999999999]}}"#,
      #"{"w":{"dtype":"F32","shape":6,"data_offsets":[0,24]}}"#,
      #"{"w":{"dtype":5,"shape":[6],"data_offsets":[0,24]}}"#,
      #"{'w':{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
      #"{"__metadata__":{"a":1},"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
      #"{"__metadata__":{"a":{}},"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
      #"{"__metadata__":[],"w":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
      "{\"a\n\":{}}", #"{"\x":{}}"#, #"{"\u12":{}}"#, #"{"\ud800":{}}"#, #"{"\ud800\u0041":{}}"#,
      #"{"\udc00":{}}"#,
      #"{"\u00g0":{}}"#, "{\"a", "{\"a\\", "{\"a\\u", good + "x", good + "\0", good + good,
    ] {
      expectBad(header, "header")
    }
    let invalid = Array(#"{"a"#.utf8) + [0xff] + Array(#"":{}}"#.utf8)
    expectFailure(.badFile, "header") {
      try withCheckpoint(little(UInt64(invalid.count)) + invalid) { $0.tensors.count }
    }
  }

  @Test func deepJSONIsRefused() {
    expectBad(String(repeating: #"{"a":"#, count: 100_000), "header")
    expectBad(#"{"a":"# + String(repeating: "[", count: 100_000), "header")
  }

  @Test func headerSizesThatLieAreRefused() {
    for size in [UInt64.max, 1 << 63, 1 << 40, 1000] { expectBad(good, "cut off", size: size) }
    for size in [0, 1, UInt64(good.utf8.count - 1)] { expectBad(good, "header", size: size) }
    expectBad("{" + String(repeating: " ", count: 17_000_000) + "}", "header has", data: 0)
  }

  @Test func offsetsThatLieAreRefused() {
    func entry(_ name: String, _ shape: String, _ begin: Int, _ end: Int) -> String {
      "\"\(name)\":{\"dtype\":\"F32\",\"shape\":[\(shape)],\"data_offsets\":[\(begin),\(end)]}"
    }
    func bad(
      _ word: String, data: Int = 24, _ entries: String...,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      expectBad(
        "{" + entries.joined(separator: ",") + "}", word, data: data, sourceLocation: sourceLocation)
    }
    bad("sizes of w", entry("w", "6", 0, 20))
    bad("sizes of w", entry("w", "7", 0, 28))
    bad("sizes of w", entry("w", "5", 24, 4))
    bad("sizes of w", entry("w", "9223372036854775807", 0, 24))
    bad("sizes of w", entry("w", "4294967296,4294967296", 0, 0))
    bad("sizes of w", entry("w", "4611686018427387904", 0, 0))
    bad("no tensor", entry("w", "5", 0, 20))
    bad("no tensor", data: 25, entry("w", "6", 0, 24))
    bad("gap", entry("w", "5", 4, 24))
    bad("gap", entry("a", "2", 0, 8), entry("b", "3", 12, 24))
    bad("overlap", entry("a", "3", 0, 12), entry("b", "4", 8, 24))
    bad("overlap", entry("a", "6", 0, 24), entry("b", "6", 0, 24))
    bad("twice", entry("w", "3", 0, 12), entry("w", "3", 12, 24))
    bad("header", entry("w", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,6", 0, 24))
  }

  @Test func duplicateMetadataIsRefused() {
    expectBad(#"{"__metadata__":{"a":"b","a":"c"}}"#, "twice", data: 0)
    expectBad(#"{"__metadata__":{"a":"b"},"__metadata__":{"a":"b"}}"#, data: 0)
  }

  @Test func unknownTypesAreUnsupported() {
    expectBad(
      #"{"w":{"dtype":"F8_E4M3","shape":[24],"data_offsets":[0,24]}}"#, "F8_E4M3", status: .unsupported)
  }

  @Test func longNamesAndManyTensorsAreRefused() {
    let name = String(repeating: "x", count: 2000)
    expectBad("{\"\(name)\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}", "long")
    let many = (0..<17_000).map { "\"\($0)\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}" }
    expectBad("{" + many.joined(separator: ",") + "}", "too many", data: 0)
  }

  @Test func namesAreQuoted() throws {
    let names = ["a\"b", "a\\b", "a\nb", "ä", "\u{1f}", "plain"]
    try withTemporaryDirectory { directory in
      let path = directory + "/n.safetensors"
      try Safetensors.save(
        names.map { TensorSource(name: $0, sizes: [0]) { _ throws(Failure) in } }, to: path)
      #expect(try Checkpoint.open(path).tensors.map(\.name).sorted() == names.sorted())
    }
  }
}
