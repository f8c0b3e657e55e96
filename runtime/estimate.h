// What a run may cost, before it is begun. Blind spot: a guess from limits and characters; no
// model, tool or supervisor is asked.
#pragma once

#include <string>

#include "runtime/assembly.h"

namespace proctor {

// Tokens, time and money a run may take, without asking any model. {"rollouts", "prompt_tokens": {
// "expected", "most"}, ...}; what the figures assume is in "assumes", what they leave out in
// "not_counted".
json::object estimate(const Assembly& assembly);
std::string estimate_text(const json::object& estimate);  // for people

}  // namespace proctor
