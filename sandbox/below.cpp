// Ends all processes below this one by looking at /proc again and again. Blind spot: where /proc
// shows nothing there is nobody to end.
#include "sandbox/below.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <map>
#include <vector>

#include "sandbox/files.h"

namespace proctor {
namespace {

bool lies_below(pid_t pid, const std::map<pid_t, pid_t>& parents, const std::set<pid_t>& spared) {
  constexpr int kDeepest = 4096;  // what is read while numbers come round may be a ring
  for (int steps = 0; steps < kDeepest && !spared.count(pid); ++steps) {
    const auto found = parents.find(pid);
    if (found == parents.end()) return false;
    pid = found->second;
    if (pid == getpid()) return true;
  }
  return false;
}

void wait_a_moment() {
  const timespec moment{0, 500'000};
  (void)nanosleep(&moment, nullptr);
}

}  // namespace

bool end_all_of(std::uint32_t uid, const std::function<void()>& reap, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const pid_t killer = fork();
    if (killer == 0) {
      if (setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0) (void)kill(-1, SIGKILL);
      _exit(0);
    }
    if (killer > 0) (void)waitpid(killer, nullptr, 0);
    reap();
    if (!anybody_lives_as(uid)) return true;
    wait_a_moment();
  }
  errno = ETIMEDOUT;
  return false;
}

bool end_below(const std::function<void()>& reap, const std::set<pid_t>& spared, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    std::map<pid_t, pid_t> parents;
    for (const pid_t pid : processes())
      if (const pid_t parent = parent_of(pid); parent > 0) parents[pid] = parent;
    bool any = false;
    std::vector<OwnedFd> below;
    for (const auto& [pid, parent] : parents) {
      if (!lies_below(pid, parents, spared)) continue;
      any = true;
      // The number may be somebody else's by now, whose parent is another.
      OwnedFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      if (process && parent_of(pid) == parent) below.push_back(std::move(process));
    }
    for (const int signal : {SIGSTOP, SIGKILL})
      for (const auto& process : below)
        (void)syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0);
    reap();
    if (!any) return true;
    if (round + 1 < rounds) wait_a_moment();
  }
  errno = ETIMEDOUT;
  return false;
}

}  // namespace proctor
