// tags: <think>, then a block named like a tool with its text as the main argument, or <answer>;
// one call a turn. With mode=function: <reasoning>, then <tool>{"name", "arguments"}</tool> or the
// answer.
//
// The first complete tool block ends a turn; what follows it is dropped. Blind spot: a tool named
// like one of the other blocks (think, answer, output) cannot be called.
#include <fmt/format.h>

#include <algorithm>

#include "policies/gbnf.h"
#include "policies/markup.h"
#include "policies/textual_format.h"

namespace proctor {
using namespace markup;
namespace {

std::string opening(const std::string& name) { return "<" + name + ">"; }
std::string closing(const std::string& name) { return "</" + name + ">"; }

class Tags final : public TextualFormat {
 public:
  Tags(bool function_mode, std::string results)
      : function_mode_(function_mode),
        thought_(function_mode ? "reasoning" : "think"),
        results_(std::move(results)) {}

  std::string name() const override { return "tags"; }
  std::string grammar(const std::vector<ToolDefinition>& tools, int most_chars) const override;

 protected:
  Said read(std::string_view content, bool cut_short,
            const std::vector<ToolDefinition>& tools) const override;
  std::string write(const Said& said, const std::vector<ToolDefinition>& tools) const override;
  std::string write_reasoning(const std::string& reasoning) const override;
  std::string instructions(const std::vector<ToolDefinition>& tools) const override;
  std::vector<std::string> stop_strings(const std::vector<ToolDefinition>& tools) const override;
  std::pair<std::string, std::string> observation_frame(const Message&) const override {
    return {opening(results_) + "\n", "\n" + closing(results_)};
  }
  std::string harmless(std::string_view text,
                       const std::vector<ToolDefinition>& tools) const override {
    return without_tags(text, all_tags(tools));
  }

 private:
  std::vector<std::string> call_blocks(const std::vector<ToolDefinition>& tools) const;
  std::vector<std::string> all_tags(const std::vector<ToolDefinition>& tools) const;
  std::optional<std::size_t> closed_call(std::string_view content, std::size_t from,
                                         const std::vector<ToolDefinition>& tools) const;
  void read_call(Said& said, const std::string& block, std::string_view body,
                 const std::vector<ToolDefinition>& tools) const;
  std::string missing_block(const std::vector<ToolDefinition>& tools) const;

  const bool function_mode_;
  const std::string thought_;
  const std::string results_;
};

std::vector<std::string> Tags::call_blocks(const std::vector<ToolDefinition>& tools) const {
  if (function_mode_) return {"tool"};
  std::vector<std::string> names;
  names.reserve(tools.size() + 3);
  for (const ToolDefinition& tool : tools) names.push_back(tool.name);
  return names;
}

std::vector<std::string> Tags::all_tags(const std::vector<ToolDefinition>& tools) const {
  std::vector<std::string> tags;
  std::vector<std::string> names = call_blocks(tools);
  names.insert(names.end(), {thought_, "answer", results_});
  for (const std::string& name : names) {
    tags.push_back(opening(name));
    tags.push_back(closing(name));
  }
  return tags;
}

std::size_t count(std::string_view text, const std::string& word) {
  std::size_t times = 0;
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1))
    ++times;
  return times;
}

struct Tag {
  std::size_t start = std::string_view::npos;
  std::string name;
};

// The next opening tag of one of `names` at or behind `from`.
Tag next_tag(std::string_view content, std::size_t from, const std::vector<std::string>& names) {
  Tag next;
  for (auto at = content.find('<', from); at != std::string_view::npos;
       at = content.find('<', at + 1)) {
    for (const std::string& name : names) {
      if (content.substr(at).starts_with(opening(name))) return {at, name};
    }
  }
  return next;
}

// Where the next call that is whole begins.
std::optional<std::size_t> Tags::closed_call(std::string_view content, std::size_t from,
                                             const std::vector<ToolDefinition>& tools) const {
  const Tag call = next_tag(content, from, call_blocks(tools));
  if (call.start == std::string_view::npos) return std::nullopt;
  if (content.find(closing(call.name), call.start) == std::string_view::npos) return std::nullopt;
  return call.start;
}

std::string Tags::missing_block(const std::vector<ToolDefinition>& tools) const {
  std::string choices;
  for (const std::string& block : call_blocks(tools)) {
    choices += opening(block) + "..." + closing(block) + " or ";
  }
  return choices + "<answer>...</answer>";
}

void Tags::read_call(Said& said, const std::string& block, std::string_view body,
                     const std::vector<ToolDefinition>& tools) const {
  ToolCall call;
  if (!function_mode_) {
    const ToolDefinition* tool = find_tool(tools, block);
    auto arguments = read_arguments(body, *tool);
    if (!arguments) {
      said.parse_error =
          fmt::format("The text inside <{}> must be a JSON object with its arguments.", block);
      return;
    }
    call.name = block;
    call.arguments = std::move(*arguments);
    said.calls.push_back(std::move(call));
    return;
  }
  const std::string how = " Write <tool>{\"name\": \"TOOL\", \"arguments\": {...}}</tool>.";
  auto parsed = parse_json(trimmed(body));
  if (!parsed) {
    said.parse_error =
        "The text inside <tool> cannot be read: " + parsed.error().message + "." + how;
    return;
  }
  const json::object* given = parsed->if_object();
  const json::value* name = given == nullptr ? nullptr : given->if_contains("name");
  const json::value* arguments = given == nullptr ? nullptr : given->if_contains("arguments");
  if (name == nullptr || !name->is_string() || (arguments != nullptr && !arguments->is_object())) {
    said.parse_error = "The text inside <tool> is no object with \"name\" and \"arguments\"." + how;
    return;
  }
  call.name = std::string(name->get_string());
  if (arguments != nullptr) call.arguments = arguments->get_object();
  said.calls.push_back(std::move(call));
}

Tags::Said Tags::read(std::string_view content, bool cut_short,
                      const std::vector<ToolDefinition>& tools) const {
  constexpr auto npos = std::string_view::npos;
  Said said;
  std::vector<std::string> names = call_blocks(tools);
  names.insert(names.end(), {thought_, "answer", results_});
  std::vector<Span> texts;  // an answer, should there be no other
  const auto text = [&](std::size_t from, std::size_t to) {
    said.text += content.substr(from, to - from);
    texts.push_back({from, to, 'a'});
  };
  const auto think = [&](std::string_view block, std::size_t from, std::size_t to) {
    said.spans.push_back({from, to, 'r'});
    const std::string_view words = trimmed(block);
    if (words.empty()) return;
    said.reasoning =
        said.reasoning ? *said.reasoning + "\n" + std::string(words) : std::string(words);
  };
  const auto unclosed = [&](const std::string& name) {
    said.parse_error =
        fmt::format("Your <{0}> is never closed by </{0}>{1}.", name,
                    cut_short ? ": the turn reached its token limit, so write less" : "");
  };
  std::size_t at = 0;
  // A template that opens the thought for the model leaves only its end in the content.
  if (const auto end = content.find(closing(thought_));
      end != npos && end < next_tag(content, 0, names).start) {
    at = end + closing(thought_).size();
    think(content.substr(0, end), 0, at);
  }
  while (!said.parse_error) {
    const Tag tag = next_tag(content, at, names);
    text(at, std::min(tag.start, content.size()));
    if (tag.start == npos) break;
    if (tag.name == results_) {
      said.length = tag.start;
      said.forged_outputs = static_cast<int>(count(content.substr(tag.start), opening(results_)));
      break;
    }
    const auto inside = tag.start + opening(tag.name).size();
    const auto end = content.find(closing(tag.name), inside);
    if (tag.name == thought_) {
      // A call inside a thought that is not closed counts; a mere mention of its tag does not.
      if (const auto call = closed_call(content, inside, tools); call && end == npos) {
        think(content.substr(inside, *call - inside), tag.start, *call);
        at = *call;
        continue;
      }
      const Tag forged = next_tag(content, inside, {results_});
      if (end == npos || forged.start < end) {
        const std::size_t to = std::min({end, forged.start, content.size()});
        think(content.substr(inside, to - inside), tag.start, to);
        if (forged.start == npos) unclosed(tag.name);
        at = std::min(forged.start, content.size());
        continue;
      }
      at = end + closing(tag.name).size();
      think(content.substr(inside, end - inside), tag.start, at);
      continue;
    }
    if (end == npos) {
      if (const Tag forged = next_tag(content, inside, {results_}); forged.start != npos) {
        said.length = forged.start;
        said.forged_outputs =
            static_cast<int>(count(content.substr(forged.start), opening(results_)));
      }
      unclosed(tag.name);
      break;
    }
    const std::string_view body = content.substr(inside, end - inside);
    said.length = end + closing(tag.name).size();
    said.spans.push_back({tag.start, said.length, 'a'});
    said.forged_outputs = static_cast<int>(count(content.substr(said.length), opening(results_)));
    if (tag.name == "answer") {
      said.answer = inside_of_fence(body).value_or(std::string(inside_of_block(body)));
    } else {
      read_call(said, tag.name, body, tools);
    }
    break;
  }
  said.text = std::string(trimmed(said.text));
  if (said.parse_error || !said.calls.empty() || said.answer) return said;
  if (function_mode_ && !said.text.empty() && !cut_short) {
    said.answer = said.text;
    said.spans.insert(said.spans.end(), texts.begin(), texts.end());
    std::sort(said.spans.begin(), said.spans.end(),
              [](const Span& one, const Span& other) { return one.begin < other.begin; });
  } else {
    said.parse_error =
        "Your turn ends without a call or an answer. Write " + missing_block(tools) + ".";
  }
  return said;
}

std::string Tags::write_reasoning(const std::string& reasoning) const {
  return opening(thought_) + without_tags(reasoning, all_tags({})) + closing(thought_) + "\n";
}

std::string Tags::write(const Said& said, const std::vector<ToolDefinition>& tools) const {
  std::string thought = said.reasoning.value_or("");
  if (!trimmed(said.text).empty()) thought += (thought.empty() ? "" : "\n") + said.text;
  std::string turn = thought.empty() ? "" : write_reasoning(without_tags(thought, all_tags(tools)));
  for (const ToolCall& call : said.calls) {
    const std::string block = function_mode_ ? "tool" : call.name;
    turn += opening(block);
    if (const ToolDefinition* tool = find_tool(tools, call.name);
        tool != nullptr && !function_mode_) {
      turn += write_arguments(call.arguments, *tool, {closing(block)});
    } else {
      const json::object body{{"name", call.name}, {"arguments", call.arguments}};
      turn += json_without_closing_tags(function_mode_ ? body : call.arguments);
    }
    turn += closing(block);
  }
  if (said.answer) {
    const bool lines = said.answer->find('\n') != std::string::npos;
    const std::string text = without_tags(*said.answer, {"</answer>"});
    turn += lines ? "<answer>\n" + text + "\n</answer>" : "<answer>" + text + "</answer>";
  }
  return turn;
}

std::string Tags::instructions(const std::vector<ToolDefinition>& tools) const {
  std::string text =
      fmt::format("Think inside <{0}></{0}>. Then write exactly one block:\n", thought_);
  if (function_mode_) {
    text += "<tool>{\"name\": \"TOOL\", \"arguments\": {...}}</tool> calls one of these tools:\n" +
            as_json_lines(tools);
  } else {
    for (const ToolDefinition& tool : tools) {
      const auto main = main_parameter(tool);
      text += fmt::format("<{0}>{1}</{0}>: {2}\n", tool.name, main ? *main : "JSON arguments",
                          tool.description);
    }
  }
  text += "<answer>the answer alone</answer> ends the task.";
  if (!tools.empty()) text += fmt::format("\nA result comes back inside <{0}></{0}>.", results_);
  return text;
}

std::vector<std::string> Tags::stop_strings(const std::vector<ToolDefinition>& tools) const {
  std::vector<std::string> stop;
  for (const std::string& block : call_blocks(tools)) stop.push_back(closing(block));
  stop.push_back("</answer>");
  return stop;
}

std::string Tags::grammar(const std::vector<ToolDefinition>& tools, int most_chars) const {
  // A JSON string that holds the closing tag would end the block: strings go without "<".
  Grammar grammar(most_chars, '<');
  const std::string thought = grammar.line_without("thought", "<");  // small models ramble
  // A turn ends at whichever stop string comes first, so none may stand inside another's block.
  const std::vector<std::string> ends = stop_strings(tools);
  const std::string answer = grammar.text_without("answer", '<', ends);
  // Line breaks around a text of several lines, as `write` has them, and as a model likes them.
  std::string blocks = fmt::format("\"<answer>\" \"\\n\"? {} \"</answer>\"", answer);
  if (function_mode_ && !tools.empty()) {
    std::string calls;
    for (std::size_t i = 0; i < tools.size(); ++i) {
      const std::string arguments =
          grammar.object(fmt::format("arguments-{}", i), tools[i].parameters);
      const std::string start = fmt::format("{{\"name\": {}, \"arguments\": ",
                                            json::serialize(json::value(tools[i].name)));
      calls +=
          fmt::format("{}{} {} \"}}\"", i == 0 ? "" : " | ", Grammar::literal(start), arguments);
    }
    grammar.rule("call", calls);
    blocks += " | \"<tool>\" call \"</tool>\"";
  }
  for (std::size_t i = 0; i < tools.size() && !function_mode_; ++i) {
    const std::string& name = tools[i].name;
    const auto main = main_parameter(tools[i]);
    std::string body;
    if (!main) {
      body = grammar.object(fmt::format("arguments-{}", i), tools[i].parameters);
    } else if (*main == "code") {
      const std::string code = grammar.text_without("code", '<', ends);
      body = "\"\\n\"? " + code;
    } else {
      body = grammar.line_without("line", "<");
    }
    blocks += fmt::format(" | {} {} {}", Grammar::literal(opening(name)), body,
                          Grammar::literal(closing(name)));
  }
  grammar.rule("root", fmt::format("({} {} {} \"\\n\")? ({})", Grammar::literal(opening(thought_)),
                                   thought, Grammar::literal(closing(thought_)), blocks));
  return grammar.text("root");
}

REGISTER_FORMAT(
    {.name = "tags",
     .summary = "<think>, <search>, <python>, <answer>: blocks named like tools, one call a turn",
     .options = {{.name = "mode",
                  .type = OptionType::choice,
                  .fallback = "math",
                  .meaning =
                      "math: a block is named like its tool; function: <tool> holds name and "
                      "arguments as JSON",
                  .choices = {"math", "function"}},
                 {.name = "results",
                  .type = OptionType::text,
                  .meaning = "the block that results come back in (output; tool_result with "
                             "mode=function; Search-R1 models know information)"}}},
    [](const Options& options) -> Result<FormatRef> {
      const bool function_mode = options.text("mode") == "function";
      std::string results = function_mode ? "tool_result" : "output";
      if (options.given("results")) results = options.text("results");
      return FormatRef(std::make_shared<Tags>(function_mode, std::move(results)));
    })

}  // namespace
}  // namespace proctor
