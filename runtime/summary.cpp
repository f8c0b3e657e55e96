// Adds up; keeps no trajectory.
#include "runtime/summary.h"

#include <fmt/format.h>

#include <cmath>

#include "runtime/core/text_table.h"
#include "runtime/opinions.h"

namespace proctor {
namespace {

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

std::string mean_text(double sum, std::int64_t n) {
  return n == 0 ? "-" : fmt::format("{:.3f}", sum / static_cast<double>(n));
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

std::optional<Interval> wilson(std::int64_t successes, std::int64_t n) {
  if (n == 0) return std::nullopt;
  constexpr double z = 1.959963984540054;
  const double count = static_cast<double>(n);
  const double rate = static_cast<double>(successes) / count;
  const double scale = 1 + z * z / count;
  const double centre = (rate + z * z / (2 * count)) / scale;
  const double half =
      z / scale * std::sqrt(rate * (1 - rate) / count + z * z / (4 * count * count));
  return Interval{std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

void Summary::add(const Trajectory& trajectory) {
  const std::string suite =
      trajectory.task && !trajectory.task->suite.empty() ? trajectory.task->suite : "tasks";
  SuiteLine& line = suites_[suite];
  line.tasks.insert(trajectory.task_id);
  ++line.rollouts;
  const Outcome& outcome = trajectory.outcome;
  ++line.statuses[to_string(outcome.status)];
  line.answered += outcome.status == OutcomeStatus::answered;
  const auto* ungraded = outcome.metrics.if_contains("checker_error");
  line.errors += outcome.status == OutcomeStatus::error || ungraded;
  if (ungraded && ungraded->is_string() && checker_error_.empty())
    checker_error_ = trajectory.id + ": " + std::string(ungraded->get_string());
  if (outcome.correct) {
    ++line.graded;
    line.correct += *outcome.correct;
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
    LabelLine& labels = labels_[{label.supervisor, label.name}];
    labels.level = to_string(label.level);
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
  const auto line = labels_.find({kOwnLabels, kFailedSupervision});
  return line == labels_.end() ? 0 : line->second.labels;
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
  if (auto interval = wilson(line.correct, line.graded))
    object["correct_interval"] = {interval->low, interval->high};
  return object;
}

json::object Summary::to_json() const {
  json::array suites, supervisors;
  for (const auto& [name, line] : suites_) suites.push_back(line_json(name, line));
  for (const auto& [key, line] : labels_)
    supervisors.push_back(
        {{"supervisor", key.first},
         {"label", key.second},
         {"level", line.level},
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
  std::vector<std::vector<std::string>> rows{{"suite", "tasks", "rollouts", "answered", "correct",
                                              "95 %", "reward", "turns", "calls", "failed calls",
                                              "parse errors", "errors"}};
  for (const auto& [name, line] : suites_) {
    const auto interval = wilson(line.correct, line.graded);
    rows.push_back(
        {name, std::to_string(line.tasks.size()), std::to_string(line.rollouts),
         percent(static_cast<double>(line.answered) / static_cast<double>(line.rollouts)),
         interval ? percent(static_cast<double>(line.correct) / static_cast<double>(line.graded))
                  : "-",
         interval ? percent(interval->low) + " .. " + percent(interval->high) : "-",
         mean_text(line.reward, line.rewarded),
         fmt::format("{:.1f}",
                     static_cast<double>(line.turns) / static_cast<double>(line.rollouts)),
         std::to_string(line.tool_calls), std::to_string(line.tool_errors),
         std::to_string(line.parse_errors), std::to_string(line.errors)});
  }
  std::string text = text_table(rows);
  if (!checker_error_.empty()) text += "not graded: " + checker_error_ + "\n";
  if (labels_.empty()) return text;
  rows = {{"supervisor", "label", "level", "labels", "mean", "verdicts", "model calls",
           "executions", "failed"}};
  for (const auto& [key, line] : labels_)
    rows.push_back({key.first, key.second, line.level, std::to_string(line.labels),
                    mean_text(line.sum, line.values), counted(line.verdicts),
                    std::to_string(line.cost.model_calls), std::to_string(line.cost.executions),
                    std::to_string(line.failed)});
  return text + "\n" + text_table(rows);
}

}  // namespace proctor
