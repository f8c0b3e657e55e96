// Lists of /proc and numbers of devices: memory of the kernel's own file system, and the workspace.
#include "sandbox/forkable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <sstream>

#include "runtime/core/json.h"
#include "sandbox/files.h"
#include "sandbox/tree_watch.h"

namespace proctor {
namespace {

constexpr int kChannel = 3;  // 0 to 3 are renewed for each cell, or in the fork

// Child processes and further threads; of more than one thread, those of the first.
int others_beside(pid_t pid) {
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  const auto children = read_file(fmt::format("{}/{}/children", tasks, pid));
  const OwnedFd folder(open(tasks.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!children || !folder) {  // a kernel without such lists
    TreeWatch below(-1, {pid}, 0, "");
    return below.look().tasks - 1;
  }
  return static_cast<int>(names_in(folder.get()).size()) - 1 +
         static_cast<int>(std::count(children->begin(), children->end(), ' '));
}

dev_t device_of(int fd) {
  struct stat found{};
  return fstat(fd, &found) == 0 ? found.st_dev : 0;
}

// What an open file is that copies would share, or nullptr.
const char* shared_kind(const struct stat& file, dev_t memory, dev_t box) {
  switch (file.st_mode & S_IFMT) {
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    case S_IFCHR:
    case S_IFDIR:
      return nullptr;
    case S_IFREG:
      if (file.st_dev == memory) return "a file in memory";
      return file.st_dev == box && file.st_nlink == 0 ? "a file without a name" : nullptr;
    default:
      return "an object of the kernel's, such as epoll";
  }
}

std::string shared_descriptor(pid_t pid, dev_t memory, dev_t box) {
  const std::string path = fmt::format("/proc/{}/fd", pid);
  const OwnedFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return "";
  for (const auto& name : names_in(folder.get())) {
    struct stat file{};
    if (std::atoi(name.c_str()) <= kChannel || fstatat(folder.get(), name.c_str(), &file, 0) != 0)
      continue;
    if (const char* kind = shared_kind(file, memory, box))
      return fmt::format("{} (descriptor {})", kind, name);
  }
  return "";
}

// Lines such as "7f5c8000-7f5c9000 rw-s 00000000 00:01 1234 /dev/zero (deleted)".
std::string shared_mapping(pid_t pid, dev_t memory, dev_t box) {
  const auto text = read_file(fmt::format("/proc/{}/maps", pid));
  if (!text) return "";
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    char modes[5] = "";
    unsigned major = 0, minor = 0;
    if (std::sscanf(line.c_str(), "%*x-%*x %4s %*x %x:%x", modes, &major, &minor) != 3) continue;
    const dev_t device = makedev(major, minor);
    if (modes[3] == 's' && (device == memory || device == box))
      return "memory that is mapped shared";
  }
  return "";
}

}  // namespace

std::string why_not_forkable(pid_t session, int box) {
  if (const int others = others_beside(session); others > 0)
    return fmt::format("it has {} other processes or threads, which a fork would not have", others);
  const OwnedFd file(memfd_create("device", MFD_CLOEXEC));
  const dev_t memory = device_of(file.get()), workspace = device_of(box);
  std::string shared = shared_descriptor(session, memory, workspace);
  if (shared.empty()) shared = shared_mapping(session, memory, workspace);
  return shared.empty() ? "" : "it holds " + shared + ", which a fork would share";
}

}  // namespace proctor
