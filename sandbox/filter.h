// The system call filter of guests, as the kernel loads it.
#pragma once

#include <string>

#include "runtime/core/result.h"

namespace proctor {

struct FilterOptions {
  // Guests have network, processes and ipc objects of their own. Without such namespaces there are
  // no sockets but pairs, no ipc objects, and scheduling and limits of the caller only.
  bool namespaces = true;
  // Nobody but guests owns files as their user. Without, modes and owners stay as they are.
  bool own_uid = true;
};

// The program's bytes (struct sock_filter[]).
Result<std::string> build_filter(const FilterOptions& options);

}  // namespace proctor
