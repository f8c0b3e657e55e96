// Text of others that a terminal may be shown.
//
// Blind spot: letters that only look like others stay.
#pragma once

#include <string>
#include <string_view>

namespace proctor {

// Control characters, escape sequences among them, become visible and harmless, and so do those
// that turn the direction of text or are not seen at all ("<U+202E>"), and bytes that are no UTF-8
// ("<9B>"); tabs become spaces.
std::string harmless(std::string_view text, bool keep_newlines);

}  // namespace proctor
