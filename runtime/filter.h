// --filter as users write it, the same for tasks (`run`) and trajectories (`show`):
// suite=qa,id=foldoc-*,metadata.hops!=2,reward<0.5.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/store.h"

namespace proctor {

// What stands in a field of one task or trajectory; nothing: an empty text.
struct FilterValue {
  std::string text = {};
  std::optional<double> number = std::nullopt;
  std::string also = {};  // another name of the same
};

// What can stand in a field of all of them.
struct FilterField {
  bool number = false;                  // numbers alone, and the words
  std::vector<std::string> words = {};  // these alone; empty: any text
};

class Filter {
 public:
  // Each text holds conditions joined by commas; all conditions of all texts must hold. In a value
  // `*`, `?` and `[...]` stand for any text, and a backslash takes the next sign as it is.
  static Result<Filter> parse(const std::vector<std::string>& texts);
  // `bad_input` names the condition with a field that is not known, or a value that cannot be
  // there.
  Status check(const std::map<std::string, FilterField>& fields) const;
  bool fits(const std::function<FilterValue(const std::string& field)>& value_in) const;
  bool asks_for(std::string_view field) const;
  std::string text() const;  // all of it as one text, which parses to the same

 private:
  enum class Test { equal, unequal, less, less_equal, more, more_equal };
  struct Condition {
    std::string field;
    Test test = Test::equal;
    std::string text = {};
    std::optional<double> number = std::nullopt;
    std::string shown = {};  // as it was written, for complaints
  };
  static Result<Condition> parse_one(const std::string& text);
  static Status check_one(const Condition& condition, const FilterField& field);
  static bool holds(const Condition& condition, const FilterValue& value);

  std::vector<Condition> conditions_;
};

// A filter of trajectories, checked.
class RowFilter {
 public:
  static Result<RowFilter> parse(const std::vector<std::string>& texts);
  bool fits(const TrajectoryRow& row) const;
  // Whether it asks for a grade: what is unfinished has none yet, and is neither right nor wrong.
  bool asks_for_grade() const;

 private:
  Filter filter_;
};

// The tasks that fit; their fields are those of their records, dotted.
Result<std::vector<TaskRef>> filter_tasks(const std::vector<TaskRef>& tasks,
                                          const std::string& expression);

}  // namespace proctor
