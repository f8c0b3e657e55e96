// Plain tables for a terminal: columns as wide as their widest cell.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proctor {

// Columns that a terminal needs to show the text: UTF-8 code points, wide ones counted twice.
std::size_t display_width(std::string_view text);

// "1 turn", "2 turns", "0 trajectories": `things` where an s is not enough.
std::string plural(std::int64_t count, std::string_view thing, std::string_view things = "");

// The first row is the head, set off by a rule. Cells that look like numbers are set right. What
// others wrote may stand in a cell: it comes out harmless and on one line.
std::string text_table(std::vector<std::vector<std::string>> rows);

}  // namespace proctor
