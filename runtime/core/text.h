// Small questions about text that every folder asks.
#pragma once

#include <string_view>

namespace proctor {

// Without blanks, tabs and line ends on either side.
constexpr std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace proctor
