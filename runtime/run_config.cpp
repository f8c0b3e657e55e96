// Reads the run configuration. One table a mapping says which keys there are.
#include "runtime/run_config.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>

#include "env/suite.h"

namespace proctor {
namespace {

const std::vector<std::string> kRoles = {"policy", "judge",    "teacher", "refiner",
                                         "scorer", "embedder", "vision"};

constexpr double kMostCount = std::numeric_limits<int>::max();
constexpr double kMostTime = 365.0 * 24 * 3600 * 1000;  // a year
constexpr double kMostTurns = 65535;                    // what the store's journal can count

OptionInfo number_of(std::string name, json::value fallback, double least,
                     double most = kMostCount) {
  return {.name = std::move(name),
          .type = OptionType::integer,
          .fallback = std::move(fallback),
          .least = least,
          .most = most};
}

OptionInfo time_of(std::string name, json::value fallback) {
  return number_of(std::move(name), std::move(fallback), 1, kMostTime);
}

const std::vector<OptionInfo> kTop = {
    {.name = "name", .type = OptionType::text},
    {.name = "out", .type = OptionType::text},
    {.name = "tasks", .type = OptionType::text},
    {.name = "checker", .type = OptionType::any},
    {.name = "tasks_hash", .type = OptionType::text},
    {.name = "directory", .type = OptionType::text},
    {.name = "suite", .type = OptionType::any},
    {.name = "models", .type = OptionType::any},
    {.name = "format", .type = OptionType::any, .fallback = "openai"},
    {.name = "tools", .type = OptionType::any},
    {.name = "supervise", .type = OptionType::any},
    {.name = "search", .type = OptionType::any},
    number_of("samples", 1, 1),
    {.name = "sampling", .type = OptionType::any},
    {.name = "limits", .type = OptionType::any},
    number_of("concurrency", 64, 1),
    number_of("seed", 1, 0, kMostSeed),
    {.name = "strict", .type = OptionType::boolean, .fallback = false},
    {.name = "require", .type = OptionType::list},
    {.name = "context",
     .type = OptionType::choice,
     .fallback = "error",
     .choices = {"error", "truncate"}},
    {.name = "grammar", .type = OptionType::any, .fallback = "auto"},
    {.name = "system", .type = OptionType::text},
    {.name = "speculate", .type = OptionType::boolean, .fallback = true},
    number_of("io_threads", 1, 1, 256),
    {.name = "sandbox", .type = OptionType::any},
    number_of("limit", 0, 1),  // absent: all
    {.name = "filter", .type = OptionType::text},
};

const std::vector<OptionInfo> kLimits = {
    number_of("turns", 8, 1, kMostTurns), number_of("tokens", 4096, 1),
    number_of("tool_calls", 16, 0),       number_of("executions", 32, 0),
    time_of("wall_ms", 120000),           {.name = "cost", .type = OptionType::number, .least = 0},
    time_of("model_ms", 120000),          time_of("tool_ms", 60000),
    time_of("supervisor_ms", 60000)};

const std::vector<OptionInfo> kSampling = {
    {.name = "temperature", .type = OptionType::number, .fallback = 1.0, .least = 0},
    {.name = "top_p", .type = OptionType::number, .fallback = 1.0, .least = 0, .most = 1},
    number_of("top_k", 0, 0),
    {.name = "min_p", .type = OptionType::number, .fallback = 0.0, .least = 0, .most = 1},
    number_of("max_tokens", 512, 1)};

const std::vector<OptionInfo> kGrammar = {{.name = "use",
                                           .type = OptionType::choice,
                                           .fallback = "auto",
                                           .choices = {"auto", "on", "off"}},
                                          number_of("max_chars", 0, 0)};

const std::vector<OptionInfo> kSearch = {number_of("candidates", 1, 1, 64)};

const std::vector<OptionInfo> kSandbox = {number_of("slots", 0, 0, 256)};

std::vector<std::string> names_of(const std::vector<OptionInfo>& options) {
  std::vector<std::string> names;
  names.reserve(options.size());
  for (const auto& option : options) names.push_back(option.name);
  return names;
}

// The mapping at `path` checked against its table; an absent one gives the defaults.
Result<Options> section(const YamlFile& file, const json::value& value, const std::string& path,
                        const std::vector<OptionInfo>& known) {
  static const json::object nothing;
  if (!value.is_null() && !value.is_object())
    return file.complain(path, path + ": expected a mapping");
  const json::object& object = value.is_object() ? value.get_object() : nothing;
  for (const auto& pair : object) {
    const std::string key = pair.key();
    const auto names = names_of(known);
    const std::string at = path.empty() ? key : path + "." + key;
    if (std::find(names.begin(), names.end(), key) == names.end())
      return file.complain(at, "unknown key '" + at + "'" + nearest_hint(key, names));
    auto one =
        Options::parse(json::object{{key, pair.value()}}, known, path.empty() ? "config" : path);
    if (!one) return file.complain(at, one.error().message);
  }
  return Options::parse(object, known, path.empty() ? "config" : path);
}

Result<std::vector<PluginUse>> plugin_uses(const YamlFile& file, const json::value& value,
                                           const std::string& path) {
  std::vector<PluginUse> uses;
  if (value.is_null()) return uses;
  if (!value.is_array()) return file.complain(path, path + ": expected a list");
  for (std::size_t i = 0; i < value.get_array().size(); ++i) {
    const std::string at = path + "[" + std::to_string(i) + "]";
    auto use = read_plugin_use(value.get_array()[i], at);
    if (!use) return file.complain(at, use.error().message);
    for (const auto& other : uses)
      if (other.alias == use->alias)
        return file.complain(
            at, at + ": '" + use->alias + "' stands twice; give one of them `as: OTHER_NAME`");
    uses.push_back(std::move(*use));
  }
  return uses;
}

Result<ModelConfig> model_config(const json::value& value) {
  ModelConfig model;
  if (value.is_string()) {
    model.uri = std::string(value.get_string());
  } else if (const auto* object = value.if_object()) {
    const auto* uri = object->if_contains("uri");
    if (!uri || !uri->is_string()) {
      std::string slip;
      for (const auto& setting : *object)
        if (const auto hint = nearest_hint(setting.key(), {"uri"}); !uri && hint.ends_with('?'))
          slip = "; '" + std::string(setting.key()) + "'" + hint;
      return bad_input("expected a model URI, or a mapping with `uri`" + slip);
    }
    model.uri = std::string(uri->get_string());
    model.settings = *object;
    model.settings.erase("uri");
  } else {
    return bad_input("expected a model URI, or a mapping with `uri`");
  }
  return model;
}

Error unknown_role(const std::string& role) {
  return bad_input("unknown model role '" + role + "'" + nearest_hint(role, kRoles));
}

// Sampling that the record would not know of, as only `sampling` says it there.
Status check_sampling_of(const YamlFile& file, const ModelConfig& policy) {
  const auto* given = policy.settings.if_contains("extra_body");
  const auto* extra = given ? given->if_object() : nullptr;
  if (!extra) return {};
  for (const auto& [name, value] : *extra) {
    std::string key(name);
    for (const char* other : {"max_completion_tokens", "max_new_tokens", "n_predict"})
      if (key == other) key = "max_tokens";
    const bool known = std::any_of(kSampling.begin(), kSampling.end(),
                                   [&key](const OptionInfo& option) { return option.name == key; });
    if (!known || value.is_null()) continue;
    const std::string at = "models.policy.extra_body." + std::string(name);
    return file.complain(at, at + ": write sampling." + key + ", which the record tells of");
  }
  return {};
}

Status read_models(const YamlFile& file, const json::value& value, RunConfig& config) {
  if (value.is_null()) return {};
  if (!value.is_object()) return file.complain("models", "models: expected a mapping role: URI");
  for (const auto& pair : value.get_object()) {
    const std::string role = pair.key();
    const std::string at = "models." + role;
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end())
      return file.complain(at, unknown_role(role).message);
    if (pair.value().is_null()) continue;
    auto model = model_config(pair.value());
    if (!model) return file.complain(at, at + ": " + model.error().message);
    for (const char* key : {"price_in", "price_out"})
      if (const auto* price = model->settings.if_contains(key))
        if (!price->is_number() || price->to_number<double>() < 0)
          return file.complain(at + "." + key, at + "." + key +
                                                   ": expected a number of at least 0, "
                                                   "the price of one token");
    if (role == "policy")
      if (auto good = check_sampling_of(file, *model); !good) return good;
    config.models[role] = std::move(*model);
  }
  return {};
}

Status read_suites(const YamlFile& file, const json::value& value, RunConfig& config) {
  if (value.is_string()) config.suites.emplace_back(value.get_string());
  if (const auto* array = value.if_array())
    for (const auto& item : *array) {
      if (!item.is_string()) return file.complain("suite", "suite: expected names");
      config.suites.emplace_back(item.get_string());
    }
  if (value.is_object() || value.is_number() || value.is_bool())
    return file.complain("suite", "suite: expected a name or a list of names");
  return {};
}

void read_limits_section(const Options& limits, RolloutLimits& into) {
  into.turns = static_cast<int>(limits.integer("turns"));
  into.tokens = limits.integer("tokens");
  into.tool_calls = static_cast<int>(limits.integer("tool_calls"));
  into.executions = static_cast<int>(limits.integer("executions"));
  into.wall = Milliseconds(limits.integer("wall_ms"));
  if (limits.given("cost")) into.cost = limits.number("cost");
  into.model = Milliseconds(limits.integer("model_ms"));
  into.tool = Milliseconds(limits.integer("tool_ms"));
  into.supervisor = Milliseconds(limits.integer("supervisor_ms"));
}

constexpr const char* kWherePrices =
    "set price_in and price_out (per token) beside the uri of models.policy";

bool has_prices(const RunConfig& config) {
  const json::object& settings = config.models.at("policy").settings;
  return settings.contains("price_in") || settings.contains("price_out");
}

}  // namespace

Result<RolloutLimits> limits_with(const RunConfig& config, const json::object& suite_limits,
                                  const std::string& suite) {
  json::object merged = suite_limits;
  if (const auto* given = config.source.get_object().if_contains("limits");
      given && given->is_object())
    for (const auto& pair : given->get_object()) merged[pair.key()] = pair.value();
  auto options = Options::parse(merged, kLimits, "suite " + suite + ": limits");
  if (!options) return std::move(options).error();
  RolloutLimits limits;
  read_limits_section(*options, limits);
  if (limits.cost && !has_prices(config))
    return bad_input("suite " + suite + ": limits.cost needs prices: " + kWherePrices);
  return limits;
}

Result<std::pair<std::string, ModelConfig>> parse_model_option(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return bad_input("--model " + text + ": expected ROLE=URI");
  const std::string role = text.substr(0, equals);
  if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end())
    return unknown_role(role).in("--model " + text);
  if (text[equals + 1] != '{')
    return std::make_pair(role, ModelConfig{.uri = text.substr(equals + 1)});
  auto mapping = parse_yaml(text.substr(equals + 1), "--model " + role);
  if (!mapping) return std::move(mapping).error();
  auto model = model_config(mapping->root);
  if (!model) return std::move(model).error().in("--model " + role);
  return std::make_pair(role, std::move(*model));
}

Error RunConfig::located(const std::string& json_path, Error error) const {
  const bool users = error.kind == ErrorKind::bad_input || error.kind == ErrorKind::missing;
  if (users && !file.path.empty()) error.message = file.complain(json_path, error.message).message;
  return error;
}

Result<RunConfig> read_run_config(const YamlFile& file) {
  if (!file.root.is_object()) return file.complain("", "expected a mapping of settings");
  auto top = section(file, file.root, "", kTop);
  if (!top) return top.error();
  RunConfig config;
  config.source = file.root;
  config.file = {.path = file.path, .root = nullptr, .lines = file.lines, .origins = file.origins};
  config.tasks_hash = top->text("tasks_hash");
  config.directory = top->text("directory");
  config.name = top->text("name");
  config.out = top->text("out");
  config.tasks_file = top->text("tasks");
  if (auto status = read_suites(file, top->any("suite"), config); !status) return status.error();
  if (config.tasks_file.empty() && config.suites.empty())
    return file.complain("", "nothing to do: give `tasks: FILE.jsonl` or `suite: NAME`");
  if (!config.tasks_file.empty() && !config.suites.empty())
    return file.complain("tasks", "give `tasks` or `suite`, not both");
  if (!top->any("checker").is_null()) {
    auto checker = read_checker_use(top->any("checker"));
    if (!checker) return file.complain("checker", checker.error().message);
    config.checker = std::move(*checker);
  }
  if (auto status = read_models(file, top->any("models"), config); !status) return status.error();
  if (!config.models.contains("policy"))
    return file.complain("models",
                         "models.policy is missing; e.g. `models: {policy: \"llama:smollm2\"}`");
  config.format = top->any("format");
  auto tools = plugin_uses(file, top->any("tools"), "tools");
  if (!tools) return tools.error();
  config.tools = std::move(*tools);
  auto supervise = plugin_uses(file, top->any("supervise"), "supervise");
  if (!supervise) return supervise.error();
  config.supervise = std::move(*supervise);
  auto search = section(file, top->any("search"), "search", kSearch);
  if (!search) return search.error();
  config.candidates = static_cast<int>(search->integer("candidates"));
  config.samples = static_cast<int>(top->integer("samples"));
  config.concurrency = static_cast<std::size_t>(top->integer("concurrency"));
  config.seed = static_cast<std::uint64_t>(top->integer("seed"));
  config.strict = top->boolean("strict");
  config.require = top->list("require");
  config.context =
      top->text("context") == "truncate" ? ContextPolicy::truncate : ContextPolicy::error;
  config.system = top->text("system");
  config.speculate = top->boolean("speculate");
  config.limit = static_cast<int>(top->integer("limit"));
  config.filter = top->text("filter");
  config.io_threads = static_cast<int>(top->integer("io_threads"));

  auto limits = section(file, top->any("limits"), "limits", kLimits);
  if (!limits) return limits.error();
  read_limits_section(*limits, config.limits);
  if (config.limits.cost && !has_prices(config))
    return file.complain("limits.cost", std::string("limits.cost needs prices: ") + kWherePrices);
  auto sampling = section(file, top->any("sampling"), "sampling", kSampling);
  if (!sampling) return sampling.error();
  config.sampling.temperature = sampling->number("temperature");
  config.sampling.top_p = sampling->number("top_p");
  config.sampling.top_k = static_cast<int>(sampling->integer("top_k"));
  config.sampling.min_p = sampling->number("min_p");
  config.sampling.max_tokens = static_cast<int>(sampling->integer("max_tokens"));
  // `grammar: off` reads as a boolean in YAML 1.1 habits; both spellings are taken.
  json::value grammar = top->any("grammar");
  if (grammar.is_bool()) grammar = grammar.get_bool() ? "on" : "off";
  if (grammar.is_string()) grammar = json::object{{"use", grammar}};
  auto grammar_options = section(file, grammar, "grammar", kGrammar);
  if (!grammar_options) return grammar_options.error();
  const std::string use = grammar_options->text("use");
  config.grammar = use == "on"    ? GrammarPolicy::on
                   : use == "off" ? GrammarPolicy::off
                                  : GrammarPolicy::automatic;
  config.grammar_chars = static_cast<int>(grammar_options->integer("max_chars"));
  auto sandbox = section(file, top->any("sandbox"), "sandbox", kSandbox);
  if (!sandbox) return sandbox.error();
  config.sandbox_slots = static_cast<std::size_t>(sandbox->integer("slots"));

  if (config.name.empty() && !config.out.empty()) {
    std::filesystem::path out(config.out);
    if (!out.has_filename()) out = out.parent_path();
    config.name = out.filename().string();
  }
  return config;
}

namespace {

// "models.policy.context=64" where models.policy is a URI alone: the URI becomes one setting of a
// mapping, so that others can stand beside it.
void make_room_for_settings(json::value& root, const std::string& assignment) {
  constexpr std::string_view kModels = "models.";
  if (!assignment.starts_with(kModels) || !root.is_object()) return;
  const std::size_t dot = assignment.find('.', kModels.size());
  if (dot == std::string::npos || dot > assignment.find('=')) return;
  auto* models = root.get_object().if_contains("models");
  if (!models || !models->is_object()) return;
  const auto role = assignment.substr(kModels.size(), dot - kModels.size());
  auto* model = models->get_object().if_contains(role);
  if (model && model->is_string()) *model = json::object{{"uri", *model}};
}

// Up to the path of a server's URI; of other URIs the kind.
std::string_view server_of(std::string_view uri) {
  const std::size_t kind = uri.find(':');
  const std::size_t host = uri.find("://");
  if (host == std::string_view::npos) return uri.substr(0, kind);
  return uri.substr(0, uri.find_first_of("/?#", host + 3));
}

bool same_server(const json::object& model, std::string_view uri) {
  const auto* before = model.if_contains("uri");
  return before && before->is_string() && server_of(before->get_string()) == server_of(uri);
}

}  // namespace

Result<RunConfig> load_run_config(const std::string& path, const RunOverrides& overrides) {
  auto file = read_yaml(path);
  if (!file) return std::move(file).error();
  if (file->root.is_null()) file->root.emplace_object();
  if (!file->root.is_object()) return file->complain("", "expected a mapping of settings");
  json::object& root = file->root.get_object();
  std::set<std::string> roles;
  for (const auto& text : overrides.models) {
    auto model = parse_model_option(text);
    if (!model) return model.error();
    if (!roles.insert(model->first).second)
      return bad_input("--model " + model->first + " is given twice");
    file->replaced("models." + model->first, "--model " + text);
    json::value& models = root["models"];
    if (!models.is_object()) models.emplace_object();
    // Settings beside the URI (headers, prices) hold for that server, and go with it.
    json::value& entry = models.get_object()[model->first];
    json::object settings = std::move(model->second.settings);
    if (settings.empty() && entry.is_object() && same_server(entry.get_object(), model->second.uri))
      settings = std::move(entry.get_object());
    settings["uri"] = json::string(model->second.uri);
    entry = settings.size() > 1 ? json::value(std::move(settings)) : settings["uri"];
  }
  for (const auto& assignment : overrides.set) {
    make_room_for_settings(file->root, assignment);
    if (auto status = set_by_path(file->root, assignment); !status) return status.error();
    file->replaced(assignment.substr(0, assignment.find('=')), "--set " + assignment);
  }
  if (!overrides.tasks.empty()) {
    root.erase("suite");
    root["tasks"] = json::string(overrides.tasks);
    file->replaced("tasks", "--tasks " + overrides.tasks);
  }
  if (!overrides.out.empty()) root["out"] = json::string(overrides.out);
  return read_run_config(*file);
}

}  // namespace proctor
