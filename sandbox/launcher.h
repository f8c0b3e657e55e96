// The parent's line to the launcher, by way of the guardian.
#pragma once

#include <string>
#include <vector>

#include "runtime/core/result.h"
#include "sandbox/plan.h"

namespace proctor {

// Descriptors that hold the system call filters of guests: whole, or a zygote's, its guests' own
// parts and what they inherit.
struct FilterFds {
  int program = -1, session = -1, inherited = -1;
};
// Asks for a slot or a zygote; the answer (`ready` or `failed`) comes on the returned socket, which
// the caller owns.
Result<int> ask_for_slot(const SlotPlan& plan, FilterFds filters);
Result<int> ask_for_zygote(const SlotPlan& plan, FilterFds filters);
// Directories (cgroups, boxes) to remove should this process die without doing so.
void remove_when_gone(const std::vector<std::string>& directories);
// The guardian's pid, 0 without one.
int guardian_pid();

}  // namespace proctor
