// The main job: plays every rollout of a configuration that is not finished yet, group by group,
// into a run directory.
#pragma once

#include <functional>
#include <vector>

#include "runtime/assembly.h"
#include "runtime/core/telemetry.h"
#include "runtime/run_plan.h"
#include "runtime/summary.h"

namespace proctor {

struct RunProgress {
  std::int64_t done = 0, total = 0;
  std::int64_t errors = 0;  // those of earlier processes that stand among them
  const RunCounters* counters = nullptr;
  double seconds = 0;  // since the first rollout of this process began
  bool over = false;
};

struct RunResult {
  Summary summary;             // of all that is finished in the directory
  std::int64_t missing = 0;    // rollouts of the configuration that are not finished
  std::int64_t graded = 0;     // of those that could not be graded before, by this process
  std::vector<Error> damaged;  // finished records that cannot be read, left out of the lines
  bool interrupted = false;
};

// Blocks until all is played, or until SIGINT/SIGTERM: then finished work is kept and the journals
// of the others too. `show` is called about five times a second, and once more at the end. An Error
// when the directory cannot be read or written or, before any work is done, something needed is not
// there; `show` is not told of that end.
Result<RunResult> run_all(Assembly& assembly, Start start,
                          std::function<void(const RunProgress&)> show);

}  // namespace proctor
