// The tool calls of one rollout's turns: which run side by side, what they may spend, how long each
// may take, and what the policy sees of one that fails. Blind spot: a tool that computes without
// waiting is not ended by its deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/budget.h"
#include "runtime/rollout_services.h"
#include "runtime/stop_alarm.h"
#include "runtime/supervision.h"

namespace proctor {

// All calls on the rollout's strand.
class ToolRunner {
 public:
  // What it is given outlives it. `definitions` are the tools that the task may use.
  ToolRunner(const RolloutServices& services, const RolloutLimits& limits,
             const std::vector<ToolDefinition>& definitions, Budget& budget,
             Supervision& supervision, StopAlarm& alarm, ToolContext context,
             const asio::any_io_executor& strand);

  // The observations of a turn's calls, in their order: side by side, but those with state one
  // after another. What leaves a trace waits for the decision on the turns before; a stop calls all
  // off, and what came is of no use then.
  Async<std::vector<Observation>> act(std::vector<ToolCall> calls);
  // Plays a journalled turn's calls of stateful tools again, to rebuild their sessions.
  Async<void> replay(TurnRef turn);

  // What of ours failed under a tool: no turn may follow, and its observation is of no use.
  const std::optional<std::string>& broken() const { return broken_; }
  int replayed() const { return replayed_; }

 private:
  Tool* find(const ToolCall& call) const;
  Async<std::vector<Observation>> side_by_side(std::vector<ToolCall> calls);
  Async<std::vector<Observation>> in_order(std::vector<ToolCall> calls);
  Async<Observation> call(ToolCall call);
  Async<Observation> run(ToolCall call);

  const RolloutServices& services_;
  const RolloutLimits& limits_;
  const std::vector<ToolDefinition>& definitions_;
  Budget& budget_;
  Supervision& supervision_;
  StopAlarm& alarm_;
  const std::shared_ptr<ToolContext> context_;
  asio::any_io_executor strand_;
  std::optional<std::string> broken_;
  int replayed_ = 0;
};

// What the policy sees of a call that was not run, or that gave nothing.
Observation refusal(const ToolCall& call, ObservationStatus status, std::string why);

}  // namespace proctor
