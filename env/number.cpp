// Exact arithmetic on top of Boost's fractions, with bounds on their length.
#include "env/number.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>

namespace proctor {
namespace {

using Fraction = Number::Fraction;
using Integer = boost::multiprecision::cpp_int;

constexpr std::size_t kMostBits = 4096;  // of a numerator or denominator
constexpr std::size_t kMostDigits = 1000;
constexpr int kLargestExponent = 1000;
constexpr std::size_t kMostDecimals = 9;
constexpr double kRounding = 1e-9;

std::size_t bits_of(const Fraction& value) {
  const Integer top = abs(numerator(value));
  return std::max<std::size_t>(top == 0 ? 0 : msb(top), msb(denominator(value))) + 1;
}

// Nothing: no whole exponent, a division by zero, or very long.
std::optional<Fraction> exact_power(const Fraction& base, const Fraction& exponent) {
  if (denominator(exponent) != 1 || abs(exponent) > kLargestExponent) return std::nullopt;
  if (base == 0 && exponent < 0) return std::nullopt;
  const auto times = Integer(abs(numerator(exponent))).convert_to<unsigned>();
  if (bits_of(base) * times > kMostBits) return std::nullopt;
  const Integer top = boost::multiprecision::pow(numerator(base), times);
  const Integer bottom = boost::multiprecision::pow(denominator(base), times);
  return exponent < 0 ? Fraction(bottom, top) : Fraction(top, bottom);
}

}  // namespace

Number::Number(const Fraction& value) {
  if (bits_of(value) <= kMostBits)
    exact_ = value;
  else
    rounded_ = value.convert_to<double>();
}

Number Number::rounded(double value) {
  Number number;
  number.rounded_ = value;
  return number;
}

Number Number::decimal(std::string_view figure, int exponent) {
  std::string digits(figure);
  const std::size_t point = std::min(digits.find('.'), digits.size());
  const std::size_t decimals = digits.size() - std::min(point + 1, digits.size());
  if (decimals > kMostDecimals || digits.size() > kMostDigits ||
      std::abs(exponent) > kLargestExponent)
    return rounded(std::strtod((digits + "e" + std::to_string(exponent)).c_str(), nullptr));
  digits.erase(point, 1);
  // A leading zero would make it octal.
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  const Integer whole(digits.empty() ? "0" : digits);
  const int shift = exponent - static_cast<int>(decimals);
  const Integer scale =
      boost::multiprecision::pow(Integer(10), static_cast<unsigned>(std::abs(shift)));
  return shift < 0 ? Fraction(whole, scale) : Fraction(Integer(whole * scale));
}

Number operator-(const Number& value) {
  if (value.exact()) return Fraction(-*value.exact());
  return Number::rounded(-value.value());
}

Number operator+(const Number& a, const Number& b) {
  if (a.exact() && b.exact()) return Fraction(*a.exact() + *b.exact());
  const double left = a.value(), right = b.value();
  return Number::rounded(settled(left + right, left));
}

Number operator-(const Number& a, const Number& b) { return a + -b; }

Number operator*(const Number& a, const Number& b) {
  if (a.exact() && b.exact()) return Fraction(*a.exact() * *b.exact());
  return Number::rounded(a.value() * b.value());
}

Number operator/(const Number& a, const Number& b) {
  if (b.exact() && *b.exact() == 0)
    return Number::rounded(std::numeric_limits<double>::quiet_NaN());
  if (a.exact() && b.exact()) return Fraction(*a.exact() / *b.exact());
  return Number::rounded(a.value() / b.value());
}

Number power(const Number& base, const Number& exponent) {
  if (base.exact() && exponent.exact())
    if (const auto exact = exact_power(*base.exact(), *exponent.exact())) return *exact;
  return Number::rounded(std::pow(base.value(), exponent.value()));
}

double settled(double result, double size) {
  return std::abs(result) < 1e-14 * std::abs(size) ? 0 : result;
}

bool close(const Number& given, const Number& gold, double tolerance) {
  tolerance *= 1 + 1e-12;  // 0.3 is less than three tenths: 13 is within 0.3 of 10 all the same
  if (given.exact() && gold.exact()) {
    const Fraction difference = abs(Fraction(*given.exact() - *gold.exact()));
    return difference <= Fraction(tolerance) * abs(*gold.exact());
  }
  const double a = given.value(), b = gold.value();
  return std::isfinite(a) && std::isfinite(b) &&
         std::abs(a - b) <= std::max(tolerance, kRounding) * std::abs(b);
}

}  // namespace proctor
