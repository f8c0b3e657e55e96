// How many processes the kernel counts where guests are proctor's own user.
#pragma once

#include <cstdint>

namespace proctor {

// Processes and threads that the kernel counts for this process's user, those included that /proc
// does not show, being outside of a container.
std::int64_t tasks_of_user();

}  // namespace proctor
