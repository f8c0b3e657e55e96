// One trajectory as a person reads it in a terminal: turn by turn, with what supervisors said.
#pragma once

#include <string>

#include "runtime/app/terminal_text.h"
#include "runtime/core/records.h"

namespace proctor {

// `full` cuts nothing and shows the messages before the first turn too.
std::string trajectory_text(const Trajectory& trajectory, const TerminalStyle& style, bool full);

}  // namespace proctor
