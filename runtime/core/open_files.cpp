// A limit that cannot be read is taken for none: what fails then says so itself.
#include "runtime/core/open_files.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <limits>

namespace proctor {

std::size_t most_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::numeric_limits<std::size_t>::max();
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

Status need_open_files(std::size_t files, const std::string& who_needs) {
  const std::size_t most = most_open_files();
  if (files <= most) return {};
  return missing(
      fmt::format("only {} files may be open at once (ulimit -n), and {} {}; raise the limit", most,
                  who_needs, files));
}

}  // namespace proctor
