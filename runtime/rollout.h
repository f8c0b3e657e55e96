// One rollout is one coroutine: prompt, generate, parse, act, observe, record, supervise, again.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/suite.h"
#include "policies/format.h"
#include "policies/model.h"
#include "runtime/run_config.h"
#include "runtime/store.h"
#include "supervisors/supervisor.h"
#include "tools/tool.h"

namespace proctor {

// What a run shows while it goes on; counted from any thread.
struct RunCounters {
  std::atomic<std::int64_t> finished{0}, turns{0}, tool_calls{0}, errors{0};
  std::atomic<std::int64_t> prompt_tokens{0}, completion_tokens{0}, wasted_tokens{0};
  std::atomic<std::int64_t> in_flight{0}, highest_in_flight{0};
  std::atomic<std::int64_t> failed_supervisions{0};
};

// What all rollouts of a run share; everything in it outlives them.
struct RolloutServices {
  const RunConfig* config = nullptr;
  ModelRef policy;
  Capabilities capabilities;
  FormatRef format;
  std::map<std::string, ToolRef> tools;
  std::map<std::string, std::vector<std::string>> tool_suites;  // of tools kept to some suites
  std::map<std::string, Suite> suites;                          // by name
  std::map<std::string, CheckerRef> checkers;                   // by task id
  std::map<std::string, RolloutLimits> limits;  // by suite name; else the configuration's
  std::vector<SupervisorInstance> supervisors;
  Store* store = nullptr;
  const Clock* clock = nullptr;
  RunCounters* counters = nullptr;
};

struct RolloutPlan {
  TaskRef task;
  int sample = 0;
  std::unique_ptr<Trajectory> so_far;  // a journalled one to go on with; else null
};

// RUN-TASK-SAMPLE
std::string trajectory_id(const std::string& run, const std::string& task, int sample);
// The tools a task may use: its own list, else its suite's, else all of the run; of these, those
// that the run does not keep to other suites.
std::vector<ToolDefinition> tools_of(const RolloutServices& services, const Task& task);
const RolloutLimits& limits_of(const RolloutServices& services, const Task& task);
// System and few-shot messages, then the question.
std::vector<Message> prompt_of(const RolloutServices& services, const Task& task);

// The outcome with what the task's checker says of it. Of a rollout that a failure of ours ended
// nothing is asked: it has no reward. Where the checker itself fails, why_ungraded() tells.
Async<Outcome> graded(const RolloutServices& services, TrajectoryRef whole);
// Why the checker could not grade it (`metrics.checker_error`); nothing when it did, or was not
// asked.
std::optional<std::string> why_ungraded(const Outcome& outcome);

// Plays it to its end; the record is on the disk when this returns. Runs on the caller's strand.
// A failure of policy or tools is in the record; an Error means that the store failed. Throws the
// cancellation exception when called off: then its journal is what is left of it.
Async<Result<TrajectoryRef>> roll_out(const RolloutServices& services, RolloutPlan plan);

}  // namespace proctor
