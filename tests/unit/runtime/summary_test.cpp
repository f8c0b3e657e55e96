// What a run's tables say, and which rows a filter keeps.
#include "runtime/summary.h"

#include <gtest/gtest.h>

#include "runtime/filter.h"
#include "runtime/store_columns.h"

namespace proctor {
namespace {

TrajectoryRow row(const std::string& task, int sample, const std::string& status,
                  std::optional<double> reward, std::optional<bool> correct) {
  TrajectoryRow made;
  made.id = task + "-" + std::to_string(sample);
  made.task_id = made.group_id = task;
  made.suite = "qa";
  made.sample = sample;
  made.status = status;
  made.reward = reward;
  made.correct = correct;
  made.turns = 2;
  return made;
}

TEST(Summary, AddsUpPerSuite) {
  auto failed = row("b", 0, "error", std::nullopt, std::nullopt);
  failed.failure = "the server is gone";
  failed.cost = 0.25;
  failed.turns = 11;
  auto ungraded = row("c", 0, "answered", std::nullopt, std::nullopt);
  ungraded.failure = kNotGraded + "the sandbox is gone";
  ungraded.cost = 0.5;
  const Summary summary = summary_of(
      {row("a", 0, "answered", 1, true), row("a", 1, "answered", 0, false), failed, ungraded}, {});
  const auto& suites = summary.suites;
  ASSERT_EQ(suites.size(), 1u);
  EXPECT_EQ(suites[0].tasks, 3);
  EXPECT_EQ(suites[0].rollouts, 4);
  EXPECT_EQ(suites[0].answered, 3);
  EXPECT_EQ(suites[0].played, 3) << "an error of ours is no rollout that was not answered";
  EXPECT_EQ(suites[0].turns, 17);
  EXPECT_EQ(suites[0].mean_turns(), 2) << "nor is it a long or a short one";
  EXPECT_EQ(to_json(summary).at("suites").at(0).at("mean_turns"), 2.0);
  EXPECT_EQ(suites[0].graded, 2);
  EXPECT_EQ(suites[0].correct, 1);
  EXPECT_EQ(suites[0].errors, 2);
  EXPECT_EQ(suites[0].reward, 0.5);
  EXPECT_EQ(suites[0].cost, 0.75);
  EXPECT_EQ(summary.rollouts(), 4);
  EXPECT_EQ(summary.errors(), 2);
  EXPECT_EQ(summary.ended_in_error(), 1);
  EXPECT_EQ(summary.failures,
            (std::map<std::string, std::int64_t>{{"the server is gone", 1},
                                                 {"not graded: the sandbox is gone", 1}}));
  EXPECT_FALSE(suites[0].reward_interval) << "one rewarded task says nothing of others";
}

TEST(Summary, SaysWhySupervisionsFailedBesideRollouts) {
  auto failed = row("a", 0, "error", std::nullopt, std::nullopt);
  failed.failure = "the server is gone";
  const Summary summary = summary_of(
      {failed}, {LabelTotal{.supervisor = "proctor", .reasons = {{"judge failed: x", 2}}},
                 LabelTotal{.supervisor = "igpo"}});
  EXPECT_EQ(json::serialize(to_json(summary).at("failures")),
            R"({"judge failed: x":2,"the server is gone":1})");
  EXPECT_FALSE(summary_of({failed}, {}).suites[0].mean_turns());
}

TEST(Summary, NamesTheMostFrequentReasonsAndNotAllOfThem) {
  Summary summary;
  for (int i = 0; i < 5000; ++i) summary.failures["port " + std::to_string(i)] = 1;
  summary.failures["the server is gone"] = 7;
  const auto failures = to_json(summary).at("failures").as_object();
  EXPECT_EQ(failures.size(), 100U);
  EXPECT_EQ(failures.begin()->key(), "the server is gone");
}

TEST(Summary, CallsAJudgesLostVotesNoFailures) {
  const Summary summary =
      summary_of({}, {LabelTotal{.supervisor = "judge", .name = "score", .count = 5, .failed = 2}});
  EXPECT_EQ(to_json(summary).at("supervisors").at(0).at("lost_votes"), 2);
  EXPECT_EQ(summary.failed_supervisions(), 0);
}

TEST(Summary, KnowsWhetherThereWasATurnToJudge) {
  auto failed = row("a", 0, "error", std::nullopt, std::nullopt);
  failed.turns = 0;
  auto other = failed;
  other.suite = "math";
  other.turns = 1;
  EXPECT_FALSE(summary_of({failed}, {}).has_turns_of({}));
  const Summary both = summary_of({failed, other}, {});
  EXPECT_TRUE(both.has_turns_of({}));
  EXPECT_TRUE(both.has_turns_of({"qa", "math"}));
  EXPECT_FALSE(both.has_turns_of({"qa"}));
}

TEST(Summary, BootstrapsTheMeanOverTasks) {
  std::vector<std::pair<double, std::int64_t>> tasks;
  for (int i = 0; i < 100; ++i) tasks.emplace_back(i % 2 == 0 ? 4 : 0, 4);
  const auto interval = bootstrap_mean(tasks);
  ASSERT_TRUE(interval);
  // 100 tasks of mean 0.5 and deviation 0.5: the mean's standard error is 0.05.
  EXPECT_NEAR(interval->low, 0.402, 0.02);
  EXPECT_NEAR(interval->high, 0.598, 0.02);
  EXPECT_EQ(bootstrap_mean(tasks)->low, interval->low) << "the same each time";
  EXPECT_FALSE(bootstrap_mean({{1, 1}}));
}

bool keeps(const std::vector<std::string>& conditions, const TrajectoryRow& given) {
  auto filter = RowFilter::parse(conditions);
  EXPECT_TRUE(filter) << filter.error().message;
  return filter->fits(given);
}

TEST(RowFilter, KeepsWhatFitsEveryCondition) {
  const auto good = row("a", 1, "answered", 0.5, true);
  const auto failed = row("b", 0, "error", std::nullopt, std::nullopt);
  EXPECT_TRUE(keeps({}, good));
  EXPECT_TRUE(keeps({"status=answered", "reward>=0.5", "sample<2", "correct=true"}, good));
  EXPECT_FALSE(keeps({"status=answered", "reward>0.5"}, good));
  EXPECT_FALSE(keeps({"reward<1"}, failed)) << "no reward is not a small one";
  EXPECT_TRUE(keeps({"reward!=1"}, failed));
  EXPECT_TRUE(keeps({"correct=null,reward=null"}, failed));
  EXPECT_FALSE(keeps({"reward=null"}, good));
  EXPECT_FALSE(keeps({"task!=b"}, failed));
}

TEST(RowFilter, TakesPatternsAndCommasAsTasksDo) {
  auto given = row("foldoc-1", 1, "answered", 0.5, true);
  EXPECT_TRUE(keeps({"task=foldoc-*,status=answered", "turns!=9"}, given));
  EXPECT_FALSE(keeps({"task=foldoc-*,status=error"}, given));
  EXPECT_TRUE(keeps({"id=foldoc-*"}, given)) << "a task's id, as `run` takes it";
  EXPECT_TRUE(keeps({"status=answ*"}, given));
  given.task_id = "a,b[1]";
  EXPECT_TRUE(keeps({"task=a\\,b[1]"}, given)) << "a backslash before a comma";
}

TEST(TaskFilter, SpeaksAsTheFilterOfTrajectoriesDoes) {
  const auto task = [](const std::string& id, json::object metadata) {
    Task made;
    made.id = id;
    made.prompt = "x";
    made.metadata = std::move(metadata);
    return std::make_shared<const Task>(std::move(made));
  };
  const std::vector<TaskRef> tasks{task("a-1", {{"hops", 1}, {"p", 0.5}}),
                                   task("a-2", {{"hops", 2}, {"none", nullptr}}),
                                   task("b", {{"hops", 10}})};
  const auto kept = [&](const std::string& text) {
    auto found = filter_tasks(tasks, text);
    if (!found) return found.error().message;
    std::string ids;
    for (const auto& each : *found) ids += each->id + " ";
    return ids;
  };
  EXPECT_EQ(kept("id=a-*,metadata.hops!=2"), "a-1 ");
  EXPECT_EQ(kept("metadata.hops>=2"), "a-2 b ");
  EXPECT_EQ(kept("metadata.hops=1*"), "a-1 b ");
  EXPECT_EQ(kept("metadata.p=0.50"), "a-1 ");
  EXPECT_EQ(kept("metadata.p<1"), "a-1 ") << "no value is not a small one";
  EXPECT_EQ(kept("metadata.p=0.*"), "a-1 ") << "as trajectories write numbers";
  EXPECT_EQ(kept("metadata.p="), "a-2 b ") << "those that have none";
  EXPECT_EQ(kept("metadata.none=x"), "") << "a field that is null in all of them takes any text";
  EXPECT_EQ(kept("id=a\\"), "--filter 'id=a\\': ends in a backslash, which has nothing to escape");
  EXPECT_EQ(kept("task=b,suite=tasks"), "b ");
  EXPECT_EQ(kept("metadata.hosp=1"),
            "--filter 'metadata.hosp=1': unknown field 'metadata.hosp': did you mean "
            "'metadata.hops'?");
  EXPECT_EQ(kept("metadata.hops>two"), "--filter 'metadata.hops>two': 'two' is no number");
  EXPECT_EQ(kept("id<b"), "--filter 'id<b': 'id' takes = and != only");
  EXPECT_EQ(kept("suite"), "--filter 'suite': expected FIELD=VALUE, or !=, <, <=, >, >=");
}

TEST(RowFilter, CallsTheSuiteOfTasksWithoutOneAsTheTableDoes) {
  auto given = row("a", 1, "answered", 0.5, true);
  given.suite = "";
  EXPECT_EQ(summary_of({given}, {}).suites.at(0).suite, "tasks");
  EXPECT_TRUE(keeps({"suite=tasks"}, given));
  EXPECT_TRUE(keeps({"suite="}, given));
  EXPECT_FALSE(keeps({"suite!=tasks"}, given));
}

TEST(RowFilter, SaysWhatIsWrongWithACondition) {
  const auto message = [](const std::string& text) {
    auto filter = RowFilter::parse({text});
    return filter ? "fine" : filter.error().message;
  };
  EXPECT_EQ(message("answered"), "--filter 'answered': expected FIELD=VALUE, or !=, <, <=, >, >=");
  for (const char* word : {"much", "nan", "inf", "0x1"})
    EXPECT_EQ(message(std::string("reward=") + word),
              std::string("--filter 'reward=") + word + "': '" + word + "' is no number");
  EXPECT_EQ(message("reward<null"), "--filter 'reward<null': 'null' is no number");
  EXPECT_EQ(message("status<answered"), "--filter 'status<answered': 'status' takes = and != only");
  EXPECT_EQ(message("status=answred"),
            "--filter 'status=answred': 'status' is never 'answred': did you mean 'answered'?");
  EXPECT_EQ(message("correct!=yes"),
            "--filter 'correct!=yes': 'correct' is never 'yes': known are true, false, null");
  for (const char* word : {"unfinished", "answered", "max_turns", "max_tokens", "context_full",
                           "stopped", "error", "cancelled"})
    EXPECT_EQ(message("status=" + std::string(word)), "fine");
  EXPECT_EQ(message("statsu=error").find("--filter 'statsu=error': unknown field 'statsu'"), 0u);
}

TEST(Summary, ShareOfSamplesGoesByTasks) {
  // Every task once: Wilson's, as of independent tries.
  TaskSums once;
  for (int i = 0; i < 100; ++i) once.emplace_back(i % 2, 1);
  EXPECT_NEAR(share_interval(once)->low, 0.4038, 1e-4);
  EXPECT_NEAR(share_interval(once)->high, 0.5962, 1e-4);
  // Two tasks of a hundred samples, one always right: of a third nothing is known.
  const auto two = share_interval({{100, 100}, {0, 100}});
  ASSERT_TRUE(two);
  EXPECT_EQ(two->low, 0);
  EXPECT_EQ(two->high, 1);
  // All alike, the bootstrap draws nothing else: three right tasks are no certainty.
  const auto all = share_interval({{4, 4}, {4, 4}, {4, 4}});
  ASSERT_TRUE(all);
  EXPECT_NEAR(all->low, 0.4385, 1e-4);
  EXPECT_EQ(all->high, 1);
  EXPECT_FALSE(share_interval({{2, 4}})) << "one task says nothing of others";
  EXPECT_FALSE(share_interval({}));
}

TEST(Summary, TheIntervalOfCorrectGoesByTasks) {
  std::vector<TrajectoryRow> rows;
  for (const char* task : {"a", "b"})
    for (int sample = 0; sample < 100; ++sample)
      rows.push_back(row(task, sample, "answered", std::nullopt, task[0] == 'a'));
  const Summary summary = summary_of(rows, {});
  const auto interval = summary.suites[0].correct_interval;
  ASSERT_TRUE(interval);
  EXPECT_EQ(interval->low, 0);
  EXPECT_EQ(interval->high, 1);
  EXPECT_EQ(to_json(summary).at("suites").at(0).at("correct_interval"), (json::array{0.0, 1.0}));
}

TEST(Summary, ARowSaysWhatItsRecordDoes) {
  Turn turn;
  turn.assistant.parse_error = "no tag";
  turn.assistant.tool_calls.resize(2);
  turn.observations.resize(3);
  turn.observations[0].tool_call_id = "1";
  turn.observations[0].status = ObservationStatus::error;
  turn.observations[1].tool_call_id = "2";
  turn.observations[2].status = ObservationStatus::error;  // of no call: a remark of ours
  Trajectory whole;
  whole.id = "r-a-0";
  whole.task_id = "a";
  whole.turns = {std::make_shared<const Turn>(turn), std::make_shared<const Turn>(turn)};
  whole.extra["usage"] = {{"prompt_tokens", 7}, {"completion_tokens", 5}, {"cost", 0.5}};
  whole.outcome.status = OutcomeStatus::answered;
  whole.outcome.metrics["checker_error"] = "gone";
  const TrajectoryRow row = row_of(whole);
  EXPECT_EQ(row.turns, 2);
  EXPECT_EQ(row.parse_errors, 2);
  EXPECT_EQ(row.tool_calls, 4);
  EXPECT_EQ(row.tool_errors, 2);
  EXPECT_EQ(row.prompt_tokens, 7);
  EXPECT_EQ(row.completion_tokens, 5);
  EXPECT_EQ(row.cost, 0.5);
  EXPECT_EQ(row.failure, "not graded: gone");
  whole.outcome.status = OutcomeStatus::error;
  EXPECT_EQ(row_of(whole).failure, "no reason was recorded");
}

TEST(Summary, PlacesHaveNoMean) {
  LabelTotal values{.name = "step", .valued = 2, .total = 1};
  EXPECT_EQ(mean_of(values), 0.5);
  for (const auto* place : {"first_error", "winner"}) {
    values.name = place;
    EXPECT_FALSE(mean_of(values)) << place;
  }
}

TEST(RowFilter, KnowsWhenItAsksForAGrade) {
  EXPECT_TRUE(RowFilter::parse({"status!=error", "correct!=true"})->asks_for_grade());
  EXPECT_TRUE(RowFilter::parse({"reward<1"})->asks_for_grade());
  EXPECT_FALSE(RowFilter::parse({"turns>=1"})->asks_for_grade());
}

}  // namespace
}  // namespace proctor
