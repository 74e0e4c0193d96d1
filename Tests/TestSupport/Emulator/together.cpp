// Groups of a launch by turns. A group gives its turn to the next when it waits for a word; when all of them
// have waited and none has told anything meanwhile, they would wait for ever.

#include "together.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace tlne {

void let_others_run();
void told();

namespace {

/// Thrown where a group waits for ever.
struct stuck {};

struct gang {
  std::mutex mutex;
  std::vector<std::condition_variable> turns;
  std::vector<bool> is_done;
  int turn = 0;
  int waits = 0; /* since something was told */
  bool is_stuck = false;

  explicit gang(int groups) : turns((size_t)groups), is_done((size_t)groups, false) {}

  /// The next group that is not done has its turn.
  void pass() {
    const int groups = (int)is_done.size();
    for (int i = 0; i < groups; i++) {
      turn = (turn + 1) % groups;
      if (!is_done[(size_t)turn]) break;
    }
    turns[(size_t)turn].notify_one();
  }
};

thread_local gang *own_gang;
thread_local int own_group;

}  // namespace

void told() {
  if (own_gang) own_gang->waits = 0;
}

void let_others_run() {
  gang &all = *own_gang;
  const int me = own_group;
  if (++all.waits > 2 * (int)all.is_done.size()) all.is_stuck = true;
  std::unique_lock<std::mutex> lock(all.mutex);
  all.pass();
  all.turns[(size_t)me].wait(lock, [&] { return all.turn == me; });
  if (all.is_stuck) throw stuck();
}

bool run_together(int groups, const std::function<void(int)> &body) {
  gang all(groups);
  std::vector<std::thread> threads;
  for (int group = 0; group < groups; group++) {
    threads.emplace_back([&, group] {
      {
        std::unique_lock<std::mutex> lock(all.mutex);
        all.turns[(size_t)group].wait(lock, [&] { return all.turn == group; });
      }
      own_gang = &all;
      own_group = group;
      try {
        body(group);
      } catch (const stuck &) {
      }
      std::unique_lock<std::mutex> lock(all.mutex);
      all.is_done[(size_t)group] = true;
      all.waits = 0;
      all.pass();
    });
  }
  for (std::thread &thread : threads) thread.join();
  return !all.is_stuck;
}

}  // namespace tlne
