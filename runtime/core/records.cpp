// The records' JSON, there and back. Field order in the output is that of the contract.
#include "runtime/core/records.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace proctor {
namespace {

template <class Enum, std::size_t N>
using Names = std::array<std::pair<Enum, const char*>, N>;

constexpr Names<ObservationStatus, 4> kObservationStatus{{{ObservationStatus::ok, "ok"},
                                                          {ObservationStatus::error, "error"},
                                                          {ObservationStatus::timeout, "timeout"},
                                                          {ObservationStatus::denied, "denied"}}};
constexpr Names<Decision, 5> kDecision{{{Decision::proceed, "continue"},
                                        {Decision::stop, "stop"},
                                        {Decision::resample, "resample"},
                                        {Decision::branch, "branch"},
                                        {Decision::critique, "critique"}}};
constexpr Names<LabelLevel, 6> kLabelLevel{{{LabelLevel::token, "token"},
                                            {LabelLevel::line, "line"},
                                            {LabelLevel::step, "step"},
                                            {LabelLevel::turn, "turn"},
                                            {LabelLevel::trajectory, "trajectory"},
                                            {LabelLevel::group, "group"}}};
constexpr Names<OutcomeStatus, 7> kOutcomeStatus{{{OutcomeStatus::answered, "answered"},
                                                  {OutcomeStatus::max_turns, "max_turns"},
                                                  {OutcomeStatus::max_tokens, "max_tokens"},
                                                  {OutcomeStatus::context_full, "context_full"},
                                                  {OutcomeStatus::stopped, "stopped"},
                                                  {OutcomeStatus::error, "error"},
                                                  {OutcomeStatus::cancelled, "cancelled"}}};

template <class Enum, std::size_t N>
const char* name_of(const Names<Enum, N>& names, Enum value) {
  for (const auto& [known, name] : names)
    if (known == value) return name;
  return "";
}

template <class Enum, std::size_t N>
std::optional<Enum> value_of(const Names<Enum, N>& names, std::string_view text) {
  for (const auto& [known, name] : names)
    if (text == name) return known;
  return std::nullopt;
}

// The enum in field `name`; a complaint that lists the words there are when it is none of them.
template <class Enum, std::size_t N>
Enum read_enum(Fields& fields, std::string_view name, const Names<Enum, N>& names, Enum fallback) {
  auto text = fields.optional_text(name);
  if (!text) return fallback;
  if (auto value = value_of(names, *text)) return *value;
  std::string known;
  for (const auto& [value, word] : names) known += (known.empty() ? "" : ", ") + std::string(word);
  fields.complain(name, "unknown '" + *text + "'; expected one of " + known);
  return fallback;
}

template <class T>
json::value or_null(const std::optional<T>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}
json::value or_null(const std::optional<double>& value) {
  return value ? number_or_null(*value) : json::value(nullptr);
}

std::ptrdiff_t characters(std::string_view text) {
  const auto begins_one = [](char byte) { return (byte & 0xC0) != 0x80; };
  return std::count_if(text.begin(), text.end(), begins_one);
}

void put_rest(json::object& object, const json::object& extra) {
  for (const auto& pair : extra)
    if (!object.contains(pair.key())) object.emplace(pair.key(), pair.value());
}

template <class T>
json::array numbers_json(const std::vector<T>& values) {
  json::array array;
  array.reserve(values.size());
  for (T value : values) {
    if constexpr (std::is_floating_point_v<T>) {
      array.push_back(number_or_null(static_cast<double>(value)));
    } else {
      array.push_back(static_cast<std::int64_t>(value));
    }
  }
  return array;
}

template <class T>
std::vector<T> read_numbers(Fields& fields, std::string_view name) {
  std::vector<T> values;
  const auto* array = fields.optional_array(name);
  if (!array) return values;
  values.reserve(array->size());
  for (const auto& value : *array) {
    boost::system::error_code error;
    T number{};
    if (value.is_number()) number = value.to_number<T>(error);
    bool fits = value.is_number() && !error;
    // A double beyond all floats becomes an infinity without an error.
    if constexpr (std::is_floating_point_v<T>) fits = fits && std::isfinite(number);
    if (!fits) {
      fields.complain(name, "item " + std::to_string(values.size()) + " is no fitting number");
      return values;
    }
    values.push_back(number);
  }
  return values;
}

template <class T>
json::array list_json(const std::vector<T>& values) {
  json::array array;
  array.reserve(values.size());
  for (const auto& value : values) array.push_back(to_json(value));
  return array;
}

// Reads every item of the list in field `name` with `read(value, path)`.
template <class T, class Read>
std::vector<T> read_list(Fields& fields, std::string_view name, Read read) {
  std::vector<T> items;
  const auto* array = fields.optional_array(name);
  if (!array) return items;
  items.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) {
    const std::string tail = std::string(name) + "[" + std::to_string(i) + "]";
    Result<T> item = read((*array)[i], fields.path_of(tail));
    if (!item) {
      fields.fail(std::move(item).error());  // it carries the whole path already
      return items;
    }
    items.push_back(std::move(*item));
  }
  return items;
}

Result<const json::object*> object_at(const json::value& value, const std::string& path) {
  if (const auto* object = value.if_object()) return object;
  return bad_input((path.empty() ? std::string() : path + ": ") + "expected an object");
}

#define OBJECT_OR_RETURN(name, value, path)       \
  auto name##_found = object_at(value, path);     \
  if (!name##_found) return name##_found.error(); \
  const json::object& name = **name##_found  // NOLINT(bugprone-macro-parentheses): it is declared

json::object to_json(const TurnTokens& tokens) {
  json::object object{{"prompt_ids", numbers_json(tokens.prompt_ids)},
                      {"ids", numbers_json(tokens.ids)},
                      {"logprobs", numbers_json(tokens.logprobs)},
                      {"segments", nullptr}};
  if (tokens.segments) {
    json::array letters;
    for (const char letter : *tokens.segments) letters.push_back(json::string(1, letter));
    object["segments"] = std::move(letters);
  }
  if (tokens.prompt_from != 0) object["prompt_from"] = tokens.prompt_from;
  put_rest(object, tokens.extra);
  return object;
}

Result<TurnTokens> read_turn_tokens(const json::object& object, const std::string& path) {
  Fields fields(object, path);
  TurnTokens tokens;
  tokens.prompt_from = fields.integer_or("prompt_from", 0);
  tokens.prompt_ids = read_numbers<std::int32_t>(fields, "prompt_ids");
  tokens.ids = read_numbers<std::int32_t>(fields, "ids");
  tokens.logprobs = read_numbers<float>(fields, "logprobs");
  if (const auto* letters = fields.optional_array("segments")) {
    tokens.segments.emplace();
    for (const auto& letter : *letters) {
      const auto* text = letter.if_string();
      if (!text || text->size() != 1) fields.complain("segments", "expected a list of letters");
      *tokens.segments += text && !text->empty() ? text->front() : '?';
    }
  }
  tokens.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return tokens;
}

json::object to_json(const Usage& usage) {
  json::object object{{"wall_ms", number_or_null(usage.wall_ms)},
                      {"cpu_ms", number_or_null(usage.cpu_ms)},
                      {"peak_memory_bytes", usage.peak_memory_bytes}};
  put_rest(object, usage.extra);
  return object;
}

json::object to_json(const Cost& cost) {
  json::object object{{"model_calls", cost.model_calls},
                      {"prompt_tokens", cost.prompt_tokens},
                      {"completion_tokens", cost.completion_tokens},
                      {"executions", cost.executions},
                      {"wall_ms", number_or_null(cost.wall_ms)}};
  put_rest(object, cost.extra);
  return object;
}

json::object to_json(const Timing& timing) {
  json::object object{{"started", timing.started},
                      {"model_ms", number_or_null(timing.model_ms)},
                      {"tools_ms", number_or_null(timing.tools_ms)},
                      {"supervise_ms", number_or_null(timing.supervise_ms)}};
  put_rest(object, timing.extra);
  return object;
}

json::object to_json(const Parent& parent) {
  json::object object{{"trajectory_id", parent.trajectory_id}, {"turns", parent.turns}};
  put_rest(object, parent.extra);
  return object;
}

json::object to_json(const Tokens& tokens) {
  json::object object{
      {"ids", numbers_json(tokens.ids)},           {"loss_mask", numbers_json(tokens.loss_mask)},
      {"logprobs", numbers_json(tokens.logprobs)}, {"turn", numbers_json(tokens.turn)},
      {"rewards", numbers_json(tokens.rewards)},   {"advantages", numbers_json(tokens.advantages)}};
  put_rest(object, tokens.extra);
  return object;
}

Result<Tokens> read_tokens(const json::object& object, const std::string& path) {
  Fields fields(object, path);
  Tokens tokens;
  tokens.ids = read_numbers<std::int32_t>(fields, "ids");
  tokens.loss_mask = read_numbers<std::int8_t>(fields, "loss_mask");
  tokens.logprobs = read_numbers<float>(fields, "logprobs");
  tokens.turn = read_numbers<std::int32_t>(fields, "turn");
  tokens.rewards = read_numbers<double>(fields, "rewards");
  tokens.advantages = read_numbers<double>(fields, "advantages");
  tokens.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return tokens;
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  model_calls += other.model_calls;
  prompt_tokens += other.prompt_tokens;
  completion_tokens += other.completion_tokens;
  executions += other.executions;
  wall_ms += other.wall_ms;
  return *this;
}

const char* to_string(ObservationStatus status) { return name_of(kObservationStatus, status); }
const char* to_string(Decision decision) { return name_of(kDecision, decision); }
const char* to_string(LabelLevel level) { return name_of(kLabelLevel, level); }
const char* to_string(OutcomeStatus status) { return name_of(kOutcomeStatus, status); }

std::string Message::text() const {
  if (const auto* whole = content.if_string()) return std::string(*whole);
  std::string text;
  if (const auto* parts = content.if_array())
    for (const auto& part : *parts)
      if (const auto* object = part.if_object())
        if (const auto* piece = object->if_contains("text"); piece && piece->is_string())
          text += piece->get_string();
  return text;
}

std::string Task::question() const {
  if (prompt) return *prompt;
  std::string text;
  if (messages)
    for (const auto& message : *messages)
      if (message.role == "user") text = message.text();
  return text;
}

json::object to_json(const ToolCall& call) {
  json::object object{{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}};
  put_rest(object, call.extra);
  return object;
}

Result<ToolCall> read_tool_call(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  // OpenAI's own form wraps name and arguments in "function" and writes arguments as text.
  const json::object* inner = &object;
  if (const auto* function = object.if_contains("function"); function && function->is_object())
    inner = &function->get_object();
  Fields outer(object, path);
  Fields fields(*inner, path);
  ToolCall call;
  call.id = outer.text_or("id", "");
  call.name = fields.text("name");
  if (const auto* arguments = inner->if_contains("arguments");
      arguments && arguments->is_string()) {
    auto parsed = parse_json(arguments->get_string());
    if (!parsed || !parsed->is_object())
      return bad_input(path + ".arguments: expected an object, or its JSON text");
    call.arguments = std::move(parsed->get_object());
  } else {
    call.arguments = fields.object_or_empty("arguments");
  }
  const bool wrapped = inner != &object;
  for (const auto& pair : object) {
    const std::string_view key = pair.key();
    const bool known = key == "id" || (wrapped ? key == "function" || key == "type"
                                               : key == "name" || key == "arguments");
    if (!known) call.extra.emplace(pair.key(), pair.value());
  }
  if (wrapped)
    for (const auto& pair : *inner)
      if (pair.key() != "name" && pair.key() != "arguments")
        call.extra.emplace(pair.key(), pair.value());
  if (!outer.status()) return outer.status().error();
  if (!fields.status()) return fields.status().error();
  return call;
}

json::object to_json(const Message& message) {
  json::object object{{"role", message.role}, {"content", message.content}};
  if (message.reasoning) object["reasoning"] = *message.reasoning;
  if (!message.tool_calls.empty()) object["tool_calls"] = list_json(message.tool_calls);
  if (!message.tool_call_id.empty()) object["tool_call_id"] = message.tool_call_id;
  if (!message.name.empty()) object["name"] = message.name;
  put_rest(object, message.extra);
  return object;
}

Result<Message> read_message(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Message message;
  message.role = fields.text("role");
  message.content = fields.any("content");
  message.reasoning = fields.optional_text("reasoning");
  message.tool_calls = read_list<ToolCall>(fields, "tool_calls", read_tool_call);
  message.tool_call_id = fields.text_or("tool_call_id", "");
  message.name = fields.text_or("name", "");
  message.extra = fields.rest();
  if (!message.content.is_null() && !message.content.is_string() && !message.content.is_array())
    fields.complain("content", "expected a string or a list of content parts");
  if (!fields.status()) return fields.status().error();
  return message;
}

json::object to_json(const Task& task) {
  json::object object{{"id", task.id}, {"suite", task.suite}, {"prompt", or_null(task.prompt)}};
  object["messages"] = task.messages ? json::value(list_json(*task.messages)) : nullptr;
  object["tools"] = task.tools ? json::value(json::value_from(*task.tools)) : nullptr;
  object["gold"] = task.gold;
  object["media"] = task.media;
  object["metadata"] = task.metadata;
  put_rest(object, task.extra);
  return object;
}

Result<Task> read_task(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Task task;
  task.id = fields.text("id");
  if (fields.status() && task.id.empty()) fields.complain("id", "must not be empty");
  task.suite = fields.text_or("suite", "");
  task.prompt = fields.optional_text("prompt");
  if (fields.has("messages"))
    task.messages = read_list<Message>(fields, "messages", read_message);
  else
    fields.any("messages");
  if (fields.has("tools"))
    task.tools = fields.texts_or_empty("tools");
  else
    fields.any("tools");
  task.gold = fields.object_or_empty("gold");
  if (const auto* media = fields.optional_array("media")) task.media = *media;
  task.metadata = fields.object_or_empty("metadata");
  task.extra = fields.rest();
  if (fields.status() && !task.prompt && (!task.messages || task.messages->empty()))
    fields.complain("prompt", "is missing; a task needs `prompt` or `messages`");
  if (!fields.status()) return fields.status().error();
  return task;
}

json::object to_json(const Assistant& assistant) {
  json::object object{{"content", assistant.content},
                      {"reasoning", or_null(assistant.reasoning)},
                      {"steps", nullptr},
                      {"tool_calls", list_json(assistant.tool_calls)},
                      {"parse_error", or_null(assistant.parse_error)},
                      {"finish_reason", assistant.finish_reason}};
  if (assistant.steps) object["steps"] = json::value_from(*assistant.steps);
  if (assistant.tokens) object["tokens"] = to_json(*assistant.tokens);
  put_rest(object, assistant.extra);
  return object;
}

Result<Assistant> read_assistant(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Assistant assistant;
  assistant.content = fields.text_or("content", "");
  assistant.reasoning = fields.optional_text("reasoning");
  if (fields.has("steps"))
    assistant.steps = fields.texts_or_empty("steps");
  else
    fields.any("steps");
  assistant.tool_calls = read_list<ToolCall>(fields, "tool_calls", read_tool_call);
  assistant.parse_error = fields.optional_text("parse_error");
  assistant.finish_reason = fields.text_or("finish_reason", "stop");
  if (const auto* tokens = fields.optional_object("tokens")) {
    auto read = read_turn_tokens(*tokens, fields.path_of("tokens"));
    if (!read) return read.error();
    assistant.tokens = std::move(*read);
  }
  assistant.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return assistant;
}

json::object to_json(const Observation& observation) {
  json::object object{{"tool_call_id", observation.tool_call_id},
                      {"name", observation.name},
                      {"status", to_string(observation.status)},
                      {"content", observation.content},
                      {"data", observation.data},
                      {"usage", to_json(observation.usage)}};
  put_rest(object, observation.extra);
  return object;
}

Result<Observation> read_observation(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Observation observation;
  observation.tool_call_id = fields.text_or("tool_call_id", "");
  observation.name = fields.text_or("name", "");
  observation.status = read_enum(fields, "status", kObservationStatus, ObservationStatus::ok);
  observation.content = fields.text_or("content", "");
  observation.data = fields.object_or_empty("data");
  if (const auto* usage = fields.optional_object("usage")) {
    Fields inner(*usage, fields.path_of("usage"));
    observation.usage.wall_ms = inner.number_or("wall_ms", 0);
    observation.usage.cpu_ms = inner.number_or("cpu_ms", 0);
    observation.usage.peak_memory_bytes = inner.integer_or("peak_memory_bytes", 0);
    observation.usage.extra = inner.rest();
    if (!inner.status()) return inner.status().error();
  }
  observation.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return observation;
}

json::object to_json(const Turn& turn) {
  json::object object{{"index", turn.index},
                      {"weights_version", or_null(turn.weights_version)},
                      {"assistant", to_json(turn.assistant)},
                      {"observations", list_json(turn.observations)}};
  object["candidates"] = turn.candidates ? json::value(list_json(*turn.candidates)) : nullptr;
  object["chosen"] = or_null(turn.chosen);
  json::object scores;
  for (const auto& [name, value] : turn.scores) scores[name] = number_or_null(value);
  object["scores"] = std::move(scores);
  json::object action{{"decision", to_string(turn.decision)}, {"by", nullptr}};
  if (!turn.decided_by.empty()) action["by"] = turn.decided_by;
  put_rest(action, turn.action_extra);
  object["action"] = std::move(action);
  object["timing"] = to_json(turn.timing);
  put_rest(object, turn.extra);
  return object;
}

Result<Turn> read_turn(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Turn turn;
  turn.index = fields.small_or("index", 0);
  turn.weights_version = fields.optional_text("weights_version");
  const auto* said = fields.optional_object("assistant");
  if (!said) {
    fields.complain("assistant", "is missing; expected an object");
    return fields.status().error();
  }
  auto assistant = read_assistant(*said, fields.path_of("assistant"));
  if (!assistant) return assistant.error();
  turn.assistant = std::move(*assistant);
  turn.observations = read_list<Observation>(fields, "observations", read_observation);
  if (fields.has("candidates"))
    turn.candidates = read_list<Assistant>(fields, "candidates", read_assistant);
  else
    fields.any("candidates");
  turn.chosen = fields.optional_small("chosen");
  if (const auto* scores = fields.optional_object("scores")) {
    Fields inner(*scores, fields.path_of("scores"));
    for (const auto& pair : *scores)  // null is how a number that is not finite was written
      turn.scores[pair.key()] = inner.optional_number(pair.key()).value_or(std::nan(""));
    if (!inner.status()) return inner.status().error();
  }
  if (const auto* action = fields.optional_object("action")) {
    Fields inner(*action, fields.path_of("action"));
    turn.decision = read_enum(inner, "decision", kDecision, Decision::proceed);
    turn.decided_by = inner.text_or("by", "");
    turn.action_extra = inner.rest();
    if (!inner.status()) return inner.status().error();
  }
  if (const auto* timing = fields.optional_object("timing")) {
    Fields inner(*timing, fields.path_of("timing"));
    turn.timing.started = inner.text_or("started", "");
    turn.timing.model_ms = inner.number_or("model_ms", 0);
    turn.timing.tools_ms = inner.number_or("tools_ms", 0);
    turn.timing.supervise_ms = inner.number_or("supervise_ms", 0);
    turn.timing.extra = inner.rest();
    if (!inner.status()) return inner.status().error();
  }
  turn.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return turn;
}

json::object to_json(const Label& label) {
  json::object object{{"supervisor", label.supervisor},
                      {"name", label.name},
                      {"level", to_string(label.level)},
                      {"turn", or_null(label.turn)},
                      {"step", or_null(label.step)},
                      {"line", or_null(label.line)},
                      {"tool_call", or_null(label.tool_call)},
                      {"token", nullptr},
                      {"value", or_null(label.value)},
                      {"verdict", or_null(label.verdict)},
                      {"rationale", or_null(label.rationale)},
                      {"evidence", label.evidence},
                      {"cost", to_json(label.cost)}};
  if (label.token) object["token"] = json::array{label.token->first, label.token->second};
  put_rest(object, label.extra);
  return object;
}

Result<Label> read_label(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Label label;
  label.supervisor = fields.text("supervisor");
  label.name = fields.text("name");
  label.level = read_enum(fields, "level", kLabelLevel, LabelLevel::turn);
  label.turn = fields.optional_small("turn");
  label.step = fields.optional_small("step");
  label.line = fields.optional_small("line");
  label.tool_call = fields.optional_small("tool_call");
  if (fields.has("token")) {
    const auto range = read_numbers<std::int32_t>(fields, "token");
    if (range.size() == 2)
      label.token = {range[0], range[1]};
    else
      fields.complain("token", "expected [first, past the last]");
  } else {
    fields.any("token");
  }
  label.value = fields.optional_number("value");
  label.verdict = fields.optional_text("verdict");
  label.rationale = fields.optional_text("rationale");
  label.evidence = fields.object_or_empty("evidence");
  if (const auto* cost = fields.optional_object("cost")) {
    Fields inner(*cost, fields.path_of("cost"));
    label.cost.model_calls = inner.integer_or("model_calls", 0);
    label.cost.prompt_tokens = inner.integer_or("prompt_tokens", 0);
    label.cost.completion_tokens = inner.integer_or("completion_tokens", 0);
    label.cost.executions = inner.integer_or("executions", 0);
    label.cost.wall_ms = inner.number_or("wall_ms", 0);
    label.cost.extra = inner.rest();
    if (!inner.status()) return inner.status().error();
  }
  label.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return label;
}

json::object to_json(const Outcome& outcome) {
  json::object object{{"status", to_string(outcome.status)}, {"answer", or_null(outcome.answer)},
                      {"reward", or_null(outcome.reward)},   {"correct", or_null(outcome.correct)},
                      {"metrics", outcome.metrics},          {"error", or_null(outcome.error)}};
  put_rest(object, outcome.extra);
  return object;
}

Result<Outcome> read_outcome(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Outcome outcome;
  outcome.status = read_enum(fields, "status", kOutcomeStatus, OutcomeStatus::answered);
  outcome.answer = fields.optional_text("answer");
  outcome.reward = fields.optional_number("reward");
  outcome.correct = fields.optional_boolean("correct");
  outcome.metrics = fields.object_or_empty("metrics");
  outcome.error = fields.optional_text("error");
  outcome.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return outcome;
}

json::object to_json(const Trajectory& trajectory) {
  json::object object{{"schema", kTrajectorySchema},
                      {"id", trajectory.id},
                      {"run_id", trajectory.run_id},
                      {"task_id", trajectory.task_id},
                      {"group_id", trajectory.group_id},
                      {"sample", trajectory.sample},
                      {"parent", nullptr}};
  if (trajectory.parent) object["parent"] = to_json(*trajectory.parent);
  object["task"] = trajectory.task ? to_json(*trajectory.task) : json::object{};
  object["policy"] = *trajectory.policy;
  object["prefix"] = trajectory.prefix ? list_json(*trajectory.prefix) : json::array{};
  json::array turns;
  turns.reserve(trajectory.turns.size());
  for (const auto& turn : trajectory.turns) turns.push_back(to_json(*turn));
  object["turns"] = std::move(turns);
  object["outcome"] = to_json(trajectory.outcome);
  object["observation"] = trajectory.observation;
  object["labels"] = list_json(trajectory.labels);
  if (trajectory.tokens) object["tokens"] = to_json(*trajectory.tokens);
  object["created"] = trajectory.created;
  object["versions"] = *trajectory.versions;
  put_rest(object, trajectory.extra);
  return object;
}

Result<Trajectory> read_trajectory(const json::value& value, const std::string& path) {
  OBJECT_OR_RETURN(object, value, path);
  Fields fields(object, path);
  Trajectory trajectory;
  const std::string schema = fields.text_or("schema", kTrajectorySchema);
  if (schema != kTrajectorySchema)
    fields.complain("schema",
                    "'" + schema + "' is not known; this proctor reads " + kTrajectorySchema);
  trajectory.id = fields.text("id");
  trajectory.run_id = fields.text_or("run_id", "");
  trajectory.task_id = fields.text_or("task_id", "");
  trajectory.group_id = fields.text_or("group_id", "");
  trajectory.sample = fields.small_or("sample", 0);
  if (const auto* parent = fields.optional_object("parent")) {
    Fields inner(*parent, fields.path_of("parent"));
    Parent from{inner.text("trajectory_id"), inner.small_or("turns", 0)};
    from.extra = inner.rest();
    trajectory.parent = std::move(from);
    if (!inner.status()) return inner.status().error();
  }
  auto task = std::make_shared<Task>();
  if (const auto* given = fields.optional_object("task"); given && !given->empty()) {
    // A record of another tool may carry a task without id or prompt; both have a second home.
    json::object completed = *given;
    if (!completed.contains("id")) completed["id"] = trajectory.task_id;
    if (!completed.contains("prompt") && !completed.contains("messages")) completed["prompt"] = "";
    auto read = read_task(completed, fields.path_of("task"));
    if (!read) return read.error();
    *task = std::move(*read);
  }
  if (trajectory.task_id.empty()) trajectory.task_id = task->id;
  trajectory.task = std::move(task);
  trajectory.policy = fields.object_or_empty("policy");
  trajectory.prefix = std::make_shared<const std::vector<Message>>(
      read_list<Message>(fields, "prefix", read_message));
  for (auto& turn : read_list<Turn>(fields, "turns", read_turn))
    trajectory.turns.push_back(std::make_shared<const Turn>(std::move(turn)));
  if (const auto* outcome = fields.optional_object("outcome")) {
    auto read = read_outcome(*outcome, fields.path_of("outcome"));
    if (!read) return read.error();
    trajectory.outcome = std::move(*read);
  }
  trajectory.observation = fields.any("observation");
  trajectory.labels = read_list<Label>(fields, "labels", read_label);
  if (const auto* tokens = fields.optional_object("tokens")) {
    auto read = read_tokens(*tokens, fields.path_of("tokens"));
    if (!read) return read.error();
    trajectory.tokens = std::move(*read);
  }
  trajectory.created = fields.text_or("created", "");
  trajectory.versions = fields.object_or_empty("versions");
  trajectory.extra = fields.rest();
  if (!fields.status()) return fields.status().error();
  return trajectory;
}

Message as_message(const Assistant& assistant) {
  Message message{.role = "assistant", .content = json::string(assistant.content)};
  message.reasoning = assistant.reasoning;
  message.tool_calls = assistant.tool_calls;
  return message;
}

Message as_message(const Observation& observation) {
  // Without a call to answer it is a remark on the turn's form, which a user would make.
  Message message{.role = observation.tool_call_id.empty() ? "user" : "tool",
                  .content = json::string(observation.content)};
  message.tool_call_id = observation.tool_call_id;
  message.name = observation.name;
  return message;
}

std::vector<Message> messages_of(const Trajectory& trajectory, std::size_t turns) {
  std::vector<Message> messages;
  if (trajectory.prefix) messages = *trajectory.prefix;
  for (std::size_t i = 0; i < std::min(turns, trajectory.turns.size()); ++i) {
    messages.push_back(as_message(trajectory.turns[i]->assistant));
    for (const auto& observation : trajectory.turns[i]->observations) {
      messages.push_back(as_message(observation));
      // It made room in a full context: whole in the record, and cut for the turns from then on.
      const json::value* since = observation.extra.if_contains("cut_before_turn");
      if (since && since->is_number() && since->to_number<double>() <= static_cast<double>(turns))
        messages.back().content = json::string(
            "[cut: " + std::to_string(characters(observation.content)) + " characters]");
    }
  }
  return messages;
}

}  // namespace proctor
