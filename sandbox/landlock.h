// Landlock: the second layer over files, and the first where mounts are refused.
#pragma once

#include <string>
#include <vector>

namespace proctor {

int landlock_abi();  // 0: the kernel has none
// From this one on it keeps signals and abstract sockets in, which nothing else does in the reduced
// world.
inline constexpr int kLandlockScopes = 6;
// From this one on it has a say in cutting files short.
inline constexpr int kLandlockTruncate = 3;

// A ruleset descriptor: the trees readable and executable, the box writable, a few devices usable;
// TCP refused when `refuse_tcp`; no signals and no abstract sockets out of the guest's own
// processes where the kernel can say so. -1 with errno.
int make_landlock_ruleset(const std::vector<std::string>& readable, const std::string& box,
                          bool refuse_tcp);

}  // namespace proctor
