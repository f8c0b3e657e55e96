// From the rows and journals of earlier processes; of records only whether they can be read, where
// damaged ones are played again.
#include "runtime/run_plan.h"

#include <algorithm>
#include <iostream>
#include <set>
#include <utility>

namespace proctor {
namespace {

// What earlier processes left behind.
struct Before {
  std::set<std::string> finished, again, ungraded, labelled;
  std::map<std::string, Trajectory> journals;
  std::int64_t errors = 0;
};

Result<std::map<std::string, Trajectory>> read_journals(Store& store, EventLog& log) {
  std::vector<Error> unreadable;
  auto unfinished = store.unfinished(&unreadable);
  if (!unfinished) return std::move(unfinished).error();
  for (const auto& error : unreadable) {
    std::cerr << "proctor: " << error.message << "; it begins anew\n";
    log.event("journal.unreadable", {{"why", error.message}});
  }
  std::map<std::string, Trajectory> journals;
  for (auto& trajectory : *unfinished) {
    std::string id = trajectory.id;
    journals.emplace(std::move(id), std::move(trajectory));
  }
  return journals;
}

// What the store needs to know of a rollout that begins.
TrajectoryRef start_of(std::string id, std::string group_id, TaskRef task, int sample) {
  auto start = std::make_shared<Trajectory>();
  start->id = std::move(id);
  start->task_id = task->id;
  start->group_id = std::move(group_id);
  start->sample = sample;
  start->task = std::move(task);
  return start;
}

Result<Before> read_before(Store& store, EventLog& log, Start start) {
  Before before;
  if (start == Start::create) return before;
  const bool retries = start == Start::retry_errors;
  auto groups = store.labelled_groups();
  if (!groups) return std::move(groups).error();
  before.labelled.insert(groups->begin(), groups->end());
  auto rows = store.rows();
  if (!rows) return std::move(rows).error();
  auto journals = read_journals(store, log);
  if (!journals) return std::move(journals).error();
  before.journals = std::move(*journals);
  auto damaged = retries ? store.damaged() : std::vector<std::string>();
  if (!damaged) return std::move(damaged).error();
  const std::set<std::string> unreadable(damaged->begin(), damaged->end());
  const auto is_lost = [&unreadable](const TrajectoryRow& row) {
    return row.status == to_string(OutcomeStatus::error) || unreadable.contains(row.id);
  };
  for (const auto& row : *rows) {
    if (retries && is_lost(row)) {
      before.again.insert(row.id);
      continue;
    }
    before.finished.insert(row.id);
    if (retries && row.failure)
      before.ungraded.insert(row.id);
    else
      before.errors += row.failure ? 1 : 0;
  }
  return before;
}

// Journalled rollouts that go on from their last turn. Turns of another policy (the configuration
// was edited) would make a record that says of one what the other did.
class Continuations {
 public:
  Continuations(const Assembly& assembly, std::map<std::string, Trajectory> journals, EventLog& log)
      : assembly_(assembly), journals_(std::move(journals)), log_(log) {}

  std::unique_ptr<Trajectory> take(const std::string& id, const Task& task, int sample) {
    auto journal = journals_.find(id);
    if (journal == journals_.end() || !goes_on(journal->second, task, sample)) return nullptr;
    return std::make_unique<Trajectory>(std::move(journal->second));
  }

 private:
  bool goes_on(const Trajectory& journal, const Task& task, int sample) {
    if (journal.turns.empty()) return false;
    // Numbers compare as they come back from a file.
    auto now = parse_json(json::serialize(policy_of(assembly_.services(), task, sample)));
    if (now && *now == json::value(*journal.policy)) return true;
    if (of_others_++ == 0)
      std::cerr << "proctor: the policy, its sampling, format or tools are not those that "
                   "unfinished rollouts began with; these begin anew\n";
    log_.event("journal.other_policy", {{"id", journal.id}, {"turns", journal.turns.size()}});
    return false;
  }

  const Assembly& assembly_;
  std::map<std::string, Trajectory> journals_;
  EventLog& log_;
  std::size_t of_others_ = 0;
};

}  // namespace

Result<RunPlan> plan_run(const Assembly& assembly, Store& store, EventLog& log, Start start) {
  auto before = read_before(store, log, start);
  if (!before) return std::move(before).error();
  Continuations journals(assembly, std::move(before->journals), log);
  const auto& services = assembly.services();
  const bool has_group_hooks =
      std::any_of(services.supervisors.begin(), services.supervisors.end(),
                  [](const auto& instance) { return instance.supervisor->has_on_group(); });
  const RunConfig& config = assembly.config();
  RunPlan plan;
  plan.errors = before->errors;
  for (const auto& task : assembly.tasks()) {
    const std::string group_id = config.name + "-" + task->id;
    RunPlan::Group group{.expected = static_cast<std::size_t>(config.samples)};
    for (int sample = 0; sample < config.samples; ++sample) {
      ++plan.total;
      const std::string id = trajectory_id(config.name, task->id, sample);
      group.members.push_back(id);
      if (before->finished.contains(id)) {
        ++group.finished;
        ++plan.finished;
        if (before->ungraded.contains(id) && services.checkers.contains(task->id))
          plan.to_grade.emplace_back(id, task);
        continue;
      }
      if (before->again.contains(id)) plan.again.push_back(start_of(id, group_id, task, sample));
      plan.rollouts.push_back(
          {.task = task, .sample = sample, .so_far = journals.take(id, *task, sample)});
    }
    // A group that was labelled has grown where samples were added.
    const bool labelled = before->labelled.contains(group_id) && group.finished == group.expected;
    if (has_group_hooks && !labelled) plan.groups.emplace(group_id, std::move(group));
  }
  return plan;
}

}  // namespace proctor
