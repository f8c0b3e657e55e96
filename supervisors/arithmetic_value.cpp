// The value of an expression's tokens, exactly.
//
// Why not in the sandbox: an expression here is data for a parser with five operators and bounds on
// size, not a program, and exact fractions know that 0.1 + 0.2 = 0.3. Costs microseconds a step.
// Blind spot: powers with a fraction or a large number above are computed as doubles.
#include <cmath>

#include "supervisors/arithmetic_parts.h"

namespace proctor::arithmetic {
namespace {

constexpr unsigned kMostBits = 1 << 15;  // of a value's numerator or denominator

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
      if (!left || !right || (sign == '/' && *right == 0))
        left.reset();
      else if (sign == '*')
        left = checked(Fraction(*left * *right));
      else if (sign == 'm')
        left = remainder(*left, *right);
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

}  // namespace

bool evaluate(std::span<const Token> tokens, std::optional<Fraction>& value) {
  Evaluator evaluator(tokens);
  value = evaluator.value();
  return !evaluator.broken();
}

}  // namespace proctor::arithmetic
