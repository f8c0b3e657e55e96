// The refactorings: rewritings that are meant to keep what a line does.
#include <algorithm>
#include <map>
#include <set>

#include "supervisors/line_scene.h"
#include "supervisors/mutation.h"

namespace proctor {
namespace {

using Kind = CodeToken::Kind;

bool is_operand(const CodeToken& token) {
  return token.kind == Kind::number || token.kind == Kind::name;
}

Codes flipped(const LineScene& scene) {
  static const std::map<std::string_view, std::string> kFlips = {
      {"<", ">"}, {">", "<"}, {"<=", ">="}, {">=", "<="}, {"==", "=="}, {"!=", "!="}};
  Codes codes;
  const CodeTokens& tokens = scene.tokens();
  const auto range = condition_of(scene);
  if (!range) return codes;
  for (std::size_t i = range->first + 1; i + 1 < range->second; ++i) {
    const auto flip = kFlips.find(tokens[i].word);
    if (flip == kFlips.end() || !is_operand(tokens[i - 1]) || !is_operand(tokens[i + 1])) continue;
    const std::set<std::string_view> around = {"and", "or", "not", "&&", "||", "(", ")"};
    const bool alone = (i - 1 == range->first || one_of(tokens[i - 2], around)) &&
                       (i + 2 == range->second || one_of(tokens[i + 2], around));
    if (alone)
      codes.push_back(
          with_tokens(scene.line(), i - 1, i + 2,
                      tokens[i + 1].word + " " + flip->second + " " + tokens[i - 1].word));
  }
  return codes;
}

Codes parenthesised(const LineScene& scene) {
  const CodeTokens& tokens = scene.tokens();
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
    return {
        with_tokens(scene.line(), i + 1, end, "(" + text_between(scene.line(), i + 1, end) + ")")};
  }
  return {};
}

Codes expanded(const LineScene& scene) {
  const CodeTokens& tokens = scene.tokens();
  if (tokens.size() < 3 || tokens[0].kind != Kind::name) return {};
  if (!one_of(tokens[1], {"+=", "-=", "*="})) return {};
  const auto kind = scene.kinds.find(tokens[0].word);
  const bool safe = kind != scene.kinds.end() && kind->second != "list" &&
                    kind->second != "mapping" && kind->second != "argument";
  const std::size_t end = tokens.back().is(";") ? tokens.size() - 1 : tokens.size();
  if (!safe || end <= 2) return {};
  return {with_tokens(scene.line(), 0, end,
                      tokens[0].word + " = " + tokens[0].word + " " + tokens[1].word.substr(0, 1) +
                          " (" + text_between(scene.line(), 2, end) + ")")};
}

Codes de_morgan(const LineScene& scene) {
  const auto range = condition_of(scene);
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
  return {with_tokens(scene.line(), range->first, range->second,
                      no + "(" + no + "(" + text_between(scene.line(), range->first, *middle) +
                          ") " + kOther.at(scene.tokens()[*middle].word) + " " + no + "(" +
                          text_between(scene.line(), *middle + 1, range->second) + "))")};
}

Codes commented(const LineScene& scene) {
  return {scene.line().text + (scene.python() ? "  # same" : "  // same")};
}

}  // namespace

std::vector<LineVariant> refactorings(Language language, const std::vector<CodeLine>& lines) {
  std::vector<LineVariant> variants;
  each_scene(language, lines, [&](const LineScene& scene) {
    add_variants(variants, scene, "PAREN", parenthesised(scene));
    add_variants(variants, scene, "FLIP", flipped(scene));
    add_variants(variants, scene, "EXPAND", expanded(scene));
    add_variants(variants, scene, "MORGAN", de_morgan(scene));
    add_variants(variants, scene, "COMMENT", commented(scene));
  });
  return variants;
}

}  // namespace proctor
