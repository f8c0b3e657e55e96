// From the parent to its slots: the guardian hands each request on to the launcher, which starts
// the slot or zygote, and the launcher those of unprivileged user namespaces to its twin inside of
// one. Each of them is single-threaded, small, and the child of the one before. Who finds the next
// one killed ends what that has left and starts another; who finds the one before killed ends all
// below, and itself. The guardian outlives the parent by a moment to clean up after it. Blind spot:
// one that is killed stays away, since the parent has threads by then and cannot fork another.
#include "sandbox/guardian.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sandbox/below.h"
#include "sandbox/files.h"
#include "sandbox/slot.h"
#include "sandbox/wire.h"

namespace proctor {
namespace {

using wire::Kind;
using wire::Packet;
using wire::Stage;

enum class Role { guardian, launcher, twin };

sigset_t child_ended() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  return signals;
}

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

// Guests can read the command line of their init, which is forked from here: a proctor's may name
// files, hosts and keys, and its environment more of them.
void forget_command_line() {
  const int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  char text[2048] = "";
  const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  const char* at = size > 0 ? std::strrchr(text, ')') : nullptr;
  constexpr int kFirst = 48;  // of four: where both begin and end, as in proc_pid_stat(5)
  std::uintptr_t ends[4] = {};
  for (int field = 2; at && field < kFirst + 4; ++field, at = std::strchr(at + 1, ' '))
    if (field >= kFirst) ends[field - kFirst] = std::strtoull(at, nullptr, 10);
  for (const int i : {0, 2}) {
    if (ends[i] == 0 || ends[i + 1] <= ends[i]) continue;
    auto* const begin = reinterpret_cast<char*>(ends[i]);  // NOLINT(performance-no-int-to-ptr)
    std::memset(begin, 0, ends[i + 1] - ends[i]);
    if (i == 0) std::strncpy(begin, "proctor-sandbox", ends[1] - ends[0] - 1);
  }
}

// Any of the three.
class Station {
 public:
  Station(int socket, Role role) : socket_(socket), role_(role) {}
  [[noreturn]] void serve();

 private:
  bool receive(Packet& packet);
  pid_t fork_child();
  void start(Packet& packet, const SlotPlan& plan);
  void pass_on(Packet& packet);
  bool start_next(Packet& packet);
  void lose_next();
  bool reap();
  [[noreturn]] void end();

  const int socket_;  // towards the parent
  const Role role_;
  const pid_t above_ = getppid();
  int next_ = -1;  // the next one's socket
  pid_t next_process_ = 0;
  std::set<pid_t> children_;
  std::map<pid_t, std::uint32_t> guests_;  // of slots whose guests have a user and no more
  sigset_t usual_signals_{};
  std::vector<std::string> to_remove_;
};

// Whether there are children still.
bool Station::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return pid == 0;
    children_.erase(pid);
    const auto user = guests_.extract(pid);
    if (user && WIFSIGNALED(status)) (void)end_all_of(user.mapped(), [] {}, kMostRounds);
  }
}

// The next message; false at the end of the one before us. What a killed child has left comes to us
// meanwhile, and is ended.
bool Station::receive(Packet& packet) {
  for (;;) {
    pollfd readable{socket_, POLLIN, 0};
    if (ppoll(&readable, 1, nullptr, &usual_signals_) < 0) {
      reap();
      (void)end_below([this] { reap(); }, children_, 1);
      continue;
    }
    const int received = wire::receive_message(socket_, packet, MSG_DONTWAIT);
    const int error = errno;
    (void)reap();  // a killed slot's number, and guests, may be meant for another now
    if (received >= 0) return received > 0;
    if (error != EPROTO && error != EAGAIN) return false;
  }
}

pid_t Station::fork_child() {
  const pid_t pid = fork();
  if (pid > 0) children_.insert(pid);
  if (pid != 0) return pid;
  (void)signal(SIGCHLD, SIG_DFL);
  (void)sigprocmask(SIG_SETMASK, &usual_signals_, nullptr);
  close(socket_);
  if (next_ >= 0) close(next_);
  return 0;
}

void Station::start(Packet& packet, const SlotPlan& plan) {
  const pid_t pid = fork_child();
  if (pid < 0) wire::send_failure(packet.fds[0], 0, Stage::fork);
  if (pid > 0 && plan.world == World::reduced && plan.host_uid != 0) guests_[pid] = plan.host_uid;
  if (pid != 0) return;
  const FilterFds filters{packet.fds[1], packet.fds[2], packet.n_fds > 3 ? packet.fds[3] : -1};
  if (packet.message.kind == Kind::make_slot) become_slot(plan, packet.fds[0], filters);
  become_zygote(plan, packet.fds[0], filters);
}

bool Station::start_next(Packet& packet) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  const pid_t pid = fork_child();
  if (pid == 0) {
    close(pair[0]);
    packet.close_fds();
    Station(pair[1], role_ == Role::guardian ? Role::launcher : Role::twin).serve();
  }
  const int error = errno;
  close(pair[1]);
  errno = error;
  if (pid < 0) {
    close(pair[0]);
    return false;
  }
  next_ = pair[0];
  next_process_ = pid;
  return true;
}

// It was killed. Nobody meets what it has left: that is gone before there is another.
void Station::lose_next() {
  close(std::exchange(next_, -1));
  children_.erase(next_process_);
  (void)end_below([this] { reap(); }, children_, kMostRounds);
}

void Station::pass_on(Packet& packet) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (next_ < 0 && !start_next(packet)) break;
    if (wire::send_message(next_, packet.message, packet.text, packet.message.text_size, packet.fds,
                           packet.n_fds, MSG_DONTWAIT) == 0)
      return;
    if (errno != EPIPE && errno != ECONNRESET) break;
    lose_next();
  }
  wire::send_failure(packet.fds[0], 0, Stage::fork);
}

void Station::serve() {
  const char* const name = role_ == Role::guardian ? "proctor-guard" : "proctor-launch";
  (void)prctl(PR_SET_NAME, name, 0, 0, 0);
  // A child's end interrupts waiting for messages, and nothing else.
  struct sigaction interrupt{};
  interrupt.sa_handler = [](int) {};
  (void)sigaction(SIGCHLD, &interrupt, nullptr);
  const sigset_t ended = child_ended();
  (void)sigprocmask(SIG_BLOCK, &ended, &usual_signals_);
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const bool entered = role_ != Role::twin || enter_user_namespace();
  const int why_not = errno;
  static Packet packet;
  while (receive(packet)) {
    const std::string_view text{packet.text, packet.message.text_size};
    if (packet.message.kind == Kind::sweep) {
      for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        to_remove_.emplace_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
    } else if (packet.n_fds >= 3) {
      const auto plan = read_plan(text);
      if (!entered) {
        errno = why_not;
        wire::send_failure(packet.fds[0], 0, Stage::user_namespace);
      } else if (!plan) {
        errno = EPROTO;
        wire::send_failure(packet.fds[0], 0, Stage::protocol);
      } else if (role_ == Role::guardian ||
                 (role_ == Role::launcher && plan->world == World::userns)) {
        pass_on(packet);
      } else {
        start(packet, *plan);
      }
    }
    packet.close_fds();
  }
  end();
}

// Slots end by themselves, on the end of their sockets; our death would be theirs, half-way
// through. What they leave empty can be removed a moment later.
void Station::end() {
  if (next_ >= 0) close(next_);
  constexpr timespec kMoment{0, 20'000'000};
  constexpr int kMoments = 250;
  const sigset_t ended = child_ended();
  int moments = 0;
  while (reap() && moments < kMoments && (role_ == Role::guardian || getppid() == above_))
    if (sigtimedwait(&ended, nullptr, &kMoment) < 0) ++moments;
  if (reap()) (void)end_below([this] { reap(); }, {}, kMostRounds);
  for (int round = 0; round < 100 && !to_remove_.empty(); ++round) {
    std::erase_if(to_remove_, [](const std::string& directory) {
      remove_tree(directory);
      return access(directory.c_str(), F_OK) != 0;
    });
    if (!to_remove_.empty()) usleep(20'000);
  }
  _exit(0);
}

}  // namespace

void become_guardian(int socket) {
  forget_command_line();
  Station(socket, Role::guardian).serve();
}

}  // namespace proctor
