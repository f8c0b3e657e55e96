// The operators, each a function from a line to its variants.
#include "supervisors/mutation.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "supervisors/line_scene.h"

namespace proctor {
namespace {

using Kind = CodeToken::Kind;

bool ends_operand(const LineScene& scene, const CodeToken& token) {
  if (token.kind == Kind::number || token.kind == Kind::text) return true;
  if (token.kind == Kind::name)
    return !scene.keyword(token) || one_of(token, {"True", "False", "None", "true", "false"});
  return token.is(")") || token.is("]");
}

// Angle brackets of templates: NAME< with nothing but types up to its >.
std::set<std::size_t> template_brackets(const LineScene& scene) {
  std::set<std::size_t> found;
  const CodeTokens& tokens = scene.tokens();
  if (scene.python()) return found;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    const bool touches = tokens[i - 1].at + tokens[i - 1].word.size() == tokens[i].at;
    if (!tokens[i].is("<") || tokens[i - 1].kind != Kind::name || !touches) continue;
    int depth = 1;
    std::vector<std::size_t> brackets = {i};
    for (std::size_t j = i + 1; j < tokens.size() && depth > 0; ++j) {
      if (tokens[j].is("<")) ++depth;
      if (tokens[j].is(">")) --depth;
      if (tokens[j].is(">>")) depth -= 2;
      if (tokens[j].is("<") || tokens[j].is(">") || tokens[j].is(">>")) brackets.push_back(j);
      const bool fits = tokens[j].kind == Kind::name || tokens[j].kind == Kind::number ||
                        one_of(tokens[j], {"<", ">", ">>", "::", ",", "*", "&", "(", ")"});
      if (!fits) depth = 1000;
    }
    if (depth <= 0) found.insert(brackets.begin(), brackets.end());
  }
  return found;
}

Codes relational(const LineScene& scene) {
  static const std::map<std::string_view, std::vector<std::string>> kSwaps = {
      {"<", {"<=", ">"}},  {">", {">=", "<"}}, {"<=", {"<", ">="}},
      {">=", {">", "<="}}, {"==", {"!="}},     {"!=", {"=="}}};
  Codes codes;
  const auto brackets = template_brackets(scene);
  for (std::size_t i = 1; i < scene.tokens().size(); ++i) {
    const CodeToken& token = scene.tokens()[i];
    const auto swap = kSwaps.find(token.word);
    if (token.kind != Kind::sign || swap == kSwaps.end() || brackets.contains(i)) continue;
    for (const std::string& other : swap->second)
      codes.push_back(with_tokens(scene.line(), i, other));
  }
  return codes;
}

Codes arithmetic(const LineScene& scene) {
  const std::map<std::string_view, std::string> swaps =
      scene.python()
          ? std::map<std::string_view, std::string>{{"+", "-"},
                                                    {"-", "+"},
                                                    {"*", "//"},
                                                    {"//", "*"}}
          : std::map<std::string_view, std::string>{{"+", "-"}, {"-", "+"}, {"*", "/"}, {"/", "*"}};
  Codes codes;
  for (std::size_t i = 1; i + 1 < scene.tokens().size(); ++i) {
    const CodeToken &before = scene.tokens()[i - 1], &token = scene.tokens()[i];
    const auto swap = swaps.find(token.word);
    if (token.kind != Kind::sign || swap == swaps.end() || !ends_operand(scene, before)) continue;
    if (!scene.python() && token.is("*") && one_of(before, native_types())) continue;  // int* p
    codes.push_back(with_tokens(scene.line(), i, swap->second));
  }
  return codes;
}

Codes augmented(const LineScene& scene) {
  Codes codes;
  for (std::size_t i = 0; i < scene.tokens().size(); ++i) {
    if (scene.tokens()[i].is("+=")) codes.push_back(with_tokens(scene.line(), i, "-="));
    if (scene.tokens()[i].is("-=")) codes.push_back(with_tokens(scene.line(), i, "+="));
  }
  return codes;
}

Codes constants(const LineScene& scene) {
  Codes codes;
  for (std::size_t i = 0; i < scene.tokens().size(); ++i) {
    const CodeToken& token = scene.tokens()[i];
    std::int64_t value = 0;
    const char* end = token.word.data() + token.word.size();
    const auto read = std::from_chars(token.word.data(), end, value);
    const bool decimal = token.kind == Kind::number && read.ec == std::errc() && read.ptr == end &&
                         (token.word == "0" || token.word[0] != '0') && value < INT64_MAX;
    if (!decimal) continue;
    codes.push_back(with_tokens(scene.line(), i, std::to_string(value + 1)));
    const bool after_sign = i > 0 && one_of(scene.tokens()[i - 1], {"-", "+"});
    const std::string less = std::to_string(value - 1);
    codes.push_back(
        with_tokens(scene.line(), i, value == 0 && after_sign ? "(" + less + ")" : less));
  }
  return codes;
}

Codes connectives(const LineScene& scene) {
  const std::map<std::string_view, std::string> swaps = {
      {"and", "or"}, {"or", "and"}, {"&&", "||"}, {"||", "&&"}};
  Codes codes;
  for (std::size_t i = 1; i < scene.tokens().size(); ++i) {
    const auto swap = swaps.find(scene.tokens()[i].word);
    if (scene.tokens()[i].kind == Kind::text || swap == swaps.end()) continue;
    if (!ends_operand(scene, scene.tokens()[i - 1])) continue;  // int&& x
    codes.push_back(with_tokens(scene.line(), i, swap->second));
  }
  return codes;
}

Codes negations(const LineScene& scene) {
  const auto range = condition_of(scene);
  if (!range) return {};
  const auto [from, to] = *range;
  const std::string inner = text_between(scene.line(), from, to);
  const CodeToken& first = scene.tokens()[from];
  if ((scene.python() ? first.is("not") : first.is("!")) && from + 1 < to)
    return {with_tokens(scene.line(), from, to, text_between(scene.line(), from + 1, to))};
  return {with_tokens(scene.line(), from, to, (scene.python() ? "not (" : "!(") + inner + ")")};
}

Codes subscripts(const LineScene& scene) {
  Codes codes;
  const CodeTokens& tokens = scene.tokens();
  if (is_header(scene)) return codes;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    if (!tokens[i].is("[") || !ends_operand(scene, tokens[i - 1])) continue;
    const std::size_t close = closing_bracket(tokens, i);
    if (close == tokens.size() || close == i + 1) continue;
    const bool slice = std::any_of(tokens.begin() + static_cast<std::ptrdiff_t>(i),
                                   tokens.begin() + static_cast<std::ptrdiff_t>(close),
                                   [](const CodeToken& t) { return one_of(t, {":", ","}); });
    if (slice) continue;
    std::string index = text_between(scene.line(), i + 1, close);
    if (close > i + 2) index = "(" + index + ")";
    codes.push_back(with_tokens(scene.line(), i + 1, close, index + " + 1"));
  }
  return codes;
}

Codes variables(const LineScene& scene) {
  Codes codes;
  const CodeTokens& tokens = scene.tokens();
  if (is_header(scene)) return codes;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto mine =
        tokens[i].kind == Kind::name ? scene.kinds.find(tokens[i].word) : scene.kinds.end();
    if (mine == scene.kinds.end()) continue;
    const bool attribute = i > 0 && one_of(tokens[i - 1], {".", "->", "::"});
    const bool written =
        i + 1 < tokens.size() &&
        one_of(tokens[i + 1], {"=", "+=", "-=", "*=", "/=", "//=", "%=", ":=", "("});
    const bool declared =
        i > 0 && (one_of(tokens[i - 1], native_types()) || tokens[i - 1].is("for"));
    if (attribute || written || declared) continue;
    for (const auto& [other, kind] : scene.kinds) {
      if (other == tokens[i].word || kind != mine->second) continue;
      codes.push_back(with_tokens(scene.line(), i, other));
      if (codes.size() == 2) return codes;
    }
  }
  return codes;
}

Codes deletions(const LineScene& scene) {
  const CodeTokens& tokens = scene.tokens();
  if (scene.python()) {
    static const std::set<std::string_view> kCompound = {
        "if",  "elif",   "else",    "for",    "while",   "def",  "class",
        "try", "except", "finally", "with",   "return",  "pass", "async",
        "@",   "match",  "case",    "global", "nonlocal"};
    const bool block = tokens.back().is(":") && tokens.size() > 1;
    if (one_of(tokens[0], kCompound) && (block || !one_of(tokens[0], {"match", "case"}))) return {};
    if (block) return {};
    return {scene.line().indentation() + "pass"};
  }
  const bool control = one_of(
      tokens[0], {"if", "for", "while", "do", "else", "switch", "return", "case", "default", "}",
                  "using", "struct", "class", "public", "private", "typedef", "template", "{"});
  const bool single = std::count_if(tokens.begin(), tokens.end(),
                                    [](const CodeToken& t) { return t.is(";") || t.is("{"); }) == 1;
  if (scene.braces == 0 || control || !tokens.back().is(";") || !single || tokens.size() == 1)
    return {};
  return {scene.line().indentation() + ";"};
}

Codes returns(const LineScene& scene) {
  const CodeTokens& tokens = scene.tokens();
  const std::string nothing = scene.python() ? "None" : "0";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!tokens[i].is("return")) continue;
    std::size_t end = i + 1;
    while (end < tokens.size() && !(tokens[end].is(";") || tokens[end].is("}"))) ++end;
    if (tokens[i + 1 < tokens.size() ? i + 1 : i].is("{")) end = closing_bracket(tokens, i + 1) + 1;
    end = std::min(end, tokens.size());
    if (end == i + 1 || text_between(scene.line(), i + 1, end) == nothing) return {};
    return {with_tokens(scene.line(), i + 1, end, nothing)};
  }
  return {};
}

Codes arguments(const LineScene& scene) {
  Codes codes;
  const CodeTokens& tokens = scene.tokens();
  if (is_header(scene)) return codes;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    const bool call =
        tokens[i].is("(") && tokens[i - 1].kind == Kind::name && !scene.keyword(tokens[i - 1]);
    if (!call) continue;
    const std::size_t close = closing_bracket(tokens, i);
    if (close == tokens.size()) continue;
    std::vector<std::pair<std::size_t, std::size_t>> parts = {{i + 1, i + 1}};
    int depth = 0;
    bool plain = true;
    for (std::size_t j = i + 1; j < close; ++j) {
      depth += one_of(tokens[j], {"(", "[", "{"});
      depth -= one_of(tokens[j], {")", "]", "}"});
      if (depth == 0 && tokens[j].is(",")) {
        parts.emplace_back(j + 1, j + 1);
      } else {
        parts.back().second = j + 1;
        if (parts.size() <= 2 && depth == 0 && one_of(tokens[j], {"=", "for", ";"})) plain = false;
      }
    }
    const bool starred = parts.size() >= 2 && (one_of(tokens[parts[0].first], {"*", "**"}) ||
                                               one_of(tokens[parts[1].first], {"*", "**"}));
    if (!plain || parts.size() < 2 || starred || parts[1].first >= parts[1].second) continue;
    const std::string a = text_between(scene.line(), parts[0].first, parts[0].second);
    const std::string b = text_between(scene.line(), parts[1].first, parts[1].second);
    if (a != b)
      codes.push_back(with_tokens(scene.line(), parts[0].first, parts[1].second, b + ", " + a));
  }
  return codes;
}

struct Operator {
  std::string name;
  Codes (*apply)(const LineScene&);
};
const std::vector<Operator>& operators() {
  static const std::vector<Operator> kAll = {
      {"ROR", relational},  {"AOR", arithmetic}, {"AUG", augmented},  {"CRP", constants},
      {"LCR", connectives}, {"NOT", negations},  {"IDX", subscripts}, {"VAR", variables},
      {"SDL", deletions},   {"RVR", returns},    {"ARG", arguments}};
  return kAll;
}

}  // namespace

const std::vector<std::string>& mutation_operators() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Operator& each : operators()) names.push_back(each.name);
    return names;
  }();
  return kNames;
}

std::vector<LineVariant> mutations(Language language, const std::vector<CodeLine>& lines,
                                   const std::vector<std::string>& wanted) {
  std::vector<LineVariant> variants;
  each_scene(language, lines, [&](const LineScene& scene) {
    for (const Operator& each : operators())
      if (std::find(wanted.begin(), wanted.end(), each.name) != wanted.end())
        add_variants(variants, scene, each.name, each.apply(scene));
  });
  return variants;
}

}  // namespace proctor
