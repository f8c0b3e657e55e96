// Final answers in free text. docs/formats.md states the rules.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace proctor {

// The answer in a free text: the last <answer> block; else the last \boxed{}; else the stated one;
// else the last closed code fence. Nothing: none of them is there.
std::optional<std::string> marked_answer(std::string_view text);
// Such a text with this answer, which marked_answer() reads back.
std::string write_marked_answer(const std::string& answer);

// What stands in the last \boxed{} that is closed.
std::optional<std::string> boxed_answer(std::string_view text);

struct StatedAnswer {
  std::size_t at;  // where it begins in the text
  std::string text;
};
// What follows the last line start "Answer:" or "Final Answer:", bold or not, up to a blank line.
std::optional<StatedAnswer> stated_answer(std::string_view text);

// What stands in the last code fence that is closed.
std::optional<std::string> fenced_answer(std::string_view text);

}  // namespace proctor
