// unit_tests — runs the last turn's program (program_of_answer) against gold.tests.
//
// Right only when every test passes; the share that passed is a metric. What is expected never
// enters the sandbox. Blind spot: a program may learn the tests' inputs while it runs, as any
// program does.
#include "env/program_tests.h"
#include "env/suite.h"
#include "runtime/core/text.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

constexpr std::size_t kMostShown = 300;  // bytes of a value or message

std::string cut(std::string_view text) {
  if (text.size() <= kMostShown) return std::string(text);
  return std::string(text.substr(0, character_start(text, kMostShown))) + "...";
}

std::string shown(std::string_view text) { return cut(trimmed(text)); }

// With its blanks, but for those at the end, which do not count.
std::string quoted(std::string_view text) {
  return json::serialize(json::string(cut(text.substr(0, text.find_last_not_of(" \t\r\n") + 1))));
}

std::string failure_of(const ProgramTest& test, const ProgramRun& run) {
  if (run.ending == RunEnding::timeout)
    return run.detail.empty() ? "timeout" : "ended by the sandbox: " + run.detail;
  if (run.ending == RunEnding::exception)
    return shown(run.detail.empty() ? run.error : run.error + ": " + run.detail);
  if (!test.given.args) return "printed " + quoted(run.value) + ", expected " + quoted(test.output);
  return "returned " + shown(run.value) + ", expected " + shown(canonical_value(test.expect));
}

class UnitTests final : public Checker {
 public:
  UnitTests(SandboxPool* sandbox, Milliseconds limit, Bytes memory)
      : sandbox_(sandbox), limit_(limit), memory_(memory) {}

  Status accepts(const Task& task) const override {
    auto read = read_program_task(task.gold);
    if (!read) return std::move(read).error();
    if (read->tests.empty())
      return lacks_gold(task, {"tests", "language", "entry_point", "solution", "probes"});
    return {};
  }

  Async<Result<Grade>> check(TrajectoryRef so_far) override {
    auto task = read_program_task(so_far->task->gold);
    if (!task) co_return std::move(task).error().in("task " + so_far->task->id);
    Grade grade;
    if (task->tests.empty()) co_return grade;
    const std::string answer = so_far->outcome.answer.value_or("");
    grade.reward = 0;
    grade.correct = false;
    grade.metrics = {
        {"passed", 0}, {"total", task->tests.size()}, {"pass_rate", 0.0}, {"compiled", 0}};
    if (trimmed(answer).empty()) {
      grade.metrics["failure"] = "no answer";
      co_return grade;
    }

    ProgramJob job;
    job.language = task->language;
    job.entry_point = task->entry_point;
    const std::string said = so_far->turns.empty() ? "" : so_far->turns.back()->assistant.content;
    job.programs.push_back(program_of_answer(said, answer));
    for (const ProgramTest& test : task->tests) job.inputs.push_back(test.given);
    job.limits = {limit_};
    job.memory = memory_;
    job.most_timeouts = 3;
    job.longest = longest_expected(*task);
    auto reports = co_await run_programs(sandbox_, std::move(job));
    if (!reports) co_return std::move(reports).error();
    fill(grade, *task, reports->front());
    co_return grade;
  }

 private:
  static void fill(Grade& grade, const ProgramTask& task, const ProgramReport& report) {
    std::size_t passed = 0;
    std::string failure = report.compiled ? "" : shown(report.compile_error);
    for (std::size_t i = 0; i < report.runs.size(); ++i) {
      if (passes(task.tests[i], report.runs[i]))
        ++passed;
      else if (failure.empty())
        failure = "test " + std::to_string(i) + ": " + failure_of(task.tests[i], report.runs[i]);
    }
    const bool all = passed == task.tests.size();
    grade.reward = all ? 1 : 0;
    grade.correct = all;
    grade.metrics["passed"] = passed;
    grade.metrics["pass_rate"] =
        static_cast<double>(passed) / static_cast<double>(task.tests.size());
    grade.metrics["compiled"] = report.compiled ? 1 : 0;
    if (!all) grade.metrics["failure"] = failure;
  }

  SandboxPool* sandbox_;
  Milliseconds limit_;
  Bytes memory_;
};

Result<CheckerRef> make(const Options& options, const CheckerServices& services) {
  if (!services.sandbox) return missing("checker unit_tests: needs a sandbox to run programs in");
  return CheckerRef(
      std::make_shared<UnitTests>(services.sandbox, Milliseconds(options.integer("test_ms")),
                                  static_cast<Bytes>(options.integer("memory_mib") * 1024 * 1024)));
}

REGISTER_CHECKER(PluginInfo{.name = "unit_tests",
                            .summary = "runs the answer's last code block against hidden tests",
                            .options = {{.name = "test_ms",
                                         .type = OptionType::integer,
                                         .fallback = 2000,
                                         .meaning = "time limit of one test",
                                         .least = 1,
                                         .most = 600000},
                                        {.name = "memory_mib",
                                         .type = OptionType::integer,
                                         .fallback = 256,
                                         .meaning = "memory the program may use",
                                         .least = 16,
                                         .most = 65536}}},
                 make)

}  // namespace
}  // namespace proctor
