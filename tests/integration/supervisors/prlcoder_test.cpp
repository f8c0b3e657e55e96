// prlcoder in the real sandbox: the negatives of the code suite's mutants really fail, in Python
// and C++, and a C program is labelled by its one wrong line.
#include <gtest/gtest.h>

#include "env/program_tests.h"
#include "env/suite.h"
#include "supervisors/code_lines.h"
#include "supervisors/supervisor.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

SandboxPool& pool() {
  static std::unique_ptr<SandboxPool> made = [] {
    auto pool = make_sandbox_pool(SandboxConfig{.slots = 2});
    if (!pool) throw std::runtime_error(pool.error().message);
    return std::move(*pool);
  }();
  return *made;
}

SupervisorServices services() {
  SupervisorServices all;
  all.sandbox = &pool();
  return all;
}

std::vector<json::object> mutants(const Task& task) {
  const auto* entry = Registry<DeriverMaker>::instance().find("mutants");
  auto options = Options::parse({{"operators", "ROR+AOR+CRP+RVR"}, {"max_negatives", 0}},
                                entry->info.options, "mutants");
  auto deriver = entry->make(*options, services());
  auto records = await((*deriver)->derive(to_json(task)));
  if (!records) ADD_FAILURE() << records.error().message;
  return records ? *records : std::vector<json::object>{};
}

std::string joined(const json::object& record, const std::string& solution) {
  for (const CodeLine& line :
       code_lines(*parse_language(record.at("language").as_string()), solution))
    if (line.last == record.at("line").as_int64())
      return with_line(solution, line, std::string(record.at("code").as_string()));
  ADD_FAILURE() << "no such line";
  return solution;
}

// Runs each negative again on its failing input, beside the solution.
void expect_negatives_fail(const std::string& id) {
  auto suite = load_suite("code");
  ASSERT_TRUE(suite);
  for (const TaskRef& task : suite->tasks) {
    if (task->id != id) continue;
    auto tests = read_program_task(task->gold);
    // Run on the failing inputs of all, beside the solution; each is looked at on its own.
    std::vector<json::object> negatives;
    ProgramJob job;
    job.language = tests->language;
    job.entry_point = tests->entry_point;
    job.programs = {*tests->solution};
    job.limits = {2000ms};
    for (json::object& record : mutants(*task)) {
      if (record.at("label") != 0 || record.at("kind") == "compile") continue;
      job.programs.push_back(joined(record, *tests->solution));
      job.inputs.push_back({.args = record.at("failing_input").at("args").as_array(), .input = {}});
      negatives.push_back(std::move(record));
    }
    job.most_timeouts = static_cast<int>(job.inputs.size());
    auto reports = await(run_programs(&pool(), std::move(job)));
    ASSERT_TRUE(reports) << reports.error().message;
    for (std::size_t i = 0; i < negatives.size(); ++i) {
      const ProgramRun &right = (*reports)[0].runs.at(i), &wrong = (*reports)[i + 1].runs.at(i);
      EXPECT_FALSE(right.ending == wrong.ending && right.value == wrong.value)
          << json::serialize(negatives[i]);
    }
    EXPECT_GE(negatives.size(), 4u) << id;
  }
}

TEST(PrlCoderInTheSandbox, HasOnlyPythonNegativesThatFailAgain) {
  expect_negatives_fail("code-py-clamp-sum");
}

TEST(PrlCoderInTheSandbox, HasOnlyCppNegativesThatFailAgain) {
  expect_negatives_fail("code-cpp-absolute");
}

TEST(PrlCoderInTheSandbox, LabelsTheWrongLineOfACProgram) {
  const std::string right =
      "#include <stdio.h>\n\nint main(void) {\n  int n = 0;\n  int sum = 0;\n"
      "  while (scanf(\"%d\", &n) == 1) {\n    if (n > 0) {\n      sum += n;\n    }\n  }\n"
      "  printf(\"%d\\n\", sum);\n  return 0;\n}\n";
  std::string wrong = right;
  wrong.replace(wrong.find("sum += n"), 8, "sum -= n");
  json::object task = {
      {"id", "sum"},
      {"prompt", "add the positive numbers"},
      {"gold",
       {{"language", "c"},
        {"solution", right},
        {"tests",
         {{{"stdin", "1 -2 3\n"}, {"stdout", "4\n"}}, {{"stdin", ""}, {"stdout", "0"}}}}}}};
  auto supervisor = make_supervisor(
      {.name = "prlcoder", .alias = "prlcoder", .options = {{"probes", "none"}}}, services());
  ASSERT_TRUE(supervisor);
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->outcome.status = OutcomeStatus::answered;
  trajectory->task = std::make_shared<const Task>(*read_task(task));
  Turn turn;
  turn.assistant.content = "```c\n" + wrong + "```\n";
  trajectory->turns.push_back(std::make_shared<const Turn>(std::move(turn)));
  auto opinion = await(supervisor->supervisor->on_finished(trajectory));
  ASSERT_TRUE(opinion) << opinion.error().message;
  std::vector<int> incorrect, correct;
  for (const Label& label : opinion->labels) {
    if (label.name == "line" && label.verdict == "incorrect") incorrect.push_back(*label.line);
    if (label.name == "line" && label.verdict == "correct") correct.push_back(*label.line);
  }
  EXPECT_EQ(incorrect, std::vector<int>{7});
  EXPECT_EQ(correct, (std::vector<int>{2, 3, 4, 5, 6, 10, 11}));
}

// All solutions in Python, and one in C++: the others take a compiler run for each of many
// variants.
TEST(PrlCoderInTheSandbox, FindsNothingWrongInTheSuitesOwnSolutions) {
  auto suite = load_suite("code");
  ASSERT_TRUE(suite);
  auto supervisor = make_supervisor({.name = "prlcoder", .alias = "prlcoder"}, services());
  ASSERT_TRUE(supervisor);
  for (const TaskRef& task : suite->tasks) {
    const auto program = read_program_task(task->gold);
    ASSERT_TRUE(program);
    if (program->language != Language::python && task->id != "code-cpp-absolute") continue;
    auto trajectory = std::make_shared<Trajectory>();
    trajectory->outcome.status = OutcomeStatus::answered;
    trajectory->task = task;
    Turn turn;
    turn.assistant.content = "```\n" + *program->solution + "```\n";
    trajectory->turns.push_back(std::make_shared<const Turn>(std::move(turn)));
    auto opinion = await(supervisor->supervisor->on_finished(trajectory));
    ASSERT_TRUE(opinion) << task->id << ": " << opinion.error().message;
    int lines = 0;
    for (const Label& label : opinion->labels) {
      const bool line = label.name == "line";
      lines += line;
      if (!line && label.name != "pass") continue;
      EXPECT_EQ(label.verdict, line ? "correct" : "passed")
          << task->id << " line " << label.line.value_or(-1);
    }
    EXPECT_GE(lines, 2) << task->id;
  }
}

}  // namespace
}  // namespace proctor
