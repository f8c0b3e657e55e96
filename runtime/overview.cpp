// Adds up rows; the bootstrap's draws come from a fixed seed.
#include "runtime/overview.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "runtime/core/determinism.h"

namespace proctor {
namespace {

struct TaskSum {
  double reward = 0;
  std::int64_t rewarded = 0;
};

json::value interval_json(const std::optional<Interval>& interval) {
  if (!interval) return nullptr;
  return json::array{interval->low, interval->high};
}

json::value optional_json(const std::optional<double>& value) {
  return value ? number_or_null(*value) : json::value(nullptr);
}

}  // namespace

std::optional<Interval> bootstrap_mean(const std::vector<std::pair<double, std::int64_t>>& tasks) {
  if (tasks.size() < 2) return std::nullopt;
  // Draws are bounded: beyond some thousand tasks fewer of them say the same.
  const int draws = std::clamp(static_cast<int>(4'000'000 / tasks.size()), 200, 1000);
  Rng rng(derive_seed(1, "bootstrap"));
  std::vector<double> means;
  means.reserve(draws);
  for (int draw = 0; draw < draws; ++draw) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const auto& [task_sum, task_count] = tasks[rng.below(tasks.size())];
      sum += task_sum;
      count += task_count;
    }
    if (count > 0) means.push_back(sum / static_cast<double>(count));
  }
  if (means.empty()) return std::nullopt;
  std::sort(means.begin(), means.end());
  const auto at = [&means](double share) {
    return means[static_cast<std::size_t>(share * static_cast<double>(means.size() - 1) + 0.5)];
  };
  return Interval{at(0.025), at(0.975)};
}

std::vector<SuiteOverview> overview_of(const std::vector<TrajectoryRow>& rows) {
  std::map<std::string, SuiteOverview> suites;
  std::map<std::string, std::map<std::string, TaskSum>> tasks;
  for (const auto& row : rows) {
    const std::string suite = row.suite.empty() ? "tasks" : row.suite;
    SuiteOverview& line = suites[suite];
    ++line.trajectories;
    line.answered += row.status == "answered";
    line.errors += row.status == "error";
    line.played += row.status != "error" && row.status != "cancelled";
    line.turns += row.turns;
    if (row.correct) {
      ++line.graded;
      line.correct += *row.correct;
    }
    TaskSum& task = tasks[suite][row.task_id];
    if (row.reward) {
      task.reward += *row.reward;
      ++task.rewarded;
    }
  }
  std::vector<SuiteOverview> overview;
  for (auto& [name, line] : suites) {
    line.suite = name;
    line.tasks = static_cast<std::int64_t>(tasks[name].size());
    line.correct_interval = wilson(line.correct, line.graded);
    std::vector<std::pair<double, std::int64_t>> sums;
    double reward = 0;
    std::int64_t rewarded = 0;
    for (const auto& [task, sum] : tasks[name]) {
      if (sum.rewarded > 0) sums.emplace_back(sum.reward, sum.rewarded);
      reward += sum.reward;
      rewarded += sum.rewarded;
    }
    if (rewarded > 0) line.reward = reward / static_cast<double>(rewarded);
    line.reward_interval = bootstrap_mean(sums);
    overview.push_back(std::move(line));
  }
  return overview;
}

json::object to_json(const SuiteOverview& suite) {
  return {{"suite", suite.suite},
          {"tasks", suite.tasks},
          {"trajectories", suite.trajectories},
          {"answered", suite.answered},
          {"graded", suite.graded},
          {"correct", suite.correct},
          {"correct_interval", interval_json(suite.correct_interval)},
          {"reward", optional_json(suite.reward)},
          {"reward_interval", interval_json(suite.reward_interval)},
          {"turns", suite.turns},
          {"errors", suite.errors}};
}

json::object to_json(const LabelTotal& total) {
  const double valued = static_cast<double>(total.valued);
  return {{"supervisor", total.supervisor},
          {"label", total.name},
          {"level", total.level},
          {"trajectories", total.trajectories},
          {"labels", total.count},
          {"mean", total.valued > 0 ? number_or_null(total.total / valued) : json::value(nullptr)},
          {"least", optional_json(total.least)},
          {"most", optional_json(total.most)},
          {"correct", total.correct},
          {"incorrect", total.incorrect},
          {"neutral", total.neutral},
          {"failed", total.failed},
          {"model_calls", total.model_calls},
          {"executions", total.executions},
          {"wall_ms", number_or_null(total.wall_ms)}};
}

json::object to_json(const TrajectoryRow& row) {
  return {{"id", row.id},
          {"task_id", row.task_id},
          {"group_id", row.group_id},
          {"suite", row.suite},
          {"sample", row.sample},
          {"status", row.status},
          {"reward", optional_json(row.reward)},
          {"correct", row.correct ? json::value(*row.correct) : json::value(nullptr)},
          {"turns", row.turns}};
}

}  // namespace proctor
