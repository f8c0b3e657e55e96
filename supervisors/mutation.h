// Deterministic variants of one line of a program: the fixed operators that are likely to break it
// and the refactorings that are meant to keep it. What a variant really does, only running it
// tells.
#pragma once

#include <string>
#include <vector>

#include "supervisors/code_lines.h"

namespace proctor {

struct LineVariant {
  std::size_t line = 0;   // index in code_lines(...)
  std::string operator_;  // "ROR", "PAREN", ...
  std::string code;       // replaces the line's text
};

// ROR AOR AUG CRP LCR NOT IDX VAR SDL RVR ARG, in the order in which they are applied.
const std::vector<std::string>& mutation_operators();

// Variants of every line, line by line, in operator order; none equals its line.
std::vector<LineVariant> mutations(Language language, const std::vector<CodeLine>& lines,
                                   const std::vector<std::string>& operators);

// PAREN (x = e to x = (e)), FLIP (a < b to b > a), EXPAND (x += n to x = x + n, numbers and texts
// only), MORGAN, COMMENT. Renaming and a temporary variable change more than one line: left out.
std::vector<LineVariant> refactorings(Language language, const std::vector<CodeLine>& lines);

}  // namespace proctor
