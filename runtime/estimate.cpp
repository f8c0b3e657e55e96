#include "runtime/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/budget.h"
#include "runtime/core/text_table.h"

namespace proctor {
namespace {

// What the estimate takes for granted.
constexpr double kCharactersPerToken = 4;
constexpr double kObservationTokens = 200;  // what tools say after one turn
constexpr double kExpectedTurns = 0.5;      // share of the limit that a rollout uses
constexpr double kExpectedTokens = 0.25;    // the same of sampled tokens

// Tokens of the first prompt: instructions, tools, examples and question as the format writes them.
double prompt_tokens(const Assembly& assembly, const Task& task) {
  const RolloutServices& services = assembly.services();
  const auto tools = tools_of(services, task);
  const Rendered rendered = services.format->render(prompt_of(services, task), tools);
  double characters = 0;
  for (const auto& message : rendered.messages) {
    characters += static_cast<double>(message.text().size()) + 16;  // the template's marks
    for (const auto& call : message.tool_calls)
      characters += static_cast<double>(json::serialize(call.arguments).size());
  }
  if (services.format->native())
    characters += static_cast<double>(json::serialize(to_json(tools)).size());
  return characters / kCharactersPerToken;
}

}  // namespace

json::object estimate(const Assembly& assembly) {
  const RunConfig& config = assembly.config();
  double expected_prompt = 0, most_prompt = 0, expected_sampled = 0, most_sampled = 0;
  double expected_cost = 0, most_cost = 0;
  const double samples = config.samples;
  const double candidates = config.candidates;
  const ModelConfig& policy = config.models.at("policy");
  for (const auto& task : assembly.tasks()) {
    const RolloutLimits& limits = limits_of(assembly.services(), *task);
    const double prompt = prompt_tokens(assembly, *task);
    const bool uses_tools = !tools_of(assembly.services(), *task).empty();
    // Each turn's prompt holds all turns before it, one candidate of each: sums of 0, 1, ... n-1.
    const auto each = [&](double turns, double sampled) {
      return sampled / turns / candidates + (uses_tools ? kObservationTokens : 0);
    };
    const auto prompts = [&](double turns, double sampled) {
      return candidates * (turns * prompt + each(turns, sampled) * turns * (turns - 1) / 2);
    };
    const auto tokens = static_cast<double>(limits.tokens);
    const double turns = std::max(1.0, std::round(limits.turns * kExpectedTurns));
    expected_prompt += samples * prompts(turns, tokens * kExpectedTokens);
    most_prompt += samples * prompts(limits.turns, tokens);
    expected_sampled += samples * tokens * kExpectedTokens;
    most_sampled += samples * tokens;
    double most = cost(policy, prompts(limits.turns, tokens), tokens);
    // The turn that spends the last of it is paid for, too.
    if (limits.cost)
      most = std::min(
          most,
          *limits.cost +
              cost(policy, candidates * (prompt + each(limits.turns, tokens) * (limits.turns - 1)),
                   std::min<double>(candidates * config.sampling.max_tokens, tokens)));
    const double expected =
        cost(policy, prompts(turns, tokens * kExpectedTokens), tokens * kExpectedTokens);
    expected_cost += samples * std::min(expected, most);
    most_cost += samples * most;
  }
  // Of all rollouts in flight together. Prompts are read ten times as fast as tokens are sampled.
  const double per_second = policy.uri.starts_with("llama:") ? 100 : 2000;
  const auto seconds = [&](double prompt, double sampled) {
    return (sampled + prompt / 10) / per_second;
  };
  json::array supervisors;
  for (const auto& instance : assembly.services().supervisors)
    supervisors.push_back(json::string(instance.alias));
  return {{"tasks", assembly.tasks().size()},
          {"rollouts", static_cast<std::int64_t>(assembly.tasks().size()) * config.samples},
          {"prompt_tokens",
           {{"expected", std::round(expected_prompt)}, {"most", std::round(most_prompt)}}},
          {"completion_tokens",
           {{"expected", std::round(expected_sampled)}, {"most", std::round(most_sampled)}}},
          {"cost", {{"expected", expected_cost}, {"most", most_cost}}},
          {"seconds",
           {{"expected", seconds(expected_prompt, expected_sampled)},
            {"most", seconds(most_prompt, most_sampled)}}},
          {"assumes",
           {{"characters_per_token", kCharactersPerToken},
            {"observation_tokens_per_turn", kObservationTokens},
            {"expected_share_of_turn_limit", kExpectedTurns},
            {"expected_share_of_token_limit", kExpectedTokens},
            {"tokens_per_second", per_second}}},
          {"not_counted",
           {{"supervisors", std::move(supervisors)}, {"tools", true}, {"checkers", true}}}};
}

std::string estimate_text(const json::object& estimate) {
  const auto number = [&](const char* what, const char* which) {
    return estimate.at(what).at(which).to_number<double>();
  };
  std::vector<std::vector<std::string>> rows{{"the policy alone", "expected", "at most"}};
  for (const auto& [name, key] :
       {std::pair{"prompt tokens", "prompt_tokens"}, {"sampled tokens", "completion_tokens"}})
    rows.push_back({name, fmt::format("{:.0f}", number(key, "expected")),
                    fmt::format("{:.0f}", number(key, "most"))});
  if (number("cost", "most") > 0)
    rows.push_back({"cost", fmt::format("{:.2f}", number("cost", "expected")),
                    fmt::format("{:.2f}", number("cost", "most"))});
  rows.push_back({"minutes", fmt::format("{:.1f}", number("seconds", "expected") / 60),
                  fmt::format("{:.1f}", number("seconds", "most") / 60)});
  std::string text = plural(estimate.at("tasks").to_number<std::int64_t>(), "task") + ", " +
                     plural(estimate.at("rollouts").to_number<std::int64_t>(), "rollout") + "\n\n" +
                     text_table(rows);
  text += fmt::format(
      "\nA guess, no measurement: {} characters a token, {:.0f} tokens of observations a turn, "
      "half "
      "of the\nturns and a quarter of the tokens that the limits allow, {:.0f} sampled tokens a "
      "second in all.\nNot in it: what tools and checkers take",
      kCharactersPerToken, kObservationTokens,
      estimate.at("assumes").at("tokens_per_second").to_number<double>());
  const auto& supervisors = estimate.at("not_counted").at("supervisors").as_array();
  for (std::size_t i = 0; i < supervisors.size(); ++i)
    text += (i == 0 ? ", and time and model calls of " : ", ") +
            std::string(supervisors[i].as_string());
  return text + ".\n";
}

}  // namespace proctor
