// What was recorded from real PyTorch by Tests/Golden/record_training.py.

import Foundation
import TestSupport

struct Recording: Decodable, Sendable {
  struct Draws: Decodable, Sendable {
    struct Initial: Decodable, Sendable {
      let seed: String
      let size: [Int]
      let sha256: String
    }
    struct Order: Decodable, Sendable {
      let seed: UInt64
      let count: Int
      let sha256: [String]
    }
    struct State: Decodable, Sendable {
      let draws: Int
      let sha256: String
      let bytes: Int
    }
    let initial: [Initial]
    let order: [Order]
    let state: [State]
  }

  struct Run: Decodable, Sendable, CustomStringConvertible {
    let dataset: String
    let seed: UInt64
    let hidden: Int
    let batch: Int
    let epochs: Int
    let drop_last: Bool?
    let shuffle: Bool?
    let lr: Double?
    let momentum: Double?
    let dampening: Double?
    let weight_decay: Double?
    let nesterov: Bool?
    let maximize: Bool?
    let first_losses: [String]
    let losses_sha256: [String]
    let weights_sha256: [String: String]
    let correct: Int

    var description: String { "\(dataset), seed \(seed), hidden \(hidden), batch \(batch)" }
  }

  let torch: String
  let draws: Draws
  let runs: [Run]

  static let training: Recording = try! JSONDecoder().decode(
    Recording.self, from: golden("training.json"))
}
