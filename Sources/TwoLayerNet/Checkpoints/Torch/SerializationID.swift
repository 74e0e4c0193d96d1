// The number that PyTorch 2.1 and later store in a file to tell files apart. It depends on names and
// checksums only, but by way of the C++ library: names come in the order in which GNU's unordered_set
// happens to walk over them. So that set is modelled here.

/// The forty digits of `.data/serialization_id` for entries with these names and checksums.
func serializationID(names: [String], checksums: [UInt32]) -> String {
  var nameHash: UInt64 = 0
  let hashes = names.map(murmurHash)
  for index in unorderedSetOrder(hashes) { nameHash = combined(nameHash, hashes[index]) }
  var checksumHash: UInt64 = 0
  for checksum in checksums { checksumHash = combined(checksumHash, UInt64(checksum)) }
  return twentyDigits(nameHash) + twentyDigits(checksumHash)
}

private func twentyDigits(_ number: UInt64) -> String {
  let digits = String(number)
  return String(repeating: "0", count: 20 - digits.utf8.count) + digits
}

/// c10::hash_combine.
private func combined(_ seed: UInt64, _ value: UInt64) -> UInt64 {
  seed ^ (value &+ 0x9e37_79b9 &+ (seed << 6) &+ (seed >> 2))
}

/// MurmurHash64A with the seed of libstdc++'s std::hash of strings.
private func murmurHash(_ text: String) -> UInt64 {
  let bytes = text.bytes
  let factor: UInt64 = 0xc6a4_a793_5bd1_e995
  var hash = 0xc70f_6907 ^ (UInt64(bytes.count) &* factor)
  var position = 0
  while position < bytes.count {
    var word: UInt64 = 0
    let count = min(8, bytes.count - position)
    for index in 0..<count { word |= UInt64(bytes[position + index]) << UInt64(8 * index) }
    if count == 8 {
      word = word &* factor
      word = (word ^ word >> 47) &* factor
    }
    hash = (hash ^ word) &* factor
    position += 8
  }
  hash = (hash ^ hash >> 47) &* factor
  return hash ^ hash >> 47
}

/// The order in which a std::unordered_set walks over elements with these hashes that were inserted one
/// after the other. It is one linked list; each bucket knows the element before its first.
private func unorderedSetOrder(_ hashes: [UInt64]) -> [Int] {
  /// The primes that its number of buckets goes through.
  let bucketCounts = [13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043]
  /// What follows each element; the place after the last element is that before the first.
  let head = hashes.count
  var next = [Int?](repeating: nil, count: hashes.count + 1)
  var before: [Int?] = []

  func bucket(_ element: Int) -> Int { Int(hashes[element] % UInt64(before.count)) }

  func insert(_ element: Int) {
    let own = bucket(element)
    if let previous = before[own] {
      next[element] = next[previous]
      next[previous] = element
    } else {
      next[element] = next[head]
      next[head] = element
      if let second = next[element] { before[bucket(second)] = element }
      before[own] = head
    }
  }

  func walk() -> [Int] {
    var order: [Int] = []
    var element = next[head]
    while let index = element {
      order.append(index)
      element = next[index]
    }
    return order
  }

  for element in hashes.indices {
    if element + 1 > before.count {
      let wanted = before.isEmpty ? 12 : 2 * before.count
      let old = walk()
      before = [Int?](
        repeating: nil, count: bucketCounts.first { $0 >= wanted } ?? bucketCounts.last!)
      next[head] = nil
      for moved in old { insert(moved) }
    }
    insert(element)
  }
  return walk()
}
