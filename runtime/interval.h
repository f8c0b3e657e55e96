// 95 % intervals of what a run measured.
//
// Samples of one task are alike, so they are not independent: with several of a task, whole tasks
// are drawn. Blind spot: a suite with few tasks has few draws, and its interval is a rough one.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace proctor {

struct Interval {
  double low = 0, high = 0;
};

// What was measured of one task: the sum of its rollouts' values, and how many have one.
using TaskSums = std::vector<std::pair<double, std::int64_t>>;

// Wilson's interval (1927) of a rate seen in n independent tries; nothing when n = 0.
std::optional<Interval> wilson(double rate, std::int64_t n);

// The percentile bootstrap of the overall mean, drawing whole tasks; the same for the same input.
// Nothing for fewer than two tasks.
std::optional<Interval> bootstrap_mean(const TaskSums& tasks);

// The interval of a share of rollouts: Wilson's where no task has more than one, else the bootstrap
// over tasks. Where all tasks have the same share, of which a bootstrap makes no interval at all,
// Wilson's over as many tries as there are tasks.
std::optional<Interval> share_interval(const TaskSums& tasks);

}  // namespace proctor
