// Putting a digit where MNIST has its digits (http://yann.lecun.com/exdb/mnist): 20 of 28 pixels high or
// wide, with the centre of its mass in the middle.

extension GrayImage {
  /// The bright part of the picture, scaled with its proportions kept, in a black square of `side` pixels.
  func centered(in side: Int) -> GrayImage {
    let box = max(1, (side * 20 + 14) / 28)
    guard let ink = bright() else { return fitted(to: side) }
    let small = ink.fitted(to: box)
    var (mass, x, y) = (0.0, 0.0, 0.0)
    for row in 0..<box {
      for column in 0..<box {
        let value = Double(small.pixels[row * box + column])
        mass += value
        x += value * (Double(column) + 0.5)
        y += value * (Double(row) + 0.5)
      }
    }
    func start(_ moment: Double) -> Int {
      let wanted = (Double(side) / 2 - moment / mass).rounded()
      return Int(min(max(wanted, 0), Double(side - box)))
    }
    // So little light that it vanished when it was scaled.
    guard mass > 0 else { return fitted(to: side) }
    let (left, top) = (start(x), start(y))
    var result = GrayImage(
      width: side, height: side, pixels: [Float](repeating: 0, count: side * side))
    for row in 0..<box {
      for column in 0..<box {
        result.pixels[(top + row) * side + left + column] = small.pixels[row * box + column]
      }
    }
    return result
  }

  /// The smallest part that holds all pixels but faint ones; nil if the picture is black.
  private func bright() -> GrayImage? {
    guard let brightest = pixels.max(), brightest > 0 else { return nil }
    // Less is paper that is not quite white, or the noise of a camera.
    let least = brightest / 4
    var (left, right, top, bottom) = (width, -1, height, -1)
    for row in 0..<height {
      for column in 0..<width where pixels[row * width + column] >= least {
        (left, right) = (min(left, column), max(right, column))
        (top, bottom) = (min(top, row), max(bottom, row))
      }
    }
    var part: [Float] = []
    for row in top...bottom { part += pixels[row * width + left...row * width + right] }
    return GrayImage(width: right - left + 1, height: bottom - top + 1, pixels: part)
  }
}
