// Seeds and Rng: the only source of chance, so that a run can be replayed. Clock: the time that
// records, budgets and logs tell; deadlines and benchmarks read the steady clock themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace proctor {

// A seed for one named purpose, derived from a parent seed: the same names give the same seed on
// every machine. `derive_seed(run_seed, "policy", "foldoc-17", 0)`.
std::uint64_t derive_seed(std::uint64_t parent, std::string_view name);
std::uint64_t derive_seed(std::uint64_t parent, std::uint64_t index);
template <class First, class Second, class... Rest>
std::uint64_t derive_seed(std::uint64_t parent, const First& first, const Second& second,
                          const Rest&... rest) {
  return derive_seed(derive_seed(parent, first), second, rest...);
}

// A 64-bit content hash (FNV-1a, then mixed), equal on every machine; not cryptographic.
std::uint64_t hash64(std::string_view text);
std::string hex64(std::uint64_t value);

// xoshiro256**; satisfies UniformRandomBitGenerator. Use its own members instead of the standard
// distributions, whose results differ between standard libraries.
class Rng {
 public:
  using result_type = std::uint64_t;
  explicit Rng(std::uint64_t seed);
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
  result_type operator()();

  double uniform();                          // [0, 1)
  std::uint64_t below(std::uint64_t bound);  // [0, bound), unbiased; bound > 0

 private:
  std::uint64_t state_[4];
};

// Wall time for records, steady time for durations; a fake one drives tests.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::system_clock::time_point now() const;
  virtual std::chrono::steady_clock::time_point steady() const;
};

// "2026-01-01T00:00:00.000Z"
std::string iso8601(std::chrono::system_clock::time_point when);

// Milliseconds with fraction, as records carry them.
inline double to_ms(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace proctor
