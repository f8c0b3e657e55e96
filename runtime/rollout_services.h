// What all rollouts of a run share, and what of it one task gets. Blind spot: nothing here keeps
// what it points to alive; the run does.
#pragma once

#include <atomic>
#include <map>
#include <memory>
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
  std::atomic<std::int64_t> prompt_tokens{0}, completion_tokens{0};
  std::atomic<std::int64_t> uncounted{0};  // turns of which nobody said how many tokens they took
  std::atomic<std::int64_t> in_flight{0}, highest_in_flight{0};
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

// The tools a task may use: its own list, else its suite's, else all of the run; of these, those
// that the run does not keep to other suites.
std::vector<ToolDefinition> tools_of(const RolloutServices& services, const Task& task);
const RolloutLimits& limits_of(const RolloutServices& services, const Task& task);
// System and few-shot messages, then the question.
std::vector<Message> prompt_of(const RolloutServices& services, const Task& task);

// The policy's seed for one sample of a task. Below 2^53, so that no reader of the JSON loses
// digits.
std::uint64_t policy_seed(const RunConfig& config, const Task& task, int sample);
// A record's `policy`: who acts in that sample of the task, and how it is asked.
json::object policy_of(const RolloutServices& services, const Task& task, int sample);

}  // namespace proctor
