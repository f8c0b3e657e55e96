// What one rollout may spend, and what it has spent: turns, tokens, calls, executions, time, money.
// Blind spot: only the policy's tokens cost something; what supervisors ask is in their labels.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/rollout_services.h"

namespace proctor {

// What that many tokens cost at the model's prices; 0 without any.
double cost(const ModelConfig& model, double prompt_tokens, double completion_tokens);

class Budget {
 public:
  // All of it outlives the budget; its time runs from here on. Each turn samples that many
  // candidates, which share its tokens.
  Budget(const RolloutLimits& limits, int candidates, const ModelConfig& policy,
         const Clock& clock);

  void count(const Generation& generation);
  // Tokens of a turn that did not become part of the record.
  void waste(std::int64_t tokens) { wasted_tokens_ += tokens; }
  // Takes one call from the budget, or says in a sentence for the policy why there is none left.
  std::optional<std::string> refuse_call(bool executes);

  std::int64_t sampled() const { return completion_tokens_; }  // tokens, by the policy
  // Of the turn to come; less than one each is no turn.
  std::int64_t tokens_a_candidate() const {
    return (limits_.tokens - completion_tokens_) / candidates_;
  }
  bool tokens_spent() const { return tokens_a_candidate() < 1; }
  Milliseconds wall_left() const;  // never below zero
  // How the rollout ends when that many turns and what was spent allow no other.
  std::optional<Outcome> used_up(std::size_t turns) const;

  json::object to_json() const;
  // Of an earlier process: its time counts as if this rollout had begun that much earlier.
  void restore(const json::object& spent);

 private:
  const RolloutLimits& limits_;
  const int candidates_;
  const ModelConfig& policy_;
  const Clock& clock_;
  std::chrono::steady_clock::time_point started_;
  std::int64_t prompt_tokens_ = 0, cached_tokens_ = 0, completion_tokens_ = 0, wasted_tokens_ = 0;
  int tool_calls_ = 0, executions_ = 0;
  double cost_ = 0;
};

}  // namespace proctor
