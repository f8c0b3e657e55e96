// The offline engine: applies supervisors to finished records exactly as a run does, hook by hook.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/opinions.h"
#include "supervisors/supervisor.h"

namespace proctor {

class Labeller {
 public:
  // Aliases must differ: `bad_input` otherwise. `deadline` is of one hook call.
  static Result<Labeller> make(std::vector<SupervisorInstance> supervisors, Milliseconds deadline);

  // Lets every supervisor reach for what it needs: `missing` also without an answer in time.
  Async<Status> prepare(Milliseconds limit = kReachable) const;
  // Refuses a record that a supervisor cannot judge, whose token lists differ in length, or with a
  // label that is none and that stays.
  Status accepts(const Trajectory& trajectory) const;
  // Whether any of them has a say about it; all else leaves `label` as it was.
  bool looks_at(const Trajectory& trajectory) const;
  bool has_group_hooks() const { return has_group_hooks_; }
  const std::vector<SupervisorInstance>& supervisors() const { return supervisors_; }
  // Refuses a supervisor that is kept to a suite of which there is no record.
  Status know_suites(const std::set<std::string>& of_records) const;

  struct Failure {
    std::string trajectory_id;
    Error error;
  };
  struct Labelled {
    std::vector<Trajectory> members;  // in the order given
    std::vector<Failure> failures;
    std::size_t answered = 0;  // hook calls that did not fail
  };
  // on_turn for every prefix, on_finished, then on_group over all members, which are the whole
  // group (or any one record, where there are no group hooks). What these supervisors said earlier
  // of records that they look at is replaced; a failure is a label and never hurts another
  // supervisor. Thread-safe; throws the cancellation exception when called off.
  Async<Labelled> label(std::vector<Trajectory> members) const;

 private:
  struct Chain;  // what one supervisor said of one trajectory
  Labeller(std::vector<SupervisorInstance> supervisors, Milliseconds deadline);
  Async<Chain> ask_on_turns(SupervisorInstance instance, TrajectoryRef record) const;
  Async<std::vector<Chain>> ask_all_hooks(TrajectoryRef record) const;

  std::vector<SupervisorInstance> supervisors_;
  Milliseconds deadline_;
  bool has_group_hooks_ = false;
};

// A conversation in OpenAI's form as a trajectory: {"messages": [...]} and, where given, id,
// task_id, group_id, sample, task, gold and outcome. What stands before the first assistant message
// is the prefix; every assistant message opens a turn; what follows it is observed. `fallback_id`
// names a conversation without id.
Result<Trajectory> read_conversation(const json::value& value, const std::string& fallback_id);

}  // namespace proctor
