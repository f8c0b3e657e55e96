// How many files the process may have open at once (ulimit -n). Blind spot: how many are open.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "runtime/core/result.h"

namespace proctor {

// As many as it can have without asking anybody: the soft limit is raised to the hard one.
std::size_t most_open_files();
// How many of them the connections to one server may take; the others are those of the run, of the
// sandbox and of other servers.
inline std::size_t connections_that_fit(std::size_t open_files) {
  return std::max<std::size_t>(1, open_files / 4);
}
// `missing` where that is less than what somebody ("a run needs") needs.
Status need_open_files(std::size_t files, const std::string& who_needs);

}  // namespace proctor
