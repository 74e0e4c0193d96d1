// Numbers as text.

import CSystem

/// 1 epoch, 2,000 epochs.
func counted(_ number: Int, _ thing: String) -> String {
  "\(grouped(number)) \(thing)\(number == 1 ? "" : "s")"
}

/// As C's and Python's "%.5f" write it.
func fixed(_ value: Double, _ digits: Int) -> String {
  // 309 digits before the point, and what is asked for after it.
  var text = [CChar](repeating: 0, count: 320 + digits)
  let count = withVaList([Int32(digits), value]) { vsnprintf(&text, text.count, "%.*f", $0) }
  return String(decoding: text.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// 12345678 as 12,345,678.
func grouped(_ value: Int) -> String {
  var text = ""
  for (index, digit) in String(value.magnitude).reversed().enumerated() {
    if index > 0 && index % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return (value < 0 ? "-" : "") + text.reversed()
}

/// Seconds as 12.3 s, 4:05 or 1:02:03.
func duration(_ seconds: Double) -> String {
  if seconds < 60 { return fixed(seconds, 1) + " s" }
  return clock(seconds)
}

/// Seconds as 0:05, 4:05 or 1:02:03.
func clock(_ seconds: Double) -> String {
  let whole = Int(min(max(seconds, 0), 359_999))
  func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
  let (hours, minutes) = (whole / 3600, whole / 60 % 60)
  return hours > 0
    ? "\(hours):\(two(minutes)):\(two(whole % 60))" : "\(minutes):\(two(whole % 60))"
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
