// Builds everything that a run configuration names: models, tools, suites, checkers, supervisors,
// the sandbox, in one place, for every command that rolls out.
#pragma once

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/core/worker_pool.h"
#include "runtime/judges.h"
#include "runtime/opinions.h"
#include "runtime/rollout_services.h"
#include "runtime/run_config.h"
#include "sandbox/sandbox.h"

namespace proctor {

// Owns all of it, in the order in which it must be taken down.
class Assembly {
 public:
  // Everything that can be checked without asking a server. Bad names, options and files are
  // `bad_input`; an isolation layer that is not there under `strict` or `require` is `missing`.
  static Result<std::unique_ptr<Assembly>> build(RunConfig config);
  ~Assembly();

  // Asks the policy what it can do and lets the supervisors reach for what they need: `missing`
  // before any work is done, also when one of them has no answer within `limit`.
  Async<Status> prepare(Milliseconds limit = kReachable);

  const RunConfig& config() const { return config_; }
  // Where the run's coroutines run; it outlives everything here that answers them.
  asio::io_context& loop() { return loop_; }
  const RolloutServices& services() const { return services_; }
  RolloutServices& services() { return services_; }
  const std::vector<TaskRef>& tasks() const { return tasks_; }
  RunCounters& counters() { return counters_; }
  const Models& models() const { return models_; }
  // One line on what was lowered to fit the files that may be open, or nothing.
  std::string lowered_to_fit() const;
  SandboxPool* sandbox() const { return sandbox_.get(); }
  // {"model.policy": {"highest": 3, "capacity": 64, ...}, "sandbox": ..., "tool.search": ...}: the
  // most that was ever in flight, beside its cap.
  json::object in_flight() const;

 private:
  explicit Assembly(RunConfig config) : config_(std::move(config)), loop_(config_.io_threads) {}
  Status build_models();
  std::map<std::string, std::size_t> server_requests() const;
  std::size_t files_besides_sandbox() const;
  Status load_tasks();
  Status know_suites(const std::string& who, const std::vector<std::string>& wanted) const;
  Error at_task(const std::string& id, Error error) const;  // with FILE:LINE
  Status build_tasks();
  Status check_format() const;
  Status settle_tasks();
  Status build_tools();
  Status build_checkers();
  Status build_supervisors();
  Async<Status> reach_all(Milliseconds limit);

  RunConfig config_;
  asio::io_context loop_;
  Clock clock_;
  RunCounters counters_;
  WorkerPool workers_;
  std::unique_ptr<SandboxPool> sandbox_;
  Models models_;
  Judges judges_{models_};
  std::vector<TaskRef> tasks_;
  TaskPlaces places_;
  std::set<std::string> suite_names_;  // of all tasks, before any filter
  RolloutServices services_;
};

}  // namespace proctor
