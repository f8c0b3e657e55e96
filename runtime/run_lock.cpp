// flock rather than fcntl: an fcntl lock is lost as soon as anything in the process closes the
// file.
#include "runtime/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace proctor {
namespace {

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string holder(int descriptor) {
  char text[300] = "";
  const ssize_t length = ::pread(descriptor, text, sizeof text - 1, 0);
  std::string line(text, length > 0 ? static_cast<std::size_t>(length) : 0);
  line = line.substr(0, line.find('\n'));
  return line.empty() ? "another process" : "process " + line;
}

}  // namespace

Result<RunLock> RunLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0)
    return internal_error(directory + ": cannot be written to: " + std::strerror(errno));
  RunLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return internal_error(path + ": flock: " + std::strerror(errno));
    return bad_input(directory + ": in use by " + holder(descriptor) +
                     "; wait for it or stop it first");
  }
  // The name of the holder is for messages only: a disk too full for it does not undo the lock.
  const std::string line = std::to_string(::getpid()) + " on " + host_name() + "\n";
  if (::ftruncate(descriptor, 0) == 0) (void)!::pwrite(descriptor, line.data(), line.size(), 0);
  return lock;
}

void RunLock::give_back() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

}  // namespace proctor
