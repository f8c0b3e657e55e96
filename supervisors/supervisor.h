// The front door of supervisors: three hooks, all optional, all asynchronous.
//
// A supervisor looks at turns and writes labels; it may also decide how the rollout goes on. The
// same code runs online, beside the rollout, and offline over records (`proctor label`).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policies/judge.h"
#include "policies/model.h"
#include "runtime/core/async.h"
#include "runtime/core/records.h"
#include "runtime/core/registry.h"

namespace proctor {

class SandboxPool;

// No label means "no opinion", which is not a score of zero. Labels leave `supervisor` empty and,
// of level turn and below, `turn` as they like; the caller fills in the instance's name.
struct Opinion {
  std::vector<Label> labels;
  Decision decision = Decision::proceed;
  std::string reason;    // for a decision other than proceed
  std::string critique;  // the message, for Decision::critique
};

// What a group hook says of one member: labels, and values placed on its tokens (empty, or as long
// as tokens.ids; 0 on tokens the policy did not sample).
struct MemberOpinion {
  std::vector<Label> labels;
  std::vector<double> token_rewards;
  std::vector<double> token_advantages;
};

// All samples of one task, in order of `sample`; each with the labels this supervisor gave before.
using Group = std::vector<TrajectoryRef>;

// Rollouts from a prefix, for supervisors that simulate. The runtime gives none yet.
class Rollouts {
 public:
  virtual ~Rollouts() = default;
  // Goes on from the first `turns` turns of the trajectory, `count` times, to the end.
  virtual Async<Result<std::vector<TrajectoryRef>>> continue_from(TrajectoryRef so_far,
                                                                  std::size_t turns, int count) = 0;
};

// Shared by all supervisors of a run; everything it points to outlives them. A maker that keeps it
// copies it.
struct SupervisorServices {
  SandboxPool* sandbox = nullptr;
  Models* models = nullptr;
  std::function<std::shared_ptr<Judge>(const std::string& role)> judge;  // one a role and run
  Rollouts* rollouts = nullptr;  // null: nothing can be simulated
  std::uint64_t seed = 1;
  Milliseconds deadline = 60s;  // of one hook call
  std::string alias;            // label name of the instance being made, set by make_supervisor

  // Until when a hook that begins now may wait for a judge and still say that it was too slow.
  std::chrono::steady_clock::time_point end_of_waiting() const {
    return std::chrono::steady_clock::now() + deadline * 9 / 10;
  }
};

class Supervisor {
 public:
  virtual ~Supervisor() = default;

  // Once, before anything else: reaches for what it needs. `missing` ends the command with 3 before
  // any work is done ("igpo: needs_logprobs: ...").
  virtual Async<Result<void>> prepare();
  // A whole record is refused before any of it is labelled: `bad_input` ends `label` with 2.
  virtual Status accepts(const Trajectory& trajectory) const;
  // What it cannot do without and this record has not ("task.gold.answers (...)"): such a record is
  // none of its business, and keeps the labels that it has.
  virtual std::optional<std::string> lacks(const Trajectory& trajectory) const;
  // Why it has nothing to judge beside a run that samples so many candidates a turn, where that is
  // so: one clause, said before the run.
  virtual std::optional<std::string> idle_in_runs(int candidates) const;

  // After each turn; the turn judged is so_far->turns.back(). Must not depend on later turns.
  virtual Async<Result<Opinion>> on_turn(TrajectoryRef so_far);
  virtual Async<Result<Opinion>> on_finished(TrajectoryRef whole);
  // One MemberOpinion for each member, in order. Runs when every member is finished and labelled.
  virtual Async<Result<std::vector<MemberOpinion>>> on_group(Group group);

  // Which hooks it has: a hook that is not there costs nothing.
  virtual bool has_on_turn() const { return false; }
  virtual bool has_on_finished() const { return false; }
  virtual bool has_on_group() const { return false; }
  // True when on_turn may answer something else than proceed. What a run acts on today is `stop`;
  // the other decisions are written into the record.
  virtual bool decides() const { return false; }
  // True when its labels of a trajectory are worth something only together: a failure in one hook
  // then withdraws them all, and takes the trajectory out of its group.
  virtual bool all_or_nothing() const { return false; }
  // Its hooks get so many times the configured deadline: for one whose work is long and waits in a
  // queue (compiling), and bounded by itself.
  virtual int patience() const { return 1; }
  virtual std::string version() const { return "1"; }
};
using SupervisorRef = std::shared_ptr<Supervisor>;

using SupervisorMaker = std::function<Result<SupervisorRef>(const Options& options,
                                                            const SupervisorServices& services)>;

#define REGISTER_SUPERVISOR(...)                                                  \
  static const bool registered_supervisor_ = [] {                                 \
    ::proctor::Registry<::proctor::SupervisorMaker>::instance().add(__VA_ARGS__); \
    return true;                                                                  \
  }();

// A deriver makes new records (JSON lines) from tasks or trajectories (`proctor derive`).
class Deriver {
 public:
  virtual ~Deriver() = default;
  // Called for each input record in order, then `finish` once. Emits through the sink given to the
  // maker. An Error of one record is named on stderr and makes exit 1; the others are done.
  virtual Async<Result<std::vector<json::object>>> derive(json::value record) = 0;
  virtual Async<Result<std::vector<json::object>>> finish();
};
using DeriverMaker = std::function<Result<std::shared_ptr<Deriver>>(
    const Options& options, const SupervisorServices& services)>;

#define REGISTER_DERIVER(...)                                                  \
  static const bool registered_deriver_ = [] {                                 \
    ::proctor::Registry<::proctor::DeriverMaker>::instance().add(__VA_ARGS__); \
    return true;                                                               \
  }();

// One configured supervisor of a run or a label command.
struct SupervisorInstance {
  std::string name;   // registered name
  std::string alias;  // label name
  SupervisorRef supervisor;
  std::vector<std::string> suites = {};  // only trajectories of these; empty: all

  bool is_meant_for(const Trajectory& trajectory) const;  // by its suite
  // One that it is meant for and that lacks nothing.
  bool looks_at(const Trajectory& trajectory) const;
};
Result<SupervisorInstance> make_supervisor(const PluginUse& use,
                                           const SupervisorServices& services);

}  // namespace proctor
