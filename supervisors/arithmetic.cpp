// The sides of every `=` of a text, and whether they agree.
//
// Blind spot: implicit multiplication, factorials, roots and units are left alone, and so is what
// stands behind a sign that is not understood, which may be an operator.
#include "supervisors/arithmetic.h"

#include <set>

#include "supervisors/arithmetic_parts.h"

namespace proctor {
namespace {

using namespace arithmetic;

constexpr std::size_t kMostTokens = 512;  // of one side

class Finder {
 public:
  explicit Finder(std::string_view text) : tokens_(text) {}

  std::vector<std::pair<Side, Side>> pairs() const {
    std::vector<std::pair<Side, Side>> found;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].kind != Kind::equals) continue;
      auto left = left_of(i);
      auto right = right_of(i);
      if (!left || !right || has_other_numerals(tokens_, i) ||
          means_another(tokens_, *left, *right))
        continue;
      found.emplace_back(std::move(*left), std::move(*right));
    }
    return found;
  }

  std::string text_of(const Side& side) const {
    std::string text(tokens_.text(side.first, side.past));
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  }

 private:
  // A new line begins a new expression behind a complete one.
  bool is_cut(std::size_t i) const {
    return tokens_[i].line_before && i > 0 && tokens_[i - 1].is_operand_end() &&
           (tokens_[i].is_operand_start() || tokens_.is_unary(i));
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

  bool has_sign(const Side& side, std::string_view written) const {
    for (std::size_t i = side.first; i < side.past; ++i)
      if (tokens_[i].kind == Kind::sign && tokens_.word(i) == written) return true;
    return false;
  }

  // Words beside written signs, or for signs of different kinds: people do not agree what goes
  // first.
  bool has_unclear_order(const Side& side) const {
    std::set<char> in_words, written;
    for (std::size_t i = side.first; i < side.past; ++i) {
      if (tokens_[i].kind != Kind::sign || tokens_.word(i) == "of") continue;
      (tokens_[i].in_words ? in_words : written).insert(tokens_[i].sign);
    }
    return in_words.size() > 1 || (!in_words.empty() && !written.empty());
  }

  std::optional<Side> evaluated(Side side) const {
    if (side.first >= side.past || side.past - side.first > kMostTokens) return std::nullopt;
    if (has_unclear_order(side)) return std::nullopt;
    if (!evaluate(tokens_.between(side.first, side.past), side.value)) return std::nullopt;
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
    if (!at_cut && is_spoiled_before(tokens_, reached)) return std::nullopt;
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
        (tokens_[side.first - 1].kind == Kind::close || !tokens_.is_unary(side.first)))
      return std::nullopt;
    if (!at_cut && side.first == reached && reached > 0 &&
        tokens_[reached - 1].kind == Kind::word && tokens_.word(reached - 1) == "of" &&
        (is_lone_number(tokens_, side) || has_sign(side, "of")))
      return std::nullopt;
    if (is_named_number(tokens_, side)) return std::nullopt;
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
    if (!at_cut && !opens && is_spoiled_behind(tokens_, reached)) return std::nullopt;
    // A sign that waits for more is joined to something that is no expression.
    if (tokens_[reached - 1].kind == Kind::sign) return std::nullopt;
    cut_unbalanced(side, false);
    if (side.first >= side.past || juxtaposed(side)) return std::nullopt;
    // "17 = 2 mod 5" says what 17 is modulo 5.
    if (has_sign(side, "mod") || has_sign(side, "modulo")) return std::nullopt;
    // "7 (seven)" is 7; "2(x + 3)" and "2 (x + 3)" are not 2.
    if (side.past < reached && tokens_[side.past].kind == Kind::open &&
        (!tokens_[side.past].blank_before || !opens || tokens_.is_variable(reached)))
      return std::nullopt;
    return evaluated(side);
  }

  Tokens tokens_;
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
