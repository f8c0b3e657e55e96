// Scenes are built by reading the lines once from the top.
#include "supervisors/line_scene.h"

#include <algorithm>

namespace proctor {
namespace {

using Kind = CodeToken::Kind;

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
bool is_preprocessor(const LineScene& scene) {
  return !scene.python() && !scene.tokens().empty() && scene.tokens()[0].is("#");
}

std::string kind_of_value(const CodeTokens& tokens, std::size_t at) {
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
void learn(const LineScene& scene, std::map<std::string, std::string>& kinds) {
  const CodeTokens& tokens = scene.tokens();
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
    const bool type = one_of(tokens[i - 1], native_types()) && !tokens[i - 1].is("const");
    const bool ends = i + 1 < tokens.size() && one_of(tokens[i + 1], {"=", ";", ",", ")", ":"});
    if (type && ends && tokens[i].kind == Kind::name && !one_of(tokens[i], native_types()))
      kinds[tokens[i].word] = tokens[i - 1].word;
  }
}

}  // namespace

bool LineScene::keyword(const CodeToken& token) const {
  return one_of(token, python() ? kPythonKeywords : kNativeKeywords);
}

bool one_of(const CodeToken& token, const std::set<std::string_view>& words) {
  return token.kind != Kind::text && words.contains(token.word);
}

const std::set<std::string_view>& native_types() {
  static const std::set<std::string_view> kTypes = {
      "int",    "long",     "short",  "char",    "double",  "float", "bool",
      "void",   "unsigned", "signed", "auto",    "size_t",  "const", "string",
      "vector", "map",      "static", "int64_t", "uint64_t"};
  return kTypes;
}

std::string with_tokens(const CodeLine& line, std::size_t from, std::size_t to,
                        const std::string& replacement) {
  const std::size_t begin = line.tokens[from].at;
  const CodeToken& last = line.tokens[to - 1];
  const std::size_t end = last.at + last.word.size();
  return line.text.substr(0, begin) + replacement + line.text.substr(end);
}
std::string with_tokens(const CodeLine& line, std::size_t token, const std::string& replacement) {
  return with_tokens(line, token, token + 1, replacement);
}
std::string text_between(const CodeLine& line, std::size_t from, std::size_t to) {
  if (from >= to) return "";
  const CodeToken& last = line.tokens[to - 1];
  return line.text.substr(line.tokens[from].at, last.at + last.word.size() - line.tokens[from].at);
}

bool is_header(const LineScene& scene) {
  const CodeTokens& tokens = scene.tokens();
  if (scene.python()) {
    return one_of(tokens[0], {"def", "class", "async", "@"});
  }
  return scene.braces == 0 ||
         one_of(tokens[0], {"struct", "class", "template", "namespace", "using"});
}

std::size_t closing_bracket(const CodeTokens& tokens, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < tokens.size(); ++i) {
    depth += one_of(tokens[i], {"(", "[", "{"});
    depth -= one_of(tokens[i], {")", "]", "}"});
    if (depth == 0) return i;
  }
  return tokens.size();
}

std::optional<std::pair<std::size_t, std::size_t>> condition_of(const LineScene& scene) {
  const CodeTokens& tokens = scene.tokens();
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
      const std::size_t close = closing_bracket(tokens, i + 1);
      if (close == tokens.size() || close == i + 2) return std::nullopt;
      return std::pair{i + 2, close};
    }
  }
  return std::nullopt;
}

void each_scene(Language language, const std::vector<CodeLine>& lines,
                const std::function<void(const LineScene&)>& each) {
  int braces = 0;
  std::map<std::string, std::string> kinds;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    LineScene scene{language, lines, i, braces, kinds};
    if (!is_preprocessor(scene)) each(scene);
    learn(scene, kinds);
    for (const CodeToken& token : lines[i].tokens) braces += token.is("{") - token.is("}");
    // Lone braces are no code lines: what closes shows in the indentation.
    if (i + 1 < lines.size() && lines[i + 1].indentation().empty()) braces = 0;
    if (i + 1 < lines.size() && !lines[i + 1].indentation().empty()) braces = std::max(braces, 1);
  }
}

void add_variants(std::vector<LineVariant>& variants, const LineScene& scene,
                  const std::string& name, Codes codes) {
  for (std::string& code : codes) {
    const bool known = std::any_of(variants.begin(), variants.end(), [&](const LineVariant& v) {
      return v.line == scene.index && v.code == code;
    });
    if (!known && code != scene.line().text)
      variants.push_back({scene.index, name, std::move(code)});
  }
}

}  // namespace proctor
