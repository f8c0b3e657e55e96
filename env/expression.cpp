// A recursive-descent evaluator after a pass that turns LaTeX into plain notation, and a scanner
// for numbers in prose.
#include "env/expression.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <vector>

namespace proctor {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// The end of the brace group that opens at `open`, one past it; npos when it never closes.
std::size_t group_end(const std::string& text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    depth += text[i] == '{';
    depth -= text[i] == '}';
    if (depth == 0) return i + 1;
  }
  return std::string::npos;
}

// "\frac12" and "\frac{a}{b}" become "((a)/(b))".
void expand_fractions(std::string& text) {
  for (int rounds = 0; rounds < 32; ++rounds) {
    const std::size_t at = text.rfind("\\frac");  // the innermost comes last
    if (at == std::string::npos) return;
    std::size_t next = at + 5;
    std::array<std::string, 2> parts;
    for (std::string& part : parts) {
      while (next < text.size() && text[next] == ' ') ++next;
      if (next >= text.size()) return;
      const std::size_t end = text[next] == '{' ? group_end(text, next) : next + 1;
      if (end == std::string::npos) return;
      part = text[next] == '{' ? text.substr(next + 1, end - next - 2) : text.substr(next, 1);
      next = end;
    }
    text.replace(at, next - at, "((" + parts[0] + ")/(" + parts[1] + "))");
  }
}

std::string plain_notation(std::string text) {
  constexpr std::array<std::array<const char*, 2>, 24> kSpellings = {{{"\\dfrac", "\\frac"},
                                                                      {"\\tfrac", "\\frac"},
                                                                      {"\\left", ""},
                                                                      {"\\right", ""},
                                                                      {"\\cdot", "*"},
                                                                      {"\\times", "*"},
                                                                      {"\\div", "/"},
                                                                      {"\\pi", "pi"},
                                                                      {"\\sqrt", "sqrt"},
                                                                      {"\\,", ""},
                                                                      {"\\;", ""},
                                                                      {"\\!", ""},
                                                                      {"\\ ", " "},
                                                                      {"{,}", ""},
                                                                      {"\\$", ""},
                                                                      {"$", ""},
                                                                      {"\\%", "%"},
                                                                      {"×", "*"},
                                                                      {"·", "*"},
                                                                      {"÷", "/"},
                                                                      {"−", "-"},
                                                                      {"√", "sqrt"},
                                                                      {"π", "pi"},
                                                                      {"**", "^"}}};
  for (const auto& [from, to] : kSpellings) replace_all(text, from, to);
  expand_fractions(text);
  for (const char* name : {"\\sin", "\\cos", "\\tan", "\\ln", "\\log", "\\exp"})
    replace_all(text, name, name + 1);
  for (char& c : text) {
    if (c == '{') c = '(';
    if (c == '}') c = ')';
  }
  return text;
}

class Evaluator {
 public:
  Evaluator(std::string_view text, const std::function<double(char)>& variable)
      : text_(text), variable_(variable) {}

  std::optional<double> value() {
    const double whole = sum(0);
    if (failed_ || peek() != '\0' || !std::isfinite(whole)) return std::nullopt;
    return whole;
  }

 private:
  static constexpr int kDeepest = 100;

  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  double fail() {
    failed_ = true;
    return 0;
  }

  double sum(int depth) {
    if (depth > kDeepest) return fail();
    double left = product(depth);
    while (!failed_ && (peek() == '+' || peek() == '-')) {
      const char op = text_[at_++];
      const double right = product(depth);
      left = op == '+' ? left + right : left - right;
    }
    return left;
  }

  bool begins_factor() {
    const char c = peek();
    return is_letter(c) || is_digit(c) || c == '(' || c == '.';
  }

  double product(int depth) {
    double left = signed_power(depth);
    bool after_digit = false;
    while (!failed_) {
      const char c = peek();
      after_digit = at_ > 0 && is_digit(text_[at_ - 1]);
      if (c == '*' || c == '/') {
        ++at_;
        const double right = signed_power(depth);
        left = c == '*' ? left * right : left / right;
      } else if (begins_factor() && !(is_digit(c) && (after_digit || text_[at_ - 1] == ' '))) {
        left *= power(depth);  // 2x, 3(4); never "3 4"
      } else {
        break;
      }
    }
    return left;
  }

  double signed_power(int depth) {
    if (depth > kDeepest) return fail();
    if (take('-')) return -signed_power(depth + 1);
    if (take('+')) return signed_power(depth + 1);
    return power(depth);
  }

  double power(int depth) {
    double base = atom(depth);
    while (!failed_ && peek() == '!') {
      ++at_;
      if (base < 0 || base > 170 || std::floor(base) != base) return fail();
      base = std::tgamma(base + 1);
    }
    if (!failed_ && take('^')) return std::pow(base, signed_power(depth + 1));
    return base;
  }

  double atom(int depth) {
    if (depth > kDeepest) return fail();
    const char c = peek();
    if (c == '(') {
      ++at_;
      const double inner = sum(depth + 1);
      return take(')') ? inner : fail();
    }
    if (c == '|') {
      ++at_;
      const double inner = sum(depth + 1);
      return take('|') ? std::abs(inner) : fail();
    }
    if (is_digit(c) || c == '.') return number();
    if (is_letter(c)) return name(depth);
    return fail();
  }

  double number() {
    double value = 0;
    const char* end = text_.data() + text_.size();
    // Plain digits only: in "2e", e is a variable.
    const auto read = std::from_chars(text_.data() + at_, end, value, std::chars_format::fixed);
    if (read.ec != std::errc()) return fail();
    at_ = static_cast<std::size_t>(read.ptr - text_.data());
    return value;
  }

  double name(int depth) {
    std::size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    const std::string_view word = text_.substr(at_, end - at_);
    using Function = double (*)(double);
    struct Named {
      std::string_view name;
      Function apply;
    };
    static constexpr std::array<Named, 10> kFunctions = {
        {{"sqrt", [](double x) { return std::sqrt(x); }},
         {"sin", [](double x) { return std::sin(x); }},
         {"cos", [](double x) { return std::cos(x); }},
         {"tan", [](double x) { return std::tan(x); }},
         {"ln", [](double x) { return std::log(x); }},
         {"log", [](double x) { return std::log10(x); }},
         {"exp", [](double x) { return std::exp(x); }},
         {"abs", [](double x) { return std::abs(x); }},
         {"floor", [](double x) { return std::floor(x); }},
         {"ceil", [](double x) { return std::ceil(x); }}}};
    for (const Named& function : kFunctions) {
      if (!word.starts_with(function.name)) continue;
      at_ += function.name.size();
      return function.apply(power(depth + 1));
    }
    if (word.starts_with("pi")) {
      at_ += 2;
      return 3.14159265358979323846;
    }
    if (word.size() > 3) return fail();  // a word of prose, no product of variables
    return variable_(text_[at_++]);
  }

  std::string_view text_;
  const std::function<double(char)>& variable_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

// The digits from `at`, thousands separators left out; `at` moves behind them.
std::string digits(std::string_view text, std::size_t& at) {
  std::string out;
  const auto is_group = [&](std::size_t comma) {
    std::size_t n = 0;
    while (comma + 1 + n < text.size() && is_digit(text[comma + 1 + n])) ++n;
    return n == 3;
  };
  while (at < text.size() && is_digit(text[at])) out += text[at++];
  if (out.empty() || out.size() > 3) return out;
  while (at < text.size() && text[at] == ',' && is_group(at)) {
    out += text.substr(at + 1, 3);
    at += 4;
  }
  return out;
}

// A number that begins exactly at `at`, sign included; `at` moves behind what was read.
std::optional<WrittenNumber> number_at(std::string_view text, std::size_t& at) {
  std::size_t i = at;
  const bool negative = i < text.size() && text[i] == '-';
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  if (i < text.size() && text[i] == '$') ++i;
  std::string figure = digits(text, i);
  const bool whole = !figure.empty();
  if (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) {
    figure += text[i++];
    while (i < text.size() && is_digit(text[i])) figure += text[i++];
  }
  if (figure.empty()) return std::nullopt;
  if (i + 1 < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    std::size_t j = i + 1 + (text[i + 1] == '-' || text[i + 1] == '+');
    if (j < text.size() && is_digit(text[j])) {
      figure += text.substr(i, j - i);
      for (i = j; i < text.size() && is_digit(text[i]); ++i) figure += text[i];
    }
  }
  double value = std::strtod((whole ? figure : "0" + figure).c_str(), nullptr);

  // A fraction, alone or behind a whole number: 3/4, 1 1/2.
  std::size_t j = i;
  if (j + 1 < text.size() && text[j] == ' ' && is_digit(text[j + 1])) {
    const std::size_t mixed = j + 1;
    j = mixed;
    const std::string top = digits(text, j);
    if (j + 1 < text.size() && text[j] == '/' && is_digit(text[j + 1])) {
      ++j;
      value += std::strtod(top.c_str(), nullptr) / std::strtod(digits(text, j).c_str(), nullptr);
      i = j;
    }
  } else if (j + 1 < text.size() && text[j] == '/' && is_digit(text[j + 1])) {
    ++j;
    value /= std::strtod(digits(text, j).c_str(), nullptr);
    i = j;
  }
  WrittenNumber number{.value = negative ? -value : value};
  std::size_t behind = i;
  while (behind < text.size() && (text[behind] == ' ' || text[behind] == '\\')) ++behind;
  if (behind < text.size() && text[behind] == '%') {
    number.percent = true;
    i = behind + 1;
  }
  at = i;
  if (!std::isfinite(number.value)) return std::nullopt;  // "1/0" is no number, and no 0 either
  return number;
}

}  // namespace

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

std::optional<double> evaluate(std::string_view text, const std::function<double(char)>& variable) {
  if (text.size() > 4096) return std::nullopt;
  const std::string plain = plain_notation(std::string(text));
  return Evaluator(plain, variable).value();
}

bool same_expression(std::string_view a, std::string_view b, double tolerance) {
  // Irrational points, positive and away from 0 and 1, so that roots and logarithms exist.
  constexpr std::array<double, 4> kPoints = {1.7320508, 2.2360680, 0.5772157, 3.3166248};
  int tried = 0;
  for (const double point : kPoints) {
    const auto variable = [point](char name) { return point + 0.1931 * (name % 32); };
    const auto left = evaluate(a, variable), right = evaluate(b, variable);
    if (!left || !right) return false;
    if (!close(*left, *right, tolerance)) return false;
    ++tried;
  }
  return tried > 0;
}

std::optional<WrittenNumber> read_number(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && (std::isspace(static_cast<unsigned char>(text.back())) ||
                           text.back() == '.' || text.back() == ','))
    text.remove_suffix(1);
  std::size_t at = 0;
  auto number = number_at(text, at);
  if (!number || at != text.size()) return std::nullopt;
  return number;
}

std::optional<WrittenNumber> last_number(std::string_view given) {
  std::string text(given);
  replace_all(text, "−", "-");
  replace_all(text, "{,}", ",");
  replace_all(text, "\\$", "$");
  std::optional<WrittenNumber> last;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const bool glued = at > 0 && (is_letter(text[at - 1]) || text[at - 1] == '_');
    const bool sign =
        c == '-' &&
        !(at > 0 && (is_letter(text[at - 1]) || is_digit(text[at - 1]) || text[at - 1] == ')'));
    if ((is_digit(c) && !glued) || c == '.' || c == '$' || sign) {
      std::size_t end = at;
      auto number = number_at(text, end);
      if (number) last = number;
      if (end > at) {
        at = end;
        continue;
      }
    }
    if (is_digit(c)) {  // the number of a name like x2
      while (at < text.size() && is_digit(text[at])) ++at;
      continue;
    }
    ++at;
  }
  return last;
}

bool close(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

}  // namespace proctor
