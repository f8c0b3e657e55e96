// What stands beside an expression: words and marks that are joined to it, or make another of it.
//
// Blind spot: words are known by lists; what none of them has is prose.
#include "supervisors/arithmetic_parts.h"

namespace proctor::arithmetic {
namespace {

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

// Whether the word at `at` makes another number of the expression behind it.
bool changes_what_follows(const Tokens& tokens, std::size_t at) {
  const std::string word = tokens.word(at);
  if (word.size() == 1 || is_one_of(word, kBefore)) return true;
  if (word == "of")
    return at > 0 && tokens.is_word(at - 1) && is_one_of(tokens.word(at - 1), kBefore);
  return is_one_of(word, kBetween) && at > 0 && tokens[at - 1].is_operand_end() &&
         !tokens.is_behind_equals(at - 1);
}

// "2 and a half", "2 and 1/2", "3 remainder 2", "3, with a remainder of 2".
bool goes_on_behind(const Tokens& tokens, std::size_t past) {
  if (tokens.is_word(past) && tokens.word(past) == "and" && past + 1 < tokens.size()) {
    const bool fraction = past + 2 < tokens.size() && tokens[past + 1].kind == Kind::number &&
                          tokens[past + 2].is_sign('/');
    if (fraction || (tokens.is_word(past + 1) &&
                     (tokens.word(past + 1) == "a" || tokens.word(past + 1) == "one")))
      return true;
  }
  for (std::size_t i = past; i < std::min(past + 4, tokens.size()); ++i) {
    if (tokens[i].line_before || (!tokens.is_word(i) && tokens.character(i) != ',')) return false;
    if (tokens.word(i) == "remainder") return true;
  }
  return false;
}

// Whether a mark parts what stands around it, as punctuation does. What is not known to may as
// well be an operator: "6 @ 5", "5 – 3".
bool parts(const Tokens& tokens, std::size_t mark) {
  const char32_t code = tokens.character(mark);
  if (code == '|') return tokens.character(tokens.line_start(mark)) == '|';  // a row of a table
  if (code < 0x80)
    return std::u32string_view(U".,;:?!<=>[]{}\"'`*").find(code) != std::u32string_view::npos;
  const bool arrow = code >= 0x2190 && code <= 0x21FF;
  if (arrow && mark > 0)
    return tokens.is_behind_equals(mark - 1) ||
           (tokens.is_word(mark - 1) && !tokens.is_variable(mark - 1));
  return (code >= 0x2018 && code <= 0x201F) || code == 0xAB || code == 0xBB ||
         (code >= 0x2234 && code <= 0x2235) || (code >= 0x2248 && code <= 0x2265) ||
         (code >= 0x3000 && code <= 0x303F);
}

// The marks [from, past) make one thing of what stands around them: what parts nothing, and
// what is written without a blank between two operands: "3:4", "1,5", "1.2.3", "3{,}000".
bool join(const Tokens& tokens, std::size_t from, std::size_t past) {
  bool glued = from > 0 && tokens[from - 1].is_operand_end() && tokens[past].is_operand_start();
  for (std::size_t i = from; i < past; ++i) {
    if (!parts(tokens, i)) return true;
    const bool relates = std::u32string_view(U"<=>").find(tokens.character(i)) !=
                         std::u32string_view::npos;  // "<<3*4=12>>12"
    glued = glued && !relates && !tokens[i].blank_before;
  }
  return glued && !tokens[past].blank_before;
}

bool is_joined_before(const Tokens& tokens, std::size_t first) {
  const auto is_mark = [&](std::size_t i) { return tokens[i].kind == Kind::boundary; };
  if (first == 0 || !is_mark(first - 1)) return false;
  const char32_t code = tokens.character(first - 1);
  if (code == '}') return true;  // of a command: "5 \text{ times } 3"
  if (code >= 0x2010 && code <= 0x2014 && !tokens[first].blank_before) return true;  // "–3"
  std::size_t from = first - 1;
  while (from > 0 && is_mark(from - 1) && !tokens[from].line_before) --from;
  return !tokens[from].line_before && join(tokens, from, first);
}

bool is_joined_behind(const Tokens& tokens, std::size_t past) {
  std::size_t to = past;
  while (to < tokens.size() && tokens[to].kind == Kind::boundary && !tokens[to].line_before) ++to;
  if (to == past || to == tokens.size() || tokens[to].line_before) return false;
  const bool goes_on =
      tokens[to].is_operand_start() || tokens[to].kind == Kind::sign || tokens.is_variable(to);
  return goes_on && join(tokens, past, to);
}

// "1 dozen + 3": a unit in the middle of an expression.
bool is_unit_of_sum(const Tokens& tokens, std::size_t past) {
  return may_be_unit(tokens, past) && past + 2 < tokens.size() &&
         tokens[past + 1].kind == Kind::sign && !tokens[past + 1].line_before &&
         tokens[past + 2].is_operand_start();
}

}  // namespace

bool may_be_unit(const Tokens& tokens, std::size_t i) {
  return tokens.is_word(i) && !tokens[i].line_before && !is_one_of(tokens.word(i), kGoesOn);
}

bool is_spoiled_before(const Tokens& tokens, std::size_t first) {
  if (first == 0) return false;
  const Token& token = tokens[first];
  const Token& before = tokens[first - 1];
  const bool is_sign = token.kind == Kind::sign;
  if (before.kind == Kind::equals) return false;
  if (token.line_before && !is_sign) return false;
  switch (before.kind) {
    case Kind::spoiler:
      return true;
    case Kind::word:
      if (is_sign)
        return !(tokens.is_unary(first) && token.blank_before) ||
               changes_what_follows(tokens, first - 1);
      return !token.blank_before || changes_what_follows(tokens, first - 1);
    case Kind::boundary: {
      if (is_joined_before(tokens, first)) return true;
      if (!is_sign) return false;
      const char32_t mark = tokens.character(first - 1);
      const bool closes = mark == '}' || mark == ']' || mark == '|' || mark == '.';
      return !tokens.is_unary(first) || (closes && !token.blank_before);
    }
    default:
      return false;
  }
}

bool is_spoiled_behind(const Tokens& tokens, std::size_t past) {
  if (past >= tokens.size()) return false;
  const Token& behind = tokens[past];
  if (behind.line_before) return false;
  if (behind.kind == Kind::spoiler) return true;
  if (behind.kind == Kind::word && (!behind.blank_before || is_one_of(tokens.word(past), kBehind)))
    return true;
  return is_joined_behind(tokens, past) || is_unit_of_sum(tokens, past) ||
         goes_on_behind(tokens, past);
}

bool is_named_number(const Tokens& tokens, const Side& side) {
  if (side.first == 0 || !is_lone_number(tokens, side) || tokens[side.first].line_before)
    return false;
  const Kind before = tokens[side.first - 1].kind;
  return before == Kind::word || before == Kind::boundary;
}

}  // namespace proctor::arithmetic
