// Landlock: the second layer over files, and the first where mounts are refused.
#pragma once

#include <string>
#include <vector>

namespace proctor {

int landlock_abi();  // 0: the kernel has none

// A ruleset descriptor: the trees readable and executable, the box writable, /dev writable but not
// changed; TCP refused when `refuse_tcp`; no signals and no abstract sockets out of the guest's own
// processes where the kernel can say so. -1 with errno.
int make_landlock_ruleset(const std::vector<std::string>& readable, const std::string& box,
                          bool refuse_tcp);

}  // namespace proctor
