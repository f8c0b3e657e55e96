// Blind spot: a wide terminal is assumed; tables are not folded.
#include "runtime/app/summary_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/core/harmless.h"
#include "runtime/core/shell_word.h"
#include "runtime/core/text_table.h"
#include "runtime/record_source.h"

namespace proctor {
namespace {

constexpr std::size_t kMostFailures = 5;  // told

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

double share(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

std::string text_of(const std::optional<double>& mean) {
  return mean ? fmt::format("{:.3f}", *mean) : "-";
}

std::string text_of(const std::optional<Interval>& interval) {
  return interval ? percent(interval->low) + " .. " + percent(interval->high) : "-";
}

std::string text_of(const std::map<std::string, std::int64_t>& counts) {
  std::string text;
  for (const auto& [name, count] : counts)
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
  return text;
}

std::string suites_table(const std::vector<SuiteTotals>& suites) {
  std::vector<std::vector<std::string>> rows{{"suite", "tasks", "rollouts", "answered", "correct",
                                              "95 %", "reward", "turns", "errors", "calls",
                                              "failed calls", "parse errors"}};
  const bool priced = std::any_of(suites.begin(), suites.end(),
                                  [](const SuiteTotals& suite) { return suite.cost > 0; });
  if (priced) rows.front().emplace_back("cost");
  for (const auto& suite : suites) {
    const auto turns = suite.mean_turns();
    rows.push_back({suite.suite, std::to_string(suite.tasks), std::to_string(suite.rollouts),
                    suite.played > 0 ? percent(share(suite.answered, suite.played)) : "-",
                    suite.graded > 0 ? percent(share(suite.correct, suite.graded)) : "-",
                    text_of(suite.correct_interval), text_of(suite.reward),
                    turns ? fmt::format("{:.1f}", *turns) : "-", std::to_string(suite.errors),
                    std::to_string(suite.tool_calls), std::to_string(suite.tool_errors),
                    std::to_string(suite.parse_errors)});
    if (priced) rows.back().push_back(fmt::format("{:.4g}", suite.cost));
  }
  return text_table(rows);
}

std::string labels_table(const std::vector<LabelTotal>& labels) {
  std::vector<std::vector<std::string>> rows{{"supervisor", "label", "level", "labels", "mean",
                                              "model calls", "executions", "lost votes",
                                              "verdicts"}};
  for (const auto& sum : labels)
    rows.push_back({sum.supervisor, sum.name, sum.level, std::to_string(sum.count),
                    text_of(mean_of(sum)), std::to_string(sum.model_calls),
                    std::to_string(sum.executions), std::to_string(sum.failed),
                    text_of(sum.verdicts)});
  return text_table(rows);
}

}  // namespace

std::string summary_text(const Summary& summary) {
  std::string text = summary.suites.empty() ? "" : suites_table(summary.suites);
  if (!summary.labels.empty()) text += (text.empty() ? "" : "\n") + labels_table(summary.labels);
  return text;
}

std::string failures_text(const Summary& summary) {
  std::string text;
  for (const auto& [reason, count] : summary.most_frequent_failures(kMostFailures))
    text += "  " + plural(count, "time") + ": " + harmless(reason, false) + "\n";
  return text;
}

std::string damaged_text(const std::vector<Error>& damaged) {
  std::string text;
  for (std::size_t i = 0; i < std::min(damaged.size(), kMostFailures); ++i)
    text += "  " + harmless(damaged[i].message, false) + "\n";
  if (damaged.size() > kMostFailures)
    text += "  and " +
            plural(static_cast<std::int64_t>(damaged.size() - kMostFailures), "more record") + "\n";
  return text;
}

std::string unfinished_text(const std::string& path) {
  if (!has_store(path)) return "";
  auto store = Store::open(path, Store::Access::read);
  if (!store) return "";
  const auto planned = (*store)->planned();
  const auto finished = (*store)->finished_count();
  if (!planned || !finished) return "";
  const std::int64_t all = planned->value_or(*finished);
  if (all <= *finished) return "";
  return fmt::format(
      "proctor: {}: {} of {} rollouts are not finished: `proctor resume {}` goes on\n",
      harmless(path, false), all - *finished, all, shell_word(path));
}

}  // namespace proctor
