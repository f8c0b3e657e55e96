// Whether a live session can be forked just now: a fork is a copy of one thread, and must share
// nothing with the session that either of them may change.
#pragma once

#include <sys/types.h>

#include <string>

namespace proctor {

// "" when it can, or what it has that a fork would not have, or would share. `box` is the directory
// of its workspace. What is in the workspace and has a name there is copied; pipes, sockets, shared
// and unnamed memory cannot be. It is looked at from outside, with nobody's help; a session that
// works against itself may hide what it shares.
std::string why_not_forkable(pid_t session, int box);

}  // namespace proctor
