// Conversations of other tools as trajectories.
//
// Blind spot: tool calls written inside the text (Hermes, ReAct) stay text; what a user says
// between two assistant messages is kept as an observation named `user`.
#include "runtime/core/text.h"
#include "runtime/labelling.h"
#include "supervisors/grading.h"
#include "supervisors/steps.h"

namespace proctor {
namespace {

// Calls as they were before a turn could have several: `function_call`, answered by a `function`.
void renew_old_call(json::object& message) {
  const auto* role = message.if_contains("role");
  if (role && *role == "function") message["role"] = "tool";
  const auto found = message.find("function_call");
  if (found == message.end() || !found->value().is_object()) return;
  const auto* calls = message.if_contains("tool_calls");
  if (calls && !calls->is_null()) return;
  json::value call = std::move(found->value());
  message.erase(found);
  message["tool_calls"] = json::array{json::object{{"type", "function"}, {"function", call}}};
}

// A tool call that cannot be made, as the record keeps it.
struct BrokenCall {
  std::string id, name, arguments;
};

// Arguments that are no JSON object are the policy's mistake, not the file's: the call is dropped
// and the turn carries a parse_error.
std::vector<BrokenCall> drop_broken_calls(json::object& message) {
  std::vector<BrokenCall> broken;
  auto* calls = message.if_contains("tool_calls");
  if (!calls || !calls->is_array()) return broken;
  json::array kept;
  for (const auto& call : calls->get_array()) {
    if (read_tool_call(call, "")) {
      kept.push_back(call);
      continue;
    }
    const json::value* inner =
        call.is_object() ? call.get_object().if_contains("function") : nullptr;
    if (!inner || !inner->is_object()) inner = &call;
    const auto text_of = [](const json::value& of, const char* key) -> std::string {
      const json::value* value = of.is_object() ? of.get_object().if_contains(key) : nullptr;
      if (!value) return "";
      return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
    };
    broken.push_back({text_of(call, "id"), text_of(*inner, "name"), text_of(*inner, "arguments")});
  }
  *calls = std::move(kept);
  return broken;
}

// What a model said instead of an answer stands beside it in OpenAI's form.
void take_refusal(Assistant& said) {
  const auto* refusal = said.extra.if_contains("refusal");
  if (!refusal || !refusal->is_string() || refusal->get_string().empty()) return;
  said.content += std::string_view(refusal->get_string());
  said.extra["refusal"] = true;
}

void open_turn(std::vector<Turn>& turns, Message message, const std::vector<BrokenCall>& broken) {
  Turn turn{.index = static_cast<int>(turns.size())};
  turn.assistant.content = message.text();
  turn.assistant.reasoning = std::move(message.reasoning);
  turn.assistant.tool_calls = std::move(message.tool_calls);
  for (ToolCall& call : turn.assistant.tool_calls)
    if (call.id.empty())
      call.id = "call-" + std::to_string(turn.index) + "-" +
                std::to_string(&call - turn.assistant.tool_calls.data());
  turn.assistant.finish_reason = turn.assistant.tool_calls.empty() ? "stop" : "tool_calls";
  turn.assistant.extra = std::move(message.extra);
  take_refusal(turn.assistant);
  json::array kept;
  for (const BrokenCall& call : broken) {
    turn.assistant.parse_error = "the arguments of the call to '" + call.name +
                                 "' are no JSON object; they were: " + call.arguments;
    kept.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
  }
  if (!kept.empty()) turn.assistant.extra["broken_calls"] = std::move(kept);
  // Other servers write the reasoning under a name of their own.
  if (const auto* reasoning = turn.assistant.extra.if_contains("reasoning_content");
      reasoning && reasoning->is_string() && !turn.assistant.reasoning)
    turn.assistant.reasoning = std::string(reasoning->get_string());
  turns.push_back(std::move(turn));
}

void observe(Turn& turn, Message message, const std::vector<BrokenCall>& broken) {
  Observation observation;
  observation.name = message.name;
  observation.content = message.text();
  if (message.role == "user" || message.role == "system") observation.name = message.role;
  // What answers no call of the turn (one was dropped, or has its answer) says so by having no id.
  // An answer that names none, or one that is not there, is that of the next call of its name.
  const auto& seen = turn.observations;
  const auto is_named = [&](const auto& call) { return call.id == message.tool_call_id; };
  const auto dropped = std::find_if(broken.begin(), broken.end(), is_named);
  const auto& calls = turn.assistant.tool_calls;
  if (dropped != broken.end() && !dropped->id.empty())
    observation.name = dropped->name;
  else if (std::none_of(calls.begin(), calls.end(), is_named))
    message.tool_call_id.clear();
  for (const ToolCall& call : turn.assistant.tool_calls) {
    const bool answered = std::any_of(seen.begin(), seen.end(), [&](const Observation& before) {
      return before.tool_call_id == call.id;
    });
    const bool meant =
        message.tool_call_id.empty()
            ? message.role == "tool" && (message.name.empty() || message.name == call.name)
            : message.tool_call_id == call.id;
    if (answered || !meant) continue;
    observation.tool_call_id = call.id;
    observation.name = call.name;
    break;
  }
  observation.extra = std::move(message.extra);
  turn.observations.push_back(std::move(observation));
}

// Keys of a record that mean something else there; a conversation's stand in an object of their
// own.
constexpr const char* kOwnKeys[] = {"schema",  "run_id",   "parent",      "policy",
                                    "prefix",  "turns",    "labels",      "tokens",
                                    "created", "versions", "observation", "conversation"};

void set_aside_own_keys(json::object& extra) {
  json::object aside;
  for (const char* own : kOwnKeys) {
    const auto found = extra.find(own);
    if (found == extra.end()) continue;
    aside[own] = std::move(found->value());
    extra.erase(found);
  }
  if (!aside.empty()) extra["conversation"] = std::move(aside);
}

// How the conversation ended, where the record does not say it itself.
Outcome outcome_of(const std::vector<Turn>& turns) {
  Outcome outcome;
  outcome.status = OutcomeStatus::max_turns;
  if (turns.empty() || !turns.back().observations.empty() ||
      !turns.back().assistant.tool_calls.empty() || turns.back().assistant.parse_error)
    return outcome;
  const std::string& text = turns.back().assistant.content;
  outcome.status = OutcomeStatus::answered;
  outcome.answer = answer_in(text).value_or(std::string(trimmed(text)));
  return outcome;
}

}  // namespace

Result<Trajectory> read_conversation(const json::value& value, const std::string& fallback_id) {
  const auto* object = value.if_object();
  if (!object) return bad_input("expected an object with messages");
  Fields fields(*object, "");
  const auto* messages = fields.optional_array("messages");
  if (!fields.status()) return fields.status().error();
  if (!messages)
    return bad_input(
        "messages: is missing; expected a list of chat messages "
        "(for proctor's own records leave --from out)");
  Trajectory trajectory;
  auto prefix = std::make_shared<std::vector<Message>>();
  std::vector<Turn> turns;
  std::vector<BrokenCall> broken;  // of the last of them
  for (std::size_t i = 0; i < messages->size(); ++i) {
    const std::string path = "messages[" + std::to_string(i) + "]";
    json::value given = (*messages)[i];
    if (given.is_object()) renew_old_call(given.get_object());
    std::vector<BrokenCall> unread;
    if (given.is_object()) unread = drop_broken_calls(given.get_object());
    auto message = read_message(given, path);
    if (!message) return std::move(message).error();
    if (message->role == "assistant") {
      broken = std::move(unread);
      open_turn(turns, std::move(*message), broken);
    } else if (turns.empty()) {
      prefix->push_back(std::move(*message));
    } else {
      observe(turns.back(), std::move(*message), broken);
    }
  }
  trajectory.id = fields.text_or("id", fallback_id);
  trajectory.group_id = fields.text_or("group_id", "");
  trajectory.sample = static_cast<int>(fields.integer_or("sample", 0));
  trajectory.outcome = outcome_of(turns);
  if (const auto* outcome = fields.optional_object("outcome")) {
    auto read = read_outcome(*outcome, "outcome");
    if (!read) return std::move(read).error();
    if (read->status == OutcomeStatus::answered && !read->answer)
      return bad_input("outcome.answer: is missing, and outcome.status is answered");
    trajectory.outcome = std::move(*read);
  }
  Task task;
  task.id = fields.text_or("task_id", trajectory.id);
  if (const auto* given = fields.optional_object("task")) {
    json::object completed = *given;
    if (!completed.contains("id")) completed["id"] = task.id;
    if (!completed.contains("prompt") && !completed.contains("messages")) completed["prompt"] = "";
    auto read = read_task(completed, "task");
    if (!read) return std::move(read).error();
    task = std::move(*read);
  }
  if (!task.prompt || task.prompt->empty())
    for (const Message& message : *prefix)
      if (message.role == "user") task.prompt = message.text();
  if (!task.prompt && !task.messages) task.prompt = "";
  if (const auto* gold = fields.optional_object("gold")) task.gold = *gold;
  trajectory.task_id = task.id;
  trajectory.task = std::make_shared<const Task>(std::move(task));
  trajectory.prefix = std::move(prefix);
  for (Turn& turn : turns)
    trajectory.turns.push_back(std::make_shared<const Turn>(std::move(turn)));
  trajectory.extra = fields.rest();
  set_aside_own_keys(trajectory.extra);
  if (!fields.status()) return fields.status().error();
  return trajectory;
}

}  // namespace proctor
