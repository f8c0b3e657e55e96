// Seeds (splitmix64 over names), the generator (xoshiro256**, Blackman & Vigna) and the clock.
#include "runtime/core/determinism.h"

#include <fmt/format.h>

#include <bit>
#include <ctime>

namespace proctor {
namespace {

std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

std::uint64_t hash64(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3ULL;
  return mix(hash);
}

std::string hex64(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::uint64_t derive_seed(std::uint64_t parent, std::string_view name) {
  return mix(parent ^ hash64(name));
}

std::uint64_t derive_seed(std::uint64_t parent, std::uint64_t index) {
  return mix(mix(parent) + index);
}

Rng::Rng(std::uint64_t seed) {
  for (auto& word : state_) {
    word = mix(seed);
    seed += 0x9e3779b97f4a7c15ULL;
  }
}

Rng::result_type Rng::operator()() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Rng::uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

std::uint64_t Rng::below(std::uint64_t bound) {
  const std::uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const std::uint64_t draw = (*this)();
    if (draw >= threshold) return draw % bound;
  }
}

std::chrono::system_clock::time_point Clock::now() const {
  return std::chrono::system_clock::now();
}

std::chrono::steady_clock::time_point Clock::steady() const {
  return std::chrono::steady_clock::now();
}

std::string iso8601(std::chrono::system_clock::time_point when) {
  const auto since = std::chrono::floor<std::chrono::milliseconds>(when).time_since_epoch();
  const auto whole = std::chrono::floor<std::chrono::seconds>(since);
  const std::time_t seconds = whole.count();
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     (since - whole).count());
}

}  // namespace proctor
