// Short answers: the traps of normalisation, F1, and what counts as correct.
#include "env/answers.h"

#include <gtest/gtest.h>

#include "env/suite.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

TEST(NormalisedAnswer, DropsCasePunctuationArticlesAndSpaces) {
  EXPECT_EQ(normalised_answer("  The Bell Labs, Inc.! "), "bell labs inc");
  EXPECT_EQ(normalised_answer("an apple a day"), "apple day");
  EXPECT_EQ(normalised_answer("another theory"), "another theory");  // no article inside a word
  EXPECT_EQ(normalised_answer("PDP-11"), "pdp11");
  EXPECT_EQ(normalised_answer("line\nbreak\ttab"), "line break tab");
}

TEST(NormalisedAnswer, KnowsUnicodeLettersQuotesAndSpaces) {
  EXPECT_EQ(normalised_answer("ÉCOLE\u00A0Normale"), "école normale");
  EXPECT_EQ(normalised_answer("\u201CKen Thompson\u201D"), "ken thompson");
  EXPECT_EQ(normalised_answer("1969\u20131971"), "19691971");
  EXPECT_EQ(normalised_answer("東京。"), "東京");
}

TEST(NormalisedAnswer, KeepsThePointOfANumber) {
  EXPECT_EQ(normalised_answer("It is 3.14."), "it is 3.14");
  EXPECT_FALSE(same_answer("1.5", "15"));
  EXPECT_TRUE(same_answer("1,000", "1000"));
  EXPECT_TRUE(same_answer("1970.", "1970"));
  EXPECT_FALSE(same_answer("1970s", "1970"));
}

TEST(SameAnswer, ComparesArticlesWhenThereIsNothingElse) {
  EXPECT_TRUE(same_answer("a", "A"));
  EXPECT_FALSE(same_answer("the", "A"));
  EXPECT_FALSE(same_answer("", "A"));
  EXPECT_TRUE(same_answer("++", "++"));
  EXPECT_FALSE(same_answer("--", "++"));
  EXPECT_FALSE(same_answer("", ""));
}

TEST(SameAnswer, WantsTheWholeAnswer) {
  EXPECT_TRUE(same_answer("the Ken Thompson.", "Ken Thompson"));
  EXPECT_FALSE(same_answer("It was Ken Thompson", "Ken Thompson"));
  EXPECT_FALSE(same_answer("Thompson", "Ken Thompson"));
}

TEST(AnswerF1, CountsWordsInCommon) {
  EXPECT_DOUBLE_EQ(answer_f1("Ken Thompson", "Ken Thompson"), 1);
  EXPECT_DOUBLE_EQ(answer_f1("Ken Thompson and Dennis Ritchie", "Ken Thompson"),
                   2 * (2.0 / 5) * 1 / (2.0 / 5 + 1));
  EXPECT_DOUBLE_EQ(answer_f1("Dennis Ritchie", "Ken Thompson"), 0);
  // A word said twice counts once where the gold has it once.
  EXPECT_DOUBLE_EQ(answer_f1("ken ken", "ken thompson"), 0.5);
  EXPECT_DOUBLE_EQ(answer_f1("", "ken"), 0);
}

TEST(AnswerF1, GivesNothingForPartsOfAVerdict) {
  EXPECT_DOUBLE_EQ(answer_f1("yes", "Yes."), 1);
  EXPECT_DOUBLE_EQ(answer_f1("yes it is", "yes"), 0);
  EXPECT_DOUBLE_EQ(answer_f1("no", "yes"), 0);
  EXPECT_DOUBLE_EQ(answer_f1("yes", "yes sir"), 0);
}

TEST(Mentions, FindsWholeWordsInOrder) {
  EXPECT_TRUE(mentions("It came from Bell Labs, in the U.S.", "bell labs"));
  EXPECT_FALSE(mentions("the USSR", "US"));
  EXPECT_FALSE(mentions("Labs of Bell", "Bell Labs"));
  EXPECT_FALSE(mentions("", "Bell"));
}

Grade grade(json::object gold, std::optional<std::string> answer) {
  const auto* entry = Registry<CheckerMaker>::instance().find("answers");
  PROCTOR_CHECK(entry != nullptr);
  auto checker = entry->make(Options{}, CheckerServices{});
  PROCTOR_CHECK(checker.ok());
  auto task = std::make_shared<Task>();
  task->gold = std::move(gold);
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->task = task;
  trajectory->outcome.answer = std::move(answer);
  auto graded = await((*checker)->check(trajectory));
  PROCTOR_CHECK(graded.ok());
  return *graded;
}

TEST(AnswersChecker, TakesTheBestAlias) {
  const Grade right = grade({{"answers", {"AT&T Bell Labs", "Bell Labs"}}}, "bell labs");
  EXPECT_EQ(right.correct, true);
  EXPECT_EQ(right.reward, 1.0);
  EXPECT_EQ(right.metrics.at("em").as_int64(), 1);
  EXPECT_DOUBLE_EQ(right.metrics.at("f1").as_double(), 1);

  const Grade near = grade({{"answers", {"AT&T Bell Labs", "Bell Labs"}}}, "the labs");
  EXPECT_EQ(near.correct, false);
  EXPECT_EQ(near.reward, 0.0);
  EXPECT_NEAR(near.metrics.at("f1").as_double(), 2.0 / 3, 1e-9);
}

TEST(AnswersChecker, TakesASentenceThatMentionsAllEntities) {
  const json::object gold{
      {"answers", {"Ken Thompson"}},
      {"entities", {"B", {{"name", "Ken Thompson"}, {"aliases", {"Thompson"}}}}}};
  const Grade said = grade(gold, "The language was B, and Thompson wrote it.");
  EXPECT_EQ(said.correct, true);
  EXPECT_EQ(said.metrics.at("em").as_int64(), 0);
  EXPECT_EQ(grade(gold, "Thompson wrote it.").correct, false);
}

TEST(AnswersChecker, GradesAMissingAnswerAsWrong) {
  const Grade none = grade({{"answers", {"x"}}}, std::nullopt);
  EXPECT_EQ(none.correct, false);
  EXPECT_EQ(none.metrics.at("em").as_int64(), 0);
}

TEST(AnswersChecker, HasNoOpinionWithoutGold) {
  const Grade none = grade({{"answers", nullptr}, {"entities", json::array{}}}, "x");
  EXPECT_FALSE(none.correct);
  EXPECT_FALSE(none.reward);
  EXPECT_TRUE(none.metrics.empty());
}

TEST(AnswersChecker, ReadsOneAnswerThatIsNoListAndNumbers) {
  EXPECT_EQ(grade({{"answers", "1970"}}, "1970").correct, true);
  EXPECT_EQ(grade({{"answers", {1970}}}, "1970").correct, true);
  EXPECT_EQ(grade({{"answers", {1.5}}}, "1.5").correct, true);
  EXPECT_EQ(grade({{"answers", {2.0}}}, "2").correct, true);
  EXPECT_EQ(grade({{"answers", {100000.0}}}, "100000").correct, true);
  EXPECT_EQ(grade({{"answers", {1.5}}}, "1.5E0").correct, false);
}

}  // namespace
}  // namespace proctor
