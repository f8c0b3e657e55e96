// The parent's line to the launcher process.
#pragma once

#include <string>
#include <vector>

#include "runtime/core/result.h"
#include "sandbox/plan.h"

namespace proctor {

// Asks for a slot or the zygote; the answer (`ready` or `failed`) comes on the returned socket,
// which the caller owns. `filter` is a descriptor that holds the program.
Result<int> ask_for_slot(const SlotPlan& plan, int filter);
Result<int> ask_for_zygote(const SlotPlan& plan, int filter);
// Directories (cgroups, boxes) to remove should this process die without doing so.
void remove_when_gone(const std::vector<std::string>& directories);
// The launcher's pid, 0 without one.
int launcher_pid();

}  // namespace proctor
