// The texts of a task's gold, for checkers and supervisors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/json.h"

namespace proctor {

// A text as it is, a number as people write it (1.5 and 100000, where JSON's writer has 1.5E0 and
// 1E5), anything else as JSON.
std::string gold_text(const json::value& value);

// The texts and numbers of a field that is one of them or a list; blank ones are left out.
std::vector<std::string> gold_texts(const json::object& gold, std::string_view field);

}  // namespace proctor
