// The two kinds of long-lived processes behind the launcher: slots and the Python zygote.
#pragma once

#include "sandbox/plan.h"

namespace proctor {

// Both take over the calling process, a fresh fork of the launcher; `socket` leads to the parent,
// `filter` holds the system call filter. They end when the parent's side of the socket does.
[[noreturn]] void become_slot(const SlotPlan& plan, int socket, int filter);
[[noreturn]] void become_zygote(const SlotPlan& plan, int socket, int filter);

}  // namespace proctor
