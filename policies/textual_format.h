// What formats that write tool calls as text have in common: instructions go into the system
// message, few-shot examples get the format's markup, observations become user messages.
//
// A format derives from it and says how one turn reads and writes. Blind spot: a call that the
// backend gave natively (script rules may) is taken as it is, whatever the text says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policies/format.h"
#include "policies/markup.h"

namespace proctor {

class TextualFormat : public Format {
 public:
  Rendered render(const std::vector<Message>& conversation,
                  const std::vector<ToolDefinition>& tools) const final;
  Assistant parse(Generation generation, const std::vector<ToolDefinition>& tools) const final;
  std::optional<std::string> answer(const Assistant& turn) const final;

 protected:
  // One turn taken apart, or to be put together.
  struct Said {
    std::optional<std::string> reasoning;
    std::string text;  // neither reasoning nor markup
    std::vector<ToolCall> calls;
    std::optional<std::string> answer;
    std::optional<std::string> parse_error;
    std::size_t length = std::string_view::npos;  // what is behind it is dropped from the content
    int forged_outputs = 0;
    std::vector<markup::Span> spans = {};  // in order
  };

  // `cut_short`: the turn ended at the token limit.
  virtual Said read(std::string_view content, bool cut_short,
                    const std::vector<ToolDefinition>& tools) const = 0;
  virtual std::string write(const Said& said, const std::vector<ToolDefinition>& tools) const = 0;
  virtual std::string write_reasoning(const std::string& reasoning) const = 0;
  virtual std::string instructions(const std::vector<ToolDefinition>& tools) const = 0;
  virtual std::vector<std::string> stop_strings(const std::vector<ToolDefinition>& tools) const = 0;
  // What stands before and after an observation.
  virtual std::pair<std::string, std::string> observation_frame(
      const Message& observation) const = 0;
  // Text from outside in which nothing reads as this format's markup.
  virtual std::string harmless(std::string_view text,
                               const std::vector<ToolDefinition>& tools) const = 0;

 private:
  Message rendered_turn(const Message& message, const std::vector<ToolDefinition>& tools) const;
  Message rendered_observation(const Message& message,
                               const std::vector<ToolDefinition>& tools) const;
};

// Puts instructions behind the system message, or makes one.
void add_instructions(std::vector<Message>& messages, const std::string& instructions);

// The tools as the lines of a list: "- search: finds entries. Arguments: {...}".
std::string as_json_lines(const std::vector<ToolDefinition>& tools);

}  // namespace proctor
