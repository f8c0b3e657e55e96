// The operators, each a function from a line to its variants.
#include "supervisors/mutation.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <set>

namespace proctor {
namespace {

using Tokens = std::vector<CodeToken>;
using Kind = CodeToken::Kind;

bool one_of(const CodeToken& token, const std::set<std::string_view>& words) {
  return token.kind != Kind::text && words.contains(token.word);
}

const std::set<std::string_view> kPythonKeywords = {
    "False", "None",     "True",  "and",    "as",   "assert", "async",  "await",    "break",
    "class", "continue", "def",   "del",    "elif", "else",   "except", "finally",  "for",
    "from",  "global",   "if",    "import", "in",   "is",     "lambda", "nonlocal", "not",
    "or",    "pass",     "raise", "return", "try",  "while",  "with",   "yield"};
const std::set<std::string_view> kNativeKeywords = {
    "if",      "for",       "while",     "do",      "else",    "switch", "case",     "default",
    "return",  "break",     "continue",  "goto",    "new",     "delete", "throw",    "try",
    "catch",   "using",     "namespace", "struct",  "class",   "enum",   "template", "typename",
    "sizeof",  "operator",  "true",      "false",   "nullptr", "NULL",   "typedef",  "public",
    "private", "protected", "co_return", "co_await"};
const std::set<std::string_view> kNativeTypes = {"int",   "long",   "short",   "char",     "double",
                                                 "float", "bool",   "void",    "unsigned", "signed",
                                                 "auto",  "size_t", "const",   "string",   "vector",
                                                 "map",   "static", "int64_t", "uint64_t"};

// What operators know beside the line itself.
struct Scene {
  Language language;
  const std::vector<CodeLine>& lines;
  std::size_t index;
  int braces;                                // depth of { before the line, in C and C++
  std::map<std::string, std::string> kinds;  // variables known here ─▶ what they hold

  bool python() const { return language == Language::python; }
  const CodeLine& line() const { return lines[index]; }
  const Tokens& tokens() const { return lines[index].tokens; }
  bool keyword(const CodeToken& token) const {
    return one_of(token, python() ? kPythonKeywords : kNativeKeywords);
  }
};

// The line with the tokens [from, to) replaced by a text.
std::string spliced(const CodeLine& line, std::size_t from, std::size_t to,
                    const std::string& replacement) {
  const std::size_t begin = line.tokens[from].at;
  const CodeToken& last = line.tokens[to - 1];
  const std::size_t end = last.at + last.word.size();
  return line.text.substr(0, begin) + replacement + line.text.substr(end);
}
std::string spliced(const CodeLine& line, std::size_t token, const std::string& replacement) {
  return spliced(line, token, token + 1, replacement);
}
std::string text_between(const CodeLine& line, std::size_t from, std::size_t to) {
  if (from >= to) return "";
  const CodeToken& last = line.tokens[to - 1];
  return line.text.substr(line.tokens[from].at, last.at + last.word.size() - line.tokens[from].at);
}

bool ends_operand(const Scene& scene, const CodeToken& token) {
  if (token.kind == Kind::number || token.kind == Kind::text) return true;
  if (token.kind == Kind::name)
    return !scene.keyword(token) || one_of(token, {"True", "False", "None", "true", "false"});
  return token.is(")") || token.is("]");
}

bool is_preprocessor(const Scene& scene) {
  return !scene.python() && !scene.tokens().empty() && scene.tokens()[0].is("#");
}

// A function's or class's header, where names are declared, not used.
bool is_header(const Scene& scene) {
  const Tokens& tokens = scene.tokens();
  if (scene.python()) {
    return one_of(tokens[0], {"def", "class", "async", "@"});
  }
  return scene.braces == 0 ||
         one_of(tokens[0], {"struct", "class", "template", "namespace", "using"});
}

// Angle brackets of templates: NAME< with nothing but types up to its >.
std::set<std::size_t> template_brackets(const Scene& scene) {
  std::set<std::size_t> found;
  const Tokens& tokens = scene.tokens();
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

using Codes = std::vector<std::string>;

Codes relational(const Scene& scene) {
  static const std::map<std::string_view, std::vector<std::string>> kSwaps = {
      {"<", {"<=", ">"}},  {">", {">=", "<"}}, {"<=", {"<", ">="}},
      {">=", {">", "<="}}, {"==", {"!="}},     {"!=", {"=="}}};
  Codes codes;
  const auto brackets = template_brackets(scene);
  for (std::size_t i = 1; i < scene.tokens().size(); ++i) {
    const CodeToken& token = scene.tokens()[i];
    const auto swap = kSwaps.find(token.word);
    if (token.kind != Kind::sign || swap == kSwaps.end() || brackets.contains(i)) continue;
    for (const std::string& other : swap->second) codes.push_back(spliced(scene.line(), i, other));
  }
  return codes;
}

Codes arithmetic(const Scene& scene) {
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
    if (!scene.python() && token.is("*") && one_of(before, kNativeTypes)) continue;  // int* p
    codes.push_back(spliced(scene.line(), i, swap->second));
  }
  return codes;
}

Codes augmented(const Scene& scene) {
  Codes codes;
  for (std::size_t i = 0; i < scene.tokens().size(); ++i) {
    if (scene.tokens()[i].is("+=")) codes.push_back(spliced(scene.line(), i, "-="));
    if (scene.tokens()[i].is("-=")) codes.push_back(spliced(scene.line(), i, "+="));
  }
  return codes;
}

Codes constants(const Scene& scene) {
  Codes codes;
  for (std::size_t i = 0; i < scene.tokens().size(); ++i) {
    const CodeToken& token = scene.tokens()[i];
    std::int64_t value = 0;
    const char* end = token.word.data() + token.word.size();
    const auto read = std::from_chars(token.word.data(), end, value);
    const bool decimal = token.kind == Kind::number && read.ec == std::errc() && read.ptr == end &&
                         (token.word == "0" || token.word[0] != '0') && value < INT64_MAX;
    if (!decimal) continue;
    codes.push_back(spliced(scene.line(), i, std::to_string(value + 1)));
    const bool after_sign = i > 0 && one_of(scene.tokens()[i - 1], {"-", "+"});
    const std::string less = std::to_string(value - 1);
    codes.push_back(spliced(scene.line(), i, value == 0 && after_sign ? "(" + less + ")" : less));
  }
  return codes;
}

Codes connectives(const Scene& scene) {
  const std::map<std::string_view, std::string> swaps = {
      {"and", "or"}, {"or", "and"}, {"&&", "||"}, {"||", "&&"}};
  Codes codes;
  for (std::size_t i = 1; i < scene.tokens().size(); ++i) {
    const auto swap = swaps.find(scene.tokens()[i].word);
    if (scene.tokens()[i].kind == Kind::text || swap == swaps.end()) continue;
    if (!ends_operand(scene, scene.tokens()[i - 1])) continue;  // int&& x
    codes.push_back(spliced(scene.line(), i, swap->second));
  }
  return codes;
}

std::size_t closing(const Tokens& tokens, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < tokens.size(); ++i) {
    depth += one_of(tokens[i], {"(", "[", "{"});
    depth -= one_of(tokens[i], {")", "]", "}"});
    if (depth == 0) return i;
  }
  return tokens.size();
}

// Tokens [first, second) of the condition of an if, elif or while.
std::optional<std::pair<std::size_t, std::size_t>> condition(const Scene& scene) {
  const Tokens& tokens = scene.tokens();
  for (std::size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (scene.python()) {
      if (i > 0 || !one_of(tokens[i], {"if", "elif", "while"})) return std::nullopt;
      int depth = 0;
      for (std::size_t j = 1; j < tokens.size(); ++j) {
        depth += one_of(tokens[j], {"(", "[", "{"});
        depth -= one_of(tokens[j], {")", "]", "}"});
        if (depth == 0 && tokens[j].is(":") && j > 1) return std::pair{std::size_t{1}, j};
      }
      return std::nullopt;
    }
    if (one_of(tokens[i], {"if", "while"}) && tokens[i + 1].is("(")) {
      const std::size_t close = closing(tokens, i + 1);
      if (close == tokens.size() || close == i + 2) return std::nullopt;
      return std::pair{i + 2, close};
    }
  }
  return std::nullopt;
}

Codes negations(const Scene& scene) {
  const auto range = condition(scene);
  if (!range) return {};
  const auto [from, to] = *range;
  const std::string inner = text_between(scene.line(), from, to);
  const CodeToken& first = scene.tokens()[from];
  if ((scene.python() ? first.is("not") : first.is("!")) && from + 1 < to)
    return {spliced(scene.line(), from, to, text_between(scene.line(), from + 1, to))};
  return {spliced(scene.line(), from, to, (scene.python() ? "not (" : "!(") + inner + ")")};
}

Codes subscripts(const Scene& scene) {
  Codes codes;
  const Tokens& tokens = scene.tokens();
  if (is_header(scene)) return codes;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    if (!tokens[i].is("[") || !ends_operand(scene, tokens[i - 1])) continue;
    const std::size_t close = closing(tokens, i);
    if (close == tokens.size() || close == i + 1) continue;
    const bool slice = std::any_of(tokens.begin() + static_cast<std::ptrdiff_t>(i),
                                   tokens.begin() + static_cast<std::ptrdiff_t>(close),
                                   [](const CodeToken& t) { return one_of(t, {":", ","}); });
    if (slice) continue;
    const std::string index = text_between(scene.line(), i + 1, close);
    codes.push_back(spliced(scene.line(), i + 1, close, index + " + 1"));
  }
  return codes;
}

Codes variables(const Scene& scene) {
  Codes codes;
  const Tokens& tokens = scene.tokens();
  if (is_header(scene)) return codes;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto mine =
        tokens[i].kind == Kind::name ? scene.kinds.find(tokens[i].word) : scene.kinds.end();
    if (mine == scene.kinds.end()) continue;
    const bool attribute = i > 0 && one_of(tokens[i - 1], {".", "->", "::"});
    const bool written =
        i + 1 < tokens.size() &&
        one_of(tokens[i + 1], {"=", "+=", "-=", "*=", "/=", "//=", "%=", ":=", "("});
    const bool declared = i > 0 && (one_of(tokens[i - 1], kNativeTypes) || tokens[i - 1].is("for"));
    if (attribute || written || declared) continue;
    for (const auto& [other, kind] : scene.kinds) {
      if (other == tokens[i].word || kind != mine->second) continue;
      codes.push_back(spliced(scene.line(), i, other));
      if (codes.size() == 2) return codes;
    }
  }
  return codes;
}

Codes deletions(const Scene& scene) {
  const Tokens& tokens = scene.tokens();
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

Codes returns(const Scene& scene) {
  const Tokens& tokens = scene.tokens();
  const std::string nothing = scene.python() ? "None" : "0";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!tokens[i].is("return")) continue;
    std::size_t end = i + 1;
    while (end < tokens.size() && !(tokens[end].is(";") || tokens[end].is("}"))) ++end;
    if (tokens[i + 1 < tokens.size() ? i + 1 : i].is("{")) end = closing(tokens, i + 1) + 1;
    end = std::min(end, tokens.size());
    if (end == i + 1 || text_between(scene.line(), i + 1, end) == nothing) return {};
    return {spliced(scene.line(), i + 1, end, nothing)};
  }
  return {};
}

Codes arguments(const Scene& scene) {
  Codes codes;
  const Tokens& tokens = scene.tokens();
  if (is_header(scene)) return codes;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    const bool call =
        tokens[i].is("(") && tokens[i - 1].kind == Kind::name && !scene.keyword(tokens[i - 1]);
    if (!call) continue;
    const std::size_t close = closing(tokens, i);
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
      codes.push_back(spliced(scene.line(), parts[0].first, parts[1].second, b + ", " + a));
  }
  return codes;
}

struct Operator {
  std::string name;
  Codes (*apply)(const Scene&);
};
const std::vector<Operator>& operators() {
  static const std::vector<Operator> kAll = {
      {"ROR", relational},  {"AOR", arithmetic}, {"AUG", augmented},  {"CRP", constants},
      {"LCR", connectives}, {"NOT", negations},  {"IDX", subscripts}, {"VAR", variables},
      {"SDL", deletions},   {"RVR", returns},    {"ARG", arguments}};
  return kAll;
}

std::string kind_of_value(const Tokens& tokens, std::size_t at) {
  if (at >= tokens.size()) return "";
  const CodeToken& token = tokens[at];
  const bool alone = at + 1 == tokens.size() || tokens[at + 1].is(";");
  if (token.kind == Kind::number && alone) return "number";
  if (token.kind == Kind::text && alone) return "text";
  if (one_of(token, {"len", "int", "sum", "ord", "abs"})) return "number";
  if (one_of(token, {"str", "input"})) return "text";
  if (one_of(token, {"True", "False", "true", "false"})) return "truth";
  if (token.is("[")) return "list";
  if (token.is("{")) return "mapping";
  return "";
}

// Adds the variables that a line declares to what is known behind it.
void learn(const Scene& scene, std::map<std::string, std::string>& kinds) {
  const Tokens& tokens = scene.tokens();
  if (scene.python()) {
    if (tokens[0].is("def")) {
      kinds.clear();
      for (std::size_t i = 2; i + 1 < tokens.size(); ++i) {
        const bool parameter = tokens[i].kind == Kind::name && one_of(tokens[i - 1], {"(", ","});
        if (!parameter) continue;
        const bool typed = tokens[i + 1].is(":") && i + 2 < tokens.size();
        kinds[tokens[i].word] = typed ? tokens[i + 2].word : "argument";
      }
    } else if (tokens.size() > 2 && tokens[0].kind == Kind::name && tokens[1].is("=")) {
      const std::string kind = kind_of_value(tokens, 2);
      if (!kind.empty()) kinds[tokens[0].word] = kind;
    } else if (tokens.size() > 3 && tokens[0].is("for") && tokens[2].is("in") &&
               tokens[3].is("range")) {
      kinds[tokens[1].word] = "number";
    }
    return;
  }
  if (scene.braces == 0) kinds.clear();
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    const bool type = one_of(tokens[i - 1], kNativeTypes) && !tokens[i - 1].is("const");
    const bool ends = i + 1 < tokens.size() && one_of(tokens[i + 1], {"=", ";", ",", ")", ":"});
    if (type && ends && tokens[i].kind == Kind::name && !one_of(tokens[i], kNativeTypes))
      kinds[tokens[i].word] = tokens[i - 1].word;
  }
}

// Calls `each` with every line and what is known there.
void walk(Language language, const std::vector<CodeLine>& lines,
          const std::function<void(const Scene&)>& each) {
  int braces = 0;
  std::map<std::string, std::string> kinds;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Scene scene{language, lines, i, braces, kinds};
    if (!is_preprocessor(scene)) each(scene);
    learn(scene, kinds);
    for (const CodeToken& token : lines[i].tokens) braces += token.is("{") - token.is("}");
    // Lone braces are no code lines: what closes shows in the indentation.
    if (i + 1 < lines.size() && lines[i + 1].indentation().empty()) braces = 0;
    if (i + 1 < lines.size() && !lines[i + 1].indentation().empty()) braces = std::max(braces, 1);
  }
}

void add(std::vector<LineVariant>& variants, const Scene& scene, const std::string& name,
         Codes codes) {
  for (std::string& code : codes) {
    const bool known = std::any_of(variants.begin(), variants.end(), [&](const LineVariant& v) {
      return v.line == scene.index && v.code == code;
    });
    if (!known && code != scene.line().text)
      variants.push_back({scene.index, name, std::move(code)});
  }
}

bool is_operand(const CodeToken& token) {
  return token.kind == Kind::number || token.kind == Kind::name;
}

Codes flipped(const Scene& scene) {
  static const std::map<std::string_view, std::string> kFlips = {
      {"<", ">"}, {">", "<"}, {"<=", ">="}, {">=", "<="}, {"==", "=="}, {"!=", "!="}};
  Codes codes;
  const Tokens& tokens = scene.tokens();
  const auto range = condition(scene);
  if (!range) return codes;
  for (std::size_t i = range->first + 1; i + 1 < range->second; ++i) {
    const auto flip = kFlips.find(tokens[i].word);
    if (flip == kFlips.end() || !is_operand(tokens[i - 1]) || !is_operand(tokens[i + 1])) continue;
    const std::set<std::string_view> around = {"and", "or", "not", "&&", "||", "(", ")"};
    const bool alone = (i - 1 == range->first || one_of(tokens[i - 2], around)) &&
                       (i + 2 == range->second || one_of(tokens[i + 2], around));
    if (alone)
      codes.push_back(spliced(scene.line(), i - 1, i + 2,
                              tokens[i + 1].word + " " + flip->second + " " + tokens[i - 1].word));
  }
  return codes;
}

Codes parenthesised(const Scene& scene) {
  const Tokens& tokens = scene.tokens();
  for (std::size_t i = 1; i + 1 < tokens.size(); ++i) {
    if (!one_of(tokens[i], {"=", "+=", "-=", "*="}) || is_header(scene)) continue;
    std::size_t end = tokens.size();
    if (!scene.python()) {
      if (!tokens.back().is(";") || one_of(tokens[0], {"for"})) return {};
      --end;
    }
    const bool simple =
        std::none_of(tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                     tokens.begin() + static_cast<std::ptrdiff_t>(end),
                     [](const CodeToken& t) { return one_of(t, {"=", "{", ";", "yield"}); });
    if (!simple || i > 2 || end <= i + 1) return {};
    return {spliced(scene.line(), i + 1, end, "(" + text_between(scene.line(), i + 1, end) + ")")};
  }
  return {};
}

Codes expanded(const Scene& scene) {
  const Tokens& tokens = scene.tokens();
  if (tokens.size() < 3 || tokens[0].kind != Kind::name) return {};
  if (!one_of(tokens[1], {"+=", "-=", "*="})) return {};
  const auto kind = scene.kinds.find(tokens[0].word);
  const bool safe = kind != scene.kinds.end() && kind->second != "list" &&
                    kind->second != "mapping" && kind->second != "argument";
  const std::size_t end = tokens.back().is(";") ? tokens.size() - 1 : tokens.size();
  if (!safe || end <= 2) return {};
  return {spliced(scene.line(), 0, end,
                  tokens[0].word + " = " + tokens[0].word + " " + tokens[1].word.substr(0, 1) +
                      " (" + text_between(scene.line(), 2, end) + ")")};
}

Codes de_morgan(const Scene& scene) {
  const auto range = condition(scene);
  if (!range) return {};
  std::optional<std::size_t> middle;
  int depth = 0;
  for (std::size_t i = range->first; i < range->second; ++i) {
    const CodeToken& token = scene.tokens()[i];
    depth += one_of(token, {"(", "[", "{"});
    depth -= one_of(token, {")", "]", "}"});
    if (depth == 0 && one_of(token, {"and", "or", "&&", "||"})) {
      if (middle) return {};
      middle = i;
    }
  }
  if (!middle) return {};
  const std::string no = scene.python() ? "not " : "!";
  static const std::map<std::string_view, std::string> kOther = {
      {"and", "or"}, {"or", "and"}, {"&&", "||"}, {"||", "&&"}};
  return {spliced(scene.line(), range->first, range->second,
                  no + "(" + no + "(" + text_between(scene.line(), range->first, *middle) + ") " +
                      kOther.at(scene.tokens()[*middle].word) + " " + no + "(" +
                      text_between(scene.line(), *middle + 1, range->second) + "))")};
}

Codes commented(const Scene& scene) {
  return {scene.line().text + (scene.python() ? "  # same" : "  // same")};
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
  walk(language, lines, [&](const Scene& scene) {
    for (const Operator& each : operators())
      if (std::find(wanted.begin(), wanted.end(), each.name) != wanted.end())
        add(variants, scene, each.name, each.apply(scene));
  });
  return variants;
}

std::vector<LineVariant> refactorings(Language language, const std::vector<CodeLine>& lines) {
  std::vector<LineVariant> variants;
  walk(language, lines, [&](const Scene& scene) {
    add(variants, scene, "PAREN", parenthesised(scene));
    add(variants, scene, "FLIP", flipped(scene));
    add(variants, scene, "EXPAND", expanded(scene));
    add(variants, scene, "MORGAN", de_morgan(scene));
    add(variants, scene, "COMMENT", commented(scene));
  });
  return variants;
}

}  // namespace proctor
