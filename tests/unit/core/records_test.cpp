// Records survive JSON there and back, and complaints name the path.
#include "runtime/core/records.h"

#include <gtest/gtest.h>

#include "runtime/core/record_writer.h"

namespace proctor {
namespace {

const char* const kWhole = R"({"schema":"proctor.trajectory/1","id":"t","run_id":"r","task_id":"a",
    "group_id":"g","sample":2,"parent":{"trajectory_id":"p","turns":1},
    "task":{"id":"a","suite":"qa","prompt":"Q","messages":null,"tools":["search"],"gold":{"answers":["x"]},
            "media":[],"metadata":{},"new_field":1},
    "policy":{"backend":"script"},"prefix":[{"role":"user","content":"Q"}],
    "turns":[{"index":0,"weights_version":null,"assistant":{"content":"c","reasoning":null,"steps":null,
      "tool_calls":[{"id":"c0","name":"search","arguments":{"query":"q"}}],"parse_error":null,
      "finish_reason":"stop","tokens":{"prompt_ids":[1,2],"ids":[3],"logprobs":[-0.5],"segments":null}},
      "observations":[{"tool_call_id":"c0","name":"search","status":"timeout","content":"o","data":{"k":1},
      "usage":{"wall_ms":1.5E0,"cpu_ms":0E0,"peak_memory_bytes":7}}],"candidates":null,"chosen":null,
      "scores":{"igpo.gain":4.1E-1},"action":{"decision":"stop","by":"x"},
      "timing":{"started":"s","model_ms":1E0,"tools_ms":2E0,"supervise_ms":3E0},"state":{"mine":true}}],
    "outcome":{"status":"stopped","answer":null,"reward":1E0,"correct":true,"metrics":{},"error":null},
    "observation":null,
    "labels":[{"supervisor":"s","name":"n","level":"token","turn":0,"step":null,"line":null,"tool_call":null,
      "token":[0,2],"value":null,"verdict":"neutral","rationale":null,"evidence":{},
      "cost":{"model_calls":1,"prompt_tokens":0,"completion_tokens":0,"executions":0,"wall_ms":0E0}}],
    "tokens":{"ids":[1,2,3],"loss_mask":[0,0,1],"logprobs":[0E0,0E0,-5E-1],"turn":[-1,-1,0],"rewards":[],
      "advantages":[],"texts":["a","b","c"]},
    "created":"now","versions":{},"somebody_elses":[1,2]})";

// Puts a number nobody knows into every object.
void mark(json::value& value, bool into = true) {
  if (auto* array = value.if_array())
    for (auto& item : *array) mark(item);
  auto* object = value.if_object();
  if (!object) return;
  for (auto& pair : *object)
    mark(pair.value(), pair.key() != "tokens" || !object->contains("finish_reason"));
  if (into) object->emplace("mark", 0.5);
}

TEST(Records, ATrajectoryComesBackEqualUnknownFieldsIncluded) {
  auto value = parse_json(kWhole);
  ASSERT_TRUE(value) << value.error().message;
  auto read = read_trajectory(*value);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(canonical_json(to_json(*read)), canonical_json(*value));
}

TEST(Records, AFieldNobodyKnowsIsKeptInEveryObject) {
  auto value = parse_json(kWhole);
  ASSERT_TRUE(value) << value.error().message;
  mark(*value);
  auto read = read_trajectory(*value);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(canonical_json(to_json(*read)), canonical_json(*value));
  std::string written;
  append_json(written, *read);
  EXPECT_EQ(canonical_json(*parse_json(written)), canonical_json(*value));
}

TEST(Records, ANumberThatDoesNotFitIsRefusedAndNotCut) {
  const auto complaint = [](const char* text) {
    auto read = read_trajectory(*parse_json(text));
    return read ? std::string("taken") : read.error().message;
  };
  EXPECT_EQ(complaint(R"({"id":"t","sample":4294967297})"),
            "sample: 4294967297 is too large; at most 2147483647");
  EXPECT_EQ(complaint(R"({"id":"t","sample":-4294967297})"),
            "sample: -4294967297 is too small; at least -2147483648");
  EXPECT_NE(
      complaint(R"({"id":"t","turns":[{"index":4294967296,"assistant":{}}]})").find("too large"),
      std::string::npos);
  EXPECT_NE(
      complaint(R"({"id":"t","labels":[{"supervisor":"s","name":"n","token":[0,4294967296]}]})")
          .find("no fitting number"),
      std::string::npos);
  EXPECT_EQ(complaint(R"({"id":"t","tokens":{"ids":[1],"logprobs":[-1e300]}})"),
            "tokens.logprobs: item 0 is no fitting number");
}

TEST(Records, AComplaintNamesThePathOfTheBadField) {
  auto value = parse_json(
      R"({"id":"t","turns":[{"assistant":{"content":"c"}},{"assistant":{"tool_calls":[{"name":5}]}}]})");
  ASSERT_TRUE(value);
  auto read = read_trajectory(*value);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message,
            "turns[1].assistant.tool_calls[0].name: expected a string, got a number");
}

TEST(Records, AnUnknownStatusIsRefusedWithTheKnownOnes) {
  auto value = parse_json(R"({"id":"t","outcome":{"status":"fine"}})");
  auto read = read_trajectory(*value);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message,
            "outcome.status: unknown 'fine'; expected one of answered, max_turns, max_tokens, "
            "context_full, stopped, error, cancelled");
}

TEST(Records, ToolCallsInOpenAiFormAreRead) {
  auto value = parse_json(
      R"({"id":"c9","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}})");
  auto call = read_tool_call(*value, "call");
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->name, "f");
  EXPECT_EQ(call->arguments.at("a").as_int64(), 1);
}

TEST(Records, ATextKeptInsideAnOpenAiCallIsKept) {
  auto value = parse_json(
      R"({"id":"c9","type":"function","function":{"name":"f","arguments":"{}","strict":true},"x":1})");
  auto call = read_tool_call(*value, "call");
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(canonical_json(to_json(*call)),
            R"({"arguments":{},"id":"c9","name":"f","strict":true,"x":1})");
}

TEST(Records, AScoreIsANumberOrNull) {
  auto turn = read_turn(*parse_json(R"({"assistant":{},"scores":{"a":null,"b":0.5}})"), "turns[0]");
  ASSERT_TRUE(turn) << turn.error().message;
  EXPECT_EQ(canonical_json(to_json(*turn).at("scores")), R"({"a":null,"b":5E-1})");
  turn = read_turn(*parse_json(R"({"assistant":{},"scores":{"a":"high"}})"), "turns[0]");
  ASSERT_FALSE(turn);
  EXPECT_EQ(turn.error().message, "turns[0].scores.a: expected a number, got a string");
}

TEST(Records, ACutObservationIsCountedInCharacters) {
  Trajectory trajectory;
  Turn turn;
  turn.observations.push_back({.content = "größer", .extra = {{"cut_before_turn", 1}}});
  trajectory.turns.push_back(std::make_shared<const Turn>(std::move(turn)));
  EXPECT_EQ(messages_of(trajectory, 1).back().text(), "[cut: 6 characters]");
}

TEST(Records, ATaskNeedsAPromptOrMessages) {
  auto task = read_task(*parse_json(R"({"id":"x"})"));
  ASSERT_FALSE(task);
  EXPECT_EQ(task.error().message, "prompt: is missing; a task needs `prompt` or `messages`");
}

}  // namespace
}  // namespace proctor
