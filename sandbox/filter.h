// The system call filter of guests, as the kernel loads it.
#pragma once

#include <string>

#include "runtime/core/result.h"

namespace proctor {

struct FilterOptions {
  bool inet = true;  // internet sockets; harmless behind a network namespace of its own
};

// The program's bytes (struct sock_filter[]).
Result<std::string> build_filter(const FilterOptions& options);

}  // namespace proctor
