// Text handling that the chat formats share.
#include "policies/markup.h"

#include <algorithm>
#include <utility>

#include "runtime/core/code_fence.h"
#include "runtime/core/record_writer.h"

namespace proctor::markup {
namespace {

bool has_only_known_parameters(const json::object& arguments, const ToolDefinition& tool) {
  const json::value* properties = tool.parameters.if_contains("properties");
  if (properties == nullptr || !properties->is_object()) return false;
  return std::all_of(arguments.begin(), arguments.end(), [&](const auto& argument) {
    return properties->get_object().contains(argument.key());
  });
}

}  // namespace

std::string_view inside_of_block(std::string_view body) {
  if (body.find('\n') == std::string_view::npos) return trimmed(body);
  if (body.starts_with("\r\n")) body.remove_prefix(1);
  if (body.starts_with('\n')) body.remove_prefix(1);
  if (body.ends_with('\n')) body.remove_suffix(1);
  if (body.ends_with('\r')) body.remove_suffix(1);
  return body.find('\n') == std::string_view::npos ? trimmed(body) : body;
}

std::optional<std::size_t> end_of_json_object(std::string_view text, std::size_t start) {
  if (start >= text.size() || text[start] != '{') return std::nullopt;
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = start; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return std::nullopt;
}

const ToolDefinition* find_tool(const std::vector<ToolDefinition>& tools, std::string_view name) {
  for (const ToolDefinition& tool : tools) {
    if (tool.name == name) return &tool;
  }
  return nullptr;
}

std::optional<std::string> main_parameter(const ToolDefinition& tool) {
  const json::value* properties = tool.parameters.if_contains("properties");
  const json::value* required = tool.parameters.if_contains("required");
  if (properties == nullptr || required == nullptr) return std::nullopt;
  if (!properties->is_object() || !required->is_array()) return std::nullopt;
  for (const auto& property : properties->get_object()) {
    const json::array& names = required->get_array();
    const bool is_required = std::any_of(names.begin(), names.end(), [&](const json::value& name) {
      return name.is_string() && name.get_string() == property.key();
    });
    if (!is_required || !property.value().is_object()) continue;
    const json::value* type = property.value().get_object().if_contains("type");
    if (type != nullptr && type->is_string() && type->get_string() == "string") {
      return std::string(property.key());
    }
  }
  return std::nullopt;
}

std::optional<json::object> read_arguments(std::string_view body, const ToolDefinition& tool) {
  const auto main = main_parameter(tool);
  const std::string_view text = trimmed(body);
  if (text.starts_with('{') && end_of_json_object(text, 0) == text.size()) {
    auto parsed = parse_json(text);
    if (parsed && parsed->is_object()) {
      json::object& arguments = parsed->get_object();
      if (!main) return std::move(arguments);
      if (arguments.contains(*main) && has_only_known_parameters(arguments, tool)) {
        return std::move(arguments);
      }
    }
  }
  if (!main) {
    if (text.empty()) return json::object{};
    return std::nullopt;
  }
  json::object arguments;
  const auto fenced = *main == "code" ? inside_of_fence(text) : std::nullopt;
  arguments[*main] = fenced ? *fenced : std::string(inside_of_block(body));
  return arguments;
}

std::string write_arguments(const json::object& arguments, const ToolDefinition& tool,
                            const std::vector<std::string>& forbidden) {
  const auto main = main_parameter(tool);
  if (main && arguments.size() == 1 && arguments.contains(*main) &&
      arguments.at(*main).is_string()) {
    std::string bare(arguments.at(*main).get_string());
    if (bare.find('\n') != std::string::npos) bare = "\n" + bare + "\n";
    const bool clean = std::none_of(forbidden.begin(), forbidden.end(), [&](const auto& word) {
      return bare.find(word) != std::string::npos;
    });
    if (clean && read_arguments(bare, tool) == arguments) return bare;
  }
  return json_without_closing_tags(arguments);
}

namespace {
// With a blank behind ":" and ",": the form models know from their training, and the one grammars
// ask for.
void append_spaced(std::string& out, const json::value& value) {
  const char* comma = "";
  if (const auto* object = value.if_object()) {
    out += '{';
    for (const auto& [key, item] : *object) {
      out += std::exchange(comma, ", ") + json::serialize(json::string(key)) + ": ";
      append_spaced(out, item);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (const json::value& item : *array) {
      out += std::exchange(comma, ", ");
      append_spaced(out, item);
    }
    out += ']';
  } else {
    out += json_text(value);
  }
}
}  // namespace

std::string json_without_closing_tags(const json::value& value) {
  std::string plain, text;
  append_spaced(plain, value);
  for (std::size_t at = 0; at < plain.size(); ++at) {
    text += plain[at];
    if (plain[at] == '<' && at + 1 < plain.size() && plain[at + 1] == '/') text += '\\';
  }
  return text;
}

std::optional<std::string> inside_of_fence(std::string_view text) {
  text = trimmed(text);
  auto blocks = code_blocks(text);
  if (blocks.size() != 1 || !blocks[0].closed) return std::nullopt;
  if (blocks[0].begin != 0 || blocks[0].end != text.size()) return std::nullopt;
  std::string inside = std::move(blocks[0].code);
  if (!inside.empty()) inside.pop_back();
  return inside;
}

std::string without_tags(std::string_view text, const std::vector<std::string>& tags) {
  std::string harmless;
  harmless.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    harmless += text[at];
    if (text[at] != '<') continue;
    const bool is_tag = std::any_of(tags.begin(), tags.end(), [&](const std::string& tag) {
      return text.substr(at).starts_with(tag);
    });
    if (is_tag) harmless += '\\';
  }
  return harmless;
}

Thinking split_thinking(std::string_view text, std::size_t limit) {
  constexpr std::string_view open = "<think>", close = "</think>";
  Thinking thinking{std::nullopt, text};
  const auto add = [&](std::string_view block) {
    std::string words(trimmed(block));
    if (words.empty()) return;
    thinking.reasoning = thinking.reasoning ? *thinking.reasoning + "\n" + words : words;
  };
  const auto first_open = text.find(open), first_close = text.find(close);
  if (first_close < std::min(first_open, limit)) {
    add(text.substr(0, first_close));
    thinking.rest = text.substr(first_close + close.size());
  }
  while (trimmed(thinking.rest).starts_with(open)) {
    const auto start = thinking.rest.find(open) + open.size();
    const auto end = thinking.rest.find(close, start);
    add(thinking.rest.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) {
      thinking.open = true;
      thinking.rest = {};
      break;
    }
    thinking.rest = thinking.rest.substr(end + close.size());
  }
  return thinking;
}

std::optional<std::string> segments_of(const Generation& generation,
                                       const std::vector<Span>& spans) {
  const auto& ends = generation.token_ends;
  if (!generation.tokens || ends.empty() || ends.size() != generation.tokens->ids.size())
    return std::nullopt;
  std::string letters(ends.size(), 'o');
  std::size_t begin = 0;
  auto span = spans.begin();
  for (std::size_t i = 0; i < ends.size(); begin = ends[i++]) {
    if (ends[i] <= begin) continue;
    if (begin < generation.content_from) {
      letters[i] = 'r';
      continue;
    }
    const std::size_t at = begin - generation.content_from;
    while (span != spans.end() && span->end <= at) ++span;
    if (span == spans.end()) break;
    if (span->begin <= at) letters[i] = span->letter;
  }
  return letters;
}

std::string names_of(const std::vector<ToolDefinition>& tools) {
  std::string names;
  for (const ToolDefinition& tool : tools) names += (names.empty() ? "" : ", ") + tool.name;
  return names.empty() ? "none" : names;
}

}  // namespace proctor::markup
