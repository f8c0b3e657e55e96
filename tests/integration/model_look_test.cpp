// What `doctor` finds out about model servers, those that answer and those that do not.
#include "runtime/model_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/app/mock_server.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

using testing::HasSubstr;

Result<ModelLook> look(const MockOptions& options, Milliseconds limit = 20s) {
  MockServer server(options);
  auto model = make_model({"openai:" + server.url() + "#mock", {{"backoff_ms", 5}}});
  if (!model) return model.error();
  return await(look_at(*model, limit));
}

TEST(ModelLook, SeesTokenIdsAndLogprobsInOneToken) {
  auto found = look({.tool_turns = 0, .token_ids = true});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->text(),
            "generate, token ids, logprobs (seen); tool calls, score, embed, grammar, JSON schema, "
            "images (not tried); context 4096");
}

TEST(ModelLook, ClaimsNoIdsThatDidNotCome) {
  auto found = look({.tool_turns = 0});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->text(),
            "generate (seen); tool calls, embed, JSON schema, images (not tried); context 4096");
}

TEST(ModelLook, AsksForOneToken) {
  MockServer server({.tool_turns = 0});
  auto model = make_model({"openai:" + server.url() + "#mock", {}});
  ASSERT_TRUE(model && await(look_at(*model, 20s)));
  EXPECT_EQ(server.generations(), 1u);
  EXPECT_THAT(server.last_generation(), HasSubstr("\"max_tokens\":1,"));
}

TEST(ModelLook, NamesWhatAServerRefuses) {
  auto found = look({.refuses = "seed"});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(found->refusal, HasSubstr("Unsupported parameter: 'seed'"));
  EXPECT_FALSE(found->said);
}

TEST(ModelLook, FindsOutThatAServerWithAListDoesNotAnswer) {
  auto found = look({.fault = "401"});
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("it wants an API key"));
  found = look({.fault = "500"});
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("answered 500 (out of order)"));
  found = look({.fault = "silent"}, 200ms);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("no answer in 100 ms"));
  found = look({.fault = "429", .retry_after = 60}, 200ms);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("answered 429 (slow down): mock: no answer in"));
}

}  // namespace
}  // namespace proctor
