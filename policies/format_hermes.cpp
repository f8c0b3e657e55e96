// hermes: <tool_call>{"name", "arguments"}</tool_call> in the text, several a turn; a turn without
// a call is the final answer.
//
// Blind spot: a final answer that quotes a well-formed <tool_call> is taken for a call.
#include <fmt/format.h>

#include <algorithm>

#include "policies/answer.h"
#include "policies/gbnf.h"
#include "policies/markup.h"
#include "policies/textual_format.h"

namespace proctor {
using namespace markup;
namespace {

const std::vector<std::string>& tags() {
  static const std::vector<std::string> tags = {
      "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"};
  return tags;
}

class Hermes final : public TextualFormat {
 public:
  std::string name() const override { return "hermes"; }
  std::string grammar(const std::vector<ToolDefinition>& tools, int most_chars) const override;

 protected:
  Said read(std::string_view content, bool cut_short,
            const std::vector<ToolDefinition>& tools) const override;
  std::string write(const Said& said, const std::vector<ToolDefinition>& tools) const override;
  std::string write_reasoning(const std::string& reasoning) const override;
  std::string instructions(const std::vector<ToolDefinition>& tools) const override;
  std::vector<std::string> stop_strings(const std::vector<ToolDefinition>&) const override {
    return {"<tool_response>"};
  }
  std::pair<std::string, std::string> observation_frame(const Message&) const override {
    return {"<tool_response>\n", "\n</tool_response>"};
  }
  std::string harmless(std::string_view text, const std::vector<ToolDefinition>&) const override {
    return without_tags(text, tags());
  }
};

// A call's JSON: {"name": ..., "arguments": {...}}; arguments may be a string of JSON, as some
// models write them. The Error's message is for the policy.
Result<ToolCall> read_call(std::string_view text) {
  auto parsed = parse_json(text);
  if (!parsed) return bad_input(parsed.error().message);
  const json::object* call = parsed->if_object();
  const json::value* name = call == nullptr ? nullptr : call->if_contains("name");
  if (name == nullptr || !name->is_string())
    return bad_input("\"name\" with the tool's name is missing");
  ToolCall made;
  made.name = std::string(name->get_string());
  const json::value* arguments = call->if_contains("arguments");
  if (arguments == nullptr) arguments = call->if_contains("parameters");
  if (arguments == nullptr || arguments->is_null()) return made;
  if (arguments->is_object()) {
    made.arguments = arguments->get_object();
    return made;
  }
  if (arguments->is_string()) {
    auto inner = parse_json(arguments->get_string());
    if (inner && inner->is_object()) {
      made.arguments = inner->get_object();
      return made;
    }
  }
  return bad_input("\"arguments\" is no JSON object");
}

std::string broken(const std::string& why) {
  return "Your tool call cannot be read: " + why +
         ". Write <tool_call>{\"name\": \"TOOL\", \"arguments\": {...}}</tool_call> with valid "
         "JSON "
         "between the tags.";
}

Hermes::Said Hermes::read(std::string_view content, bool cut_short,
                          const std::vector<ToolDefinition>&) const {
  constexpr std::string_view open = "<tool_call>", close = "</tool_call>";
  constexpr std::string_view forged = "<tool_response>";
  Said said;
  const Thinking thinking = split_thinking(content, content.find(open));
  said.reasoning = thinking.reasoning;
  const std::size_t thought = content.size() - thinking.rest.size();
  said.spans.push_back({0, thought, 'r'});
  if (thinking.open) {
    said.parse_error =
        "Your turn ended before </think>. Think more briefly, then call a tool or answer.";
    return said;
  }
  std::size_t at = thought;
  while (at < content.size()) {
    const auto call = content.find(open, at), response = content.find(forged, at);
    if (response < call) {
      said.text += content.substr(at, response - at);
      said.length = response;
      for (auto next = response; next != std::string_view::npos;
           next = content.find(forged, next + 1)) {
        ++said.forged_outputs;
      }
      break;
    }
    said.text += content.substr(at, call == std::string_view::npos ? call : call - at);
    if (call == std::string_view::npos) break;
    const auto start = content.find_first_not_of(" \t\r\n", call + open.size());
    const auto end = end_of_json_object(content, start);
    if (!end) {
      said.parse_error = cut_short ? broken("the turn reached its token limit inside it")
                                   : broken("there is no complete JSON object behind <tool_call>");
      break;
    }
    auto read = read_call(content.substr(start, *end - start));
    if (!read) {
      said.parse_error = broken(read.error().message);
      break;
    }
    said.calls.push_back(std::move(*read));
    at = std::min(content.find_first_not_of(" \t\r\n", *end), content.size());
    if (content.substr(at).starts_with(close)) {
      at += close.size();
    } else if (at < content.size() && !content.substr(at).starts_with(open)) {
      said.parse_error = broken("there is text between the JSON object and </tool_call>");
      break;
    }
    said.spans.push_back({call, at, 'a'});
  }
  if (said.parse_error) {
    said.calls.clear();
    return said;
  }
  said.text = std::string(trimmed(said.text));
  if (said.calls.empty()) {
    said.answer = marked_answer(said.text);
    if (!said.answer && !cut_short && !said.text.empty()) said.answer = said.text;
    if (said.answer) said.spans.push_back({thought, std::min(said.length, content.size()), 'a'});
    if (said.text.empty())
      said.parse_error = "Your turn is empty. Call a tool or write the final answer.";
  }
  return said;
}

std::string Hermes::write_reasoning(const std::string& reasoning) const {
  return "<think>\n" + without_tags(reasoning, tags()) + "\n</think>\n";
}

std::string Hermes::write(const Said& said, const std::vector<ToolDefinition>&) const {
  std::string turn = said.reasoning ? write_reasoning(*said.reasoning) : "";
  turn += without_tags(said.text, tags());
  for (const ToolCall& call : said.calls) {
    const json::object body{{"name", call.name}, {"arguments", call.arguments}};
    if (!turn.empty() && !turn.ends_with('\n')) turn += '\n';
    turn += "<tool_call>\n" + json_without_closing_tags(body) + "\n</tool_call>";
  }
  if (said.answer) {
    if (!turn.empty() && !turn.ends_with('\n')) turn += "\n\n";
    turn += write_marked_answer(*said.answer);
  }
  return turn;
}

std::string Hermes::instructions(const std::vector<ToolDefinition>& tools) const {
  if (tools.empty()) return "";
  return "You can call tools. Each line inside <tools></tools> describes one, with the JSON schema "
         "of "
         "its arguments:\n<tools>\n" +
         as_json_lines(tools) +
         "</tools>\nTo call a tool, write\n<tool_call>\n{\"name\": \"TOOL\", \"arguments\": "
         "{...}}\n"
         "</tool_call>\nCalls of one turn run side by side; each result comes back inside "
         "<tool_response></tool_response>. A turn without a tool call is your final answer; its "
         "last line is \"Answer: \" and the answer alone.";
}

std::string Hermes::grammar(const std::vector<ToolDefinition>& tools, int most_chars) const {
  Grammar grammar(most_chars);
  std::string calls;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string arguments =
        grammar.object(fmt::format("arguments-{}", i), tools[i].parameters);
    const std::string start =
        fmt::format("{{\"name\": {}, \"arguments\": ", json::serialize(json::value(tools[i].name)));
    calls += fmt::format("{}{} {} \"}}\"", i == 0 ? "" : " | ", Grammar::literal(start), arguments);
  }
  const std::string text = grammar.text_without("words", '<', tags());
  const std::string think = fmt::format("(\"<think>\\n\" {} \"\\n</think>\\n\")?", text);
  if (tools.empty()) {
    grammar.rule("root", think + " " + text);
    return grammar.text("root");
  }
  grammar.rule("call", "\"<tool_call>\\n\" (" + calls + ") \"\\n</tool_call>\"");
  grammar.rule("root", fmt::format("{} (call (\"\\n\" call){{0,3}} | {})", think, text));
  return grammar.text("root");
}

REGISTER_FORMAT(
    {.name = "hermes",
     .summary =
         "<tool_call>{\"name\", \"arguments\"}</tool_call>; an answer is a turn without calls"},
    [](const Options&) -> Result<FormatRef> { return FormatRef(std::make_shared<Hermes>()); })

}  // namespace
}  // namespace proctor
