// What stated arithmetic is made of, for the files that read it: tokens (arithmetic_tokens.cpp),
// the value of some of them (arithmetic_value.cpp), what stands beside them
// (arithmetic_beside.cpp), and what two unequal sides may mean (arithmetic_meaning.cpp,
// arithmetic_range.cpp).
#pragma once

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proctor::arithmetic {

using Integer = boost::multiprecision::cpp_int;
using Fraction = boost::multiprecision::cpp_rational;

// `spoiler`: not understood, it spoils what it touches; `boundary`: a mark beside expressions.
enum class Kind { number, sign, open, close, percent, equals, word, spoiler, boundary };

struct Token {
  Kind kind = Kind::boundary;
  char sign = 0;          // + - * / ^, and m for mod
  bool in_words = false;  // a sign that is spelt out
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
  bool is_sign(char which) const { return kind == Kind::sign && sign == which; }
};

class Tokens {
 public:
  explicit Tokens(std::string_view text);

  std::size_t size() const { return list_.size(); }
  const Token& operator[](std::size_t i) const { return list_[i]; }
  std::span<const Token> between(std::size_t first, std::size_t past) const {
    return std::span(list_).subspan(first, past - first);
  }

  std::string_view text(std::size_t first, std::size_t past) const;
  std::string word(std::size_t i) const;    // in lower case
  char32_t character(std::size_t i) const;  // its first
  std::size_t line_start(std::size_t i) const;

  bool is_word(std::size_t i) const { return i < size() && list_[i].kind == Kind::word; }
  bool is_variable(std::size_t i) const;  // or may be one
  // A sign that belongs to the number behind it: glued to it, with a blank before.
  bool is_unary(std::size_t i) const;
  // Whether the expression that ends at `last` is a right side, after which a new one begins.
  bool is_behind_equals(std::size_t last) const;

 private:
  std::string_view text_;
  std::vector<Token> list_;
};

// One side of an `=`.
struct Side {
  std::size_t first = 0, past = 0;  // tokens
  std::optional<Fraction> value;    // none: division by zero, too large
};
bool is_lone_number(const Tokens& tokens, const Side& side);

inline bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// False where the tokens are no expression after all.
bool evaluate(std::span<const Token> tokens, std::optional<Fraction>& value);

// Whether what stands before or behind an expression is joined to it, or makes another of it.
bool is_spoiled_before(const Tokens& tokens, std::size_t first);
bool is_spoiled_behind(const Tokens& tokens, std::size_t past);
// A number that has a name: "Option 1 = 10", "the sum of 3 and 4 = 7", "in dozens, 2 = 24".
bool is_named_number(const Tokens& tokens, const Side& side);
// A word behind a number that may be its unit or scale.
bool may_be_unit(const Tokens& tokens, std::size_t i);

// The line counts in other numerals, or around: "in binary, 101 + 1 = 110".
bool has_other_numerals(const Tokens& tokens, std::size_t equals);
// A side is no difference: "Chapters 5-7 = 3", "2020-2024 = 4 years", "9-5 = 8 hours".
bool is_range(const Tokens& tokens, const Side& left, const Side& right);
// The sides differ, and may still mean the same, or nobody says that they are equal.
bool means_another(const Tokens& tokens, const Side& left, const Side& right);

}  // namespace proctor::arithmetic
