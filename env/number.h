// A value that is exact as long as it can be: whole numbers, fractions and decimals, however large.
// Roots, pi and what is made of them are doubles.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <optional>
#include <string_view>

namespace proctor {

class Number {
 public:
  using Fraction = boost::multiprecision::cpp_rational;

  Number(const Fraction& value);  // a double after all where it is very long
  static Number rounded(double value);
  // Digits with at most one point, times ten to the exponent. With more than nine decimals it is
  // taken for a rounded value, as 0.3333333333 is.
  static Number decimal(std::string_view figure, int exponent = 0);

  const std::optional<Fraction>& exact() const { return exact_; }
  double value() const { return exact_ ? exact_->convert_to<double>() : rounded_; }
  bool finite() const { return exact_ || std::isfinite(rounded_); }

 private:
  Number() = default;

  std::optional<Fraction> exact_;
  double rounded_ = 0;
};

// A quotient by zero is not finite.
Number operator-(const Number& value);
Number operator+(const Number& a, const Number& b);
Number operator-(const Number& a, const Number& b);
Number operator*(const Number& a, const Number& b);
Number operator/(const Number& a, const Number& b);
Number power(const Number& base, const Number& exponent);

// The result where doubles of this size give one; 0 for the remains of their rounding.
double settled(double result, double size);

// |given - gold| <= tolerance * |gold|. Where either is not exact, the tolerance is 1e-9 at least.
bool close(const Number& given, const Number& gold, double tolerance);

}  // namespace proctor
