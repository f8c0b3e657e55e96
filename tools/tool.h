// The front door of tools: what a turn can do. One tool is one file: name, parameters, call.
#pragma once

#include <any>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "policies/model.h"
#include "runtime/core/async.h"
#include "runtime/core/records.h"
#include "runtime/core/registry.h"

namespace proctor {

class SandboxPool;  // sandbox/sandbox.h

// Shared by all tools of a run; everything in it outlives them.
struct ToolServices {
  SandboxPool* sandbox = nullptr;
  asio::thread_pool* pool = nullptr;  // for blocking calls and long computation
};

// What belongs to one rollout. Tools with state between calls (a live interpreter) keep it in
// `state` under their own name; it dies with the rollout.
struct ToolContext {
  using State = std::map<std::string, std::any>;
  std::string rollout_id;
  TaskRef task;
  std::uint64_t seed = 0;
  std::shared_ptr<State> state = std::make_shared<State>();
  // Of this one call: a tool that executes says when its place in the sandbox is granted, from any
  // thread; its deadline counts from then on.
  std::function<void()> started = [] {};
};

class Tool {
 public:
  virtual ~Tool() = default;
  virtual ToolDefinition definition() const = 0;

  // Same arguments, same answer, nothing changed: may be cached and run ahead of a decision.
  virtual bool pure() const { return false; }
  // Calls of one rollout change what its later calls see: they keep their order, wait for the
  // supervisors' decision, and are replayed on resume.
  virtual bool stateful() const { return false; }
  // Something outside the process and the sandbox changes.
  virtual bool side_effects() const { return false; }
  // Runs a program in the sandbox: counts against the budget of executions.
  virtual bool executes() const { return false; }
  // Answers from memory in well under a millisecond and never waits: needs no deadline.
  virtual bool instant() const { return false; }

  // A failure of the tool's work is an observation (status error, a sentence in content) and so are
  // bad arguments; an Error is our own failure and ends the rollout in `error`, unless it is
  // `bad_input` (of the call: it is shown to the policy) or `timeout`. tool_call_id and name are
  // filled in by the caller.
  virtual Async<Result<Observation>> call(ToolCall call, std::shared_ptr<ToolContext> context) = 0;
  virtual Limiter::Usage usage() const { return {}; }
};
using ToolRef = std::shared_ptr<Tool>;

using ToolMaker =
    std::function<Result<ToolRef>(const Options& options, const ToolServices& services)>;

#define REGISTER_TOOL(...)                                                  \
  static const bool registered_tool_ = [] {                                 \
    ::proctor::Registry<::proctor::ToolMaker>::instance().add(__VA_ARGS__); \
    return true;                                                            \
  }();

// Checks arguments against the definition's schema: required keys, types, no unknown keys. The
// sentence is for the policy to read.
Status check_arguments(const ToolDefinition& definition, const json::object& arguments);

}  // namespace proctor
