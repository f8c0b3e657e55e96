// Whole runs inside the process: threads, interruption, what counts as a failure.
#include "runtime/run.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>

#include "runtime/database.h"
#include "runtime/labelling.h"
#include "tests/support/await.h"
#include "tests/support/scratch.h"

namespace proctor {
namespace {

class RunTest : public testing::Test {
 protected:
  // Writes one record a line and gives back the path.
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(scratch_.path(name)) << text;
    return scratch_.path(name);
  }
  std::string tasks(int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += R"({"id": "t)" + std::to_string(i) + R"(", "prompt": "2 + 2?"})" + "\n";
    return file("tasks.jsonl", text);
  }
  // `more` is YAML of further keys; `own` and `script` are files instead of those made here.
  Result<std::unique_ptr<Assembly>> assembly(int count, const std::string& more = "",
                                             const std::string& own = "", std::string script = "") {
    if (script.empty()) script = file("script.jsonl", R"({"content": "<answer>4</answer>"})");
    const std::string text = "name: run\ntasks: " + (own.empty() ? tasks(count) : own) +
                             "\nout: " + scratch_.path("out") +
                             "\nmodels: {policy: \"script:" + script + "\"}\n" + more;
    auto yaml = parse_yaml(text, "run.yaml");
    if (!yaml) return std::move(yaml).error();
    auto config = read_run_config(*yaml);
    if (!config) return std::move(config).error();
    return Assembly::build(std::move(*config));
  }
  static void silent(const RunProgress&) {}

  Scratch scratch_;
};

TEST_F(RunTest, EndsWithSeveralThreads) {
  auto made = assembly(1000, "io_threads: 4\nsamples: 2\nconcurrency: 8\n");
  ASSERT_TRUE(made) << made.error().message;
  auto result = run_all(**made, Start::create, silent);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->summary.rollouts(), 2000);
  EXPECT_EQ(result->missing, 0);
}

TEST_F(RunTest, GradesByTheTasksOwnCheckerElseByTheConfigurations) {
  const std::string tasks = file("own.jsonl",
                                 R"({"id": "a", "prompt": "x", "gold": {"answers": ["4.0"]}}
{"id": "b", "prompt": "x", "gold": {"answers": ["4.0"]}, "checker": "answers"}
{"id": "c", "prompt": "x", "gold": {"answers": ["4.2"]}, "checker": {"numeric": {"tolerance": 1}}}
{"id": "d", "prompt": "x", "gold": {"answers": ["4.2"]}}
)");
  auto made = assembly(1, "checker: numeric\nformat: hermes\n", tasks);
  ASSERT_TRUE(made) << made.error().message;
  auto result = run_all(**made, Start::create, silent);
  ASSERT_TRUE(result) << result.error().message;
  auto store = Store::open(scratch_.path("out"), Store::Access::read);
  ASSERT_TRUE(store) << store.error().message;
  std::map<std::string, std::optional<bool>> correct;
  auto rows = (*store)->rows();
  for (const auto& row : *rows) correct[row.task_id] = row.correct;
  EXPECT_EQ(correct, (std::map<std::string, std::optional<bool>>{
                         {"a", true}, {"b", false}, {"c", true}, {"d", false}}));
}

TEST_F(RunTest, ComplaintsAboutTasksAndCheckersNameTheirLine) {
  const std::string tasks = file("own.jsonl", R"({"id": "a", "prompt": "x"}
{"id": "b", "prompt": "x", "tools": ["pyhton"]}
)");
  EXPECT_EQ(assembly(1, "tools: [python]\n", tasks).error().message.rfind(tasks + ":2: ", 0), 0u);
  const std::string slip = file("slip.jsonl", R"({"id": "a", "prompt": "x"}
{"id": "b", "prompt": "x", "gold": {"answer": "4"}}
)");
  EXPECT_EQ(assembly(1, "checker: answers\n", slip).error().message,
            slip +
                ":2: checker answers: needs gold.answers; gold has 'answer': did you mean "
                "'answers'?");
  const std::string bare =
      file("bare.jsonl", R"({"id": "a", "prompt": "x", "checker": "answers"})");
  EXPECT_EQ(assembly(1, "", bare).error().message,
            bare + ":1: checker answers: needs gold.answers, and the task has no gold");
  EXPECT_TRUE(assembly(1, "checker: answers\n")) << "a default alone leaves tasks ungraded";
  const std::string wrong = assembly(1, "checker: numerc\n").error().message;
  EXPECT_EQ(wrong.rfind("run.yaml:5: unknown checker 'numerc'", 0), 0u) << wrong;
}

TEST_F(RunTest, AnotherServerGetsNoSettingsOfTheFirst) {
  const std::string path = file("models.yaml",
                                "tasks: t.jsonl\nmodels:\n  policy: {uri: "
                                "'openai:http://a:1/v1#m', headers: {X-Key: secret}}\n");
  const auto loaded = [&](const std::string& model, std::vector<std::string> set = {}) {
    RunOverrides overrides;
    overrides.models = {"policy=" + model};
    overrides.set = std::move(set);
    auto config = load_run_config(path, overrides);
    EXPECT_TRUE(config) << config.error().message;
    return json::serialize(config->models.at("policy").settings);
  };
  EXPECT_EQ(loaded("openai:http://b:1/v1#m"), "{}");
  EXPECT_EQ(loaded("llama:smollm2"), "{}");
  EXPECT_EQ(loaded("{uri: 'openai:http://a:1/v1#m', retries: 2}"), R"({"retries":2})");
  EXPECT_EQ(loaded("openai:http://a:1/v2#other"), R"({"headers":{"X-Key":"secret"}})");
  EXPECT_EQ(loaded("openai:http://b:1/v1#m", {"models.policy.retries=1"}), R"({"retries":1})");
}

TEST_F(RunTest, AModelOptionTakesSettings) {
  const auto judge = parse_model_option("judge={uri: 'openai:https://a/v1#m', ca_file: ca.pem}");
  ASSERT_TRUE(judge) << judge.error().message;
  EXPECT_EQ(judge->second.uri, "openai:https://a/v1#m");
  EXPECT_EQ(judge->second.settings, (json::object{{"ca_file", "ca.pem"}}));
  EXPECT_EQ(parse_model_option("judge={ca_file: x}").error().message.rfind("--model judge: ", 0),
            0u);
  EXPECT_FALSE(parse_model_option("judge={uri: "));
  RunOverrides twice;
  twice.models = {"judge=script:a.jsonl", "judge=script:b.jsonl"};
  EXPECT_EQ(load_run_config(file("twice.yaml", "tasks: t.jsonl\n"), twice).error().message,
            "--model judge is given twice");
}

TEST_F(RunTest, AComplaintAboutAnOptionNamesTheOption) {
  RunOverrides overrides;
  overrides.set = {"limit.turns=3"};
  const std::string path =
      file("plain.yaml", "tasks: t.jsonl\nmodels: {policy: 'script:s.jsonl'}\n");
  const auto config = load_run_config(path, overrides);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message.rfind("--set limit.turns=3: ", 0), 0u) << config.error().message;
}

// A group supervisor whose labels say how many members it saw, and how each ended.
class Counting final : public Supervisor {
 public:
  bool has_on_group() const override { return true; }
  Async<Result<std::vector<MemberOpinion>>> on_group(Group group) override {
    std::vector<MemberOpinion> opinions(group.size());
    double answered = 0;
    for (const auto& member : group) answered += member->outcome.answer.has_value();
    for (auto& opinion : opinions)
      opinion.labels.push_back(
          {.name = "answered", .level = LabelLevel::trajectory, .value = answered});
    co_return opinions;
  }
};

TEST_F(RunTest, RetriesWhatEndedInErrorAndTouchesNothingElse) {
  const std::string broken = file("broken.jsonl", R"({"match": {"task_id": "t1"}, "error": "gone"}
{"content": "<answer>4</answer>"}
)");
  const auto play = [&](const std::string& script, Start start) {
    auto made = assembly(3, "format: hermes\nsamples: 2\n", "", script);
    (*made)->services().supervisors.push_back({"count", "count", std::make_shared<Counting>()});
    return *run_all(**made, start, silent);
  };
  const RunResult first = play(broken, Start::create);
  EXPECT_EQ(first.summary.ended_in_error(), 2);
  const auto record = [&](const std::string& id) {
    auto store = Store::open(scratch_.path("out"), Store::Access::read);
    return **(*store)->read(id);
  };
  const std::string untouched = json::serialize(to_json(record("run-t0-0")));
  EXPECT_EQ(play("", Start::resume).summary.ended_in_error(), 2) << "finished is finished";
  const RunResult again = play("", Start::retry_errors);
  EXPECT_EQ(again.summary.ended_in_error(), 0);
  EXPECT_EQ(again.summary.rollouts(), 6);
  EXPECT_EQ(json::serialize(to_json(record("run-t0-0"))), untouched);
  const Trajectory mended = record("run-t1-0");
  EXPECT_EQ(mended.outcome.status, OutcomeStatus::answered);
  ASSERT_EQ(mended.labels.size(), 1u) << "the group is looked at anew, once";
  EXPECT_EQ(mended.labels[0].value, 2);
}

TEST_F(RunTest, AGroupThatGrewIsLookedAtAnew) {
  const auto play = [&](int samples, Start start) {
    auto made = assembly(1, "format: hermes\nsamples: " + std::to_string(samples) + "\n");
    (*made)->services().supervisors.push_back({"count", "count", std::make_shared<Counting>()});
    return *run_all(**made, start, silent);
  };
  play(2, Start::create);
  EXPECT_EQ(play(3, Start::resume).summary.rollouts(), 3);
  auto store = Store::open(scratch_.path("out"), Store::Access::read);
  for (const char* id : {"run-t0-0", "run-t0-1", "run-t0-2"}) {
    const Trajectory record = **(*store)->read(id);
    ASSERT_EQ(record.labels.size(), 1u) << id;
    EXPECT_EQ(record.labels[0].value, 3) << id;
  }
}

TEST_F(RunTest, PlaysADamagedRecordAgain) {
  const auto play = [&](Start start) {
    auto made = assembly(3, "format: hermes\n");
    return *run_all(**made, start, silent);
  };
  play(Start::create);
  {
    auto database =
        Database::open(scratch_.path("out") + "/trajectories.db", Database::Access::write);
    ASSERT_TRUE(database->run("UPDATE records SET record = 'x' WHERE number = 2"));
  }
  std::filesystem::remove(scratch_.path("out") + "/trajectories.jsonl");
  EXPECT_EQ(play(Start::resume).damaged.size(), 1u);
  const RunResult again = play(Start::retry_errors);
  EXPECT_TRUE(again.damaged.empty());
  EXPECT_EQ(again.summary.rollouts(), 3);
}

// Grades everything right, unless its own machinery is gone.
class Grader final : public Checker {
 public:
  explicit Grader(bool fails) : fails_(fails) {}
  Async<Result<Grade>> check(TrajectoryRef whole) override {
    if (fails_) co_return unavailable("the sandbox is gone");
    Grade grade;
    grade.correct = whole->outcome.answer == "4";
    grade.reward = *grade.correct ? 1 : 0;
    co_return grade;
  }

 private:
  bool fails_;
};

TEST_F(RunTest, GradesLaterWhatCouldNotBeGraded) {
  const std::string other = file("other.jsonl", R"({"content": "<answer>5</answer>"})");
  const auto play = [&](Start start, bool fails) {
    auto made = assembly(2, "format: hermes\nsamples: 2\n", "",
                         start == Start::create ? std::string() : other);
    for (const char* task : {"t0", "t1"})
      (*made)->services().checkers[task] = std::make_shared<Grader>(fails);
    (*made)->services().supervisors.push_back({"count", "count", std::make_shared<Counting>()});
    return *run_all(**made, start, silent);
  };
  const RunResult first = play(Start::create, true);
  EXPECT_EQ(first.summary.errors(), 4);
  EXPECT_EQ(first.summary.ended_in_error(), 0) << "none of them ended in error";
  EXPECT_EQ(first.summary.failures.at("not graded: the sandbox is gone"), 4);
  const RunResult resumed = play(Start::resume, false);
  EXPECT_EQ(resumed.graded, 0) << "nobody asked for it";
  EXPECT_EQ(resumed.summary.errors(), 4);
  const RunResult still = play(Start::retry_errors, true);
  EXPECT_EQ(still.graded, 0);
  EXPECT_EQ(still.summary.errors(), 4);
  const RunResult graded = play(Start::retry_errors, false);
  EXPECT_EQ(graded.graded, 4);
  EXPECT_EQ(graded.summary.errors(), 0);
  EXPECT_EQ(graded.summary.rollouts(), 4);
  auto store = Store::open(scratch_.path("out"), Store::Access::read);
  ASSERT_TRUE(store) << store.error().message;
  const Trajectory record = **(*store)->read("run-t1-1");
  EXPECT_EQ(record.outcome.answer, "4") << "it was not rolled out again";
  EXPECT_EQ(record.outcome.correct, true);
  EXPECT_EQ(record.outcome.reward, 1);
  EXPECT_TRUE(record.outcome.metrics.empty());
  EXPECT_EQ(record.labels.size(), 1u);
  EXPECT_EQ(play(Start::retry_errors, true).graded, 0) << "once graded is graded";
}

TEST_F(RunTest, ResumeGoesOnWithARetryThatWasCutOff) {
  const std::string broken = file("broken.jsonl", R"({"error": "gone"})");
  const auto play = [&](const std::string& script, Start start) {
    auto made = assembly(2, "format: hermes\n", "", script);
    return *run_all(**made, start, silent);
  };
  EXPECT_EQ(play(broken, Start::create).summary.ended_in_error(), 2);
  {
    auto store = *Store::open(scratch_.path("out"), Store::Access::write);
    auto start = std::make_shared<Trajectory>(**store->read("run-t1-0"));
    start->outcome = {};
    ASSERT_TRUE(await(store->begin(start)));
  }
  EXPECT_EQ(play("", Start::resume).summary.ended_in_error(), 1)
      << "the one that began anew is played, the other not";
}

// Turns of two policies in one record would say of one what the other did.
TEST_F(RunTest, AnUnfinishedRolloutOfAnotherPolicyBeginsAnew) {
  const std::string other = file("other.jsonl", R"({"content": "<answer>5</answer>"})");
  const auto play = [&](const std::string& script, Start start) {
    auto made = assembly(1, "format: hermes\n", "", script);
    return *run_all(**made, start, silent);
  };
  const auto answer = [&] {
    auto store = *Store::open(scratch_.path("out"), Store::Access::read);
    return *(**store->read("run-t0-0")).outcome.answer;
  };
  play("", Start::create);
  const auto unfinish = [&] {  // as if the process had ended behind the answering turn
    auto store = *Store::open(scratch_.path("out"), Store::Access::write);
    auto start = std::make_shared<Trajectory>(**store->read("run-t0-0"));
    const TurnRef turn = start->turns.at(0);
    start->turns.clear();
    start->outcome = {};
    start->outcome.status = OutcomeStatus::error;
    ASSERT_TRUE(await(store->finish(start)));  // one in `error` with a journal is played again
    ASSERT_TRUE(await(store->begin(start)));
    ASSERT_TRUE(await(store->append_turn(start->id, turn, {})));
  };
  unfinish();
  play("", Start::resume);
  EXPECT_EQ(answer(), "4") << "goes on behind the turn";
  unfinish();
  play(other, Start::resume);
  EXPECT_EQ(answer(), "5");
}

TEST_F(RunTest, ResumingAFinishedRunKeepsItsSpeed) {
  const auto play = [&](Start start) {
    auto made = assembly(20);
    (void)run_all(**made, start, silent);
    return *parse_json(*read_file(scratch_.path("out") + "/summary.json"));
  };
  const json::value first = play(Start::create), second = play(Start::resume);
  EXPECT_EQ(second, first);
}

// Takes its time with groups, and for ever to get ready.
class Slow final : public Supervisor {
 public:
  bool has_on_group() const override { return true; }
  Async<Result<void>> prepare() override {
    if (hangs) co_await sleep_for(1h);
    co_return Result<void>{};
  }
  Async<Result<std::vector<MemberOpinion>>> on_group(Group group) override {
    most = std::max(most, ++inside);
    co_await sleep_for(20ms);
    --inside;
    co_return std::vector<MemberOpinion>(group.size());
  }
  bool hangs = false;
  int inside = 0, most = 0;
};

TEST_F(RunTest, LabelsNoMoreGroupsAtOnceThanRolloutsMayRun) {
  auto made = assembly(12, "concurrency: 3\n");
  ASSERT_TRUE(made) << made.error().message;
  auto slow = std::make_shared<Slow>();
  (*made)->services().supervisors.push_back({"slow", "slow", slow});
  ASSERT_TRUE(run_all(**made, Start::create, silent));
  EXPECT_EQ(slow->most, 3);
  auto summary = parse_json(*read_file(scratch_.path("out/summary.json")));
  ASSERT_TRUE(summary);
  const auto& groups = summary->at("in_flight").at("groups");
  EXPECT_EQ(groups.at("highest").as_int64(), 3);
  EXPECT_EQ(groups.at("capacity").as_int64(), 3);
}

// Fails in all that it is asked.
class Broken final : public Supervisor {
 public:
  bool has_on_finished() const override { return true; }
  bool has_on_group() const override { return true; }
  Async<Result<Opinion>> on_finished(TrajectoryRef) override { co_return unavailable("boom"); }
  Async<Result<std::vector<MemberOpinion>>> on_group(Group) override {
    co_return unavailable("bang");
  }
};

TEST_F(RunTest, SaysWhySupervisionsFailed) {
  auto made = assembly(2, "format: hermes\n");
  ASSERT_TRUE(made) << made.error().message;
  (*made)->services().supervisors.push_back({"broken", "mine", std::make_shared<Broken>()});
  const std::map<std::string, std::int64_t> why{{"mine failed: bang", 2}, {"mine failed: boom", 2}};
  for (const Start start : {Start::create, Start::resume}) {
    auto result = run_all(**made, start, silent);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->summary.failed_supervisions(), 4);
    EXPECT_EQ(result->summary.failures, why) << "whichever process saw it";
    auto written = parse_json(*read_file(scratch_.path("out/summary.json")));
    ASSERT_TRUE(written);
    EXPECT_EQ(json::serialize(written->at("failures")),
              R"({"mine failed: bang":2,"mine failed: boom":2})");
    made = assembly(2, "format: hermes\n");
  }
}

TEST_F(RunTest, ASupervisorThatNeverGetsReadyIsMissing) {
  auto made = assembly(1);
  ASSERT_TRUE(made) << made.error().message;
  auto slow = std::make_shared<Slow>();
  slow->hangs = true;
  const SupervisorInstance instance{"slow", "slowly", slow};
  (*made)->services().supervisors.push_back(instance);
  auto labeller = Labeller::make({instance}, 1s);
  ASSERT_TRUE(labeller);
  for (const Status& ready : {await((*made)->prepare(30ms)), await(labeller->prepare(30ms))}) {
    ASSERT_FALSE(ready);
    EXPECT_EQ(ready.error().kind, ErrorKind::missing);
    EXPECT_EQ(ready.error().message, "slowly: no answer in 30 ms");
  }
}

TEST_F(RunTest, APolicyThatNeverSaysWhatItCanDoIsMissing) {
  class Silent final : public Model {
   public:
    std::string name() const override { return "silent"; }
    std::string backend() const override { return "script"; }
    Async<Result<Capabilities>> capabilities() override {
      co_await sleep_for(1h);
      co_return Capabilities{};
    }
    Async<Result<Generation>> generate(GenerateRequest) override { co_return Generation{}; }
  };
  auto made = assembly(1);
  ASSERT_TRUE(made) << made.error().message;
  (*made)->services().policy = std::make_shared<Silent>();
  const Status ready = await((*made)->prepare(30ms));
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().kind, ErrorKind::missing);
  EXPECT_EQ(ready.error().message, "silent: no answer in 30 ms");
}

TEST_F(RunTest, SuitesThatNoTaskHasAreRefused) {
  const std::string tasks = file("own.jsonl", R"({"id": "a", "prompt": "x", "suite": "sums"}
{"id": "b", "prompt": "x"}
)");
  const std::string judge = "supervise: [{groundedprm: {check: tool, suites: [";
  EXPECT_TRUE(assembly(1, judge + "sums]}}]\nfilter: id=b\n", tasks)) << "only the filter hides it";
  EXPECT_EQ(assembly(1, judge + "smus]}}]\n", tasks).error().message,
            "run.yaml:5: supervise: groundedprm: no task belongs to the suite 'smus': did you mean "
            "'sums'?");
  EXPECT_EQ(assembly(1, "tools: [{python: {suites: [sums]}}]\n").error().message,
            "run.yaml:5: tools: python: no task belongs to the suite 'sums': known are tasks");
}

TEST_F(RunTest, TasksOfNoSuiteAreOfTheSuiteTasks) {
  const std::string tasks = file("own.jsonl", R"({"id": "a", "prompt": "x", "suite": "sums"}
{"id": "b", "prompt": "x"}
)");
  auto made = assembly(1,
                       "filter: suite=tasks\nsupervise: [{groundedprm: {check: tool, suites: "
                       "[tasks]}}]\ntools: [{python: {suites: [tasks]}}]\n",
                       tasks);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ((*made)->tasks().size(), 1u);
  EXPECT_EQ((*made)->tasks()[0]->id, "b");
  EXPECT_EQ(tools_of((*made)->services(), *(*made)->tasks()[0]).size(), 1u);
  Trajectory record;
  record.task = (*made)->tasks()[0];
  EXPECT_TRUE((*made)->services().supervisors.at(0).looks_at(record));
}

TEST_F(RunTest, ToolsThatTheFormatCannotCallAreRefused) {
  EXPECT_EQ(
      assembly(1, "format: plain\ntools: [python]\n").error().message,
      "run.yaml:6: tools: the format 'plain' calls no tools; leave them out, or choose another "
      "format");
  const std::string suite = file("suite.jsonl", R"({"id": "a", "prompt": "x", "suite": "math"})");
  EXPECT_EQ(
      assembly(1, "format: plain\n", suite).error().message,
      "run.yaml:5: suite math needs the tool 'python', and the format 'plain' calls no tools; "
      "choose another format");
  const std::string task = file("task.jsonl", R"({"id": "a", "prompt": "x", "tools": []}
{"id": "b", "prompt": "x", "tools": ["python"]}
)");
  EXPECT_EQ(assembly(1, "format: plain\n", task).error().message,
            task +
                ":2: the task 'b' wants the tool 'python', and the format 'plain' calls no tools; "
                "choose another format");
  EXPECT_TRUE(assembly(1, "format: plain\ntools: []\n"));
}

TEST_F(RunTest, ATasksFileThatIsNotThereIsNamedWithItsLine) {
  const std::string message = assembly(1, "", "none.jsonl").error().message;
  EXPECT_EQ(message,
            "run.yaml:2: tasks: there is no file none.jsonl below the working directory (" +
                std::filesystem::current_path().string() + ")");
}

}  // namespace
}  // namespace proctor
