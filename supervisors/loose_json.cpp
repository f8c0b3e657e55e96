// Repairing replies. Blind spot: an apostrophe inside single-quoted text ends it too early; then
// the key search is what is left.
#include "supervisors/loose_json.h"

#include <algorithm>

#include "runtime/core/text.h"

namespace proctor {
namespace {

constexpr std::size_t kMostLooked = 1 << 16;  // of a reply that is looked at, from its end
constexpr int kMostObjects = 64;              // tried, from the end

// One past the brace that closes the one at `open`; text in quotes is skipped.
std::optional<std::size_t> closing(std::string_view text, std::size_t open) {
  int depth = 0;
  char quote = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == '\\')
        ++i;
      else if (c == quote)
        quote = 0;
    } else if (c == '"') {
      quote = c;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return std::nullopt;
}

// Single-quoted texts and bare Python words as JSON has them; no comma before a closing bracket.
std::string repaired(std::string_view text) {
  std::string out;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == '\\' && i + 1 < text.size()) {
        const char next = text[++i];
        if (next != '\'') out += c;
        out += next;
      } else if (c == quote) {
        out += '"';
        quote = 0;
      } else if (c == '\n') {
        out += "\\n";
      } else if (c == '"') {
        out += "\\\"";
      } else {
        out += c;
      }
      continue;
    }
    if (c == '"' || c == '\'') {
      quote = c;
      out += '"';
      continue;
    }
    if (c == ',') {
      const std::size_t next = text.find_first_not_of(" \t\r\n", i + 1);
      if (next != std::string_view::npos && (text[next] == '}' || text[next] == ']')) continue;
    }
    bool replaced = false;
    for (const auto& [python, word] :
         {std::pair{"True", "true"}, {"False", "false"}, {"None", "null"}})
      if (text.substr(i).starts_with(python)) {
        out += word;
        i += std::string_view(python).size() - 1;
        replaced = true;
        break;
      }
    if (!replaced) out += c;
  }
  return out;
}

std::optional<json::object> parse_object(std::string_view text, std::string_view key) {
  for (const std::string& candidate : {std::string(text), repaired(text)}) {
    auto value = parse_json(candidate);
    if (value && value->is_object() && value->get_object().contains(key))
      return std::move(value->get_object());
  }
  return std::nullopt;
}

// The key at `at` opens a line, or stands behind { or, in quotes, behind a comma.
bool is_key(std::string_view text, std::size_t at) {
  const bool quoted = at > 0 && (text[at - 1] == '"' || text[at - 1] == '\'');
  if (quoted) --at;
  while (at > 0 && std::string_view(" \t*_`#-").find(text[at - 1]) != std::string_view::npos) --at;
  if (at == 0) return true;
  const char before = text[at - 1];
  return before == '\n' || before == '{' || (quoted && before == ',');
}

}  // namespace

std::optional<json::object> loose_object(std::string_view text, std::string_view key) {
  if (text.size() > kMostLooked) text.remove_prefix(text.size() - kMostLooked);
  int tried = 0;
  for (std::size_t open = text.rfind('{'); open != std::string_view::npos && tried < kMostObjects;
       open = open == 0 ? std::string_view::npos : text.rfind('{', open - 1), ++tried) {
    const auto end = closing(text, open);
    if (!end) continue;
    if (auto object = parse_object(text.substr(open, *end - open), key)) return object;
  }
  return std::nullopt;
}

std::optional<json::object> whole_object(std::string_view text, std::string_view key) {
  text = trimmed(text);
  if (text.starts_with("```") && text.ends_with("```") && text.size() > 6) {
    text = text.substr(0, text.size() - 3);
    text = trimmed(text.substr(std::min(text.find('\n'), text.size())));
  }
  if (!text.starts_with('{') || closing(text, 0) != text.size()) return std::nullopt;
  return parse_object(text, key);
}

std::optional<bool> loose_bool(const json::value& value) {
  if (value.is_bool()) return value.get_bool();
  if (!value.is_string()) return std::nullopt;
  const std::string word = lower_ascii(trimmed(std::string_view(value.get_string())));
  if (word == "true") return true;
  if (word == "false") return false;
  return std::nullopt;
}

std::optional<bool> bool_behind(std::string_view text, std::string_view key) {
  const std::string lower = lower_ascii(text);
  for (std::size_t at = lower.rfind(key); at != std::string::npos;
       at = at == 0 ? std::string::npos : lower.rfind(key, at - 1)) {
    if (!is_key(lower, at)) continue;
    const std::size_t value = lower.find_first_not_of(" \t\r\n\"'`:=*_", at + key.size());
    if (value == std::string::npos) continue;
    if (lower.compare(value, 4, "true") == 0) return true;
    if (lower.compare(value, 5, "false") == 0) return false;
  }
  return std::nullopt;
}

}  // namespace proctor
