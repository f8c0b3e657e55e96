// Files in and out of a workspace that a guest has written to, and the little that is read of
// /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/core/result.h"

namespace proctor {

// A name that stays inside the workspace: relative, no "..", no empty or "." part, no NUL, short.
Status check_file_name(std::string_view name);

// Writes `name` below the directory, making parents; never through a link. Owner 0 leaves it ours.
Status put_file(int directory, const std::string& name, std::string_view bytes, std::uint32_t owner,
                bool executable = false);
// A regular file below the directory, reached through no link; refused when larger than `most`.
Result<std::string> get_file(int directory, const std::string& name, std::int64_t most);

// Removes everything below the directory, whatever its modes, without following links.
void remove_below(const std::string& directory);

pid_t parent_of(pid_t pid);  // 0: no such process

}  // namespace proctor
