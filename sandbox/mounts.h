// A slot's view of the file system: a read-only selection of the host's, and nothing else.
#pragma once

#include <array>
#include <string>

#include "sandbox/plan.h"
#include "sandbox/wire.h"

namespace proctor {

// What guests read of the system, in every world.
inline constexpr std::array kSystemTrees = {"/usr",
                                            "/bin",
                                            "/sbin",
                                            "/lib",
                                            "/lib32",
                                            "/lib64",
                                            "/libx32",
                                            "/etc/alternatives",
                                            "/etc/ld.so.cache",
                                            "/etc/ld.so.conf",
                                            "/etc/ld.so.conf.d",
                                            "/etc/localtime",
                                            "/etc/fonts",
                                            "/etc/mime.types",
                                            "/etc/ssl/certs",
                                            "/etc/services",
                                            "/etc/protocols"};

// Where a file of the host is shown: at its own path, but below /host where the guest has something
// of its own at that place (a checkout below /tmp).
std::string place_in_view(const std::string& path);

// Builds the view and makes it the root of the calling process, which must be alone in a fresh
// mount namespace. Afterwards /box and /proc are empty mount points. `none`, or the step that
// failed (errno).
wire::Stage enter_view(const SlotPlan& plan);

// A fresh workspace at /box with the directories work, tmp, shm and code.
bool mount_box(std::int64_t bytes, std::int64_t inodes, std::uint32_t owner);
bool resize_box(std::int64_t bytes, std::int64_t inodes);
bool make_box_directories(const std::string& box, std::uint32_t owner);
// The same for a fork that has inherited the /box of its session, which cannot be unmounted and
// whose Landlock rule is tied to its root: the directories of a fresh one over those of the old.
// The fresh one's root, which the caller owns; -1 with errno.
int cover_box(std::int64_t bytes, std::int64_t inodes, std::uint32_t owner);

}  // namespace proctor
