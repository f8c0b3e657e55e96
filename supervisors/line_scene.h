// One line as the operators see it: its tokens, what is known about the names in it, and the ways
// to rewrite a piece of it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "supervisors/code_lines.h"
#include "supervisors/mutation.h"

namespace proctor {

using CodeTokens = std::vector<CodeToken>;
using Codes = std::vector<std::string>;  // a line's text, rewritten

struct LineScene {
  Language language;
  const std::vector<CodeLine>& lines;
  std::size_t index;
  int braces;                                // depth of { before the line, in C and C++
  std::map<std::string, std::string> kinds;  // variables known here ─▶ what they hold

  bool python() const { return language == Language::python; }
  const CodeLine& line() const { return lines[index]; }
  const CodeTokens& tokens() const { return lines[index].tokens; }
  bool keyword(const CodeToken& token) const;
};

bool one_of(const CodeToken& token, const std::set<std::string_view>& words);
const std::set<std::string_view>& native_types();

// The line with the tokens [from, to), or one, replaced by a text.
std::string with_tokens(const CodeLine& line, std::size_t from, std::size_t to,
                        const std::string& replacement);
std::string with_tokens(const CodeLine& line, std::size_t token, const std::string& replacement);
// The text of the tokens [from, to).
std::string text_between(const CodeLine& line, std::size_t from, std::size_t to);

// A function's or class's header, where names are declared, not used.
bool is_header(const LineScene& scene);
// The bracket that closes the one at `open`; the number of tokens when none does.
std::size_t closing_bracket(const CodeTokens& tokens, std::size_t open);
// CodeTokens [first, second) of the condition of an if, elif or while.
std::optional<std::pair<std::size_t, std::size_t>> condition_of(const LineScene& scene);

// Calls `each` with every line but preprocessor ones, and what is known there.
void each_scene(Language language, const std::vector<CodeLine>& lines,
                const std::function<void(const LineScene&)>& each);
// Adds those of `codes` that are new and not the line itself.
void add_variants(std::vector<LineVariant>& variants, const LineScene& scene,
                  const std::string& name, Codes codes);

}  // namespace proctor
