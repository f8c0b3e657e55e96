// The progress of a run: one line that is redrawn on a terminal, a plain line now and then
// elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "runtime/run.h"

namespace proctor {

class ProgressLine {
 public:
  // Writes to stderr.
  ProgressLine();
  void show(const RunProgress& progress);

  // "[####      ] 24/60 rollouts  96 turns  3.1 turns/s  120 tokens/s  0 errors  1m05s left"
  static std::string text(const RunProgress& progress, int width);

 private:
  bool terminal_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace proctor
