// Widths are counted in code points; blind spot: combining marks count as one column too many.
#include "runtime/core/text_table.h"

#include <algorithm>

#include "runtime/core/harmless.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

bool is_wide(char32_t point) {
  return (point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) ||
         (point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
         (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60) ||
         (point >= 0x1f300 && point <= 0x1faff);
}

bool looks_numeric(const std::string& cell) {
  return !cell.empty() && (cell[0] == '-' || cell[0] == '+' || (cell[0] >= '0' && cell[0] <= '9'));
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Character character = decode(text, i);
    width += is_wide(character.point) ? 2 : 1;
    i += character.bytes;
  }
  return width;
}

std::string plural(std::int64_t count, std::string_view thing, std::string_view things) {
  std::string text = std::to_string(count) + " ";
  if (count == 1) return text.append(thing);
  return things.empty() ? text.append(thing).append("s") : text.append(things);
}

std::string text_table(std::vector<std::vector<std::string>> rows) {
  if (rows.empty()) return "";
  for (auto& row : rows)
    for (auto& cell : row) cell = harmless(cell, false);
  std::vector<std::size_t> widths(rows.front().size(), 0);
  std::vector<bool> numeric(widths.size(), rows.size() > 1);
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < std::min(widths.size(), rows[r].size()); ++c) {
      widths[c] = std::max(widths[c], display_width(rows[r][c]));
      if (r > 0 && !rows[r][c].empty() && rows[r][c] != "-" && !looks_numeric(rows[r][c]))
        numeric[c] = false;
    }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const std::string cell = c < rows[r].size() ? rows[r][c] : "";
      const std::string padding(widths[c] - display_width(cell), ' ');
      if (c > 0) line += "  ";
      line += numeric[c] ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (r == 0) {
      std::string rule;
      for (std::size_t c = 0; c < widths.size(); ++c)
        rule += (c > 0 ? "  " : "") + std::string(widths[c], '-');
      text += rule + "\n";
    }
  }
  return text;
}

}  // namespace proctor
