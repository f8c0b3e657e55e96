// A recursive-descent evaluator after a pass that turns LaTeX into plain notation, and a scanner
// for numbers in prose.
#include "env/expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

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

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

// Where the whole number before the fraction at `at` begins, as in "2\frac{1}{2}"; `at` itself
// where there is none, as in "x^2\frac{1}{2}".
std::size_t whole_before(const std::string& text, std::size_t at) {
  std::size_t end = at;
  while (end > 0 && text[end - 1] == ' ') --end;
  std::size_t begin = end;
  while (begin > 0 && is_digit(text[begin - 1])) --begin;
  const bool alone =
      begin == 0 || std::string_view(" ([{+-*/=,;|").find(text[begin - 1]) != std::string::npos;
  return begin < end && alone ? begin : at;
}

// "\frac12" and "\frac{a}{b}" become "((a)/(b))", "2\frac{1}{2}" becomes "(2+((1)/(2)))".
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
    const auto& [top, bottom] = parts;
    const std::string fraction = "((" + top + ")/(" + bottom + "))";
    const bool proper = all_digits(top) && all_digits(bottom) &&
                        std::pair(top.size(), top) < std::pair(bottom.size(), bottom);
    const std::size_t begin = proper ? whole_before(text, at) : at;
    const std::string whole = text.substr(begin, at - begin);
    text.replace(begin, next - begin,
                 whole.empty() ? fraction : "(" + whole + "+" + fraction + ")");
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

  std::optional<Number> value() {
    Number whole = sum(0);
    if (failed_ || peek() != '\0' || !whole.finite()) return std::nullopt;
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
  Number fail() {
    failed_ = true;
    return Number::rounded(0);
  }

  Number sum(int depth) {
    if (depth > kDeepest) return fail();
    Number left = product(depth);
    while (!failed_ && (peek() == '+' || peek() == '-')) {
      const char op = text_[at_++];
      const Number right = product(depth);
      left = op == '+' ? left + right : left - right;
    }
    return left;
  }

  bool begins_factor() {
    const char c = peek();
    return is_letter(c) || is_digit(c) || c == '(' || c == '.';
  }

  Number product(int depth) {
    Number left = signed_power(depth);
    bool after_digit = false;
    while (!failed_) {
      const char c = peek();
      after_digit = at_ > 0 && is_digit(text_[at_ - 1]);
      if (c == '*' || c == '/') {
        ++at_;
        const Number right = signed_power(depth);
        left = c == '*' ? left * right : left / right;
      } else if (begins_factor() && !(is_digit(c) && (after_digit || text_[at_ - 1] == ' '))) {
        left = left * raised(depth);  // 2x, 3(4); never "3 4"
      } else {
        break;
      }
    }
    return left;
  }

  Number signed_power(int depth) {
    if (depth > kDeepest) return fail();
    if (take('-')) return -signed_power(depth + 1);
    if (take('+')) return signed_power(depth + 1);
    return raised(depth);
  }

  Number raised(int depth) {
    Number base = atom(depth);
    while (!failed_ && take('!')) base = factorial(base.value());
    if (!failed_ && take('^')) return power(base, signed_power(depth + 1));
    return base;
  }

  Number factorial(double of) {
    if (!(of >= 0) || of > 170 || std::floor(of) != of) return fail();
    Number product = Number::decimal("1");
    for (int factor = 2; factor <= of; ++factor)
      product = product * Number::decimal(std::to_string(factor));
    return product;
  }

  Number atom(int depth) {
    if (depth > kDeepest) return fail();
    const char c = peek();
    if (c == '(') {
      ++at_;
      const Number inner = sum(depth + 1);
      return take(')') ? inner : fail();
    }
    if (c == '|') {
      ++at_;
      const Number inner = sum(depth + 1);
      if (!take('|')) return fail();
      return inner.value() < 0 ? -inner : inner;
    }
    if (is_digit(c) || c == '.') return number();
    if (is_letter(c)) return name(depth);
    return fail();
  }

  Number number() {
    double value = 0;
    const char* end = text_.data() + text_.size();
    // Plain digits only: in "2e", e is a variable.
    const auto read = std::from_chars(text_.data() + at_, end, value, std::chars_format::fixed);
    if (read.ec != std::errc()) return fail();
    const std::size_t begin = std::exchange(at_, static_cast<std::size_t>(read.ptr - text_.data()));
    return Number::decimal(text_.substr(begin, at_ - begin));
  }

  Number name(int depth) {
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
         {"sin", [](double x) { return settled(std::sin(x), x); }},
         {"cos", [](double x) { return settled(std::cos(x), x); }},
         {"tan", [](double x) { return settled(std::tan(x), x); }},
         {"ln", [](double x) { return std::log(x); }},
         {"log", [](double x) { return std::log10(x); }},
         {"exp", [](double x) { return std::exp(x); }},
         {"abs", [](double x) { return std::abs(x); }},
         {"floor", [](double x) { return std::floor(x); }},
         {"ceil", [](double x) { return std::ceil(x); }}}};
    for (const Named& function : kFunctions) {
      if (!word.starts_with(function.name)) continue;
      at_ += function.name.size();
      return Number::rounded(function.apply(raised(depth + 1).value()));
    }
    if (word.starts_with("pi")) {
      at_ += 2;
      return Number::rounded(3.14159265358979323846);
    }
    if (word.size() > 3) return fail();  // a word of prose, no product of variables
    return Number::rounded(variable_(text_[at_++]));
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

// The exponent of "× 10^3", "\times 10^{-3}" or "x 10^3" at `at`, which moves behind it.
std::optional<int> power_of_ten(std::string_view text, std::size_t& at) {
  std::string_view rest = text.substr(std::min(at, text.size()));
  const auto skip = [&rest](std::string_view what) {
    const bool found = rest.starts_with(what);
    if (found) rest.remove_prefix(what.size());
    return found;
  };
  const auto skip_blanks = [&] {
    while (skip(" ")) {
    }
  };
  skip_blanks();
  constexpr std::array<std::string_view, 6> kTimes = {"×", "·", "\\times", "\\cdot", "*", "x"};
  if (std::none_of(kTimes.begin(), kTimes.end(), skip)) return std::nullopt;
  skip_blanks();
  if (!skip("10^")) return std::nullopt;
  const bool braced = skip("{");
  int exponent = 0;
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), exponent);
  if (read.ec != std::errc()) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(read.ptr - rest.data()));
  if (braced && !skip("}")) return std::nullopt;
  at = text.size() - rest.size();
  return exponent;
}

// A number that begins exactly at `at`, sign included; `at` moves behind what was read.
std::optional<WrittenNumber> number_at(std::string_view text, std::size_t& at) {
  std::size_t i = at;
  const bool negative = i < text.size() && text[i] == '-';
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  if (i < text.size() && text[i] == '$') ++i;
  std::string figure = digits(text, i);
  if (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) {
    figure += text[i++];
    while (i < text.size() && is_digit(text[i])) figure += text[i++];
  }
  if (figure.empty()) return std::nullopt;
  int exponent = 0;
  if (i + 1 < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    std::size_t j = i + 1 + (text[i + 1] == '-' || text[i + 1] == '+');
    if (j < text.size() && is_digit(text[j])) {
      const std::size_t begin = j;
      while (j < text.size() && is_digit(text[j])) ++j;
      exponent =
          std::atoi(std::string(text.substr(begin, std::min<std::size_t>(j - begin, 6))).c_str());
      if (text[i + 1] == '-') exponent = -exponent;
      i = j;
    }
  }
  if (const auto more = power_of_ten(text, i)) exponent += std::clamp(*more, -99999, 99999);
  Number value = Number::decimal(figure, exponent);

  // A fraction, alone or behind a whole number: 3/4, 1 1/2.
  std::size_t j = i;
  if (j + 1 < text.size() && text[j] == ' ' && is_digit(text[j + 1])) {
    const std::size_t mixed = j + 1;
    j = mixed;
    const std::string top = digits(text, j);
    if (j + 1 < text.size() && text[j] == '/' && is_digit(text[j + 1])) {
      ++j;
      value = value + Number::decimal(top) / Number::decimal(digits(text, j));
      i = j;
    }
  } else if (j + 1 < text.size() && text[j] == '/' && is_digit(text[j + 1])) {
    ++j;
    value = value / Number::decimal(digits(text, j));
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
  if (!number.value.finite()) return std::nullopt;  // "1/0" is no number, and no 0 either
  return number;
}

}  // namespace

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

std::optional<Number> evaluate(std::string_view text, const std::function<double(char)>& variable) {
  if (text.size() > 4096) return std::nullopt;
  const std::string plain = plain_notation(std::string(text));
  return Evaluator(plain, variable).value();
}

bool same_expression(std::string_view a, std::string_view b, double tolerance) {
  // Irrational points away from 0 and 1: positive, where roots and logarithms exist, and then,
  // where both have a value, with other signs, which tell |x| from x.
  constexpr std::array<double, 4> kPoints = {1.7320508, 2.2360680, 0.5772157, 3.3166248};
  constexpr std::array<std::array<int, 2>, 3> kSigns = {{{1, 1}, {-1, -1}, {1, -1}}};
  for (const auto& signs : kSigns) {
    for (const double point : kPoints) {
      const auto variable = [&](char name) {
        return signs[name % 2 != 0] * (point + 0.1931 * (name % 32));
      };
      const auto left = evaluate(a, variable), right = evaluate(b, variable);
      const bool both = left && right;
      if (both ? !close(*left, *right, tolerance) : &signs == &kSigns.front()) return false;
    }
  }
  return true;
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
    if (c == '^' && at > 0 && !is_digit(text[at - 1])) {  // the exponent of a unit like m^2
      while (at < text.size() && std::string_view("^{(+-").find(text[at]) != std::string::npos)
        ++at;
      while (at < text.size() && is_digit(text[at])) ++at;
      continue;
    }
    if (is_digit(c)) {  // the number of a name like x2
      while (at < text.size() && is_digit(text[at])) ++at;
      continue;
    }
    ++at;
  }
  return last;
}

}  // namespace proctor
