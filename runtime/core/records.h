// The nouns everyone shares, and their JSON: Task, Message, Turn, Label, Trajectory.
//
// Readers keep fields they do not know in `extra` and writers put them back. What many read at once
// is held by shared_ptr<const T>, so that a copy of a trajectory shares its turns with the original
// and a branch shares its prefix.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/json.h"
#include "runtime/core/result.h"

namespace proctor {

inline constexpr const char* kTrajectorySchema = "proctor.trajectory/1";
inline constexpr const char* kVersion = "0.1.0";

struct ToolCall {
  std::string id;
  std::string name;
  json::object arguments;
  json::object extra = {};

  bool operator==(const ToolCall&) const = default;
};

// One chat message in OpenAI's form. `content` is a string, a list of content parts, or null.
struct Message {
  std::string role;  // system | user | assistant | tool
  json::value content;
  std::optional<std::string> reasoning;
  std::vector<ToolCall> tool_calls;  // of an assistant message
  std::string tool_call_id;          // of a tool message
  std::string name;                  // of a tool message: the tool
  json::object extra;

  // The text of `content`; parts that are no text are left out.
  std::string text() const;
  bool operator==(const Message&) const = default;
};

struct Task {
  std::string id;
  std::string suite;
  std::optional<std::string> prompt;  // this or `messages` is given
  std::optional<std::vector<Message>> messages;
  std::optional<std::vector<std::string>> tools;  // absent: all tools of the run
  json::object gold;                              // never shown to a policy
  json::array media;
  json::object metadata;
  json::object extra;

  // What the policy is asked, as text.
  std::string question() const;
};
using TaskRef = std::shared_ptr<const Task>;

// What tables, filters and `suites` call a suite; tasks of none are of one called "tasks".
inline std::string shown_suite(const std::string& suite) { return suite.empty() ? "tasks" : suite; }

// The ids of one turn exactly as the model saw and produced them. `prompt_ids` holds what the
// prompt added behind the first `prompt_from` ids of this trajectory so far (prompt and sampled
// tokens of the turns before); prompt_from = 0 means the whole prompt is given, as on the first
// turn.
struct TurnTokens {
  std::int64_t prompt_from = 0;
  std::vector<std::int32_t> prompt_ids;
  std::vector<std::int32_t> ids;  // sampled
  std::vector<float> logprobs;    // natural log, one per sampled id; empty: not known
  std::optional<std::string>
      segments;  // one letter a token: r reasoning, a answer or call, o other
  json::object extra;

  bool operator==(const TurnTokens&) const = default;
};

// What the policy said in one turn.
struct Assistant {
  std::string content;  // as the model produced it, tool-call markup included where textual
  std::optional<std::string> reasoning;
  std::optional<std::vector<std::string>> steps;
  std::vector<ToolCall> tool_calls;
  std::optional<std::string> parse_error;
  std::string finish_reason;  // stop | length | tool_calls | ...
  std::optional<TurnTokens> tokens;
  json::object extra;
};

struct Usage {
  double wall_ms = 0;
  double cpu_ms = 0;
  std::int64_t peak_memory_bytes = 0;
  json::object extra = {};
};

enum class ObservationStatus { ok, error, timeout, denied };

struct Observation {
  std::string tool_call_id;
  std::string name;
  ObservationStatus status = ObservationStatus::ok;
  std::string content;  // what the policy sees
  json::object data;    // what only the record sees (an Execution record, hits with scores)
  Usage usage;
  json::object extra;
};

enum class Decision { proceed, stop, resample, branch, critique };  // `proceed` reads "continue"

struct Timing {
  std::string started;
  double model_ms = 0;
  double tools_ms = 0;
  double supervise_ms = 0;
  json::object extra = {};
};

struct Turn {
  int index = 0;
  std::optional<std::string> weights_version;
  Assistant assistant;
  std::vector<Observation> observations;
  std::optional<std::vector<Assistant>> candidates;
  std::optional<int> chosen;
  std::map<std::string, double>
      scores;  // short summary of the turn's labels: "igpo.gain"; NaN: null
  Decision decision = Decision::proceed;
  std::string decided_by;
  json::object action_extra;  // beside decision and by
  Timing timing;
  json::object extra;
};
using TurnRef = std::shared_ptr<const Turn>;

enum class LabelLevel { token, line, step, turn, trajectory, group };

struct Cost {
  std::int64_t model_calls = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t executions = 0;
  double wall_ms = 0;
  json::object extra = {};

  Cost& operator+=(const Cost& other);
};

struct Label {
  std::string supervisor;
  std::string name;
  LabelLevel level = LabelLevel::turn;
  std::optional<int> turn, step, line, tool_call;  // all from 0
  std::optional<std::pair<int, int>> token;        // [first, past the last] in tokens.ids
  std::optional<double> value;                     // finite, or nothing
  std::optional<std::string> verdict;
  std::optional<std::string> rationale;
  json::object evidence;
  Cost cost;
  json::object extra;
};

// All ids of a trajectory in order: loss_mask is 1 exactly on tokens the policy sampled; logprobs,
// rewards and advantages are 0 elsewhere. rewards and advantages are empty until someone places
// them. `turn` is -1 in the prefix. `extra` keeps keys of single mechanisms (ref_logprobs, texts).
struct Tokens {
  std::vector<std::int32_t> ids;
  std::vector<std::int8_t> loss_mask;
  std::vector<float> logprobs;
  std::vector<std::int32_t> turn;
  std::vector<double> rewards;
  std::vector<double> advantages;
  json::object extra;
};

enum class OutcomeStatus {
  answered,
  max_turns,
  max_tokens,
  context_full,
  stopped,
  error,
  cancelled
};

struct Outcome {
  OutcomeStatus status = OutcomeStatus::error;
  std::optional<std::string> answer;
  std::optional<double> reward;
  std::optional<bool> correct;
  json::object metrics;
  std::optional<std::string> error;
  json::object extra;
};

struct Parent {
  std::string trajectory_id;
  int turns = 0;  // shared turns, repeated in this record
  json::object extra = {};
};

struct Trajectory {
  std::string id;
  std::string run_id;
  std::string task_id;
  std::string group_id;
  int sample = 0;
  std::optional<Parent> parent;
  TaskRef task;
  SharedObject policy;  // {"backend","model","sampling","weights_version"}
  std::shared_ptr<const std::vector<Message>> prefix;
  std::vector<TurnRef> turns;
  Outcome outcome;
  json::value observation;  // facts on how the record came to be; null or an object
  std::vector<Label> labels;
  std::optional<Tokens> tokens;
  std::string created;
  SharedObject versions;
  json::object extra;

  // The group it belongs to: group_id, else task_id.
  const std::string& group() const { return group_id.empty() ? task_id : group_id; }
};
using TrajectoryRef = std::shared_ptr<const Trajectory>;

// Spelling of the enums in records.
const char* to_string(ObservationStatus status);
const char* to_string(Decision decision);
const char* to_string(LabelLevel level);
const char* to_string(OutcomeStatus status);

// JSON there and back. A reader's complaint names the path: "turns[2].assistant.tool_calls[0].name:
// expected a string, got a number".
json::object to_json(const ToolCall& call);
json::object to_json(const Message& message);
json::object to_json(const Assistant& assistant);
json::object to_json(const Observation& observation);
json::object to_json(const Task& task);
json::object to_json(const Turn& turn);
json::object to_json(const Label& label);
json::object to_json(const Outcome& outcome);
json::object to_json(const Trajectory& trajectory);
Result<ToolCall> read_tool_call(const json::value& value, const std::string& path);
Result<Message> read_message(const json::value& value, const std::string& path);
Result<Assistant> read_assistant(const json::value& value, const std::string& path);
Result<Observation> read_observation(const json::value& value, const std::string& path);
Result<Task> read_task(const json::value& value, const std::string& path = "");
Result<Turn> read_turn(const json::value& value, const std::string& path);
Result<Label> read_label(const json::value& value, const std::string& path);
Result<Outcome> read_outcome(const json::value& value, const std::string& path);
Result<Trajectory> read_trajectory(const json::value& value, const std::string& path = "");

// The assistant turn as the message the next prompt carries.
Message as_message(const Assistant& assistant);
// The observation as the tool message the next prompt carries.
Message as_message(const Observation& observation);
// Prefix, turns and observations as one list of messages, up to `turns` turns.
std::vector<Message> messages_of(const Trajectory& trajectory, std::size_t turns = SIZE_MAX);

}  // namespace proctor
