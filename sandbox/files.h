// Files in and out of a workspace that a guest has written to, files in memory, and the little that
// is read of /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/result.h"
#include "sandbox/owned_fd.h"

namespace proctor {

// A name that stays inside the workspace: relative, no "..", no empty or "." part, no NUL, short.
Status check_file_name(std::string_view name);

// Writes `name` below the directory, making parents; never through a link. Owner 0 leaves it ours.
Status put_file(int directory, const std::string& name, std::string_view bytes, std::uint32_t owner,
                bool executable = false);
// A regular file below the directory, reached through no link; refused when larger than `most`.
Result<std::string> get_file(int directory, const std::string& name, std::int64_t most);

// While it lives, this thread makes and opens files as `uid`: as root we own no file of a workspace
// that was mounted in somebody else's user namespace, and the kernel refuses to make ids it cannot
// map there. 0: nothing changes.
class ActAs {
 public:
  explicit ActAs(std::uint32_t uid);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  bool acts_;
};

// A file in memory that holds the bytes and can never be changed, to be read from its beginning.
Result<OwnedFd> sealed_memory(std::string_view bytes, const char* name);

// The names in a folder, at most some thousands.
std::vector<std::string> names_in(int directory);

// Copies everything below `from` to below `to`, through no link, for `owner` (0: us). What is hard
// linked becomes files of their own.
Status copy_below(int from, int to, std::uint32_t owner);

// Removes everything below the directory, whatever its modes, without following links.
void remove_below(const std::string& directory);

std::vector<pid_t> processes();  // of this machine, as far as /proc shows them; none: it cannot
pid_t parent_of(pid_t pid);      // 0: no such process
// Whether both are there, and in one pid namespace; one below the other's is another.
bool share_pid_namespace(pid_t one, pid_t other);
bool anybody_lives_as(std::uint32_t uid);  // true also where it cannot be told
// A directory below another, through no link; the caller owns it. -1 with errno.
int open_directory(int directory, const std::string& name);
// The same of one that its owner has locked: it is so no longer.
int open_locked_directory(int directory, const std::string& name);

}  // namespace proctor
