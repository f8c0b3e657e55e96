// The script model: which rule answers, and its token bookkeeping.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "policies/model.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class ScriptFile {
 public:
  explicit ScriptFile(const std::string& text) {
    path_ = testing::TempDir() + "script_" + std::to_string(++count_) + "_" +
            std::to_string(getpid()) + ".jsonl";
    std::ofstream(path_) << text;
  }
  ~ScriptFile() { std::remove(path_.c_str()); }
  std::string uri(const std::string& suffix = "") const { return "script:" + path_ + suffix; }
  const std::string& path() const { return path_; }

 private:
  static inline int count_ = 0;
  std::string path_;
};

ModelRef script_model(const ScriptFile& file, const std::string& suffix = "",
                      json::object settings = {}) {
  auto model = make_model({file.uri(suffix), std::move(settings)});
  EXPECT_TRUE(model) << model.error().message;
  return *model;
}

GenerateRequest ask(const std::string& text, const std::string& task = "t", int sample = 0,
                    int turn = 0) {
  GenerateRequest request;
  request.messages.push_back({.role = "user", .content = json::string(text)});
  request.asker = {.task_id = task, .sample = sample, .turn = turn};
  return request;
}

TEST(Script, FirstMatchingRuleAnswers) {
  ScriptFile file(R"({"match":{"task_id":"other"},"content":"no"}
{"match":{"task_id":"t","sample":1},"content":"sample one"}

{"match":{"turn":2,"contains":["red","blue"]},"content":"colours"}
{"content":"fallback"}
)");
  auto model = script_model(file);
  EXPECT_EQ(await(model->generate(ask("x", "t", 1)))->content, "sample one");
  EXPECT_EQ(await(model->generate(ask("red and blue", "u", 0, 2)))->content, "colours");
  EXPECT_EQ(await(model->generate(ask("red only", "u", 0, 2)))->content, "fallback");
  EXPECT_EQ(await(model->generate(ask("x")))->finish_reason, "stop");
}

TEST(Script, TimesLimitsARule) {
  ScriptFile file(R"({"content":"first","times":1}
{"content":"then"})");
  auto model = script_model(file);
  EXPECT_EQ(await(model->generate(ask("x")))->content, "first");
  EXPECT_EQ(await(model->generate(ask("x")))->content, "then");
}

TEST(Script, ToolCallsGetIds) {
  ScriptFile file(R"({"tool_calls":[{"name":"search","arguments":{"query":"B"}}]})");
  auto turn = await(script_model(file)->generate(ask("x")));
  ASSERT_TRUE(turn);
  ASSERT_EQ(turn->tool_calls.size(), 1U);
  EXPECT_EQ(turn->tool_calls[0].id, "c0");
  EXPECT_EQ(turn->tool_calls[0].arguments.at("query"), "B");
  EXPECT_EQ(turn->finish_reason, "tool_calls");
}

TEST(Script, NoRuleQuotesThePromptsEnd) {
  ScriptFile file(R"({"match":{"turn":7},"content":"late"})");
  auto turn = await(script_model(file)->generate(ask(std::string(500, 'a') + " the very end")));
  ASSERT_FALSE(turn);
  EXPECT_THAT(turn.error().message, HasSubstr("the very end"));
  EXPECT_THAT(turn.error().message, HasSubstr("no rule"));
  EXPECT_LT(turn.error().message.size(), 500U);
}

TEST(Script, ScoresAndEmbedsFromRules) {
  ScriptFile file(R"({"match":{"continuation":"Paris"},"score":[-0.5,null]}
{"embedding":[0.25,1]}
{"content":"text"})");
  auto model = script_model(file);
  auto can = await(model->capabilities());
  EXPECT_TRUE(can->score && can->embed);
  ScoreRequest request;
  request.continuation = "Paris";
  auto score = await(model->score(request));
  ASSERT_TRUE(score);
  EXPECT_EQ(score->logprobs[0], -0.5);
  EXPECT_TRUE(std::isnan(score->logprobs[1]));
  request.continuation = "Rome";
  EXPECT_FALSE(await(model->score(request)));
  EXPECT_EQ(await(model->embed("x")).value(), (std::vector<float>{0.25F, 1.0F}));
}

TEST(Script, WaitsItsDelay) {
  ScriptFile file(R"({"content":"slow","delay_ms":60})");
  auto model = script_model(file);
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(await(model->generate(ask("x")))->content, "slow");
  EXPECT_GE(std::chrono::steady_clock::now() - started, Milliseconds(60));
}

Async<std::vector<Result<Generation>>> two_at_once(ModelRef model) {
  std::vector<Async<Result<Generation>>> both;
  for (int i = 0; i < 2; ++i) both.push_back(model->generate(GenerateRequest()));
  co_return co_await gather(std::move(both));
}

TEST(Script, SaysHowLongACallWaitedForItsPlace) {
  ScriptFile file(R"({"content": "x", "delay_ms": 200})");
  const auto turns = await(two_at_once(script_model(file, "", {{"max_in_flight", 1}})));
  ASSERT_TRUE(turns[0] && turns[1]);
  EXPECT_LT(turns[0]->queued_ms, 100);
  EXPECT_GE(turns[1]->queued_ms, 100);
}

TEST(Script, NamesFileAndLineOfABrokenRule) {
  ScriptFile broken("{\"content\":\"ok\"}\n{\"content\":\n");
  auto model = make_model({broken.uri(), {}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().kind, ErrorKind::bad_input);
  EXPECT_THAT(model.error().message, HasSubstr(broken.path() + ":2: "));

  ScriptFile misspelt("{\"contents\":\"ok\"}\n");
  model = make_model({misspelt.uri(), {}});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr(":1: unknown key 'contents'"));
  EXPECT_THAT(model.error().message, HasSubstr("'content'"));
}

TEST(Script, ContinuesTheIdsThatWereSeen) {
  ScriptFile file(R"({"match":{"turn":0},"content":"call","finish_reason":"length"}
{"content":"done"})");
  auto model = script_model(file, "?tokens=bytes");
  auto request = ask("hi");
  auto first = await(model->generate(request));
  ASSERT_TRUE(first && first->tokens);
  EXPECT_EQ(first->tokens->ids, (std::vector<std::int32_t>{'c', 'a', 'l', 'l'}));
  EXPECT_EQ(first->tokens->logprobs.size(), 4U);

  request.seen_ids = first->tokens->prompt_ids;
  request.seen_ids.insert(request.seen_ids.end(), first->tokens->ids.begin(),
                          first->tokens->ids.end());
  request.messages.push_back({.role = "assistant", .content = "something else entirely"});
  request.seen_messages = 2;
  request.messages.push_back({.role = "tool", .content = "42"});
  request.asker.turn = 1;
  auto second = await(model->generate(request));
  ASSERT_TRUE(second && second->tokens);
  const auto& ids = second->tokens->prompt_ids;
  ASSERT_GT(ids.size(), request.seen_ids.size());
  EXPECT_TRUE(std::equal(request.seen_ids.begin(), request.seen_ids.end(), ids.begin()));
  EXPECT_EQ(ids[request.seen_ids.size()], 257) << "the cut turn is closed first";
  EXPECT_EQ(second->tokens->ids.back(), 257);
}

TEST(Script, HasNoLogProbabilitiesWithoutIds) {
  ScriptFile file(R"({"content":"x","logprobs":[-0.1]})");
  auto turn = await(script_model(file)->generate(ask("hi")));
  ASSERT_TRUE(turn);
  EXPECT_FALSE(turn->tokens);
  auto counted = make_model({.uri = "script:" + file.path(), .settings = {{"context", 8}}});
  ASSERT_FALSE(counted);
  EXPECT_NE(counted.error().message.find("?tokens=bytes"), std::string::npos);
}

TEST(Script, SaysWhenTheContextIsFull) {
  ScriptFile file(R"({"content":"x"})");
  auto model = script_model(file, "?tokens=bytes", {{"context", 32}});
  auto turn = await(model->generate(ask(std::string(100, 'a'))));
  ASSERT_FALSE(turn);
  EXPECT_EQ(turn.error().kind, ErrorKind::bad_input);
  EXPECT_TRUE(turn.error().message.starts_with("context_full"));
}

TEST(MakeModel, SaysWhatAUriShouldLookLike) {
  for (const char* uri : {"smollm2", "scrip:x.jsonl", "http://127.0.0.1:1/v1#m"}) {
    auto model = make_model({uri, {}});
    ASSERT_FALSE(model) << uri;
    EXPECT_EQ(model.error().kind, ErrorKind::bad_input) << uri;
    EXPECT_THAT(model.error().message, HasSubstr(uri));
  }
  EXPECT_THAT(make_model({"scrip:x", {}}).error().message, HasSubstr("'script'"));
}

TEST(MakeModel, RefusesUnknownSettings) {
  ScriptFile file(R"({"content":"x"})");
  auto model = make_model({file.uri(), {{"contxt", 3}}});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("'context'"));
}

TEST(Models, FallBackToThePolicy) {
  ScriptFile file(R"({"content":"x"})");
  Models models;
  EXPECT_EQ(models.get("judge"), nullptr);
  auto policy = script_model(file);
  models.set("policy", policy);
  EXPECT_EQ(models.get("judge"), policy);
  EXPECT_FALSE(models.given("judge"));
}

}  // namespace
}  // namespace proctor
