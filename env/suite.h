// The front door of environments: a suite = tasks + tools + a checker + how to ask.
//
// A suite is a folder: suite.yaml {name, tasks, checker, tools, prompt: {system, few_shot}, limits}
// and the files it names. Built-in suites lie in env/suites/NAME.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/config.h"
#include "runtime/core/records.h"
#include "runtime/core/registry.h"

namespace proctor {

class SandboxPool;

// A right answer is never rewarded with 0, a wrong one never with 1.
struct Grade {
  std::optional<double> reward;  // nothing: this task has no gold to check against
  std::optional<bool> correct;
  json::object metrics;  // {"em": 1, "f1": 1}
};

struct CheckerServices {
  SandboxPool* sandbox = nullptr;
};

// Decides whether an answer is right. One checker, one file; thread-safe.
class Checker {
 public:
  virtual ~Checker() = default;
  // `bad_input` where it cannot grade by the task's gold, saying what is missing. Asked before
  // anything runs, of every task that has a gold or names this checker itself.
  virtual Status accepts(const Task&) const { return {}; }
  // `so_far` ends with the answering turn; its outcome.answer is set. A wrong or missing answer is
  // a Grade; an Error is our own failure (the sandbox is gone).
  virtual Async<Result<Grade>> check(TrajectoryRef so_far) = 0;
};
using CheckerRef = std::shared_ptr<Checker>;
using CheckerMaker =
    std::function<Result<CheckerRef>(const Options& options, const CheckerServices& services)>;

#define REGISTER_CHECKER(...)                                                  \
  static const bool registered_checker_ = [] {                                 \
    ::proctor::Registry<::proctor::CheckerMaker>::instance().add(__VA_ARGS__); \
    return true;                                                               \
  }();

// The checker that a suite, a task or a configuration names: "numeric", or with options
// {"numeric": {"tolerance": 0.01}}. Unknown names and options are `bad_input`.
Result<PluginUse> read_checker_use(const json::value& value);
Result<CheckerRef> make_checker(const PluginUse& use, const CheckerServices& services);
// A task's own (its key `checker`), which goes before its suite's; null: it names none.
const json::value& checker_of(const Task& task);

// "needs gold.answers; gold has 'answer': did you mean 'answers'?", for a checker's accepts().
// `keys` are those that would do, the usual one first.
Error lacks_gold(const Task& task, const std::vector<std::string>& keys);

using TaskPlaces = std::map<std::string, std::string>;  // id ─▶ "FILE:LINE", for complaints

struct Suite {
  std::string name;
  std::string directory;
  std::vector<TaskRef> tasks;  // each with suite = name
  TaskPlaces places;
  PluginUse checker;
  std::vector<std::string> tools;  // names of tools the tasks use
  std::vector<Message> prompt;     // system and few-shot messages, put before the question
  json::object limits;             // turns, tokens, ...: defaults of its tasks
};

// NAME of a built-in suite, a path to a suite's folder, or to its suite.yaml. Names the suites
// there are when there is no such one; `missing` with the command that makes it when generated data
// is not there yet.
Result<Suite> load_suite(const std::string& name_or_path);
std::vector<std::string> built_in_suites();

// Tasks from a JSONL file (contract: "FILE:LINE: ..."); ids must be unique. Keys that are known to
// nobody are kept; one that looks like a slip for a known key gets a remark on stderr.
Result<std::vector<TaskRef>> read_tasks(const std::string& path, TaskPlaces* places = nullptr);

}  // namespace proctor
