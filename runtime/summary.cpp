// Adds up; keeps no trajectory.
#include "runtime/summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/core/text_table.h"
#include "runtime/opinions.h"
#include "runtime/outcome.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

std::string mean_text(const std::optional<double>& mean) {
  return mean ? fmt::format("{:.3f}", *mean) : "-";
}

double share(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

std::optional<double> mean_of(double sum, std::int64_t n) {
  if (n == 0) return std::nullopt;
  return sum / static_cast<double>(n);
}

std::string counted(const std::map<std::string, std::int64_t>& counts) {
  std::string text;
  for (const auto& [name, count] : counts)
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
  return text;
}

json::object counts_json(const std::map<std::string, std::int64_t>& counts) {
  json::object object;
  for (const auto& [name, count] : counts) object[name] = count;
  return object;
}

}  // namespace

std::optional<Interval> Summary::SuiteLine::correct_interval() const {
  TaskSums sums;
  for (const auto& [id, task] : tasks)
    if (task.graded > 0) sums.emplace_back(static_cast<double>(task.correct), task.graded);
  return share_interval(sums);
}

void Summary::add(const Trajectory& trajectory) {
  const std::string suite =
      trajectory.task && !trajectory.task->suite.empty() ? trajectory.task->suite : "tasks";
  SuiteLine& line = suites_[suite];
  Grades& task = line.tasks[trajectory.task_id];
  ++line.rollouts;
  const Outcome& outcome = trajectory.outcome;
  ++line.statuses[to_string(outcome.status)];
  line.played += ended_by_policy(outcome);
  line.answered += outcome.status == OutcomeStatus::answered;
  const auto ungraded = why_ungraded(outcome);
  line.errors += outcome.status == OutcomeStatus::error || ungraded;
  if (ungraded && checker_error_.empty()) checker_error_ = trajectory.id + ": " + *ungraded;
  if (outcome.correct) {
    ++line.graded;
    line.correct += *outcome.correct;
    ++task.graded;
    task.correct += *outcome.correct;
  }
  if (outcome.reward) {
    ++line.rewarded;
    line.reward += *outcome.reward;
  }
  line.turns += static_cast<std::int64_t>(trajectory.turns.size());
  for (const auto& turn : trajectory.turns) {
    line.parse_errors += turn->assistant.parse_error.has_value();
    line.tool_calls += static_cast<std::int64_t>(turn->assistant.tool_calls.size());
    for (const auto& observation : turn->observations)
      line.tool_errors +=
          !observation.tool_call_id.empty() && observation.status != ObservationStatus::ok;
  }
  if (const auto* usage = trajectory.extra.if_contains("usage"); usage && usage->is_object()) {
    Fields fields(usage->get_object(), "usage");
    line.prompt_tokens += fields.integer_or("prompt_tokens", 0);
    line.completion_tokens += fields.integer_or("completion_tokens", 0);
  }
  for (const auto& label : trajectory.labels) {
    LabelLine& labels = labels_[{label.supervisor, label.name, to_string(label.level)}];
    ++labels.labels;
    if (label.value) {
      ++labels.values;
      labels.sum += *label.value;
    }
    if (label.verdict) ++labels.verdicts[*label.verdict];
    labels.failed += label.evidence.contains("error") ? 1 : 0;
    labels.cost += label.cost;
  }
}

std::int64_t Summary::errors() const {
  std::int64_t sum = 0;
  for (const auto& [name, line] : suites_) sum += line.errors;
  return sum;
}

std::int64_t Summary::failed_supervisions() const {
  std::int64_t sum = 0;
  for (const auto& [key, line] : labels_)
    if (std::get<0>(key) == kOwnLabels && std::get<1>(key) == kFailedSupervision)
      sum += line.labels;
  return sum;
}

json::object Summary::line_json(const std::string& name, const SuiteLine& line) {
  json::object object{{"suite", name},
                      {"tasks", line.tasks.size()},
                      {"rollouts", line.rollouts},
                      {"answered", line.answered},
                      {"correct", line.correct},
                      {"graded", line.graded},
                      {"errors", line.errors},
                      {"turns", line.turns},
                      {"parse_errors", line.parse_errors},
                      {"tool_calls", line.tool_calls},
                      {"tool_errors", line.tool_errors},
                      {"prompt_tokens", line.prompt_tokens},
                      {"completion_tokens", line.completion_tokens},
                      {"statuses", counts_json(line.statuses)}};
  object["mean_reward"] = line.rewarded == 0
                              ? json::value(nullptr)
                              : number_or_null(line.reward / static_cast<double>(line.rewarded));
  if (auto interval = line.correct_interval())
    object["correct_interval"] = {interval->low, interval->high};
  return object;
}

json::object Summary::to_json() const {
  json::array suites, supervisors;
  for (const auto& [name, line] : suites_) suites.push_back(line_json(name, line));
  for (const auto& [key, line] : labels_)
    supervisors.push_back(
        {{"supervisor", std::get<0>(key)},
         {"label", std::get<1>(key)},
         {"level", std::get<2>(key)},
         {"labels", line.labels},
         {"mean", line.values == 0 ? json::value(nullptr)
                                   : number_or_null(line.sum / static_cast<double>(line.values))},
         {"verdicts", counts_json(line.verdicts)},
         {"failed", line.failed},
         {"model_calls", line.cost.model_calls},
         {"executions", line.cost.executions},
         {"wall_ms", number_or_null(line.cost.wall_ms)}});
  return {{"suites", std::move(suites)}, {"supervisors", std::move(supervisors)}};
}

std::string Summary::to_text() const {
  std::vector<SuiteTotals> suites;
  suites.reserve(suites_.size());
  for (const auto& [name, line] : suites_)
    suites.push_back({.suite = name,
                      .tasks = static_cast<std::int64_t>(line.tasks.size()),
                      .rollouts = line.rollouts,
                      .answered = line.answered,
                      .graded = line.graded,
                      .correct = line.correct,
                      .errors = line.errors,
                      .played = line.played,
                      .turns = line.turns,
                      .correct_interval = line.correct_interval(),
                      .reward = mean_of(line.reward, line.rewarded),
                      .calls = SuiteTotals::Calls{.made = line.tool_calls,
                                                  .failed = line.tool_errors,
                                                  .unparsed_turns = line.parse_errors}});
  std::string text = suites_table(suites);
  if (!checker_error_.empty()) text += "not graded: " + checker_error_ + "\n";
  return labels_.empty() ? text : text + "\n" + labels_text();
}

bool Summary::labelled_by(const std::string& alias) const {
  return std::any_of(labels_.begin(), labels_.end(),
                     [&alias](const auto& entry) { return std::get<0>(entry.first) == alias; });
}

std::string Summary::labels_text() const {
  if (labels_.empty()) return "";
  std::vector<LabelTotals> labels;
  labels.reserve(labels_.size());
  for (const auto& [key, line] : labels_)
    labels.push_back({.supervisor = std::get<0>(key),
                      .label = std::get<1>(key),
                      .level = std::get<2>(key),
                      .labels = line.labels,
                      .mean = mean_of(line.sum, line.values),
                      .model_calls = line.cost.model_calls,
                      .executions = line.cost.executions,
                      .failed = line.failed,
                      .verdicts = line.verdicts});
  return labels_table(labels);
}

std::string suites_table(const std::vector<SuiteTotals>& suites) {
  std::vector<std::vector<std::string>> rows{
      {"suite", "tasks", "rollouts", "answered", "correct", "95 %", "reward", "turns", "errors"}};
  const bool with_calls = !suites.empty() && suites.front().calls;
  if (with_calls)
    rows.front().insert(rows.front().end(), {"calls", "failed calls", "parse errors"});
  for (const auto& line : suites) {
    const auto& interval = line.correct_interval;
    rows.push_back({line.suite, std::to_string(line.tasks), std::to_string(line.rollouts),
                    line.played > 0 ? percent(share(line.answered, line.played)) : "-",
                    line.graded > 0 ? percent(share(line.correct, line.graded)) : "-",
                    interval ? percent(interval->low) + " .. " + percent(interval->high) : "-",
                    mean_text(line.reward), fmt::format("{:.1f}", share(line.turns, line.rollouts)),
                    std::to_string(line.errors)});
    if (with_calls)
      for (const auto count : {line.calls->made, line.calls->failed, line.calls->unparsed_turns})
        rows.back().push_back(std::to_string(count));
  }
  return text_table(rows);
}

std::string labels_table(const std::vector<LabelTotals>& labels) {
  std::vector<std::vector<std::string>> rows{{"supervisor", "label", "level", "labels", "mean",
                                              "model calls", "executions", "failed", "verdicts"}};
  for (const auto& line : labels)
    rows.push_back({line.supervisor, line.label, line.level, std::to_string(line.labels),
                    mean_text(line.mean), std::to_string(line.model_calls),
                    std::to_string(line.executions), std::to_string(line.failed),
                    counted(line.verdicts)});
  return text_table(rows);
}

}  // namespace proctor
