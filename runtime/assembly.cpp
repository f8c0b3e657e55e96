// Names to things. Each step complains in the words of the configuration.
#include "runtime/assembly.h"

#include <algorithm>
#include <any>
#include <filesystem>
#include <iostream>
#include <set>
#include <thread>

#include "runtime/core/determinism.h"
#include "runtime/core/nursery.h"
#include "runtime/core/open_files.h"
#include "runtime/core/text.h"
#include "runtime/core/text_table.h"
#include "runtime/filter.h"

namespace proctor {
namespace {

constexpr std::size_t kFilesOfRun = 32;  // open at once, besides those of the sandbox

json::object usage_json(const Limiter::Usage& usage) {
  return {{"highest", usage.highest},
          {"capacity", usage.capacity},
          {"acquired", usage.acquired},
          {"waited_ms", to_ms(usage.waited)}};
}

// A tool under the name that `as` gave it, with a state of its own.
class Renamed final : public Tool {
 public:
  Renamed(ToolRef tool, std::string name) : tool_(std::move(tool)), name_(std::move(name)) {}
  ToolDefinition definition() const override {
    ToolDefinition definition = tool_->definition();
    definition.name = name_;
    return definition;
  }
  bool pure() const override { return tool_->pure(); }
  bool stateful() const override { return tool_->stateful(); }
  bool side_effects() const override { return tool_->side_effects(); }
  bool executes() const override { return tool_->executes(); }
  bool instant() const override { return tool_->instant(); }
  Limiter::Usage usage() const override { return tool_->usage(); }
  Async<Result<Observation>> call(ToolCall call, std::shared_ptr<ToolContext> context) override {
    std::any& state = (*context->state)["as " + name_];
    if (!state.has_value()) state = std::make_shared<ToolContext::State>();
    auto own = std::make_shared<ToolContext>(*context);
    own->state = std::any_cast<std::shared_ptr<ToolContext::State>>(state);
    return tool_->call(std::move(call), std::move(own));
  }

 private:
  const ToolRef tool_;
  const std::string name_;
};

Async<void> say_that_it_waits() {
  co_await sleep_for(2s);
  std::cerr << "proctor: waiting for the models to answer\n";
}

}  // namespace

Result<std::unique_ptr<Assembly>> Assembly::build(RunConfig config) {
  if (auto enough = need_open_files(kFilesOfRun, "a run needs"); !enough) return enough.error();
  std::unique_ptr<Assembly> assembly(new Assembly(std::move(config)));
  Assembly& a = *assembly;
  if (auto working = a.workers_.start(); !working) return std::move(working).error();
  auto format = make_format(a.config_.format);
  if (!format) return a.config_.located("format", std::move(format).error());
  a.services_.format = std::move(*format);
  a.services_.config = &a.config_;
  a.services_.clock = &a.clock_;
  a.services_.counters = &a.counters_;
  if (auto status = a.build_tasks(); !status) return status.error();
  if (auto status = a.check_format(); !status) return status.error();
  if (auto status = a.build_models(); !status) return status.error();
  SandboxConfig sandbox{.slots = a.config_.sandbox_slots,
                        .strict = a.config_.strict,
                        .require = a.config_.require,
                        .other_files = a.files_besides_sandbox()};
  // Where no program can be run safely, a run that runs none still can be made; whoever misses the
  // sandbox then fails, and why there is none is what the user needs to read.
  auto pool = make_sandbox_pool(sandbox);
  if (pool) a.sandbox_ = std::move(*pool);
  Status built;
  const bool has_floor = a.config_.strict || !a.config_.require.empty();
  if (!pool && (has_floor || pool.error().kind != ErrorKind::missing)) built = pool.error();
  if (built) built = a.build_tools();
  if (built) built = a.build_checkers();
  if (built) built = a.build_supervisors();
  if (built) return assembly;
  const bool misses_it = !pool && built.error().kind == ErrorKind::missing;
  return misses_it ? std::move(pool).error() : std::move(built).error();
}

// A server's connections grow with the limit: where it is too low for a program at a time, these
// are the files at the least limit that would do.
std::size_t Assembly::files_besides_sandbox() const {
  const auto requests = server_requests();
  for (std::size_t most = most_open_files();; ++most) {
    std::size_t connections = 0;
    for (const auto& [role, wanted] : requests)
      connections += std::min(wanted, connections_that_fit(most));
    // Many servers are hardly ever all asked as much as they may be.
    const std::size_t files = kFilesOfRun + std::min(connections, most / 4 * 3);
    if (files + kFilesOfSlot <= most) return files;
  }
}

// Each server once, by the first role that asks it, with the requests at a time that the run makes.
std::map<std::string, std::size_t> Assembly::server_requests() const {
  std::map<std::string, std::size_t> requests;
  std::set<const Model*> seen;
  for (const auto& [role, model] : models_.all()) {
    const std::size_t most = model->wanted_requests();
    if (most == 0 || !seen.insert(model.get()).second) continue;
    requests[role] = std::min(most, config_.concurrency);
  }
  return requests;
}

std::string Assembly::lowered_to_fit() const {
  std::vector<std::string> lowered;
  for (const auto& [role, wanted] : server_requests())
    if (const auto fit = models_.get(role)->usage().capacity; fit < wanted)
      lowered.push_back(std::to_string(fit) + " requests at a time to models." + role +
                        " instead of " + std::to_string(wanted));
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  if (sandbox_ && config_.sandbox_slots == 0)
    if (const auto fit = sandbox_->usage().capacity; fit < cores)
      lowered.push_back(plural(static_cast<std::int64_t>(fit), "program") +
                        " at a time in the sandbox instead of " + std::to_string(cores));
  if (lowered.empty()) return "";
  return "proctor: only " + std::to_string(most_open_files()) +
         " files may be open at once (ulimit -n): " + joined(lowered, ", ") + "\n";
}

Assembly::~Assembly() {
  // Models first: their threads may still be about to answer somebody.
  for (const auto& [role, model] : models_.all()) model->shut_down();
  workers_.join();
}

Status Assembly::build_tasks() {
  if (auto status = load_tasks(); !status) return status;
  if (!config_.filter.empty()) {
    auto kept = filter_tasks(tasks_, config_.filter);
    if (!kept) return std::move(kept).error();
    if (kept->empty()) return bad_input("--filter '" + config_.filter + "': matches no task");
    tasks_ = std::move(*kept);
  }
  if (config_.limit > 0) {
    std::map<std::string, int> taken;
    std::erase_if(tasks_, [&](const auto& task) { return ++taken[task->suite] > config_.limit; });
  }
  return settle_tasks();
}

// A run that is gone on with must play the tasks it began with: their hash is kept, and of tasks
// that came through a pipe a copy beside the store.
Status Assembly::settle_tasks() {
  std::string all;
  for (const auto& task : tasks_) all += canonical_json(to_json(*task)) + "\n";
  const std::string hash = hex64(hash64(all));
  if (!config_.tasks_hash.empty() && config_.tasks_hash != hash)
    return config_.located(
        "tasks_hash",
        bad_input("the tasks are not those that the run began with; put them back, or "
                  "take `tasks_hash` out of the configuration to go on all the same"));
  json::object& source = config_.source.get_object();
  source["tasks_hash"] = json::string(hash);
  if (config_.tasks_file == "-") source["tasks"] = json::string(config_.out + "/tasks.jsonl");
  return {};
}

Status Assembly::load_tasks() {
  std::set<std::string> seen;
  const auto take = [&](const TaskRef& task) -> Status {
    if (!seen.insert(task->id).second)
      return at_task(task->id,
                     bad_input("the task id '" + task->id + "' stands twice among the suites"));
    suite_names_.insert(shown_suite(task->suite));
    tasks_.push_back(task);
    return {};
  };
  const auto add_suite = [&](const std::string& name) -> Status {
    auto suite = load_suite(name);
    if (!suite) return config_.located("suite", std::move(suite).error());
    places_.merge(suite->places);
    for (const auto& task : suite->tasks)
      if (auto status = take(task); !status) return status;
    std::string key = suite->name;
    services_.suites.insert_or_assign(std::move(key), std::move(*suite));
    return {};
  };
  for (const auto& name : config_.suites)
    if (auto status = add_suite(name); !status) return status;
  if (config_.tasks_file.empty()) return {};
  std::error_code error;
  if (config_.tasks_file != "-" && !std::filesystem::exists(config_.tasks_file, error)) {
    std::string what = "tasks: there is no file " + config_.tasks_file;
    if (!config_.tasks_file.starts_with('/'))
      what +=
          " below the working directory (" + std::filesystem::current_path(error).string() + ")";
    return config_.located("tasks", bad_input(std::move(what)));
  }
  auto tasks = read_tasks(config_.tasks_file, &places_);
  if (!tasks) return std::move(tasks).error();
  const auto built_in = built_in_suites();
  for (const auto& task : *tasks) {
    if (auto status = take(task); !status) return status;
    // A task that names a built-in suite is asked and checked as that suite does it.
    if (services_.suites.contains(task->suite) ||
        std::find(built_in.begin(), built_in.end(), task->suite) == built_in.end())
      continue;
    auto suite = load_suite(task->suite);
    if (!suite) return std::move(suite).error();
    suite->tasks.clear();
    services_.suites.insert_or_assign(task->suite, std::move(*suite));
  }
  return {};
}

// What looks at no task of the run would be a slip that nobody sees.
Status Assembly::know_suites(const std::string& who, const std::vector<std::string>& wanted) const {
  for (const auto& suite : wanted)
    if (!suite_names_.contains(suite))
      return bad_input(who + ": no task belongs to the suite '" + suite + "'" +
                       nearest_hint(suite, {suite_names_.begin(), suite_names_.end()}));
  return {};
}

Error Assembly::at_task(const std::string& id, Error error) const {
  const auto place = places_.find(id);
  return place == places_.end() ? error : std::move(error).in(place->second);
}

// Tools that no turn could call would be a slip that nobody sees.
Status Assembly::check_format() const {
  if (services_.format->calls_tools()) return {};
  const std::string why = "the format '" + services_.format->name() + "' calls no tools";
  if (!config_.tools.empty())
    return config_.located(
        "tools", bad_input("tools: " + why + "; leave them out, or choose another format"));
  const std::string remedy = ", and " + why + "; choose another format";
  for (const auto& [name, suite] : services_.suites)
    if (!suite.tools.empty())
      return config_.located("format", bad_input("suite " + name + " needs the tool '" +
                                                 suite.tools.front() + "'" + remedy));
  for (const auto& task : tasks_)
    if (task->tools && !task->tools->empty())
      return at_task(task->id, bad_input("the task '" + task->id + "' wants the tool '" +
                                         task->tools->front() + "'" + remedy));
  return {};
}

Status Assembly::build_models() {
  for (const auto& [role, model_config] : config_.models) {
    // Roles with the same URI and settings share one model.
    ModelRef shared;
    for (const auto& [other, other_config] : config_.models)
      if (models_.given(other) && other_config.uri == model_config.uri &&
          other_config.settings == model_config.settings)
        shared = models_.get(other);
    if (!shared) {
      auto model = make_model(model_config);
      if (!model)
        return config_.located("models." + role, std::move(model).error().in("models." + role));
      shared = std::move(*model);
    }
    models_.set(role, std::move(shared));
  }
  services_.policy = models_.get("policy");
  return {};
}

Status Assembly::build_tools() {
  const ToolServices tool_services{.sandbox = sandbox_.get(), .pool = &workers_.pool()};
  const auto& registry = Registry<ToolMaker>::instance();
  for (std::size_t i = 0; i < config_.tools.size(); ++i) {
    const PluginUse& use = config_.tools[i];
    const std::string at = "tools[" + std::to_string(i) + "]";
    const auto* entry = registry.find(use.name);
    if (!entry) return config_.located(at, registry.unknown("tool", use.name));
    auto options = Options::parse(use.options, entry->info.options, "tools: " + use.name);
    if (!options) return config_.located(at, std::move(options).error());
    auto made = entry->make(*options, tool_services);
    if (!made) return config_.located(at, std::move(made).error().in("tools: " + use.name));
    ToolRef tool = std::move(*made);
    if (use.alias != use.name) tool = std::make_shared<Renamed>(std::move(tool), use.alias);
    std::string name = tool->definition().name;
    if (auto known = know_suites("tools: " + use.alias, use.suites); !known)
      return config_.located(at, std::move(known).error());
    if (!use.suites.empty()) services_.tool_suites[name] = use.suites;
    if (!services_.tools.emplace(name, std::move(tool)).second)
      return config_.located(at, bad_input("tools: two of them are called '" + name + "'"));
  }
  std::vector<std::string> names;
  names.reserve(services_.tools.size());
  for (const auto& [name, tool] : services_.tools) names.push_back(name);
  for (const auto& [name, suite] : services_.suites)
    for (const auto& tool : suite.tools)
      if (!services_.tools.contains(tool))
        return config_.located("suite", bad_input("suite " + name + " needs the tool '" + tool +
                                                  "': add it to `tools:`"));
  for (const auto& task : tasks_)
    for (const auto& name : task->tools.value_or(std::vector<std::string>{}))
      if (!services_.tools.contains(name))
        return at_task(task->id,
                       bad_input("the task '" + task->id + "' wants the tool '" + name +
                                 "', which is not among `tools:`" + nearest_hint(name, names)));
  return {};
}

Status Assembly::build_checkers() {
  const CheckerServices checker_services{.sandbox = sandbox_.get()};
  for (const auto& [name, suite] : services_.suites) {
    auto limits = limits_with(config_, suite.limits, name);
    if (!limits) return config_.located("suite", std::move(limits).error());
    services_.limits.emplace(name, *limits);
  }
  // A task's own checker, else its suite's, else the configuration's; equal ones are one.
  std::map<std::string, CheckerRef> made;
  for (const auto& task : tasks_) {
    std::optional<PluginUse> use = config_.checker;
    if (const auto suite = services_.suites.find(task->suite); suite != services_.suites.end())
      use = suite->second.checker;
    if (const json::value& own = checker_of(*task); !own.is_null()) {
      auto read = read_checker_use(own);
      if (!read) return at_task(task->id, std::move(read).error());
      use = std::move(*read);
    }
    if (!use) continue;
    const bool named = !checker_of(*task).is_null();
    CheckerRef& checker = made[use->name + canonical_json(use->options)];
    if (!checker) {
      auto fresh = make_checker(*use, checker_services);
      if (!fresh) return at_task(task->id, std::move(fresh).error());
      checker = std::move(*fresh);
    }
    // Without gold, a checker that is only the default leaves the task ungraded.
    if (named || !task->gold.empty())
      if (auto accepted = checker->accepts(*task); !accepted)
        return at_task(task->id, std::move(accepted).error().in("checker " + use->name));
    services_.checkers.emplace(task->id, checker);
  }
  return {};
}

Status Assembly::build_supervisors() {
  SupervisorServices supervisor_services{
      .sandbox = sandbox_.get(),
      .models = &models_,
      .judge = [this](const std::string& role) { return judges_.of(role); },
      .seed = config_.seed,
      .deadline = config_.limits.supervisor};
  for (const auto& [suite, limits] : services_.limits)
    supervisor_services.deadline = std::min(supervisor_services.deadline, limits.supervisor);
  for (std::size_t i = 0; i < config_.supervise.size(); ++i) {
    auto instance = make_supervisor(config_.supervise[i], supervisor_services);
    if (!instance)
      return config_.located("supervise[" + std::to_string(i) + "]",
                             std::move(instance).error().in("supervise"));
    const std::string at = "supervise[" + std::to_string(i) + "]";
    if (auto known = know_suites("supervise: " + instance->alias, instance->suites); !known)
      return config_.located(at, std::move(known).error());
    services_.supervisors.push_back(std::move(*instance));
  }
  return {};
}

Async<Status> Assembly::prepare(Milliseconds limit) {
  auto executor = co_await asio::this_coro::executor;
  Nursery remarks(executor);
  remarks.spawn(executor, say_that_it_waits());
  std::exception_ptr thrown;
  Status ready;
  try {
    ready = co_await reach_all(limit);
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  remarks.cancel();
  co_await remarks.join();
  if (thrown) std::rethrow_exception(thrown);
  co_return ready;
}

Async<Status> Assembly::reach_all(Milliseconds limit) {
  auto work = services_.policy->capabilities();
  std::string what = services_.policy->name();
  auto capabilities = co_await with_deadline(std::move(work), limit, std::move(what));
  if (!capabilities && capabilities.error().kind == ErrorKind::timeout)
    co_return missing(capabilities.error().message);
  if (!capabilities) co_return std::move(capabilities).error();
  services_.capabilities = *capabilities;
  // Native tool calls on a model that has none are written as text.
  services_.format = format_for(services_.format, *capabilities);
  auto ready = co_await prepare_all(services_.supervisors, limit);
  co_return ready;
}

json::object Assembly::in_flight() const {
  json::object object{
      {"rollouts",
       {{"highest", counters_.highest_in_flight.load()}, {"capacity", config_.concurrency}}}};
  for (const auto& [role, model] : models_.all())
    object["model." + role] = usage_json(model->usage());
  for (const auto& [name, tool] : services_.tools) {
    const auto usage = tool->usage();
    if (usage.capacity > 0) object["tool." + name] = usage_json(usage);
  }
  if (sandbox_) object["sandbox"] = usage_json(sandbox_->usage());
  return object;
}

}  // namespace proctor
