// `proctor run` and `proctor resume`: the main job.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <limits>
#include <memory>
#include <vector>

#include "runtime/app/commands.h"
#include "runtime/app/progress.h"
#include "runtime/app/summary_text.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/shell_word.h"
#include "runtime/core/text.h"
#include "runtime/core/text_table.h"
#include "runtime/core/unicode.h"
#include "runtime/estimate.h"
#include "runtime/filter.h"
#include "runtime/run.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

struct RunArguments {
  std::string config;
  RunOverrides overrides;
  int limit = 0;
  std::vector<std::string> filters;
  bool dry_run = false;
  bool as_json = false;
  bool quiet = false;
};

constexpr const char* kRuns = "runs";

// An output directory not given is the next free one of runs/NAME, runs/NAME-2, ... Whoever makes
// it has it, so that runs that start at the same moment get one each; it goes again where nothing
// was put into it.
class FreeDirectory {
 public:
  FreeDirectory() = default;
  FreeDirectory(const FreeDirectory&) = delete;
  FreeDirectory& operator=(const FreeDirectory&) = delete;
  ~FreeDirectory() {
    if (path_.empty()) return;
    (void)::rmdir(path_.c_str());
    if (made_runs_) (void)::rmdir(fs::path(path_).parent_path().c_str());
  }

  // Gives back its name as it is shown.
  Result<std::string> claim(const std::string& config) {
    const std::string stem = kRuns + ("/" + fs::path(config).stem().string());
    std::string candidate = stem;
    for (int n = 2;;) {
      std::error_code error;
      made_runs_ = fs::create_directories(kRuns, error) || made_runs_;
      if (error) return internal_error(candidate + ": cannot be made: " + error.message());
      if (::mkdir(candidate.c_str(), 0777) == 0) break;
      if (errno == EEXIST)
        candidate = stem + "-" + std::to_string(n++);
      else if (errno != ENOENT)  // or another one has just taken `runs` away again
        return internal_error(candidate + ": cannot be made: " + std::strerror(errno));
    }
    path_ = fs::absolute(candidate).string();
    return candidate;
  }

 private:
  std::string path_;
  bool made_runs_ = false;
};

int exit_code_of(const RunResult& result) {
  if (result.interrupted) return 130;
  return result.summary.errors() > 0 || !result.damaged.empty() ||
                 result.summary.failed_supervisions() > 0 || result.missing > 0
             ? 1
             : 0;
}

// What another try may mend.
std::string next_try(const RunResult& result) {
  std::string again = "roll out again what ended in error", grade = "grade what was not graded";
  const auto ended = result.summary.ended_in_error();
  if (ended == 0) return grade;
  return ended < result.summary.errors() ? again + ", and " + grade : again;
}

// Before anything is paid for.
void say_who_is_idle(const Assembly& assembly) {
  for (const auto& instance : assembly.services().supervisors)
    if (const auto why = instance.supervisor->idle_in_runs(assembly.config().candidates))
      std::cerr << "proctor: " << instance.alias << " will label nothing in this run: " << *why
                << "\n";
}

// The directory as the user wrote it is what the hints name.
Result<int> play(Assembly& assembly, const std::string& out, Start start, bool quiet) {
  say_who_is_idle(assembly);
  std::cerr << assembly.lowered_to_fit();
  auto line = std::make_shared<ProgressLine>();
  auto result = run_all(assembly, start, [line, quiet](const RunProgress& progress) {
    if (!quiet) line->show(progress);
  });
  if (!result) return std::move(result).error();
  const std::string typed = shell_word(out);
  std::cout << summary_text(result->summary) << std::flush;
  std::cerr << "\n"
            << out << ": " << plural(result->summary.rollouts(), "trajectory", "trajectories");
  if (const auto errors = result->summary.errors(); errors > 0)
    std::cerr << ", " << plural(errors, "error");
  if (const auto failed = result->summary.failed_supervisions(); failed > 0)
    std::cerr << ", " << plural(failed, "failed supervision");
  if (result->graded > 0) std::cerr << ", " << result->graded << " graded now";
  if (result->missing > 0)
    std::cerr << ", " << result->missing << " not finished (go on with: proctor resume " << typed
              << ")";
  else if (result->summary.errors() > 0)
    std::cerr << " (" << next_try(*result) << ": proctor resume " << typed << " --retry-errors)";
  else
    std::cerr << " (look at them with: proctor show " << typed << ")";
  std::cerr << "\n";
  // The commonest first; every record has its own.
  std::cerr << failures_text(result->summary) << damaged_text(result->damaged);
  if (!result->damaged.empty())
    std::cerr << "  they are played again with: proctor resume " << typed << " --retry-errors\n";
  if (result->missing == 0 && result->summary.failed_supervisions() > 0)
    std::cerr << "  failed supervisions are made up for with: proctor label " << typed
              << " --supervise ... --out FILE.jsonl\n";
  if (const std::int64_t turns = assembly.counters().uncounted; turns > 0)
    std::cerr << plural(turns, "turn") +
                     " came without token counts (usage) and without token ids: "
                     "limits.tokens and limits.cost could not be held\n";
  // One that failed had no say, or could have none; that has been told.
  if (!result->interrupted && result->summary.failed_supervisions() == 0)
    for (const auto& instance : assembly.services().supervisors)
      if (!instance.supervisor->idle_in_runs(assembly.config().candidates) &&
          result->summary.has_turns_of(instance.suites) &&
          !result->summary.labelled_by(instance.alias))
        std::cerr << labelled_nothing(instance.alias, instance.name);
  return exit_code_of(*result);
}

std::string absolute(const std::string& path) {
  return fs::absolute(path).lexically_normal().string();
}

// Goes where relative paths begin, or writes down that it is here, so that the run can be gone on
// with from anywhere.
Status go_to_directory(RunConfig& config) {
  std::error_code error;
  if (config.directory.empty()) {
    config.source.get_object()["directory"] = json::string(fs::current_path(error).string());
    return {};
  }
  config.source.get_object()["directory"] = json::string(absolute(config.directory));
  fs::current_path(config.directory, error);
  if (error)
    return config.located("directory", bad_input("directory: relative paths begin in " +
                                                 config.directory + ": " + error.message()));
  return {};
}

void set_out(RunConfig& config, const std::string& out) {
  config.out = absolute(out);
  config.source.get_object()["out"] = json::string(config.out);
  if (config.name.empty()) config.name = fs::path(config.out).filename().string();
}

// What config.yaml could not keep would be a run that nobody can open again.
Status check_text(const RunConfig& config) {
  for (const auto& [key, value] : config.source.get_object()) {
    const std::string text = json::serialize(value);
    if (!is_utf8(text)) return bad_input(std::string(key) + ": " + why_no_utf8(text) + ": " + text);
  }
  return {};
}

Result<int> run(RunArguments arguments) {
  // --out is the shell's; all other paths begin in `directory`.
  std::string shown = arguments.overrides.out;
  if (!shown.empty()) arguments.overrides.out = absolute(shown);
  auto config = load_run_config(arguments.config, arguments.overrides);
  if (!config) return std::move(config).error();
  // What resume needs beyond the file: which of the tasks were chosen.
  if (arguments.limit > 0) config->source.get_object()["limit"] = arguments.limit;
  auto conditions = Filter::parse(arguments.filters);
  if (!conditions) return std::move(conditions).error();
  const std::string filter = conditions->text();
  if (!filter.empty()) config->source.get_object()["filter"] = json::string(filter);
  config->limit = arguments.limit > 0 ? arguments.limit : config->limit;
  if (!filter.empty()) config->filter = filter;
  const bool elsewhere = !config->directory.empty();
  if (auto there = go_to_directory(*config); !there) return std::move(there).error();
  FreeDirectory free;
  if (config->out.empty() && !arguments.dry_run) {
    auto claimed = free.claim(arguments.config);
    if (!claimed) return std::move(claimed).error();
    config->out = std::move(*claimed);
  }
  const std::string out = config->out;
  if (!out.empty()) set_out(*config, out);
  if (auto good = check_text(*config); !good) return std::move(good).error();
  if (shown.empty()) shown = elsewhere ? config->out : out;
  auto assembly = Assembly::build(std::move(*config));
  if (!assembly) return std::move(assembly).error();
  if (arguments.dry_run) {
    say_who_is_idle(**assembly);
    const json::object guess = estimate(**assembly);
    std::cout << (arguments.as_json ? json_text(guess) + "\n" : estimate_text(guess));
    return 0;
  }
  return play(**assembly, shown, Start::create, arguments.quiet);
}

Result<int> resume(const std::string& directory, Start start, bool quiet) {
  if (!fs::is_directory(directory))
    return bad_input(directory + ": is no run directory (" +
                     (fs::exists(directory) ? "it is a file" : "there is no such directory") + ")");
  // The store gives config.yaml, or its own copy where that is gone; the file gives the lines.
  // Opened for writing, an older store is upgraded.
  auto store = Store::open(directory, Store::Access::write);
  if (!store) return std::move(store).error();
  YamlFile file{.path = directory + "/trajectories.db", .root = (*store)->config()};
  const std::string path = directory + "/config.yaml";
  if (fs::exists(path)) {
    auto read = read_yaml(path);
    if (!read) return std::move(read).error();
    file = std::move(*read);
  }
  store->reset();
  auto config = read_run_config(file);
  if (!config) return std::move(config).error();
  // The directory may have been moved since, with the tasks that it keeps; its name as a run stays.
  if (config->tasks_file == config->out + "/tasks.jsonl") {
    config->tasks_file = absolute(directory) + "/tasks.jsonl";
    config->source.get_object()["tasks"] = json::string(config->tasks_file);
  }
  set_out(*config, directory);
  if (auto there = go_to_directory(*config); !there) return std::move(there).error();
  auto assembly = Assembly::build(std::move(*config));
  if (!assembly) return std::move(assembly).error();
  return play(**assembly, directory, start, quiet);
}

}  // namespace

std::function<Result<int>()> set_up_run(CLI::App& command) {
  auto arguments = std::make_shared<RunArguments>();
  command.add_option("CONFIG", arguments->config, "the run configuration (YAML)")->required();
  command
      .add_option("--out", arguments->overrides.out,
                  "run directory (default: runs/CONFIG, or the next free of runs/CONFIG-2, ...)")
      ->check(not_empty());
  command.add_option("--set", arguments->overrides.set, "KEY=VALUE: overrides a setting")
      ->allow_extra_args(false)
      ->take_all();
  command.add_option("--tasks", arguments->overrides.tasks, "tasks file instead of the configured")
      ->check(not_empty());
  command
      .add_option("--model", arguments->overrides.models,
                  "ROLE=URI or ROLE={uri: URI, ...}: a model by role")
      ->allow_extra_args(false)
      ->take_all();
  command.add_option("--limit", arguments->limit, "only the first N tasks of each suite")
      ->check(CLI::Range(1, std::numeric_limits<int>::max()));
  command
      .add_option("--filter", arguments->filters,
                  "only these tasks, as suite=qa,id=foldoc-*, metadata.hops>=2; several must all "
                  "hold")
      ->check(not_empty())
      ->allow_extra_args(false)
      ->take_all();
  command.add_flag("--dry-run", arguments->dry_run,
                   "estimate the policy's tokens, time and cost; run nothing");
  command.add_flag("--json", arguments->as_json, "with --dry-run: one JSON object on stdout")
      ->needs("--dry-run");
  command.add_flag("--quiet", arguments->quiet, "no progress line");
  return [arguments] { return run(*arguments); };
}

std::function<Result<int>()> set_up_resume(CLI::App& command) {
  auto directory = std::make_shared<std::string>();
  auto retry = std::make_shared<bool>(false);
  auto quiet = std::make_shared<bool>(false);
  command.add_option("DIR", *directory, "the run directory")->required();
  command.add_flag("--retry-errors", *retry,
                   "roll out again what ended in error (a model server was gone), and grade what "
                   "could not be graded");
  command.add_flag("--quiet", *quiet, "no progress line");
  return [directory, retry, quiet] {
    return resume(*directory, *retry ? Start::retry_errors : Start::resume, *quiet);
  };
}

}  // namespace proctor
