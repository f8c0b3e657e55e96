// The JSON object a language model meant: code fences, text around it, single quotes, Python's
// words and trailing commas are forgiven.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/core/json.h"

namespace proctor {

// The last object of the text that has `key` at its top level; nothing when there is none.
std::optional<json::object> loose_object(std::string_view text, std::string_view key);

// The same where the object, fenced or not, is all there is.
std::optional<json::object> whole_object(std::string_view text, std::string_view key);

// true or false, as JSON or as text, any case.
std::optional<bool> loose_bool(const json::value& value);

// Where no object can be read: the last `key` followed by true or false, at the start of a line or
// where a key of an object stands; elsewhere it is talked about.
std::optional<bool> bool_behind(std::string_view text, std::string_view key);

}  // namespace proctor
