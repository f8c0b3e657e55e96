#include "runtime/outcome.h"

#include <utility>

#include "supervisors/grading.h"

namespace proctor {

Outcome ended(OutcomeStatus status, std::string why) {
  Outcome outcome;
  outcome.status = status;
  if (!why.empty()) outcome.error = std::move(why);
  return outcome;
}

Outcome answered(std::optional<std::string> answer) {
  Outcome outcome = ended(OutcomeStatus::answered);
  outcome.answer = std::move(answer);
  return outcome;
}

Async<Outcome> graded(const RolloutServices* services, TrajectoryRef whole) {
  Outcome outcome = whole->outcome;
  const auto checker = services->checkers.find(whole->task_id);
  if (checker == services->checkers.end() || !ended_by_policy(outcome)) co_return outcome;
  auto work = checker->second->check(whole);
  // It may wait for the sandbox behind all tools: the rollout's whole time, not that of one wait.
  const Milliseconds limit = limits_of(*services, *whole->task).wall;
  std::string what = "checker";
  auto grade = co_await with_deadline(std::move(work), limit, std::move(what));
  if (grade) {
    outcome.reward = grade->reward;
    outcome.correct = grade->correct;
    outcome.metrics = std::move(grade->metrics);
  } else {
    outcome.metrics[kCheckerError] = json::string(grade.error().message);
  }
  co_return outcome;
}

}  // namespace proctor
