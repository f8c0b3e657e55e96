// Running programs on inputs: how each ends, and that nothing it prints or does counts as a result.
// The programs are our own, so a plain process will do; the real sandbox is in integration.
#include "env/program_tests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/await.h"
#include "tests/support/plain_pool.h"

namespace proctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ProgramInput args(json::array values) { return {.args = std::move(values), .input = {}}; }

std::vector<ProgramReport> run(ProgramJob job) {
  PlainPool pool;
  auto reports = await(run_programs(&pool, std::move(job)));
  if (!reports) ADD_FAILURE() << reports.error().message;
  return reports ? *reports : std::vector<ProgramReport>(20);
}

ProgramJob python(std::vector<std::string> programs, std::vector<ProgramInput> inputs) {
  return {.language = Language::python,
          .entry_point = "f",
          .programs = std::move(programs),
          .inputs = std::move(inputs),
          .limits = {1000ms}};
}

TEST(RunPrograms, GivesValuesAsCanonicalJson) {
  const auto report = run(python({"def f(x):\n    return {'b': (x, 2.0), 'a': None, 3: 1.5}\n"},
                                 {args({1}), args({"é"})}))[0];
  ASSERT_EQ(report.runs.size(), 2u);
  EXPECT_EQ(report.runs[0].value, R"({"3":1.5,"a":null,"b":[1,2]})");
  EXPECT_EQ(report.runs[1].value, R"({"3":1.5,"a":null,"b":["é",2]})");
}

TEST(RunPrograms, CompareIntegersOf64BitsAndNumpysNumbersByValue) {
  // As a number of numpy's is to be seen from outside.
  const std::string program = R"(
class Number:
    shape = ()
    def __init__(self, value): self.value = value
    def item(self): return self.value
class List(Number):
    shape = (1,)
def f(kind, x): return {'bare': x, 'number': Number(x), 'list': List(x)}[kind]
)";
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  const auto runs =
      run(python({program}, {args({"bare", kMost}), args({"bare", std::uint64_t{1} << 63}),
                             args({"number", 6}), args({"number", true}), args({"list", 6})}))[0]
          .runs;
  ASSERT_EQ(runs.size(), 5u);
  EXPECT_EQ(runs[0].value, "18446744073709551615");
  EXPECT_EQ(runs[1].value, "9223372036854775808");
  EXPECT_EQ(runs[2].value, "6");
  EXPECT_EQ(runs[3].value, "true");
  EXPECT_EQ(runs[4].value, R"({"not json":"List"})");
}

TEST(RunPrograms, ALongResultThatIsRightPasses) {
  ProgramTask task;
  std::string accents;
  for (int i = 0; i < 60'000; ++i) accents += "é";
  const std::string text(100'000, 'x');
  task.tests = {{.given = args({"x", 100'000}), .expect = json::value(text), .output = {}},
                {.given = args({"é", 60'000}), .expect = json::value(accents), .output = {}}};
  auto job = python({"def f(x, n):\n    return x * n\n", "def f(x, n):\n    return x * (n + 1)\n",
                     "def f(x, n):\n    return x * 10000000\n"},
                    {task.tests[0].given, task.tests[1].given});
  job.longest = longest_expected(task);
  const auto reports = run(job);
  for (std::size_t test = 0; test < 2; ++test) {
    EXPECT_TRUE(passes(task.tests[test], reports[0].runs.at(test)));
    EXPECT_FALSE(passes(task.tests[test], reports[1].runs.at(test)));
    EXPECT_FALSE(passes(task.tests[test], reports[2].runs.at(test)));
    EXPECT_LT(reports[2].runs.at(test).value.size(), 10'000u);
  }
  task.tests = {{.given = {.args = {}, .input = ""}, .expect = nullptr, .output = text}};
  auto script = python({"print('x' * 100000)", "print('x' * 100001)"}, {task.tests[0].given});
  script.longest = longest_expected(task);
  const auto printed = run(script);
  EXPECT_TRUE(passes(task.tests[0], printed[0].runs.at(0)));
  EXPECT_FALSE(passes(task.tests[0], printed[1].runs.at(0)));
}

// Takes down what it is asked for.
class Listening final : public SandboxPool {
 public:
  Async<Result<Execution>> run(ExecutionRequest request) override {
    limits = request.limits;
    co_return missing("nothing runs here");
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language, Limits,
                                                              Milliseconds) override {
    co_return missing("nothing runs here");
  }
  const Isolation& isolation() const override { return isolation_; }
  Limiter::Usage usage() const override { return {}; }
  Limits limits;

 private:
  Isolation isolation_;
};

TEST(RunPrograms, AStoppedRunnerHoldsItsSlotNoLongerThanItsInputsNeed) {
  Listening pool;
  const auto wall = [&](std::size_t programs, int timeouts) {
    auto job = python(std::vector<std::string>(programs, "def f(x): return x"), {args({1})});
    job.most_timeouts = timeouts;
    (void)await(run_programs(&pool, std::move(job)));
    return pool.limits.wall;
  };
  EXPECT_LE(wall(1, 1), 20s);
  EXPECT_GE(wall(1, 3), wall(1, 1) + 14s);
  EXPECT_GT(wall(2, 1), wall(1, 1));
  EXPECT_LE(wall(100, 1), 80s);
}

TEST(RunPrograms, TellsHowARunEnded) {
  const std::string program = R"(
import os, sys
def f(x):
    if x == 1: raise KeyError("no")
    if x == 2: sys.exit(0)
    if x == 3: os._exit(0)
    if x == 4:
        while True: pass
    return x
)";
  auto job = python({program}, {args({0}), args({1}), args({2}), args({3}), args({4}), args({5})});
  job.most_timeouts = 2;
  const auto runs = run(job)[0].runs;
  ASSERT_EQ(runs.size(), 6u);
  EXPECT_EQ(runs[0].value, "0");
  EXPECT_EQ(runs[1].error, "KeyError");
  EXPECT_EQ(runs[2].error, "SystemExit");
  EXPECT_EQ(runs[3].error, "exit status 0");
  EXPECT_EQ(runs[4].ending, RunEnding::timeout);
  EXPECT_EQ(runs[5].value, "5");
}

TEST(RunPrograms, EndsAProgramAtItsFirstTimeOutWhenAsked) {
  const auto reports =
      run(python({"def f(x):\n    while x: pass\n    return 7\n", "def f(x):\n    return x"},
                 {args({0}), args({1}), args({0})}));
  ASSERT_EQ(reports[0].runs.size(), 2u);
  EXPECT_EQ(reports[0].runs[1].ending, RunEnding::timeout);
  EXPECT_EQ(reports[1].runs.size(), 3u);
}

TEST(RunPrograms, TakesNothingPrintedForAResult) {
  const auto report = run(python({R"(
import os, sys
print('@0 {"program":0,"run":0,"value":"42"}')
def f(x):
    print(42)
    os.write(1, b'{"run": 0, "value": "42"}\n')
    return x
)"},
                                 {args({1})}))[0];
  ASSERT_EQ(report.runs.size(), 1u);
  EXPECT_EQ(report.runs[0].value, "1");
}

TEST(RunPrograms, GivesAValueThatOnlyClaimsToBeEqualNoCredit) {
  const auto report = run(python({R"(
class Equal(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(x):
    return Equal(5) if x else type("Any", (), {"__eq__": lambda a, b: True})()
)"},
                                 {args({1}), args({0})}))[0];
  ASSERT_EQ(report.runs.size(), 2u);
  EXPECT_FALSE(passes({.given = args({1}), .expect = 42, .output = {}}, report.runs[0]));
  EXPECT_FALSE(passes({.given = args({0}), .expect = 42, .output = {}}, report.runs[1]));
}

TEST(RunPrograms, ReportsAProgramThatDoesNotCompile) {
  const auto reports = run(python({"def f(:\n", "def g(x):\n    return x\n"}, {args({1})}));
  EXPECT_FALSE(reports[0].compiled);
  EXPECT_THAT(reports[0].compile_error, HasSubstr("SyntaxError"));
  ASSERT_EQ(reports[1].runs.size(), 1u);
  EXPECT_EQ(reports[1].runs[0].error, "NameError");
}

TEST(RunPrograms, CountsExecutedLinesAndAHeaderOnlyWhenItIsCalled) {
  auto job = python({"LIMIT = 3\ndef g():\n    return 1\n\ndef f(x):\n    if x > LIMIT:\n        "
                     "return 1\n    return 0\n"},
                    {args({1})});
  job.want_lines = true;
  EXPECT_THAT(run(job)[0].lines, ElementsAre(0, 4, 5, 7));
}

TEST(RunPrograms, GivesEqualFormsToProgramsOfEqualBytecode) {
  auto job = python(
      {"def f(s, x):\n    s += x\n    return s\n",
       "def f(t, x):\n    t += (x)  # same\n\n    return t\n",
       "def f(s, x):\n    s = s + x\n    return s\n", "def f(s, x):\n    s += x\n    return 1\n",
       "def f(s, x):\n    s += x\n    return 1.0\n"},
      {});
  job.want_forms = true;
  const auto reports = run(job);
  for (const auto& report : reports) ASSERT_EQ(report.forms.size(), 1u);
  EXPECT_EQ(reports[0].forms, reports[1].forms);
  EXPECT_NE(reports[0].forms, reports[2].forms);
  EXPECT_NE(reports[3].forms, reports[4].forms);
}

TEST(RunPrograms, FeedsScriptsThroughStandardInput) {
  ProgramJob job;
  job.programs = {"n = int(input())\nif n > 5: raise ValueError\nprint(n * 2, ' ')\nprint()\n"};
  job.inputs = {{.args = {}, .input = "3\n"}, {.args = {}, .input = "9\n"}};
  const auto runs = run(job)[0].runs;
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_TRUE(passes({.given = {}, .expect = {}, .output = "6"}, runs[0]));
  EXPECT_FALSE(passes({.given = {}, .expect = {}, .output = "7"}, runs[0]));
  EXPECT_EQ(runs[1].error, "ValueError");
}

TEST(RunPrograms, TakesNoWordOfAScriptForATimeOut) {
  ProgramJob job;
  job.programs = {"print('late', end='')"};
  job.inputs = {{.args = {}, .input = ""}};
  const auto runs = run(job)[0].runs;
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_TRUE(passes({.given = {}, .expect = {}, .output = "late"}, runs[0]));
}

TEST(RunPrograms, CallsCppFunctionsWithValuesFromJson) {
  ProgramJob job;
  job.language = Language::cpp;
  job.entry_point = "f";
  job.programs = {R"(#include <map>
#include <string>
#include <vector>
#include <iostream>
#include <cstdlib>
#include <stdexcept>
std::map<std::string, double> f(const std::vector<int>& v, std::string s, bool b, double d) {
  std::cout << "noise";
  if (v.empty()) throw std::out_of_range("x");
  if (v[0] == 9) std::abort();
  return {{s, d + v.size()}, {"b", b}};
}
int main() { return 3; }
)",
                  "int f(int x) {\n  return y;\n}", "int g(int x) { return x; }"};
  job.inputs = {args({json::array{1, 2}, "k\"\n", true, 0.5}), args({json::array{}, "", false, 1}),
                args({json::array{9}, "", false, 1})};
  job.want_lines = true;
  const auto reports = run(job);
  ASSERT_EQ(reports[0].runs.size(), 3u) << reports[0].compile_error;
  EXPECT_EQ(reports[0].runs[0].value, R"({"b":1,"k\"\n":2.5})");
  EXPECT_EQ(reports[0].runs[1].error, "std::out_of_range");
  EXPECT_EQ(reports[0].runs[2].error, "signal 6");
  EXPECT_TRUE(reports[0].lines.contains(10));
  EXPECT_FALSE(reports[0].lines.contains(12));
  EXPECT_FALSE(reports[1].compiled);
  EXPECT_THAT(reports[1].compile_error, HasSubstr("program.cpp:2:10"));
  EXPECT_THAT(reports[1].compile_error, HasSubstr("2 |   return y;"));
  EXPECT_THAT(reports[2].compile_error, HasSubstr("‘f’ was not declared"));
  EXPECT_THAT(reports[2].compile_error, testing::Not(HasSubstr("program.cpp")));
}

TEST(RunPrograms, ReadsAContainerOfCppAsAListInItsOrder) {
  ProgramJob job;
  job.language = Language::cpp;
  job.entry_point = "f";
  job.programs = {
      "#include <set>\n#include <vector>\n"
      "std::set<int> f(const std::vector<int>& v) { return {v.begin(), v.end()}; }"};
  job.inputs = {args({json::array{3, 1, 3}})};
  EXPECT_EQ(run(job)[0].runs.at(0).value, "[1,3]");
}

TEST(RunPrograms, ComparesCCodeByItsAssembly) {
  const auto clamp = [](const char* low, const char* high) {
    return std::string("int clamped(const int* xs, int n, int lo, int hi) {\n  int s = 0;\n") +
           "  for (int i = 0; i < n; ++i) {\n    int x = xs[i];\n    if (x " + low +
           " lo) x = lo;\n    if (x " + high +
           " hi) x = hi;\n    s += x;\n  }\n  return s;\n}\n#include <stdio.h>\nint main(void) {\n"
           "  int xs[2] = {0, 0};\n  if (scanf(\"%d %d\", xs, xs + 1) != 2) return 2;\n"
           "  printf(\"%d\\n\", clamped(xs, 2, 2, 8));\n  return 0;\n}\n";
  };
  ProgramJob job;
  job.language = Language::c;
  job.programs = {clamp("<", ">"), clamp("<=", ">"), clamp("<", ">="), clamp("<=", ">="),
                  clamp("<", "<")};
  job.inputs = {{.args = {}, .input = "1 5"}};
  job.want_forms = true;
  const auto reports = run(job);
  ASSERT_EQ(reports[0].forms.size(), 1u);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(reports[0].forms, reports[i].forms) << i;
  EXPECT_NE(reports[0].forms, reports[4].forms);
  EXPECT_EQ(reports[0].runs.at(0).value, "7\n");
}

TEST(RunPrograms, KnowsEqualArithmeticAndUnequalConditionsByTheirAssembly) {
  ProgramJob job;
  job.language = Language::c;
  const std::string rest = "int main(void) { return f(0); }\n";
  job.programs = {
      "int f(int i) { return i * 2; }\n" + rest, "int f(int i) { return i + i; }\n" + rest,
      "int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i * i; return s; }\n" + rest,
      "int f(int n) { int s = 0; for (int i = 0; i != n; i++) s += i * i; return s; }\n" + rest};
  job.inputs = {{.args = {}, .input = ""}};
  job.want_forms = true;
  const auto reports = run(job);
  ASSERT_EQ(reports[0].forms.size(), 1u);
  EXPECT_EQ(reports[0].forms, reports[1].forms);
  EXPECT_NE(reports[2].forms, reports[3].forms);
}

TEST(RunPrograms, RunsTheAssemblyThatIsCompared) {
  ProgramJob job;
  job.language = Language::cpp;
  job.entry_point = "f";
  job.programs = {"static int f(int x) { return x * 2; }", "static int f(int n) { return n + n; }",
                  "#include <stdexcept>\nint f(int x) { if (x > 3) throw std::range_error(\"x\");\n"
                  "  return x * 2; }",
                  "int f(int x) { return x"};
  job.inputs = {args({3}), args({4})};
  job.want_forms = true;
  const auto reports = run(job);
  ASSERT_EQ(reports[0].runs.size(), 2u) << reports[0].compile_error;
  EXPECT_EQ(reports[0].runs[1].value, "8");
  EXPECT_EQ(reports[1].runs.at(1).value, "8");
  EXPECT_EQ(reports[2].runs.at(0).value, "6");
  EXPECT_EQ(reports[2].runs.at(1).error, "std::range_error");
  ASSERT_EQ(reports[0].forms.size(), 1u);
  EXPECT_EQ(reports[0].forms, reports[1].forms);
  EXPECT_NE(reports[0].forms, reports[2].forms);
  EXPECT_THAT(reports[3].compile_error, HasSubstr("program.cpp:1"));
}

TEST(ReadProgramTask, NamesTheBadField) {
  const auto complaint = [](const char* gold) {
    auto read = read_program_task(json::parse(gold).as_object());
    return read ? std::string() : read.error().message;
  };
  EXPECT_EQ(complaint(R"({"entry_point":"f","tests":[{"args":[1],"expect":2}]})"), "");
  EXPECT_THAT(complaint(R"({"language":"java"})"), HasSubstr("gold.language"));
  EXPECT_THAT(complaint(R"({"entry_point":"f","tests":[{"args":1}]})"), HasSubstr("gold.tests[0]"));
  EXPECT_THAT(complaint(R"({"entry_point":"f","tests":[{"args":[]}]})"),
              HasSubstr("gold.tests[0].expect"));
  EXPECT_THAT(complaint(R"({"tests":[{"args":[],"expect":1}]})"), HasSubstr("gold.entry_point"));
  EXPECT_THAT(complaint(R"({"entry_point":"f();","tests":[]})"), HasSubstr("gold.entry_point"));
  EXPECT_THAT(complaint(R"({"language":"c","entry_point":"f","tests":[{"args":[],"expect":1}]})"),
              HasSubstr("stdin"));
}

TEST(LastCodeBlock, IsTheLastFencedOne) {
  EXPECT_EQ(last_code_block("a\n```python\nx = 1\n```\nb\n```\ny = 2\n```\nc"), "y = 2\n");
  EXPECT_EQ(last_code_block("```cpp\nint x;\n"), "int x;\n");
  EXPECT_EQ(last_code_block("no code"), std::nullopt);
  EXPECT_EQ(last_code_block("```inline``` only"), std::nullopt);
}

TEST(LastCodeBlock, LosesTheIndentOfItsFence) {
  EXPECT_EQ(last_code_block("1. Do it:\n   ```python\n   def f(x):\n       return 6\n   ```\n"),
            "def f(x):\n    return 6\n");
  EXPECT_EQ(last_code_block("1. a\n   - b\n     ```\n     x = 1\n\n  y = 2\n     ```\nc"),
            "x = 1\n\ny = 2\n");
  EXPECT_EQ(last_code_block("  ```\n  x = 1\n"), "x = 1\n");
}

TEST(LastCodeBlock, EndsAtAFenceOfItsOwnAlone) {
  const std::string code = "def f():\n    \"\"\"\n    ```\n    f()\n    ```\n    \"\"\"\n";
  EXPECT_EQ(last_code_block("```python\n" + code + "```\nIt does."), code);
  EXPECT_EQ(last_code_block("```\nx = 1\n   ``` \r\nb"), "x = 1\n");
  EXPECT_EQ(last_code_block("````\n```\nx\n```\n~~~~\n````\nb"), "```\nx\n```\n~~~~\n");
  EXPECT_EQ(last_code_block("```\n```python\n```"), "```python\n");
}

// As formats read the answers: (what stands in <answer>, the answer).
TEST(ProgramOfAnswer, IsTheSameHoweverItIsFenced) {
  const std::string code = "def add(a, b):\n    return a + b";
  const std::vector<std::pair<std::string, std::string>> answers = {
      {code, code},
      {"```python\n" + code + "\n```\n", code},
      {"```python\n" + code + "\n```", code},
      {"```python\n" + code, "```python\n" + code},
      {"\n```python\n" + code + "\n```\n", code},
      {"```python\n" + code + "\n```\nIt adds.", "```python\n" + code + "\n```\nIt adds."}};
  for (const auto& [inside, answer] : answers) {
    std::string program =
        program_of_answer("First I try:\n```\nx = 1\n```\n<answer>" + inside + "</answer>", answer);
    if (program.ends_with('\n')) program.pop_back();
    EXPECT_EQ(program, code) << inside;
  }
  EXPECT_EQ(program_of_answer("So:\n```\nx = 1\n```\n", "anything"), "x = 1\n");
  EXPECT_EQ(program_of_answer("", "```\nx = 1\n```"), "x = 1\n");
}

TEST(RunPrograms, SpreadsManyProgramsOverExecutions) {
  std::vector<std::string> programs;
  for (int i = 0; i < 100; ++i)
    programs.push_back("def f(x):\n    return x + " + std::to_string(i) + "\n");
  PlainPool pool;
  std::int64_t executions = 0;
  ProgramJob job = python(programs, {args({1})});
  auto reports = await(run_programs(&pool, std::move(job), &executions));
  ASSERT_TRUE(reports) << reports.error().message;
  ASSERT_EQ(reports->size(), 100u);
  EXPECT_EQ(executions, 2);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ((*reports)[static_cast<std::size_t>(i)].runs.at(0).value, std::to_string(i + 1));
}

TEST(RunPrograms, BuildsTheHarnessOnceAndWhereNoProgramRuns) {
  ProgramJob job;
  job.language = Language::cpp;
  job.entry_point = "f";
  job.programs = {"int f(int x) { return x; }\n"};
  job.inputs = {args({1})};
  run(job);
  PlainPool pool;
  ASSERT_TRUE(await(run_programs(&pool, job)));
  EXPECT_EQ(pool.runs, 1);
}

TEST(CanonicalValue, ReadsEqualNumbersEqually) {
  EXPECT_EQ(canonical_value(json::parse("[1.0, {\"b\": 2, \"a\": 1.5}]")),
            canonical_value(json::parse("[1, {\"a\": 1.50, \"b\": 2.0}]")));
  EXPECT_EQ(canonical_value(json::parse("[123456.725, 1e20, 0.1]")), "[123456.725,1e+20,0.1]");
  EXPECT_NE(canonical_value(json::parse("1")), canonical_value(json::parse("true")));
  EXPECT_NE(canonical_value(json::parse("\"1\"")), canonical_value(json::parse("1")));
}

}  // namespace
}  // namespace proctor
