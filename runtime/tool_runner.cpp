#include "runtime/tool_runner.h"

#include <algorithm>
#include <utility>

namespace proctor {
namespace {

using Steady = std::chrono::steady_clock;

bool leaves_trace(const Tool& tool) { return tool.stateful() || tool.side_effects(); }

}  // namespace

Observation refusal(const ToolCall& call, ObservationStatus status, std::string why) {
  Observation observation;
  observation.tool_call_id = call.id;
  observation.name = call.name;
  observation.status = status;
  observation.content = std::move(why);
  return observation;
}

ToolRunner::ToolRunner(const RolloutServices& services, const RolloutLimits& limits,
                       const std::vector<ToolDefinition>& definitions, Budget& budget,
                       Supervision& supervision, StopAlarm& alarm, ToolContext context,
                       const asio::any_io_executor& strand)
    : services_(services),
      limits_(limits),
      definitions_(definitions),
      budget_(budget),
      supervision_(supervision),
      alarm_(alarm),
      context_(std::make_shared<ToolContext>(std::move(context))),
      strand_(strand) {}

// Null when there is no tool of that name.
Tool* ToolRunner::find(const ToolCall& call) const {
  const auto found = services_.tools.find(call.name);
  return found == services_.tools.end() ? nullptr : found->second.get();
}

Async<std::vector<Observation>> ToolRunner::act(std::vector<ToolCall> calls) {
  const bool instant = std::all_of(calls.begin(), calls.end(), [&](const ToolCall& call) {
    const Tool* tool = find(call);
    return !tool || (tool->instant() && !leaves_trace(*tool));
  });
  auto work = side_by_side(std::move(calls));
  if (instant) co_return co_await std::move(work);  // done before anyone could call it off
  StopAlarm::Wait wait(alarm_, strand_);
  auto both = race(std::move(work), wait.timer());
  auto ended = co_await std::move(both);
  if (ended.failure && !(supervision_.stopped() && is_cancellation(ended.failure)))
    std::rethrow_exception(ended.failure);
  co_return std::move(ended.result);
}

Async<std::vector<Observation>> ToolRunner::side_by_side(std::vector<ToolCall> calls) {
  const bool waits = std::any_of(calls.begin(), calls.end(), [&](const ToolCall& call) {
    const Tool* tool = find(call);
    return tool && leaves_trace(*tool);
  });
  if (waits) co_await supervision_.decided();
  if (supervision_.stopped()) co_return std::vector<Observation>{};
  std::vector<Observation> observations(calls.size());
  std::vector<ToolCall> ordered;
  std::vector<std::size_t> ordered_places, free_places;
  std::vector<Async<std::vector<Observation>>> works;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Tool* tool = find(calls[i]);
    if (tool && tool->stateful()) {
      ordered.push_back(std::move(calls[i]));
      ordered_places.push_back(i);
    } else {
      std::vector<ToolCall> one;
      one.push_back(std::move(calls[i]));
      works.push_back(in_order(std::move(one)));
      free_places.push_back(i);
    }
  }
  if (!ordered.empty()) works.push_back(in_order(std::move(ordered)));
  auto batches = co_await gather(std::move(works));
  for (std::size_t i = 0; i < free_places.size(); ++i)
    observations[free_places[i]] = std::move(batches[i].front());
  for (std::size_t i = 0; i < ordered_places.size(); ++i)
    observations[ordered_places[i]] = std::move(batches.back()[i]);
  co_return observations;
}

Async<std::vector<Observation>> ToolRunner::in_order(std::vector<ToolCall> calls) {
  std::vector<Observation> observations;
  observations.reserve(calls.size());
  for (auto& next : calls) {
    auto observation = co_await call(std::move(next));
    observations.push_back(std::move(observation));
  }
  co_return observations;
}

Async<void> ToolRunner::replay(TurnRef turn) {
  const auto& calls = turn->assistant.tool_calls;
  for (std::size_t i = 0; i < std::min(calls.size(), turn->observations.size()); ++i) {
    // A call that was refused took no time and changed nothing.
    if (turn->observations[i].usage.wall_ms == 0) continue;
    const Tool* tool = find(calls[i]);
    if (!tool || !tool->stateful()) continue;
    ToolCall again = calls[i];
    (void)co_await run(std::move(again));
    ++replayed_;
  }
}

Async<Observation> ToolRunner::call(ToolCall call) {
  const auto known = std::find_if(definitions_.begin(), definitions_.end(),
                                  [&](const auto& tool) { return tool.name == call.name; });
  const Tool* tool = find(call);
  if (known == definitions_.end() || !tool) {
    std::string names;
    for (const auto& definition : definitions_)
      names += (names.empty() ? "" : ", ") + definition.name;
    co_return refusal(call, ObservationStatus::error,
                      "There is no tool '" + call.name + "'. The tools are: " + names + ".");
  }
  if (auto status = check_arguments(*known, call.arguments); !status)
    co_return refusal(call, ObservationStatus::error, status.error().message);
  if (auto why = budget_.refuse_call(tool->executes()))
    co_return refusal(call, ObservationStatus::denied, std::move(*why));
  ++services_.counters->tool_calls;
  auto work = run(std::move(call));
  co_return co_await std::move(work);
}

// Without asking the budget of calls. What the call itself made impossible is for the policy to
// read; where our own machinery failed, `broken_` says so. The deadline of a tool that executes
// begins when its place in the sandbox is granted; waiting for that is bounded by the rollout's
// time alone.
Async<Observation> ToolRunner::run(ToolCall call) {
  Tool& tool = *services_.tools.at(call.name);
  const auto begun = Steady::now();
  auto queued = std::make_shared<Milliseconds>(0);
  Result<Observation> result = internal_error("");
  if (tool.instant()) {
    auto work = tool.call(call, context_);
    result = co_await std::move(work);
  } else {
    const Milliseconds left = std::max(Milliseconds(1), budget_.wall_left());
    auto deadline =
        std::make_shared<Deadline>(strand_, tool.executes() ? left : std::min(limits_.tool, left));
    auto context = std::make_shared<ToolContext>(*context_);
    context->started = [strand = strand_, deadline, queued, begun, left, own = limits_.tool] {
      asio::post(strand, [=] {
        *queued = std::chrono::duration_cast<Milliseconds>(Steady::now() - begun);
        deadline->restart(std::min(own, std::max(left - *queued, Milliseconds(0))));
      });
    };
    auto work = tool.call(call, context);
    result = co_await with_deadline(std::move(work), deadline, call.name);
  }
  Observation observation;
  if (result) {
    observation = std::move(*result);
  } else {
    const ErrorKind kind = result.error().kind;
    const bool late = kind == ErrorKind::timeout;
    if (!late && kind != ErrorKind::bad_input && !broken_) broken_ = result.error().message;
    observation = refusal(call, late ? ObservationStatus::timeout : ObservationStatus::error,
                          result.error().message);
  }
  observation.tool_call_id = call.id;
  observation.name = call.name;
  if (tool.executes()) observation.usage.extra["queued_ms"] = queued->count();
  if (observation.usage.wall_ms == 0) observation.usage.wall_ms = to_ms(Steady::now() - begun);
  co_return observation;
}

}  // namespace proctor
