// `proctor bench loop|sandbox|search`: measures this machine and names the bottleneck. Numbers hold
// for this machine, now; compare ratios of one run, not numbers of two.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <numeric>
#include <set>

#include "runtime/app/commands.h"
#include "runtime/app/mock_server.h"
#include "runtime/core/harmless.h"
#include "runtime/core/record_writer.h"
#include "runtime/run.h"
#include "sandbox/sandbox.h"
#include "tools/index.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point start) {
  return std::chrono::duration<double>(Steady::now() - start).count();
}

// User and system time of this process and of its children that have ended.
double cpu_seconds() {
  double total = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& part : {usage.ru_utime, usage.ru_stime})
      total += static_cast<double>(part.tv_sec) + static_cast<double>(part.tv_usec) * 1e-6;
  }
  return total;
}

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

// A folder that goes with the benchmark.
class ScratchFolder {
 public:
  static Result<std::unique_ptr<ScratchFolder>> make() {
    std::error_code error;
    const fs::path parent = fs::temp_directory_path(error);
    const char* given = std::getenv("TMPDIR");
    const std::string named = given ? given : parent.string();
    std::string path = (parent / "proctor-bench-XXXXXX").string();
    if (!error && ::mkdtemp(path.data()) == nullptr) error.assign(errno, std::generic_category());
    if (error)
      return bad_input("bench: no folder can be made in TMPDIR " + named + " (" + error.message() +
                       "); name one that can be written");
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(std::move(path)));
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// The model server in a process of its own, so that its CPU time is not counted as ours.
class ServerProcess {
 public:
  static Result<std::unique_ptr<ServerProcess>> start(const MockOptions& options) {
    int ends[2];
    if (::pipe(ends) != 0) return did_not_start(std::strerror(errno));
    const pid_t child = ::fork();
    const int reason = errno;
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[0]);
      serve(options, ends[1]);
    }
    ::close(ends[1]);
    char text[256];
    const ssize_t got = child > 0 ? ::read(ends[0], text, sizeof text) : 0;
    ::close(ends[0]);
    // Not to be killed later: as a process number, -1 means all that there are.
    if (child < 0) return did_not_start(std::strerror(reason));
    std::unique_ptr<ServerProcess> server(new ServerProcess(child));
    if (got <= 0) return did_not_start("it ended at once");
    server->url_.assign(text, static_cast<std::size_t>(got));
    return server;
  }
  ~ServerProcess() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  const std::string& url() const { return url_; }

 private:
  explicit ServerProcess(pid_t child) : child_(child) {}
  static Error did_not_start(const std::string& why) {
    return internal_error("bench: the mock model server did not start: " + why);
  }
  [[noreturn]] static void serve(const MockOptions& options, int tell) {
    try {
      const MockServer server(options);
      const std::string url = server.url();
      (void)!::write(tell, url.data(), url.size());
      ::close(tell);
      for (;;) ::pause();
    } catch (...) {
      ::_exit(1);
    }
  }

  const pid_t child_;
  std::string url_;
};

class EchoTool final : public Tool {
 public:
  ToolDefinition definition() const override {
    return {.name = "echo",
            .description = "gives the text back",
            .parameters = {{"type", "object"},
                           {"properties", {{"text", {{"type", "string"}}}}},
                           {"required", {"text"}}}};
  }
  bool pure() const override { return true; }
  bool instant() const override { return true; }
  Async<Result<Observation>> call(ToolCall call, std::shared_ptr<ToolContext>) override {
    Observation observation;
    observation.content = std::string(call.arguments.at("text").as_string());
    co_return observation;
  }
};

// A rule that looks at each turn, after as long as a judge would take.
class BenchJudge final : public Supervisor {
 public:
  explicit BenchJudge(Milliseconds delay) : delay_(delay) {}
  bool has_on_turn() const override { return true; }
  bool decides() const override { return true; }
  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override {
    if (delay_.count() > 0) co_await sleep_for(delay_);
    Opinion opinion;
    const auto& turn = *so_far->turns.back();
    opinion.labels.push_back({.name = "calls",
                              .level = LabelLevel::turn,
                              .value = static_cast<double>(turn.assistant.tool_calls.size())});
    co_return opinion;
  }

 private:
  Milliseconds delay_;
};

struct LoopArguments {
  int rollouts = 64;
  int in_flight = 64;
  int turns = 4;
  int delay_ms = 0;
  int judge_ms = 0;
  bool no_supervisor = false;
  bool stream = false;
  bool token_ids = false;
};

// What a run of the loop took.
struct LoopFigures {
  double wall_s = 0, cpu_s = 0, store_busy_s = 0;
  double turns = 0;
  double model_ms = 0;                   // of all turns together
  std::vector<double> rollout_ms;        // each
  std::int64_t resident = 0, grown = 0;  // bytes at most, and how many more than before
  std::int64_t errors = 0;
  json::object in_flight;  // as summary.json has it

  double all_rollouts_ms() const {
    return std::accumulate(rollout_ms.begin(), rollout_ms.end(), 0.0);
  }
};

// The queue that calls waited in longest, where that was a fifth of a turn or more; "" for none.
std::string slowest_queue(const json::object& in_flight, double turn_ms) {
  std::string slowest;
  double longest = 0.2 * turn_ms;
  for (const auto& pair : in_flight) {
    const auto* usage = pair.value().if_object();
    const auto* waited = usage ? usage->if_contains("waited_ms") : nullptr;
    const auto* acquired = usage ? usage->if_contains("acquired") : nullptr;
    if (!waited || !acquired || acquired->to_number<double>() == 0) continue;
    const double mean_wait = waited->to_number<double>() / acquired->to_number<double>();
    if (mean_wait <= longest) continue;
    longest = mean_wait;
    slowest = fmt::format("the queue of {} ({:.1f} ms of waiting a call): raise its cap",
                          std::string_view(pair.key()), mean_wait);
  }
  return slowest;
}

// The name of what held the rollouts up most.
std::string bottleneck(const LoopFigures& run) {
  const double all_ms = std::max(run.all_rollouts_ms(), 1e-9);
  const double model_share = run.model_ms / all_ms;
  const double cores = run.cpu_s / run.wall_s;
  if (run.store_busy_s / run.wall_s > 0.8) return "the store (its writer is busy all the time)";
  std::string queue = slowest_queue(run.in_flight, all_ms / std::max(1.0, run.turns));
  if (!queue.empty()) return queue;
  if (cores > 0.8) return fmt::format("this process's CPU ({:.2f} cores busy)", cores);
  if (model_share < 0.5)
    return fmt::format(
        "none in so short a run: the model has {:.0f} % of the time, and this process {:.2f} "
        "cores; take more --rollouts",
        100 * model_share, cores);
  return fmt::format("the model (its answers take {:.0f} % of a rollout's time)",
                     100 * model_share);
}

Result<std::unique_ptr<Assembly>> loop_assembly(const LoopArguments& arguments,
                                                const ScratchFolder& folder,
                                                const std::string& url) {
  {
    std::ofstream tasks(folder / "tasks.jsonl");
    for (int i = 0; i < arguments.rollouts; ++i)
      tasks << R"({"id":"t)" << i << R"(","prompt":"What is six times seven? Use the tool."})"
            << "\n";
  }
  json::object model{{"uri", "openai:" + url + "#mock"},
                     {"stream", arguments.stream},
                     {"max_in_flight", arguments.in_flight}};
  YamlFile file{.path = "bench"};
  file.root = json::object{{"tasks", folder / "tasks.jsonl"},
                           {"models", {{"policy", std::move(model)}}},
                           {"format", "openai"},
                           {"limits", {{"turns", arguments.turns + 1}}},
                           {"concurrency", arguments.in_flight},
                           {"out", folder / "run"}};
  auto config = read_run_config(file);
  if (!config) return std::move(config).error();
  auto assembly = Assembly::build(std::move(*config));
  if (!assembly) return std::move(assembly).error();
  RolloutServices& services = (*assembly)->services();
  services.tools["echo"] = std::make_shared<EchoTool>();
  if (!arguments.no_supervisor)
    services.supervisors.push_back(
        {"bench", "bench", std::make_shared<BenchJudge>(Milliseconds(arguments.judge_ms))});
  return assembly;
}

Result<LoopFigures> measure_loop(Assembly& assembly, const std::string& directory) {
  LoopFigures run;
  const std::int64_t before = resident_bytes();
  run.resident = before;
  const double cpu_before = cpu_seconds();
  const auto started = Steady::now();
  auto result = run_all(assembly, Start::create, [&](const RunProgress&) {
    run.resident = std::max(run.resident, resident_bytes());
  });
  if (!result) return std::move(result).error();
  if (result->interrupted) return Error{ErrorKind::cancelled, "bench: interrupted"};
  run.cpu_s = cpu_seconds() - cpu_before;
  run.wall_s = seconds_since(started);
  run.resident = std::max(run.resident, resident_bytes());
  run.grown = run.resident - before;
  run.turns = static_cast<double>(assembly.counters().turns);
  run.errors = result->summary.ended_in_error();

  auto store = Store::open(directory, Store::Access::read);
  if (!store) return std::move(store).error();
  const auto read = (*store)->for_each([&](Trajectory trajectory) -> Status {
    Fields usage(trajectory.extra.at("usage").as_object(), "usage");
    run.rollout_ms.push_back(usage.number_or("wall_ms", 0));
    for (const auto& turn : trajectory.turns) run.model_ms += turn->timing.model_ms;
    return {};
  });
  if (!read) return read.error();
  auto text = read_file(directory + "/summary.json");
  if (!text) return std::move(text).error();
  auto summary = parse_json(*text);
  if (!summary) return std::move(summary).error();
  run.store_busy_s = summary->at("store").at("busy_ms").to_number<double>() / 1e3;
  run.in_flight = summary->at("in_flight").as_object();
  return run;
}

Result<int> bench_loop(const LoopArguments& arguments) {
  MockOptions options;
  options.delay = Milliseconds(arguments.delay_ms);
  options.tool_turns = arguments.turns - 1;
  options.token_ids = arguments.token_ids;
  auto server = ServerProcess::start(options);
  if (!server) return std::move(server).error();
  auto folder = ScratchFolder::make();
  if (!folder) return std::move(folder).error();
  auto assembly = loop_assembly(arguments, **folder, (*server)->url());
  if (!assembly) return std::move(assembly).error();
  auto run = measure_loop(**assembly, **folder / "run");
  if (!run) return std::move(run).error();

  const double cpu_ms = 1e3 * run->cpu_s / std::max(1.0, run->turns);
  const double slowest_ms = quantile(run->rollout_ms, 0.99);
  const double ideal_ms = static_cast<double>(arguments.turns) * arguments.delay_ms;
  const int at_once = std::max(1, std::min(arguments.rollouts, arguments.in_flight));
  const std::string worst = bottleneck(*run);
  std::cout << json_text(json::object{
                   {"bench", "loop"},
                   {"rollouts", arguments.rollouts},
                   {"in_flight", arguments.in_flight},
                   {"turns", run->turns},
                   {"model_delay_ms", arguments.delay_ms},
                   {"judge_ms", arguments.no_supervisor ? json::value(nullptr)
                                                        : json::value(arguments.judge_ms)},
                   {"wall_s", run->wall_s},
                   {"turns_per_s", run->turns / run->wall_s},
                   {"cpu_ms_per_turn", cpu_ms},
                   {"rollout_ms_p50", quantile(run->rollout_ms, 0.5)},
                   {"rollout_ms_p99", slowest_ms},
                   {"added_ms_p99", slowest_ms - ideal_ms},
                   {"resident_mb", static_cast<double>(run->resident) / 1e6},
                   {"kb_per_rollout_in_flight", static_cast<double>(run->grown) / 1e3 / at_once},
                   {"errors", run->errors},
                   {"in_flight_seen", run->in_flight},
                   {"bottleneck", worst}})
            << "\n";
  std::cerr << fmt::format(
      "{:.0f} turns in {:.2f} s: {:.0f} turns/s, {:.3f} ms of CPU a turn, {:.0f} MB resident\n"
      "bottleneck: {}\n",
      run->turns, run->wall_s, run->turns / run->wall_s, cpu_ms,
      static_cast<double>(run->resident) / 1e6, worst);
  return run->errors > 0 ? 1 : 0;
}

struct SandboxArguments {
  int executions = 200;
  int parallel = 2;
  std::string code = "print(1)";
};

struct Executions {
  std::atomic<int> left;
  std::vector<double> ms;  // of those that went well
  std::size_t failures = 0;
  std::string why;  // of the first
};

Async<void> execute_some(SandboxPool* pool, std::string code, Executions* all) {
  while (all->left.fetch_sub(1) > 0) {
    ExecutionRequest request;
    request.code = code;
    const auto started = Steady::now();
    auto ran = co_await pool->run(std::move(request));
    if (ran && ran->ending == Ending::ok) {
      all->ms.push_back(seconds_since(started) * 1e3);
    } else if (++all->failures == 1) {
      all->why = !ran ? ran.error().message : to_string(ran->ending) + (" " + ran->error);
    }
  }
}

Result<int> bench_sandbox(const SandboxArguments& arguments) {
  if (arguments.parallel > 256) return bad_input("--parallel: at most 256 programs at once");
  asio::io_context loop;
  auto pool = make_sandbox_pool({.slots = static_cast<std::size_t>(arguments.parallel)});
  if (!pool) return std::move(pool).error();
  json::array rows;
  std::size_t failures = 0;
  for (const int parallel : std::set<int>{1, arguments.parallel}) {
    Executions all{.left = arguments.executions, .ms = {}, .why = {}};
    loop.restart();
    std::exception_ptr thrown;
    const auto started = Steady::now();
    for (int i = 0; i < parallel; ++i)
      asio::co_spawn(loop, execute_some(pool->get(), arguments.code, &all),
                     [&](const std::exception_ptr& failure) {
                       if (failure) thrown = failure;
                     });
    loop.run();
    if (thrown) std::rethrow_exception(thrown);
    const double per_s = static_cast<double>(all.ms.size()) / seconds_since(started);
    rows.push_back({{"parallel", parallel},
                    {"executions", all.ms.size()},
                    {"failures", all.failures},
                    {"per_s", per_s},
                    {"ms_p50", quantile(all.ms, 0.5)},
                    {"ms_p99", quantile(all.ms, 0.99)}});
    std::cerr << fmt::format("{} at once: {:.0f} executions/s, p50 {:.2f} ms, p99 {:.2f} ms\n",
                             parallel, per_s, quantile(all.ms, 0.5), quantile(all.ms, 0.99));
    if (all.failures > 0)
      std::cerr << "proctor: " << all.failures << " of " << arguments.executions
                << " executions failed; the first: " << harmless(all.why, false) << "\n";
    failures += all.failures;
  }
  const double one = rows.front().at("per_s").to_number<double>();
  const double many = rows.back().at("per_s").to_number<double>();
  std::string worst = "the machine's cores: more slots would not give more executions";
  if (many > 1.5 * one) worst = "the slots: more of them (sandbox.slots) give more executions";
  if (failures > 0) worst = "not measured: executions failed";
  if (rows.size() < 2) worst = "not measured: one at once compares with nothing; --parallel 2 does";
  std::cout << json_text(json::object{{"bench", "sandbox"},
                                      {"isolation", (*pool)->isolation().level},
                                      {"runs", std::move(rows)},
                                      {"bottleneck", worst}})
            << "\n";
  std::cerr << "bottleneck: " << worst << "\n";
  return failures > 0 ? 1 : 0;
}

struct SearchArguments {
  std::string index;
  int documents = 20000;
  int queries = 2000;
};

// Words by Zipf's law, as text has them.
std::string words(Rng& rng, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const auto rank = static_cast<std::uint64_t>(std::exp(rng.uniform() * std::log(50000.0)));
    text += (i > 0 ? " w" : "w") + std::to_string(rank);
  }
  return text;
}

Result<int> bench_search(const SearchArguments& arguments) {
  const std::atomic<bool>& stop = catch_interrupt();
  const Error interrupted{ErrorKind::cancelled, "bench: interrupted"};
  auto made = ScratchFolder::make();
  if (!made) return std::move(made).error();
  const ScratchFolder& folder = **made;
  Rng rng(1);
  std::string directory = arguments.index;
  double build_s = 0;
  if (directory.empty()) {
    {
      std::ofstream corpus(folder / "corpus.jsonl");
      for (int i = 0; i < arguments.documents && !stop; ++i)
        corpus << R"({"id":"d)" << i << R"(","text":")" << words(rng, 100) << "\"}\n";
    }
    directory = folder / "index";
    const auto started = Steady::now();
    auto built = build_index(folder / "corpus.jsonl", directory, {.stop = &stop});
    if (stop) return interrupted;
    if (!built) return std::move(built).error();
    build_s = seconds_since(started);
  }
  auto index = SearchIndex::open(directory);
  if (!index) return std::move(index).error();
  std::vector<double> times;
  const auto started = Steady::now();
  for (int i = 0; i < arguments.queries; ++i) {
    if (stop) return interrupted;
    const std::string query = words(rng, 6);
    const auto begun = Steady::now();
    const auto hits = (*index)->query(query, 10);
    times.push_back(seconds_since(begun) * 1e3);
  }
  const double wall = seconds_since(started);
  const std::string worst = "not measured: queries ran one after the other, on one core";
  std::cout << json_text(
                   json::object{{"bench", "search"},
                                {"build_s", build_s},
                                {"queries_per_s", static_cast<double>(arguments.queries) / wall},
                                {"ms_p50", quantile(times, 0.5)},
                                {"ms_p99", quantile(times, 0.99)},
                                {"bottleneck", worst}})
            << "\n";
  std::cerr << fmt::format(
      "{:.0f} queries/s on one core, p50 {:.3f} ms, p99 {:.3f} ms\nbottleneck: {}\n",
      static_cast<double>(arguments.queries) / wall, quantile(times, 0.5), quantile(times, 0.99),
      worst);
  return 0;
}

}  // namespace

std::function<Result<int>()> set_up_bench(CLI::App& command) {
  struct Arguments {
    std::string what;
    LoopArguments loop;
    SandboxArguments sandbox;
    SearchArguments search;
  };
  auto arguments = std::make_shared<Arguments>();
  command.add_option("WHAT", arguments->what, "loop, sandbox or search")
      ->required()
      ->check(CLI::IsMember({"loop", "sandbox", "search"}));
  const auto count = [&command](const char* group, const char* flag, int& value, int least,
                                const char* meaning) {
    command.add_option(flag, value, meaning)
        ->check(CLI::Range(least, 1'000'000'000).description(""))
        ->type_name("N")
        ->capture_default_str()
        ->group(group);
  };
  const char* loop = "loop (a mock model server, a tool, a supervisor)";
  count(loop, "--rollouts", arguments->loop.rollouts, 1, "rollouts in all");
  count(loop, "--in-flight", arguments->loop.in_flight, 1, "rollouts at once");
  count(loop, "--turns", arguments->loop.turns, 1, "turns a rollout");
  count(loop, "--delay-ms", arguments->loop.delay_ms, 0, "what the model takes for a turn");
  count(loop, "--judge-ms", arguments->loop.judge_ms, 0, "what the supervisor takes for a turn");
  command.add_flag("--no-supervisor", arguments->loop.no_supervisor, "without a supervisor")
      ->group(loop);
  command.add_flag("--stream", arguments->loop.stream, "answers are streamed")->group(loop);
  command.add_flag("--token-ids", arguments->loop.token_ids, "the server gives token ids")
      ->group(loop);
  const char* sandbox = "sandbox (programs that print one line)";
  count(sandbox, "--executions", arguments->sandbox.executions, 1, "programs in all");
  count(sandbox, "--parallel", arguments->sandbox.parallel, 1, "programs at once (256 at most)");
  const char* search = "search (queries to an index, one after the other)";
  command.add_option("--index", arguments->search.index, "an index there is; else one is made")
      ->type_name("DIR")
      ->group(search);
  count(search, "--documents", arguments->search.documents, 1, "documents of the one that is made");
  count(search, "--queries", arguments->search.queries, 1, "queries in all");
  return [arguments, &command]() -> Result<int> {
    for (const auto* option : command.get_options())
      if (option->count() > 0 && option->get_group().find(" (") != std::string::npos &&
          !option->get_group().starts_with(arguments->what + " ("))
        return bad_input(option->get_name() + " is no option of `bench " + arguments->what + "`");
    if (arguments->what == "loop") return bench_loop(arguments->loop);
    if (arguments->what == "sandbox") return bench_sandbox(arguments->sandbox);
    return bench_search(arguments->search);
  };
}

}  // namespace proctor
