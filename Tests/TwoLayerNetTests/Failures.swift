// Looking at errors.

import Testing

@testable import TwoLayerNet

/// Expects a failure with this status, whose message says each of the words.
func expectFailure<R>(
  _ status: Status, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> R
) {
  do {
    _ = try body()
    Issue.record("no failure", sourceLocation: sourceLocation)
  } catch let failure as Failure {
    #expect(failure.status == status, "\(failure.message)", sourceLocation: sourceLocation)
    for word in words where word != "" && !failure.message.contains(word) {
      Issue.record("“\(failure.message)” does not say “\(word)”", sourceLocation: sourceLocation)
    }
  } catch {
    Issue.record("\(error)", sourceLocation: sourceLocation)
  }
}
