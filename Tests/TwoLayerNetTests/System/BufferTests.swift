// Memory that is not there: sizes that no machine has are an error like any other.

import Testing

@testable import TwoLayerNet

struct BufferTests {
  @Test(arguments: [-1, Int.min, .max, .max / 8 + 1, .max / 8, 1 << 59])
  func impossibleSizesAreErrors(_ count: Int) {
    expectFailure(.outOfMemory) { try Buffer<UInt64>(uninitialized: count).count }
    expectFailure(.outOfMemory) { try Buffer<UInt64>(zeroed: count).count }
  }

  @Test func emptyBuffersAreBuffers() throws {
    #expect(try Buffer<UInt64>(zeroed: 0).readOnly.isEmpty)
    #expect(try Array(Buffer(copying: []).readOnly) == [])
  }
}
