// Groups that run at the same time: a thread for each, of which one runs until it has to wait.

#ifndef TLN_EMULATOR_TOGETHER_H
#define TLN_EMULATOR_TOGETHER_H

#include <functional>

namespace tlne {

/// Runs body(0), ..., body(groups - 1) by turns; false if in the end all of them waited for each other.
bool run_together(int groups, const std::function<void(int)> &body);

}  // namespace tlne

#endif
