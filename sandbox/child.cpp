// Confines a freshly forked guest, and reaps guests. Blind spot: a forked guest still sees the
// memory of the slot or zygote it came from (copy-on-write), so nothing secret may ever be in
// there.
//
// Compiled twice: into proctor, and into the shared object that Python and bash load.
#include "sandbox/child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>

namespace proctor::child {
namespace {

using wire::Kind;
using wire::Message;
using wire::Packet;
using wire::Stage;

constexpr int kMostGuests = 2048;
constexpr int kChannel = 3;
constexpr int kReport = 4;
constexpr int kOutOfTheWay = kReport + 1;  // low: the limit of open files may be small

struct Guest {
  pid_t pid;
  std::uint64_t id;
};
Guest guests[kMostGuests];
int n_guests = 0;
int child_events = -1;  // a signalfd
int own_pidfd = -1;

[[noreturn]] void die(int socket, std::uint64_t id, Stage stage) {
  wire::send_failure(socket, id, stage);
  _exit(127);
}

bool is_pidfd_join(const Packet& packet) {
  return (packet.message.flags & wire::kJoinRun) && packet.n_fds > 3 && packet.fds[3] >= 0;
}

// 0,1,2 from the message, the channel on 3 when there is one, the report socket on 4.
bool place_descriptors(const Packet& spawn, int& report) {
  int moved[4] = {-1, -1, -1, -1};
  const bool parks = spawn.message.flags & wire::kPark;
  for (int i = 0; i < (parks ? 4 : 3); ++i) {
    moved[i] = fcntl(spawn.fds[i < 3 ? i : 4], F_DUPFD_CLOEXEC, kOutOfTheWay);
    if (moved[i] < 0) return false;
  }
  const int moved_report = fcntl(report, F_DUPFD_CLOEXEC, kOutOfTheWay);
  if (moved_report < 0) return false;
  for (int i = 0; i < 3; ++i)
    if (dup2(moved[i], i) < 0) return false;
  if (parks && dup3(moved[3], kChannel, O_CLOEXEC) < 0) return false;
  if (dup3(moved_report, kReport, O_CLOEXEC) < 0) return false;
  report = kReport;
  if (!parks) close(kChannel);
  return syscall(SYS_close_range, kReport + 1, ~0U, 0) == 0;
}

bool load_filter(const void* filter, unsigned instructions) {
  sock_fprog program{static_cast<unsigned short>(instructions),
                     static_cast<sock_filter*>(const_cast<void*>(filter))};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

bool drop_capabilities() {
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; capability < 64; ++capability)
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno == EINVAL) break;
  // EPERM above (no CAP_SETPCAP) is harmless: without permitted ones and with no_new_privs, the
  // bounding set gives nothing.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

void reset_handlers() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction defaults{};
    defaults.sa_handler = SIG_DFL;
    (void)sigaction(signal, &defaults, nullptr);
  }
}

void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

bool apply_limits(const Message& message) {
  for (std::uint32_t i = 0; i < message.n_limits; ++i) {
    const auto resource = static_cast<__rlimit_resource_t>(message.limits[i].resource);
    rlimit old{};
    if (getrlimit(resource, &old) != 0) return false;
    rlimit limit{message.limits[i].value, message.limits[i].value};
    if (limit.rlim_max > old.rlim_max) limit.rlim_cur = limit.rlim_max = old.rlim_max;
    if (setrlimit(resource, &limit) != 0) return false;
  }
  return true;
}

void reap(int socket) {
  for (;;) {
    int status = 0;
    rusage usage{};
    const pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid <= 0) return;
    for (int i = 0; i < n_guests; ++i) {
      if (guests[i].pid != pid) continue;
      Message message;
      message.kind = Kind::exited;
      message.id = guests[i].id;
      message.value = status;
      message.cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000LL +
                       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
      message.peak_kib = usage.ru_maxrss;
      guests[i] = guests[--n_guests];
      (void)wire::send_message(socket, message);
      break;
    }
  }
}

void watch_children() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  (void)signal(SIGCHLD, SIG_DFL);
  (void)sigprocmask(SIG_BLOCK, &set, nullptr);
  child_events = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  own_pidfd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
}

Turn serve_one(int socket, Packet& packet) {
  pollfd watched[2] = {{socket, POLLIN, 0}, {child_events, POLLIN, 0}};
  if (poll(watched, 2, -1) < 0) return errno == EINTR ? Turn::parent : Turn::gone;
  if (watched[1].revents) {
    signalfd_siginfo ignored[8];
    while (read(child_events, ignored, sizeof ignored) > 0) {
    }
    reap(socket);
  }
  if (!watched[0].revents) return Turn::parent;
  const int received = wire::receive_message(socket, packet, MSG_DONTWAIT);
  if (received == 0) return Turn::gone;
  if (received < 0) {
    if (errno == EAGAIN || errno == EPROTO) return Turn::parent;
    return Turn::gone;
  }
  return packet.message.kind == Kind::spawn ? Turn::fork : Turn::other;
}

bool read_spawn(const Packet& packet, Spawn& spawn) {
  const Message& message = packet.message;
  errno = EPROTO;
  const int used = message.flags & wire::kPark ? 5 : message.flags & wire::kJoinRun ? 4 : 3;
  const int others = packet.n_fds - static_cast<int>(message.n_cgroups);
  if (others < used || message.text_size == 0 || packet.text[message.text_size - 1] != 0)
    return false;
  spawn.cgroups = packet.fds + others;
  spawn.ruleset = message.value == 1 && others > used ? packet.fds[others - 1] : -1;
  spawn.directory = packet.text;
  auto* at = const_cast<char*>(packet.text) + std::strlen(packet.text) + 1;
  const char* const end = packet.text + message.text_size;
  const auto read_strings = [&](char** into, std::uint32_t n) {
    for (std::uint32_t i = 0; i < n; ++i, at += std::strlen(at) + 1) {
      if (at >= end) return false;
      into[i] = at;
    }
    into[n] = nullptr;
    return true;
  };
  if (message.n_arguments < kMostStrings && message.n_environment < kMostStrings)
    return read_strings(spawn.arguments, message.n_arguments) &&
           read_strings(spawn.environment, message.n_environment);
  errno = E2BIG;
  return false;
}

bool before_fork(int socket, const Packet& packet) {
  static Spawn ignored;
  if (n_guests >= kMostGuests) errno = EAGAIN;
  if (n_guests >= kMostGuests || !read_spawn(packet, ignored)) {
    wire::send_failure(socket, packet.message.id, Stage::protocol);
    return false;
  }
  if (is_pidfd_join(packet) && setns(packet.fds[3], CLONE_NEWPID) != 0) {
    wire::send_failure(socket, packet.message.id, Stage::join);
    return false;
  }
  return true;
}

void after_fork(int socket, Packet& packet, long pid) {
  const int error = errno;
  if (is_pidfd_join(packet)) (void)setns(own_pidfd, CLONE_NEWPID);
  if (pid < 0) {
    errno = error;
    wire::send_failure(socket, packet.message.id, Stage::fork);
  } else {
    guests[n_guests++] = {static_cast<pid_t>(pid), packet.message.id};
    Message message;
    message.kind = Kind::spawned;
    message.id = packet.message.id;
    message.value = pid;
    (void)wire::send_message(socket, message);
  }
  packet.close_fds();
}

void confine(const Packet& packet, const Confinement& confinement, int report) {
  const Message& message = packet.message;
  const auto fail = [&](Stage stage) { die(report, message.id, stage); };
  Spawn spawn;
  if (!read_spawn(packet, spawn)) fail(Stage::protocol);
  const int ruleset = spawn.ruleset >= 0 ? spawn.ruleset : confinement.landlock_ruleset;
  for (std::uint32_t i = 0; i < message.n_cgroups; ++i)
    if (write(spawn.cgroups[i], "0", 1) != 1) fail(Stage::cgroup);
  if (is_pidfd_join(packet)) {
    int spaces = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWUSER;
    if (message.flags & wire::kJoinSlot) spaces |= CLONE_NEWNS | CLONE_NEWNET;
    if (setns(packet.fds[3], spaces) != 0) fail(Stage::join);
  }
  if (chdir(spawn.directory) != 0) fail(Stage::directory);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(Stage::no_new_privs);
  if (ruleset >= 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) fail(Stage::landlock);
  if (message.flags & wire::kSetIdentity) {
    (void)setgroups(0, nullptr);  // refused in an unprivileged user namespace, where it is moot
    if (setresgid(message.gid, message.gid, message.gid) != 0) fail(Stage::identity);
    if (setresuid(message.uid, message.uid, message.uid) != 0) fail(Stage::identity);
  }
  if (!place_descriptors(packet, report)) fail(Stage::descriptors);
  (void)setsid();
  umask(022);
  // The zygote's guests are Pythons with the handlers of one.
  if (message.n_arguments > 0) reset_handlers();
  unblock_signals();
  if (!apply_limits(message)) fail(Stage::limits);
  if (!drop_capabilities()) fail(Stage::capabilities);
  // Only the reduced world needs it: elsewhere the run's init takes its guests along.
  if (!is_pidfd_join(packet)) (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // A parked guest never calls execve, which would make it dumpable again: /proc/self is its own.
  (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);

  if (confinement.filter_size > 0 && !load_filter(confinement.filter, confinement.filter_size))
    fail(Stage::seccomp);
  if (message.flags & wire::kPark) {
    if (message.n_arguments == 0) {
      close(report);
      return;
    }
    (void)fcntl(kChannel, F_SETFD, 0);  // a cold Python finds its channel there
  }
  execve(spawn.arguments[0], spawn.arguments, spawn.environment);
  fail(Stage::exec);
}

}  // namespace proctor::child

// What zygote.py calls through ctypes to fork its guests; what these call is in guest/live.cpp.
extern "C" {

static proctor::wire::Packet zygote_packet;
static proctor::child::Confinement zygote_confinement, session_confinement;

void proctor_start(const void* filter, unsigned filter_size, const void* session_filter,
                   unsigned session_filter_size) {
  zygote_confinement.filter = filter;
  zygote_confinement.filter_size = filter_size;
  session_confinement.filter = session_filter;
  session_confinement.filter_size = session_filter_size;
  proctor::child::watch_children();
  // Nothing of the parent's death may leave a zygote behind: its socket's end says the same, but
  // only once it is read.
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

// From here on the zygote may do what confining a guest takes, and what guests may.
void proctor_ready(int socket, const void* filter, unsigned filter_size) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      !proctor::child::load_filter(filter, filter_size)) {
    proctor::wire::send_failure(socket, 0, proctor::wire::Stage::seccomp);
    _exit(1);
  }
  proctor::wire::Message message;
  message.kind = proctor::wire::Kind::ready;
  message.value = getpid();
  (void)proctor::wire::send_message(socket, message);
}

// 1: fork now; 0: nothing to do; -1: the parent is gone.
int proctor_next(int socket) {
  using proctor::child::Turn;
  const Turn turn = proctor::child::serve_one(socket, zygote_packet);
  if (turn == Turn::gone) return -1;
  if (turn == Turn::other) zygote_packet.close_fds();
  if (turn != Turn::fork) return 0;
  if (proctor::child::before_fork(socket, zygote_packet)) return 1;
  zygote_packet.close_fds();
  return 0;
}

void proctor_forked(int socket, long pid) {
  proctor::child::after_fork(socket, zygote_packet, pid);
}

// In the child. Answers 1 for a live session, 0 for a single program.
int proctor_confine(int socket) {
  const bool session = zygote_packet.message.flags & proctor::wire::kSession;
  proctor::child::confine(zygote_packet, session ? session_confinement : zygote_confinement,
                          socket);
  return session;
}

}  // extern "C"
