// What came out of a run, per suite and per supervisor, from columns alone: no record is read,
// however big the run. The same at a run's end, in summary.json and in `show`.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/interval.h"
#include "runtime/store.h"

namespace proctor {

struct SuiteTotals {
  std::string suite;
  std::int64_t tasks = 0, rollouts = 0, answered = 0, graded = 0, correct = 0;
  std::int64_t played = 0;  // rollouts that the policy ended: what `answered` is a share of
  std::int64_t errors = 0;  // rollouts that ended in `error`, and those whose checker failed
  std::int64_t turns = 0, parse_errors = 0, tool_calls = 0, tool_errors = 0;
  std::int64_t played_turns = 0;  // of those that the policy ended
  std::int64_t prompt_tokens = 0, completion_tokens = 0;
  double cost = 0;
  std::map<std::string, std::int64_t> statuses;
  std::optional<double> reward;  // mean
  // Mean of what the policy ended: a failure of ours says nothing of how long it would have gone
  // on.
  std::optional<double> mean_turns() const;
  std::optional<Interval> correct_interval;  // share_interval
  std::optional<Interval> reward_interval;   // bootstrap over tasks: samples of one are alike
};

struct Summary {
  std::vector<SuiteTotals> suites;
  std::vector<LabelTotal> labels;
  // Each TrajectoryRow::failure and each reason why a supervision failed, how often.
  std::map<std::string, std::int64_t> failures;
  // The `most` of them that were met most often, these first.
  std::vector<std::pair<std::string, std::int64_t>> most_frequent_failures(std::size_t most) const;

  std::int64_t rollouts() const;
  std::int64_t errors() const;  // as SuiteTotals has them
  std::int64_t ended_in_error() const;
  std::int64_t failed_supervisions() const;
  // Whether there is a label of this supervisor's.
  bool labelled_by(const std::string& alias) const;
  // Whether there is a turn in one of these suites; empty: in any.
  bool has_turns_of(const std::vector<std::string>& some) const;
};

Summary summary_of(const std::vector<TrajectoryRow>& rows, std::vector<LabelTotal> labels);
// Of all that is finished.
Result<Summary> summary_of(Store& store);

// Of the values; nothing without any, and of places, which have no mean (`first_error`, `winner`).
std::optional<double> mean_of(const LabelTotal& labels);

// {"suites": [...], "supervisors": [...], "failures": {reason: how often}}; of the failures, the
// 100 most frequent.
json::object to_json(const Summary& summary);

}  // namespace proctor
