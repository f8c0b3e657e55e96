// Source text as logical lines of tokens, for Python, C and C++: enough to change one token safely,
// no parser.
//
// Blind spot: C macros and templates are seen as plain tokens, so that a change may not compile;
// the compiler then says so.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/sandbox.h"

namespace proctor {

struct CodeToken {
  enum class Kind { name, number, text, sign };
  Kind kind = Kind::sign;
  std::string word;
  std::size_t at = 0;  // byte in the logical line's text

  bool is(std::string_view other) const { return word == other && kind != Kind::text; }
};

// One statement, or a piece of one that stands on lines of its own: brackets, triple quotes and
// backslashes join physical lines.
struct CodeLine {
  int first = 0, last = 0;  // physical lines, from 0
  std::string text;         // with its indentation, without the last newline
  std::vector<CodeToken> tokens;

  std::string indentation() const;
};

// The lines that hold code: no blank ones, comments, doc strings or lone braces.
std::vector<CodeLine> code_lines(Language language, std::string_view source);

// The tokens of each physical line as one text: equal where only comments and white space differ.
std::vector<std::string> bare_lines(Language language, std::string_view source);

// The source with one logical line replaced.
std::string with_line(std::string_view source, const CodeLine& line, std::string_view replacement);

}  // namespace proctor
