// The main job: plays every rollout of a configuration that is not finished yet, group by group,
// into a run directory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/assembly.h"
#include "runtime/core/telemetry.h"
#include "runtime/store.h"
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
  Summary summary;
  std::int64_t trajectories = 0;  // finished ones in the directory
  std::int64_t missing = 0;       // rollouts of the configuration that are not finished
  std::int64_t errors = 0;        // with outcome `error`
  std::int64_t graded = 0;        // of those that could not be graded before, by this process
  std::map<std::string, std::int64_t> reasons;  // why rollouts ended in `error` or have no grade
  bool interrupted = false;
};

// What a run begins with: a directory of its own; one there is, to go on in; or that, with finished
// rollouts that ended in `error` begun anew and replaced, and those graded whose checker failed.
enum class Start { create, resume, retry_errors };

// Blocks until all is played, or until SIGINT/SIGTERM: then finished work is kept and the journals
// of the others too. `show` is called about five times a second. An Error when the directory cannot
// be written or, before any work is done, something needed is not there.
Result<RunResult> run_all(Assembly& assembly, Start start,
                          std::function<void(const RunProgress&)> show);

}  // namespace proctor
