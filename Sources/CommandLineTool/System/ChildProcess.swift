// Running another program and waiting for it.

import CSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How a program ended.
struct ChildResult {
  /// Its exit code, 128 + signal if it was killed, 127 if it could not be started.
  let code: Int32
  /// What it wrote to standard error.
  let errorText: String

  var isSuccess: Bool { code == 0 }
}

/// Runs a program found in PATH, with nothing to read, its standard output thrown away and its standard
/// error collected. No shell is involved. While it says nothing, `waiting` is called four times a second.
func runProgram(_ arguments: [String], waiting: () -> Void = {}) -> ChildResult {
  var ends: [Int32] = [0, 0]
  guard pipe(&ends) == 0 else { return ChildResult(code: 127, errorText: systemError()) }
  #if os(Linux)
    var actions = posix_spawn_file_actions_t()
  #else
    var actions: posix_spawn_file_actions_t?
  #endif
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
  posix_spawn_file_actions_addclose(&actions, ends[0])
  posix_spawn_file_actions_addclose(&actions, ends[1])
  var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
  defer { for word in words { free(word) } }
  var child: pid_t = 0
  let started = posix_spawnp(&child, arguments[0], &actions, nil, &words, environ)
  close(ends[1])
  defer { close(ends[0]) }
  guard started == 0 else { return ChildResult(code: 127, errorText: systemError(started)) }
  let errorText = readAll(ends[0], waiting)
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0 && tlns_errno() == EINTR {}
  // What the macros WIFEXITED, WEXITSTATUS and WTERMSIG say.
  let signal = status & 0x7f
  return ChildResult(code: signal == 0 ? status >> 8 & 0xff : 128 + signal, errorText: errorText)
}

private func readAll(_ descriptor: Int32, _ waiting: () -> Void) -> String {
  var text: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4096)
  while true {
    var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    if poll(&ready, 1, 250) == 0 {
      waiting()
      continue
    }
    let count = read(descriptor, &chunk, chunk.count)
    if count < 0 && tlns_errno() == EINTR { continue }
    if count <= 0 { return String(decoding: text, as: UTF8.self) }
    text += chunk[..<count]
  }
}
