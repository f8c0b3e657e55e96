// Line by line. Blind spot: blocks within quotes (`> ```), and code that is marked by its indent
// alone.
#include "runtime/core/code_fence.h"

#include <algorithm>
#include <optional>

#include "runtime/core/text.h"

namespace proctor {
namespace {

constexpr std::size_t kMostIndent = 3;  // of closing marks; deeper ones stand in the code

struct Marks {
  std::size_t indent;       // blanks before them
  std::string_view marks;   // "```", "~~~~"
  std::string_view behind;  // "python"

  static std::optional<Marks> of(std::string_view line) {
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::string_view rest = line.substr(indent);
    if (!rest.starts_with("```") && !rest.starts_with("~~~")) return std::nullopt;
    const std::size_t length = std::min(rest.find_first_not_of(rest[0]), rest.size());
    return Marks{indent, rest.substr(0, length), trimmed(rest.substr(length))};
  }
  // Else it is code in a line of text.
  bool opens() const { return marks[0] == '~' || behind.find('`') == std::string_view::npos; }
  bool closes(const Marks& open) const {
    return marks.starts_with(open.marks) && behind.empty() &&
           indent <= std::max(open.indent, kMostIndent);
  }
};

}  // namespace

std::vector<CodeBlock> code_blocks(std::string_view text) {
  std::vector<CodeBlock> blocks;
  std::optional<Marks> open;
  for (const std::string_view line : lines_of(text)) {
    const auto begin = static_cast<std::size_t>(line.data() - text.data());
    const auto marks = Marks::of(line);
    if (!open) {
      if (!marks || !marks->opens()) continue;
      open = marks;
      blocks.push_back({.begin = begin, .end = text.size()});
    } else if (marks && marks->closes(*open)) {
      blocks.back().end = begin + line.size();
      blocks.back().closed = true;
      open.reset();
    } else {
      const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
      blocks.back().code.append(line.substr(std::min(indent, open->indent))).append("\n");
    }
  }
  return blocks;
}

}  // namespace proctor
