// The run configuration of docs/configuration.md, checked: unknown keys are refused with the
// nearest known one, and every complaint names the file and line.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policies/model.h"
#include "runtime/core/config.h"

namespace proctor {

inline constexpr std::int64_t kMostSeed = 9007199254740992;  // 2^53: any reader of JSON keeps it

// Budgets of one rollout. Each ends it with an outcome of its own, never with an error.
struct RolloutLimits {
  int turns = 8;
  std::int64_t tokens = 4096;  // sampled by the policy
  int tool_calls = 16;
  int executions = 32;
  Milliseconds wall{120000};
  std::optional<double> cost;  // in the currency of the models' prices
  // Deadlines of one wait each.
  Milliseconds model{120000};
  Milliseconds tool{60000};
  Milliseconds supervisor{60000};
};

enum class ContextPolicy { error, truncate };  // what happens when a prompt no longer fits
enum class GrammarPolicy { automatic, on, off };

struct RunConfig {
  json::value source;  // the resolved file, as config.yaml keeps it
  YamlFile file;       // where it came from, for complaints; without its content

  std::string name;  // run id: `name`, else the last part of `out`
  std::string out;
  std::vector<std::string> suites;
  std::string tasks_file;
  std::optional<PluginUse> checker;  // of tasks that have none by themselves or by their suite
  std::string tasks_hash;            // of the tasks a run began with; "": any
  std::string directory;             // where relative paths begin; "": the working directory
  std::map<std::string, ModelConfig> models;  // by role
  json::value format = "openai";
  std::vector<PluginUse> tools;
  std::vector<PluginUse> supervise;
  int samples = 1;
  int candidates = 1;  // actions sampled a turn, the first of which is executed
  Sampling sampling;
  RolloutLimits limits;
  std::size_t concurrency = 64;
  std::uint64_t seed = 1;
  bool strict = false;
  std::vector<std::string> require;  // isolation layers
  ContextPolicy context = ContextPolicy::error;
  GrammarPolicy grammar = GrammarPolicy::automatic;
  int grammar_chars = 0;  // most free text in one place of a constrained turn; 0: the model's
  std::string system;     // a system message put first, instead of the suite's
  bool speculate = true;  // generate turn t+1 while turn t is judged
  int io_threads = 1;
  std::size_t sandbox_slots = 0;
  int limit = 0;       // only the first N tasks of each suite; 0: all
  std::string filter;  // only the tasks that match (runtime/filter.h)

  // Bad input, and what is missing, gets the file and line of what asked for it.
  Error located(const std::string& json_path, Error error) const;
};

// `overrides` are --set KEY=VALUE; `models` are --model ROLE=URI; `tasks` replaces tasks and
// suites.
struct RunOverrides {
  std::vector<std::string> set;
  std::vector<std::string> models;
  std::string tasks;
  std::string out;
};

Result<RunConfig> load_run_config(const std::string& path, const RunOverrides& overrides);
// The same from a resolved config (a run directory's config.yaml).
Result<RunConfig> read_run_config(const YamlFile& file);
// The limits of one suite's tasks: what the configuration gives counts, then what the suite gives.
Result<RolloutLimits> limits_with(const RunConfig& config, const json::object& suite_limits,
                                  const std::string& suite);
// "ROLE=URI", or "ROLE={uri: URI, KEY: VALUE, ...}" as in a configuration; complains about an
// unknown role.
Result<std::pair<std::string, ModelConfig>> parse_model_option(const std::string& text);

}  // namespace proctor
