// A run at a glance, from the store's columns alone: no record is read, however big the run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/store.h"
#include "runtime/summary.h"

namespace proctor {

struct SuiteOverview {
  std::string suite;
  std::int64_t tasks = 0, trajectories = 0, answered = 0, graded = 0, correct = 0, errors = 0;
  std::int64_t played = 0;  // trajectories that the policy ended, not a failure of ours
  std::int64_t turns = 0;
  std::optional<Interval> correct_interval;  // Wilson, of the trajectories
  std::optional<double> reward;              // mean
  std::optional<Interval> reward_interval;   // bootstrap over tasks: samples of one are alike
};

std::vector<SuiteOverview> overview_of(const std::vector<TrajectoryRow>& rows);

// The 95 % percentile bootstrap of the overall mean, drawing whole tasks; the same for the same
// input. `tasks` holds (sum, count) of each. Nothing for fewer than two tasks.
std::optional<Interval> bootstrap_mean(const std::vector<std::pair<double, std::int64_t>>& tasks);

json::object to_json(const SuiteOverview& suite);
json::object to_json(const LabelTotal& total);
json::object to_json(const TrajectoryRow& row);

}  // namespace proctor
