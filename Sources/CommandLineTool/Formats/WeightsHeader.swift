// A trained network as one C header: its numbers and the few lines that run it, with no library at all,
// for small devices.

import CTwoLayerNet
import TwoLayerNet

struct WeightsHeader {
  /// What every name in the header begins with, made of the file's name.
  let prefix: String
  let shape: Shape
  /// In the order of `Parameter.allCases`.
  let parameters: [[Float]]

  init(_ network: Network, path: String) throws(Failure) {
    shape = network.shape
    parameters = try network.parameters()
    let stem = lastComponent(path).dropLast(".h".count)
    let words = stem.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }.joined(separator: "_")
    // C keeps names that begin with an underscore, C++ also those with two in a row, for itself.
    prefix = words.first?.isLetter == true ? words : words.isEmpty ? "network" : "network_" + words
  }

  /// The file.
  var text: String {
    let guardName = prefix.uppercased() + "_H"
    return """
      /*
       * A two-layer neural network, written by twolayernet \(TLN_VERSION_STRING). C99 or later, or C++; nothing to link.
       *
       *   \(prefix)_logits(input, logits)   a score for each of \(shape.output) classes
       *   \(prefix)_predict(input)          the class with the largest score
       *
       * input: \(shape.input) floats, for images their pixels row by row, byte / 255. Both work on the stack
       * (\(4 * shape.hidden) bytes and a little) and may run in several threads at once.
       */
      #ifndef \(guardName)
      #define \(guardName)

      #define \(prefix.uppercased())_INPUTS \(shape.input)
      #define \(prefix.uppercased())_HIDDEN \(shape.hidden)
      #define \(prefix.uppercased())_OUTPUTS \(shape.output)

      \(Parameter.allCases.map(array).joined(separator: "\n"))
      static inline void \(prefix)_logits(const float *input, float *logits) {
        float hidden[\(shape.hidden)];
        for (int unit = 0; unit < \(shape.hidden); unit++) {
          float sum = \(name(.hiddenBias))[unit];
          for (int i = 0; i < \(shape.input); i++) sum += \(name(.hiddenWeight))[unit][i] * input[i];
          hidden[unit] = sum > 0 ? sum : 0;
        }
        for (int output = 0; output < \(shape.output); output++) {
          float sum = \(name(.outputBias))[output];
          for (int unit = 0; unit < \(shape.hidden); unit++) sum += \(name(.outputWeight))[output][unit] * hidden[unit];
          logits[output] = sum;
        }
      }

      static inline int \(prefix)_predict(const float *input) {
        float logits[\(shape.output)];
        int best = 0;
        \(prefix)_logits(input, logits);
        for (int output = 1; output < \(shape.output); output++)
          if (logits[output] > logits[best]) best = output;
        return best;
      }

      #endif\n
      """
  }

  private func name(_ parameter: Parameter) -> String {
    switch parameter {
    case .hiddenWeight: prefix + "_weight1"
    case .hiddenBias: prefix + "_bias1"
    case .outputWeight: prefix + "_weight2"
    case .outputBias: prefix + "_bias2"
    }
  }

  /// One tensor as a C array, a row on a line, each number so that C reads the same bits.
  private func array(_ parameter: Parameter) -> String {
    let sizes = parameter.sizes(in: shape)
    let values = parameters[parameter.rawValue].map { "\($0)f" }
    let dimensions = sizes.map { "[\($0)]" }.joined()
    let declaration = "static const float \(name(parameter))\(dimensions) = {\n"
    if sizes.count == 1 { return declaration + "  " + values.joined(separator: ", ") + "};\n" }
    let rows = stride(from: 0, to: values.count, by: sizes[1]).map {
      "  {" + values[$0..<$0 + sizes[1]].joined(separator: ", ") + "}"
    }
    return declaration + rows.joined(separator: ",\n") + "};\n"
  }
}
