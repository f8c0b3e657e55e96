// The two kinds of long-lived processes behind the launcher: slots and Python zygotes.
#pragma once

#include "sandbox/launcher.h"
#include "sandbox/plan.h"

namespace proctor {

// Both take over the calling process, a fresh fork of the launcher; `socket` leads to the parent.
// They end when the parent's side of the socket does.
[[noreturn]] void become_slot(const SlotPlan& plan, int socket, FilterFds filters);
[[noreturn]] void become_zygote(const SlotPlan& plan, int socket, FilterFds filters);

}  // namespace proctor
