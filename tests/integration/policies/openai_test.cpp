// The openai backend against a real socket: conversations, exact ids, and every way to fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fstream>
#include <thread>

#include "policies/model.h"
#include "policies/openai_server.h"
#include "runtime/app/mock_server.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

using testing::HasSubstr;
using testing::Not;

json::object quick() { return {{"backoff_ms", 5}, {"retries", 2}}; }

ModelRef model_at(const MockServer& server, json::object settings = quick(),
                  const std::string& name = "mock") {
  auto model = make_model({"openai:" + server.url() + "#" + name, std::move(settings)});
  EXPECT_TRUE(model) << model.error().message;
  return model ? *model : nullptr;
}

GenerateRequest ask(const std::string& text = "hi") {
  GenerateRequest request;
  request.messages.push_back({.role = "user", .content = json::string(text)});
  request.sampling.seed = 7;
  return request;
}

Message said(const Generation& turn) {
  Message message;
  message.role = "assistant";
  message.content = turn.content;
  message.tool_calls = turn.tool_calls;
  return message;
}

class Streaming : public testing::TestWithParam<const char*> {
 protected:
  json::object settings() const {
    json::object given = quick();
    given["stream"] = GetParam();
    return given;
  }
};
INSTANTIATE_TEST_SUITE_P(OpenAi, Streaming, testing::Values("false", "true"));

Async<int> converse(ModelRef model, int turns) {
  auto request = ask();
  for (int i = 0; i < turns; ++i) {
    request.asker.turn = i;
    GenerateRequest copy = request;
    auto turn = co_await model->generate(std::move(copy));
    EXPECT_TRUE(turn) << turn.error().message;
    if (!turn) co_return -1;
    request.messages.push_back(said(*turn));
    if (turn->tool_calls.empty()) {
      EXPECT_EQ(turn->content, "42");
      EXPECT_EQ(turn->finish_reason, "stop");
      co_return i + 1;
    }
    EXPECT_EQ(turn->finish_reason, "tool_calls");
    EXPECT_EQ(turn->tool_calls[0].name, "echo");
    EXPECT_EQ(turn->tool_calls[0].arguments.at("text"), "hello");
    Message observed;
    observed.role = "tool";
    observed.tool_call_id = turn->tool_calls[0].id;
    observed.content = "hello";
    request.messages.push_back(std::move(observed));
  }
  co_return 0;
}

TEST_P(Streaming, CarriesAConversationOverOneConnection) {
  MockServer server({});
  EXPECT_EQ(await(converse(model_at(server, settings()), 8)), 4);
  EXPECT_EQ(server.generations(), 4U);
  EXPECT_EQ(server.connections(), 1U);
  const bool streamed = server.last_generation().find("\"stream\":true") != std::string::npos;
  EXPECT_EQ(streamed, std::string(GetParam()) == "true");
}

TEST_P(Streaming, CarriesAConversationInTheFirstFormOfToolCalls) {
  MockServer server({.function_call = true});
  EXPECT_EQ(await(converse(model_at(server, settings()), 8)), 4);
}

TEST_P(Streaming, HandsARefusalOnAsText) {
  MockServer server({.tool_turns = 0, .answer = "I will not.", .refusal = true});
  auto request = ask();
  std::string heard;
  request.on_text = [&heard](std::string_view piece) { heard += piece; };
  auto turn = await(model_at(server, settings())->generate(std::move(request)));
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(heard, "I will not.");
  EXPECT_EQ(turn->content, "I will not.");
  EXPECT_EQ(turn->extra.at("refusal"), true);
}

TEST_P(Streaming, HandsTextOnAsItComes) {
  MockServer server({.tool_turns = 0, .answer = "forty-two"});
  auto request = ask();
  std::string heard;
  request.on_text = [&heard](std::string_view piece) { heard += piece; };
  auto turn = await(model_at(server, settings())->generate(std::move(request)));
  ASSERT_TRUE(turn);
  EXPECT_EQ(heard, "forty-two");
  EXPECT_EQ(turn->content, "forty-two");
}

TEST_P(Streaming, ContinuesExactIdsWhereTheServerGivesThem) {
  // Templates that write history otherwise than they open a turn are no hindrance.
  MockServer server({.tool_turns = 1, .hermes = true, .token_ids = true, .thinking = true});
  auto model = model_at(server, settings());
  auto request = ask("question");
  auto first = await(model->generate(request));
  ASSERT_TRUE(first && first->tokens) << (first ? "no tokens" : first.error().message);
  EXPECT_EQ(first->tokens->ids.size(), first->tokens->logprobs.size());
  EXPECT_EQ(first->tokens->ids.back(), 2) << "the end of turn is sampled, too";

  request.messages.push_back(said(*first));
  request.seen_ids = first->tokens->prompt_ids;
  request.seen_ids.insert(request.seen_ids.end(), first->tokens->ids.begin(),
                          first->tokens->ids.end());
  request.seen_messages = request.messages.size();
  request.messages.push_back({.role = "user", .content = "seen"});
  auto second = await(model->generate(request));
  ASSERT_TRUE(second && second->tokens) << (second ? "no tokens" : second.error().message);
  EXPECT_EQ(second->content, "42");
  const auto& ids = second->tokens->prompt_ids;
  ASSERT_GT(ids.size(), request.seen_ids.size());
  EXPECT_TRUE(std::equal(request.seen_ids.begin(), request.seen_ids.end(), ids.begin()))
      << "what was sampled stays as it was sampled";
  // "\n" closes the turn after its own end mark; then the new message and the next turn's opening.
  const std::vector<std::int32_t> rest(ids.begin() + static_cast<long>(request.seen_ids.size()),
                                       ids.end());
  const std::string text =
      "\n\x01user\nseen\x02\n\x01"
      "assistant\n";
  std::vector<std::int32_t> expected;
  for (const char c : text) expected.push_back(c == 1 || c == 2 ? c : 10 + c);
  EXPECT_EQ(rest, expected);
}

TEST(OpenAi, GoesOnInTextWhereTheServerTakesNoIds) {
  for (const int status : {400, 404, 405, 501}) {
    MockServer server(
        {.tool_turns = 1, .hermes = true, .token_ids = true, .no_completions = status});
    auto model = model_at(server);
    auto request = ask("question");
    auto first = await(model->generate(request));
    ASSERT_TRUE(first && first->tokens) << (first ? "no tokens" : first.error().message);
    request.messages.push_back(said(*first));
    request.seen_ids = first->tokens->prompt_ids;
    request.seen_messages = request.messages.size();
    request.messages.push_back({.role = "user", .content = "seen"});
    auto second = await(model->generate(request));
    ASSERT_TRUE(second) << status << ": " << second.error().message;
    EXPECT_EQ(second->content, "42");
    EXPECT_EQ(server.generations(), 3U) << status;
    ASSERT_TRUE(await(model->generate(request)));
    EXPECT_EQ(server.generations(), 4U) << status << ": learnt once";
  }
}

TEST(OpenAi, TellsWhatTheServerCanDo) {
  MockServer plain({});
  auto can = await(model_at(plain)->capabilities());
  ASSERT_TRUE(can);
  EXPECT_FALSE(can->token_ids);
  EXPECT_FALSE(can->score);
  EXPECT_FALSE(can->grammar);
  EXPECT_EQ(can->context, 4096);
  MockServer exact({.token_ids = true});
  can = await(model_at(exact)->capabilities());
  EXPECT_TRUE(can->token_ids && can->score && can->grammar);
}

TEST(OpenAi, AsksForNoMoreThanTheContextHolds) {
  MockServer server({});
  auto request = ask();
  request.sampling.max_tokens = 5000;
  ASSERT_TRUE(await(model_at(server)->generate(request)));
  EXPECT_EQ(parse_json(server.last_generation())->at("max_tokens"), 4096);
}

TEST(OpenAi, AsksForFewerTokensWhereThePromptLeavesLessRoom) {
  MockServer server({.tool_turns = 0, .context = 600});
  auto model = model_at(server);
  auto request = ask(std::string(252, 'x'));
  auto turn = await(model->generate(request));
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(turn->content, "42");
  EXPECT_EQ(server.generations(), 2U);
  const json::object sent = parse_json(server.last_generation())->as_object();
  EXPECT_EQ(sent.at("max_tokens"), 600 - 252 - 19);
  turn = await(model->generate(ask(std::string(540, 'x'))));
  ASSERT_FALSE(turn);
  EXPECT_THAT(turn.error().message, HasSubstr("context_full: This model's"));
  EXPECT_EQ(server.generations(), 3U) << "less than a turn is left";
}

TEST(OpenAi, ScoresAContinuationByIds) {
  MockServer server({.token_ids = true});
  ScoreRequest request;
  request.messages = ask("q").messages;
  request.assistant_prefix = "so ";
  request.continuation = "AB";
  auto score = await(model_at(server)->score(request));
  ASSERT_TRUE(score) << score.error().message;
  ASSERT_EQ(score->logprobs.size(), 2U);
  EXPECT_NEAR(score->logprobs[0], -0.01 * ('A' + 10), 1e-9);
  EXPECT_NEAR(score->logprobs[1], -0.01 * ('B' + 10), 1e-9);
}

TEST(OpenAi, ScoresAContinuationByEchoWithABorderTokenInIt) {
  MockServer server({});
  auto settings = quick();
  settings["score"] = "echo";
  ScoreRequest request;
  request.messages = ask("q").messages;  // "q\n\n" and "so " are six characters: tokens of four
  request.assistant_prefix = "so ";
  request.continuation = "ABCD";
  auto score = await(model_at(server, settings)->score(request));
  ASSERT_TRUE(score) << score.error().message;
  EXPECT_EQ(score->texts, (std::vector<std::string>{"o AB", "CD"}));
  ASSERT_EQ(score->logprobs.size(), 2U);
  EXPECT_NEAR(score->logprobs[0], -0.4, 1e-9);
}

TEST(OpenAi, EmbedsText) {
  MockServer server({});
  EXPECT_EQ(await(model_at(server)->embed("four")).value(), (std::vector<float>{4.0F, 0.5F}));
}

TEST(OpenAi, ScoringElsewhereIsMissingWithAWayOut) {
  MockServer server({});
  auto score = await(model_at(server)->score({}));
  ASSERT_FALSE(score);
  EXPECT_EQ(score.error().kind, ErrorKind::missing);
  EXPECT_THAT(score.error().message, HasSubstr("echo"));
}

struct Fault {
  const char* name;
  const char* stream;
  ErrorKind kind;
  const char* says;
  std::size_t tries;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name << " " << fault.stream; }

class Faults : public testing::TestWithParam<Fault> {};
INSTANTIATE_TEST_SUITE_P(
    OpenAi, Faults,
    testing::Values(
        Fault{"401", "false", ErrorKind::missing, "answered 401 (no such key): it wants an API key",
              1},
        Fault{"403", "true", ErrorKind::missing, "answered 403", 1},
        Fault{"404", "false", ErrorKind::missing, "check the path", 1},
        Fault{"429", "false", ErrorKind::unavailable, "answered 429 (slow down)", 3},
        Fault{"500", "false", ErrorKind::unavailable, "answered 500 (out of order)", 3},
        Fault{"500", "true", ErrorKind::unavailable, "answered 500 (out of order)", 3},
        Fault{"garbage", "false", ErrorKind::unavailable, "no JSON", 3},
        Fault{"garbage", "true", ErrorKind::unavailable, "is no event stream", 3},
        Fault{"half_stream", "true", ErrorKind::unavailable, "in the middle of the answer", 3},
        Fault{"half_body", "false", ErrorKind::unavailable, "in the middle of the answer", 3},
        Fault{"stream_error", "true", ErrorKind::unavailable, "engine died", 3},
        Fault{"stream_error_line", "true", ErrorKind::unavailable, "reports: engine died", 3},
        Fault{"stream_error_event", "true", ErrorKind::unavailable, "reports: engine died", 3},
        Fault{"close", "false", ErrorKind::unavailable, "without an answer", 3},
        Fault{"close", "true", ErrorKind::unavailable, "without an answer", 3},
        Fault{"silent", "false", ErrorKind::timeout, "no answer in 150 ms", 1},
        Fault{"context", "false", ErrorKind::bad_input, "context_full: This model's", 1},
        Fault{"context_exact", "false", ErrorKind::bad_input, "context_full: max_tokens", 1}),
    [](const auto& info) {
      return std::string(info.param.name) + (info.param.stream[0] == 't' ? "_streamed" : "");
    });

TEST_P(Faults, EndInOneSentenceThatNamesTheServer) {
  const Fault& fault = GetParam();
  MockServer server({.fault = fault.name, .retry_after = 0});
  auto settings = quick();
  settings["stream"] = fault.stream;
  if (std::string_view(fault.name) == "silent") settings["timeout_ms"] = 150;
  auto turn = await(model_at(server, settings)->generate(ask()));
  ASSERT_FALSE(turn);
  EXPECT_EQ(turn.error().kind, fault.kind) << turn.error().message;
  EXPECT_THAT(turn.error().message, HasSubstr(fault.says));
  EXPECT_THAT(turn.error().message, Not(HasSubstr("\n")));
  if (fault.kind != ErrorKind::bad_input) {
    EXPECT_THAT(turn.error().message,
                HasSubstr("http://127.0.0.1:" + std::to_string(server.port())));
  }
  // A kept connection that is closed unanswered is tried once more on a new one, without counting.
  EXPECT_GE(server.generations(), fault.tries);
  EXPECT_LE(server.generations(), fault.tries + 1);
}

TEST(OpenAi, RecoversWhenTheServerDoes) {
  for (const char* fault : {"500", "429", "garbage", "half_body", "close"}) {
    MockServer server({.tool_turns = 0, .fault = fault, .fault_times = 2, .retry_after = 0});
    auto turn = await(model_at(server)->generate(ask()));
    ASSERT_TRUE(turn) << fault << ": " << turn.error().message;
    EXPECT_EQ(turn->content, "42");
  }
}

TEST(OpenAi, IsInTroubleUntilATrySucceeds) {
  MockServer server({.tool_turns = 0, .fault = "500", .fault_times = 1});
  auto settings = quick();
  settings["backoff_ms"] = 2000;
  auto model = model_at(server, settings);
  EXPECT_FALSE(model->trouble());
  EXPECT_FALSE(await(with_deadline(model->generate(ask()), 300ms, "generate")));
  EXPECT_EQ(model->trouble(), server.url() + "/chat/completions answered 500 (out of order)");
  EXPECT_TRUE(await(model->generate(ask())));
  EXPECT_FALSE(model->trouble());
}

TEST(OpenAi, WaitsAsLongAsRetryAfterSays) {
  MockServer server({.tool_turns = 0, .fault = "429", .fault_times = 1, .retry_after = 1});
  const auto started = std::chrono::steady_clock::now();
  auto turn = await(model_at(server)->generate(ask()));
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_GE(std::chrono::steady_clock::now() - started, 1s);
  EXPECT_GE(turn->queued_ms, 1000);
}

TEST(OpenAi, AsksNoMoreWhereItWasToldToStayAwayForLong) {
  MockServer server({.tool_turns = 0, .fault = "429", .fault_times = 1, .retry_after = 3600});
  auto model = model_at(server);
  for (int i = 0; i < 3; ++i) {
    auto turn = await(model->generate(ask()));
    ASSERT_FALSE(turn);
    EXPECT_EQ(turn.error().kind, ErrorKind::unavailable);
    EXPECT_EQ(turn.error().message, server.url() +
                                        "/chat/completions answered 429 (slow down), and asks to "
                                        "wait 3600 s");
  }
  EXPECT_EQ(server.generations(), 1U);
}

TEST(OpenAi, AnswersWithoutAListOfModels) {
  for (const int status : {400, 404, 405, 501}) {
    MockServer server({.tool_turns = 0, .models_status = status});
    EXPECT_TRUE(await(model_at(server)->capabilities())) << status;
    auto turn = await(model_at(server)->generate(ask()));
    EXPECT_TRUE(turn) << status << turn.error().message;
    auto unnamed = make_model({"openai:" + server.url(), quick()});
    auto can = await((*unnamed)->capabilities());
    ASSERT_FALSE(can);
    EXPECT_EQ(can.error().kind, ErrorKind::missing);
    EXPECT_THAT(can.error().message, HasSubstr("name the model (#MODEL)"));
  }
  MockServer closed({.models_status = 403});
  EXPECT_FALSE(await(model_at(closed)->capabilities()));
}

TEST(OpenAi, BrokenToolArgumentsAreAParseError) {
  MockServer server({.fault = "bad_arguments"});
  for (const char* stream : {"false", "true"}) {
    auto settings = quick();
    settings["stream"] = stream;
    auto turn = await(model_at(server, settings)->generate(ask()));
    ASSERT_TRUE(turn) << turn.error().message;
    EXPECT_TRUE(turn->tool_calls.empty());
    EXPECT_THAT(turn->parse_error.value_or(""), HasSubstr("'echo' are no JSON object"));
  }
}

TEST(OpenAi, LeavesOutAFieldTheServerRefuses) {
  MockServer server({.tool_turns = 0, .refuses = "return_token_ids"});
  auto model = model_at(server);
  EXPECT_TRUE(await(model->generate(ask())));
  EXPECT_EQ(server.generations(), 2U);
  EXPECT_TRUE(await(model->generate(ask())));
  EXPECT_EQ(server.generations(), 3U) << "learnt once";
}

TEST(OpenAi, ADeadServerIsMissingBeforeAnyWork) {
  std::string uri;
  {
    MockServer server({});
    uri = "openai:" + server.url() + "#mock";
  }
  auto model = make_model({uri, quick()});
  ASSERT_TRUE(model);
  auto can = await((*model)->capabilities());
  ASSERT_FALSE(can);
  EXPECT_EQ(can.error().kind, ErrorKind::missing);
  EXPECT_THAT(can.error().message, HasSubstr("cannot connect to 127.0.0.1"));
}

// The cap on looking is not that on answering: a model may take long to answer.
TEST(OpenAi, AServerThatHangsIsNotLookedAtForLong) {
  asio::io_context nobody;
  const asio::ip::tcp::acceptor silent(nobody, {asio::ip::address_v4::loopback(), 0});
  const std::string uri =
      "openai:http://127.0.0.1:" + std::to_string(silent.local_endpoint().port()) + "/v1#mock";
  auto model = make_model({uri, {{"retries", 0}, {"look_timeout_ms", 60}}});
  ASSERT_TRUE(model) << model.error().message;
  const auto started = std::chrono::steady_clock::now();
  auto can = await((*model)->capabilities());
  ASSERT_FALSE(can);
  EXPECT_EQ(can.error().kind, ErrorKind::missing);
  EXPECT_THAT(can.error().message, HasSubstr("no answer in 60 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - started, 5s);
  auto read = openai::read_settings({uri, {}});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->look_timeout, 15s);
}

TEST(OpenAi, WaitsBetweenTriesGrowAndAreSpread) {
  for (int attempt = 0; attempt < 9; ++attempt) {
    const auto longest = 100ms * (1 << std::min(attempt, 6));
    EXPECT_EQ(openai::retry_wait(100ms, attempt, 0), longest / 2) << attempt;
    EXPECT_LT(openai::retry_wait(100ms, attempt, 0.999), longest);
    EXPECT_GT(openai::retry_wait(100ms, attempt, 0.999), longest * 0.99);
  }
  EXPECT_EQ(openai::longer_wait(1s, 0), 1s);
  EXPECT_EQ(openai::longer_wait(1s, 0.5), 1125ms);
}

TEST(OpenAi, AnUnknownModelIsNamedWithTheKnown) {
  MockServer server({.model = "qwen-7b"});
  auto can = await(model_at(server, quick(), "qwen-8b")->capabilities());
  ASSERT_FALSE(can);
  EXPECT_EQ(can.error().kind, ErrorKind::missing);
  EXPECT_THAT(can.error().message, HasSubstr("no model 'qwen-8b'"));
  EXPECT_THAT(can.error().message, HasSubstr("'qwen-7b'"));
}

TEST(OpenAi, SaysThatAModelIsToBeNamedWhereThereIsNoList) {
  MockServer server({});
  auto model = make_model({"openai:" + server.url() + "/elsewhere", quick()});
  ASSERT_TRUE(model);
  auto can = await((*model)->capabilities());
  ASSERT_FALSE(can);
  EXPECT_THAT(can.error().message, HasSubstr("/elsewhere/models answered 404"));
  EXPECT_THAT(can.error().message, HasSubstr("name the model (#MODEL)"));
}

TEST(OpenAi, TakesTheOnlyModelWhenNoneIsNamed) {
  MockServer server({.model = "only-one", .tool_turns = 0});
  auto model = make_model({"openai:" + server.url(), quick()});
  ASSERT_TRUE(model);
  EXPECT_TRUE(await((*model)->generate(ask())));
  EXPECT_EQ((*model)->name(), "only-one");
  EXPECT_THAT(server.last_generation(), HasSubstr("\"model\":\"only-one\""));
}

TEST(OpenAi, SendsTheKeyOfTheNamedVariable) {
  MockServer server({.tool_turns = 0, .key = "s3cret"});
  setenv("PROCTOR_TEST_KEY", "s3cret", 1);
  auto model = make_model({"openai:" + server.url() + "?key_env=PROCTOR_TEST_KEY#mock", quick()});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(await((*model)->generate(ask())));
  setenv("PROCTOR_TEST_KEY", "wrong", 1);
  model = make_model({"openai:" + server.url() + "?key_env=PROCTOR_TEST_KEY#mock", quick()});
  auto turn = await((*model)->generate(ask()));
  ASSERT_FALSE(turn);
  EXPECT_EQ(turn.error().kind, ErrorKind::missing);
  EXPECT_THAT(turn.error().message, HasSubstr("the API key in PROCTOR_TEST_KEY"));
  EXPECT_THAT(turn.error().message, Not(HasSubstr("wrong")));
  unsetenv("PROCTOR_TEST_KEY");
  auto unset = make_model({"openai:" + server.url() + "?key_env=PROCTOR_TEST_KEY#mock", quick()});
  ASSERT_FALSE(unset);
  EXPECT_EQ(unset.error().kind, ErrorKind::missing);
}

Async<std::vector<Result<Generation>>> ask_many(ModelRef model, int many, Milliseconds limit = {}) {
  std::vector<Async<Result<Generation>>> all;
  auto request = ask();
  request.limit = limit;
  for (int i = 0; i < many; ++i) all.push_back(model->generate(request));
  co_return co_await gather(std::move(all));
}

TEST(OpenAi, EveryRequestUnderWaySurvivesARefusedField) {
  for (const char* field : {"return_token_ids", "logprobs", "max_tokens"}) {
    MockServer server({.delay = 100ms, .tool_turns = 0, .refuses = field});
    auto turns = await(ask_many(model_at(server), 64));
    int answered = 0;
    for (const auto& turn : turns) answered += turn.ok();
    EXPECT_EQ(answered, 64) << field;
    EXPECT_GT(server.most_at_once(), 32U) << field;
  }
}

TEST(OpenAi, WaitingForAPlaceIsNotTakenForASlowServer) {
  MockServer server({.delay = 60ms, .tool_turns = 0});
  auto settings = quick();
  settings["max_in_flight"] = 1;
  auto turns = await(ask_many(model_at(server, settings), 16, 400ms));
  double queued_ms = 0;
  for (const auto& turn : turns) {
    ASSERT_TRUE(turn) << turn.error().message;
    queued_ms = std::max(queued_ms, turn->queued_ms);
  }
  EXPECT_EQ(turns[0]->queued_ms, 0);
  EXPECT_GE(queued_ms, 15 * 60);
  MockServer slow({.delay = 3s, .tool_turns = 0});
  turns = await(ask_many(model_at(slow), 1, 100ms));
  ASSERT_FALSE(turns[0]);
  EXPECT_EQ(turns[0].error().kind, ErrorKind::timeout);
  EXPECT_THAT(turns[0].error().message, HasSubstr("no answer in 100 ms"));
}

TEST(OpenAi, NeverHasMoreInFlightThanAllowed) {
  MockServer server({.delay = 20ms, .tool_turns = 0});
  auto settings = quick();
  settings["max_in_flight"] = 5;
  auto model = model_at(server, settings);
  auto turns = await(ask_many(model, 40));
  for (const auto& turn : turns) EXPECT_TRUE(turn);
  EXPECT_EQ(server.most_at_once(), 5U);
  EXPECT_EQ(model->usage().highest, 5U);
  EXPECT_LE(server.connections(), 5U);
}

TEST(OpenAi, HoldsTwoThousandAtASlowServer) {
  MockServer server({.delay = 1500ms, .tool_turns = 0});
  auto settings = quick();
  settings["max_in_flight"] = 4000;
  auto turns = await(ask_many(model_at(server, settings), 2000));
  std::size_t answered = 0;
  for (const auto& turn : turns) answered += turn.ok();
  EXPECT_EQ(answered, 2000U);
  EXPECT_EQ(server.most_at_once(), 2000U);
}

TEST(OpenAi, ReplacesConnectionsThatWentStale) {
  MockServer server({.tool_turns = 0});
  auto model = model_at(server);
  asio::io_context context;
  int answered = 0;
  const auto count = [&](std::exception_ptr, Result<Generation> turn) { answered += turn.ok(); };
  asio::co_spawn(context, model->generate(ask()), count);
  context.run();
  server.close_connections();
  std::this_thread::sleep_for(20ms);
  context.restart();
  asio::co_spawn(context, model->generate(ask()), count);
  context.run();
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(server.connections(), 2U);
}

TEST(OpenAi, CancellingEndsAtOnce) {
  MockServer server({.delay = 5s, .tool_turns = 0});
  auto model = model_at(server);
  const auto started = std::chrono::steady_clock::now();
  auto late = await(with_deadline(model->generate(ask()), 50ms, "generate"));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - started, 2s);
}

TEST(OpenAi, SharesConnectionsAmongStrands) {
  MockServer server({.threads = 2, .tool_turns = 0});
  auto model = model_at(server);
  asio::io_context context;
  std::atomic<int> answered{0};
  for (int i = 0; i < 64; ++i)
    asio::co_spawn(asio::make_strand(context), converse(model, 1),
                   [&](std::exception_ptr, int turns) { answered += turns; });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run(); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answered, 64);
  EXPECT_LE(server.connections(), 65U);
}

struct BadConfig {
  const char* uri;
  json::object settings;
  const char* says;
};

TEST(OpenAi, RefusesABadConfigInASentence) {
  const BadConfig cases[] = {
      {"openai:", {}, "is no http(s) URL"},
      {"openai:127.0.0.1:8000/v1#m", {}, "is no http(s) URL"},
      {"openai:http://h:99999/v1#m", {}, "the port is no number from 1 to 65535"},
      {"openai:http://h/v1?token=x#m", {}, "only key_env=NAME"},
      {"openai:http://h/v1/chat/completions#m", {}, "write .../v1"},
      {"openai:http://h/v1#m", {{"timeout_m", 3}}, "'timeout_ms'"},
      {"openai:http://h/v1#m", {{"retries", -1}}, "retries"},
      {"openai:http://h/v1#m", {{"stream", "maybe"}}, "auto, true or false"},
      {"openai:http://h/v1#m", {{"headers", {{"X", "a\r\nB: c"}}}}, "line break"},
      {"openai:http://h/v1#m",
       {{"headers", {{"content-length", "5"}}}},
       "headers.content-length: proctor writes this one itself"},
      {"openai:http://h/v1#m", {{"headers", {{"Host", "x"}}}}, "headers.Host"},
      {"openai:http://h/v1#m",
       {{"headers", {{"X", 5}}}},
       "headers.X: expected a text, or {env: NAME}"},
      {"openai:http://h/v1#m",
       {{"headers", {{"X", {{"env", "PROCTOR_TEST_UNSET"}}}}}},
       "PROCTOR_TEST_UNSET (headers.X) is not set"},
      {"openai:http://h/v1#m", {{"headers", {{"Transfer-Encoding", "x"}}}}, "headers.Transfer"},
      {"openai:https://h/v1#m",
       {{"ca_file", "/nonexistent.pem"}},
       "ca_file /nonexistent.pem: No such file or directory"},
      {"openai:http://h/v1#m", {{"extra_body", {{"model", "x"}}}}, "behind '#' in the URI"},
      {"openai:http://h/v1#m", {{"extra_body", {{"stream", true}}}}, "setting `stream`"},
  };
  for (const BadConfig& bad : cases) {
    auto model = make_model({bad.uri, bad.settings});
    ASSERT_FALSE(model) << bad.uri;
    EXPECT_THAT(model.error().message, HasSubstr(bad.says)) << bad.uri;
  }
}

}  // namespace
}  // namespace proctor
