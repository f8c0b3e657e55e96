// Grammars for llama.cpp.
#include "policies/gbnf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace proctor {
namespace {

// Control characters other than tab and line feed never occur in free text.
constexpr const char* kControl = "\\x00-\\x08\\x0B-\\x1F\\x7F";

std::string in_class(char c) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case ']':
    case '[':
    case '\\':
    case '^':
    case '-':
      return fmt::format("\\x{:02X}", static_cast<unsigned char>(c));
    default:
      return std::string(1, c);
  }
}

// Rule names are letters, digits and dashes.
std::string as_name(std::string_view text) {
  std::string name;
  for (char c : text) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  return name;
}

// What may follow `matched`, the beginning of some of `words`: any character that leads away from
// all of them, or one that leads on and then away.
std::string leads_away(const std::string& matched, char first,
                       const std::vector<std::string>& words) {
  std::set<char> next;
  for (const std::string& word : words) {
    if (word.starts_with(matched) && word.size() > matched.size())
      next.insert(word[matched.size()]);
  }
  std::set<char> excluded = next;
  excluded.insert(first);
  std::string choices = "[^";
  for (char c : excluded) choices += in_class(c);
  choices += std::string(kControl) + "]";
  for (char c : next) {
    const std::string longer = matched + c;
    const bool complete = std::find(words.begin(), words.end(), longer) != words.end();
    if (complete) continue;
    choices += " | [" + in_class(c) + "] (" + leads_away(longer, first, words) + ")";
  }
  return choices;
}

}  // namespace

std::string Grammar::literal(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string Grammar::rule(const std::string& name, const std::string& body) {
  const std::string plain = as_name(name);
  const bool known = std::any_of(rules_.begin(), rules_.end(),
                                 [&](const auto& existing) { return existing.first == plain; });
  if (!known) rules_.emplace_back(plain, body);
  return plain;
}

std::string Grammar::runs(const std::string& name, const std::string& ordinary,
                          const std::string& odd) {
  return fmt::format("{0}* ({1} {0}*)*", ordinary, rule(name + "-odd", odd));
}

std::string Grammar::text_without(const std::string& name, char first,
                                  const std::vector<std::string>& words, bool behind_first) {
  const std::string away = leads_away(std::string(1, first), first, words);
  const std::string ordinary = "[^" + in_class(first) + kControl + "]";
  const std::string odd = fmt::format("[{}]+ ({})", in_class(first), away);
  const std::string start =
      behind_first ? "(" + away + ")" : "[^ \\t\\n" + in_class(first) + kControl + "]";
  if (most_chars_ == 0) return rule(name, start + " " + runs(name, ordinary, odd));
  const std::string unit = rule(name + "-unit", ordinary + " | " + odd);
  return rule(name, fmt::format("{} {}{{0,{}}}", start, unit, std::max(0, most_chars_ - 1)));
}

std::string Grammar::line_without(const std::string& name, std::string_view excluded) {
  std::string out;
  for (char c : excluded) out += in_class(c);
  const int most = std::max(0, most_chars_ / 3 - 1);
  const std::string times = most_chars_ == 0 ? "*" : fmt::format("{{0,{}}}", most);
  return rule(name, fmt::format("[^ {0}\\t\\n{1}] [^{0}\\t\\n{1}]{2}", out, kControl, times));
}

std::string Grammar::string_rule() {
  const std::string never = never_in_json_ == '\x7F' ? "" : in_class(never_in_json_);
  const std::string ordinary = "[^\"\\\\\\x00-\\x1F\\x7F" + never + "]";
  const std::string escape = "[\\\\] [\"\\\\/nrt]";
  if (most_chars_ == 0)
    return rule("json-string", R"("\"" )" + runs("json", ordinary, escape) + R"( "\"")");
  const std::string unit = rule("json-char", ordinary + " | " + escape);
  return rule("json-string", fmt::format("\"\\\"\" {}{{0,{}}} \"\\\"\"", unit, most_chars_));
}

std::string Grammar::any_json() {
  const std::string text = string_rule();
  rule("json-number", R"("-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,9})?)");
  rule("json-flat", text + R"( | json-number | "true" | "false" | "null")");
  rule("json-array", R"("[" (json-flat (", " json-flat){0,15})? "]")");
  return rule("json-value", fmt::format("json-flat | json-array | \"{{\" ({0} \": \" (json-flat | "
                                        "json-array) (\", \" {0} \": \" (json-flat | json-array))"
                                        "{{0,15}})? \"}}\"",
                                        text));
}

std::string Grammar::value(const std::string& name, const json::value& schema) {
  if (!schema.is_object()) return any_json();
  const json::object& wanted = schema.get_object();
  if (const json::value* choices = wanted.if_contains("enum");
      choices != nullptr && choices->is_array() && !choices->get_array().empty()) {
    std::string body;
    for (const json::value& choice : choices->get_array()) {
      body += (body.empty() ? "" : " | ") + literal(json::serialize(choice));
    }
    return rule(name, body);
  }
  const json::value* type = wanted.if_contains("type");
  if (type == nullptr || !type->is_string()) return any_json();
  if (*type == "string") return string_rule();
  if (*type == "integer") return rule("json-integer", R"("-"? ("0" | [1-9] [0-9]{0,14}))");
  if (*type == "boolean") return rule("json-boolean", R"("true" | "false")");
  if (*type == "number") {
    any_json();
    return "json-number";
  }
  if (*type == "object" && wanted.contains("properties")) return object(name, wanted);
  if (*type == "array" && wanted.contains("items")) {
    const std::string item = value(name + "-item", wanted.at("items"));
    return rule(name, fmt::format("\"[\" ({0} (\", \" {0}){{0,15}})? \"]\"", item));
  }
  return any_json();
}

std::string Grammar::object(const std::string& name, const json::object& schema) {
  std::vector<std::string> required, optional;
  const json::value* properties = schema.if_contains("properties");
  const json::value* needed = schema.if_contains("required");
  if (properties != nullptr && properties->is_object()) {
    for (const auto& property : properties->get_object()) {
      const std::string key(property.key());
      const bool is_needed = needed != nullptr && needed->is_array() &&
                             std::any_of(needed->get_array().begin(), needed->get_array().end(),
                                         [&](const json::value& one) {
                                           return one.is_string() && one.get_string() == key;
                                         });
      std::string pair = literal(json::serialize(json::value(key)).append(": "));
      pair.append(" ").append(value(name + "-" + key, property.value()));
      (is_needed ? required : optional).push_back(std::move(pair));
    }
  }
  // Optional pairs behind required ones each bring their comma; without required ones the first
  // that is there has none, so each possible first is an alternative.
  const auto behind = [&](std::size_t from) {
    std::string rest;
    for (std::size_t i = from; i < optional.size(); ++i) {
      rest += fmt::format(" (\", \" {})?", optional[i]);
    }
    return rest;
  };
  std::string body;
  for (const std::string& pair : required) body += (body.empty() ? "" : " \", \" ") + pair;
  if (!required.empty()) {
    body += behind(0);
  } else if (!optional.empty()) {
    for (std::size_t i = 0; i < optional.size(); ++i) {
      body += fmt::format("{}{}{}", i == 0 ? "" : " | ", optional[i], behind(i + 1));
    }
    body = "(" + body + ")?";
  }
  return rule(name, "\"{\" " + body + " \"}\"");
}

std::string Grammar::text(const std::string& root) const {
  std::string text;
  for (const auto& [name, body] : rules_) {
    const std::string line = fmt::format("{} ::= {}\n", name, body);
    text.insert(name == root ? 0 : text.size(), line);
  }
  return text;
}

}  // namespace proctor
