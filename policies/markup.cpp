// Text handling that the chat formats share.
#include "policies/markup.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "runtime/core/record_writer.h"

namespace proctor::markup {
namespace {

constexpr std::string_view kBlank = " \t\r\n\v\f";
constexpr std::string_view kEmphasis = "*_";

bool has_only_known_parameters(const json::object& arguments, const ToolDefinition& tool) {
  const json::value* properties = tool.parameters.if_contains("properties");
  if (properties == nullptr || !properties->is_object()) return false;
  return std::all_of(arguments.begin(), arguments.end(), [&](const auto& argument) {
    return properties->get_object().contains(argument.key());
  });
}

std::optional<std::string> last_answer_block(std::string_view text) {
  constexpr std::string_view open = "<answer>", close = "</answer>";
  const auto end = text.rfind(close);
  if (end == std::string_view::npos) return std::nullopt;
  const auto start = text.substr(0, end).rfind(open);
  if (start == std::string_view::npos) return std::nullopt;
  return std::string(inside_of_block(text.substr(start + open.size(), end - start - open.size())));
}

std::optional<std::string> last_boxed(std::string_view text) {
  constexpr std::string_view open = "\\boxed{";
  const auto start = text.rfind(open);
  if (start == std::string_view::npos) return std::nullopt;
  int depth = 1;
  for (auto at = start + open.size(); at < text.size(); ++at) {
    if (text[at] == '{') ++depth;
    if (text[at] == '}' && --depth == 0) {
      return std::string(trimmed(text.substr(start + open.size(), at - start - open.size())));
    }
  }
  return std::nullopt;
}

// Past "Answer:" or "**Final answer:**" at the start of a line; nothing: the line is another.
struct AnswerWord {
  std::size_t past = 0;  // where what follows it begins
  std::string_view
      open;  // the emphasis (** and the like) that began before the answer and ends in it
};

std::optional<AnswerWord> find_answer_word(std::string_view line) {
  std::size_t at = 0;
  const auto skip = [&](std::string_view characters) {
    const std::size_t from = at;
    while (at < line.size() && characters.find(line[at]) != std::string_view::npos) ++at;
    return line.substr(from, at - from);
  };
  const auto word = [&](std::string_view expected) {
    if (line.size() - at < expected.size()) return false;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (std::tolower(static_cast<unsigned char>(line[at + i])) != expected[i]) return false;
    }
    at += expected.size();
    return true;
  };
  skip(" \t#");
  std::string_view open = skip(kEmphasis);
  if (!skip(" \t*#_").empty()) open = {};  // a list's mark
  word("final ");
  if (!word("answer")) return std::nullopt;
  if (!skip(kEmphasis).empty()) open = {};
  if (!word(":")) return std::nullopt;
  if (const auto run = skip(kEmphasis); !run.empty())
    open = at == line.size() || kBlank.find(line[at]) != std::string_view::npos ? "" : run;
  skip(" \t");
  if (const auto run = skip("*"); !run.empty()) open = run;  // __init__ may be the answer itself
  skip(" \t");
  return AnswerWord{at, open};
}

// An answer alone in backticks, or behind emphasis that ends in it, is what they mark.
std::string without_marks(std::string_view answer, std::string_view open) {
  std::string plain(answer);
  if (const auto closed = plain.find(open); !open.empty() && closed != std::string::npos)
    plain.erase(closed, open.size());
  if (plain.size() > 2 && plain.front() == '`' && plain.find('`', 1) == plain.size() - 1)
    plain = plain.substr(1, plain.size() - 2);
  return std::string(trimmed(std::string_view(plain)));
}

std::optional<std::string> after_answer_word(std::string_view text) {
  std::optional<std::string> found;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    if (const auto word = find_answer_word(text.substr(start, end - start))) {
      std::string_view rest = text.substr(start + word->past);
      rest = rest.substr(std::min(rest.find_first_not_of(kBlank), rest.size()));
      const std::string_view answer = trimmed(rest.substr(0, rest.find("\n\n")));
      if (!answer.empty()) {
        auto fenced = inside_of_fence(answer);
        found = fenced ? std::move(*fenced) : without_marks(answer, word->open);
      }
    }
    start = end + 1;
  }
  return found;
}

struct Fence {
  std::size_t start, end;  // of the whole fence, its marks included
  std::string_view inside;
};

std::vector<Fence> closed_fences(std::string_view text) {
  std::vector<Fence> fences;
  std::optional<std::size_t> open, inside;
  for (std::size_t start = 0; start <= text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    if (!open && line.starts_with("```")) {
      open = start;
      inside = std::min(end + 1, text.size());
    } else if (open && trimmed(line) == "```") {
      const auto length = start > *inside ? start - *inside - 1 : 0;
      fences.push_back({*open, end, text.substr(*inside, length)});
      open.reset();
    }
    start = end + 1;
  }
  return fences;
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

std::optional<std::string> marked_answer(std::string_view text) {
  if (auto answer = last_answer_block(text)) return answer;
  if (auto answer = last_boxed(text)) return answer;
  if (auto answer = after_answer_word(text)) return answer;
  const auto fences = closed_fences(text);
  if (fences.empty()) return std::nullopt;
  return std::string(fences.back().inside);
}

std::string write_marked_answer(const std::string& answer) {
  std::string line = "Answer: " + answer;
  if (marked_answer(line) == answer) return line;
  std::string fence = "```\n" + answer + "\n```";
  if (marked_answer(fence) == answer) return fence;
  return "<answer>\n" + answer + "\n</answer>";
}

std::optional<std::string> inside_of_fence(std::string_view text) {
  text = trimmed(text);
  const auto fences = closed_fences(text);
  if (fences.size() != 1 || fences[0].start != 0 || fences[0].end != text.size()) {
    return std::nullopt;
  }
  return std::string(fences[0].inside);
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
