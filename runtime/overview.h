// A run at a glance, from the store's columns alone: no record is read, however big the run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/interval.h"
#include "runtime/store.h"

namespace proctor {

struct SuiteOverview {
  std::string suite;
  std::int64_t tasks = 0, trajectories = 0, answered = 0, graded = 0, correct = 0, errors = 0;
  std::int64_t played = 0;  // trajectories that the policy ended, not a failure of ours
  std::int64_t turns = 0;
  std::optional<Interval> correct_interval;  // share_interval
  std::optional<double> reward;              // mean
  std::optional<Interval> reward_interval;   // bootstrap over tasks: samples of one are alike
};

std::vector<SuiteOverview> overview_of(const std::vector<TrajectoryRow>& rows);

json::object to_json(const SuiteOverview& suite);
json::object to_json(const TrajectoryRow& row);

}  // namespace proctor
