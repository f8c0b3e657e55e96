// Landlock by system call: libc has no wrappers, and the headers of a build machine may be older
// than the kernel the binary meets, so the few constants are spelt out here.
#include "sandbox/landlock.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "sandbox/plan.h"

namespace proctor {
namespace {

constexpr std::uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2,
                        kReadDirectory = 1 << 3, kMakeCharacterDevice = 1 << 6,
                        kMakeBlockDevice = 1 << 11, kRefer = 1 << 13, kTruncate = 1 << 14;
constexpr std::uint64_t kBindTcp = 1 << 0, kConnectTcp = 1 << 1;
constexpr std::uint64_t kScopeAbstractSockets = 1 << 0, kScopeSignals = 1 << 1;

struct Ruleset {
  std::uint64_t files = 0, network = 0, scopes = 0;
};
struct [[gnu::packed]] PathRule {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};

bool allow_below(int ruleset, const std::string& path, std::uint64_t rights) {
  const int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  PathRule rule{rights, fd};
  long added = syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0);
  if (added != 0 && errno == EINVAL) {  // a file takes no directory rights
    rule.allowed &= kExecute | kWriteFile | kReadFile | kTruncate;
    added = syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0);
  }
  close(fd);
  return added == 0;
}

}  // namespace

int landlock_abi() {
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, 1);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

int make_landlock_ruleset(const std::vector<std::string>& readable, const std::string& box,
                          bool refuse_tcp) {
  static const int abi = landlock_abi();
  if (abi == 0) {
    errno = ENOSYS;
    return -1;
  }
  Ruleset ruleset;
  ruleset.files = (1ULL << 13) - 1;
  if (abi >= 2) ruleset.files |= kRefer;
  if (abi >= kLandlockTruncate) ruleset.files |= kTruncate;
  if (abi >= 4 && refuse_tcp) ruleset.network = kBindTcp | kConnectTcp;
  if (abi >= kLandlockScopes) ruleset.scopes = kScopeAbstractSockets | kScopeSignals;
  const std::size_t size = abi >= kLandlockScopes ? sizeof ruleset : abi >= 4 ? 16 : 8;
  const int fd = static_cast<int>(syscall(SYS_landlock_create_ruleset, &ruleset, size, 0));
  if (fd < 0) return -1;
  const std::uint64_t read = kExecute | kReadFile | kReadDirectory;
  const std::uint64_t write = ruleset.files & ~(kMakeCharacterDevice | kMakeBlockDevice);
  bool all = allow_below(fd, box, write);
  for (const auto& tree : readable) all = all && allow_below(fd, tree, read);
  // Who may write to zero could share it, and so have memory that no process shows.
  for (const char* device : kDevices)
    all =
        all && allow_below(fd, device,
                           kReadFile | (device == std::string_view("/dev/zero") ? 0 : kWriteFile));
  if (all) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace proctor
