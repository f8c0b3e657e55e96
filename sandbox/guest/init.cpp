// The first process of a forked session's pid namespace: reaps what is orphaned, and says on
// descriptor 3 how the session's process, its argument, ended. It has no more rights than the
// guest; its end, by the parent's hand, ends the fork's whole tree.
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>

#include "sandbox/wire.h"

int main(int, char** arguments) {
  using namespace proctor::wire;
  constexpr int kChannel = 3;
  const pid_t session = std::atoi(arguments[1]);
  sigset_t orphans;
  sigemptyset(&orphans);
  sigaddset(&orphans, SIGCHLD);
  (void)sigprocmask(SIG_BLOCK, &orphans, nullptr);
  for (;;) {
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid != session) continue;
      Message message;
      message.kind = Kind::exited;
      message.value = status;
      (void)send_message(kChannel, message);
      close(kChannel);
    }
    (void)sigwaitinfo(&orphans, nullptr);
  }
}
