// Keys that stand twice: parse_json keeps the last value, as JSON readers do; where a person writes
// by hand, it is a slip. Blind spot: which of the two was meant.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace proctor {

// The first key that an object in this JSON text has twice, at any depth. Nothing for a text that
// is no JSON.
std::optional<std::string> repeated_key(std::string_view text);

}  // namespace proctor
