// plain: no tools; every turn is an answer.
//
// What counts as the answer is found by its marks (markup.h, marked_answer), code fences among
// them, else it is the whole text.
#include "policies/answer.h"
#include "policies/gbnf.h"
#include "policies/markup.h"
#include "policies/textual_format.h"

namespace proctor {
using namespace markup;
namespace {

class Plain final : public TextualFormat {
 public:
  std::string name() const override { return "plain"; }
  bool calls_tools() const override { return false; }
  std::string grammar(const std::vector<ToolDefinition>&, int most_chars) const override {
    Grammar grammar(most_chars);
    const std::string words = grammar.text_without("words", '<', {"<think>", "</think>"});
    grammar.rule("root", "(\"<think>\\n\" " + words + " \"\\n</think>\\n\")? " + words);
    return grammar.text("root");
  }

 protected:
  Said read(std::string_view content, bool cut_short,
            const std::vector<ToolDefinition>&) const override {
    Said said;
    const Thinking thinking = split_thinking(content, content.find("```"));
    said.reasoning = thinking.reasoning;
    said.text = std::string(trimmed(thinking.rest));
    const std::size_t thought = content.size() - thinking.rest.size();
    said.spans.push_back({0, thought, 'r'});
    if (thinking.open) {
      said.parse_error = "Your turn ended before </think>. Think more briefly, then answer.";
    } else if (said.text.empty()) {
      said.parse_error = "Your turn is empty. Write the answer.";
    } else {
      said.answer = marked_answer(said.text);
      if (!said.answer && !cut_short) said.answer = said.text;
      if (said.answer) said.spans.push_back({thought, content.size(), 'a'});
    }
    return said;
  }
  std::string write(const Said& said, const std::vector<ToolDefinition>&) const override {
    std::string turn = said.reasoning ? write_reasoning(*said.reasoning) : "";
    turn += said.text;
    if (!said.answer) return turn;
    if (!said.text.empty()) turn += "\n\n";
    return turn + write_marked_answer(*said.answer);
  }
  std::string write_reasoning(const std::string& reasoning) const override {
    return "<think>\n" + without_tags(reasoning, {"<think>", "</think>"}) + "\n</think>\n";
  }
  std::string instructions(const std::vector<ToolDefinition>&) const override { return ""; }
  std::vector<std::string> stop_strings(const std::vector<ToolDefinition>&) const override {
    return {};
  }
  std::pair<std::string, std::string> observation_frame(const Message& observation) const override {
    return {"Result of " + (observation.name.empty() ? "a tool" : observation.name) + ":\n", ""};
  }
  std::string harmless(std::string_view text, const std::vector<ToolDefinition>&) const override {
    return without_tags(text, {"<think>", "</think>"});
  }
};

REGISTER_FORMAT({.name = "plain",
                 .summary = "no tools; the text, or what is marked in it, is the answer"},
                [](const Options&) -> Result<FormatRef> {
                  return FormatRef(std::make_shared<Plain>());
                })

}  // namespace
}  // namespace proctor
