// The flat record is what the model saw, or nothing.
#include "runtime/token_record.h"

#include <gtest/gtest.h>

namespace proctor {
namespace {

TurnTokens turn_tokens(std::vector<std::int32_t> prompt, std::vector<std::int32_t> sampled) {
  TurnTokens tokens;
  tokens.prompt_ids = std::move(prompt);
  tokens.logprobs.assign(sampled.size(), -0.5F);
  tokens.ids = std::move(sampled);
  return tokens;
}

TEST(TokenRecord, CutsPromptsToWhatIsNewAndMasksThem) {
  TokenRecord record;
  auto first = turn_tokens({1, 2}, {3});
  record.add(0, first);
  auto second = turn_tokens({1, 2, 3, 4}, {5, 6});
  record.add(1, second);
  EXPECT_EQ(second.prompt_from, 3);
  EXPECT_EQ(second.prompt_ids, (std::vector<std::int32_t>{4}));
  const auto tokens = record.tokens();
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->ids, (std::vector<std::int32_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(tokens->loss_mask, (std::vector<std::int8_t>{0, 0, 1, 0, 1, 1}));
  EXPECT_EQ(tokens->turn, (std::vector<std::int32_t>{-1, -1, 0, 0, 1, 1}));
  EXPECT_EQ(tokens->logprobs[2], -0.5F);
  EXPECT_EQ(tokens->logprobs[3], 0.0F);
}

TEST(TokenRecord, CandidatesThatWereNotExecutedAreCutAlikeAndLeaveNoTrace) {
  TokenRecord record;
  auto first = turn_tokens({1, 2}, {3});
  record.add(0, first);
  auto candidate = turn_tokens({1, 2, 3, 4}, {8, 9}), other = turn_tokens({1, 7, 3, 4}, {8});
  EXPECT_EQ(record.shorten(candidate), 3u);
  EXPECT_EQ(candidate.prompt_from, 3);
  EXPECT_EQ(candidate.prompt_ids, (std::vector<std::int32_t>{4}));
  EXPECT_EQ(record.shorten(other), 1u);
  EXPECT_EQ(other.prompt_from, 0);
  EXPECT_EQ(other.prompt_ids.size(), 4u);
  EXPECT_EQ(record.tokens()->ids, (std::vector<std::int32_t>{1, 2, 3}));
}

TEST(TokenRecord, IdsThatPartAreReportedAndNeverGluedTogether) {
  TokenRecord record;
  auto first = turn_tokens({1, 2}, {3});
  record.add(0, first);
  auto second = turn_tokens({1, 9, 3, 4}, {5});
  record.add(1, second);
  EXPECT_EQ(second.prompt_from, 0);
  EXPECT_EQ(second.prompt_ids.size(), 4u);
  EXPECT_FALSE(record.tokens());
  EXPECT_EQ(json::serialize(record.parted()), R"({"turn":1,"token":1})");
}

TEST(TokenRecord, GoesOnFromThePromptThatParted) {
  using Ids = std::vector<std::int32_t>;
  TokenRecord record, again;
  auto first = turn_tokens({1, 2}, {3});
  record.add(0, first);
  auto second = turn_tokens({1, 9, 4}, {5});
  record.add(1, second);
  EXPECT_EQ(record.ids(), (Ids{1, 9, 4, 5})) << "what the model saw last, not what it saw before";
  auto third = turn_tokens({1, 9, 4, 5, 6}, {7});
  record.add(2, third);
  EXPECT_EQ(third.prompt_from, 4);
  EXPECT_EQ(record.ids(), (Ids{1, 9, 4, 5, 6, 7}));
  EXPECT_FALSE(record.tokens());
  int turn = 0;
  for (const auto& each : {first, second, third}) again.add_recorded(turn++, each);
  EXPECT_EQ(again.ids(), record.ids());
  EXPECT_EQ(again.parted(), record.parted());
}

TEST(TokenRecord, KnowsNothingToContinueAfterALossOrACut) {
  for (const bool cut : {false, true}) {
    TokenRecord record;
    auto first = turn_tokens({1, 2}, {3});
    record.add(0, first);
    if (cut)
      record.forget();
    else
      record.lose();
    EXPECT_TRUE(record.ids().empty());
    auto second = turn_tokens({1, 2, 3, 4}, {5});
    record.add(1, second);
    EXPECT_EQ(second.prompt_from, 0) << "the whole prompt is kept";
    EXPECT_EQ(record.ids().size(), 5U);
    EXPECT_FALSE(record.tokens());
  }
}

TEST(TokenRecord, ARecordedTurnContinuesTheSame) {
  TokenRecord record, again;
  auto first = turn_tokens({1, 2}, {3});
  auto second = turn_tokens({1, 2, 3, 4}, {5});
  record.add(0, first);
  record.add(1, second);
  again.add_recorded(0, first);
  again.add_recorded(1, second);
  EXPECT_EQ(record.ids(), again.ids());
}

}  // namespace
}  // namespace proctor
