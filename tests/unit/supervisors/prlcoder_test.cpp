// The mechanism's worked example, the label rules for programs of a policy, and the deriver. The
// programs are our own, so plain processes will do; the real sandbox is in integration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisors/supervisor.h"
#include "tests/support/await.h"
#include "tests/support/plain_pool.h"

namespace proctor {
namespace {

using testing::ElementsAre;

constexpr const char* kScore = R"(def score(xs, lo, hi):
    s = 0
    for x in xs:
        if x < lo:
            x = lo
        if x > hi:
            x = hi
        s += x
        if s > 100:
            s = 100
    return s
)";
constexpr const char* kOperators = "ROR+AOR+AUG+CRP+LCR+SDL+RVR";

// All lists of length 0 to 2 over the values, with lo in {0, 5} and hi in {50, 200}.
json::array grid(const std::vector<json::value>& values) {
  std::vector<json::array> lists = {{}};
  for (const auto& a : values) lists.push_back({a});
  for (const auto& a : values)
    for (const auto& b : values) lists.push_back({a, b});
  json::array probes;
  for (const auto& list : lists)
    for (const int lo : {0, 5})
      for (const int hi : {50, 200}) probes.push_back(json::object{{"args", {list, lo, hi}}});
  return probes;
}

json::object score_task(json::array probes = {}) {
  json::array tests;
  tests.push_back({{"args", {{1, 5}, 2, 8}}, {"expect", 7}});
  tests.push_back({{"args", {json::array{}, 0, 1}}, {"expect", 0}});
  tests.push_back({{"args", {json::array{3}, 0, 5}}, {"expect", 3}});
  return {{"id", "score"},
          {"prompt", "clamp and add"},
          {"gold",
           {{"language", "python"},
            {"entry_point", "score"},
            {"solution", kScore},
            {"tests", tests},
            {"probes", probes}}}};
}

SupervisorServices services(SandboxPool* pool) {
  SupervisorServices all;
  all.sandbox = pool;
  return all;
}

std::vector<json::object> mutants(const json::object& task, json::object options) {
  PlainPool pool;
  const auto* entry = Registry<DeriverMaker>::instance().find("mutants");
  PROCTOR_CHECK(entry);
  auto parsed = Options::parse(options, entry->info.options, "mutants");
  PROCTOR_CHECK(parsed.ok());
  auto deriver = entry->make(*parsed, services(&pool));
  PROCTOR_CHECK(deriver.ok());
  auto records = await((*deriver)->derive(task));
  if (!records) ADD_FAILURE() << records.error().message;
  return records ? *records : std::vector<json::object>{};
}

// "line from 1, code without indentation" ─▶ kind, of the variants only.
std::map<std::string, std::string> kinds(const std::vector<json::object>& records) {
  std::map<std::string, std::string> kinds;
  for (const json::object& record : records) {
    if (record.at("source") == "original") continue;
    std::string code(record.at("code").as_string());
    code.erase(0, code.find_first_not_of(' '));
    kinds[std::to_string(record.at("line").as_int64() + 1) + " " + code] =
        std::string(record.at("kind").as_string());
  }
  return kinds;
}

std::map<std::string, int> counted(const std::map<std::string, std::string>& kinds) {
  std::map<std::string, int> counts;
  for (const auto& [code, kind] : kinds) ++counts[kind];
  return counts;
}

json::object all_variants(const std::string& probes) {
  return {
      {"operators", kOperators}, {"probes", probes}, {"max_negatives", 0}, {"keep_dropped", true}};
}

TEST(Mutants, OfTheWorkedExampleByTestsOnly) {
  const auto found = kinds(mutants(score_task(), all_variants("none")));
  EXPECT_EQ(found.size(), 19u);
  for (const char* wrong : {"2 s = 1", "2 s = -1", "4 if x > lo:", "5 pass", "6 if x < hi:",
                            "8 s -= x", "8 pass", "9 if s < 100:", "11 return None"})
    EXPECT_EQ(found.at(wrong), "wrong") << wrong;
  EXPECT_EQ(found.at("2 pass"), "exception");
  EXPECT_EQ(counted(found),
            (std::map<std::string, int>{
                {"wrong", 9}, {"exception", 1}, {"probably-equivalent", 5}, {"uncovered", 4}}));
}

TEST(Mutants, OfTheWorkedExampleWithProbesOnIntegers) {
  const auto found = kinds(mutants(score_task(grid({0, 5, 50, 101})), all_variants("given")));
  EXPECT_EQ(counted(found),
            (std::map<std::string, int>{
                {"wrong", 9}, {"exception", 1}, {"diff", 5}, {"probably-equivalent", 4}}));
  for (const char* differs : {"7 pass", "9 if s > 101:", "10 s = 101", "10 s = 99", "10 pass"})
    EXPECT_EQ(found.at(differs), "diff") << differs;
  EXPECT_EQ(found.at("9 if s > 99:"), "probably-equivalent");
}

TEST(Mutants, OfTheWorkedExampleWithProbesOnFloatsToo) {
  json::array probes = grid({0, 5, 50, 101});
  for (const json::value& probe : grid({0, 5, 50, 99.5})) probes.push_back(probe);
  const auto found = kinds(mutants(score_task(probes), all_variants("given")));
  EXPECT_EQ(counted(found),
            (std::map<std::string, int>{
                {"wrong", 9}, {"exception", 1}, {"diff", 6}, {"probably-equivalent", 3}}));
  EXPECT_EQ(found.at("9 if s > 99:"), "diff");
  for (const char* equal : {"4 if x <= lo:", "6 if x >= hi:", "9 if s >= 100:"})
    EXPECT_EQ(found.at(equal), "probably-equivalent") << equal;
}

TEST(Mutants, FindTheDifferencesThemselves) {
  const auto found = kinds(mutants(score_task(), all_variants("auto")));
  for (const char* differs : {"7 pass", "9 if s > 101:", "10 s = 101", "10 s = 99", "10 pass"})
    EXPECT_EQ(found.at(differs), "diff") << differs;
}

TEST(Mutants, CarryTheFailingInputAndTheLinesBefore) {
  for (const json::object& record : mutants(score_task(), {{"operators", "AUG"}})) {
    EXPECT_EQ(record.at("schema"), "proctor.mutant/1");
    if (record.at("source") == "original") {
      EXPECT_EQ(record.at("label"), 1);
      EXPECT_EQ(record.at("kind"), "original");
      continue;
    }
    EXPECT_EQ(record.at("line"), 7);
    EXPECT_EQ(record.at("prefix").as_array().size(), 7u);
    EXPECT_EQ(record.at("code"), "        s -= x");
    EXPECT_EQ(record.at("original"), "        s += x");
    EXPECT_EQ(record.at("operator"), "AUG");
    EXPECT_EQ(json::serialize(record.at("failing_input")), R"({"args":[[1,5],2,8]})");
  }
}

TEST(Mutants, CapNegativesPerLineInOperatorOrder) {
  const auto found =
      kinds(mutants(score_task(), {{"operators", kOperators}, {"max_negatives", 1}}));
  EXPECT_TRUE(found.contains("2 s = 1"));
  EXPECT_FALSE(found.contains("2 s = -1"));
}

TEST(Mutants, RejectATaskWhoseSolutionFails) {
  json::object task = score_task();
  task["gold"].as_object()["solution"] = "def score(xs, lo, hi):\n    return 0\n";
  PlainPool pool;
  const auto* entry = Registry<DeriverMaker>::instance().find("mutants");
  auto parsed = Options::parse({}, entry->info.options, "mutants");
  auto deriver = entry->make(*parsed, services(&pool));
  auto records = await((*deriver)->derive(task));
  ASSERT_FALSE(records);
  EXPECT_THAT(records.error().message, testing::HasSubstr("task score: rejected"));
}

TEST(Mutants, DropDuplicatesAndKeepEquivalentFormsPositive) {
  json::object options = all_variants("none");
  options["operators"] = "none";
  options["refactorings"] = true;
  const auto found = kinds(mutants(score_task(), options));
  EXPECT_EQ(found.at("8 s += (x)"), "equivalent");
  EXPECT_EQ(found.at("8 s += x  # same"), "equivalent");
  EXPECT_EQ(found.at("8 s = s + (x)"), "probably-equivalent");
}

// --- the supervisor ---

std::shared_ptr<Trajectory> answered_with(const json::object& task, const std::string& program) {
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->task = std::make_shared<const Task>(*read_task(task));
  trajectory->task_id = trajectory->task->id;
  trajectory->outcome.status = OutcomeStatus::answered;
  Turn turn;
  turn.assistant.content = "Here it is:\n```python\n" + program + "```\nDone.";
  trajectory->turns.push_back(std::make_shared<const Turn>(std::move(turn)));
  trajectory->outcome.answer = trajectory->turns[0]->assistant.content;
  return trajectory;
}

std::vector<Label> labels_of(json::object task, const std::string& program,
                             json::object options = {},
                             OutcomeStatus status = OutcomeStatus::answered) {
  PlainPool pool;
  auto supervisor = make_supervisor(
      {.name = "prlcoder", .alias = "prlcoder", .options = std::move(options)}, services(&pool));
  PROCTOR_CHECK(supervisor.ok());
  auto trajectory = answered_with(task, program);
  trajectory->outcome.status = status;
  auto opinion = await(supervisor->supervisor->on_finished(trajectory));
  if (!opinion) ADD_FAILURE() << opinion.error().message;
  return opinion ? opinion->labels : std::vector<Label>{};
}

const Label* find(const std::vector<Label>& labels, const std::string& name, int line = -1) {
  for (const Label& label : labels)
    if (label.name == name && label.line.value_or(-1) == line) return &label;
  return nullptr;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(PrlCoder, CallsExecutedLinesOfAPassingProgramCorrect) {
  const auto labels =
      labels_of(score_task(), kScore, {{"probes", "none"}, {"operators", kOperators}});
  EXPECT_EQ(find(labels, "pass")->verdict, "passed");
  EXPECT_EQ(find(labels, "pass")->value, 1);
  EXPECT_EQ(find(labels, "line", 0)->verdict, "correct");
  EXPECT_EQ(find(labels, "line", 6)->verdict, "neutral");
  EXPECT_EQ(find(labels, "line", 6)->value, std::nullopt);
  EXPECT_EQ(find(labels, "line", 6)->evidence.at("kind"), "uncovered");
  EXPECT_EQ(find(labels, "line", 10)->verdict, "correct");
  EXPECT_EQ(find(labels, "mutation_score", 1)->value, 1.0);
  EXPECT_EQ(find(labels, "mutation_score", 3)->value, 0.5);
  EXPECT_EQ(find(labels, "mutation_score", 6), nullptr);
  EXPECT_EQ(find(labels, "reward")->value, 1);
  EXPECT_EQ(find(labels, "negative_share")->value, 0);
  EXPECT_EQ(find(labels, "line", 1)->evidence.at("variants").as_array().size(), 3u);
  EXPECT_GT(labels.front().cost.executions, 0);
}

TEST(PrlCoder, CallsNoLineCorrectThatOnlyProbesReach) {
  json::object task = {{"id", "double"},
                       {"prompt", "double it"},
                       {"gold",
                        {{"language", "python"},
                         {"entry_point", "f"},
                         {"solution", "def f(a):\n    return a * 2\n"},
                         {"tests", {{{"args", {1}}, {"expect", 2}}}},
                         {"probes", {{{"args", {101}}}, {{"args", {-1}}}}}}}};
  const auto labels = labels_of(task,
                                "def f(a):\n    if a > 100:\n        return 7\n"
                                "    if a < 0:\n        return [][0]\n    return a * 2\n",
                                {{"probes", "given"}});
  EXPECT_EQ(find(labels, "line", 1)->verdict, "correct");
  for (const int line : {2, 4}) {
    EXPECT_EQ(find(labels, "line", line)->verdict, "neutral");
    EXPECT_EQ(find(labels, "line", line)->evidence.at("kind"), "uncovered");
  }
  EXPECT_EQ(find(labels, "mutation_score", 2)->value, 1.0);  // the probe of 101 tells its variants
  // On the line that only a failing probe reached, nothing was compared.
  for (const auto& variant : find(labels, "line", 4)->evidence.at("variants").as_array())
    EXPECT_NE(variant.at("kind"), "probably-equivalent");
  const auto own = labels_of(score_task(grid({0, 101})), kScore, {{"probes", "given"}});
  EXPECT_EQ(find(own, "line", 9)->verdict, "correct");
}

TEST(PrlCoder, LeavesEquivalentVariantsOutOfTheMutationScore) {
  const json::object options = {
      {"probes", "none"}, {"operators", kOperators}, {"refactorings", true}};
  const auto labels = labels_of(score_task(), kScore, options);
  const Label* header = find(labels, "line", 0);  // its only variant is a comment
  EXPECT_EQ(header->evidence.at("variants").at(0).at("kind"), "equivalent");
  EXPECT_EQ(find(labels, "mutation_score", 0), nullptr);
  EXPECT_EQ(find(labels, "mutation_score", 1)->value, 1.0);
}

TEST(PrlCoder, TakesNoProgramForTheAnswerOfWhatAFailureOfOursEnded) {
  const auto labels = labels_of(score_task(), kScore, {{"probes", "none"}}, OutcomeStatus::error);
  ASSERT_EQ(labels.size(), 1u);
  EXPECT_EQ(labels[0].name, "pass");
  EXPECT_EQ(labels[0].verdict, "not_judged");
  EXPECT_FALSE(labels[0].value);
}

TEST(PrlCoder, RunsAProgramThatIsTheReferenceAsOne) {
  const json::object options = {{"probes", "none"}, {"operators", "none"}};
  const auto same = labels_of(score_task(), kScore, options);
  EXPECT_EQ(same.front().cost.executions, 1);
  EXPECT_EQ(find(same, "line", 0)->verdict, "correct");
  const auto other = labels_of(score_task(), kScore + std::string("# x\n"), options);
  EXPECT_EQ(other.front().cost.executions, 2);
}

// Lets others begin before a program runs.
class BusyPool final : public SandboxPool {
 public:
  PlainPool plain;
  Async<Result<Execution>> run(ExecutionRequest request) override {
    co_await sleep_for(1ms);
    auto execution = co_await plain.run(std::move(request));
    co_return execution;
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language language, Limits limits,
                                                              Milliseconds idle) override {
    return plain.open_session(language, limits, idle);
  }
  const Isolation& isolation() const override { return plain.isolation(); }
  Limiter::Usage usage() const override { return {}; }
};

TEST(PrlCoder, RunsTheSamplesOfATaskOnceWhereTheirProgramsAreEqual) {
  BusyPool pool;
  auto made = make_supervisor({.name = "prlcoder",
                               .alias = "prlcoder",
                               .options = {{"probes", "none"}, {"operators", "none"}}},
                              services(&pool));
  ASSERT_TRUE(made.ok());
  std::vector<Async<Result<Opinion>>> works;
  for (int sample = 0; sample < 4; ++sample) {
    auto trajectory = answered_with(score_task(), kScore + std::string("# x\n"));
    trajectory->sample = sample;
    works.push_back(made->supervisor->on_finished(trajectory));
  }
  for (const auto& opinion : await(gather(std::move(works)))) {
    ASSERT_TRUE(opinion.ok());
    EXPECT_EQ(opinion->labels.front().cost.executions, 2) << "no matter who came first";
  }
  EXPECT_EQ(pool.plain.runs, 2);  // the reference, the program
}

TEST(PrlCoder, LabelsTheOneLineThatDiffersFromTheReference) {
  const auto labels =
      labels_of(score_task(), replaced(kScore, "s += x", "s -= x"), {{"probes", "none"}});
  EXPECT_EQ(find(labels, "pass")->verdict, "failed");
  const Label* line = find(labels, "line", 7);
  EXPECT_EQ(line->verdict, "incorrect");
  EXPECT_EQ(line->value, 0);
  EXPECT_EQ(line->evidence.at("kind"), "wrong");
  EXPECT_EQ(line->evidence.at("fix"), "        s += x");
  EXPECT_EQ(json::serialize(line->evidence.at("failing_input")), R"({"args":[[1,5],2,8]})");
  EXPECT_EQ(find(labels, "line", 1)->verdict, "correct");
  EXPECT_EQ(find(labels, "line", 9)->verdict, "neutral");
  EXPECT_EQ(find(labels, "reward")->value, 0);
  EXPECT_DOUBLE_EQ(*find(labels, "negative_share")->value, 1.0 / 9);
  EXPECT_EQ(find(labels, "mutation_score", 1), nullptr);
}

TEST(PrlCoder, LabelsALineThatDoesNotCompileBesideTheReference) {
  const auto labels =
      labels_of(score_task(), replaced(kScore, "s += x", "s += = x"), {{"probes", "none"}});
  EXPECT_EQ(find(labels, "line", 7)->evidence.at("kind"), "compile");
  EXPECT_EQ(find(labels, "line", 7)->verdict, "incorrect");
}

TEST(PrlCoder, FindsTheLineThatAVariantRepairs) {
  const std::string program =
      "def score(xs, lo, hi):\n    total = 1\n    for x in xs:\n"
      "        total += min(max(x, lo), hi)\n    return min(total, 100)\n";
  const auto labels = labels_of(score_task(), program);
  EXPECT_EQ(find(labels, "line", 1)->verdict, "incorrect");
  EXPECT_EQ(find(labels, "line", 1)->evidence.at("kind"), "repair");
  EXPECT_EQ(find(labels, "line", 1)->evidence.at("fix"), "    total = 0");
  EXPECT_EQ(json::serialize(find(labels, "line", 1)->evidence.at("failing_input")),
            R"({"args":[[1,5],2,8]})");
  bool repaired = false;
  for (const auto& variant : find(labels, "line", 1)->evidence.at("variants").as_array())
    repaired |= variant.at("code") == "    total = 0" && variant.at("kind") == "repair";
  EXPECT_TRUE(repaired);
  EXPECT_EQ(find(labels, "line", 2)->verdict, "neutral");
  EXPECT_EQ(find(labels, "line", 2)->evidence.at("kind"), "unknown");
  EXPECT_EQ(find(labels, "reward")->value, 0);
}

TEST(PrlCoder, SaysNothingOfLinesThatItCannotJudge) {
  const auto broken = labels_of(score_task(), "def score(xs lo, hi):\n    return 1\n");
  EXPECT_EQ(find(broken, "line", 1)->verdict, "neutral");
  EXPECT_EQ(find(broken, "pass")->value, 0);
  EXPECT_EQ(find(broken, "reward"), nullptr);
  json::object bare = score_task();
  bare["gold"].as_object()["tests"] = json::array{};
  const auto untested = labels_of(bare, kScore);
  EXPECT_EQ(find(untested, "pass")->verdict, "no_tests");
  EXPECT_EQ(find(untested, "pass")->value, std::nullopt);
  EXPECT_EQ(find(untested, "line", 1)->verdict, "neutral");
  json::object bad = score_task();
  bad["gold"].as_object()["solution"] = "def score(xs, lo, hi):\n    return 0\n";
  const auto rejected = labels_of(bad, kScore);
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0].verdict, "bad_task");
  EXPECT_THAT(labels_of({{"id", "q"},
                         {"prompt", "f?"},
                         {"gold", {{"answers", {"me"}}, {"tests", {"assert f(1) == 2"}}}}},
                        "x = 1\n"),
              testing::IsEmpty());
  EXPECT_THAT(
      labels_of({{"id", "q"}, {"prompt", "Who?"}, {"gold", {{"answers", {"me"}}}}}, "x = 1\n"),
      testing::IsEmpty());
}

TEST(PrlCoder, LabelsEveryProgramThatATurnRuns) {
  PlainPool pool;
  auto supervisor = make_supervisor({.name = "prlcoder",
                                     .alias = "prlcoder",
                                     .options = {{"source", "tool_calls"}, {"probes", "none"}}},
                                    services(&pool));
  ASSERT_TRUE(supervisor);
  EXPECT_TRUE(supervisor->supervisor->has_on_turn());
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->outcome.status = OutcomeStatus::answered;
  trajectory->task = std::make_shared<const Task>(*read_task(score_task()));
  Turn turn;
  turn.assistant.tool_calls = {{"c0", "search", {{"query", "x"}}},
                               {"c1", "python", {{"code", replaced(kScore, "s += x", "s -= x")}}},
                               {"c2", "python", {{"code", kScore}}}};
  trajectory->turns.push_back(std::make_shared<const Turn>(turn));
  auto opinion = await(supervisor->supervisor->on_turn(trajectory));
  ASSERT_TRUE(opinion) << opinion.error().message;
  int wrong = 0;
  for (const Label& label : opinion->labels)
    if (label.name == "line" && label.verdict == "incorrect") {
      ++wrong;
      EXPECT_EQ(label.tool_call, 1);
      EXPECT_EQ(label.line, 7);
    }
  EXPECT_EQ(wrong, 1);
  EXPECT_DOUBLE_EQ(*find(opinion->labels, "negative_share")->value, 1.0 / 18);
  auto end = await(supervisor->supervisor->on_finished(trajectory));
  ASSERT_TRUE(end);
  ASSERT_EQ(end->labels.size(), 1u);
  EXPECT_EQ(end->labels[0].verdict, "passed");
}

TEST(PrlCoder, NamesATurnByItsPlace) {
  PlainPool pool;
  auto supervisor = make_supervisor({.name = "prlcoder",
                                     .alias = "prlcoder",
                                     .options = {{"operators", "none"}, {"probes", "none"}}},
                                    services(&pool));
  ASSERT_TRUE(supervisor);
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->outcome.status = OutcomeStatus::answered;
  trajectory->task = std::make_shared<const Task>(*read_task(score_task()));
  Turn turn{.index = 3};
  turn.assistant.content = "```python\n" + std::string(kScore) + "```";
  trajectory->turns.push_back(std::make_shared<const Turn>(std::move(turn)));
  auto opinion = await(supervisor->supervisor->on_finished(trajectory));
  ASSERT_TRUE(opinion) << opinion.error().message;
  EXPECT_EQ(find(opinion->labels, "reward")->turn, 0);
  EXPECT_EQ(find(opinion->labels, "line", 0)->turn, 0);
}

TEST(PrlCoder, LabelsALoopThatNeverEndsAsTimeout) {
  json::object task = score_task();
  task["gold"].as_object()["entry_point"] = "f";
  task["gold"].as_object()["solution"] =
      "def f(n):\n    while n > 0:\n        n -= 1\n    return n\n";
  task["gold"].as_object()["tests"] = json::array{json::object{{"args", {3}}, {"expect", 0}}};
  const auto labels = labels_of(task, "def f(n):\n    while n > 0:\n        n += 1\n    return n\n",
                                {{"probes", "none"}});
  EXPECT_EQ(find(labels, "line", 2)->evidence.at("kind"), "timeout");
}

}  // namespace
}  // namespace proctor
