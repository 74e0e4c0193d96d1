// Stands where the engine's checkpoints will: this version neither saves nor loads.

import TwoLayerNet

extension Network {
  private static let pending = Failure(.unsupported, "this version cannot save or load networks")

  static func load(_ path: String, device: Device?, threads: Int) throws(Failure) -> Network {
    throw pending
  }
  func save(_ path: String) throws(Failure) { throw Self.pending }
  func probeSave(_ path: String) throws(Failure) {}
}
extension Trainer {
  func load(_ path: String) throws(Failure) {}
  func save(_ path: String) throws(Failure) {}
}
