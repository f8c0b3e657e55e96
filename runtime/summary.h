// What came out of a run, per suite and per supervisor: added up one trajectory at a time.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/core/records.h"
#include "runtime/interval.h"

namespace proctor {

// The tables for people, the same at the end of a run and in `show`, which knows less: what it
// lacks is left out.
struct SuiteTotals {
  std::string suite;
  std::int64_t tasks = 0, rollouts = 0, answered = 0, graded = 0, correct = 0, errors = 0;
  std::int64_t played = 0;  // rollouts that the policy ended: what `answered` is a share of
  std::int64_t turns = 0;
  std::optional<Interval> correct_interval;
  std::optional<double> reward;  // mean
  struct Calls {
    std::int64_t made = 0, failed = 0, unparsed_turns = 0;
  };
  std::optional<Calls> calls;
};
struct LabelTotals {
  std::string supervisor, label, level;
  std::int64_t labels = 0;
  std::optional<double> mean;
  std::int64_t model_calls = 0, executions = 0, failed = 0;
  std::map<std::string, std::int64_t> verdicts;
};
std::string suites_table(const std::vector<SuiteTotals>& suites);
std::string labels_table(const std::vector<LabelTotals>& labels);

class Summary {
 public:
  void add(const Trajectory& trajectory);

  // Rollouts that ended in `error`, and those whose checker failed.
  std::int64_t errors() const;
  std::int64_t failed_supervisions() const;
  // {"suites": [...], "supervisors": [...]}
  json::object to_json() const;
  // Two tables for people: suites, then supervisors; the second alone is empty without labels.
  std::string to_text() const;
  std::string labels_text() const;
  // Whether there is a label of this supervisor's.
  bool labelled_by(const std::string& alias) const;

 private:
  struct Grades {
    std::int64_t correct = 0, graded = 0;
  };
  struct SuiteLine {
    std::map<std::string, Grades> tasks;  // by id
    std::int64_t rollouts = 0, played = 0, answered = 0, graded = 0, correct = 0, errors = 0;
    std::int64_t turns = 0, parse_errors = 0, tool_calls = 0, tool_errors = 0;
    std::int64_t prompt_tokens = 0, completion_tokens = 0;
    double reward = 0;
    std::int64_t rewarded = 0;
    std::map<std::string, std::int64_t> statuses;

    std::optional<Interval> correct_interval() const;
  };
  struct LabelLine {
    std::int64_t labels = 0, values = 0, failed = 0;
    double sum = 0;
    std::map<std::string, std::int64_t> verdicts;
    Cost cost;
  };

  static json::object line_json(const std::string& name, const SuiteLine& line);

  std::string checker_error_;  // the first
  std::map<std::string, SuiteLine> suites_;
  // By supervisor, label name and level.
  std::map<std::tuple<std::string, std::string, std::string>, LabelLine> labels_;
};

}  // namespace proctor
