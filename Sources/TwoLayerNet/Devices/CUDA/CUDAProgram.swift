// The PTX text of the kernels, unpacked from the form that Sources/CGPUKernels/generate.py gave it.

import CGPUKernels
import CSystem

enum CUDAProgram {
  /// The text, with a NUL at its end. What is unpacked is this library's own, and needs no checks.
  static func text() throws(Failure) -> Buffer<UInt8> {
    var packedBytes = 0
    // Two sizes, and a zlib stream.
    let file = UnsafeRawPointer(tlng_packed_ptx(&packedBytes)!)
    let textBytes = Int(file.loadUnaligned(as: UInt32.self))
    let relativeBytes = Int(file.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    let relative = try Buffer<UInt8>(uninitialized: relativeBytes)
    var count = UInt(relativeBytes)
    let stream = (file + 8).assumingMemoryBound(to: UInt8.self)
    guard uncompress(relative.base, &count, stream, UInt(packedBytes &- 8)) == Z_OK else {
      throw .outOfMemory(bytes: 1 << 16)
    }
    let text = try Buffer<UInt8>(zeroed: textBytes &+ 1)
    expand(relative, into: text)
    return text
  }

  private static func expand(_ source: borrowing Buffer<UInt8>, into text: borrowing Buffer<UInt8>) {
    let (firstKind, beginsFunction) = (128, 143)
    var appeared = SIMD8<Int>()
    var (place, end) = (0, 0)
    while place < source.count {
      let byte = Int(source[place])
      place &+= 1
      if byte == beginsFunction {
        appeared = SIMD8()
      } else if byte < firstKind {
        text[end] = UInt8(byte)
        end &+= 1
      } else {
        let kind = byte &- firstKind
        // How many of its kind have appeared since it first did, counted from 1; 0 for a new one.
        var back = Int(source[place])
        place &+= 1
        if back == 255 {
          back = Int(source[place]) &+ Int(source[place &+ 1]) &* 256
          place &+= 2
        }
        if back == 0 { appeared[kind] &+= 1 }
        write(kind, appeared[kind] &+ 1 &- max(back, 1), to: text.base, &end)
      }
    }
  }

  /// Writes the name of a register or a label.
  private static func write(
    _ kind: Int, _ number: Int, to text: UnsafeMutablePointer<UInt8>, _ end: inout Int
  ) {
    let before: StaticString =
      switch kind {
      case 0: "%p"
      case 1: "%rs"
      case 2: "%r"
      case 3: "%rd"
      case 4: "%f"
      default: "$"
      }
    memcpy(text + end, before.utf8Start, before.utf8CodeUnitCount)
    end &+= before.utf8CodeUnitCount
    var unit = 1
    while number / unit >= 10 { unit &*= 10 }
    while unit > 0 {
      text[end] = UInt8(truncatingIfNeeded: 48 &+ number / unit % 10)
      end &+= 1
      unit /= 10
    }
  }
}
