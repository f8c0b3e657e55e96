// The parent's side of the launcher: how it is started, asked and ended.
#include "sandbox/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "sandbox/guardian.h"
#include "sandbox/sandbox.h"
#include "sandbox/wire.h"

namespace proctor {
namespace {

using wire::Kind;
using wire::Message;

std::mutex guardian_mutex;
int guardian_socket = -1;
int guardian_process = 0;
pid_t guardian_parent = 0;  // a fork of ours that exits leaves the guardian alone

// At exit: the end of its socket tells the guardian to clean up and go, and whoever started us
// finds nothing of ours left. Bounded: what takes longer is done behind our back.
void stop_launcher() {
  std::lock_guard lock(guardian_mutex);
  if (guardian_socket < 0 || getpid() != guardian_parent) return;
  close(std::exchange(guardian_socket, -1));
  const int process = static_cast<int>(syscall(SYS_pidfd_open, guardian_process, 0));
  if (process < 0) return;
  pollfd ended{process, POLLIN, 0};
  if (poll(&ended, 1, 3000) == 1) (void)waitpid(guardian_process, nullptr, 0);
  close(process);
}

Result<int> ask(Kind kind, const SlotPlan& plan, FilterFds filters) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return internal_error(std::string("socketpair: ") + std::strerror(errno));
  Message message;
  message.kind = kind;
  const std::string text = write_plan(plan);
  const int fds[4] = {pair[1], filters.program, filters.session, filters.inherited};
  int sent;
  {
    std::lock_guard lock(guardian_mutex);
    sent = guardian_socket < 0
               ? -2
               : wire::send_message(guardian_socket, message, text.data(), text.size(), fds,
                                    filters.inherited < 0 ? 3 : 4, MSG_DONTWAIT);
  }
  const int error = errno;
  close(pair[1]);
  if (sent == 0) return pair[0];
  close(pair[0]);
  if (sent == -2) return internal_error("no launcher was started");
  if (error == EAGAIN) return internal_error("the sandbox's guardian does not answer");
  return internal_error(std::string("the sandbox's guardian is gone, killed from outside (") +
                        std::strerror(error) + "); start proctor again");
}

}  // namespace

Status start_launcher() {
  std::lock_guard lock(guardian_mutex);
  if (guardian_socket >= 0) return {};
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return internal_error(std::string("socketpair: ") + std::strerror(errno));
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(pair[0]);
    close(pair[1]);
    return internal_error(std::string("fork: ") + std::strerror(error));
  }
  if (pid == 0) {
    // Out of the terminal's reach: Ctrl-C is for the parent, and so are its descriptors.
    (void)setsid();
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd)
      if (fd != 2 || !getenv("PROCTOR_SANDBOX_DEBUG")) (void)dup2(nothing, fd);
    const int socket = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
    if (dup3(socket, 3, O_CLOEXEC) < 0 && socket != 3) _exit(1);
    syscall(SYS_close_range, 4U, ~0U, 0);
    (void)!chdir("/") /* a working directory of ours keeps no mount busy */;
    // For all below: a crash leaves no file, nor, as it would with a limit of 0, starts a handler
    // of the host's.
    const rlimit no_core{1, 1};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    become_guardian(3);
  }
  close(pair[1]);
  guardian_socket = pair[0];
  guardian_process = pid;
  guardian_parent = getpid();
  (void)std::atexit(stop_launcher);
  return {};
}

Result<int> ask_for_slot(const SlotPlan& plan, FilterFds filters) {
  return ask(Kind::make_slot, plan, filters);
}
Result<int> ask_for_zygote(const SlotPlan& plan, FilterFds filters) {
  return ask(Kind::make_zygote, plan, filters);
}

void remove_when_gone(const std::vector<std::string>& directories) {
  std::string text;
  for (const auto& directory : directories) text += (text.empty() ? "" : "\n") + directory;
  Message message;
  message.kind = Kind::sweep;
  std::lock_guard lock(guardian_mutex);
  if (guardian_socket >= 0 && !text.empty())
    (void)wire::send_message(guardian_socket, message, text.data(), text.size());
}

int guardian_pid() { return guardian_process; }

}  // namespace proctor
