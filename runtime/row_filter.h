// Conditions on a trajectory's columns, as users write them: status=answered, reward<0.5.
#pragma once

#include <string>
#include <vector>

#include "runtime/store.h"

namespace proctor {

class RowFilter {
 public:
  // `bad_input` names the condition, with the known columns, or the words there are in a column
  // that takes no others. All conditions must hold.
  static Result<RowFilter> parse(const std::vector<std::string>& conditions);
  bool fits(const TrajectoryRow& row) const;
  // Whether it asks for a grade: what is unfinished has none yet, and is neither right nor wrong.
  bool asks_for_grade() const;

 private:
  enum class Test { equal, unequal, less, less_equal, more, more_equal };
  struct Condition {
    std::string column;
    Test test;
    std::string text;
    double number = 0;
  };
  static Result<Condition> parse_one(const std::string& text);
  static bool holds(const Condition& condition, const TrajectoryRow& row);

  std::vector<Condition> conditions_;
};

}  // namespace proctor
