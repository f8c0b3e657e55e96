#include "runtime/rollout_services.h"

#include <algorithm>
#include <utility>

#include "runtime/core/determinism.h"

namespace proctor {

std::vector<ToolDefinition> tools_of(const RolloutServices& services, const Task& task) {
  std::vector<ToolDefinition> definitions;
  const auto suite = services.suites.find(task.suite);
  const std::vector<std::string>* names = task.tools ? &*task.tools : nullptr;
  if (!names && suite != services.suites.end()) names = &suite->second.tools;
  for (const auto& [name, tool] : services.tools) {
    const auto kept = services.tool_suites.find(name);
    if (kept != services.tool_suites.end() &&
        std::find(kept->second.begin(), kept->second.end(), shown_suite(task.suite)) ==
            kept->second.end())
      continue;
    if (!names || std::find(names->begin(), names->end(), name) != names->end())
      definitions.push_back(tool->definition());
  }
  return definitions;
}

const RolloutLimits& limits_of(const RolloutServices& services, const Task& task) {
  const auto own = services.limits.find(task.suite);
  return own == services.limits.end() ? services.config->limits : own->second;
}

std::vector<Message> prompt_of(const RolloutServices& services, const Task& task) {
  std::vector<Message> own, messages;
  if (task.messages && !task.messages->empty())
    own = *task.messages;
  else
    own.push_back({.role = "user", .content = json::string(*task.prompt)});
  const auto suite = services.suites.find(task.suite);
  if (suite != services.suites.end()) messages = suite->second.prompt;

  // One system message leads, the most particular one: the task's, the run's, the suite's.
  std::optional<Message> system;
  if (own.front().role == "system") {
    system = std::move(own.front());
    own.erase(own.begin());
  } else if (!services.config->system.empty()) {
    system = {.role = "system", .content = json::string(services.config->system)};
  }
  if (system) {
    std::erase_if(messages, [](const auto& message) { return message.role == "system"; });
    messages.insert(messages.begin(), std::move(*system));
  }
  messages.insert(messages.end(), std::make_move_iterator(own.begin()),
                  std::make_move_iterator(own.end()));
  return messages;
}

std::uint64_t policy_seed(const RunConfig& config, const Task& task, int sample) {
  return derive_seed(config.seed, "policy", task.id, static_cast<std::uint64_t>(sample)) >> 11;
}

json::object policy_of(const RolloutServices& services, const Task& task, int sample) {
  Sampling sampling = services.config->sampling;
  sampling.seed = policy_seed(*services.config, task, sample);
  json::object policy{{"backend", services.policy->backend()},
                      {"model", services.policy->name()},
                      {"sampling", to_json(sampling)},
                      {"weights_version", nullptr},
                      {"format", format_config(*services.format, services.config->format)},
                      {"tools", to_json(tools_of(services, task))}};
  if (services.config->candidates > 1) policy["candidates"] = services.config->candidates;
  return policy;
}

}  // namespace proctor
