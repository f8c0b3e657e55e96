// What is left to do of a run: rollouts to begin or to go on with, finished ones to grade, groups
// whose labels are missing.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/assembly.h"
#include "runtime/core/telemetry.h"
#include "runtime/rollout.h"
#include "runtime/store.h"

namespace proctor {

// What a run begins with: a directory of its own; one there is, to go on in; or that, with finished
// rollouts that ended in `error` or whose record is damaged begun anew and replaced, and those
// graded whose checker failed.
enum class Start { create, resume, retry_errors };

struct RunPlan {
  struct Group {
    std::size_t expected = 0, finished = 0;
    std::vector<std::string> members;
  };

  std::vector<RolloutPlan> rollouts;                      // by task and sample
  std::vector<std::pair<std::string, TaskRef>> to_grade;  // finished ones, by id
  std::vector<TrajectoryRef> again;                       // starts of those finished before
  std::map<std::string, Group> groups;                    // that group hooks are to see, by id
  std::size_t total = 0;                                  // rollouts of the configuration
  std::size_t finished = 0;                               // of these, before
  std::int64_t errors = 0;                                // that stand among them
};

// Reads what the store knows. Journals that cannot be gone on with are told on stderr and in the
// log, and begin anew.
Result<RunPlan> plan_run(const Assembly& assembly, Store& store, EventLog& log, Start start);

}  // namespace proctor
