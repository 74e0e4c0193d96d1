// Curves as SVG, drawn inside the page.

import CSystem
import TwoLayerNet

/// A value for each epoch, or several such curves in one drawing.
struct Chart {
  struct Curve {
    let name: String
    /// Which of the page's colours.
    let colour: Int
    let points: [(epoch: Int, value: Double)]

    /// Numbers beyond this, which a broken training may have, make no drawing.
    static let valueLimit = 1e30
  }

  let title: String
  let curves: [Curve]

  private static let (width, height) = (460.0, 260.0)
  private static let (left, right, top, bottom) = (58.0, 12.0, 14.0, 34.0)

  var svg: String {
    let points = curves.flatMap(\.points)
    guard let low = points.map(\.value).min(), let high = points.map(\.value).max() else { return "" }
    let (first, last) = (points.map(\.epoch).min()!, points.map(\.epoch).max()!)
    let ticks = Self.ticks(low, high)
    let (bottomValue, topValue) = (ticks[0], ticks[ticks.count - 1])
    func x(_ epoch: Int) -> Double {
      let part = last > first ? Double(epoch - first) / Double(last - first) : 0.5
      return Self.left + part * (Self.width - Self.left - Self.right)
    }
    func y(_ value: Double) -> Double {
      let part = (value - bottomValue) / (topValue - bottomValue)
      return Self.height - Self.bottom - part * (Self.height - Self.top - Self.bottom)
    }
    func place(_ value: Double) -> String { fixed(value, 1) }

    var text = """
      <svg viewBox="0 0 \(place(Self.width)) \(place(Self.height))" role="img" \
      aria-label="\(escaped(title))">\n
      """
    let digits = Self.decimals(ticks[1] - ticks[0])
    for value in ticks {
      text += """
        <line class="grid" x1="\(place(Self.left))" x2="\(place(Self.width - Self.right))" \
        y1="\(place(y(value)))" y2="\(place(y(value)))"/>
        <text x="\(place(Self.left - 6))" y="\(place(y(value) + 4))" text-anchor="end">\
        \(fixed(value, digits))</text>\n
        """
    }
    let pause = max(1, (last - first + 9) / 10)
    for epoch in stride(from: first, through: last, by: pause) {
      text += """
        <text x="\(place(x(epoch)))" y="\(place(Self.height - 14))" text-anchor="middle">\(epoch)</text>\n
        """
    }
    for curve in curves {
      let path = curve.points.map { "\(place(x($0.epoch))),\(place(y($0.value)))" }
      text += "<polyline class=\"curve c\(curve.colour)\" points=\"\(path.joined(separator: " "))\"/>\n"
      if let only = path.first, path.count == 1 {
        let parts = only.split(separator: ",")
        text +=
          "<circle class=\"dot c\(curve.colour)\" cx=\"\(parts[0])\" cy=\"\(parts[1])\" r=\"3\"/>\n"
      }
    }
    return text + "</svg>\n"
  }

  /// Two to seven numbers at the axis, which enclose the values: multiples of 1, 2 or 5 times a power of ten.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    let size = max(abs(low), abs(high))
    let isFlat = high - low <= 1e-6 * size
    let span = isFlat ? max(0.1 * size, 0.1) : high - low
    let power = pow(10, log10(span / 5).rounded(.down))
    let step = power * ([1, 2, 5, 10].first { $0 * power >= span / 5 } ?? 10)
    // What is a multiple but for rounding is one.
    var first = (low / step + 1e-6).rounded(.down)
    var last = (high / step - 1e-6).rounded(.up)
    if isFlat { (first, last) = (low > 0 ? max(first - 1, 0) : first - 1, last + 1) }
    return (0...Int(max(last - first, 1))).map { (first + Double($0)) * step }
  }

  /// How many decimals show steps of this size.
  private static func decimals(_ step: Double) -> Int {
    max(0, -Int((log10(step) + 1e-6).rounded(.down)))
  }

  /// The drawing with its title and what the colours mean.
  var html: String {
    let legend = curves.map { "<span class=\"key c\($0.colour)\">\(escaped($0.name))</span>" }
    return """
      <figure><figcaption>\(escaped(title)) &nbsp; \(legend.joined(separator: " "))</figcaption>
      \(svg)</figure>\n
      """
  }
}

/// Text inside HTML.
func escaped(_ text: String) -> String {
  var result = ""
  for character in text {
    switch character {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    default: result.append(character)
    }
  }
  return result
}
