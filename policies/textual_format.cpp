// Render and parse as all textual formats do them.
#include "policies/textual_format.h"

#include <algorithm>

#include "policies/answer.h"

namespace proctor {
using namespace markup;
namespace {

bool same_calls(const std::vector<ToolCall>& a, const std::vector<ToolCall>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one.name == other.name && one.arguments == other.arguments;
  });
}

void number(std::vector<ToolCall>& calls) {
  for (std::size_t i = 0; i < calls.size(); ++i) calls[i].id = "c" + std::to_string(i);
}

std::optional<std::string> given_answer(const Message& message) {
  const json::value* answer = message.extra.if_contains("answer");
  if (answer == nullptr || !answer->is_string()) return std::nullopt;
  return std::string(answer->get_string());
}

json::object text_part(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

}  // namespace

void add_instructions(std::vector<Message>& messages, const std::string& instructions) {
  if (instructions.empty()) return;
  if (messages.empty() || messages.front().role != "system") {
    Message system;
    system.role = "system";
    system.content = instructions;
    messages.insert(messages.begin(), std::move(system));
    return;
  }
  json::value& content = messages.front().content;
  if (content.is_array()) {
    content.get_array().push_back(text_part("\n\n" + instructions));
  } else {
    const std::string before = messages.front().text();
    content = before.empty() ? instructions : before + "\n\n" + instructions;
  }
}

std::string as_json_lines(const std::vector<ToolDefinition>& tools) {
  std::string lines;
  for (const ToolDefinition& tool : tools) {
    json::object function{
        {"name", tool.name}, {"description", tool.description}, {"parameters", tool.parameters}};
    json::object line{{"type", "function"}, {"function", std::move(function)}};
    lines += json_without_closing_tags(line) + "\n";
  }
  return lines;
}

Message TextualFormat::rendered_turn(const Message& message,
                                     const std::vector<ToolDefinition>& tools) const {
  const std::string text = message.text();
  const Said now = read(text, false, tools);
  Said wanted;
  wanted.reasoning = message.reasoning;
  wanted.text = text;
  wanted.calls = message.tool_calls;
  wanted.answer = given_answer(message);

  Message turn;
  turn.role = "assistant";
  const bool says_it = wanted.answer && now.answer == wanted.answer && !now.parse_error;
  if ((wanted.answer && !says_it) || !same_calls(now.calls, wanted.calls)) {
    if (wanted.answer && marked_answer(text) == wanted.answer) wanted.text.clear();
    turn.content = write(wanted, tools);
  } else if (wanted.reasoning && !now.reasoning) {
    turn.content = write_reasoning(*wanted.reasoning) + text;
  } else {
    turn.content = text;
  }
  return turn;
}

Message TextualFormat::rendered_observation(const Message& message,
                                            const std::vector<ToolDefinition>& tools) const {
  const auto [before, after] = observation_frame(message);
  Message observation;
  observation.role = "user";
  if (!message.content.is_array()) {
    observation.content = before + harmless(message.text(), tools) + after;
    return observation;
  }
  json::array parts{text_part(before)};
  for (const json::value& part : message.content.get_array()) {
    const json::value* text = part.is_object() ? part.get_object().if_contains("text") : nullptr;
    if (text != nullptr && text->is_string()) {
      parts.push_back(text_part(harmless(text->get_string(), tools)));
    } else {
      parts.push_back(part);
    }
  }
  parts.push_back(text_part(after));
  observation.content = std::move(parts);
  return observation;
}

Rendered TextualFormat::render(const std::vector<Message>& conversation,
                               const std::vector<ToolDefinition>& tools) const {
  Rendered rendered;
  rendered.messages.reserve(conversation.size() + 1);
  for (const Message& message : conversation) {
    if (message.role == "assistant") {
      rendered.messages.push_back(rendered_turn(message, tools));
    } else if (message.role == "tool") {
      rendered.messages.push_back(rendered_observation(message, tools));
    } else {
      rendered.messages.push_back(message);
    }
  }
  add_instructions(rendered.messages, instructions(tools));
  rendered.stop = stop_strings(tools);
  return rendered;
}

Assistant TextualFormat::parse(Generation generation,
                               const std::vector<ToolDefinition>& tools) const {
  Said said = read(generation.content, generation.finish_reason == "length", tools);
  if (!generation.tool_calls.empty() || generation.parse_error) {
    said.calls = std::move(generation.tool_calls);
    said.parse_error = std::move(generation.parse_error);
  }
  number(said.calls);

  Assistant turn;
  if (generation.tokens) generation.tokens->segments = segments_of(generation, said.spans);
  turn.content = std::move(generation.content);
  if (said.length < turn.content.size()) turn.content.resize(said.length);
  turn.reasoning = std::move(generation.reasoning);
  if (!turn.reasoning) turn.reasoning = std::move(said.reasoning);
  turn.tool_calls = std::move(said.calls);
  turn.parse_error = std::move(said.parse_error);
  turn.finish_reason = std::move(generation.finish_reason);
  if (!turn.tool_calls.empty() && turn.finish_reason == "stop") turn.finish_reason = "tool_calls";
  turn.tokens = std::move(generation.tokens);
  turn.extra = std::move(generation.extra);
  if (said.forged_outputs > 0) turn.extra["forged_output"] = said.forged_outputs;
  return turn;
}

std::optional<std::string> TextualFormat::answer(const Assistant& turn) const {
  if (!turn.tool_calls.empty() || turn.parse_error) return std::nullopt;
  return read(turn.content, turn.finish_reason == "length", {}).answer;
}

}  // namespace proctor
