// Rates are over the whole run of this process; the time left assumes that they hold.
#include "runtime/app/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "runtime/core/text_table.h"

namespace proctor {
namespace {

constexpr int kWidestBar = 40;

std::string duration(double seconds) {
  const auto whole = std::lround(seconds);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

}  // namespace

ProgressLine::ProgressLine() : terminal_(::isatty(2) == 1) {}

std::string ProgressLine::text(const RunProgress& progress, int width) {
  const auto& counters = *progress.counters;
  const double seconds = std::max(progress.seconds, 1e-3);
  std::string words = fmt::format(
      "{}/{}{}  {:.1f} turns/s  {:.0f} tokens/s  {}", progress.done, progress.total,
      width == 0 ? " rollouts" : "", static_cast<double>(counters.turns) / seconds,
      static_cast<double>(counters.completion_tokens) / seconds, plural(progress.errors, "error"));
  const auto here = counters.finished.load();  // of this process; a resumed run began with more
  if (progress.over) {
    words += "  in " + duration(progress.seconds);
  } else if (here > 0) {
    const double left =
        seconds / static_cast<double>(here) * static_cast<double>(progress.total - progress.done);
    words += "  " + duration(left) + " left";
  }
  if (width == 0) return words;
  // The last column stays free: a line that fills it would wrap.
  const int bar = std::min(kWidestBar, width - static_cast<int>(words.size()) - 4);
  if (bar < 3) return words.substr(0, static_cast<std::size_t>(std::max(width - 1, 1)));
  const std::int64_t full =
      progress.total == 0 ? bar : std::min<std::int64_t>(bar, bar * progress.done / progress.total);
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(bar - full), '.') + "] " + words;
}

ProgressLine::~ProgressLine() {
  if (open_) std::cerr << "\r\033[K" << std::flush;
}

void ProgressLine::show(const RunProgress& progress) {
  if (terminal_) {
    open_ = !progress.over;
    winsize size{};
    const int width = ::ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    std::cerr << "\r\033[K" << text(progress, width) << (progress.over ? "\n" : "") << std::flush;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (!progress.over && now - last_ < std::chrono::seconds(10)) return;
  if (!progress.over && last_ == std::chrono::steady_clock::time_point{}) {
    last_ = now;  // the first plain line comes after ten seconds
    return;
  }
  last_ = now;
  std::cerr << text(progress, 0) << "\n";
}

}  // namespace proctor
