// Adds rows up, task by task.
#include "runtime/summary.h"

#include <algorithm>
#include <utility>

#include "runtime/opinions.h"

namespace proctor {
namespace {

constexpr std::size_t kMostFailures = 100;  // of all reasons, which may be as many as rollouts

// Whether a label's value is a place (groundedprm's, webarbiter's): places have no mean.
bool is_place(const std::string& label) { return label == "first_error" || label == "winner"; }

struct TaskSum {
  double reward = 0, correct = 0;
  std::int64_t rewarded = 0, graded = 0;
};

json::value json_of(const std::optional<double>& value) {
  return value ? number_or_null(*value) : json::value(nullptr);
}

json::value json_of(const std::optional<Interval>& interval) {
  if (!interval) return nullptr;
  return json::array{interval->low, interval->high};
}

json::object json_of(const std::map<std::string, std::int64_t>& counts) {
  json::object object;
  for (const auto& [name, count] : counts) object[name] = count;
  return object;
}

void add(const TrajectoryRow& row, SuiteTotals& totals) {
  ++totals.rollouts;
  ++totals.statuses[row.status];
  totals.answered += row.status == "answered" ? 1 : 0;
  if (row.status != "error" && row.status != "cancelled") {
    ++totals.played;
    totals.played_turns += row.turns;
  }
  totals.errors += row.failure ? 1 : 0;
  totals.graded += row.correct ? 1 : 0;
  totals.correct += row.correct.value_or(false) ? 1 : 0;
  totals.turns += row.turns;
  totals.parse_errors += row.parse_errors;
  totals.tool_calls += row.tool_calls;
  totals.tool_errors += row.tool_errors;
  totals.prompt_tokens += row.prompt_tokens;
  totals.completion_tokens += row.completion_tokens;
  totals.cost += row.cost;
}

void add(const TrajectoryRow& row, TaskSum& task) {
  if (row.correct) {
    ++task.graded;
    task.correct += *row.correct ? 1 : 0;
  }
  if (row.reward) {
    ++task.rewarded;
    task.reward += *row.reward;
  }
}

void close(SuiteTotals& totals, const std::map<std::string, TaskSum>& tasks) {
  TaskSums rewards, grades;
  double reward = 0;
  std::int64_t rewarded = 0;
  for (const auto& [id, sum] : tasks) {
    if (sum.rewarded > 0) rewards.emplace_back(sum.reward, sum.rewarded);
    if (sum.graded > 0) grades.emplace_back(sum.correct, sum.graded);
    reward += sum.reward;
    rewarded += sum.rewarded;
  }
  totals.tasks = static_cast<std::int64_t>(tasks.size());
  if (rewarded > 0) totals.reward = reward / static_cast<double>(rewarded);
  totals.correct_interval = share_interval(grades);
  totals.reward_interval = bootstrap_mean(rewards);
}

json::object json_of(const SuiteTotals& suite) {
  return {{"suite", suite.suite},
          {"tasks", suite.tasks},
          {"rollouts", suite.rollouts},
          {"answered", suite.answered},
          {"graded", suite.graded},
          {"correct", suite.correct},
          {"correct_interval", json_of(suite.correct_interval)},
          {"mean_reward", json_of(suite.reward)},
          {"reward_interval", json_of(suite.reward_interval)},
          {"errors", suite.errors},
          {"statuses", json_of(suite.statuses)},
          {"turns", suite.turns},
          {"mean_turns", json_of(suite.mean_turns())},
          {"parse_errors", suite.parse_errors},
          {"tool_calls", suite.tool_calls},
          {"tool_errors", suite.tool_errors},
          {"prompt_tokens", suite.prompt_tokens},
          {"completion_tokens", suite.completion_tokens},
          {"cost", number_or_null(suite.cost)}};
}

json::object json_of(const LabelTotal& sum) {
  return {{"supervisor", sum.supervisor},
          {"label", sum.name},
          {"level", sum.level},
          {"labels", sum.count},
          {"mean", json_of(mean_of(sum))},
          {"verdicts", json_of(sum.verdicts)},
          {"lost_votes", sum.failed},
          {"model_calls", sum.model_calls},
          {"executions", sum.executions},
          {"wall_ms", number_or_null(sum.wall_ms)}};
}

}  // namespace

std::optional<double> SuiteTotals::mean_turns() const {
  if (played == 0) return std::nullopt;
  return static_cast<double>(played_turns) / static_cast<double>(played);
}

std::optional<double> mean_of(const LabelTotal& labels) {
  if (labels.valued == 0 || is_place(labels.name)) return std::nullopt;
  return labels.total / static_cast<double>(labels.valued);
}

Summary summary_of(const std::vector<TrajectoryRow>& rows, std::vector<LabelTotal> labels) {
  std::map<std::string, SuiteTotals> suites;
  std::map<std::string, std::map<std::string, TaskSum>> tasks;
  Summary summary;
  for (const auto& row : rows) {
    const std::string suite = shown_suite(row.suite);
    add(row, suites[suite]);
    add(row, tasks[suite][row.task_id]);
    if (row.failure) ++summary.failures[*row.failure];
  }
  for (auto& [name, totals] : suites) {
    totals.suite = name;
    close(totals, tasks[name]);
    summary.suites.push_back(std::move(totals));
  }
  summary.labels = std::move(labels);
  for (const auto& total : summary.labels)
    for (const auto& [reason, count] : total.reasons) summary.failures[reason] += count;
  return summary;
}

Result<Summary> summary_of(Store& store) {
  auto rows = store.rows();
  if (!rows) return std::move(rows).error();
  auto labels = store.label_totals();
  if (!labels) return std::move(labels).error();
  return summary_of(*rows, std::move(*labels));
}

std::vector<std::pair<std::string, std::int64_t>> Summary::most_frequent_failures(
    std::size_t most) const {
  std::vector<std::pair<std::string, std::int64_t>> reasons(failures.begin(), failures.end());
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (reasons.size() > most) reasons.resize(most);
  return reasons;
}

std::int64_t Summary::rollouts() const {
  std::int64_t sum = 0;
  for (const auto& suite : suites) sum += suite.rollouts;
  return sum;
}

std::int64_t Summary::errors() const {
  std::int64_t sum = 0;
  for (const auto& suite : suites) sum += suite.errors;
  return sum;
}

std::int64_t Summary::ended_in_error() const {
  std::int64_t sum = 0;
  for (const auto& suite : suites)
    if (auto found = suite.statuses.find("error"); found != suite.statuses.end())
      sum += found->second;
  return sum;
}

std::int64_t Summary::failed_supervisions() const {
  std::int64_t sum = 0;
  for (const auto& total : labels)
    if (total.supervisor == kOwnLabels && total.name == kFailedSupervision) sum += total.count;
  return sum;
}

bool Summary::labelled_by(const std::string& alias) const {
  return std::any_of(labels.begin(), labels.end(),
                     [&alias](const LabelTotal& total) { return total.supervisor == alias; });
}

bool Summary::has_turns_of(const std::vector<std::string>& some) const {
  return std::any_of(suites.begin(), suites.end(), [&some](const SuiteTotals& totals) {
    const bool looked_at =
        some.empty() || std::find(some.begin(), some.end(), totals.suite) != some.end();
    return looked_at && totals.turns > 0;
  });
}

json::object to_json(const Summary& summary) {
  json::array suites, supervisors;
  for (const auto& suite : summary.suites) suites.push_back(json_of(suite));
  for (const auto& total : summary.labels) supervisors.push_back(json_of(total));
  json::object failures;
  for (const auto& [reason, count] : summary.most_frequent_failures(kMostFailures))
    failures[reason] = count;
  return {{"suites", std::move(suites)},
          {"supervisors", std::move(supervisors)},
          {"failures", std::move(failures)}};
}

}  // namespace proctor
