// Fenced blocks of code in a text, as CommonMark marks them: ``` or ~~~ with what they are (a
// language) behind, indented as an item of a list is, up to the same marks alone on a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace proctor {

struct CodeBlock {
  std::size_t begin = 0, end = 0;  // in the text, the lines of the marks included
  std::string code;  // its lines, each with its end, without what the marks are indented by
  bool closed = false;
};

// In order; the last one may have been left open, as by a turn that was cut off.
std::vector<CodeBlock> code_blocks(std::string_view text);

}  // namespace proctor
