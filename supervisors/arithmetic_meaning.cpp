// What two sides that are not equal may mean all the same: another unit, a quotient's whole part,
// a range (arithmetic_range.cpp), a claim that nobody makes.
//
// Blind spot: a denial that does not stand beside the equation is not seen.
#include <array>

#include "supervisors/arithmetic_parts.h"

namespace proctor::arithmetic {
namespace {

// They say that what stands beside them is not so, or only thought of.
constexpr std::string_view kDenied[] = {"not",   "no",        "isn",    "if",      "false",
                                        "wrong", "incorrect", "untrue", "suppose", "assume",
                                        "never", "unless",    "whether"};
constexpr std::string_view kHours[] = {"am", "pm", "a", "p", "o"};  // "a.m.", "o'clock"
constexpr std::string_view kOtherNumerals[] = {"binary",      "octal", "hex",
                                               "hexadecimal", "mod",   "modulo"};

// "45 + 15 = 1 hour", "3 * 4 = 1 dozen": the same in a unit of the right side's own.
bool is_other_unit(const Tokens& tokens, const Side& left, const Side& right) {
  const std::size_t past = right.past;
  if (!may_be_unit(tokens, past)) return false;
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
bool has_loose_percent(const Tokens& tokens, const Side& side) {
  const auto is_sum = [&](std::size_t i) {
    return tokens[i].is_sign('+') || tokens[i].is_sign('-');
  };
  for (std::size_t i = side.first + 1; i + 2 < side.past; ++i)
    if (is_sum(i) && tokens[i - 1].kind != Kind::percent && tokens[i + 2].kind == Kind::percent &&
        (i + 3 == side.past || is_sum(i + 3)))
      return true;
  return false;
}

// "15 / 60 * 100 = 25%": the sign says once more what was computed.
bool is_percent_twice(const Tokens& tokens, const Side& left, const Side& right) {
  const auto has_percent = [&](const Side& side) {
    return std::ranges::any_of(tokens.between(side.first, side.past),
                               [](const Token& token) { return token.kind == Kind::percent; });
  };
  if (!left.value || !right.value || (!has_percent(left) && !has_percent(right))) return false;
  return *left.value == 100 * *right.value || *right.value == 100 * *left.value;
}

// "17 / 5 = 3 (remainder 2)", "17 / 5 = 4, rounded up": words on the line may say that a whole
// number is meant.
bool is_whole_quotient(const Tokens& tokens, const Side& left, const Side& right) {
  if (!left.value || !right.value || !is_lone_number(tokens, right)) return false;
  const bool divides = std::ranges::any_of(tokens.between(left.first, left.past),
                                           [](const Token& token) { return token.is_sign('/'); });
  const bool whole = boost::multiprecision::denominator(*right.value) == 1;
  if (!divides || !whole || abs(Fraction(*left.value - *right.value)) >= 1) return false;
  for (std::size_t i = tokens.line_start(left.first); i < left.first; ++i)
    if (tokens.is_word(i) && (tokens.word(i) == "quotient" || tokens.word(i) == "whole"))
      return true;
  for (std::size_t i = right.past; i < tokens.size() && !tokens[i].line_before; ++i)
    if (tokens.is_word(i)) return true;
  return false;
}

// "2 + 2 = 5 is wrong", "It is false that 2 + 2 = 5", "2 + 2 = 5? No.", "12 + 5 = 5 pm".
bool is_not_claimed(const Tokens& tokens, const Side& left, const Side& right) {
  std::size_t before = left.first;
  if (before > 1 && tokens.is_word(before - 1) && tokens.word(before - 1) == "that") --before;
  if (before > 0 && tokens.is_word(before - 1) && is_one_of(tokens.word(before - 1), kDenied))
    return true;
  for (std::size_t i = right.past; i < std::min(right.past + 3, tokens.size()); ++i) {
    if (tokens[i].line_before) return false;
    if (tokens[i].kind == Kind::boundary && tokens.character(i) == '?') return true;
    if (!tokens.is_word(i)) continue;
    if (is_one_of(tokens.word(i), kDenied) ||
        (i == right.past && is_one_of(tokens.word(i), kHours)))
      return true;
  }
  return false;
}

}  // namespace

bool has_other_numerals(const Tokens& tokens, std::size_t equals) {
  for (std::size_t i = tokens.line_start(equals);
       i < tokens.size() && (i <= equals || !tokens[i].line_before); ++i) {
    if (!tokens.is_word(i)) continue;
    const std::string word = tokens.word(i);
    if (is_one_of(word, kOtherNumerals)) return true;
    if (word == "base" && i + 1 < tokens.size() && tokens[i + 1].kind == Kind::number) return true;
  }
  return false;
}

bool means_another(const Tokens& tokens, const Side& left, const Side& right) {
  if (left.value == right.value) return false;
  return has_loose_percent(tokens, left) || has_loose_percent(tokens, right) ||
         is_other_unit(tokens, left, right) || is_percent_twice(tokens, left, right) ||
         is_whole_quotient(tokens, left, right) || is_not_claimed(tokens, left, right) ||
         is_range(tokens, left, right);
}

}  // namespace proctor::arithmetic
