// One trajectory as a person reads it in a terminal: turn by turn, with what supervisors said.
#pragma once

#include <string>

#include "runtime/app/terminal_text.h"
#include "runtime/core/records.h"

namespace proctor {

// `full` cuts nothing and shows the messages before the first turn too. One that is not `finished`
// ends with its last journalled turn, and says so.
std::string trajectory_text(const Trajectory& trajectory, const TerminalStyle& style, bool full,
                            bool finished = true);

}  // namespace proctor
