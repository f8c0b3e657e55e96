// openai: the server's own tool calls; nothing is written into the text.
//
// Calls are numbered c0, c1... in records, whatever ids the server makes up, so that equal runs
// give equal records; prompts get ids that are unique in the conversation and nine letters long,
// which every known server takes. Blind spot: needs a server with tool calls (format_for() sees to
// that).
#include <fmt/format.h>

#include <map>

#include "policies/answer.h"
#include "policies/markup.h"
#include "policies/textual_format.h"

namespace proctor {
using namespace markup;
namespace {

class OpenAi final : public Format {
 public:
  std::string name() const override { return "openai"; }
  bool native() const override { return true; }
  Rendered render(const std::vector<Message>& conversation,
                  const std::vector<ToolDefinition>& tools) const override;
  Assistant parse(Generation generation, const std::vector<ToolDefinition>& tools) const override;
  std::optional<std::string> answer(const Assistant& turn) const override;
  std::string grammar(const std::vector<ToolDefinition>&, int) const override { return ""; }
};

Message rendered_turn(const Message& message, int turn, std::map<std::string, std::string>& ids) {
  Message rendered = message;
  rendered.extra.clear();
  if (message.text().find("</think>") != std::string::npos)
    rendered.reasoning.reset();  // the text holds it
  ids.clear();
  for (std::size_t i = 0; i < rendered.tool_calls.size(); ++i) {
    ToolCall& call = rendered.tool_calls[i];
    const std::string id = fmt::format("c{:05}{:03}", turn, i);
    ids[call.id] = id;
    call.id = id;
  }
  const json::value* answer = message.extra.if_contains("answer");
  if (answer != nullptr && answer->is_string()) {
    const std::string text = message.text(), wanted(answer->get_string());
    if (marked_answer(text).value_or(text) == wanted) return rendered;
    rendered.content = (text.empty() ? "" : text + "\n\n") + write_marked_answer(wanted);
  }
  return rendered;
}

Rendered OpenAi::render(const std::vector<Message>& conversation,
                        const std::vector<ToolDefinition>& tools) const {
  Rendered rendered;
  std::map<std::string, std::string> ids;  // of the last turn's calls
  int turns = 0;
  for (const Message& message : conversation) {
    if (message.role == "assistant") {
      rendered.messages.push_back(rendered_turn(message, turns++, ids));
      continue;
    }
    rendered.messages.push_back(message);
    if (message.role != "tool") continue;
    Message& result = rendered.messages.back();
    if (const auto id = ids.find(message.tool_call_id); id != ids.end()) {
      result.tool_call_id = id->second;
    } else {  // servers refuse a result without its call; a word on broken markup is such a one
      result.role = "user";
      result.tool_call_id.clear();
      result.name.clear();
    }
  }
  rendered.native_tools = tools;
  return rendered;
}

Assistant OpenAi::parse(Generation generation, const std::vector<ToolDefinition>&) const {
  Assistant turn;
  turn.content = std::move(generation.content);
  const Thinking thinking = split_thinking(turn.content, turn.content.find("```"));
  turn.reasoning = std::move(generation.reasoning);
  if (!turn.reasoning) turn.reasoning = thinking.reasoning;
  turn.tool_calls = std::move(generation.tool_calls);
  for (std::size_t i = 0; i < turn.tool_calls.size(); ++i) {
    turn.tool_calls[i].id = "c" + std::to_string(i);
  }
  const std::size_t thought = turn.content.size() - thinking.rest.size();
  std::vector<Span> spans{{0, thought, 'r'}};
  turn.parse_error = std::move(generation.parse_error);
  if (turn.parse_error) turn.tool_calls.clear();
  if (turn.tool_calls.empty() && !turn.parse_error) {
    if (thinking.open) {
      turn.parse_error =
          "Your turn ended before </think>. Think more briefly, then call a tool or answer.";
    } else if (trimmed(thinking.rest).empty()) {
      turn.parse_error = "Your turn is empty. Call a tool or write the final answer.";
    }
  }
  turn.finish_reason = std::move(generation.finish_reason);
  if (answer(turn)) spans.push_back({thought, turn.content.size(), 'a'});
  if (generation.tokens) generation.tokens->segments = segments_of(generation, spans);
  turn.tokens = std::move(generation.tokens);
  turn.extra = std::move(generation.extra);
  return turn;
}

std::optional<std::string> OpenAi::answer(const Assistant& turn) const {
  if (!turn.tool_calls.empty() || turn.parse_error) return std::nullopt;
  std::string text(trimmed(split_thinking(turn.content, turn.content.find("```")).rest));
  if (auto answer = marked_answer(text)) return answer;
  if (text.empty() || turn.finish_reason == "length") return std::nullopt;
  return text;
}

REGISTER_FORMAT({.name = "openai",
                 .summary = "the server's own tool calls; hermes where it has none"},
                [](const Options&) -> Result<FormatRef> {
                  return FormatRef(std::make_shared<OpenAi>());
                })

}  // namespace
}  // namespace proctor
