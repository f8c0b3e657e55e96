// What must hold for every chat format and any bytes: no throw, at most one of call, answer and
// parse error, and what was read is written and read again the same.
#pragma once

#include <cstdlib>
#include <iostream>
#include <string>

#include "policies/format.h"
#include "runtime/core/unicode.h"

namespace proctor::fuzz {

inline void require(bool holds, const char* what, const std::string& text) {
  if (holds) return;
  std::cerr << "does not hold: " << what << "\n" << text << "\n";
  std::abort();
}

inline std::vector<ToolDefinition> tools() {
  const auto schema = [](const char* text) { return parse_json(text)->as_object(); };
  return {{"search", "finds", schema(R"({"type":"object","properties":{"query":{"type":"string"},
              "k":{"type":"integer"}},"required":["query"]})")},
          {"python", "runs", schema(R"({"type":"object","properties":{"code":{"type":"string"}},
              "required":["code"]})")},
          {"place", "puts", schema(R"({"type":"object","properties":{"x":{"type":"number"}},
              "required":["x"]})")}};
}

// Backends give text; only then can JSON carry it there and back.
inline bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Character next = decode(text, at);
    if (next.point == kNoCharacter && next.bytes == 1) return false;
    at += next.bytes;
  }
  return true;
}

// The first byte picks the variant: how the turn ended and, for tags, the mode.
inline int check_format(const char* name, const unsigned char* data, std::size_t size) {
  static const std::vector<ToolDefinition> known = tools();
  if (size == 0) return 0;
  json::value config = name;
  if (std::string(name) == "tags" && data[0] & 2) {
    config = json::object{{"tags", json::object{{"mode", "function"}}}};
  }
  const FormatRef format = *make_format(config);
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);

  Generation generation;
  generation.content = text;
  generation.finish_reason = data[0] & 1 ? "length" : "stop";
  const Assistant turn = format->parse(generation, known);
  const bool answers = format->answer(turn).has_value();
  require((turn.parse_error ? 1 : 0) + (turn.tool_calls.empty() ? 0 : 1) + (answers ? 1 : 0) <= 1,
          "at most one of parse error, calls and answer", text);
  require(text.starts_with(turn.content), "content is what was produced, or its beginning", text);

  // The calls alone, written anew.
  if (!turn.tool_calls.empty() && is_utf8(text)) {
    Message example;
    example.role = "assistant";
    example.content = "";
    example.tool_calls = turn.tool_calls;
    Generation again;
    again.content = format->render({example}, known).messages.back().text();
    again.finish_reason = "stop";
    require(format->parse(again, known).tool_calls == turn.tool_calls, "calls read back",
            again.content);
  }
  // The bytes as an observation that a policy repeats word for word.
  Message result;
  result.role = "tool";
  result.content = text;
  Generation parrot;
  parrot.content = format->render({result}, known).messages.back().text();
  parrot.finish_reason = "stop";
  require(format->parse(parrot, known).tool_calls.empty(), "no call out of an observation",
          parrot.content);
  return 0;
}

}  // namespace proctor::fuzz
