// The bootstrap's draws come from a fixed seed.
#include "runtime/interval.h"

#include <algorithm>
#include <cmath>

#include "runtime/core/determinism.h"

namespace proctor {

std::optional<Interval> wilson(double rate, std::int64_t n) {
  if (n == 0) return std::nullopt;
  constexpr double z = 1.959963984540054;
  const double count = static_cast<double>(n);
  const double scale = 1 + z * z / count;
  const double centre = (rate + z * z / (2 * count)) / scale;
  const double half =
      z / scale * std::sqrt(rate * (1 - rate) / count + z * z / (4 * count * count));
  return Interval{std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

std::optional<Interval> bootstrap_mean(const TaskSums& tasks) {
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
    return means[static_cast<std::size_t>(
        std::lround(share * static_cast<double>(means.size() - 1)))];
  };
  return Interval{at(0.025), at(0.975)};
}

std::optional<Interval> share_interval(const TaskSums& tasks) {
  double sum = 0;
  std::int64_t count = 0;
  for (const auto& [task_sum, task_count] : tasks) {
    sum += task_sum;
    count += task_count;
  }
  const auto size = static_cast<std::int64_t>(tasks.size());
  if (count == 0) return std::nullopt;
  const double share = sum / static_cast<double>(count);
  if (count == size) return wilson(share, count);
  const auto drawn = bootstrap_mean(tasks);
  return drawn && drawn->low == drawn->high ? wilson(share, size) : drawn;
}

}  // namespace proctor
