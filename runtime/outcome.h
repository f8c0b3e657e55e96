// How a rollout ended, and what its task's checker says of that. Blind spot: a checker that
// computes without waiting is not ended by its deadline.
#pragma once

#include <optional>
#include <string>

#include "runtime/rollout_services.h"

namespace proctor {

Outcome ended(OutcomeStatus status, std::string why = "");
Outcome answered(std::optional<std::string> answer);

// The outcome with what the task's checker says of it. Of a rollout that a failure of ours ended
// nothing is asked: it has no reward. Where the checker itself fails, why_ungraded()
// (supervisors/grading.h) tells. The services outlive it.
Async<Outcome> graded(const RolloutServices* services, TrajectoryRef whole);

}  // namespace proctor
