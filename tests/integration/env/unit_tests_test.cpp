// Hidden tests in the real sandbox: every solution of the code suite passes, an empty and a wrong
// program fail, and programs that try to fake success get no credit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/program_tests.h"
#include "env/suite.h"
#include "sandbox/sandbox.h"
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

Grade grade(TaskRef task, std::string answer) {
  const auto* entry = Registry<CheckerMaker>::instance().find("unit_tests");
  auto options = Options::parse({{"test_ms", 2000}}, entry->info.options, "unit_tests");
  CheckerServices services{.sandbox = &pool()};
  auto checker = entry->make(*options, services);
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->task = std::move(task);
  trajectory->outcome.answer = std::move(answer);
  auto graded = await((*checker)->check(trajectory));
  if (!graded) ADD_FAILURE() << graded.error().message;
  return graded ? *graded : Grade{};
}

std::string fenced(const std::string& program) { return "```\n" + program + "\n```"; }

void expect_solutions_pass(const std::string& language) {
  auto suite = load_suite("code");
  ASSERT_TRUE(suite) << suite.error().message;
  int checked = 0;
  for (const TaskRef& task : suite->tasks) {
    if (task->gold.at("language").as_string() != language) continue;
    ++checked;
    const std::string solution(task->gold.at("solution").as_string());
    const Grade right = grade(task, "Sure:\n" + fenced(solution));
    EXPECT_EQ(right.correct, true) << task->id << " " << json::serialize(right.metrics);
    EXPECT_EQ(grade(task, "").correct, false) << task->id;
    const std::string entry(task->gold.at("entry_point").as_string());
    const Grade wrong =
        grade(task, fenced(language == "python" ? "def " + entry + "(*a):\n    return 'wrong'\n"
                                                : "int " + entry + "_other() { return 1; }\n"));
    EXPECT_EQ(wrong.correct, false) << task->id;
    EXPECT_EQ(wrong.reward, 0.0) << task->id;
  }
  EXPECT_GT(checked, 5);
}

TEST(CodeSuite, IsPassedByItsPythonSolutionsAndByNothingEmptyOrWrong) {
  expect_solutions_pass("python");
}
TEST(CodeSuite, IsPassedByItsCppSolutionsAndByNothingEmptyOrWrong) { expect_solutions_pass("cpp"); }

TaskRef square() {
  auto task = std::make_shared<Task>();
  task->id = "square";
  task->gold = {{"entry_point", "square"}};
  json::array tests;
  for (const int n : {0, 1, 2, -3}) tests.push_back({{"args", {n}}, {"expect", n * n}});
  task->gold["tests"] = tests;
  return task;
}

TEST(UnitTests, GiveNoCreditForFakedResults) {
  const char* cheats[] = {
      // prints what a runner might print, and leaves early
      "import os, sys\nfor i in range(4):\n    print('{\"run\": %d, \"value\": \"0\"}' % i, "
      "flush=True)\n"
      "print('OK', flush=True)\nos._exit(0)\n",
      // leaves with success in the call
      "import sys\ndef square(n):\n    sys.exit(0)\n",
      "import os\ndef square(n):\n    os._exit(0)\n",
      // claims to be equal to everything
      "class Any:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n"
      "def square(n):\n    return Any()\n",
      // replaces what the runner uses
      "import json, builtins\njson.dumps = lambda *a, **k: '0'\nbuiltins.len = lambda x: 0\n"
      "def square(n):\n    return 7\n",
      // looks for the expected values
      "import os, glob\ndef square(n):\n    for name in glob.glob('/**/*.json', recursive=False) + "
      "glob.glob('*'):\n"
      "        text = open(name).read()\n        if 'expect' in text:\n            return "
      "eval(text)\n    return 7\n",
      // digs through the frames above
      "import sys\ndef square(n):\n    frame = sys._getframe()\n    while frame:\n"
      "        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
      "            if isinstance(value, dict) and 'expect' in value:\n                return "
      "value['expect']\n"
      "        frame = frame.f_back\n    return 7\n",
      // writes frames into every descriptor
      "import os, json\ndef square(n):\n    for fd in range(3, 40):\n        try:\n"
      "            os.write(fd, b'{\"run\": 0, \"value\": \"0\"}\\n{\"end\": true}\\n')\n"
      "        except OSError:\n            pass\n    return 7\n",
      // kills its parent
      "import os, signal\ndef square(n):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return n "
      "* n\n",
  };
  for (const char* cheat : cheats) {
    const Grade graded = grade(square(), fenced(cheat));
    EXPECT_EQ(graded.correct, false) << cheat;
    EXPECT_EQ(graded.reward, 0.0) << cheat;
  }
  EXPECT_EQ(
      grade(square(), fenced("def square(n):\n    print('noise')\n    return n * n\n")).correct,
      true);
}

TEST(UnitTests, SayWhatTheFirstFailedTestDid) {
  const auto failure = [](const std::string& program) {
    const Grade graded = grade(square(), program.empty() ? "" : fenced(program));
    const auto* said = graded.metrics.if_contains("failure");
    return said ? std::string(said->as_string()) : "none";
  };
  EXPECT_EQ(failure("def square(n):\n    return n * n\n"), "none");
  EXPECT_EQ(failure(""), "no answer");
  EXPECT_EQ(failure("def square(n):\n    return n + n\n"), "test 1: returned 2, expected 1");
  EXPECT_EQ(failure("def square(n):\n    return n * n if n < 2 else 1 / 0\n"),
            "test 2: ZeroDivisionError: division by zero");
  EXPECT_EQ(failure("def square(n):\n    while n: pass\n    return 0\n"), "test 1: timeout");
  EXPECT_THAT(failure("def square(n:\n"), testing::HasSubstr("SyntaxError"));
  EXPECT_LT(failure("def square(n):\n    return 'x' * 10000\n").size(), 400u);
}

TEST(UnitTests, ShowTheBlanksOfWhatWasPrinted) {
  auto task = std::make_shared<Task>();
  task->id = "hi";
  task->gold = {{"tests", {{{"stdin", ""}, {"stdout", "hi\n"}}}}};
  const auto failure = [&](const std::string& program) {
    return std::string(grade(task, fenced(program)).metrics["failure"].as_string());
  };
  EXPECT_EQ(failure("print(' hi')\n"), R"(test 0: printed " hi", expected "hi")");
  EXPECT_EQ(failure("pass\n"), R"(test 0: printed "", expected "hi")");
}

TEST(UnitTests, OutliveHostilePrograms) {
  const char* hostile[] = {
      "def square(n):\n    while True: pass\n",
      "def square(n):\n    return [0] * 10 ** 10\n",
      "import os\ndef square(n):\n    while True:\n        os.fork()\n",
      "def square(n):\n    return square(n)\n",
      "while True: pass\n",
      "def square(n):\n    while True: print('x' * 10000)\n",
      "def square(n):\n    x = []\n    x.append(x)\n    return x\n",
  };
  for (const char* program : hostile) {
    const Grade graded = grade(square(), fenced(program));
    EXPECT_EQ(graded.correct, false) << program;
  }
  EXPECT_EQ(grade(square(), fenced("def square(n):\n    return n * n\n")).correct, true);
}

TEST(UnitTests, JudgeScriptsByWhatTheyPrint) {
  for (const char* language : {"python", "c", "cpp"}) {
    auto task = std::make_shared<Task>();
    task->id = "double";
    task->gold = {
        {"language", language},
        {"tests", {{{"stdin", "4\n"}, {"stdout", "8\n"}}, {{"stdin", "-1"}, {"stdout", "-2"}}}}};
    const std::string program =
        std::string(language) == "python"
            ? "print(2 * int(input()))\n"
            : "#include <stdio.h>\nint main(void) { int n; if (scanf(\"%d\", &n) != 1) return 1; "
              "printf(\"%d\\n\", 2 * n); return 0; }\n";
    EXPECT_EQ(grade(task, fenced(program)).correct, true) << language;
    EXPECT_EQ(grade(task, fenced("int main(void) { return 0; }")).correct, false) << language;
  }
}

}  // namespace
}  // namespace proctor
