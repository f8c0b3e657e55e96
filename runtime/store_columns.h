// What lists and totals read, written beside each record: its row, and its labels added up. The
// columns of a file's records are made in the same way.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "runtime/core/records.h"
#include "runtime/database.h"
#include "runtime/store.h"

namespace proctor {

TrajectoryRow row_of(const Trajectory& trajectory);

// Adds labels up by supervisor, name and level, in that order.
class LabelSums {
 public:
  void add(const Label& label);
  void add(const std::vector<Label>& labels) {
    for (const Label& label : labels) add(label);
  }
  std::vector<LabelTotal> totals() const;

 private:
  std::map<std::tuple<std::string, std::string, std::string_view>, LabelTotal> sums_;
};

// Writes them to an open database, which outlives it; transactions are the caller's.
class ColumnWriter {
 public:
  ColumnWriter() = default;
  static Result<ColumnWriter> make(Database& database);
  // The number under which the record belongs into `records`.
  Result<std::int64_t> write(const Trajectory& trajectory);

 private:
  Result<std::int64_t> write_row(const TrajectoryRow& row);
  Status write_sums(std::int64_t number, const std::vector<LabelTotal>& totals);

  Status write_words(Statement& insert, std::int64_t number, const LabelTotal& sum,
                     const std::map<std::string, std::int64_t>& words);

  Statement upsert_row_, drop_sums_, drop_verdicts_, drop_reasons_;
  Statement insert_sum_, insert_verdicts_, insert_reasons_;
};

// Writes the columns of all records anew, inside the caller's transaction. A record that cannot be
// read keeps the columns it has.
Status rewrite_columns(Database& database);

}  // namespace proctor
