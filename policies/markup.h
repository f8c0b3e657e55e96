// Pieces of text handling that the chat formats share: arguments written as bare text or JSON, and
// observations made harmless.
//
// Blind spot: nothing here knows a tokenizer; all offsets are bytes of UTF-8.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policies/model.h"
#include "runtime/core/text.h"

namespace proctor::markup {

// One past the '}' that closes the '{' at `start`, strings skipped; nothing: it is never closed.
std::optional<std::size_t> end_of_json_object(std::string_view text, std::size_t start);

const ToolDefinition* find_tool(const std::vector<ToolDefinition>& tools, std::string_view name);

// The first required parameter that is a string: what bare text is taken for. Nothing: the tool
// takes JSON only.
std::optional<std::string> main_parameter(const ToolDefinition& tool);

// What stands between two tags, without the line breaks that only set it off; on one line, trimmed.
std::string_view inside_of_block(std::string_view body);

// Bare text is the main parameter; a JSON object of known parameters that has the main one is all
// of them. Line breaks directly inside the markup and a code fence around everything are not part
// of the text. Nothing: the tool takes JSON and this is none.
std::optional<json::object> read_arguments(std::string_view body, const ToolDefinition& tool);

// The inverse: bare text where it reads back the same and holds none of `forbidden`, else JSON, in
// which "</" is escaped so that no closing tag can occur.
std::string write_arguments(const json::object& arguments, const ToolDefinition& tool,
                            const std::vector<std::string>& forbidden);
std::string json_without_closing_tags(const json::value& value);

// The inside of the one code fence that `text` consists of; nothing: it is something else.
std::optional<std::string> inside_of_fence(std::string_view text);

// `text` with a backslash put behind the "<" of every one of `tags` in it.
std::string without_tags(std::string_view text, const std::vector<std::string>& tags);

// `<think>` blocks at the start of a text; a text that only closes one began inside it, as when the
// server's template opens it.
struct Thinking {
  std::optional<std::string> reasoning;
  std::string_view rest;
  bool open = false;  // the text ends inside the block
};
// A lone closing tag counts only before `limit`, where other markup begins.
Thinking split_thinking(std::string_view text, std::size_t limit = std::string_view::npos);

// A stretch of what a turn says, markup included: reasoning (r), or an answer or call (a).
struct Span {
  std::size_t begin = 0, end = 0;
  char letter = 'o';
};
// One letter a token: that of the span of `content` in which its text begins, r before the content,
// o elsewhere and for tokens without text (the end of a turn). Nothing where it is not known which
// token says what. `spans` are in order.
std::optional<std::string> segments_of(const Generation& generation,
                                       const std::vector<Span>& spans);

// "search, python" for sentences to the policy.
std::string names_of(const std::vector<ToolDefinition>& tools);

}  // namespace proctor::markup
