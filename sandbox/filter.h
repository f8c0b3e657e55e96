// The system call filter of guests, as the kernel loads it.
#pragma once

#include <sched.h>

#include <csignal>
#include <string>

#include "runtime/core/result.h"

namespace proctor {

struct FilterOptions {
  // Guests have network, processes and ipc objects of their own. Without such namespaces there are
  // no sockets but pairs of streams, no ipc objects, and scheduling of the caller only.
  bool namespaces = true;
  // Nobody but guests owns files as their user. Without, modes and owners stay as they are.
  bool own_uid = true;
  // Something else keeps guests from cutting files short that they may only read. Without, a file
  // is cut through a descriptor for writing only.
  bool truncation_held = true;
  // A cgroup counts memory that no process shows. Without one guests get none that can be shared or
  // be mapped nowhere (memfds, ipc objects), and the buffers of pipes and sockets keep their size.
  bool counted = true;
  // A live session's: it may fork into namespaces of the fork's own, where the slot lets it.
  bool session = false;
};

// What a session's fork is cloned with: what the slot needs to give it files of its own, and to end
// it alone. A child of its parent's parent, who reaps it. The session stands still and lends it its
// memory until it has become another program.
inline constexpr unsigned long kForkFlags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                            CLONE_NEWIPC | CLONE_PARENT | CLONE_VM | CLONE_VFORK;

// A filter takes half a millisecond to load. What a zygote has loaded its guests inherit for
// nothing: it allows, beside what guests of both kinds may do, what confining them takes, and the
// little that each guest loads on top refuses that again. The two together answer as the whole
// does.
enum class FilterPart { whole, inherited, own };

// The program's bytes (struct sock_filter[]).
Result<std::string> build_filter(const FilterOptions& options, FilterPart part = FilterPart::whole);

}  // namespace proctor
