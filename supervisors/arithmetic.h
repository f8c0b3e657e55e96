// Checks the arithmetic that a text states: every chain `A = B = C` of expressions in it.
//
// Expressions are parsed, never run as a program: numbers (thousands commas, a percent sign
// behind), + - * / ^, the words for them, mod, and parentheses, evaluated exactly as fractions.
// What a letter, an unknown LaTeX command or any other sign is joined to is left alone, and so is
// what a word beside it may mean otherwise: no pair is better than a wrong one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace proctor {

struct ArithmeticPair {
  std::string left, right;              // as the text has them
  std::string left_value, right_value;  // "" where there is none: division by zero, too large
  bool conclusive = false;
  bool agrees = false;
};

// The neighbours of every `=` whose both sides are expressions, in order. They agree when they
// differ by at most `tolerance`, or with relative > 0 by at most relative * max(abs); 1e-9 more is
// allowed for rounding.
std::vector<ArithmeticPair> arithmetic_pairs(std::string_view text, double tolerance,
                                             double relative);

// -1: a pair disagrees; else 0 where one is inconclusive or there is none; else 1.
int verdict_of(const std::vector<ArithmeticPair>& pairs);

}  // namespace proctor
