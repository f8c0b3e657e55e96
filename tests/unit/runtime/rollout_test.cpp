// The loop: budgets, broken markup, tools, supervision beside the rollout, resumption.
#include "runtime/rollout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "runtime/opinions.h"
#include "runtime/store_columns.h"
#include "runtime/summary.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

using Steady = std::chrono::steady_clock;

// Says one line a turn, the last one again and again; reports byte-wise token ids when asked to.
class Lines final : public Model {
 public:
  explicit Lines(std::vector<std::string> lines, Milliseconds delay = 0ms)
      : lines_(std::move(lines)), delay_(delay) {}
  std::string name() const override { return "lines"; }
  std::string backend() const override { return "script"; }
  Async<Result<Capabilities>> capabilities() override {
    Capabilities can;
    can.score = true;
    co_return can;
  }
  Async<Result<Generation>> generate(GenerateRequest request) override {
    const auto turn = static_cast<std::size_t>(request.asker.turn);
    prompts.push_back(request.messages);
    asked.push_back(request.sampling);
    const auto candidate = static_cast<std::size_t>(request.asker.candidate);
    ++started;
    if (has_place && request.taken_up) request.taken_up->mark();
    co_await sleep_for(request.asker.candidate >= hanging_from ? 60s : delay_);
    ++finished;
    if (failure && request.asker.candidate >= failing_from) co_return *failure;
    Generation generation;
    generation.content =
        candidate > 0 ? others.at(candidate - 1) : lines_[std::min(turn, lines_.size() - 1)];
    generation.finish_reason = "stop";
    generation.tokens = tokens;
    generation.completion_tokens = tokens ? 0 : 10;
    generation.prompt_tokens = tokens ? 0 : 100;
    generation.queued_ms = queued_ms;
    co_return generation;
  }
  Async<Result<Score>> score(ScoreRequest request) override {
    scored.push_back(request.messages);
    co_return Score{.logprobs = {-1}};
  }
  std::optional<std::string> trouble() const override { return failing; }
  int started = 0, finished = 0;
  bool has_place = true;
  double queued_ms = 0;
  std::optional<TurnTokens> tokens;  // then nothing is counted
  std::optional<Error> failure;
  int failing_from = 0, hanging_from = 1000;  // candidates
  std::vector<std::string> others;            // what candidates after the first say
  std::vector<Sampling> asked;
  std::optional<std::string> failing;
  std::vector<std::vector<Message>> prompts, scored;

 private:
  std::vector<std::string> lines_;
  Milliseconds delay_;
};

class Counter final : public Tool {
 public:
  Counter(bool stateful, Milliseconds delay) : stateful_(stateful), delay_(delay) {}
  ToolDefinition definition() const override {
    return {.name = "count",
            .description = "counts",
            .parameters = {{"type", "object"},
                           {"properties", {{"by", {{"type", "integer"}}}}},
                           {"required", {"by"}}}};
  }
  bool stateful() const override { return stateful_; }
  Async<Result<Observation>> call(ToolCall call, std::shared_ptr<ToolContext> context) override {
    ++calls;
    co_await sleep_for(delay_);
    int sum = static_cast<int>(call.arguments.at("by").as_int64());
    if (auto& state = (*context->state)["count"]; state.has_value())
      sum += std::any_cast<int>(state);
    (*context->state)["count"] = sum;
    Observation observation;
    observation.content = std::to_string(sum);
    co_return observation;
  }
  int calls = 0;

 private:
  bool stateful_;
  Milliseconds delay_;
};

class Watcher final : public Supervisor {
 public:
  Watcher(Milliseconds delay, int stop_at) : delay_(delay), stop_at_(stop_at) {}
  bool has_on_turn() const override { return true; }
  bool decides() const override { return stop_at_ >= 0; }
  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override {
    const int turn = so_far->turns.back()->index;
    ++asked;
    co_await sleep_for(delay_);
    if (broken) throw std::runtime_error("watcher fell asleep");
    Opinion opinion;
    opinion.labels.push_back(
        {.name = "seen", .level = LabelLevel::turn, .value = static_cast<double>(turn)});
    if (turn == stop_at_) {
      opinion.decision = Decision::stop;
      opinion.reason = "seen enough";
    }
    co_return opinion;
  }
  int asked = 0;
  bool broken = false;

 private:
  Milliseconds delay_;
  int stop_at_;
};

const std::string kCall = R"(<tool_call>{"name": "count", "arguments": {"by": 2}}</tool_call>)";

class RolloutTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() /
                 ("rollout-test-" + std::to_string(::getpid()) + "-" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    config_.name = "run";
    config_.sampling.max_tokens = 100;
    auto store = Store::create(directory_, json::object{{"seed", 1}});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    auto format = make_format("hermes");
    ASSERT_TRUE(format) << format.error().message;
    services_.config = &config_;
    services_.format = std::move(*format);
    services_.store = store_.get();
    services_.clock = &clock_;
    services_.counters = &counters_;
    config_.models["policy"] = {};
    auto task = std::make_shared<Task>();
    task->id = "t";
    task->prompt = "count";
    task_ = task;
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::shared_ptr<Lines> says(std::vector<std::string> lines, Milliseconds delay = 0ms) {
    auto model = std::make_shared<Lines>(std::move(lines), delay);
    services_.policy = model;
    return model;
  }
  std::shared_ptr<Counter> with_tool(bool stateful, Milliseconds delay = 0ms) {
    auto tool = std::make_shared<Counter>(stateful, delay);
    services_.tools["count"] = tool;
    return tool;
  }
  std::shared_ptr<Watcher> watched(Milliseconds delay, int stop_at = -1) {
    auto watcher = std::make_shared<Watcher>(delay, stop_at);
    services_.supervisors.push_back({"watcher", "watcher", watcher});
    return watcher;
  }
  Trajectory play() { return play(RolloutPlan{.task = task_}); }
  Trajectory play(const Trajectory& so_far) {
    return play(RolloutPlan{.task = task_, .so_far = std::make_unique<Trajectory>(so_far)});
  }
  Trajectory play(RolloutPlan plan) {
    auto played = await(roll_out(&services_, std::move(plan)));
    EXPECT_TRUE(played) << (played ? "" : played.error().message);
    return played ? **played : Trajectory{};
  }

  std::filesystem::path directory_;
  RunConfig config_;
  Clock clock_;
  RunCounters counters_;
  std::unique_ptr<Store> store_;
  RolloutServices services_;
  TaskRef task_;
};

TEST_F(RolloutTest, PlaysToolTurnsUntilTheAnswer) {
  with_tool(true);
  auto model = says({kCall, kCall, "<answer>4</answer>"});
  const Trajectory played = play();
  EXPECT_EQ(played.id, "run-t-0");
  EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
  EXPECT_EQ(played.outcome.answer, "4");
  ASSERT_EQ(played.turns.size(), 3u);
  EXPECT_EQ(played.turns[1]->observations[0].content, "4");
  EXPECT_EQ(played.turns[1]->observations[0].tool_call_id, "c0");
  auto stored = store_->read("run-t-0");
  ASSERT_TRUE(stored && *stored);
  EXPECT_EQ((**stored).turns.size(), 3u);
  EXPECT_TRUE(store_->unfinished()->empty());
}

TEST_F(RolloutTest, CandidatesAreSampledSideBySideAndTheFirstIsExecuted) {
  auto tool = with_tool(false);
  auto model = says({kCall, "<answer>2</answer>"}, 200ms);
  model->others = {"<answer>5</answer>", "<tool_call>{"};
  config_.candidates = 3;
  config_.limits.tokens = 150;
  const auto started = Steady::now();
  const Trajectory played = play();
  EXPECT_LT(Steady::now() - started, 800ms) << "two turns of three";
  EXPECT_EQ(played.outcome.answer, "2");
  EXPECT_EQ(tool->calls, 1);
  ASSERT_EQ(played.turns.size(), 2u);
  const Turn& turn = *played.turns[0];
  ASSERT_TRUE(turn.candidates);
  ASSERT_EQ(turn.candidates->size(), 3u);
  EXPECT_EQ(turn.chosen, 0);
  EXPECT_EQ(to_json((*turn.candidates)[0]), to_json(turn.assistant));
  EXPECT_EQ((*turn.candidates)[1].content, "<answer>5</answer>");
  EXPECT_TRUE((*turn.candidates)[2].parse_error);
  EXPECT_EQ(played.extra.at("usage").at("completion_tokens"), 60);
  EXPECT_EQ(played.extra.at("usage").at("wasted_tokens"), 0);
  ASSERT_EQ(model->asked.size(), 6u);
  EXPECT_NE(model->asked[0].seed, model->asked[1].seed);
  EXPECT_EQ(model->asked[1].max_tokens, 50) << "a third of what is left each";

  config_.candidates = 1;
  config_.name = "alone";
  const auto alone = model->asked.size();
  EXPECT_FALSE(play().turns[0]->candidates);
  EXPECT_EQ(model->asked[alone].seed, model->asked[0].seed) << "more of them change nothing";
}

TEST_F(RolloutTest, ATurnHasAllItsCandidatesOrNone) {
  auto model = says({"<answer>2</answer>"});
  model->others = {"<answer>5</answer>"};
  model->failure = unavailable("the server is gone");
  model->failing_from = 1;
  config_.candidates = 2;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::error);
  EXPECT_EQ(played.outcome.error, "the server is gone");
  EXPECT_TRUE(played.turns.empty());
  EXPECT_EQ(played.extra.at("usage").at("wasted_tokens"), 10);
}

TEST_F(RolloutTest, CandidatesThatCameArePaidForWhereASiblingHangs) {
  auto model = says({"<answer>2</answer>"});
  model->others = {"<answer>5</answer>", "never"};
  model->hanging_from = 2;
  config_.candidates = 3;
  config_.limits.wall = 200ms;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::error);
  EXPECT_TRUE(played.turns.empty());
  EXPECT_EQ(played.extra.at("usage").at("completion_tokens"), 20);
  EXPECT_EQ(played.extra.at("usage").at("wasted_tokens"), 20);
}

TEST_F(RolloutTest, TokensAreACapForAllCandidatesTogether) {
  with_tool(false);
  auto model = says({kCall});
  model->others = {"<answer>5</answer>", "<answer>6</answer>"};
  config_.candidates = 3;
  config_.limits.tokens = 32;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::max_tokens) << "two left are not one each";
  EXPECT_EQ(played.turns.size(), 1u);
  EXPECT_EQ(played.extra.at("usage").at("completion_tokens"), 30);
}

TEST_F(RolloutTest, TheModelsTimeIsWithoutItsQueue) {
  auto model = says({"<answer>4</answer>"}, 30ms);
  EXPECT_GE(play().turns[0]->timing.model_ms, 30);
  model->queued_ms = 1e9;
  config_.name = "queued";
  const Timing timing = play().turns[0]->timing;
  EXPECT_EQ(timing.model_ms, 0);
  EXPECT_EQ(timing.extra.at("queued_ms"), 1e9);
}

TEST_F(RolloutTest, EndsAtTheTurnLimit) {
  with_tool(false);
  says({kCall});
  config_.limits.turns = 3;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::max_turns);
  EXPECT_EQ(played.turns.size(), 3u);
}

TEST_F(RolloutTest, EndsAtTheTokenLimit) {
  with_tool(false);
  says({kCall});
  config_.limits.tokens = 15;
  EXPECT_EQ(play().outcome.status, OutcomeStatus::max_tokens);
}

TEST_F(RolloutTest, TokensThatNobodyCountedAreCountedByTheirIds) {
  with_tool(false);
  auto model = says({kCall});
  model->tokens = TurnTokens{.prompt_ids = {1, 2, 3}, .ids = {4, 5}, .logprobs = {-1, -1}};
  config_.limits.tokens = 2;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::max_tokens);
  EXPECT_EQ(played.extra.at("usage").at("prompt_tokens"), 3);
  EXPECT_EQ(played.extra.at("usage").at("completion_tokens"), 2);
}

TEST_F(RolloutTest, ASpentToolBudgetIsAnObservation) {
  auto tool = with_tool(false);
  says({kCall, kCall, "<answer>x</answer>"});
  config_.limits.tool_calls = 1;
  const Trajectory played = play();
  EXPECT_EQ(tool->calls, 1);
  EXPECT_EQ(played.turns[1]->observations[0].status, ObservationStatus::denied);
  EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
}

TEST_F(RolloutTest, BrokenMarkupGetsACorrectiveObservation) {
  with_tool(false);
  auto model = says({"<tool_call>{\"name\": \"count\", ", "<answer>x</answer>"});
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
  ASSERT_TRUE(played.turns[0]->assistant.parse_error);
  ASSERT_EQ(played.turns[0]->observations.size(), 1u);
  EXPECT_EQ(played.turns[0]->observations[0].status, ObservationStatus::error);
  EXPECT_EQ(model->prompts[1].back().role, "user");
}

TEST_F(RolloutTest, UnknownToolsAndBadArgumentsAreAnswered) {
  with_tool(false);
  says({R"(<tool_call>{"name": "cuont", "arguments": {}}</tool_call>)",
        R"(<tool_call>{"name": "count", "arguments": {"by": "two"}}</tool_call>)",
        "<answer>x</answer>"});
  const Trajectory played = play();
  EXPECT_EQ(played.turns[0]->observations[0].content,
            "There is no tool 'cuont'. The tools are: count.");
  EXPECT_EQ(played.turns[1]->observations[0].status, ObservationStatus::error);
}

TEST_F(RolloutTest, AToolThatHangsIsTimedOut) {
  with_tool(false, 1h);
  says({kCall, "<answer>x</answer>"});
  config_.limits.tool = 20ms;
  const Trajectory played = play();
  EXPECT_EQ(played.turns[0]->observations[0].status, ObservationStatus::timeout);
  EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
}

TEST_F(RolloutTest, AFailingModelEndsInErrorAndAFullContextInItsOwnStatus) {
  auto model = says({"x"});
  model->failure = unavailable("the server is gone");
  Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::error);
  EXPECT_EQ(played.outcome.error, "the server is gone");
  model->failure = bad_input("context_full: 9000 tokens do not fit");
  played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::context_full);
}

// Says whether it was asked, and grades all alike.
class Harsh final : public Checker {
 public:
  Async<Result<Grade>> check(TrajectoryRef) override {
    ++asked;
    Grade grade;
    grade.reward = 0;
    grade.correct = false;
    co_return grade;
  }
  int asked = 0;
};

TEST_F(RolloutTest, WhatAFailureOfOursEndedIsCountedAndNotGraded) {
  auto checker = std::make_shared<Harsh>();
  services_.checkers[task_->id] = checker;
  auto model = says({"<answer>x</answer>"});
  std::vector<TrajectoryRow> rows{row_of(play())};
  EXPECT_EQ(checker->asked, 1);
  model->failure = unavailable("the server is gone");
  config_.name = "failed";
  const Trajectory failed = play();
  EXPECT_EQ(checker->asked, 1);
  EXPECT_FALSE(failed.outcome.reward);
  EXPECT_FALSE(failed.outcome.correct);
  rows.push_back(row_of(failed));
  const SuiteTotals totals = summary_of(rows, {}).suites.at(0);
  EXPECT_EQ(totals.rollouts, 2);
  EXPECT_EQ(totals.graded, 1);
  EXPECT_EQ(totals.errors, 1);
  EXPECT_EQ(totals.answered, totals.played) << "of those played, all answered";
}

TEST_F(RolloutTest, WaitingForAPlaceAtTheModelIsNoModelThatHangs) {
  says({"x"}, 1h)->has_place = false;
  config_.limits.wall = 100ms;
  const Trajectory waited = play();
  EXPECT_EQ(waited.outcome.status, OutcomeStatus::stopped);
  EXPECT_THAT(waited.outcome.error.value_or(""),
              testing::MatchesRegex("wall time: 100 ms are spent, [0-9]+ of them waiting "
                                    "for a place at lines .raise its max_in_flight.*"));
}

TEST_F(RolloutTest, AModelThatHangsIsAnErrorHoweverMuchTimeItTakes) {
  says({"x"}, 1h);
  config_.limits.wall = 100ms;
  const Trajectory hung = play();
  EXPECT_EQ(hung.outcome.status, OutcomeStatus::error);
  EXPECT_EQ(hung.outcome.error.value_or("").find("lines: no answer in "), 0u);
  says({"x"}, 1h)->failing = "it answered 500";
  config_.name = "failing";
  EXPECT_TRUE(play().outcome.error.value_or("").ends_with("of wall_ms: 100; it answered 500"));
  // The policy's own calls took the time here.
  with_tool(false, 1h);
  says({kCall});
  config_.name = "slow";
  EXPECT_EQ(play().outcome.status, OutcomeStatus::stopped);
}

// Is there to be called, and fails in its own way.
class Failing final : public Tool {
 public:
  Failing(Error error, bool stateful) : error_(std::move(error)), stateful_(stateful) {}
  ToolDefinition definition() const override { return Counter(false, 0ms).definition(); }
  bool stateful() const override { return stateful_; }
  Async<Result<Observation>> call(ToolCall, std::shared_ptr<ToolContext>) override {
    co_return error_;
  }

 private:
  Error error_;
  bool stateful_;
};

TEST_F(RolloutTest, AFailureOfOursUnderAToolEndsTheRolloutAndIsNoObservation) {
  const auto with = [this](Error error) {
    services_.tools["count"] = std::make_shared<Failing>(std::move(error), false);
    config_.name += '-';  // a trajectory of its own
    return play();
  };
  for (Error error : {internal_error("gone"), unavailable("gone"), missing("gone")}) {
    auto model = says({"<tool_call>{", kCall, "<answer>x</answer>"});
    const Trajectory played = with(std::move(error));
    EXPECT_EQ(played.outcome.status, OutcomeStatus::error);
    EXPECT_EQ(played.outcome.error, "gone");
    EXPECT_EQ(played.turns.size(), 1u) << "the turn whose tool failed is none";
    EXPECT_EQ(model->started, 2);
    EXPECT_EQ(played.extra.at("usage").at("wasted_tokens"), 10);
  }
  says({kCall, "<answer>x</answer>"});
  for (const auto& [error, status] :
       {std::pair{bad_input("too long"), ObservationStatus::error},
        std::pair{Error{ErrorKind::timeout, "too slow"}, ObservationStatus::timeout}}) {
    const Trajectory played = with(error);
    EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
    EXPECT_EQ(played.turns[0]->observations[0].status, status);
    EXPECT_EQ(played.turns[0]->observations[0].content, error.message);
  }
}

TEST_F(RolloutTest, SupervisionRunsBesideTheNextTurn) {
  with_tool(false);
  says({kCall, kCall, kCall, kCall, kCall, "<answer>x</answer>"}, 100ms);
  watched(80ms, 99);  // it may decide, so that turns wait for it
  const auto started = Steady::now();
  const Trajectory played = play();
  const double took = to_ms(Steady::now() - started);
  EXPECT_EQ(played.turns.size(), 6u);
  EXPECT_EQ(played.labels.size(), 6u);
  // 6 x 100 ms and one verdict of 80 ms that nothing can hide; in sequence it would be 1080 ms.
  EXPECT_LT(took, 1000);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(played.labels[static_cast<std::size_t>(i)].turn, i);
    EXPECT_EQ(played.turns[static_cast<std::size_t>(i)]->scores.at("watcher.seen"), i);
  }
}

TEST_F(RolloutTest, AStopCancelsTheSpeculatedTurn) {
  auto tool = with_tool(true);
  auto model = says({kCall}, 400ms);
  watched(10ms, 1);
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::stopped);
  EXPECT_EQ(played.turns.size(), 2u);
  EXPECT_EQ(played.turns[1]->decision, Decision::stop);
  EXPECT_EQ(played.turns[1]->decided_by, "watcher");
  EXPECT_EQ(played.turns[1]->action_extra.at("reason"), "seen enough");
  EXPECT_EQ(tool->calls, 2);
  EXPECT_EQ(model->started, 3);
  EXPECT_EQ(model->finished, 2);  // the third was cancelled
}

TEST_F(RolloutTest, StatefulCallsWaitForTheDecision) {
  auto tool = with_tool(true);
  says({kCall}, 1ms);
  watched(40ms, 1);  // slower than the policy: turn 2 is generated before the verdict on turn 1
  const Trajectory played = play();
  EXPECT_EQ(played.turns.size(), 2u);
  EXPECT_EQ(tool->calls, 2);
}

// Breaks where nobody expects it: not in a hook.
class Faulty final : public Supervisor {
 public:
  bool has_on_turn() const override { return true; }
  bool decides() const override { return true; }
  int patience() const override { throw std::runtime_error("no patience"); }
  Async<Result<Opinion>> on_turn(TrajectoryRef) override { co_return Opinion{}; }
};

TEST_F(RolloutTest, ABugInASupervisorEndsTheRolloutInsteadOfHangingIt) {
  with_tool(true);
  says({kCall, "<answer>x</answer>"});
  services_.supervisors.push_back({"faulty", "faulty", std::make_shared<Faulty>()});
  EXPECT_THROW((void)await(roll_out(&services_, RolloutPlan{.task = task_})), std::runtime_error);
}

TEST_F(RolloutTest, AFailingSupervisorIsARecordAndNothingElse) {
  with_tool(false);
  says({kCall, "<answer>x</answer>"});
  watched(0ms)->broken = true;
  watched(0ms);
  services_.supervisors.back().alias = "other";
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
  int good = 0, failed = 0;
  for (const auto& label : played.labels) {
    good += label.supervisor == "other";
    failed += is_failed_supervision(label, "watcher");
  }
  EXPECT_EQ(failed, 2);
  EXPECT_EQ(good, 2);
}

TEST_F(RolloutTest, ASupervisorOfOtherSuitesIsNotAsked) {
  with_tool(false);
  says({kCall, "<answer>x</answer>"});
  auto watcher = watched(0ms);
  services_.supervisors.back().suites = {"qa"};
  EXPECT_TRUE(play().labels.empty());
  EXPECT_EQ(watcher->asked, 0);
}

TEST_F(RolloutTest, AJournalledRolloutGoesOnAndRebuildsItsSessions) {
  auto tool = with_tool(true);
  auto model = says({kCall, kCall, "<answer>4</answer>"});
  watched(0ms);
  const Trajectory whole = play();
  // The journal as it stood after two turns.
  Trajectory cut = whole;
  cut.turns.resize(2);
  cut.outcome = {};
  cut.labels.clear();
  Trajectory empty = cut;
  empty.turns.clear();
  ASSERT_TRUE(await(store_->begin(std::make_shared<const Trajectory>(empty))));
  for (const auto& turn : cut.turns) ASSERT_TRUE(await(store_->append_turn(cut.id, turn)));
  tool->calls = 0;
  const Trajectory resumed = play(cut);
  EXPECT_EQ(tool->calls, 2);  // replayed, so that the count goes on from 4
  EXPECT_EQ(resumed.turns.size(), 3u);
  EXPECT_EQ(resumed.outcome.answer, "4");
  EXPECT_EQ(resumed.labels.size(), whole.labels.size());
  EXPECT_EQ(resumed.observation.at("replayed_executions").as_int64(), 2);
  EXPECT_EQ(messages_of(resumed), messages_of(whole));

  // Without its session a rollout has nothing to go on with.
  ASSERT_TRUE(await(store_->begin(std::make_shared<const Trajectory>(empty))));
  for (const auto& turn : cut.turns) ASSERT_TRUE(await(store_->append_turn(cut.id, turn)));
  services_.tools["count"] = std::make_shared<Failing>(unavailable("no session"), true);
  const int asked = model->started;
  const Trajectory broken = play(cut);
  EXPECT_EQ(broken.outcome.status, OutcomeStatus::error);
  EXPECT_EQ(broken.outcome.error, "no session");
  EXPECT_EQ(broken.turns.size(), 2u);
  EXPECT_EQ(model->started, asked);
}

TEST_F(RolloutTest, TheTasksOwnSystemMessageLeadsInsteadOfTheSuites) {
  Suite suite;
  suite.prompt = {{.role = "system", .content = "of the suite"},
                  {.role = "user", .content = "example"},
                  {.role = "assistant", .content = "shown"}};
  services_.suites["sums"] = suite;
  auto model = says({"<answer>4</answer>"});
  auto task = std::make_shared<Task>(*task_);
  task->suite = "sums";
  task_ = task;
  play();
  EXPECT_EQ(model->prompts.back()[0].text(), "of the suite");
  config_.system = "of the run";
  task = std::make_shared<Task>(*task_);
  task->id = "second";
  task_ = task;
  play();
  EXPECT_EQ(model->prompts.back()[0].text(), "of the run");
  task = std::make_shared<Task>(*task_);
  task->id = "third";
  task->prompt.reset();
  task->messages = std::vector<Message>{{.role = "system", .content = "of the task"},
                                        {.role = "user", .content = "count"}};
  task_ = task;
  play();
  const auto& prompt = model->prompts.back();
  ASSERT_EQ(prompt.size(), 4u);
  EXPECT_EQ(prompt[0].text(), "of the task");
  EXPECT_EQ(prompt[1].text(), "example");
  EXPECT_EQ(prompt[3].text(), "count");
}

// igpo stands for whoever asks a model about the policy's own context.
TEST_F(RolloutTest, AScorerIsShownWhatThePolicySaw) {
  with_tool(false);
  auto model = says({kCall, kCall, "<answer>4</answer>"});
  auto task = std::make_shared<Task>(*task_);
  task->gold["answers"] = json::array{"4"};
  task->prompt.reset();
  Message example{.role = "assistant"};
  example.tool_calls.push_back({"c0", "count", {{"by", 1}}});
  task->messages = std::vector<Message>{{.role = "user", .content = "count to 1"},
                                        example,
                                        {.role = "tool", .content = "1", .tool_call_id = "c0"},
                                        {.role = "user", .content = "count"}};
  task_ = task;
  Models models;
  models.set("scorer", model);
  SupervisorServices services;
  services.models = &models;
  auto igpo = make_supervisor({.name = "igpo", .alias = "igpo"}, services);
  ASSERT_TRUE(igpo) << igpo.error().message;
  services_.supervisors.push_back(*igpo);
  const Trajectory played = play();
  ASSERT_EQ(model->prompts.size(), 3u);
  EXPECT_EQ(model->scored, model->prompts);
  EXPECT_EQ(played.policy->at("format"), "hermes");
  EXPECT_EQ(played.policy->at("tools").at(0).at("name"), "count");
  // Offline the same comes out of the record.
  auto read = read_trajectory(to_json(played));
  ASSERT_TRUE(read) << read.error().message;
  for (std::size_t turn = 0; turn < 3; ++turn) {
    auto prompt = rendered_prompt(*read, turn);
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_EQ(prompt->messages, model->prompts[turn]);
  }
  json::object old = *read->policy;
  old.erase("format");
  read->policy = std::move(old);
  EXPECT_EQ(rendered_prompt(*read, 1)->messages, messages_of(*read, 1));
}

TEST_F(RolloutTest, ATruncatedContextIsMarked) {
  with_tool(false);
  class Picky final : public Model {
   public:
    std::string name() const override { return "picky"; }
    std::string backend() const override { return "script"; }
    Async<Result<Capabilities>> capabilities() override { co_return Capabilities{}; }
    Async<Result<Generation>> generate(GenerateRequest request) override {
      std::size_t cut = 0;
      for (const auto& message : request.messages)
        cut += message.text().find("[cut:") != std::string::npos;
      if (request.asker.turn == 2 && cut == 0) co_return bad_input("context_full: too long");
      Generation generation;
      generation.content = request.asker.turn == 2 ? "<answer>x</answer>" : kCall;
      generation.finish_reason = "stop";
      co_return generation;
    }
  };
  services_.policy = std::make_shared<Picky>();
  config_.context = ContextPolicy::truncate;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
  EXPECT_TRUE(played.turns[0]->observations[0].extra.contains("cut_before_turn"));
  EXPECT_EQ(messages_of(played, 1).back().text(), "2");
  EXPECT_EQ(messages_of(played, 2)[2].text(), "[cut: 1 characters]");
  EXPECT_FALSE(played.turns[1]->observations[0].extra.contains("cut_before_turn"));
}

// Token ids are bytes; what is seen already is continued, and its context ends at turn 2 unless
// something was cut.
class Continuing final : public Model {
 public:
  std::string name() const override { return "continuing"; }
  std::string backend() const override { return "script"; }
  Async<Result<Capabilities>> capabilities() override { co_return Capabilities{}; }
  static std::string text_of(const std::vector<Message>& messages, std::size_t from) {
    std::string text;
    for (std::size_t i = from; i < messages.size(); ++i)
      text += messages[i].role == "assistant" ? messages[i].text() : "[" + messages[i].text() + "]";
    return text;
  }
  Async<Result<Generation>> generate(GenerateRequest request) override {
    const std::string whole = text_of(request.messages, 0);
    const int turn = request.asker.turn;
    if (turn >= full_from || (turn == 2 && whole.find("[cut:") == std::string::npos))
      co_return bad_input("context_full: ");
    std::string seen(request.seen_ids.begin(), request.seen_ids.end());
    if (!seen.empty()) seen += text_of(request.messages, request.seen_messages);
    continued += seen.empty() ? 0 : 1;
    if (!seen.empty()) {
      EXPECT_EQ(seen, whole) << "turn " << turn;
    }
    prompts.push_back(whole);
    if (turn == hangs) co_await sleep_for(1h);
    Generation generation;
    generation.content = turn == 4 ? "<answer>x</answer>" : kCall;
    generation.finish_reason = "stop";
    if (turn != drops_ids) {
      auto& tokens = generation.tokens.emplace();
      tokens.prompt_ids.assign(whole.begin(), whole.end());
      tokens.ids.assign(generation.content.begin(), generation.content.end());
      tokens.logprobs.assign(tokens.ids.size(), -1.0F);
    }
    co_return generation;
  }
  int drops_ids = -1, hangs = -1, full_from = 100, continued = 0;
  std::vector<std::string> prompts;
};

TEST_F(RolloutTest, IdsGoOnFromTheLastPromptAfterACutOrALostTurn) {
  with_tool(false);
  config_.context = ContextPolicy::truncate;
  for (const int drops_ids : {-1, 3}) {
    auto model = std::make_shared<Continuing>();
    model->drops_ids = drops_ids;
    services_.policy = model;
    config_.name = "run" + std::to_string(drops_ids);
    const Trajectory played = play();
    EXPECT_EQ(played.outcome.status, OutcomeStatus::answered);
    // Turn 1; then, behind the cut of turn 2, turns 3 and 4, of which 4 is lost with turn 3.
    EXPECT_EQ(model->continued, drops_ids == 3 ? 2 : 3);
    EXPECT_FALSE(played.tokens);
    EXPECT_EQ(json::serialize(played.observation.at("tokens_parted")), R"({"turn":2,"token":0})");
  }
}

TEST_F(RolloutTest, ACutLeavesFewShotExamplesAloneAndMarksItsOwnObservation) {
  with_tool(false);
  config_.context = ContextPolicy::truncate;
  auto task = std::make_shared<Task>(*task_);
  Message shown{.role = "assistant", .content = json::string(kCall)};
  shown.tool_calls.push_back({"c0", "count", {{"by", 2}}});
  Message seen{.role = "tool", .content = json::string("example result")};
  seen.tool_call_id = "c0";
  const Message question{.role = "user", .content = json::string("count")};
  task->prompt.reset();
  task->messages = {question, shown, seen, question};
  task_ = task;
  auto model = std::make_shared<Continuing>();
  services_.policy = model;
  const Trajectory played = play();
  EXPECT_NE(model->prompts.back().find("example result"), std::string::npos);
  EXPECT_TRUE(played.turns[0]->observations[0].extra.contains("cut_before_turn"));
  EXPECT_FALSE(played.turns[1]->observations[0].extra.contains("cut_before_turn"));
}

Async<Result<int>> called_off(const RolloutServices* services, TaskRef task) {
  RolloutPlan plan{.task = std::move(task)};
  auto played = co_await roll_out(services, std::move(plan));
  co_return 1;
}

Async<void> cancel_after(const RolloutServices* services, TaskRef task, Milliseconds time) {
  auto work = called_off(services, std::move(task));
  auto result = co_await with_deadline(std::move(work), time, "rollout");
  EXPECT_FALSE(result);
}

// Turns with a cut before, at and behind the point where the process ended.
TEST_F(RolloutTest, AResumedRolloutKeepsWhatWasCut) {
  with_tool(true);
  config_.context = ContextPolicy::truncate;
  const auto without_times = [](const Trajectory& trajectory) {
    auto record = to_json(trajectory);
    record.erase("created");
    if (auto* facts = record.at("observation").if_object()) {
      facts->erase("replayed_executions");
      if (facts->empty()) record["observation"] = nullptr;
    }
    record.at("usage").as_object().erase("wall_ms");
    for (auto& turn : record.at("turns").as_array()) {
      turn.as_object().erase("timing");
      for (auto& seen : turn.at("observations").as_array()) seen.as_object().erase("usage");
    }
    return json::serialize(record);
  };
  const auto new_store = [this] {
    TearDown();
    auto store = Store::create(directory_, json::object{{"seed", 1}});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    services_.store = store_.get();
  };
  const auto policy = [this](int drops_ids) {
    auto model = std::make_shared<Continuing>();
    model->drops_ids = drops_ids;
    services_.policy = model;
    return model;
  };
  for (const int drops_ids : {-1, 1, 3}) {
    new_store();
    auto undisturbed = policy(drops_ids);
    const Trajectory whole = play();
    EXPECT_EQ(whole.turns[0]->observations[0].extra.at("cut_before_turn"), 2);
    for (const int last : {1, 2, 3}) {
      new_store();
      policy(drops_ids)->hangs = last + 1;
      await(cancel_after(&services_, task_, 150ms));
      auto unfinished = store_->unfinished();
      ASSERT_TRUE(unfinished);
      ASSERT_EQ(unfinished->size(), 1u);
      ASSERT_EQ(unfinished->front().turns.size(), static_cast<std::size_t>(last) + 1);
      auto resuming = policy(drops_ids);
      const Trajectory resumed = play(unfinished->front());
      EXPECT_EQ(resuming->prompts.back(), undisturbed->prompts.back()) << last;
      EXPECT_EQ(without_times(resumed), without_times(whole)) << last << ", " << drops_ids;
    }
  }
}

// A turn that was never recorded says nothing of the ids of those that were.
TEST_F(RolloutTest, AContextThatStaysFullLeavesTheRecordedIdsWhole) {
  with_tool(false);
  config_.context = ContextPolicy::truncate;
  auto model = std::make_shared<Continuing>();
  model->full_from = 1;
  services_.policy = model;
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::context_full);
  ASSERT_EQ(played.turns.size(), 1u);
  EXPECT_TRUE(played.tokens);
  EXPECT_FALSE(played.observation.is_object() &&
               played.observation.get_object().contains("tokens_parted"));
}

TEST_F(RolloutTest, ACancelledRolloutLeavesItsJournal) {
  with_tool(false);
  says({kCall}, 15ms);
  watched(5ms);
  config_.limits.turns = 1000;
  await(cancel_after(&services_, task_, 600ms));
  auto unfinished = store_->unfinished();
  ASSERT_TRUE(unfinished);
  ASSERT_EQ(unfinished->size(), 1u);
  EXPECT_GE((*unfinished)[0].turns.size(), 2u);
}

TEST_F(RolloutTest, AResumedRolloutGoesOnWithItsBudgets) {
  auto tool = with_tool(true);
  says({kCall}, 15ms);
  watched(1ms);
  config_.limits.turns = 1000;
  config_.limits.tool_calls = 1000;
  config_.models["policy"].settings = {{"price_in", 0.5}, {"price_out", 1}};
  await(cancel_after(&services_, task_, 600ms));
  auto unfinished = store_->unfinished();
  ASSERT_TRUE(unfinished);
  ASSERT_EQ(unfinished->size(), 1u);
  const int turns = static_cast<int>(unfinished->front().turns.size());
  ASSERT_GE(turns, 2);
  config_.limits.turns = turns + 1;
  config_.limits.tool_calls = turns;
  tool->calls = 0;
  const Trajectory resumed = play(unfinished->front());
  EXPECT_EQ(resumed.outcome.status, OutcomeStatus::max_turns);
  // Replayed although the budget is spent, so that the state is there; the new call is denied.
  EXPECT_EQ(tool->calls, turns);
  ASSERT_EQ(resumed.turns.size(), static_cast<std::size_t>(turns) + 1);
  EXPECT_EQ(resumed.turns.back()->observations[0].status, ObservationStatus::denied);
  const auto& usage = resumed.extra.at("usage").as_object();
  EXPECT_EQ(usage.at("tool_calls").as_int64(), turns);
  EXPECT_EQ(usage.at("prompt_tokens").as_int64(), 100 * (turns + 1));
  EXPECT_EQ(usage.at("completion_tokens").as_int64(), 10 * (turns + 1));
  EXPECT_EQ(usage.at("cost").to_number<double>(), 60 * (turns + 1));
  EXPECT_GE(usage.at("wall_ms").to_number<double>(), 15 * (turns + 1));
  for (const auto& turn : resumed.turns) EXPECT_TRUE(turn->extra.empty());
}

TEST_F(RolloutTest, AStopCancelsTheToolsOfTheSpeculatedTurn) {
  with_tool(false, 1h);
  says({"<tool_call>{", kCall});
  watched(100ms, 0);
  const auto started = Steady::now();
  const Trajectory played = play();
  EXPECT_LT(to_ms(Steady::now() - started), 10000);
  EXPECT_EQ(played.outcome.status, OutcomeStatus::stopped);
  EXPECT_EQ(played.turns.size(), 1u);
  EXPECT_EQ(played.extra.at("usage").at("completion_tokens").as_int64(), 20);
  EXPECT_EQ(played.extra.at("usage").at("wasted_tokens").as_int64(), 10);
}

class Ungrading final : public Checker {
 public:
  explicit Ungrading(Milliseconds delay) : delay_(delay) {}
  Async<Result<Grade>> check(TrajectoryRef) override {
    co_await sleep_for(delay_);
    co_return unavailable("the sandbox is gone");
  }

 private:
  Milliseconds delay_;
};

TEST_F(RolloutTest, AFailingOrHangingCheckerIsAnError) {
  says({"<answer>x</answer>"});
  services_.checkers[task_->id] = std::make_shared<Ungrading>(0ms);
  Trajectory played = play();
  EXPECT_EQ(played.outcome.metrics.at("checker_error").as_string(), "the sandbox is gone");
  EXPECT_EQ(counters_.errors, 1);
  EXPECT_EQ(row_of(played).failure, "not graded: the sandbox is gone");

  config_.limits.wall = 200ms;
  services_.checkers[task_->id] = std::make_shared<Ungrading>(1h);
  played = play();
  EXPECT_EQ(played.outcome.metrics.at("checker_error").as_string(), "checker: no answer in 200 ms");
}

// Waits for a place, as in a full sandbox, and then works.
class Queued final : public Tool {
 public:
  Queued(Milliseconds waits, Milliseconds works) : waits_(waits), works_(works) {}
  ToolDefinition definition() const override {
    return {.name = "count", .description = "", .parameters = {{"type", "object"}}};
  }
  bool executes() const override { return true; }
  Async<Result<Observation>> call(ToolCall, std::shared_ptr<ToolContext> context) override {
    co_await sleep_for(waits_);
    context->started();
    co_await sleep_for(works_);
    Observation observation;
    observation.content = "done";
    co_return observation;
  }

 private:
  Milliseconds waits_, works_;
};

TEST_F(RolloutTest, WaitingForASandboxIsNotAToolsOwnTime) {
  const std::string call = R"(<tool_call>{"name": "count", "arguments": {}}</tool_call>)";
  says({call, "<answer>x</answer>"});
  config_.limits.tool = 150ms;
  services_.tools["count"] = std::make_shared<Queued>(400ms, 1ms);
  Observation seen = play().turns[0]->observations[0];
  EXPECT_EQ(seen.content, "done");
  EXPECT_GE(seen.usage.extra.at("queued_ms").as_int64(), 400);
  services_.tools["count"] = std::make_shared<Queued>(10ms, 1h);
  seen = play().turns[0]->observations[0];
  EXPECT_EQ(seen.status, ObservationStatus::timeout);
  EXPECT_EQ(seen.content, "count: no answer in 150 ms");
  // Waiting is bounded too: by what is left of the rollout.
  config_.limits.wall = 300ms;
  services_.tools["count"] = std::make_shared<Queued>(1h, 1ms);
  const Trajectory played = play();
  EXPECT_EQ(played.turns[0]->observations[0].status, ObservationStatus::timeout);
  EXPECT_EQ(played.outcome.status, OutcomeStatus::stopped);
}

TEST_F(RolloutTest, FreeTextIsCountedInTheEmbeddedModelOnlyUnlessAsked) {
  class Constrained final : public Model {
   public:
    explicit Constrained(std::string backend) : backend_(std::move(backend)) {}
    std::string name() const override { return "constrained"; }
    std::string backend() const override { return backend_; }
    Async<Result<Capabilities>> capabilities() override {
      Capabilities can;
      can.grammar = true;
      co_return can;
    }
    Async<Result<Generation>> generate(GenerateRequest request) override {
      grammar = request.grammar;
      Generation generation;
      generation.content = "<answer>x</answer>";
      generation.finish_reason = "stop";
      co_return generation;
    }
    std::string grammar;

   private:
    std::string backend_;
  };
  config_.grammar = GrammarPolicy::on;
  const auto counts = [this](const std::string& backend, const std::string& times) {
    const auto model = std::make_shared<Constrained>(backend);
    services_.policy = model;
    services_.capabilities.grammar = true;
    config_.name += '-';  // a trajectory of its own
    play();
    EXPECT_FALSE(model->grammar.empty());
    return model->grammar.find(times) != std::string::npos;
  };
  EXPECT_TRUE(counts("llama", "{0,599}"));
  EXPECT_FALSE(counts("openai", "{0,599}"));
  config_.grammar_chars = 300;
  EXPECT_TRUE(counts("openai", "{0,299}"));
}

TEST_F(RolloutTest, ALogProbabilityThatIsNoNumberIsAnError) {
  class Broken final : public Model {
   public:
    std::string name() const override { return "broken"; }
    std::string backend() const override { return "script"; }
    Async<Result<Capabilities>> capabilities() override { co_return Capabilities{}; }
    Async<Result<Generation>> generate(GenerateRequest) override {
      Generation generation;
      generation.content = "<answer>x</answer>";
      generation.tokens = TurnTokens{.prompt_ids = {1}, .ids = {2}, .logprobs = {-INFINITY}};
      co_return generation;
    }
  };
  services_.policy = std::make_shared<Broken>();
  const Trajectory played = play();
  EXPECT_EQ(played.outcome.status, OutcomeStatus::error);
  EXPECT_NE(played.outcome.error->find("log-probability"), std::string::npos);
}

}  // namespace
}  // namespace proctor
