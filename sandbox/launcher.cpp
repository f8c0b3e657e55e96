// The launcher: forked from the parent while that has one thread, so that its own forks inherit no
// locked lock and no foreign memory. It starts slots and zygotes and outlives the parent by a
// moment to clean up after it. Forks are cheap here: the process is small and single-threaded.
#include "sandbox/launcher.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "sandbox/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/slot.h"
#include "sandbox/wire.h"

namespace proctor {
namespace {

using wire::Kind;
using wire::Message;
using wire::Packet;

// The parent's side.
std::mutex launcher_mutex;
int launcher_socket = -1;
int launcher_process = 0;
pid_t launcher_parent = 0;  // a fork of ours that exits leaves the launcher alone

// The launcher's side.
int userns_socket = -1;  // to the launcher's twin inside a user namespace, once there is one

bool write_file(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

// Inside: uid 0 of a namespace that maps it to us (to nobody when we are root: that is the world as
// an ordinary user sees it, and only tests ask for it).
bool enter_user_namespace() {
  if (geteuid() == 0) {
    if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
        setresuid(kNobody, kNobody, kNobody) != 0)
      return false;
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  }
  const std::string uid = std::to_string(geteuid()), gid = std::to_string(getegid());
  if (unshare(CLONE_NEWUSER) != 0) return false;
  (void)write_file("/proc/self/setgroups", "deny");
  return write_file("/proc/self/uid_map", "0 " + uid + " 1") &&
         write_file("/proc/self/gid_map", "0 " + gid + " 1");
}

void remove_tree(const std::string& directory) {
  // cgroups: the files in them go with the directory; boxes: everything below goes first.
  remove_below(directory);
  (void)rmdir(directory.c_str());
}

void start(Packet& packet) {
  const int socket = packet.take(0);
  const FilterFds filters{packet.take(1), packet.take(2)};
  const pid_t pid = fork();
  if (pid < 0) wire::send_failure(socket, 0, wire::Stage::fork);
  if (pid == 0) {
    (void)signal(SIGCHLD, SIG_DFL);
    if (launcher_socket >= 0) close(launcher_socket);
    if (userns_socket >= 0) close(userns_socket);
    const SlotPlan plan = read_plan({packet.text, packet.message.text_size});
    if (packet.message.kind == Kind::make_slot) become_slot(plan, socket, filters);
    become_zygote(plan, socket, filters);
  }
  close(socket);
  close(filters.program);
  close(filters.session);
}

[[noreturn]] void serve(int socket, bool in_user_namespace);

// Hands the request to the twin, which is started on first use.
void pass_on(Packet& packet) {
  if (userns_socket < 0) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
      wire::send_failure(packet.fds[0], 0, wire::Stage::fork);
      return;
    }
    const pid_t twin = fork();
    if (twin < 0) {
      wire::send_failure(packet.fds[0], 0, wire::Stage::fork);
      close(pair[0]);
      close(pair[1]);
      return;
    }
    if (twin == 0) {
      close(launcher_socket);
      close(pair[0]);
      packet.close_fds();
      launcher_socket = pair[1];
      serve(pair[1], true);
    }
    close(pair[1]);
    userns_socket = pair[0];
  }
  (void)wire::send_message(userns_socket, packet.message, packet.text, packet.message.text_size,
                           packet.fds, packet.n_fds);
}

void serve(int socket, bool in_user_namespace) {
  (void)prctl(PR_SET_NAME, "proctor-launch", 0, 0, 0);
  (void)signal(SIGCHLD, SIG_IGN);  // nobody waits for slots; they report for themselves
  // What a killed slot leaves comes here, and is gone when we go.
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const bool entered = !in_user_namespace || enter_user_namespace();
  const int why_not = errno;
  // A launcher that is killed waits for nobody; one that goes waits for its twin.
  if (in_user_namespace) (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  std::vector<std::string> to_remove;
  static Packet packet;
  for (;;) {
    const int received = wire::receive_message(socket, packet);
    if (received == 0) break;
    if (received < 0) {
      if (errno == EPROTO) continue;
      break;
    }
    const std::string_view text{packet.text, packet.message.text_size};
    if (packet.message.kind == Kind::sweep) {
      for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        to_remove.emplace_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
    } else if (packet.n_fds == 3) {
      const World world = read_plan(text).world;
      if (!entered) {
        errno = why_not;
        wire::send_failure(packet.fds[0], 0, wire::Stage::user_namespace);
      } else if (world == World::userns && !in_user_namespace) {
        pass_on(packet);
      } else {
        start(packet);
      }
    }
    packet.close_fds();
  }
  // The parent is gone. Slots end by themselves, on the end of their sockets and on our death; what
  // they leave empty can be removed a moment later.
  if (userns_socket >= 0) close(userns_socket);
  // Our death would be theirs, half-way through. With SIGCHLD ignored this returns when all have
  // ended; where one does not, the alarm interrupts it.
  struct sigaction interrupt{};
  interrupt.sa_handler = [](int) {};
  (void)sigaction(SIGALRM, &interrupt, nullptr);
  (void)alarm(5);
  (void)waitpid(-1, nullptr, 0);
  for (int round = 0; round < 100 && !to_remove.empty(); ++round) {
    std::erase_if(to_remove, [](const std::string& directory) {
      remove_tree(directory);
      return access(directory.c_str(), F_OK) != 0;
    });
    if (!to_remove.empty()) usleep(20'000);
  }
  _exit(0);
}

// At exit: the end of its socket tells the launcher to clean up and go, and whoever started us
// finds nothing of ours left. Bounded: what takes longer is done behind our back.
void stop_launcher() {
  std::lock_guard lock(launcher_mutex);
  if (launcher_socket < 0 || getpid() != launcher_parent) return;
  close(std::exchange(launcher_socket, -1));
  const int process = static_cast<int>(syscall(SYS_pidfd_open, launcher_process, 0));
  if (process < 0) return;
  pollfd ended{process, POLLIN, 0};
  if (poll(&ended, 1, 3000) == 1) (void)waitpid(launcher_process, nullptr, 0);
  close(process);
}

Result<int> ask(Kind kind, const SlotPlan& plan, FilterFds filters) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return internal_error(std::string("socketpair: ") + std::strerror(errno));
  Message message;
  message.kind = kind;
  const std::string text = write_plan(plan);
  const int fds[3] = {pair[1], filters.program, filters.session};
  int sent;
  {
    std::lock_guard lock(launcher_mutex);
    sent = launcher_socket < 0
               ? -2
               : wire::send_message(launcher_socket, message, text.data(), text.size(), fds, 3);
  }
  const int error = errno;
  close(pair[1]);
  if (sent == 0) return pair[0];
  close(pair[0]);
  if (sent == -2) return internal_error("no launcher was started");
  return internal_error(std::string("the launcher is gone, killed from outside (") +
                        std::strerror(error) + "); start proctor again");
}

}  // namespace

Status start_launcher() {
  std::lock_guard lock(launcher_mutex);
  if (launcher_socket >= 0) return {};
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
    launcher_socket = 3;
    serve(3, false);
  }
  close(pair[1]);
  launcher_socket = pair[0];
  launcher_process = pid;
  launcher_parent = getpid();
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
  std::lock_guard lock(launcher_mutex);
  if (launcher_socket >= 0 && !text.empty())
    (void)wire::send_message(launcher_socket, message, text.data(), text.size());
}

int launcher_pid() { return launcher_process; }

}  // namespace proctor
