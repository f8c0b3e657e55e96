// The numbers are those of the mechanism's worked example.
#include <cmath>
#include <limits>

#include "supervisors/grading.h"
#include "supervisors/group.h"
#include "tests/support/supervision.h"

namespace proctor {
namespace {

// Log-probabilities of "Alan Turing" by the last thing the prompt shows.
Result<Score> score_of(const ScoreRequest& request) {
  EXPECT_EQ(request.continuation, "Alan Turing");
  const std::string seen = request.messages.back().text();
  Score score;
  if (seen == "r1 first")
    score.logprobs = {-1, -2};
  else if (seen == "r1 second")
    score.logprobs = {-.2, -.4};
  else if (seen == "r2 first")
    score.logprobs = {-2.5, -3.5};
  else
    score.logprobs = {-2, -3};
  return score;
}

Record r1() {
  return Record("r1")
      .gold({"Alan Turing"})
      .call("", "a", "r1 first")
      .call("", "b", "r1 second")
      .say("<answer>Alan Mathison Turing</answer>")
      .answer("Alan Mathison Turing");
}
Record r2() {
  return Record("r2")
      .gold({"Alan Turing"})
      .call("", "a", "r2 first")
      .say("x")
      .answer("turing, alan!");
}
Record r3() { return Record("r3").gold({"Alan Turing"}).say("x").answer("Grace Hopper"); }

struct IgpoFixture : Fixture {
  std::shared_ptr<FakeModel> scorer = std::make_shared<FakeModel>();
  IgpoFixture() {
    scorer->on_score = score_of;
    models.set("scorer", scorer);
  }
  std::vector<Trajectory> group() { return {r1().get(), r2().get(), r3().get()}; }
  std::vector<Trajectory> labelled(const std::string& use) {
    auto members = group();
    auto failure = supervise_group(make(use), members);
    EXPECT_FALSE(failure) << failure->message;
    return members;
  }
};

TEST(Igpo, TakesNumbersForGold) {
  auto record = Record("n");
  record.gold_key("answers", json::array{42, 1.5, " ", nullptr});
  EXPECT_EQ(gold_answers(record.get()), (std::vector<std::string>{"42", "1.5"}));
}

TEST(Igpo, GivesTheConfidencesAndGainsOfTheWorkedExample) {
  IgpoFixture fixture;
  auto members = fixture.labelled("igpo");
  expect_near(values_of(members[0], "p0"), {.082085});
  expect_near(values_of(members[0], "p"), {.22313, .740818});
  expect_near(values_of(members[0], "gain"), {.141045, .517688});
  expect_near(values_of(members[0], "reward"), {.141045, .517688, .8});
  expect_near(values_of(members[0], "outcome"), {.8});
  expect_near(values_of(members[1], "p"), {.049787});
  expect_near(values_of(members[1], "gain"), {-.032298});
  expect_near(values_of(members[1], "outcome"), {1.0});
  EXPECT_TRUE(values_of(members[2], "gain").empty());
  expect_near(values_of(members[2], "outcome"), {0});
  // Gains telescope to what was gained in all.
  const auto gains = values_of(members[0], "gain"), after = values_of(members[0], "p");
  EXPECT_NEAR(gains[0] + gains[1], .658733, 1e-6);
  EXPECT_NEAR(gains[0] + gains[1], after.back() - values_of(members[0], "p0")[0], 1e-12);
  EXPECT_EQ(find_label(members[0], "gain", 0)->verdict, "gain");
  EXPECT_EQ(find_label(members[1], "gain", 0)->verdict, "no_gain");
  // The confidence before the first turn is asked once for the task: 1 + 2 + 1.
  EXPECT_EQ(fixture.scorer->scored, 4);
}

TEST(Igpo, NormalisesOverTheWholeGroupAndSumsUpBehindEachTurn) {
  IgpoFixture fixture;
  auto members = fixture.labelled("igpo");
  expect_near(values_of(members[0], "advantage"), {.563941, 1.168872, .908667});
  expect_near(values_of(members[1], "advantage"), {.364966, 1.36806});
  expect_near(values_of(members[2], "advantage"), {-.928907});
  const Label* advantage = find_label(members[0], "advantage", 0);
  EXPECT_EQ(advantage->evidence.at("pool"), "joint");
  EXPECT_EQ(advantage->evidence.at("n"), 6);
  EXPECT_NEAR(advantage->evidence.at("mean").as_double(), .404406, 5e-7);
  EXPECT_NEAR(advantage->evidence.at("std").as_double(), .435356, 5e-7);
}

TEST(Igpo, DiscountsByGamma) {
  IgpoFixture fixture;
  auto members = fixture.labelled("igpo:gamma=0.5");
  expect_near(values_of(members[0], "advantage"), {-.247661, .714539, .908667});
  expect_near(values_of(members[1], "advantage"), {-.319064, 1.36806});
  expect_near(values_of(members[2], "advantage"), {-.928907});
}

TEST(Igpo, KeepsGainsAndOutcomesInPoolsOfTheirOwn) {
  IgpoFixture fixture;
  auto members = fixture.labelled("igpo:norm=separate");
  expect_near(values_of(members[0], "advantage"), {1.235436, 1.476438, .377964});
  expect_near(values_of(members[1], "advantage"), {-.101544, .755928});
  expect_near(values_of(members[2], "advantage"), {-1.133891});
  EXPECT_EQ(find_label(members[0], "advantage", 0)->evidence.at("n"), 3);
}

TEST(GroupArithmetic, TakesThePositionsMeanFromReturnsThatMaskedTokensCut) {
  auto found = position_advantages(
      {{{0, .2, 0, .5, 1, 0}, {1, 1, 1, 1, 1, 0}}, {{0, -.1, 0, 0, .4, 0}, {1, 1, 0, 1, 1, 0}}});
  expect_near(found.advantages[0], {.9, .9, .55, .55, .3, 0});
  expect_near(found.advantages[1], {-.9, -.9, 0, -.55, -.3, 0});
}

TEST(GroupArithmetic, GivesZeroWhereThePoolCannotTellItsEntriesApart) {
  EXPECT_EQ(Pool::of({3}).normalised(3), 0);
  EXPECT_EQ(Pool::of({2, 2, 2}).normalised(2), 0);
  EXPECT_TRUE(Pool::of({}).no_signal());
}

TEST(SetF1, CountsWordsOnceAndKnowsItsTraps) {
  EXPECT_DOUBLE_EQ(set_f1("the the the cat", "the cat"), 1.0);
  EXPECT_DOUBLE_EQ(set_f1("!!!", "x"), 0.0);
  EXPECT_DOUBLE_EQ(set_f1("New York", "new-york"), 1.0);
  EXPECT_DOUBLE_EQ(set_f1("New York", "NYC"), 0.0);
  EXPECT_DOUBLE_EQ(set_f1("ÉCOLE Zürich", "école ZÜRICH"), 1.0);
  EXPECT_DOUBLE_EQ(set_f1("\xff\xc3", "x"), 0.0);
}

TEST(Igpo, PaysBrokenTagsAndMissingAnswersTheFormatPenalty) {
  IgpoFixture fixture;
  auto instance = fixture.make("igpo:outcome_weight=0.5");
  Trajectory broken = Record("b")
                          .gold({"Alan Turing"})
                          .say("<think>no end <answer>Alan Turing</answer>")
                          .answer("Alan Turing")
                          .get();
  EXPECT_FALSE(supervise(instance, broken));
  EXPECT_EQ(find_label(broken, "outcome")->verdict, "broken_tags");
  EXPECT_EQ(find_label(broken, "outcome")->value, -2.0);
  EXPECT_EQ(find_label(broken, "reward", 0)->value, -1.0);

  Record endless = Record("e").gold({"Alan Turing"}).call("", "a", "r1 first");
  endless.edit().outcome.status = OutcomeStatus::max_turns;
  Trajectory cut = endless.get();
  EXPECT_FALSE(supervise(instance, cut));
  EXPECT_EQ(find_label(cut, "outcome")->verdict, "no_answer");
  EXPECT_NEAR(*find_label(cut, "gain", 0)->value, .141045, 5e-7);
  expect_near(values_of(cut, "reward"), {.141045});
}

TEST(Igpo, LeavesOutOfTheGroupWhatAFailureOfOursEnded) {
  IgpoFixture fixture;
  auto instance = fixture.make("igpo");
  Record failed = Record("r4").gold({"Alan Turing"}).call("", "a", "r1 first");
  failed.edit().outcome.status = OutcomeStatus::error;
  failed.edit().outcome.error = "the server is gone";
  failed.edit().tokens = Tokens{.ids = {1}, .advantages = {-1}};
  std::vector<Trajectory> members = fixture.group();
  members.push_back(failed.get());
  for (Trajectory& member : members) EXPECT_FALSE(supervise(instance, member));
  EXPECT_FALSE(await(label_group_with(instance, &members, 10s)).failure);
  const auto alone = fixture.labelled("igpo");
  for (std::size_t i = 0; i < alone.size(); ++i)
    EXPECT_EQ(values_of(members[i], "advantage"), values_of(alone[i], "advantage"));
  const Label* outcome = find_label(members[3], "outcome");
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->value);
  EXPECT_EQ(outcome->verdict, "not_judged");
  EXPECT_EQ(outcome->rationale, "the rollout ended in error: the server is gone");
  EXPECT_FALSE(find_label(members[3], "advantage"));
  EXPECT_TRUE(members[3].tokens->advantages.empty());
  EXPECT_TRUE(fixture.make("igpo:outcome=reward").supervisor->accepts(failed.get()));
}

TEST(Igpo, LeavesOutOfTheGroupWhatHasNoGold) {
  IgpoFixture fixture;
  auto instance = fixture.make("igpo");
  std::vector<Trajectory> members = fixture.group();
  members.insert(members.begin(), Record("bare").call("", "a", "r1 first").get());
  for (Trajectory& member : members) EXPECT_FALSE(supervise(instance, member));
  EXPECT_FALSE(await(label_group_with(instance, &members, 10s)).failure);
  EXPECT_TRUE(members[0].labels.empty());
  const auto alone = fixture.labelled("igpo");
  for (std::size_t i = 0; i < alone.size(); ++i)
    EXPECT_EQ(values_of(members[i + 1], "advantage"), values_of(alone[i], "advantage"));
}

TEST(Igpo, TakesAThoughtThatTheTemplateOpenedForOpened) {
  IgpoFixture fixture;
  const auto verdict = [&](const std::string& said) {
    Trajectory record = Record("t").gold({"Alan Turing"}).say(said).answer("Alan Turing").get();
    EXPECT_FALSE(supervise(fixture.make("igpo"), record));
    return *find_label(record, "outcome")->verdict;
  };
  EXPECT_EQ(verdict("I know.</think><answer>Alan Turing</answer>"), "scored");
  EXPECT_EQ(verdict("I know.</think></think><answer>Alan Turing</answer>"), "broken_tags");
  EXPECT_EQ(verdict("<think>I know.<answer>Alan Turing</answer>"), "broken_tags");
}

TEST(Igpo, DiscountsAnOutcomeWithoutAnAnswerTurnOnceIntoTheLastTurn) {
  IgpoFixture fixture;
  Record endless = Record("e").gold({"Alan Turing"}).call("", "a", "r1 first");
  endless.edit().outcome.status = OutcomeStatus::max_turns;
  std::vector<Trajectory> members{endless.get(), r3().get()};
  ASSERT_FALSE(supervise_group(fixture.make("igpo:gamma=0.5"), members));
  const Pool pool = Pool::of({.22313016 - .08208500, -2.0, 0.0});
  const double expected = pool.normalised(.22313016 - .08208500) + .5 * pool.normalised(-2.0);
  expect_near(values_of(members[0], "advantage"), {expected}, 1e-6);
}

TEST(Igpo, PlacesRewardsAndAdvantagesOnTheTokensThePolicySampled) {
  IgpoFixture fixture;
  Record record =
      Record("t").gold({"Alan Turing"}).call("", "a", "r1 first").say("x").answer("Alan Turing");
  Tokens tokens;
  tokens.ids = {1, 2, 3, 4, 5, 6};
  tokens.turn = {-1, 0, 0, 0, 1, 1};
  tokens.loss_mask = {0, 1, 1, 0, 1, 1};
  tokens.logprobs = {0, -1, -1, 0, -1, -1};
  record.edit().tokens = tokens;
  std::vector<Trajectory> members{record.get(), r3().get()};
  ASSERT_FALSE(supervise_group(fixture.make("igpo"), members));
  const auto advantages = values_of(members[0], "advantage");
  expect_near(members[0].tokens->rewards, {0, 0, .141045, 0, 0, 1});
  expect_near(members[0].tokens->advantages,
              {0, advantages[0], advantages[0], 0, advantages[1], advantages[1]});
}

TEST(Igpo, HasNoAdvantageWhereAllRewardsAreEqual) {
  IgpoFixture fixture;
  std::vector<Trajectory> members{r3().get(), r3().get()};
  ASSERT_FALSE(supervise_group(fixture.make("igpo"), members));
  for (const Trajectory& member : members) {
    expect_near(values_of(member, "advantage"), {0});
    EXPECT_EQ(find_label(member, "advantage", 0)->verdict, "no_signal");
  }
}

// The worked example of the released code's order, with the rewards that make it come out: one gain
// of .2, one of .5 and an outcome of 1 against -.1 and .4.
TEST(Igpo, DiscountsFirstByTokenPosition) {
  Fixture fixture;
  auto scorer = std::make_shared<FakeModel>();
  scorer->on_score = [](const ScoreRequest& request) -> Result<Score> {
    static const std::map<std::string, double> kP = {
        {"a1", .3}, {"a2", .8}, {"b1", 1e-12}, {"What is it?", .1}};
    return Score{.logprobs = {std::log(kP.at(request.messages.back().text()))}};
  };
  fixture.models.set("scorer", scorer);
  const auto with_tokens = [](Record record, std::vector<std::int32_t> turn,
                              std::vector<std::uint8_t> mask, double reward) {
    Tokens tokens;
    tokens.ids.assign(turn.size(), 7);
    tokens.logprobs.assign(turn.size(), -1);
    tokens.turn.assign(turn.begin(), turn.end());
    tokens.loss_mask.assign(mask.begin(), mask.end());
    record.edit().tokens = tokens;
    record.edit().outcome.reward = reward;
    return record.answer("x").get();
  };
  std::vector<Trajectory> members{
      with_tokens(Record("a").gold({"x"}).call("", "q", "a1").call("", "q", "a2").say("x"),
                  {-1, 0, 0, 1, 1, 2, 2}, {0, 1, 1, 1, 1, 1, 0}, 1),
      with_tokens(Record("b").gold({"x"}).call("", "q", "b1").say("x"), {-1, 0, 0, 0, 1, 1, 1},
                  {0, 1, 1, 0, 1, 1, 0}, .4)};
  ASSERT_FALSE(supervise_group(fixture.make("igpo:order=discount_first,outcome=reward"), members));
  expect_near(members[0].tokens->rewards, {0, 0, .2, 0, .5, 1, 0});
  expect_near(members[1].tokens->rewards, {0, 0, -.1, 0, 0, .4, 0});
  expect_near(members[0].tokens->advantages, {0, .9, .9, .55, .55, .3, 0});
  expect_near(members[1].tokens->advantages, {0, -.9, -.9, 0, -.55, -.3, 0});
  expect_near(values_of(members[0], "advantage"), {.9, .55, .3});
}

TEST(Igpo, RefusesTokenlessRecordsAndPassesMissingGoldBy) {
  IgpoFixture fixture;
  auto by_position = fixture.make("igpo:order=discount_first");
  EXPECT_FALSE(by_position.supervisor->accepts(r1().get()));
  auto plain = fixture.make("igpo");
  EXPECT_TRUE(plain.supervisor->accepts(r1().get()));
  EXPECT_TRUE(plain.looks_at(r1().get()));
  EXPECT_FALSE(plain.looks_at(Record("x").get()));
  EXPECT_FALSE(plain.looks_at(Record("x").gold({" ", ""}).get()));
  EXPECT_FALSE(fixture.make("igpo:outcome=reward").supervisor->accepts(r1().get()));
}

TEST(Igpo, CollapsesClaimSetsForGainAndOutcome) {
  IgpoFixture fixture;
  fixture.scorer->on_score = [](const ScoreRequest& request) -> Result<Score> {
    EXPECT_EQ(request.continuation, "false");
    return Score{.logprobs = {-1}};
  };
  Trajectory claims = Record("c").gold({"true", "false", "true"}).say("x").answer("False").get();
  EXPECT_FALSE(supervise(fixture.make("igpo"), claims));
  EXPECT_EQ(find_label(claims, "outcome")->value, 1.0);
}

TEST(Igpo, FailsOnLogProbabilitiesThatAreNone) {
  for (const std::vector<double>& bad : {std::vector<double>{},
                                         {0.1},
                                         {-1, std::numeric_limits<double>::quiet_NaN()},
                                         {-std::numeric_limits<double>::infinity()}}) {
    IgpoFixture fixture;
    fixture.scorer->on_score = [&](const ScoreRequest&) -> Result<Score> {
      return Score{.logprobs = bad};
    };
    Trajectory record = r1().get();
    auto failure = supervise(fixture.make("igpo"), record);
    ASSERT_TRUE(failure);
    EXPECT_NE(failure->message.find("r1"), std::string::npos);
  }
}

TEST(Igpo, SaysNeedsLogprobsWhereTheScorerHasNone) {
  IgpoFixture fixture;
  fixture.scorer->on_score = nullptr;
  auto ready = await(fixture.make("igpo").supervisor->prepare());
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().kind, ErrorKind::missing);
  EXPECT_NE(ready.error().message.find("needs_logprobs"), std::string::npos);
  EXPECT_EQ(await(Fixture().make("igpo").supervisor->prepare()).error().kind, ErrorKind::missing);
}

TEST(Igpo, ScoresOnlyTheAnswerInsideTheCue) {
  IgpoFixture fixture;
  fixture.scorer->on_score = [](const ScoreRequest& request) -> Result<Score> {
    EXPECT_EQ(request.assistant_prefix, "So it is <");
    return Score{.logprobs = {-1}};
  };
  Trajectory record = r3().get();
  EXPECT_FALSE(supervise(fixture.make("igpo:cue=So it is <{answer}>"), record));
  EXPECT_FALSE(fixture.try_make("igpo:cue=no slot"));
}

}  // namespace
}  // namespace proctor
