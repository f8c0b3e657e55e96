// Arithmetic over the samples of one task: pools, normalisation, discounted sums.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace proctor {

// Mean and standard deviation (n - 1) of the values that belong together.
struct Pool {
  std::size_t n = 0;
  double mean = 0;
  std::optional<double> deviation;  // nothing below two values

  static Pool of(const std::vector<double>& values);
  // One value, or all the same: nothing can be told apart.
  bool no_signal() const { return !deviation || *deviation < 1e-8; }
  // (value - mean) / (deviation + epsilon); 0 without signal.
  double normalised(double value, double epsilon = 1e-6) const;
};

// out[t] = sum over k >= t of gamma^(k - t) * values[k].
std::vector<double> discounted_sums(const std::vector<double>& values, double gamma);

// One rollout of a group, token by token.
struct TokenReturns {
  std::vector<double> rewards;
  std::vector<int> mask;  // 1 where the policy sampled
};
// Return-to-go with discount 1, carried on only through positions with mask 1; from each the mean
// of all returns at that position is taken (masked ones and the padding of shorter rollouts
// included, divided by the group's size), and masked positions are set to 0 afterwards.
struct PositionAdvantages {
  std::vector<std::vector<double>> advantages;  // by rollout, as long as its rewards
  std::vector<double> means;                    // by position
};
PositionAdvantages position_advantages(const std::vector<TokenReturns>& group);

}  // namespace proctor
