// What has no value in a field fits no order and no number there, but `!=`.
#include "runtime/filter.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "runtime/core/config.h"
#include "runtime/core/text.h"

namespace proctor {
namespace {

using FilterFields = std::map<std::string, FilterField>;

std::optional<double> number_of(const std::string& text) {
  double number = 0;
  const char* last = text.data() + text.size();
  const auto [end, code] = std::from_chars(text.data(), last, number);
  if (code != std::errc() || end != last || !std::isfinite(number)) return std::nullopt;
  return number;
}

// At the commas, but for those behind a backslash.
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == ',') {
      parts.push_back(text.substr(start, at - start));
      start = at + 1;
    }
  }
  if (start < text.size()) parts.push_back(text.substr(start));
  return parts;
}

// A text is also what it is literally, but for the commas: ids may hold the signs of patterns.
bool matches(const std::string& pattern, const std::string& text) {
  std::string literal = pattern;
  for (std::size_t at = 0; (at = literal.find("\\,", at)) != std::string::npos;)
    literal.erase(at, 1);
  return literal == text || ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

std::vector<std::string> status_words() {
  std::vector<std::string> words{"unfinished"};
  for (int status = 0; status <= static_cast<int>(OutcomeStatus::cancelled); ++status)
    words.emplace_back(to_string(static_cast<OutcomeStatus>(status)));
  return words;
}

const FilterFields& row_fields() {
  static const FilterFields fields = {{"id", {}},
                                      {"task", {}},
                                      {"group", {}},
                                      {"suite", {}},
                                      {"sample", {.number = true}},
                                      {"status", {.words = status_words()}},
                                      {"correct", {.words = {"true", "false", "null"}}},
                                      {"reward", {.number = true, .words = {"null"}}},
                                      {"turns", {.number = true}}};
  return fields;
}

FilterValue value_in_row(const TrajectoryRow& row, const std::string& field) {
  if (field == "id") return {.text = row.id, .also = row.task_id};
  if (field == "task") return {row.task_id};
  if (field == "group") return {row.group_id};
  if (field == "suite") return {shown_suite(row.suite)};
  if (field == "status") return {row.status};
  if (field == "sample") return {std::to_string(row.sample), row.sample};
  if (field == "turns") return {std::to_string(row.turns), row.turns};
  if (field == "correct") return {row.correct ? (*row.correct ? "true" : "false") : "null"};
  return row.reward ? FilterValue{fmt::format("{}", *row.reward), row.reward} : FilterValue{"null"};
}

// What --filter sees of a task: its record, with `task` for its id as trajectories have it.
json::object filtered_record(const Task& task) {
  json::object record = to_json(task);
  record["suite"] = json::string(shown_suite(task.suite));
  record.emplace("task", json::string(task.id));
  return record;
}

FilterValue value_at(const json::object& task, const std::string& path) {
  const json::value* at = nullptr;
  const json::object* object = &task;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('.', start), path.size());
    at = object ? object->if_contains(path.substr(start, end - start)) : nullptr;
    if (!at) return {};
    object = at->if_object();
    start = end + 1;
  }
  if (at->is_null()) return {};
  if (at->is_string()) return {std::string(at->get_string())};
  FilterValue value{readable_json(*at)};
  if (at->is_number()) value.number = at->to_number<double>();
  return value;
}

// Numbers are those that are nothing else in any task; `empty` are named and have no value.
void add_fields(const json::object& object, const std::string& above, FilterFields& fields,
                std::set<std::string>& empty) {
  for (const auto& pair : object) {
    const std::string path = above + std::string(pair.key());
    const json::value& value = pair.value();
    if (value.is_null()) {
      empty.insert(path);
      continue;
    }
    const auto [field, fresh] = fields.emplace(path, FilterField{.number = value.is_number()});
    if (!fresh) field->second.number = field->second.number && value.is_number();
    if (const auto* below = value.if_object()) add_fields(*below, path + ".", fields, empty);
  }
}

}  // namespace

Result<Filter::Condition> Filter::parse_one(const std::string& text) {
  const std::size_t at = text.find_first_of("=!<>");
  const bool two = at != std::string::npos && at + 1 < text.size() && text[at + 1] == '=';
  if (at == std::string::npos || at == 0 || (text[at] == '!' && !two))
    return bad_input("--filter '" + text + "': expected FIELD=VALUE, or !=, <, <=, >, >=");
  Condition condition{.field = text.substr(0, at), .shown = text};
  if (text[at] == '!') condition.test = Test::unequal;
  if (text[at] == '<') condition.test = two ? Test::less_equal : Test::less;
  if (text[at] == '>') condition.test = two ? Test::more_equal : Test::more;
  condition.text = text.substr(at + (two ? 2 : 1));
  if (condition.field == "suite") condition.text = shown_suite(condition.text);
  condition.number = number_of(condition.text);
  return condition;
}

Result<Filter> Filter::parse(const std::vector<std::string>& texts) {
  Filter filter;
  for (const auto& text : texts) {
    const std::size_t last = text.find_last_not_of('\\');
    if ((text.size() - (last == std::string::npos ? 0 : last + 1)) % 2 == 1)
      return bad_input("--filter '" + text + "': ends in a backslash, which has nothing to escape");
    for (const auto& part : parts_of(text)) {
      auto condition = parse_one(part);
      if (!condition) return std::move(condition).error();
      filter.conditions_.push_back(std::move(*condition));
    }
  }
  return filter;
}

std::string Filter::text() const {
  std::vector<std::string> parts;
  for (const auto& condition : conditions_) parts.push_back(condition.shown);
  return joined(parts, ",");
}

Status Filter::check_one(const Condition& condition, const FilterField& field) {
  const std::string where = "--filter '" + condition.shown + "'";
  const bool order = condition.test != Test::equal && condition.test != Test::unequal;
  if (order && !field.number)
    return bad_input(where + ": '" + condition.field + "' takes = and != only");
  const bool pattern = condition.text.find_first_of("*?[") != std::string::npos;
  const auto& words = field.words;
  const bool is_word = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return matches(condition.text, word);
  });
  const bool none = condition.text.empty();  // FIELD= is what has no value there
  if (field.number && !condition.number && (order || !(pattern || is_word || none)))
    return bad_input(where + ": '" + condition.text + "' is no number");
  if (!field.number && !words.empty() && !is_word)
    return bad_input(where + ": '" + condition.field + "' is never '" + condition.text + "'" +
                     nearest_hint(condition.text, words));
  return {};
}

Status Filter::check(const std::map<std::string, FilterField>& fields) const {
  for (const auto& condition : conditions_) {
    const auto field = fields.find(condition.field);
    if (field == fields.end()) {
      std::vector<std::string> known;
      for (const auto& [name, kind] : fields) known.push_back(name);
      return bad_input("--filter '" + condition.shown + "': unknown field '" + condition.field +
                       "'" + nearest_hint(condition.field, known));
    }
    if (auto good = check_one(condition, field->second); !good) return good;
  }
  return {};
}

bool Filter::holds(const Condition& condition, const FilterValue& value) {
  if (condition.test == Test::equal || condition.test == Test::unequal) {
    const bool same_number = value.number && condition.number && *value.number == *condition.number;
    return (same_number || matches(condition.text, value.text) ||
            (!value.also.empty() && matches(condition.text, value.also))) ==
           (condition.test == Test::equal);
  }
  if (!value.number || !condition.number) return false;
  switch (condition.test) {
    case Test::less:
      return *value.number < *condition.number;
    case Test::less_equal:
      return *value.number <= *condition.number;
    case Test::more:
      return *value.number > *condition.number;
    default:
      return *value.number >= *condition.number;
  }
}

bool Filter::fits(const std::function<FilterValue(const std::string& field)>& value_in) const {
  return std::all_of(conditions_.begin(), conditions_.end(), [&](const Condition& condition) {
    return holds(condition, value_in(condition.field));
  });
}

bool Filter::asks_for(std::string_view field) const {
  return std::any_of(conditions_.begin(), conditions_.end(),
                     [field](const Condition& condition) { return condition.field == field; });
}

Result<RowFilter> RowFilter::parse(const std::vector<std::string>& texts) {
  auto filter = Filter::parse(texts);
  if (!filter) return std::move(filter).error();
  if (auto good = filter->check(row_fields()); !good) return std::move(good).error();
  RowFilter of_rows;
  of_rows.filter_ = std::move(*filter);
  return of_rows;
}

bool RowFilter::fits(const TrajectoryRow& row) const {
  return filter_.fits([&row](const std::string& field) { return value_in_row(row, field); });
}

bool RowFilter::asks_for_grade() const {
  return filter_.asks_for("correct") || filter_.asks_for("reward");
}

Result<std::vector<TaskRef>> filter_tasks(const std::vector<TaskRef>& tasks,
                                          const std::string& expression) {
  auto filter = Filter::parse({expression});
  if (!filter) return std::move(filter).error();
  std::vector<TaskRef> kept;
  FilterFields fields;
  std::set<std::string> empty;
  for (const auto& task : tasks) {
    const json::object record = filtered_record(*task);
    add_fields(record, "", fields, empty);
    if (filter->fits([&record](const std::string& field) { return value_at(record, field); }))
      kept.push_back(task);
  }
  for (const auto& path : empty) fields.emplace(path, FilterField{});
  if (auto good = filter->check(fields); !good) return std::move(good).error();
  return kept;
}

}  // namespace proctor
