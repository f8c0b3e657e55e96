// Finding and evaluating stated arithmetic.
//
// Why not in the sandbox: an expression here is data for a parser with five operators and bounds on
// size, not a program, and exact fractions know that 0.1 + 0.2 = 0.3. Costs microseconds a step.
// Blind spot: implicit multiplication, factorials, roots and units are left alone, and so is what
// stands behind a sign that is not understood, which may be an operator.
#include "supervisors/arithmetic.h"

#include <algorithm>
#include <array>
#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <span>

#include "runtime/core/text.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

using Integer = boost::multiprecision::cpp_int;
using Fraction = boost::multiprecision::cpp_rational;

constexpr std::size_t kMostDigits = 1000;  // of one number
constexpr std::size_t kMostTokens = 512;   // of one side
constexpr unsigned kMostBits = 1 << 15;    // of a value's numerator or denominator

enum class Kind { number, sign, open, close, percent, equals, word, spoiler, boundary };

struct Token {
  Kind kind = Kind::boundary;
  char sign = 0;  // + - * / ^, and m for mod
  Fraction value;
  std::size_t begin = 0, end = 0;  // in the text
  bool blank_before = false, line_before = false;

  bool is_operand_end() const {
    return kind == Kind::number || kind == Kind::close || kind == Kind::percent;
  }
  bool is_operand_start() const { return kind == Kind::number || kind == Kind::open; }
  bool is_expression() const {
    return is_operand_end() || kind == Kind::sign || kind == Kind::open;
  }
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_letter_beyond_ascii(char32_t point) {
  const CharacterKind kind = kind_of(point);
  return kind == CharacterKind::letter || kind == CharacterKind::katakana ||
         kind == CharacterKind::single || kind == CharacterKind::extend;
}

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// What makes another number of the expression that it stands before, `of` between them or not.
constexpr std::string_view kBefore[] = {
    "plus",     "minus",     "times",   "by",       "divided by", "multiplied by", "over",
    "off",      "choose",    "mod",     "modulo",   "base",       "log",           "ln",
    "lg",       "logarithm", "sqrt",    "root",     "square",     "cube",          "power",
    "exp",      "sin",       "cos",     "tan",      "sine",       "cosine",        "tangent",
    "abs",      "absolute",  "value",   "max",      "maximum",    "min",           "minimum",
    "gcd",      "lcm",       "hcf",     "average",  "avg",        "mean",          "median",
    "inverse",  "factorial", "half",    "third",    "difference", "remainder",     "quarter",
    "negative", "twice",     "thrice",  "double",   "triple",     "reciprocal",    "one",
    "two",      "three",     "four",    "five",     "six",        "seven",         "eight",
    "nine",     "ten",       "hundred", "thousand", "million",    "ceil",          "floor",
    "round"};
// What makes another number of the one that it stands behind.
constexpr std::string_view kBehind[] = {"plus", "minus",     "times",  "divided", "multiplied",
                                        "over", "squared",   "cubed",  "mod",     "modulo",
                                        "r",    "factorial", "choose", "half"};
// Between two numbers they make one thing of both: "from 3 to 4 + 5".
constexpr std::string_view kBetween[] = {"and", "or", "to", "from", "with"};
// A word behind a number that is neither its unit nor its scale.
constexpr std::string_view kGoesOn[] = {"and",  "or",      "so",    "but", "which", "then",
                                        "thus", "because", "since", "as",  "in",    "for"};
// They say that what stands beside them is not so, or only thought of.
constexpr std::string_view kDenied[] = {"not",   "no",        "isn",    "if",      "false",
                                        "wrong", "incorrect", "untrue", "suppose", "assume",
                                        "never", "unless",    "whether"};
constexpr std::string_view kHours[] = {"am", "pm", "a", "p", "o"};  // "a.m.", "o'clock"
constexpr std::string_view kOtherNumerals[] = {"binary",      "octal", "hex",
                                               "hexadecimal", "mod",   "modulo"};

// --- text to tokens ---

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> tokens() {
    while (at_ < text_.size()) step();
    settle_words();
    settle_bullets();
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void add(Kind kind, std::size_t length, char sign = 0) {
    Token token{.kind = kind, .sign = sign, .begin = at_, .end = at_ + length};
    token.blank_before = std::exchange(blank_, false);
    token.line_before = std::exchange(line_, false) || tokens_.empty();
    tokens_.push_back(std::move(token));
    at_ += length;
  }

  void blank(std::size_t length, bool line) {
    blank_ = true;
    line_ = line_ || line;
    at_ += length;
  }

  void step() {
    const char c = peek();
    if (c == '\n') return blank(1, true);
    if (c == ' ' || c == '\t' || c == '\r') return blank(1, false);
    if (c == '$' || c == '&') {
      ++at_;
      return;
    }
    if (c == '\\') return command();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
    if (is_letter(c)) return word();
    if (static_cast<unsigned char>(c) >= 0x80) return wide();
    if (std::string_view("=<>!:~").find(c) != std::string_view::npos) return relation();
    if (c == '*' && peek(1) == '*') return stars();
    if (std::string_view("+-*/^").find(c) != std::string_view::npos) return add(Kind::sign, 1, c);
    if (c == '(') return add(Kind::open, 1);
    if (c == ')') return add(Kind::close, 1);
    if (c == '%') return percent(1);
    add(Kind::boundary, 1);
  }

  void command() {
    for (const std::string_view skipped : {"\\(", "\\)", "\\[", "\\]", "\\$"})
      if (starts(skipped)) {
        at_ += 2;
        return;
      }
    if (starts("\\\\")) return blank(2, true);
    if (starts("\\%")) return percent(2);
    std::size_t length = 1;
    while (is_letter(peek(length)) && peek(length) != '_') ++length;
    const std::string_view name = text_.substr(at_ + 1, length - 1);
    if (name == "times" || name == "cdot") return add(Kind::sign, length, '*');
    if (name == "div") return add(Kind::sign, length, '/');
    add(Kind::spoiler, std::max<std::size_t>(length, std::min<std::size_t>(2, text_.size() - at_)));
  }

  void percent(std::size_t length) {
    const bool behind_number = !tokens_.empty() && tokens_.back().kind == Kind::number;
    add(behind_number ? Kind::percent : Kind::spoiler, length);
  }

  void number() {
    std::size_t length = 0;
    std::string digits;
    while (is_digit(peek(length))) digits += peek(length++);
    const auto group_follows = [&] {
      return peek(length) == ',' && is_digit(peek(length + 1)) && is_digit(peek(length + 2)) &&
             is_digit(peek(length + 3)) && !is_digit(peek(length + 4));
    };
    if (!digits.empty() && digits.size() <= 3)
      while (group_follows()) {
        digits.append(text_.substr(at_ + length + 1, 3));
        length += 4;
      }
    std::size_t decimals = 0;
    if (peek(length) == '.' && is_digit(peek(length + 1))) {
      ++length;
      for (; is_digit(peek(length)); ++length, ++decimals) digits += peek(length);
    }
    if (digits.size() > kMostDigits) return add(Kind::spoiler, length);
    add(Kind::number, length);
    // A leading zero would make it octal.
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
    const Integer whole(digits.empty() ? "0" : digits);
    tokens_.back().value =
        Fraction(whole, boost::multiprecision::pow(Integer(10), static_cast<unsigned>(decimals)));
  }

  void word() {
    std::size_t length = 0;
    while (is_letter(peek(length)) || is_digit(peek(length))) ++length;
    const bool behind_number = !tokens_.empty() && tokens_.back().kind == Kind::number;
    const bool percent = behind_number && lower_ascii(text_.substr(at_, length)) == "percent";
    add(percent ? Kind::percent : Kind::word, length);
  }

  // A run of comparison signs: only a lone `=` is one of ours.
  void relation() {
    std::size_t length = 0;
    while (peek(length) != '\0' &&
           std::string_view("=<>!:~").find(peek(length)) != std::string_view::npos)
      ++length;
    if (length == 1 && peek() == '=') return add(Kind::equals, 1);
    const bool factorial =
        peek() == '!' && !blank_ && !tokens_.empty() && tokens_.back().is_operand_end();
    add(factorial ? Kind::spoiler : Kind::boundary, length);
  }

  // `**` is a power between two operands, and bold print elsewhere.
  void stars() {
    std::size_t next = 2;
    while (peek(next) == ' ') ++next;
    const bool operand = is_digit(peek(next)) || peek(next) == '(' || peek(next) == '.';
    if (operand && !tokens_.empty() && tokens_.back().is_operand_end())
      return add(Kind::sign, 2, '^');
    add(Kind::boundary, 2);
  }

  // Beyond ASCII: operators and blanks that print as such; letters; punctuation and pictures, which
  // stand beside an expression; anything else (roots, exponents, degrees) spoils what it touches.
  void wide() {
    const auto [code, length] = decode(text_, at_);
    switch (code) {
      case 0xD7:    // ×
      case 0xB7:    // ·
      case 0x22C5:  // dot operator
      case 0x2217:  // asterisk operator
        return add(Kind::sign, length, '*');
      case 0xF7:  // ÷
        return add(Kind::sign, length, '/');
      case 0x2212:  // minus
        return add(Kind::sign, length, '-');
      case 0xA0:
      case 0x2009:
      case 0x202F:
        return blank(length, false);
      default:
        break;
    }
    if (is_letter_beyond_ascii(code)) return add(Kind::word, length);
    const bool beside = (code >= 0x2010 && code <= 0x2043 && code != 0x2030) ||
                        (code >= 0x2190 && code <= 0x21FF) || (code >= 0x2234 && code <= 0x2235) ||
                        (code >= 0x2248 && code <= 0x2265) || (code >= 0x2500 && code <= 0x27BF) ||
                        (code >= 0x3000 && code <= 0x303F) || code >= 0x1F000 || code == 0xAB ||
                        code == 0xBB;
    add(beside ? Kind::boundary : Kind::spoiler, length);
  }

  std::string word_at(std::size_t i) const {
    return lower_ascii(text_.substr(tokens_[i].begin, tokens_[i].end - tokens_[i].begin));
  }

  // The sign that the word at `i` is between two expressions; 0: none.
  char sign_of_word(std::size_t i) const {
    const std::string word = word_at(i);
    if (word == "plus") return '+';
    if (word == "minus") return '-';
    if (word == "times" || word == "multiplied by") return '*';
    if (word == "divided by") return '/';
    if (word == "mod" || word == "modulo") return 'm';
    return word == "of" && is_share(i) ? '*' : '\0';
  }

  // "20% of 50", "1/2 of 50"; but "2 of 8" is no product.
  bool is_share(std::size_t of) const {
    return tokens_[of - 1].kind != Kind::number ||
           (of > 1 && tokens_[of - 2].kind == Kind::sign && tokens_[of - 2].sign == '/');
  }

  void join_by() {
    for (std::size_t i = 0; i + 1 < tokens_.size(); ++i) {
      if (tokens_[i].kind != Kind::word || word_at(i + 1) != "by") continue;
      if (word_at(i) != "divided" && word_at(i) != "multiplied") continue;
      if (text_.substr(tokens_[i].end, tokens_[i + 1].begin - tokens_[i].end) != " ") continue;
      tokens_[i].end = tokens_[i + 1].end;
      tokens_.erase(tokens_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
  }

  // A lone x between two expressions is most likely meant as a times sign, which is not ours to
  // decide.
  void settle_words() {
    join_by();
    for (std::size_t i = 1; i + 1 < tokens_.size(); ++i) {
      if (tokens_[i].kind != Kind::word) continue;
      if (!tokens_[i - 1].is_operand_end() || !tokens_[i + 1].is_operand_start()) continue;
      const char sign = sign_of_word(i);
      if (sign != '\0' && tokens_[i].blank_before && tokens_[i + 1].blank_before) {
        tokens_[i].kind = Kind::sign;
        tokens_[i].sign = sign;
      } else if (const std::string word = word_at(i); word == "x" || word == "of") {
        tokens_[i].kind = Kind::spoiler;
      }
    }
  }

  // "- 3 + 4 = 7": an item of a list, not minus three.
  void settle_bullets() {
    std::string seen;
    for (std::size_t i = 0; i + 1 < tokens_.size(); ++i) {
      Token& token = tokens_[i];
      if (token.kind != Kind::sign || !token.line_before || !tokens_[i + 1].blank_before) continue;
      if (token.sign == '/' || token.sign == '^' || token.sign == 'm') continue;
      const bool behind_operand = i > 0 && tokens_[i - 1].is_operand_end();
      const bool inside =
          i > 0 && (tokens_[i - 1].kind == Kind::sign || tokens_[i - 1].kind == Kind::equals);
      if (inside) continue;
      // Behind a number it may as well go on from the line before.
      if (behind_operand && seen.find(token.sign) == std::string::npos) {
        token.kind = Kind::spoiler;
      } else {
        token.kind = Kind::boundary;
        seen += token.sign;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool blank_ = false, line_ = false;
  std::vector<Token> tokens_;
};

// --- tokens to a value ---

bool too_large(const Fraction& value) {
  using boost::multiprecision::denominator;
  using boost::multiprecision::numerator;
  const Integer top = abs(numerator(value));
  return (top != 0 && msb(top) > kMostBits) || msb(denominator(value)) > kMostBits;
}

std::optional<Fraction> from_double(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  return Fraction(value);
}

std::optional<Fraction> power(const Fraction& base, const Fraction& exponent) {
  using boost::multiprecision::denominator;
  using boost::multiprecision::numerator;
  const double size = exponent.convert_to<double>();
  if (base == 0 && exponent < 0) return std::nullopt;
  if (denominator(exponent) == 1 && std::abs(size) <= 10000) {
    const auto times = static_cast<unsigned>(std::abs(size));
    const Integer top = abs(numerator(base));
    const unsigned bits = std::max(top == 0 ? 0u : msb(top), msb(denominator(base))) + 1;
    if (static_cast<std::uint64_t>(bits) * times <= kMostBits) {
      const Integer up = boost::multiprecision::pow(numerator(base), times);
      const Integer down = boost::multiprecision::pow(denominator(base), times);
      return exponent < 0 ? Fraction(down, up) : Fraction(up, down);
    }
  }
  return from_double(std::pow(base.convert_to<double>(), size));
}

// Recursive descent over the tokens of one side. `broken`: no expression after all; no value
// otherwise: division by zero or too large.
class Evaluator {
 public:
  explicit Evaluator(std::span<const Token> tokens) : tokens_(tokens) {}

  std::optional<Fraction> value() {
    auto result = sum();
    if (at_ != tokens_.size()) broken_ = true;
    return result;
  }
  bool broken() const { return broken_; }

 private:
  using Value = std::optional<Fraction>;

  bool take(Kind kind, char sign = 0) {
    if (at_ >= tokens_.size() || tokens_[at_].kind != kind) return false;
    if (kind == Kind::sign && tokens_[at_].sign != sign) return false;
    ++at_;
    return true;
  }

  static Value checked(Fraction value) {
    if (too_large(value)) return std::nullopt;
    return value;
  }

  Value sum() {
    Value left = product();
    for (;;) {
      const bool plus = take(Kind::sign, '+');
      if (!plus && !take(Kind::sign, '-')) return left;
      const Value right = product();
      if (left && right)
        left = checked(plus ? Fraction(*left + *right) : Fraction(*left - *right));
      else
        left.reset();
    }
  }

  Value product() {
    Value left = signed_power();
    for (;;) {
      char sign = '*';
      if (!take(Kind::sign, '*')) {
        sign = take(Kind::sign, '/') ? '/' : 'm';
        if (sign == 'm' && !take(Kind::sign, 'm')) return left;
      }
      const Value right = signed_power();
      if (!left || !right)
        left.reset();
      else if (sign == '*')
        left = checked(Fraction(*left * *right));
      else if (sign == 'm')
        left = remainder(*left, *right);
      else if (*right == 0)
        left.reset();
      else
        left = checked(Fraction(*left / *right));
    }
  }

  // Of whole numbers that are not negative: about others people do not agree.
  static Value remainder(const Fraction& left, const Fraction& right) {
    using boost::multiprecision::denominator;
    using boost::multiprecision::numerator;
    if (denominator(left) != 1 || denominator(right) != 1 || left < 0 || right <= 0)
      return std::nullopt;
    return Fraction(Integer(numerator(left) % numerator(right)));
  }

  // -2^2 is -(2^2), and 2^-1 is a half.
  Value signed_power() {
    if (take(Kind::sign, '+')) return signed_power();
    if (take(Kind::sign, '-')) {
      Value value = signed_power();
      if (value) *value = -*value;
      return value;
    }
    Value base = atom();
    if (!take(Kind::sign, '^')) return base;
    const Value exponent = signed_power();
    if (!base || !exponent) return std::nullopt;
    Value raised = power(*base, *exponent);
    return raised ? checked(*raised) : raised;
  }

  Value atom() {
    if (take(Kind::open)) {
      Value inner = sum();
      if (!take(Kind::close)) broken_ = true;
      return inner;
    }
    if (at_ < tokens_.size() && tokens_[at_].kind == Kind::number) {
      Fraction value = tokens_[at_++].value;
      if (take(Kind::percent)) value /= 100;
      return value;
    }
    broken_ = true;
    return std::nullopt;
  }

  std::span<const Token> tokens_;
  std::size_t at_ = 0;
  bool broken_ = false;
};

// --- the two sides of an `=` ---

struct Side {
  std::size_t first = 0, past = 0;  // tokens
  std::optional<Fraction> value;
};

class Finder {
 public:
  explicit Finder(std::string_view text) : text_(text), tokens_(Lexer(text).tokens()) {}

  std::vector<std::pair<Side, Side>> pairs() const {
    std::vector<std::pair<Side, Side>> found;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].kind != Kind::equals) continue;
      auto left = left_of(i);
      auto right = right_of(i);
      if (!left || !right || has_other_numerals(i) || means_another(*left, *right)) continue;
      found.emplace_back(std::move(*left), std::move(*right));
    }
    return found;
  }

  std::string text_of(const Side& side) const {
    const std::size_t begin = tokens_[side.first].begin;
    std::string text(text_.substr(begin, tokens_[side.past - 1].end - begin));
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  }

 private:
  // A sign that belongs to the number behind it: glued to it, with a blank before.
  bool is_unary(std::size_t i) const {
    return tokens_[i].kind == Kind::sign && (tokens_[i].sign == '-' || tokens_[i].sign == '+') &&
           i + 1 < tokens_.size() && tokens_[i + 1].is_operand_start() &&
           !tokens_[i + 1].blank_before;
  }

  // A new line begins a new expression behind a complete one.
  bool is_cut(std::size_t i) const {
    return tokens_[i].line_before && i > 0 && tokens_[i - 1].is_operand_end() &&
           (tokens_[i].is_operand_start() || is_unary(i));
  }

  std::string word(std::size_t i) const {
    return lower_ascii(text_.substr(tokens_[i].begin, tokens_[i].end - tokens_[i].begin));
  }

  bool is_word(std::size_t i) const { return i < tokens_.size() && tokens_[i].kind == Kind::word; }

  std::size_t line_start(std::size_t i) const {
    while (i > 0 && !tokens_[i].line_before) --i;
    return i;
  }

  // The line counts in other numerals, or around a clock: "in binary, 101 + 1 = 110".
  bool has_other_numerals(std::size_t equals) const {
    for (std::size_t i = line_start(equals);
         i < tokens_.size() && (i <= equals || !tokens_[i].line_before); ++i) {
      if (!is_word(i)) continue;
      const std::string word = this->word(i);
      if (is_one_of(word, kOtherNumerals)) return true;
      if (word == "base" && i + 1 < tokens_.size() && tokens_[i + 1].kind == Kind::number)
        return true;
    }
    return false;
  }

  // "45 + 15 = 1 hour", "3 * 4 = 1 dozen": the same in a unit of the right side's own.
  bool is_other_unit(const Side& left, const Side& right) const {
    const std::size_t past = right.past;
    if (!is_word(past) || tokens_[past].line_before || is_one_of(word(past), kGoesOn)) return false;
    if (!left.value || !right.value || *left.value == 0 || *right.value == 0) return false;
    Fraction ratio = *left.value / *right.value;
    if (ratio < 1) ratio = 1 / ratio;
    constexpr std::array kRatios{7, 12, 16, 24, 36, 52, 60, 365, 1440, 3600};
    if (std::any_of(kRatios.begin(), kRatios.end(), [&](int unit) { return ratio == unit; }))
      return true;
    Fraction ten = 10;
    for (int power = 1; power <= 12; ++power, ten *= 10)
      if (ratio == ten) return true;
    return false;
  }

  // "100 - 20% = 80": of what the percent are is not written.
  bool has_loose_percent(const Side& side) const {
    const auto is_sum = [&](std::size_t i) {
      return tokens_[i].kind == Kind::sign && (tokens_[i].sign == '+' || tokens_[i].sign == '-');
    };
    for (std::size_t i = side.first + 1; i + 2 < side.past; ++i)
      if (is_sum(i) && tokens_[i - 1].kind != Kind::percent &&
          tokens_[i + 2].kind == Kind::percent && (i + 3 == side.past || is_sum(i + 3)))
        return true;
    return false;
  }

  // "15 / 60 * 100 = 25%": the sign says once more what was computed.
  bool is_percent_twice(const Side& left, const Side& right) const {
    const auto has_percent = [&](const Side& side) {
      return std::any_of(tokens_.begin() + static_cast<std::ptrdiff_t>(side.first),
                         tokens_.begin() + static_cast<std::ptrdiff_t>(side.past),
                         [](const Token& token) { return token.kind == Kind::percent; });
    };
    if (!left.value || !right.value || (!has_percent(left) && !has_percent(right))) return false;
    return *left.value == 100 * *right.value || *right.value == 100 * *left.value;
  }

  // "17 / 5 = 3 (remainder 2)", "17 / 5 = 4, rounded up": words on the line may say that a whole
  // number is meant.
  bool is_whole_quotient(const Side& left, const Side& right) const {
    if (!left.value || !right.value || !is_lone_number(right)) return false;
    const bool divides = std::any_of(
        tokens_.begin() + static_cast<std::ptrdiff_t>(left.first),
        tokens_.begin() + static_cast<std::ptrdiff_t>(left.past),
        [](const Token& token) { return token.kind == Kind::sign && token.sign == '/'; });
    const bool whole = boost::multiprecision::denominator(*right.value) == 1;
    if (!divides || !whole || abs(Fraction(*left.value - *right.value)) >= 1) return false;
    for (std::size_t i = line_start(left.first); i < left.first; ++i)
      if (is_word(i) && (word(i) == "quotient" || word(i) == "whole")) return true;
    for (std::size_t i = right.past; i < tokens_.size() && !tokens_[i].line_before; ++i)
      if (is_word(i)) return true;
    return false;
  }

  // "2 + 2 = 5 is wrong", "It is false that 2 + 2 = 5", "2 + 2 = 5? No.", "12 + 5 = 5 pm".
  bool is_not_claimed(const Side& left, const Side& right) const {
    std::size_t before = left.first;
    if (before > 1 && is_word(before - 1) && word(before - 1) == "that") --before;
    if (before > 0 && is_word(before - 1) && is_one_of(word(before - 1), kDenied)) return true;
    for (std::size_t i = right.past; i < std::min(right.past + 3, tokens_.size()); ++i) {
      if (tokens_[i].line_before) return false;
      if (tokens_[i].kind == Kind::boundary && text_[tokens_[i].begin] == '?') return true;
      if (!is_word(i)) continue;
      if (is_one_of(word(i), kDenied) || (i == right.past && is_one_of(word(i), kHours)))
        return true;
    }
    return false;
  }

  // The sides differ, and may still mean the same, or nobody says that they are equal.
  bool means_another(const Side& left, const Side& right) const {
    if (left.value == right.value) return false;
    return has_loose_percent(left) || has_loose_percent(right) || is_other_unit(left, right) ||
           is_percent_twice(left, right) || is_whole_quotient(left, right) ||
           is_not_claimed(left, right);
  }

  // Whether the word at `at` makes another number of the expression behind it.
  bool changes_what_follows(std::size_t at) const {
    const std::string word = this->word(at);
    if (word.size() == 1 || is_one_of(word, kBefore)) return true;
    if (word == "of") return at > 0 && is_word(at - 1) && is_one_of(this->word(at - 1), kBefore);
    return is_one_of(word, kBetween) && at > 0 && tokens_[at - 1].is_operand_end() &&
           !is_behind_equals(at - 1);
  }

  // Whether the expression that ends at `last` is a right side, after which a new one begins.
  bool is_behind_equals(std::size_t last) const {
    while (last > 0 && tokens_[last].is_expression()) --last;
    return tokens_[last].kind == Kind::equals;
  }

  // "2 and a half", "2 and 1/2", "3 remainder 2", "3, with a remainder of 2".
  bool goes_on_behind(std::size_t past) const {
    if (is_word(past) && word(past) == "and" && past + 1 < tokens_.size()) {
      const bool fraction = past + 2 < tokens_.size() && tokens_[past + 1].kind == Kind::number &&
                            tokens_[past + 2].kind == Kind::sign && tokens_[past + 2].sign == '/';
      if (fraction || (is_word(past + 1) && (word(past + 1) == "a" || word(past + 1) == "one")))
        return true;
    }
    for (std::size_t i = past; i < std::min(past + 4, tokens_.size()); ++i) {
      if (tokens_[i].line_before || (!is_word(i) && text_[tokens_[i].begin] != ',')) return false;
      if (word(i) == "remainder") return true;
    }
    return false;
  }

  // Whether a mark parts what stands around it, as punctuation does. What is not known to may as
  // well be an operator: "6 @ 5", "5 – 3".
  bool parts(std::size_t mark) const {
    const char32_t code = decode(text_, tokens_[mark].begin).point;
    if (code == '|') return text_[tokens_[line_start(mark)].begin] == '|';  // a row of a table
    if (code < 0x80)
      return std::string_view(".,;:?!<=>[]{}\"'`*").find(static_cast<char>(code)) !=
             std::string_view::npos;
    const bool arrow = code >= 0x2190 && code <= 0x21FF;
    if (arrow && mark > 0)
      return is_behind_equals(mark - 1) || (is_word(mark - 1) && !is_variable(mark - 1));
    return (code >= 0x2018 && code <= 0x201F) || code == 0xAB || code == 0xBB ||
           (code >= 0x2234 && code <= 0x2235) || (code >= 0x2248 && code <= 0x2265) ||
           (code >= 0x3000 && code <= 0x303F);
  }

  // The marks [from, past) make one thing of what stands around them: what parts nothing, and
  // what is written without a blank between two operands: "3:4", "1,5", "1.2.3", "3{,}000".
  bool join(std::size_t from, std::size_t past) const {
    bool glued = from > 0 && tokens_[from - 1].is_operand_end() && tokens_[past].is_operand_start();
    for (std::size_t i = from; i < past; ++i) {
      if (!parts(i)) return true;
      const bool relates = std::string_view("<=>").find(text_[tokens_[i].begin]) !=
                           std::string_view::npos;  // "<<3*4=12>>12"
      glued = glued && !relates && !tokens_[i].blank_before;
    }
    return glued && !tokens_[past].blank_before;
  }

  bool is_joined_before(std::size_t first) const {
    const auto is_mark = [&](std::size_t i) { return tokens_[i].kind == Kind::boundary; };
    if (first == 0 || !is_mark(first - 1)) return false;
    const char32_t code = decode(text_, tokens_[first - 1].begin).point;
    if (code == '}') return true;  // of a command: "5 \text{ times } 3"
    if (code >= 0x2010 && code <= 0x2014 && !tokens_[first].blank_before) return true;  // "–3"
    std::size_t from = first - 1;
    while (from > 0 && is_mark(from - 1) && !tokens_[from].line_before) --from;
    return !tokens_[from].line_before && join(from, first);
  }

  bool is_joined_behind(std::size_t past) const {
    std::size_t to = past;
    while (to < tokens_.size() && tokens_[to].kind == Kind::boundary && !tokens_[to].line_before)
      ++to;
    if (to == past || to == tokens_.size() || tokens_[to].line_before) return false;
    const bool goes_on =
        tokens_[to].is_operand_start() || tokens_[to].kind == Kind::sign || is_variable(to);
    return goes_on && join(past, to);
  }

  // "1 dozen + 3": a unit in the middle of an expression.
  bool is_unit_of_sum(std::size_t past) const {
    return is_word(past) && past + 2 < tokens_.size() && tokens_[past + 1].kind == Kind::sign &&
           !tokens_[past + 1].line_before && tokens_[past + 2].is_operand_start() &&
           !is_one_of(word(past), kGoesOn);
  }

  // Whether what stands before the expression spoils it.
  bool spoiled_before(std::size_t first) const {
    if (first == 0) return false;
    const Token& token = tokens_[first];
    const Token& before = tokens_[first - 1];
    const bool is_sign = token.kind == Kind::sign;
    if (before.kind == Kind::equals) return false;
    if (token.line_before && !is_sign) return false;
    switch (before.kind) {
      case Kind::spoiler:
        return true;
      case Kind::word:
        if (is_sign)
          return !(is_unary(first) && token.blank_before) || changes_what_follows(first - 1);
        return !token.blank_before || changes_what_follows(first - 1);
      case Kind::boundary: {
        if (is_joined_before(first)) return true;
        if (!is_sign) return false;
        const char mark = text_[before.begin];
        const bool closes = mark == '}' || mark == ']' || mark == '|' || mark == '.';
        return !is_unary(first) || (closes && !token.blank_before);
      }
      default:
        return false;
    }
  }

  bool spoiled_behind(std::size_t past) const {
    if (past >= tokens_.size()) return false;
    const Token& behind = tokens_[past];
    if (behind.line_before) return false;
    if (behind.kind == Kind::spoiler) return true;
    if (behind.kind == Kind::word && (!behind.blank_before || is_one_of(word(past), kBehind)))
      return true;
    return is_joined_behind(past) || is_unit_of_sum(past) || goes_on_behind(past);
  }

  // Leaves out what parentheses that do not close inside it cut off: from the left, or the right.
  void cut_unbalanced(Side& side, bool keep_end) const {
    std::vector<std::size_t> open;
    std::size_t after_last = side.first, before_first = side.past;
    for (std::size_t i = side.first; i < side.past; ++i) {
      if (tokens_[i].kind == Kind::open) open.push_back(i);
      if (tokens_[i].kind != Kind::close) continue;
      if (!open.empty()) {
        open.pop_back();
        continue;
      }
      after_last = i + 1;
      before_first = std::min(before_first, i);
    }
    if (!open.empty()) {
      after_last = std::max(after_last, open.back() + 1);
      before_first = std::min(before_first, open.front());
    }
    if (keep_end)
      side.first = after_last;
    else
      side.past = before_first;
  }

  // Two operands side by side; nothing where there are none.
  std::optional<std::size_t> juxtaposed(const Side& side) const {
    for (std::size_t i = side.past; i-- > side.first + 1;)
      if (tokens_[i - 1].is_operand_end() && tokens_[i].is_operand_start()) return i;
    return std::nullopt;
  }

  bool is_variable(std::size_t i) const {
    return i < tokens_.size() &&
           (tokens_[i].kind == Kind::spoiler ||
            (tokens_[i].kind == Kind::word && tokens_[i].end - tokens_[i].begin == 1));
  }

  bool is_lone_number(const Side& side) const {
    std::size_t i = side.first;
    if (tokens_[i].kind == Kind::sign) ++i;
    if (i >= side.past || tokens_[i].kind != Kind::number) return false;
    ++i;
    if (i < side.past && tokens_[i].kind == Kind::percent) ++i;
    return i == side.past;
  }

  bool has_sign(const Side& side, std::string_view written) const {
    for (std::size_t i = side.first; i < side.past; ++i)
      if (tokens_[i].kind == Kind::sign && word(i) == written) return true;
    return false;
  }

  // A number that has a name: "Option 1 = 10", "the sum of 3 and 4 = 7", "in dozens, 2 = 24".
  bool is_named_number(const Side& side) const {
    if (side.first == 0 || !is_lone_number(side) || tokens_[side.first].line_before) return false;
    const Kind before = tokens_[side.first - 1].kind;
    return before == Kind::word || before == Kind::boundary;
  }

  // Words beside written signs, or for signs of different kinds: people do not agree what goes
  // first.
  bool has_unclear_order(const Side& side) const {
    std::set<char> in_words, written;
    for (std::size_t i = side.first; i < side.past; ++i) {
      if (tokens_[i].kind != Kind::sign || word(i) == "of") continue;
      (is_letter(text_[tokens_[i].begin]) ? in_words : written).insert(tokens_[i].sign);
    }
    return in_words.size() > 1 || (!in_words.empty() && !written.empty());
  }

  std::optional<Side> evaluated(Side side) const {
    if (side.first >= side.past || side.past - side.first > kMostTokens) return std::nullopt;
    if (has_unclear_order(side)) return std::nullopt;
    Evaluator evaluator(
        std::span<const Token>(tokens_.data() + side.first, side.past - side.first));
    side.value = evaluator.value();
    if (evaluator.broken()) return std::nullopt;
    return side;
  }

  std::optional<Side> left_of(std::size_t equals) const {
    Side side{.first = equals, .past = equals};
    while (side.first > 0 && tokens_[side.first - 1].is_expression() &&
           !(side.first < equals && is_cut(side.first)))
      --side.first;
    const std::size_t reached = side.first;
    if (reached == equals) return std::nullopt;
    const bool at_cut = is_cut(reached);
    if (!at_cut && spoiled_before(reached)) return std::nullopt;
    cut_unbalanced(side, true);
    if (side.first >= side.past) return std::nullopt;
    if (const auto at = juxtaposed(side)) {
      // "(2) 3 + 4 = 7" is numbered; everything else side by side is not ours to read.
      if (tokens_[*at - 1].kind != Kind::close || !tokens_[*at].blank_before ||
          tokens_[*at].kind != Kind::number)
        return std::nullopt;
      side.first = *at;
    }
    if (side.first != reached && tokens_[side.first].kind == Kind::sign &&
        (tokens_[side.first - 1].kind == Kind::close || !is_unary(side.first)))
      return std::nullopt;
    if (!at_cut && side.first == reached && reached > 0 &&
        tokens_[reached - 1].kind == Kind::word && word(reached - 1) == "of" &&
        (is_lone_number(side) || has_sign(side, "of")))
      return std::nullopt;
    if (is_named_number(side)) return std::nullopt;
    return evaluated(side);
  }

  std::optional<Side> right_of(std::size_t equals) const {
    Side side{.first = equals + 1, .past = equals + 1};
    while (side.past < tokens_.size() && tokens_[side.past].is_expression() &&
           !(side.past > side.first && is_cut(side.past)))
      ++side.past;
    const std::size_t reached = side.past;
    if (reached == side.first) return std::nullopt;
    const bool at_cut = reached < tokens_.size() && is_cut(reached);
    const bool opens = tokens_[reached - 1].kind == Kind::open;
    if (!at_cut && !opens && spoiled_behind(reached)) return std::nullopt;
    // A sign that waits for more is joined to something that is no expression.
    if (tokens_[reached - 1].kind == Kind::sign) return std::nullopt;
    cut_unbalanced(side, false);
    if (side.first >= side.past || juxtaposed(side)) return std::nullopt;
    // "17 = 2 mod 5" says what 17 is modulo 5.
    if (has_sign(side, "mod") || has_sign(side, "modulo")) return std::nullopt;
    // "7 (seven)" is 7; "2(x + 3)" and "2 (x + 3)" are not 2.
    if (side.past < reached && tokens_[side.past].kind == Kind::open &&
        (!tokens_[side.past].blank_before || !opens || is_variable(reached)))
      return std::nullopt;
    return evaluated(side);
  }

  std::string_view text_;
  std::vector<Token> tokens_;
};

std::string shown(const std::optional<Fraction>& value) {
  using boost::multiprecision::denominator;
  if (!value) return "";
  if (denominator(*value) == 1) {
    const std::string digits = boost::multiprecision::numerator(*value).str();
    if (digits.size() <= 30) return digits;
  }
  char text[40];
  std::snprintf(text, sizeof text, "%.10g", value->convert_to<double>());
  return text;
}

bool agree(const Fraction& a, const Fraction& b, double tolerance, double relative) {
  const Fraction difference = abs(Fraction(a - b));
  const Fraction largest = std::max(Fraction(abs(a)), Fraction(abs(b)));
  const Fraction allowed = relative > 0 ? Fraction(relative) * largest : Fraction(tolerance);
  return difference <= allowed + Fraction(1, 1000000000);
}

}  // namespace

std::vector<ArithmeticPair> arithmetic_pairs(std::string_view text, double tolerance,
                                             double relative) {
  std::vector<ArithmeticPair> pairs;
  const Finder finder(text);
  for (const auto& [left, right] : finder.pairs()) {
    ArithmeticPair pair{finder.text_of(left), finder.text_of(right), shown(left.value),
                        shown(right.value)};
    pair.conclusive = left.value && right.value;
    pair.agrees = pair.conclusive && agree(*left.value, *right.value, tolerance, relative);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

int verdict_of(const std::vector<ArithmeticPair>& pairs) {
  int verdict = pairs.empty() ? 0 : 1;
  for (const auto& pair : pairs) {
    if (pair.conclusive && !pair.agrees) return -1;
    if (!pair.conclusive) verdict = 0;
  }
  return verdict;
}

}  // namespace proctor
