// Suites and tasks from files, and what a user is told when a file is wrong.
#include "env/suite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "env/program_tests.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SuiteFolder {
 public:
  SuiteFolder() {
    char name[] = "/tmp/proctor-suite-XXXXXX";
    path_ = mkdtemp(name);
    write("tasks.jsonl", R"({"id":"a","prompt":"1+1?","gold":{"answers":["2"]}})"
                         "\n");
    write("suite.yaml", "name: mine\ntasks: tasks.jsonl\nchecker: numeric\n");
  }
  ~SuiteFolder() { fs::remove_all(path_); }
  void write(const std::string& file, const std::string& text) const {
    std::ofstream(path_ / file) << text;
  }
  Result<Suite> load() const { return load_suite(path_.string()); }
  std::string complaint() const {
    auto suite = load();
    return suite ? "" : suite.error().message;
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

TEST(LoadSuite, ReadsAFolder) {
  SuiteFolder folder;
  folder.write("few.jsonl", R"j({"role":"user","content":"2+2?"}
{"role":"assistant","content":"","tool_calls":[{"id":"c0","name":"python","arguments":{"code":"print(4)"}}]}
{"role":"tool","tool_call_id":"c0","name":"python","content":"4"}
{"role":"assistant","content":"4"}
)j");
  folder.write("suite.yaml",
               "name: mine\ntasks: [tasks.jsonl]\nchecker: {numeric: {tolerance: 0.1}}\n"
               "tools: [python]\nprompt: {system: Be brief., few_shot: few.jsonl}\n"
               "limits: {turns: 3}\n");
  auto suite = folder.load();
  ASSERT_TRUE(suite) << suite.error().message;
  EXPECT_EQ(suite->name, "mine");
  EXPECT_EQ(suite->checker.name, "numeric");
  EXPECT_EQ(suite->checker.options.at("tolerance").as_double(), 0.1);
  EXPECT_EQ(suite->places.at("a"), folder.file("tasks.jsonl") + ":1");
  ASSERT_EQ(suite->tasks.size(), 1u);
  EXPECT_EQ(suite->tasks[0]->suite, "mine");
  EXPECT_EQ(suite->tasks[0]->tools, std::vector<std::string>{"python"});
  ASSERT_EQ(suite->prompt.size(), 5u);
  EXPECT_EQ(suite->prompt[0].role, "system");
  EXPECT_EQ(suite->prompt[2].tool_calls.at(0).name, "python");
  EXPECT_EQ(suite->limits.at("turns").as_int64(), 3);
}

TEST(LoadSuite, SaysWhatIsWrongAndWhere) {
  SuiteFolder folder;
  folder.write("suite.yaml", "name: mine\ntasks: tasks.jsonl\nchekcer: numeric\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("suite.yaml:3: unknown key 'chekcer'"));
  EXPECT_THAT(folder.complaint(), HasSubstr("checker"));
  folder.write("suite.yaml", "name: mine\ntasks: none.jsonl\nchecker: numeric\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("suite.yaml:2: tasks: there is no file"));
  folder.write("suite.yaml",
               "name: mine\ntasks: data/none/x.jsonl\nchecker: numeric\nmade_by: make it\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("is not there yet: make it with make it"));
  EXPECT_EQ(folder.load().error().kind, ErrorKind::missing);
  folder.write("suite.yaml", "name: mine\ntasks: tasks.jsonl\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("checker: expected a name"));
  folder.write("suite.yaml", "name: mine\nchecker: numerc\ntasks: tasks.jsonl\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("suite.yaml:2: unknown checker 'numerc'"));
  folder.write("suite.yaml", "name: mine\nchecker: {numeric: {tol: 1}}\ntasks: tasks.jsonl\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("suite.yaml:2: checker numeric: unknown option 'tol'"));
  folder.write("suite.yaml",
               "name: mine\ntasks: tasks.jsonl\nchecker: numeric\nlimits: {turns: 0}\n");
  EXPECT_THAT(folder.complaint(), HasSubstr("limits.turns: expected a number above 0"));
}

TEST(LoadSuite, NamesTheSuitesThereAre) {
  auto none = load_suite("cod");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::bad_input);
  EXPECT_EQ(none.error().message,
            "no suite 'cod', and no folder of that name with a suite.yaml: did you mean 'code'?");
}

TEST(ReadTasks, SaysFileAndLine) {
  SuiteFolder folder;
  folder.write("tasks.jsonl",
               "{\"id\":\"a\",\"prompt\":\"x\"}\n\n{\"id\":\"a\",\"prompt\":\"y\"}\n");
  auto twice = read_tasks(folder.file("tasks.jsonl"));
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("tasks.jsonl:3: "));
  EXPECT_THAT(twice.error().message, HasSubstr("line 1"));
  folder.write("tasks.jsonl", "{\"id\":\"a\"\n");
  EXPECT_THAT(read_tasks(folder.file("tasks.jsonl")).error().message, HasSubstr("tasks.jsonl:1: "));
  folder.write("tasks.jsonl", "");
  EXPECT_THAT(read_tasks(folder.file("tasks.jsonl")).error().message, HasSubstr("no task"));
}

TEST(ReadTasks, RefusesATestWhoseIntegerWouldBeRounded) {
  SuiteFolder folder;
  folder.write("tasks.jsonl", R"({"id":"a","prompt":"x"}
{"id":"b","prompt":"x","gold":{"entry_point":"f","tests":[{"args":[21],"expect":51090942171709440000}]}}
)");
  EXPECT_THAT(read_tasks(folder.file("tasks.jsonl")).error().message,
              HasSubstr("tasks.jsonl:2: at byte 80: the integer 51090942171709440000 does not"));
}

TEST(ReadTasks, KnowsCheckersAndRemarksOnSlips) {
  SuiteFolder folder;
  folder.write("tasks.jsonl", R"({"id":"a","prompt":"x","checker":"numerc"})");
  EXPECT_THAT(read_tasks(folder.file("tasks.jsonl")).error().message,
              HasSubstr("tasks.jsonl:1: unknown checker 'numerc'"));
  folder.write("tasks.jsonl", R"({"id":"a","prompt":"x","difficulty":3,"checker":"numeric"}
{"id":"b","prompt":"x","chekcer":"numeric"}
{"id":"c","prompt":"x","chekcer":"numeric"}
)");
  testing::internal::CaptureStderr();
  auto tasks = read_tasks(folder.file("tasks.jsonl"));
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_EQ(said, "proctor: " + folder.file("tasks.jsonl") +
                      ":2: the key 'chekcer' means nothing here: did you mean 'checker'?\n");
  EXPECT_EQ(checker_of(*tasks->at(0)), json::value("numeric"));
}

TEST(BuiltInSuites, AreReadableAndNameKnownCheckers) {
  const auto names = built_in_suites();
  EXPECT_THAT(names, testing::IsSupersetOf({"code", "math"}));
  for (const std::string& name : names) {
    auto suite = load_suite(name);
    if (!suite && suite.error().kind == ErrorKind::missing) continue;  // data not generated yet
    ASSERT_TRUE(suite) << suite.error().message;
    EXPECT_NE(Registry<CheckerMaker>::instance().find(suite->checker.name), nullptr)
        << suite->checker.name;
  }
}

TEST(CodeSuite, HasEnoughTasksOfBothLanguagesWithHiddenTests) {
  auto suite = load_suite("code");
  ASSERT_TRUE(suite) << suite.error().message;
  int python = 0, cpp = 0;
  for (const TaskRef& task : suite->tasks) {
    auto program = read_program_task(task->gold);
    ASSERT_TRUE(program) << task->id << ": " << program.error().message;
    EXPECT_GE(program->tests.size(), 6u) << task->id;
    EXPECT_TRUE(program->solution) << task->id;
    (program->language == Language::python ? python : cpp) += 1;
  }
  EXPECT_GE(python, 12);
  EXPECT_GE(cpp, 6);
}

TEST(ReadTasks, RefusesWhatWouldBeOverlooked) {
  SuiteFolder folder;
  const auto complaint = [&](const std::string& line) {
    folder.write("tasks.jsonl", line);
    auto tasks = read_tasks(folder.file("tasks.jsonl"));
    return tasks ? "" : tasks.error().message.substr(folder.file("tasks.jsonl").size());
  };
  EXPECT_EQ(complaint(R"({"id":"a","messages":[{"role":"usr","content":"y"}]})"),
            ":1: messages[0]: unknown role 'usr': did you mean 'user'?");
  EXPECT_EQ(complaint(R"({"id":"a","prompt":"x","messages":[{"role":"user","content":"y"}]})"),
            ":1: a task is asked by `prompt` or by `messages`, not by both");
  EXPECT_EQ(complaint(R"({"id":"a","prompt":"x","gold":{"answers":["1"],"answers":["2"]}})"),
            ":1: the key 'answers' stands twice in one object");
  EXPECT_EQ(complaint(R"({"id":"a","prompt":""})"),
            ":1: prompt: is empty; expected what the policy is asked");
  EXPECT_EQ(complaint(R"({"id":"a","prompt":" \n\t"})"),
            ":1: prompt: is empty; expected what the policy is asked");
  EXPECT_EQ(complaint(R"({"id":"a","messages":[{"role":"user","content":" "}]})"),
            ":1: messages: all are empty; expected what the policy is asked");
  EXPECT_EQ(complaint(R"({"id":"a","prompt":"x","messages":null})"), "");
  EXPECT_EQ(complaint(R"({"id":"a","messages":[{"role":"system","content":"x"},)"
                      R"({"role":"assistant","content":"x"},{"role":"tool","content":"x"}]})"),
            "");
}

TEST(BuiltInSuites, HaveGoldThatTheirCheckersTake) {
  for (const std::string& name : built_in_suites()) {
    auto suite = load_suite(name);
    if (!suite && suite.error().kind == ErrorKind::missing) continue;  // data not generated yet
    ASSERT_TRUE(suite) << suite.error().message;
    for (const TaskRef& task : suite->tasks) {
      auto use = suite->checker;
      if (!checker_of(*task).is_null()) use = *read_checker_use(checker_of(*task));
      if (use.name == "unit_tests") continue;  // needs a sandbox to be made; CodeSuite looks at it
      auto checker = make_checker(use, {});
      ASSERT_TRUE(checker) << checker.error().message;
      auto accepted = (*checker)->accepts(*task);
      EXPECT_TRUE(accepted) << task->id << ": " << accepted.error().message;
    }
  }
}

}  // namespace
}  // namespace proctor
