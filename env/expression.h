// Simple algebra in the notations that answers come in (plain and LaTeX), for comparing answers.
//
// Blind spot: equality is decided by values at a few points, so two functions that agree there
// count as equal, and one that is defined nowhere near them equals nothing.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "env/number.h"

namespace proctor {

// The value of + - * / ^ ** ! sqrt, the usual functions, pi, \frac{}{}, 2\frac{1}{2}, |x|, implied
// products; one letter is a variable. Nothing when the text is no such expression or has no finite
// value.
std::optional<Number> evaluate(std::string_view text, const std::function<double(char)>& variable);

// Both are expressions and agree, within a relative tolerance, wherever they were tried.
bool same_expression(std::string_view a, std::string_view b, double tolerance);

// A number as people write it: "-1,234.5", "3/4", "1 1/2", "50%", "1e5", "1.5 × 10^3". Nothing for
// other text.
struct WrittenNumber {
  Number value;  // 50 for "50%"
  bool percent = false;
};
std::optional<WrittenNumber> read_number(std::string_view text);
// The last number in a text that is neither an exponent (m^2) nor a part of a name (x2).
std::optional<WrittenNumber> last_number(std::string_view text);

void replace_all(std::string& text, std::string_view from, std::string_view to);

}  // namespace proctor
