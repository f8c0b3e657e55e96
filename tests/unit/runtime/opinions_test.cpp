#include "runtime/opinions.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "tests/support/await.h"

namespace proctor {
namespace {

// Does in on_turn and on_finished what it is told to.
class Puppet final : public Supervisor {
 public:
  using Play = std::function<Async<Result<Opinion>>(TrajectoryRef)>;
  explicit Puppet(Play play) : play_(std::move(play)) {}
  bool has_on_turn() const override { return true; }
  bool has_on_finished() const override { return true; }
  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override { return play_(so_far); }
  Async<Result<Opinion>> on_finished(TrajectoryRef whole) override { return play_(whole); }

 private:
  Play play_;
};

class Patient final : public Supervisor {
 public:
  bool has_on_finished() const override { return true; }
  int patience() const override { return 100; }
  Async<Result<Opinion>> on_finished(TrajectoryRef) override {
    co_await sleep_for(100ms);
    co_return Opinion{};
  }
};

SupervisorInstance puppet(Puppet::Play play) {
  return {"puppet", "alias", std::make_shared<Puppet>(std::move(play))};
}

// Says of the first turn of each member what it is told to.
class OfGroups final : public Supervisor {
 public:
  bool has_on_group() const override { return true; }
  Async<Result<std::vector<MemberOpinion>>> on_group(Group group) override {
    std::vector<MemberOpinion> opinions(group.size());
    for (auto& opinion : opinions)
      opinion.labels.push_back({.name = "advantage", .turn = 0, .value = value});
    co_return opinions;
  }
  std::optional<double> value;
};

TrajectoryRef two_turns() {
  Trajectory trajectory;
  trajectory.id = "t";
  for (int i = 0; i < 2; ++i) {
    Turn turn{.index = i};
    trajectory.turns.push_back(std::make_shared<const Turn>(turn));
  }
  return std::make_shared<const Trajectory>(std::move(trajectory));
}

Async<Result<Opinion>> say(Label label) {
  Opinion opinion;
  opinion.decision = Decision::stop;
  opinion.labels.push_back(std::move(label));
  co_return opinion;
}
Async<Result<Opinion>> blow_up(TrajectoryRef) {
  throw std::runtime_error("boom");
  co_return Opinion{};
}
Async<Result<Opinion>> sleep_long(TrajectoryRef) {
  co_await sleep_for(10s);
  co_return Opinion{};
}
Async<Result<Opinion>> be_called_off(TrajectoryRef) {
  throw boost::system::system_error(asio::error::operation_aborted);
  co_return Opinion{};
}

SupervisorAnswer ask(Puppet::Play play, Hook hook = Hook::on_turn) {
  return await(ask_supervisor(puppet(std::move(play)), hook, two_turns(), 50ms));
}

TEST(Opinions, CarryTheAliasAndTheTurnThatWasJudged) {
  auto answer = ask([](TrajectoryRef) { return say({.name = "score", .value = 0.5}); });
  ASSERT_FALSE(answer.failure);
  ASSERT_EQ(answer.opinion.labels.size(), 1u);
  EXPECT_EQ(answer.opinion.labels[0].supervisor, "alias");
  EXPECT_EQ(answer.opinion.labels[0].turn, 1);
  EXPECT_EQ(answer.opinion.decision, Decision::stop);
}

TEST(Opinions, MayTakeAsLongAsTheSupervisorHasPatience) {
  const SupervisorInstance patient{"patient", "patient", std::make_shared<Patient>()};
  EXPECT_FALSE(await(ask_supervisor(patient, Hook::on_finished, two_turns(), 20ms)).failure);
}

TEST(Opinions, AreAFailureAndNoDecisionWhenALabelIsBad) {
  const Label bad[] = {
      {.name = "score", .value = std::numeric_limits<double>::quiet_NaN()},
      {.name = "score", .value = std::numeric_limits<double>::infinity()},
      {.name = "", .value = 1.0},
      {.name = "score", .turn = 2, .value = 1.0},
      {.name = "score", .turn = -1, .value = 1.0},
      {.name = "score", .level = LabelLevel::step, .value = 1.0},
      {.name = "score", .tool_call = 0, .value = 1.0},
      {.name = "score", .value = 1.0, .verdict = "not one word"},
      {.name = "score", .token = std::pair{0, 1}, .value = 1.0},
      {.name = "score", .value = 1.0, .rationale = "cut within a character: \xC3"},
      {.name = "score", .value = 1.0, .evidence = {{"seen", {"\xE2\x82"}}}},
  };
  for (const Label& label : bad) {
    auto answer = ask([label](TrajectoryRef) { return say(label); });
    ASSERT_TRUE(answer.failure) << json::serialize(to_json(label));
    EXPECT_EQ(answer.opinion.decision, Decision::proceed);
    ASSERT_EQ(answer.opinion.labels.size(), 1u);
    EXPECT_TRUE(is_failed_supervision(answer.opinion.labels[0], "alias"));
    EXPECT_FALSE(answer.opinion.labels[0].value);
  }
}

TEST(Opinions, TurnExceptionsIntoFailures) {
  auto answer = ask(blow_up);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failure->message, "alias on_turn: boom");
  EXPECT_EQ(answer.opinion.labels[0].turn, 1);
}

TEST(Opinions, EndAtTheDeadline) {
  auto answer = ask(sleep_long, Hook::on_finished);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failure->kind, ErrorKind::timeout);
  EXPECT_EQ(answer.opinion.labels[0].level, LabelLevel::trajectory);
  EXPECT_EQ(answer.opinion.labels[0].verdict, "timeout");
}

TEST(Opinions, LetCancellationPass) {
  EXPECT_THROW(ask(be_called_off), boost::system::system_error);
}

TEST(Opinions, ReplaceWhatTheSameSupervisorSaidBefore) {
  Trajectory trajectory = *two_turns();
  trajectory.labels.push_back({.supervisor = "alias", .name = "score", .turn = 0, .value = 0.25});
  trajectory.labels.push_back({.supervisor = "other", .name = "score", .turn = 0, .value = 0.75});
  trajectory.labels.push_back(failed_supervision("alias", Hook::on_turn, 1, internal_error("why")));
  summarise_scores(trajectory);
  EXPECT_EQ(trajectory.turns[0]->scores.at("alias.score"), 0.25);
  withdraw(trajectory, "alias");
  ASSERT_EQ(trajectory.labels.size(), 1u);
  EXPECT_EQ(trajectory.labels[0].supervisor, "other");
  EXPECT_FALSE(trajectory.turns[0]->scores.contains("alias.score"));
  EXPECT_EQ(trajectory.turns[0]->scores.at("other.score"), 0.75);
}

TEST(Opinions, OfAGroupLeaveNoScoreOfAnEarlierLook) {
  auto supervisor = std::make_shared<OfGroups>();
  const SupervisorInstance instance{"groups", "alias", supervisor};
  std::vector<Trajectory> members{*two_turns()};
  members[0].outcome.status = OutcomeStatus::answered;
  supervisor->value = 0.5;
  EXPECT_FALSE(await(label_group_with(instance, &members, 1s)).failure);
  EXPECT_EQ(members[0].turns[0]->scores.at("alias.advantage"), 0.5);
  supervisor->value.reset();
  EXPECT_FALSE(await(label_group_with(instance, &members, 1s)).failure);
  EXPECT_EQ(members[0].labels.size(), 1u);
  EXPECT_TRUE(members[0].turns[0]->scores.empty());
}

TEST(Opinions, SummariseStepsByTheirMean) {
  Trajectory trajectory = *two_turns();
  for (int step = 0; step < 2; ++step) {
    Label label{.supervisor = "s", .name = "v", .level = LabelLevel::step};
    label.turn = 1;
    label.step = step;
    label.value = step;
    trajectory.labels.push_back(label);
  }
  summarise_scores(trajectory);
  EXPECT_EQ(trajectory.turns[1]->scores.at("s.v"), 0.5);
  EXPECT_TRUE(trajectory.turns[0]->scores.empty());
}

}  // namespace
}  // namespace proctor
