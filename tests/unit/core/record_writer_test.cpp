// The fast writer says what to_json says.
#include "runtime/core/record_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/trajectories.h"

namespace proctor {
namespace {

template <class T>
std::string written(const T& value) {
  std::string text;
  append_json(text, value);
  return text;
}

json::value parsed(const std::string& text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value) << value.error().message << "\n" << text;
  return value ? *value : json::value();
}

// Every field there is, with numbers that are the same as float and double.
Trajectory everything() {
  Trajectory whole = make_finished("a \"quoted\" task", 3, 1);
  auto task = std::make_shared<Task>(*whole.task);
  task->messages = std::vector<Message>{{.role = "user", .content = "hello"}};
  task->tools = std::vector<std::string>{"search", "python"};
  task->gold = {{"answers", json::array{"Ken Thompson"}}};
  task->media.push_back(json::object{{"id", "m"}});
  task->metadata["n"] = 1;
  task->extra["task_extra"] = true;
  whole.task = task;
  whole.parent = Parent{"p", 2, {{"why", "branch"}}};
  whole.prefix = std::make_shared<const std::vector<Message>>(
      std::vector<Message>{{.role = "assistant",
                            .content = nullptr,
                            .reasoning = "because",
                            .tool_calls = {{"c0", "search", {{"query", "x"}}, {{"index", 0}}}},
                            .extra = {{"e", 1}}},
                           {.role = "tool",
                            .content = json::array{json::object{{"text", "y"}}},
                            .tool_call_id = "c0",
                            .name = "search"}});
  Turn turn = *whole.turns[0];
  turn.weights_version = "w1";
  turn.assistant.reasoning = "hm";
  turn.assistant.steps = std::vector<std::string>{"one", "two"};
  turn.assistant.parse_error = "broken";
  turn.assistant.tokens = TurnTokens{.prompt_from = 5,
                                     .prompt_ids = {1, -2},
                                     .ids = {3, 4},
                                     .logprobs = {-0.5F, 0.F},
                                     .segments = "ra",
                                     .extra = {{"logprobs_of", "raw"}}};
  turn.assistant.extra["x"] = json::array{};
  turn.observations[0].status = ObservationStatus::timeout;
  turn.observations[0].data = {{"hits", json::array{1, 2.5, nullptr, false, "s"}}};
  turn.observations[0].usage = {1.5, 0.25, 4096, {{"gpu_ms", 2}}};
  turn.observations[0].extra["x"] = json::object{};
  turn.candidates = std::vector<Assistant>{turn.assistant};
  turn.chosen = 0;
  turn.scores = {{"igpo.gain", 0.5}, {"bad", std::numeric_limits<double>::quiet_NaN()}};
  turn.decision = Decision::critique;
  turn.decided_by = "igpo";
  turn.action_extra["why"] = "doubt";
  turn.timing = {"2026-01-01T00:00:00.000Z", 1.5, 2, 0, {{"queue_ms", 3}}};
  turn.extra["state"] = "s";
  whole.turns.push_back(std::make_shared<const Turn>(turn));
  Label label = make_label("igpo", 0, 0.75);
  label.step = 1;
  label.line = 2;
  label.tool_call = 0;
  label.token = {1, 4};
  label.rationale = "line\nbreak\ttab \x01 \x7f \\ \xc3\xa9";
  label.evidence = {{"big", std::numeric_limits<std::uint64_t>::max()}, {"small", -1e-300}};
  label.cost = {1, 2, 3, 4, 5.5, {{"usd", 0.5}}};
  label.extra["more"] = 1;
  whole.labels = {label, make_label("other", 1, 1)};
  whole.tokens = Tokens{{1, 2}, {0, 1}, {0.F, -0.25F}, {-1, 0}, {0, 1}, {0, 0.5}, {{"k", 1}}};
  whole.observation = json::object{{"seen", true}};
  whole.outcome.metrics = {{"em", 1}};
  whole.outcome.error = "none";
  whole.outcome.extra["o"] = 1;
  whole.extra["unknown"] = json::array{1};
  return whole;
}

TEST(RecordWriter, SaysWhatToJsonSays) {
  for (const Trajectory& whole : {everything(), make_start("t"), Trajectory{}}) {
    EXPECT_EQ(parsed(written(whole)), parsed(json::serialize(to_json(whole))));
    for (const auto& turn : whole.turns)
      EXPECT_EQ(parsed(written(*turn)), parsed(json::serialize(to_json(*turn))));
    for (const auto& label : whole.labels)
      EXPECT_EQ(parsed(written(label)), parsed(json::serialize(to_json(label))));
  }
}

TEST(RecordWriter, KeepsTheOrderOfTheFields) {
  std::vector<std::string> fast, slow;
  const json::value value = parsed(written(everything()));
  for (const auto& pair : value.get_object()) fast.emplace_back(pair.key());
  for (const auto& pair : to_json(everything())) slow.emplace_back(pair.key());
  EXPECT_EQ(fast, slow);
}

TEST(RecordWriter, LetsAFieldItKnowsWin) {
  Trajectory whole = make_start("t");
  whole.extra = {{"id", "other"}, {"mine", 1}};
  EXPECT_EQ(parsed(written(whole)), parsed(json::serialize(to_json(whole))));
  EXPECT_EQ(parsed(written(whole)).at("id").as_string(), "r-t-0");
}

TEST(RecordWriter, EscapesWhereverTheLetterStands) {
  for (int special = 0; special < 128; ++special)
    for (std::size_t place = 0; place < 40; ++place) {
      std::string text(40, 'a');
      text[place] = static_cast<char>(special);
      text[39 - place] = '\xc3';
      EXPECT_EQ(written(json::value(text)), json::serialize(json::value(text)));
    }
}

TEST(RecordWriter, WritesNumbersShortAndExact) {
  EXPECT_EQ(written(json::value(0.375)), "0.375");
  EXPECT_EQ(written(json::value(1.0)), "1.0");
  EXPECT_EQ(written(json::value(1)), "1");
  EXPECT_EQ(written(json::value(std::nan(""))), "null");
  Trajectory whole;
  whole.tokens = Tokens{.ids = {1}, .loss_mask = {1}, .logprobs = {-0.1F}, .turn = {0}};
  const std::string text = written(whole);
  EXPECT_NE(text.find("\"logprobs\":[-0.1]"), std::string::npos) << text;
  auto read = read_trajectory(parsed(R"({"id":"x",)" + text.substr(text.find("\"run_id\""))));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->tokens->logprobs[0], -0.1F);
}

}  // namespace
}  // namespace proctor
