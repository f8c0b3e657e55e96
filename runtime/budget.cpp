#include "runtime/budget.h"

#include <algorithm>

#include "runtime/outcome.h"

namespace proctor {
namespace {

double price(const ModelConfig& model, const char* key) {
  const auto* value = model.settings.if_contains(key);
  return value && value->is_number() ? value->to_number<double>() : 0.0;
}

}  // namespace

double cost(const ModelConfig& model, double prompt_tokens, double completion_tokens) {
  return prompt_tokens * price(model, "price_in") + completion_tokens * price(model, "price_out");
}

Budget::Budget(const RolloutLimits& limits, int candidates, const ModelConfig& policy,
               const Clock& clock)
    : limits_(limits),
      candidates_(candidates),
      policy_(policy),
      clock_(clock),
      started_(clock.steady()) {}

void Budget::count(const Generation& generation) {
  prompt_tokens_ += generation.prompt_tokens;
  cached_tokens_ += generation.cached_tokens;
  completion_tokens_ += generation.completion_tokens;
  cost_ += cost(policy_, static_cast<double>(generation.prompt_tokens),
                static_cast<double>(generation.completion_tokens));
}

std::optional<std::string> Budget::refuse_call(bool executes) {
  if (tool_calls_ >= limits_.tool_calls) return "The budget of tool calls is spent.";
  if (executes && executions_ >= limits_.executions) return "The budget of executions is spent.";
  ++tool_calls_;
  executions_ += executes ? 1 : 0;
  return std::nullopt;
}

std::optional<Outcome> Budget::used_up(std::size_t turns) const {
  if (turns >= static_cast<std::size_t>(limits_.turns)) return ended(OutcomeStatus::max_turns);
  if (tokens_spent()) return ended(OutcomeStatus::max_tokens);
  if (wall_left().count() == 0) {
    return ended(OutcomeStatus::stopped,
                 "wall time: " + std::to_string(limits_.wall.count()) + " ms are spent");
  }
  if (limits_.cost && cost_ >= *limits_.cost)
    return ended(OutcomeStatus::stopped, "cost: the budget is spent");
  return std::nullopt;
}

json::object Budget::to_json() const {
  return {{"prompt_tokens", prompt_tokens_},
          {"cached_tokens", cached_tokens_},
          {"completion_tokens", completion_tokens_},
          {"wasted_tokens", wasted_tokens_},
          {"tool_calls", tool_calls_},
          {"executions", executions_},
          {"cost", cost_},
          {"wall_ms", to_ms(clock_.steady() - started_)}};
}

void Budget::restore(const json::object& spent) {
  Fields fields(spent, "spent");
  prompt_tokens_ = fields.integer_or("prompt_tokens", 0);
  cached_tokens_ = fields.integer_or("cached_tokens", 0);
  completion_tokens_ = fields.integer_or("completion_tokens", 0);
  wasted_tokens_ = fields.integer_or("wasted_tokens", 0);
  tool_calls_ = fields.small_or("tool_calls", 0);
  executions_ = fields.small_or("executions", 0);
  cost_ = fields.number_or("cost", 0);
  const std::chrono::duration<double, std::milli> used(fields.number_or("wall_ms", 0));
  started_ =
      clock_.steady() - std::chrono::duration_cast<std::chrono::steady_clock::duration>(used);
}

Milliseconds Budget::wall_left() const {
  const auto used = std::chrono::duration_cast<Milliseconds>(clock_.steady() - started_);
  return std::max(limits_.wall - used, Milliseconds(0));
}

}  // namespace proctor
