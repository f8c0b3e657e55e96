// A row without a value in a column fits no condition on it but `!=`.
#include "runtime/row_filter.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/core/config.h"

namespace proctor {
namespace {

const std::vector<std::string>& columns() {
  static const std::vector<std::string> names = {"id",     "task",    "group",  "suite", "sample",
                                                 "status", "correct", "reward", "turns"};
  return names;
}

// The words that can stand in the column; empty: any text.
std::vector<std::string> words_of(std::string_view column) {
  if (column == "correct") return {"true", "false", "null"};
  if (column != "status") return {};
  std::vector<std::string> words{"unfinished"};
  for (int status = 0; status <= static_cast<int>(OutcomeStatus::cancelled); ++status)
    words.emplace_back(to_string(static_cast<OutcomeStatus>(status)));
  return words;
}

bool is_number(std::string_view column) {
  return column == "sample" || column == "reward" || column == "turns";
}

std::optional<double> number_in(const TrajectoryRow& row, std::string_view column) {
  if (column == "sample") return row.sample;
  if (column == "turns") return row.turns;
  return row.reward;
}

std::string text_in(const TrajectoryRow& row, std::string_view column) {
  if (column == "id") return row.id;
  if (column == "task") return row.task_id;
  if (column == "group") return row.group_id;
  if (column == "suite") return shown_suite(row.suite);
  if (column == "status") return row.status;
  return row.correct ? (*row.correct ? "true" : "false") : "null";
}

}  // namespace

Result<RowFilter::Condition> RowFilter::parse_one(const std::string& text) {
  const std::size_t at = text.find_first_of("=!<>");
  const std::string where = "--filter '" + text + "'";
  if (at == std::string::npos || at == 0)
    return bad_input(where + ": expected COLUMN=VALUE, or !=, <, <=, >, >=");
  Condition condition{.column = text.substr(0, at), .test = Test::equal};
  const bool two = at + 1 < text.size() && text[at + 1] == '=';
  switch (text[at]) {
    case '!':
      if (!two) return bad_input(where + ": expected COLUMN!=VALUE");
      condition.test = Test::unequal;
      break;
    case '<':
      condition.test = two ? Test::less_equal : Test::less;
      break;
    case '>':
      condition.test = two ? Test::more_equal : Test::more;
      break;
    default:
      break;
  }
  condition.text = text.substr(at + (two ? 2 : 1));
  if (condition.column == "suite") condition.text = shown_suite(condition.text);
  const auto& known = columns();
  if (std::find(known.begin(), known.end(), condition.column) == known.end())
    return bad_input(where + ": unknown column '" + condition.column + "'" +
                     nearest_hint(condition.column, known));
  if (is_number(condition.column)) {
    char* end = nullptr;
    condition.number = std::strtod(condition.text.c_str(), &end);
    if (condition.text.empty() || *end != '\0')
      return bad_input(where + ": '" + condition.text + "' is no number");
  } else if (condition.test != Test::equal && condition.test != Test::unequal) {
    return bad_input(where + ": '" + condition.column + "' takes = and != only");
  } else if (const auto words = words_of(condition.column);
             !words.empty() &&
             std::find(words.begin(), words.end(), condition.text) == words.end()) {
    return bad_input(where + ": '" + condition.column + "' is never '" + condition.text + "'" +
                     nearest_hint(condition.text, words));
  }
  return condition;
}

Result<RowFilter> RowFilter::parse(const std::vector<std::string>& conditions) {
  RowFilter filter;
  for (const auto& text : conditions) {
    auto condition = parse_one(text);
    if (!condition) return std::move(condition).error();
    filter.conditions_.push_back(std::move(*condition));
  }
  return filter;
}

bool RowFilter::holds(const Condition& condition, const TrajectoryRow& row) {
  if (!is_number(condition.column))
    return (text_in(row, condition.column) == condition.text) == (condition.test == Test::equal);
  const auto value = number_in(row, condition.column);
  if (!value) return condition.test == Test::unequal;
  switch (condition.test) {
    case Test::equal:
      return *value == condition.number;
    case Test::unequal:
      return *value != condition.number;
    case Test::less:
      return *value < condition.number;
    case Test::less_equal:
      return *value <= condition.number;
    case Test::more:
      return *value > condition.number;
    case Test::more_equal:
      break;
  }
  return *value >= condition.number;
}

bool RowFilter::asks_for_grade() const {
  return std::any_of(conditions_.begin(), conditions_.end(), [](const Condition& condition) {
    return condition.column == "correct" || condition.column == "reward";
  });
}

bool RowFilter::fits(const TrajectoryRow& row) const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [&row](const Condition& condition) { return holds(condition, row); });
}

}  // namespace proctor
