// Pickles byte by byte as Python's pickler writes them in protocol 2 (`pickle.dumps(value, 2)`), where the
// checkpoints in Tests/Golden do not go: large numbers, and more values than a byte counts.

import TestSupport
import Testing

@testable import TwoLayerNet

struct PickleWriterTests {
  /// Numbers around every change of width, with what stands between the protocol and the end.
  static let numbers: [(Int, String)] = [
    (0, "4b00"), (255, "4bff"), (256, "4d0001"), (65535, "4dffff"), (65536, "4a00000100"),
    (2_147_483_647, "4affffff7f"), (-1, "4affffffff"), (-2_147_483_648, "4a00000080"),
    (2_147_483_648, "8a050000008000"), (-2_147_483_649, "8a05ffffff7fff"),
    (549_755_813_887, "8a05ffffffff7f"), (549_755_813_888, "8a06000000008000"),
    (-549_755_813_888, "8a050000000080"), (-549_755_813_889, "8a06ffffffff7fff"),
    (140_737_488_355_328, "8a0700000000008000"), (.max, "8a08ffffffffffffff7f"),
    (.min, "8a080000000000000080"),
  ]

  @Test(arguments: numbers)
  func numbersTakeAsFewBytesAsTheyNeed(_ number: Int, _ wanted: String) {
    let digits = PickleWriter.pickle(.int(number)).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    #expect(digits.joined() == "8002\(wanted)2e")
  }

  /// From the 256th on, what is remembered has a number of four bytes.
  @Test func manyStringsAreRememberedAndReferredTo() {
    let texts = (0..<300).map { Picklable.text("name \($0)") }
    let bytes = PickleWriter.pickle(.list(texts + texts))
    #expect(bytes.count == 5268)
    #expect(
      sha256(bytes) == "cabc86f67616ed2cb6396ac177afd0cf2182f63612d1c262074196001cf41d1d")
  }
}
