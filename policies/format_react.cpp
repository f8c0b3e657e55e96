// react: lines that begin with Thought, Action, Action Input, Observation and Final Answer.
//
// A label counts at the very start of a line only. An action's input is bare text for the tool's
// main parameter, or a JSON object. Blind spot: a line of code that begins with a label.
#include <fmt/format.h>

#include <algorithm>

#include "policies/gbnf.h"
#include "policies/markup.h"
#include "policies/textual_format.h"

namespace proctor {
using namespace markup;
namespace {

constexpr std::string_view kThought = "Thought:", kAction = "Action:", kInput = "Action Input:",
                           kObservation = "Observation:", kAnswer = "Final Answer:";
constexpr std::string_view kLabels[] = {kThought, kAction, kInput, kObservation, kAnswer};

class React final : public TextualFormat {
 public:
  std::string name() const override { return "react"; }
  std::string grammar(const std::vector<ToolDefinition>& tools, int most_chars) const override;

 protected:
  Said read(std::string_view content, bool cut_short,
            const std::vector<ToolDefinition>& tools) const override;
  std::string write(const Said& said, const std::vector<ToolDefinition>& tools) const override;
  std::string write_reasoning(const std::string& reasoning) const override;
  std::string instructions(const std::vector<ToolDefinition>& tools) const override;
  std::vector<std::string> stop_strings(const std::vector<ToolDefinition>&) const override {
    return {"\nObservation:"};
  }
  std::pair<std::string, std::string> observation_frame(const Message&) const override {
    return {"Observation: ", ""};
  }
  std::string harmless(std::string_view text, const std::vector<ToolDefinition>&) const override;
};

struct Part {
  std::string_view label;  // empty: text before the first label
  std::size_t start = 0;   // of its line
  std::string_view body;
};

std::string_view label_at(std::string_view line) {
  for (std::string_view label : kLabels) {
    if (line.starts_with(label)) return label;
  }
  return {};
}

std::vector<Part> parts_of(std::string_view content, std::size_t from) {
  std::vector<Part> parts(1);
  parts[0].start = from;
  parts[0].body = content.substr(from);
  for (std::size_t start = from; start < content.size();) {
    if (const auto label = label_at(content.substr(start)); !label.empty()) {
      Part& before = parts.back();
      const auto body_start = static_cast<std::size_t>(before.body.data() - content.data());
      before.body = content.substr(body_start, start - body_start);
      if (!before.body.empty()) before.body.remove_suffix(1);  // the line break before the label
      std::string_view body = content.substr(start + label.size());
      body.remove_prefix(std::min(body.find_first_not_of(" \t"), body.size()));
      parts.push_back({label, start, body});
    }
    const auto line_end = content.find('\n', start);
    if (line_end == std::string_view::npos) break;
    start = line_end + 1;
  }
  return parts;
}

void add(std::optional<std::string>& reasoning, std::string_view words) {
  words = trimmed(words);
  if (words.empty()) return;
  reasoning = reasoning ? *reasoning + "\n" + std::string(words) : std::string(words);
}

// The call of an action; its Error's message is for the policy.
Result<ToolCall> read_action(std::string_view name, std::optional<std::string_view> input,
                             const std::vector<ToolDefinition>& tools) {
  ToolCall call;
  call.name = std::string(trimmed(name));
  if (call.name.empty() || call.name.find('\n') != std::string::npos) {
    return bad_input("Your Action is not one tool's name. Tools: " + names_of(tools) + ".");
  }
  const ToolDefinition* tool = find_tool(tools, call.name);
  if (tool == nullptr) {  // the runtime says so in the observation
    const ToolDefinition takes_json;
    const std::string_view text = trimmed(input.value_or(""));
    auto arguments = read_arguments(text, takes_json);
    if (arguments)
      call.arguments = std::move(*arguments);
    else
      call.arguments["input"] = std::string(text);
    return call;
  }
  if (!input && main_parameter(*tool)) {
    return bad_input("Your Action has no Action Input. Write \"Action Input: \" on the next line.");
  }
  auto arguments = read_arguments(input.value_or(""), *tool);
  if (!arguments) {
    return bad_input("The Action Input of " + call.name +
                     " must be a JSON object with its arguments.");
  }
  call.arguments = std::move(*arguments);
  return call;
}

React::Said React::read(std::string_view content, bool cut_short,
                        const std::vector<ToolDefinition>& tools) const {
  Said said;
  const auto labelled = parts_of(content, 0);
  const Thinking thinking =
      split_thinking(content, labelled.size() > 1 ? labelled[1].start : std::string_view::npos);
  said.reasoning = thinking.reasoning;
  said.spans.push_back({0, content.size() - thinking.rest.size(), 'r'});
  if (thinking.open) {
    said.parse_error = "Your turn ended before </think>. Think more briefly, then act or answer.";
    return said;
  }
  auto parts = parts_of(content, content.size() - thinking.rest.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].label != kObservation) continue;
    said.length = parts[i].start == 0 ? 0 : parts[i].start - 1;
    for (std::size_t j = i; j < parts.size(); ++j) {
      const bool is_result = parts[j].label == kObservation && !trimmed(parts[j].body).empty();
      if (is_result) ++said.forged_outputs;
    }
    parts.resize(i);
    break;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t end = i + 1 < parts.size() ? parts[i + 1].start : content.size();
    if (parts[i].label.empty()) continue;
    said.spans.push_back(
        {parts[i].start, std::min(end, said.length), parts[i].label == kThought ? 'r' : 'a'});
    if (parts[i].label != kAnswer) continue;
    said.spans.back().end = std::min(content.size(), said.length);
    break;
  }
  for (std::size_t i = 0; i < parts.size() && !said.parse_error; ++i) {
    const Part& part = parts[i];
    if (part.label.empty()) said.text = std::string(trimmed(part.body));
    if (part.label == kThought) add(said.reasoning, part.body);
    if (part.label == kInput) said.parse_error = "Your Action Input has no Action before it.";
    if (part.label == kAction) {
      std::optional<std::string_view> input;
      if (i + 1 < parts.size() && parts[i + 1].label == kInput) input = parts[++i].body;
      auto call = read_action(part.body, input, tools);
      if (call)
        said.calls.push_back(std::move(*call));
      else
        said.parse_error = call.error().message;
    }
    if (part.label == kAnswer) {
      const std::string_view& last = parts.back().body;
      const auto start = static_cast<std::size_t>(part.body.data() - content.data());
      const auto end = static_cast<std::size_t>(last.data() - content.data()) + last.size();
      const std::string_view rest = content.substr(start, end - start);
      said.answer = inside_of_fence(rest).value_or(std::string(inside_of_block(rest)));
      break;
    }
  }
  if (cut_short && !said.calls.empty() && !said.parse_error && !said.answer) {
    said.parse_error = "Your turn reached its token limit inside an Action. Write less.";
  }
  if (said.parse_error) {
    said.calls.clear();
    said.answer.reset();
  } else if (!said.calls.empty()) {
    said.answer.reset();  // it cannot rest on results that were not there yet
  } else if (!said.answer) {
    said.parse_error =
        "Your turn has neither an Action nor a Final Answer. Write \"Action: \" and \"Action "
        "Input: "
        "\", or \"Final Answer: \", each at the start of a line.";
  }
  return said;
}

// A blank in front keeps a line from being read as a label; what stands behind </think> is a line's
// start, too.
std::string indented_labels(std::string_view original) {
  const std::string text = without_tags(original, {"<think>", "</think>"});
  std::string safe;
  for (std::size_t start = 0; start <= text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    if (!label_at(line).empty()) safe += ' ';
    safe += line;
    if (end < text.size()) safe += '\n';
    start = end + 1;
  }
  return safe;
}

std::string React::harmless(std::string_view text, const std::vector<ToolDefinition>&) const {
  return indented_labels(text);
}

std::string React::write_reasoning(const std::string& reasoning) const {
  return "Thought: " + indented_labels(reasoning) + "\n";
}

std::string React::write(const Said& said, const std::vector<ToolDefinition>& tools) const {
  std::string thought = said.reasoning.value_or("");
  if (!trimmed(said.text).empty()) thought += (thought.empty() ? "" : "\n") + said.text;
  std::string turn = thought.empty() ? "" : write_reasoning(thought);
  std::vector<std::string> forbidden;
  for (std::string_view label : kLabels) forbidden.push_back("\n" + std::string(label));
  for (const ToolCall& call : said.calls) {
    if (&call != &said.calls.front()) turn += '\n';
    const ToolDefinition* tool = find_tool(tools, call.name);
    std::string input = tool == nullptr ? json_without_closing_tags(call.arguments)
                                        : write_arguments(call.arguments, *tool, forbidden);
    turn += "Action: " + call.name + "\nAction Input: " + input;
  }
  if (said.answer) turn += "Final Answer: " + *said.answer;
  return turn;
}

std::string React::instructions(const std::vector<ToolDefinition>& tools) const {
  std::string text = "Every turn begins with a thought and then acts or answers.\n";
  if (!tools.empty()) {
    text +=
        "To act:\nThought: what you need\nAction: the tool\nAction Input: its input\n"
        "The result follows as \"Observation: ...\". Tools:\n";
    for (const ToolDefinition& tool : tools) {
      const auto main = main_parameter(tool);
      text += fmt::format("- {} (input: {}): {}\n", tool.name, main ? *main : "JSON arguments",
                          tool.description);
    }
  }
  return text + "To answer:\nThought: why\nFinal Answer: the answer alone";
}

std::string React::grammar(const std::vector<ToolDefinition>& tools, int most_chars) const {
  Grammar grammar(most_chars);
  std::vector<std::string> lines;
  for (std::string_view label : kLabels) lines.push_back("\n" + std::string(label));
  const std::string thought = grammar.line_without("thought", "");
  const std::string answer = grammar.text_without("answer", '\n', lines);
  const std::string code = grammar.text_without("code", '\n', lines);
  const std::string code_lines = grammar.text_without("code-lines", '\n', lines, true);
  std::string acts = "\"Final Answer: \" " + answer;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const auto main = main_parameter(tools[i]);
    std::string input;
    if (!main) {
      input = "\" \" " + grammar.object(fmt::format("arguments-{}", i), tools[i].parameters);
    } else if (*main == "code") {
      input = fmt::format("\" \" ({} | \"\\n\" {} \"\\n\"?)", code, code_lines);
    } else {
      input = "\" \" " + grammar.line_without("line", "");
    }
    const std::string start = "Action: " + tools[i].name + "\nAction Input:";
    acts += fmt::format(" | {} {}", Grammar::literal(start), input);
  }
  grammar.rule("root", fmt::format("(\"Thought: \" {} \"\\n\")? ({})", thought, acts));
  return grammar.text("root");
}

REGISTER_FORMAT({.name = "react",
                 .summary = "Thought, Action, Action Input, Observation, Final Answer"},
                [](const Options&) -> Result<FormatRef> {
                  return FormatRef(std::make_shared<React>());
                })

}  // namespace
}  // namespace proctor
