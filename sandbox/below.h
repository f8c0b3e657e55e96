// The end of programs that nothing else holds together: of what is below this process, or of one
// user.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <set>

namespace proctor {

// Stops, then kills, every process below this one, but those `spared` and what is below them.
// `reap` waits for what has ended. One round reaches what is there now; true when nothing was left.
bool end_below(const std::function<void()>& reap, const std::set<pid_t>& spared, int rounds);
// The same for all of a user that is nobody's but a guest's. One call reaches them all at once, and
// a fork in flight dies with its parent.
bool end_all_of(std::uint32_t uid, const std::function<void()>& reap, int rounds);

inline constexpr int kMostRounds = 2000;

}  // namespace proctor
