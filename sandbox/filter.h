// The system call filter of guests, as the kernel loads it.
#pragma once

#include <string>

#include "runtime/core/result.h"

namespace proctor {

struct FilterOptions {
  // Guests have network, processes and ipc objects of their own. Without such namespaces there are
  // no sockets but pairs of streams, no ipc objects, no watching of files, and scheduling and
  // limits of the caller only.
  bool namespaces = true;
  // Nobody but guests owns files as their user. Without, modes and owners stay as they are.
  bool own_uid = true;
  // Something else keeps guests from cutting files short that they may only read. Without, a file
  // is cut through a descriptor for writing only.
  bool truncation_held = true;
};

// The program's bytes (struct sock_filter[]).
Result<std::string> build_filter(const FilterOptions& options);

}  // namespace proctor
