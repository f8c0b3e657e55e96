// The progress of a run: a bar that is redrawn on a terminal, a plain line every ten seconds
// elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "runtime/run.h"

namespace proctor {

class ProgressLine {
 public:
  // Writes to stderr. A bar that has not come to its end goes with this.
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void show(const RunProgress& progress);

  // "[####......] 24/60  3.1 turns/s  120 tokens/s  0 errors  1m05s left": a bar that fills what
  // the words leave of `width` columns. Without a width the words alone: "24/60 rollouts  3.1
  // turns/s..."
  static std::string text(const RunProgress& progress, int width);

 private:
  bool terminal_ = false;
  bool open_ = false;  // the cursor stands behind a bar
  std::chrono::steady_clock::time_point last_;
};

}  // namespace proctor
