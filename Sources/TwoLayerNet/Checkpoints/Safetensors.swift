// The safetensors format (https://github.com/huggingface/safetensors): the size of a header in eight
// bytes, the header as JSON, and the elements of all tensors without gaps.

enum Safetensors {
  /// The format allows a hundred million bytes; the checkpoints of this network have some hundred.
  private static let headerLimit = 1 << 24

  /// Eight bytes of size, and the brace that a header begins with.
  static func isOne(_ head: borrowing Buffer<UInt8>) -> Bool {
    head.count >= 9 && head[8] == UInt8(ascii: "{")
  }

  static func read(_ file: borrowing File) throws(Failure) -> Contents {
    throw .unsupported("\(file.path) is a safetensors file")
  }

  static func save(_ tensors: [TensorSource], to path: String) throws(Failure) {
    throw .unsupported("safetensors")
  }
}
