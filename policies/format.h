// A chat format: how tool calls are written in a conversation. One format is one file: render the
// prompt, parse the turn, stop strings, and a grammar for models too small to keep to it unaided.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "policies/model.h"
#include "runtime/core/registry.h"

namespace proctor {

// What a prompt in this format consists of, before the backend's own chat template.
struct Rendered {
  std::vector<Message> messages;
  std::vector<std::string> stop;
  std::vector<ToolDefinition> native_tools;  // only format openai on a backend that has them
};

class Format {
 public:
  virtual ~Format() = default;
  virtual std::string name() const = 0;

  // The conversation with tool definitions and observations written as this format has them.
  // Appending messages to the input only appends messages to the output, so exact ids go on.
  // An assistant message that already holds this format's markup stays as it is. One that does not
  // (a few-shot example) gets it from its `reasoning`, `tool_calls` and `extra["answer"]`, so that
  // one example serves every format; content that only says that answer again is left out where
  // the format has a place of its own for it. Observations come out with this format's markup in
  // them made harmless.
  virtual Rendered render(const std::vector<Message>& conversation,
                          const std::vector<ToolDefinition>& tools) const = 0;

  // What the model produced, taken apart: content as produced, reasoning, tool_calls with ids
  // "c0", "c1"... , or parse_error with a sentence for the policy. Never throws, never fails;
  // parse(render(x)) gives x back for every well-formed assistant message. Where the policy wrote a
  // tool's result itself, `content` is cut before it and `extra["forged_output"]` counts them.
  virtual Assistant parse(Generation generation,
                          const std::vector<ToolDefinition>& tools) const = 0;

  // The final answer in a turn without tool calls, as the format marks it; nothing: the turn is not
  // finished or has no answer.
  virtual std::optional<std::string> answer(const Assistant& turn) const = 0;

  // GBNF of the plain ones among the well-formed turns over these tools: every text that it accepts
  // parses, but not the other way round. At most `most_chars` of free text in each place (0: any
  // number); "" where the format has none.
  virtual std::string grammar(const std::vector<ToolDefinition>& tools, int most_chars) const = 0;

  // Calls go through the server's own tool calls; see format_for().
  virtual bool native() const { return false; }
  // Whether a turn can call tools at all: where not, a run that has some is refused.
  virtual bool calls_tools() const { return true; }
};
using FormatRef = std::shared_ptr<const Format>;

using FormatMaker = std::function<Result<FormatRef>(const Options& options)>;

// From a config: "hermes" or {tags: {mode: function}}.
Result<FormatRef> make_format(const json::value& config);
// The format to use with such a model: a native one becomes `hermes` where the model has no tool
// calls of its own; every other stays.
FormatRef format_for(FormatRef format, const Capabilities& model);

// How a record says in `policy` which format and tools its policy had: what rendered_prompt()
// reads.
json::value format_config(const Format& format, const json::value& config);
json::array to_json(const std::vector<ToolDefinition>& tools);

// What the policy saw before turn `turns` of this trajectory: its messages in its own format and
// with its own tools; as they are where the record names no format (a foreign conversation).
// `bad_input` for a format or tools that cannot be read.
Result<Rendered> rendered_prompt(const Trajectory& trajectory, std::size_t turns);

#define REGISTER_FORMAT(...)                                                  \
  static const bool registered_format_ = [] {                                 \
    ::proctor::Registry<::proctor::FormatMaker>::instance().add(__VA_ARGS__); \
    return true;                                                              \
  }();

}  // namespace proctor
