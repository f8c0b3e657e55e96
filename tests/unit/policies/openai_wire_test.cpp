// Requests as they are written and answers as servers vary them.
#include "policies/openai_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace proctor::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

json::object body_of(const GenerateRequest& request, const Wire& wire, bool stream = false) {
  auto parsed = parse_json(chat_body(request, wire, stream));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed->as_object();
}

GenerateRequest small_request() {
  GenerateRequest request;
  request.messages.push_back({.role = "user", .content = "a \"b\"\n\x01\\ é"});
  request.sampling = {.temperature = 0.25, .seed = 1ULL << 40 | 5, .max_tokens = 9};
  return request;
}

TEST(ChatBody, SaysWhatWasAsked) {
  auto request = small_request();
  Message called;
  called.role = "assistant";
  called.tool_calls.push_back({"c0", "search", {{"q", "x"}}});
  request.messages.push_back(called);
  Message seen;
  seen.role = "tool";
  seen.tool_call_id = "c0";
  seen.content = "hit";
  request.messages.push_back(seen);
  request.tools.push_back({"search", "finds", {{"type", "object"}}});
  request.stop = {"</a>"};
  const auto body = body_of(request, {.model = "m", .dialect = Dialect::vllm});
  EXPECT_EQ(body.at("messages").at_pointer("/0/content"), "a \"b\"\n\x01\\ é");
  EXPECT_TRUE(body.at("messages").at_pointer("/1/content").is_null());
  EXPECT_EQ(body.at("messages").at_pointer("/1/tool_calls/0/function/arguments"), "{\"q\":\"x\"}");
  EXPECT_EQ(body.at("messages").at_pointer("/2/tool_call_id"), "c0");
  EXPECT_EQ(body.at("tools").at_pointer("/0/function/name"), "search");
  EXPECT_EQ(body.at("temperature"), 0.25);
  EXPECT_EQ(body.at("max_tokens"), 9);
  EXPECT_EQ(body.at("seed"), 5);
  EXPECT_EQ(body.at("include_stop_str_in_output"), true);
  EXPECT_EQ(body.at("return_token_ids"), true);
  EXPECT_FALSE(body.contains("stream"));
}

TEST(ChatBody, SaysWhatIsOffSoThatTheServersDefaultsDoNotCount) {
  const auto sent = [](Dialect dialect) {
    return body_of(small_request(), {.model = "m", .dialect = dialect});
  };
  for (const Dialect dialect : {Dialect::vllm, Dialect::sglang, Dialect::llama_server}) {
    const auto body = sent(dialect);
    EXPECT_EQ(body.at("top_p"), 1);
    EXPECT_EQ(body.at("top_k"), -1);
    EXPECT_EQ(body.at("min_p"), 0);
    const bool llama = dialect == Dialect::llama_server;
    EXPECT_EQ(body.at(llama ? "repeat_penalty" : "repetition_penalty"), 1);
    EXPECT_EQ(body.contains("top_logprobs"), llama);
  }
  const auto body = sent(Dialect::generic);
  EXPECT_EQ(body.at("top_p"), 1);
  EXPECT_FALSE(body.contains("top_k") || body.contains("min_p"));
}

TEST(ChatBody, GivesReasoningBackWhereTemplatesKnowIt) {
  auto request = small_request();
  request.messages.push_back({.role = "assistant", .content = "4", .reasoning = "2 and 2"});
  const auto vllm = body_of(request, {.model = "m", .dialect = Dialect::vllm});
  EXPECT_EQ(vllm.at("messages").at_pointer("/1/reasoning_content"), "2 and 2");
  const auto other = body_of(request, {.model = "m"});
  EXPECT_FALSE(other.at("messages").at_pointer("/1").as_object().contains("reasoning_content"));
}

TEST(ChatBody, ExtraBodyTakesThePlaceOfOurs) {
  const auto body =
      body_of(small_request(), {.model = "m", .extra_body = {{"temperature", 1}, {"user", "me"}}});
  EXPECT_EQ(body.at("temperature"), 1);
  EXPECT_EQ(body.at("user"), "me");
}

TEST(ChatBody, ConstrainsInTheServersOwnWords) {
  auto request = small_request();
  request.grammar = "root ::= \"a\"";
  const auto with = [&](Dialect dialect, bool newer = true) {
    return body_of(request, {.model = "m", .dialect = dialect, .structured_outputs = newer});
  };
  EXPECT_EQ(with(Dialect::vllm).at("structured_outputs").at("grammar"),
            json::string(request.grammar));
  EXPECT_EQ(with(Dialect::vllm, false).at("guided_grammar"), json::string(request.grammar));
  EXPECT_EQ(with(Dialect::sglang).at("ebnf"), json::string(request.grammar));
  EXPECT_EQ(with(Dialect::llama_server).at("grammar"), json::string(request.grammar));
  request.grammar.clear();
  request.json_schema = {{"type", "object"}};
  EXPECT_EQ(with(Dialect::generic).at("response_format").at_pointer("/json_schema/schema/type"),
            "object");
}

Result<Generation> read(std::string_view body) {
  AnswerReader reader;
  if (auto taken = reader.take_whole(body); !taken) return std::move(taken).error();
  return reader.finish();
}

TEST(Answer, TakesArgumentsAsTextOrObjectAndNone) {
  auto turn = read(R"({"choices":[{"finish_reason":"stop","message":{"content":null,"tool_calls":[
    {"id":"x","function":{"name":"a","arguments":"{\"k\":1}"}},
    {"function":{"name":"b","arguments":{"k":2}}},
    {"function":{"name":"c","arguments":""}}]}}]})");
  ASSERT_TRUE(turn);
  ASSERT_EQ(turn->tool_calls.size(), 3U);
  EXPECT_EQ(turn->tool_calls[0].arguments.at("k"), 1);
  EXPECT_EQ(turn->tool_calls[1].arguments.at("k"), 2);
  EXPECT_EQ(turn->tool_calls[1].id, "c1");
  EXPECT_TRUE(turn->tool_calls[2].arguments.empty());
  EXPECT_EQ(turn->finish_reason, "tool_calls");
}

TEST(Answer, IsTheChoiceOfTheLowestIndex) {
  auto turn = read(R"({"choices":[{"index":1,"message":{"content":"b"}}]})");
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(turn->content, "b");
  turn = read(R"({"choices":[{"index":1,"message":{"content":"b"}},
                             {"index":0,"message":{"content":"a"}}]})");
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->content, "a");
}

TEST(Answer, IsTheFirstChoiceOfAStreamWhateverItsIndex) {
  AnswerReader reader;
  for (const char* data :
       {R"({"choices":[{"index":1,"delta":{"content":"4"}}]})",
        R"({"choices":[{"index":2,"delta":{"content":"7"}}]})",
        R"({"choices":[{"index":1,"delta":{"content":"2"},"finish_reason":"stop"}]})", "[DONE]"})
    ASSERT_TRUE(reader.take_event(data)) << data;
  auto turn = reader.finish();
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(turn->content, "42");
}

TEST(Answer, IsTheChoiceOfTheLowestIndexOfAStreamToo) {
  AnswerReader reader;
  for (
      const char* data :
      {R"({"choices":[{"index":1,"delta":{"content":"wrong","reasoning":"no"},"finish_reason":"length"}]})",
       R"({"choices":[{"index":1,"delta":{"tool_calls":[{"id":"a","function":{"name":"f"}}]}}]})",
       R"({"choices":[{"index":0,"delta":{"content":"right"}}]})",
       R"({"choices":[{"index":1,"delta":{"content":"wrong"}}]})",
       R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})", "[DONE]"})
    ASSERT_TRUE(reader.take_event(data)) << data;
  auto turn = reader.finish();
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(turn->content, "right");
  EXPECT_FALSE(turn->reasoning);
  EXPECT_TRUE(turn->tool_calls.empty());
  EXPECT_EQ(turn->finish_reason, "stop");
}

TEST(Answer, EndsWhereTheStreamSaysSo) {
  AnswerReader reader;
  for (const char* data : {R"({"choices":[{"delta":{"content":"7"}}]})", "[DONE]",
                           R"({"choices":[{"delta":{"content":" and more"}}]})", "no JSON"})
    ASSERT_TRUE(reader.take_event(data)) << data;
  EXPECT_EQ(reader.finish()->content, "7");
}

TEST(Answer, TakesANameOnceThatIsSaidWithEachPiece) {
  AnswerReader reader;
  for (
      const char* data :
      {R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"python","arguments":"{\"k"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"python","arguments":"\":1}"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"get_"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"time","arguments":"{}"}}]}}]})",
       "[DONE]"})
    ASSERT_TRUE(reader.take_event(data)) << data;
  auto turn = reader.finish();
  ASSERT_TRUE(turn);
  ASSERT_EQ(turn->tool_calls.size(), 2U);
  EXPECT_EQ(turn->tool_calls[0].name, "python");
  EXPECT_EQ(turn->tool_calls[0].arguments.at("k"), 1);
  EXPECT_EQ(turn->tool_calls[1].name, "get_time");
}

TEST(Answer, JoinsACallThatCameInPieces) {
  AnswerReader reader;
  for (
      const char* data :
      {R"({"choices":[{"delta":{"reasoning_content":"hm "}}]})",
       R"({"choices":[{"delta":{"reasoning":"so","content":"I "}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"two","arguments":"{}"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"one","arguments":"{\"k"}}]}}]})",
       R"({"choices":[{"delta":{"content":"look","tool_calls":[{"index":0,"function":{"arguments":"\":7}"}}]}}]})",
       R"({"choices":[{"delta":{},"finish_reason":"tool_calls"}]})",
       R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}})",
       "[DONE]"})
    ASSERT_TRUE(reader.take_event(data)) << data;
  auto turn = reader.finish();
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->content, "I look");
  EXPECT_EQ(turn->reasoning, "hm so");
  ASSERT_EQ(turn->tool_calls.size(), 2U);
  EXPECT_EQ(turn->tool_calls[0].name, "one");
  EXPECT_EQ(turn->tool_calls[0].arguments.at("k"), 7);
  EXPECT_EQ(turn->tool_calls[1].id, "b");
  EXPECT_EQ(turn->prompt_tokens, 5);
  EXPECT_EQ(turn->cached_tokens, 2);
}

TEST(Answer, KeepsCallsApartThatShareAnIndex) {
  AnswerReader reader;
  for (
      const char* data :
      {R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"one","arguments":""}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"k\":1}"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"two","arguments":"{\"k\""}}]}}]})",
       R"({"choices":[{"finish_reason":"stop","delta":{"tool_calls":[{"index":0,"function":{"arguments":":2}"}}]}}]})"})
    ASSERT_TRUE(reader.take_event(data)) << data;
  auto turn = reader.finish();
  ASSERT_TRUE(turn);
  ASSERT_EQ(turn->tool_calls.size(), 2U) << turn->parse_error.value_or("");
  EXPECT_EQ(turn->tool_calls[0].arguments.at("k"), 1);
  EXPECT_EQ(turn->tool_calls[1].arguments.at("k"), 2);
}

TEST(Answer, KeepsWhatARefusalSaysAndMarksIt) {
  auto turn = read(R"({"choices":[{"finish_reason":"stop","message":
    {"content":null,"refusal":"I will not."}}]})");
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->content, "I will not.");
  EXPECT_EQ(turn->extra.at("refusal"), true);
  turn = read(R"({"choices":[{"message":{"content":[{"type":"refusal","refusal":"No."}]}}]})");
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->content, "No.");
  EXPECT_EQ(turn->extra.at("refusal"), true);
  turn = read(R"({"choices":[{"message":{"content":"Gladly.","refusal":null}}]})");
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->content, "Gladly.");
  EXPECT_FALSE(turn->extra.contains("refusal"));
}

TEST(Answer, TakesAFunctionCallForOneToolCall) {
  auto turn = read(R"({"choices":[{"finish_reason":"function_call","message":{"content":null,
    "function_call":{"name":"a","arguments":"{\"k\":1}"}}}]})");
  ASSERT_TRUE(turn);
  ASSERT_EQ(turn->tool_calls.size(), 1U);
  EXPECT_EQ(turn->tool_calls[0].id, "c0");
  EXPECT_EQ(turn->tool_calls[0].name, "a");
  EXPECT_EQ(turn->tool_calls[0].arguments.at("k"), 1);
  EXPECT_EQ(turn->finish_reason, "tool_calls");
  // Some servers say it in both forms.
  turn = read(R"({"choices":[{"message":{"tool_calls":[{"id":"x","function":{"name":"a"}}],
    "function_call":{"name":"a","arguments":"{}"}}}]})");
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->tool_calls.size(), 1U);
  turn = read(R"({"choices":[{"message":{"tool_calls":[],
    "function_call":{"name":"a","arguments":"{oh"}}}]})");
  ASSERT_TRUE(turn);
  EXPECT_THAT(turn->parse_error.value_or(""), HasSubstr("they were: {oh"));
}

TEST(Answer, OfTooManyCallsIsNotRun) {
  std::string calls;
  for (int i = 0; i < 200; ++i)
    calls += std::string(i ? "," : "") + R"({"id":"c)" + std::to_string(i) +
             R"(","type":"function","function":{"name":"f","arguments":"{}"}})";
  auto many = read(R"({"choices":[{"message":{"tool_calls":[)" + calls + "]}}]}");
  ASSERT_TRUE(many);
  EXPECT_EQ(many->parse_error, "the turn makes more than 128 tool calls; make fewer at once");
}

TEST(Answer, ShowsArgumentsThatCannotBeRead) {
  auto turn = read(R"({"choices":[{"message":{"tool_calls":[{"id":"x","function":
    {"name":"python","arguments":"{\"code\": print"}}]}}]})");
  ASSERT_TRUE(turn);
  EXPECT_THAT(turn->parse_error.value_or(""), HasSubstr("they were: {\"code\": print"));
  EXPECT_EQ(turn->extra.at("broken_calls").at_pointer("/0/arguments"), "{\"code\": print");
}

TEST(Answer, TakesNoNumberOrListForArguments) {
  for (const std::string arguments : {"5", "[1]", "true", "\"5\""}) {
    auto turn = read(R"({"choices":[{"message":{"tool_calls":[{"id":"x","function":
      {"name":"python","arguments":)" +
                     arguments + "}}]}}]}");
    ASSERT_TRUE(turn);
    EXPECT_TRUE(turn->tool_calls.empty());
    EXPECT_THAT(turn->parse_error.value_or(""), HasSubstr("are no JSON object; they were: "));
  }
  auto none = read(
      R"({"choices":[{"message":{"tool_calls":[{"id":"x","function":{"name":"f","arguments":null}}]}}]})");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->tool_calls.size(), 1U) << "null is none";
}

TEST(Answer, ShowsToolCallsThatAreNone) {
  for (const std::string calls :
       {R"({"name":"f"})", R"(["f"])", R"([{"type":"custom","custom":{"name":"f"}}])"}) {
    auto turn = read(R"({"choices":[{"message":{"content":null,"tool_calls":)" + calls + "}}]}");
    ASSERT_TRUE(turn);
    EXPECT_THAT(turn->parse_error.value_or(""), HasSubstr("the tool_calls are malformed"));
    EXPECT_THAT(turn->parse_error.value_or(""), HasSubstr("f\""));
    EXPECT_EQ(turn->extra.at("broken_calls").as_array().size(), 1U);
  }
  for (const std::string calls : {"null", "{}", "\"\"", "[]", "[null]", "[{}]"}) {
    auto turn = read(R"({"choices":[{"message":{"content":"x","tool_calls":)" + calls + "}}]}");
    ASSERT_TRUE(turn);
    EXPECT_FALSE(turn->parse_error) << calls << ": an empty place is none";
  }
  AnswerReader reader;
  for (const char* data :
       {R"({"choices":[{"delta":{"tool_calls":[{"id":"a","type":"custom","custom":{}}]}}]})",
        "[DONE]"})
    ASSERT_TRUE(reader.take_event(data));
  EXPECT_THAT(reader.finish()->parse_error.value_or(""), HasSubstr("malformed"));
}

TEST(Answer, ReadsWhatIsAlmostJson) {
  auto turn = read(
      "\xEF\xBB\xBF{\"choices\":[{\"message\":{\"content\":\"a\\ud83db\\ud83d\\ude80\xFF"
      "\\n\"},\"finish_reason\":\"stop\",\"logprobs\":{\"content\":[{\"logprob\":NaN}]}}]}");
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(turn->content, "a\uFFFDb\U0001F680\uFFFD\n");
  EXPECT_FALSE(read("\xEF\xBB\xBF{\"choices\":["));
}

TEST(Answer, ThatTheServerGaveUpIsNone) {
  for (const char* reason : {"abort", "error", "cancelled"}) {
    auto turn = read(R"({"choices":[{"message":{"content":"On"},"finish_reason":")" +
                     std::string(reason) + "\"}]}");
    ASSERT_FALSE(turn) << reason;
    EXPECT_EQ(turn.error().kind, ErrorKind::unavailable);
  }
}

TEST(Answer, HasNoTokensUnlessAllIdsAreThere) {
  const std::string ids = R"({"prompt_token_ids":[1],"choices":[{"token_ids":[3],
    "logprobs":{"content":[{"logprob":-0.5}]},"message":{"content":"x"}}],"usage":)";
  EXPECT_TRUE(read(ids + R"({"completion_tokens":1}})")->tokens);
  EXPECT_FALSE(read(ids + R"({"completion_tokens":9}})")->tokens);
  EXPECT_FALSE(read(R"({"choices":[{"logprobs":{"content":[{"id":7,"logprob":-0.5}]},
    "message":{"content":"x"}}]})")
                   ->tokens)
      << "no ids, no log-probabilities";
}

TEST(Answer, HasNoTokensWithoutThoseOfThePrompt) {
  const std::string rest = R"("choices":[{"token_ids":[3],"message":{"content":"x"}}]})";
  EXPECT_TRUE(read(R"({"prompt_token_ids":[1],)" + rest)->tokens);
  EXPECT_FALSE(read(R"({"prompt_token_ids":[],)" + rest)->tokens);
  EXPECT_FALSE(read(R"({"prompt_token_ids":null,)" + rest)->tokens);
}

TEST(Answer, TellsOfThePromptThatTheServerSaw) {
  const auto prompt = [](const std::string& body) -> std::vector<std::int32_t> {
    AnswerReader reader({}, std::vector<std::int32_t>{1, 2});
    EXPECT_TRUE(reader.take_whole(body));
    auto turn = reader.finish();
    EXPECT_TRUE(turn);
    return turn->tokens ? turn->tokens->prompt_ids : std::vector<std::int32_t>();
  };
  const std::string choice = R"("token_ids":[3],"text":"x"}])";
  EXPECT_THAT(prompt(R"({"choices":[{)" + choice + "}"), ElementsAre(1, 2));
  EXPECT_THAT(prompt(R"({"choices":[{)" + choice + R"(,"usage":{"prompt_tokens":2}})"),
              ElementsAre(1, 2));
  EXPECT_THAT(prompt(R"({"choices":[{"prompt_token_ids":[9,1,2],)" + choice + "}"),
              ElementsAre(9, 1, 2));
  EXPECT_THAT(prompt(R"({"choices":[{)" + choice + R"(,"usage":{"prompt_tokens":3}})"), IsEmpty())
      << "not those that were sent, and not known which";
}

TEST(Answer, FindsTokenIdsWhereServersPutThem) {
  auto chat =
      read(R"({"prompt_token_ids":[1,2],"choices":[{"token_ids":[3,4],"finish_reason":"stop",
    "logprobs":{"content":[{"logprob":-0.5},{"logprob":-9999.0}]},"message":{"content":"x"}}]})");
  ASSERT_TRUE(chat && chat->tokens);
  EXPECT_EQ(chat->tokens->prompt_ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(chat->tokens->ids, (std::vector<std::int32_t>{3, 4}));
  EXPECT_EQ(chat->tokens->logprobs, (std::vector<float>{-0.5F, -9999.0F}));
  auto plain = read(R"({"choices":[{"prompt_token_ids":[1],"token_ids":[3],"text":"x",
    "finish_reason":"length","logprobs":{"token_logprobs":[-1]}}]})");
  ASSERT_TRUE(plain && plain->tokens);
  EXPECT_EQ(plain->tokens->prompt_ids.size(), 1U);
  EXPECT_EQ(plain->finish_reason, "length");
  auto uneven = read(R"({"prompt_token_ids":[1],"choices":[{"token_ids":[3,4],
    "logprobs":{"content":[{"logprob":-0.5}]},"message":{"content":"x"}}]})");
  ASSERT_TRUE(uneven && uneven->tokens);
  EXPECT_TRUE(uneven->tokens->logprobs.empty())
      << "log-probabilities of other tokens are worse than none";
  for (const char* logprobs : {R"({"token_logprobs":[null,-1],"tokens":["a","b"]})",
                               R"({"content":[{"logprob":null},{"logprob":-1}]})",
                               R"({"content":[{"logprob":0.5},{"logprob":-1}]})",
                               R"({"content":[{"logprob":-1e300},{"logprob":-1}]})"}) {
    auto unknown = read(R"({"prompt_token_ids":[1],"choices":[{"token_ids":[3,4],"text":"ab",
      "logprobs":)" + std::string(logprobs) +
                        "}]}");
    ASSERT_TRUE(unknown && unknown->tokens);
    EXPECT_TRUE(unknown->tokens->logprobs.empty()) << "no log-probability is not certainty";
  }
}

// Ends of the tokens, and where the content begins among them; empty: not known.
std::pair<std::vector<std::size_t>, std::size_t> places(const std::string& message,
                                                        const std::string& logprobs,
                                                        int tokens = 3) {
  AnswerReader reader;
  std::string ids = "1";
  for (int i = 1; i < tokens; ++i) ids += ",1";
  EXPECT_TRUE(reader.take_whole(
      R"({"prompt_token_ids":[1],"choices":[{"index":0,"finish_reason":"stop","message":)" +
      message + R"(,"token_ids":[)" + ids + R"(],"logprobs":)" + logprobs + R"(}],
         "usage":{"completion_tokens":)" +
      std::to_string(tokens) + "}}"));
  auto turn = reader.finish();
  EXPECT_TRUE(turn && turn->tokens);
  return {turn->token_ends, turn->content_from};
}

TEST(Answer, PlacesItsTokensInTheTextWhereTheyAreKnown) {
  using Places = std::pair<std::vector<std::size_t>, std::size_t>;
  // Two tokens share one letter of three bytes; the end of the turn is not in the content.
  const std::string split = R"({"content":[
      {"token":"x\ufffd","bytes":[120,226],"logprob":-1},
      {"token":"\ufffd","bytes":[130,172],"logprob":-1},
      {"token":"<eos>","bytes":[60,101,111,115,62],"logprob":-1}]})";
  EXPECT_EQ(places(R"({"content":"x\u20ac"})", split), (Places{{2, 4, 9}, 0}));
  const std::string as_text = R"({"tokens":["so"," be","<eos>"],"token_logprobs":[-1,-1,-1]})";
  EXPECT_EQ(places(R"({"content":"so be"})", as_text), (Places{{2, 5, 10}, 0}));
  EXPECT_EQ(places(R"({"content":"other"})", as_text), (Places{{}, 0})) << "not its text";
  const std::string called = R"({"content":"so","tool_calls":[{"function":{"name":"f"}}]})";
  EXPECT_EQ(places(called, as_text), (Places{{}, 0})) << "the call's tokens are anywhere";
  const std::string thought = R"({"content":[{"token":"<think>hm</think>","logprob":-1},
      {"token":"\n\n4","logprob":-1}]})";
  for (const char* content : {"4", "\\n\\n4"})
    EXPECT_EQ(places(R"({"reasoning_content":"hm","content":")" + std::string(content) + "\"}",
                     thought, 2),
              (Places{{17, 20}, content[0] == '4' ? 19U : 17U}));
  EXPECT_EQ(places(R"({"reasoning_content":"ha","content":"4"})", thought, 2), (Places{{}, 0}));
}

TEST(Answer, TakesNoNonsense) {
  for (const char* body :
       {"", "[]", "{}", "{\"choices\":[]}", "{\"choices\":[7]}", "nonsense", "{\"choices\":{}}",
        "{\"choices\":[{}]}", "{\"choices\":[{\"message\":null,\"finish_reason\":\"stop\"}]}",
        "{\"error\":{\"message\":\"broken\"}}", "{\"choices\":[{\"message\":{\"content\":7}}]}"}) {
    auto turn = read(body);
    ASSERT_FALSE(turn) << body;
    EXPECT_EQ(turn.error().kind, ErrorKind::unavailable) << body;
  }
  auto odd = read(R"({"choices":[{"message":{"content":"","tool_calls":[3,{"function":5}]}}],
    "usage":{"prompt_tokens":-5,"completion_tokens":-7}})");
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->content, "");
  EXPECT_EQ(odd->prompt_tokens, 0);
  EXPECT_EQ(odd->completion_tokens, 0);
}

TEST(ErrorMessage, IsFoundAndKeptToOneLine) {
  EXPECT_EQ(error_message(R"({"error":{"message":"a\nb"}})"), "a b");
  EXPECT_EQ(error_message(R"({"object":"error","message":"m"})"), "m");
  EXPECT_EQ(error_message(R"({"detail":"d"})"), "d");
  EXPECT_THAT(error_message(R"({"detail":[{"loc":["body","x"]}]})"), HasSubstr("loc"));
  EXPECT_EQ(error_message("<html>\n"), "<html> ");
  EXPECT_LT(error_message(std::string(5000, 'x')).size(), 200U);
}

TEST(FewerTokens, AreWhatThePromptLeavesInEachServersWords) {
  EXPECT_EQ(
      fewer_tokens("This model's maximum context length is 600 tokens. However, you requested "
                   "782 tokens (270 in the messages, 512 in the completion).",
                   9000, 512),
      330);
  EXPECT_EQ(fewer_tokens("'max_tokens' or 'max_completion_tokens' is too large: 512. This model's "
                         "maximum context length is 600 tokens and your request has 270 input "
                         "tokens (512 > 600 - 270). None",
                         0, 512),
            330);
  EXPECT_EQ(fewer_tokens("Requested token count exceeds the model's maximum context length of 600 "
                         "tokens. You requested a total of 782 tokens: 270 tokens from the input "
                         "messages and 512 tokens for the completion.",
                         0, 512),
            330);
  EXPECT_EQ(
      fewer_tokens("You passed 270 input tokens and requested 512 output tokens. However, the "
                   "model's context length is only 600 tokens, resulting in a maximum input "
                   "length of 88 tokens.",
                   0, 512),
      330);
  EXPECT_EQ(fewer_tokens("request (270 tokens) is too long", 600, 512), 330);
}

TEST(FewerTokens, AreHalfWhereNothingSaysMoreAndNoneWhereNoTurnFits) {
  EXPECT_EQ(fewer_tokens("the request exceeds the available context size", 0, 512), 256);
  EXPECT_EQ(fewer_tokens("", 600, 100), 64);
  EXPECT_EQ(fewer_tokens("", 600, 64), 0);
  EXPECT_EQ(
      fewer_tokens("request (700 tokens) exceeds the available context size (600 tokens)", 0, 512),
      0);
  EXPECT_EQ(fewer_tokens("maximum context length is 600 tokens. However, you requested 1112 tokens "
                         "(600 in the messages, 512 in the completion)",
                         0, 512),
            0);
  EXPECT_EQ(fewer_tokens("maximum context length is 600 tokens. However, you requested 1102 tokens "
                         "(590 in the messages, 512 in the completion)",
                         0, 512),
            0);
  EXPECT_EQ(fewer_tokens("max_tokens must be at least 1, got 0.", 600, 512), 0);
}

TEST(RestoreStop, PutsBackAnElementsClosingTag) {
  std::string content = "<think>x</think><search>query";
  restore_stop(content, {"</answer>", "</search>"});
  EXPECT_EQ(content, "<think>x</think><search>query</search>");
  restore_stop(content, {"</answer>", "</search>"});
  EXPECT_EQ(content, "<think>x</think><search>query</search>");
}

TEST(PromptLogprobs, AreThoseBehindTheBorder) {
  const char* body = R"({"choices":[{"prompt_logprobs":[null,{"7":{"logprob":-1}},
    {"8":{"logprob":-2},"9":{"logprob":-0.1}}]}]})";
  auto values = prompt_logprobs(body, {5, 7, 8}, 1);
  ASSERT_TRUE(values);
  EXPECT_EQ(*values, (std::vector<double>{-1, -2}));
  EXPECT_FALSE(prompt_logprobs(body, {5, 7}, 1));
  EXPECT_FALSE(prompt_logprobs(body, {5, 7, 6}, 1));
  auto none = prompt_logprobs("{\"choices\":[{}]}", {1}, 0);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::missing);
}

}  // namespace
}  // namespace proctor::openai
