// Lines are wrapped after they were made harmless, so that what stands for a character counts.
#include "runtime/app/terminal_text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "runtime/core/harmless.h"
#include "runtime/core/text_table.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

const char* code_of(Ink ink) {
  switch (ink) {
    case Ink::bold:
      return "1";
    case Ink::dim:
      return "2";
    case Ink::good:
      return "32";
    case Ink::bad:
      return "31";
    case Ink::warning:
      return "33";
    case Ink::accent:
      return "36";
    case Ink::plain:
      break;
  }
  return "0";
}

// Bytes that fill at most `width` columns, and at least one code point.
std::size_t bytes_within(std::string_view text, std::size_t width) {
  std::size_t columns = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = decode(text, at).bytes;
    columns += display_width(text.substr(at, length));
    if (columns > width && at > 0) break;
    at += length;
  }
  return at;
}

void wrap_line(std::string_view line, std::size_t width, std::vector<std::string>& lines) {
  do {
    std::size_t cut = bytes_within(line, width);
    if (cut < line.size() && line[cut] != ' ')
      if (const std::size_t space = line.rfind(' ', cut);
          space != std::string_view::npos && space > 0)
        cut = space;
    lines.emplace_back(line.substr(0, cut));
    line.remove_prefix(cut);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  } while (!line.empty());
}

}  // namespace

TerminalStyle TerminalStyle::of_stdout() {
  TerminalStyle style;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const char* no_colour = std::getenv("NO_COLOR");
  const char* kind = std::getenv("TERM");
  style.colour =
      terminal && !(no_colour && *no_colour) && !(kind && std::string_view(kind) == "dumb");
  winsize size{};
  if (terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    style.width = std::clamp<std::size_t>(size.ws_col, 40, 160);
  return style;
}

std::string TerminalStyle::paint(Ink ink, std::string_view text) const {
  if (!colour || ink == Ink::plain) return std::string(text);
  return std::string("\x1b[") + code_of(ink) + "m" + std::string(text) + "\x1b[0m";
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent,
                    std::size_t most_lines) {
  const std::string clean = harmless(text, true);
  const std::size_t room = width > indent + 20 ? width - indent : 20;
  std::vector<std::string> lines;
  std::string_view rest = clean;
  while (!rest.empty() && rest.back() == '\n') rest.remove_suffix(1);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    wrap_line(rest.substr(0, end), room, lines);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::string out;
  // A remark takes a line as well: for one line more it would save nothing.
  const bool cut = lines.size() > most_lines && lines.size() - most_lines > 1;
  const std::size_t shown = cut ? most_lines : lines.size();
  for (std::size_t i = 0; i < shown; ++i) out += std::string(indent, ' ') + lines[i] + "\n";
  if (shown < lines.size())
    out += std::string(indent, ' ') + "... " + std::to_string(lines.size() - shown) +
           " more lines (--full shows them)\n";
  return out;
}

std::string shortened(std::string_view text, std::size_t width) {
  std::string clean = harmless(text, false);
  if (display_width(clean) <= width) return clean;
  return clean.substr(0, bytes_within(clean, width > 3 ? width - 3 : 1)) + "...";
}

}  // namespace proctor
