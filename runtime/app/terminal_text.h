// Text for a terminal: width, colour, wrapping; what others wrote comes out harmless (harmless.h).
//
// Blind spot: widths of combining marks and of some emoji are a guess, as everywhere.
#pragma once

#include <string>
#include <string_view>

namespace proctor {

enum class Ink { plain, bold, dim, good, bad, warning, accent };

struct TerminalStyle {
  std::size_t width = 100;
  bool colour = false;

  // Of stdout: colour only on a terminal and without NO_COLOR; 100 columns where there is none.
  static TerminalStyle of_stdout();
  std::string paint(Ink ink, std::string_view text) const;
};

// Lines of at most `width` columns, each behind `indent` spaces; words are kept whole where they
// fit. Beyond `most_lines` the rest is counted: "... 12 more lines".
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent,
                    std::size_t most_lines);
// One line of at most `width` columns.
std::string shortened(std::string_view text, std::size_t width);

}  // namespace proctor
