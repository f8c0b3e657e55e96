// Names of endings, and limits as users write them.
#include <algorithm>
#include <array>

#include "runtime/core/config.h"
#include "sandbox/network.h"

namespace proctor {
namespace {

constexpr std::array kEndings = {"ok",         "nonzero_exit", "signaled",      "time_limit",
                                 "wall_limit", "memory_limit", "output_limit",  "process_limit",
                                 "file_limit", "denied",       "compile_error", "sandbox_error"};

// Inclusive. The floors are what an interpreter needs to start at all.
struct Range {
  const char* name;
  std::int64_t least, most;
};
constexpr std::int64_t kTiB = 1LL << 40;
constexpr std::array<Range, 10> kRanges = {{{"time_ms", 1, 86'400'000},
                                            {"wall_ms", 1, 86'400'000},
                                            {"memory_bytes", 4 << 20, kTiB},
                                            {"output_bytes", 0, 1 << 30},
                                            {"processes", 1, 4096},
                                            {"open_files", 8, 65'536},
                                            {"file_bytes", 0, kTiB},
                                            {"disk_bytes", 4096, kTiB},
                                            {"inodes", 1, 10'000'000},
                                            {"network_bytes", 0, kTiB}}};

}  // namespace

std::pair<std::int64_t, std::int64_t> limit_range(std::string_view name) {
  const auto found = std::find_if(kRanges.begin(), kRanges.end(),
                                  [&](const Range& range) { return range.name == name; });
  PROCTOR_CHECK(found != kRanges.end());
  return {found->least, found->most};
}

Result<Limits> read_limits(const json::object& options, const Limits& defaults) {
  Limits limits = defaults;
  Fields fields(options, "");
  const auto number = [&](std::size_t range, std::int64_t fallback) {
    const auto& [name, least, most] = kRanges[range];
    const std::int64_t value = fields.integer_or(name, fallback);
    if (fields.has(name) && (value < least || value > most))
      fields.complain(name, "must be from " + std::to_string(least) + " to " +
                                std::to_string(most) + ", got " + std::to_string(value));
    return value;
  };
  limits.cpu = Milliseconds(number(0, defaults.cpu.count()));
  // Who asks for more processor time than the wall default allows means to have it.
  const bool longer = !fields.has("wall_ms") && limits.cpu * 2 > defaults.wall;
  limits.wall = Milliseconds(number(1, longer ? limits.cpu.count() * 2 : defaults.wall.count()));
  limits.memory = static_cast<Bytes>(number(2, count(defaults.memory)));
  limits.output = static_cast<Bytes>(number(3, count(defaults.output)));
  limits.processes = static_cast<int>(number(4, defaults.processes));
  limits.open_files = static_cast<int>(number(5, defaults.open_files));
  limits.file = static_cast<Bytes>(number(6, count(defaults.file)));
  limits.disk = static_cast<Bytes>(number(7, count(defaults.disk)));
  limits.inodes = static_cast<int>(number(8, defaults.inodes));
  limits.network_bytes = static_cast<Bytes>(number(9, count(defaults.network_bytes)));
  const auto network = fields.optional_text("network");
  if (!fields.status().ok()) return Error(fields.status().error());
  if (network) {
    auto hosts = read_network(*network);
    if (!hosts) return std::move(hosts).error();
    limits.network = std::move(*hosts);
  }
  return limits;
}

const char* to_string(Ending ending) { return kEndings[static_cast<std::size_t>(ending)]; }

}  // namespace proctor
