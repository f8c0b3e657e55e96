// Proves trajectories: what a trainer relies on without looking.
//
// Blind spot: a record is held against itself and against the schema, never against the model; ids
// that are consistent but of another tokenizer pass.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "runtime/core/records.h"
#include "runtime/store.h"

namespace proctor {

// What is wrong with one record by itself, as "turns[2].assistant.tokens.logprobs has 7 values for
// 8 ids"; at most `most` complaints, the first one first.
std::vector<std::string> complaints_of(const Trajectory& trajectory, std::size_t most = 1);

struct Complaint {
  std::string where;  // "FILE:LINE: ID"
  std::string what;
  std::string text() const { return where.empty() ? what : where + ": " + what; }
};

struct LintReport {
  std::size_t records = 0, turns = 0, labels = 0, tokens = 0;
  std::size_t wrong = 0;  // records with a complaint
};

// Holds records of one source against the schema, themselves, and each other.
class Linter {
 public:
  explicit Linter(std::size_t complaints_per_record = 1) : most_(complaints_per_record) {}

  std::vector<Complaint> check(const std::string& where, std::string_view text);
  // What the columns of a store say; records are held against them too.
  void expect(std::vector<TrajectoryRow> rows);
  const LintReport& report() const { return report_; }
  // Ids of parents that no record checked so far has, with the record that names them.
  std::vector<Complaint> missing_parents() const;

 private:
  // Where another record is the same sample of the run's task; "": nowhere.
  std::string same_sample(const Trajectory& whole, const std::string& where);

  const std::size_t most_;
  LintReport report_;
  std::unordered_map<std::string, std::string> seen_;   // id ─▶ where
  std::unordered_map<std::string, std::string> tasks_;  // group ─▶ its task
  std::map<std::tuple<std::string, std::string, int>, std::string>
      samples_;  // run, task, sample ─▶ where
  std::unordered_map<std::string, TrajectoryRow> rows_;
  std::vector<std::pair<std::string, std::string>> parents_;
};

// Checks a run directory or a file. `wrong` hears each complaint; answering false ends it.
Result<LintReport> lint(const std::string& path, std::size_t complaints_per_record,
                        const std::function<bool(const Complaint& complaint)>& wrong);

}  // namespace proctor
