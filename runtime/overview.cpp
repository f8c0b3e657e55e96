// Adds up rows, task by task.
#include "runtime/overview.h"

#include <map>

namespace proctor {
namespace {

struct TaskSum {
  double reward = 0, correct = 0;
  std::int64_t rewarded = 0, graded = 0;
};

json::value interval_json(const std::optional<Interval>& interval) {
  if (!interval) return nullptr;
  return json::array{interval->low, interval->high};
}

json::value optional_json(const std::optional<double>& value) {
  return value ? number_or_null(*value) : json::value(nullptr);
}

}  // namespace

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
    TaskSum& task = tasks[suite][row.task_id];
    if (row.correct) {
      ++line.graded;
      line.correct += *row.correct;
      ++task.graded;
      task.correct += *row.correct;
    }
    if (row.reward) {
      task.reward += *row.reward;
      ++task.rewarded;
    }
  }
  std::vector<SuiteOverview> overview;
  for (auto& [name, line] : suites) {
    line.suite = name;
    line.tasks = static_cast<std::int64_t>(tasks[name].size());
    TaskSums rewards, grades;
    double reward = 0;
    std::int64_t rewarded = 0;
    for (const auto& [task, sum] : tasks[name]) {
      if (sum.rewarded > 0) rewards.emplace_back(sum.reward, sum.rewarded);
      if (sum.graded > 0) grades.emplace_back(sum.correct, sum.graded);
      reward += sum.reward;
      rewarded += sum.rewarded;
    }
    if (rewarded > 0) line.reward = reward / static_cast<double>(rewarded);
    line.correct_interval = share_interval(grades);
    line.reward_interval = bootstrap_mean(rewards);
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
