// Group arithmetic. Sums run in the order of the values, so equal input gives equal bits.
#include "supervisors/group.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace proctor {

Pool Pool::of(const std::vector<double>& values) {
  Pool pool;
  pool.n = values.size();
  if (values.empty()) return pool;
  pool.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (values.size() < 2) return pool;
  double squares = 0;
  for (const double value : values) squares += (value - pool.mean) * (value - pool.mean);
  pool.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return pool;
}

double Pool::normalised(double value, double epsilon) const {
  return no_signal() ? 0.0 : (value - mean) / (*deviation + epsilon);
}

std::vector<double> discounted_sums(const std::vector<double>& values, double gamma) {
  std::vector<double> sums(values.size());
  double behind = 0;
  for (std::size_t t = values.size(); t-- > 0;) {
    behind = values[t] + gamma * behind;
    sums[t] = behind;
  }
  return sums;
}

PositionAdvantages position_advantages(const std::vector<TokenReturns>& group) {
  PositionAdvantages result;
  std::size_t longest = 0;
  for (const auto& member : group) longest = std::max(longest, member.rewards.size());
  result.means.assign(longest, 0.0);
  for (const auto& member : group) {
    std::vector<double> returns(member.rewards.size());
    double carry = 0;
    for (std::size_t i = returns.size(); i-- > 0;) {
      returns[i] = member.rewards[i] + carry;
      carry = member.mask[i] == 1 ? returns[i] : 0.0;
      result.means[i] += returns[i];
    }
    result.advantages.push_back(std::move(returns));
  }
  for (double& mean : result.means) mean /= static_cast<double>(group.size());
  for (std::size_t m = 0; m < group.size(); ++m)
    for (std::size_t i = 0; i < result.advantages[m].size(); ++i)
      result.advantages[m][i] =
          group[m].mask[i] == 1 ? result.advantages[m][i] - result.means[i] : 0.0;
  return result;
}

}  // namespace proctor
