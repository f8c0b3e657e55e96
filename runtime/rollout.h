// One rollout is one coroutine: prompt, generate, parse, act, observe, record, supervise, again.
#pragma once

#include <memory>
#include <string>

#include "runtime/rollout_services.h"

namespace proctor {

struct RolloutPlan {
  TaskRef task;
  int sample = 0;
  std::unique_ptr<Trajectory> so_far;  // a journalled one to go on with; else null
};

// RUN-TASK-SAMPLE
std::string trajectory_id(const std::string& run, const std::string& task, int sample);

// Plays it to its end; the record is on the disk when this returns. Runs on the caller's strand.
// A failure of policy or tools is in the record; an Error means that the store failed. Throws the
// cancellation exception when called off: then its journal is what is left of it. The services
// outlive it.
Async<Result<TrajectoryRef>> roll_out(const RolloutServices* services, RolloutPlan plan);

}  // namespace proctor
