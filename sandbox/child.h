// What happens between a guest's fork and its first own instruction, and the loop that forks
// guests. Plain C inside (no exceptions, no allocation, no C++ runtime): the Python zygote loads
// the same code as a small shared object, so that both ways in are confined by one function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sandbox/wire.h"

namespace proctor::child {

// What every guest of a slot or zygote gets; set once, before the loop.
struct Confinement {
  const void* filter = nullptr;  // struct sock_filter[filter_size]
  std::uint32_t filter_size = 0;
  int landlock_ruleset = -1;  // -1: none
};

// Stand in for the caller in the forked guest: join, drop, limit, filter. On failure says which
// stage broke on `report` and ends the process.
void confine(const wire::Packet& spawn, const Confinement& confinement, int report);

// The limits of each process that a message names.
bool apply_limits(const wire::Message& message);

// What a spawn message asks for; all of it lies in the packet.
inline constexpr std::size_t kMostStrings = 1024;
struct Spawn {
  const char* directory;
  char* arguments[kMostStrings];  // these two end with nullptr
  char* environment[kMostStrings];
  const int* cgroups;  // entrances, n_cgroups of the message
  int ruleset;         // Landlock's, which a zygote is sent; -1: none
};
// False with errno where the message is not as it must be.
bool read_spawn(const wire::Packet& packet, Spawn& spawn);

// What `serve_one` gives back.
enum class Turn : int {
  parent = 0,  // nothing to do for the caller: call again
  fork = 1,    // a spawn message is ready in the packet: fork, then call forked() on both sides
  other = 2,   // a message that is not ours
  gone = 3,    // the parent is gone
};

// Waits for one message or child exit on the slot's or zygote's socket; exits are reported from
// here.
Turn serve_one(int socket, wire::Packet& packet);
// Before fork: later children are born into the run's pid namespace. False: reported already.
bool before_fork(int socket, const wire::Packet& packet);
// In the parent after fork (pid < 0: it failed).
void after_fork(int socket, wire::Packet& packet, long pid);
// Reaps whatever has ended and reports those that were spawned here.
void reap(int socket);
void watch_children();  // SIGCHLD becomes readable in serve_one; call once

}  // namespace proctor::child
