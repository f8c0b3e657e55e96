// Rates are over the whole run of this process; the time left assumes that they hold.
#include "runtime/app/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>

namespace proctor {
namespace {

std::string duration(double seconds) {
  const auto whole = static_cast<long>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

}  // namespace

ProgressLine::ProgressLine() : terminal_(::isatty(2) == 1) {}

std::string ProgressLine::text(const RunProgress& progress, int width) {
  const auto& counters = *progress.counters;
  const double seconds = std::max(progress.seconds, 1e-3);
  const double share = progress.total == 0 ? 1.0
                                           : static_cast<double>(progress.done) /
                                                 static_cast<double>(progress.total);
  std::string text = fmt::format(
      "{}/{} rollouts  {} turns  {:.1f} turns/s  {:.0f} tokens/s  {} errors", progress.done,
      progress.total, counters.turns.load(), static_cast<double>(counters.turns) / seconds,
      static_cast<double>(counters.completion_tokens) / seconds, counters.errors.load());
  const auto here = counters.finished.load();  // of this process; a resumed run began with more
  if (progress.over) {
    text += "  in " + duration(progress.seconds);
  } else if (here > 0) {
    const double left =
        seconds / static_cast<double>(here) * static_cast<double>(progress.total - progress.done);
    text += "  " + duration(left) + " left";
  }
  const int bar = std::min(24, width - static_cast<int>(text.size()) - 4);
  if (bar >= 5) {
    const auto full = static_cast<std::size_t>(share * bar);
    text = "[" + std::string(full, '#') + std::string(static_cast<std::size_t>(bar) - full, '.') +
           "] " + text;
  }
  return text;
}

void ProgressLine::show(const RunProgress& progress) {
  if (terminal_) {
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
