// A slot: mount and net namespace prepared once; for every run a fresh workspace and a fresh init
// of pid, ipc, uts and user namespace. The zygote: the same view around a warm Python.
//
// Single-threaded, trusted, forked from the launcher; it never reads what guests write. Killing a
// run's init ends its whole tree. In the reduced world there is no such init: the slot is the
// subreaper of its guests and hunts them down.
#include "sandbox/slot.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/core/json.h"
#include "sandbox/below.h"
#include "sandbox/child.h"
#include "sandbox/embedded.h"
#include "sandbox/files.h"
#include "sandbox/landlock.h"
#include "sandbox/mounts.h"
#include "sandbox/owned_fd.h"

namespace proctor {
namespace {

using wire::Kind;
using wire::Message;
using wire::Packet;
using wire::send_failure;
using wire::Stage;

int open_pidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// Says on the socket what this process is, with a pidfd of it.
void announce(int socket, Kind kind) {
  Message message;
  message.kind = kind;
  message.value = getpid();
  const int self = open_pidfd(getpid());
  (void)wire::send_message(socket, message, nullptr, 0, &self, self >= 0 ? 1 : 0);
  close(self);
}

void bring_up_loopback() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  (void)ioctl(fd, SIOCSIFFLAGS, &request);  // without it, guests just cannot talk to themselves
  close(fd);
}

void set_of_network(const char* name, std::string_view value) {
  const int fd = open((std::string("/proc/sys/net/ipv4/") + name).c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write(fd, value.data(), value.size());
  close(fd);
}

void furnish_network() {
  bring_up_loopback();
  // A run's closed connections would be seen, and their ports missing, in the next run.
  set_of_network("tcp_max_tw_buckets", "0");
  // A socket's buffers are the host's memory: TreeWatch charges no more than this.
  for (const char* buffers : {"tcp_rmem", "tcp_wmem"}) set_of_network(buffers, "4096 65536 131072");
}

// Namespaces, view and network of slot or zygote. `none` or the step that failed.
Stage isolate(const SlotPlan& plan) {
  if (plan.world == World::reduced) return Stage::none;
  if (unshare(CLONE_NEWNS) != 0) return Stage::mount_namespace;
  if (unshare(CLONE_NEWNET) != 0) return Stage::net_namespace;
  furnish_network();
  return enter_view(plan);
}

// The first process of a run's pid namespace: reaps what is orphaned, and takes all with it when it
// is killed. It keeps its capabilities over the run's user namespace, which no guest has: that is
// what keeps guests of the same uid from tracing it.
//
// It says on `report` how far it came, and waits on `mapped` for one byte: an end of that pipe
// without it is the slot's death.
[[noreturn]] void be_init(int report, int mapped) {
  Stage stage = Stage::none;
  (void)!sethostname("sandbox", 7);
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    stage = Stage::proc;
  else if (unshare(CLONE_NEWUSER) != 0)
    stage = Stage::user_namespace;
  int answer[2] = {static_cast<int>(stage), errno};
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // here: a new user namespace clears it
  (void)prctl(PR_SET_NAME, "init", 0, 0, 0);
  (void)!write(report, answer, sizeof answer);
  char go;
  if (read(mapped, &go, 1) != 1) _exit(1);
  syscall(SYS_close_range, 0U, ~0U, 0);
  sigset_t orphans;  // blocked since watch_children(): a blocked signal waits even for an init
  sigemptyset(&orphans);
  sigaddset(&orphans, SIGCHLD);
  for (;;) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    (void)sigwaitinfo(&orphans, nullptr);
  }
}

// The tree, or where something below it is hidden, what is beside that: a rule of Landlock's cannot
// be taken back further down.
void add_around(const std::vector<std::string>& hidden, const std::string& tree,
                std::vector<std::string>& trees) {
  const auto lies_below = [&](const std::string& each) { return lies_in(each, tree); };
  const auto found = std::find_if(hidden.begin(), hidden.end(), lies_below);
  if (found == hidden.end()) {
    trees.push_back(tree);
    return;
  }
  DIR* folder = *found == tree ? nullptr : opendir(tree.c_str());
  if (!folder) return;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") add_around(hidden, tree + "/" + name, trees);
  }
  closedir(folder);
}

std::vector<std::string> readable(const SlotPlan& plan) {
  if (plan.world != World::reduced) return {"/"};
  std::vector<std::string> trees;
  for (const char* tree : kSystemTrees) add_around(plan.hidden, tree, trees);
  // What a view of its own would have instead of the host's.
  for (const char* tree :
       {"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/ssl/openssl.cnf",
        "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu"})
    add_around(plan.hidden, tree, trees);
  for (const auto& tree : plan.trees) add_around(plan.hidden, tree, trees);
  trees.push_back(plan.child_object);
  return trees;
}

class SlotProcess {
 public:
  SlotProcess(const SlotPlan& plan, int socket, std::string filter, std::string session_filter)
      : plan_(plan),
        socket_(socket),
        filter_(std::move(filter)),
        session_filter_(std::move(session_filter)),
        readable_(readable(plan)) {}

  [[noreturn]] void serve();

 private:
  bool reduced() const { return plan_.world == World::reduced; }
  void send_answer(Kind kind, std::uint64_t id);
  void prepare(const Message& request);
  Stage start_init();
  bool write_maps(pid_t pid, std::uint32_t outside) const;
  bool end_run();
  bool hunt_down();
  void spawn(Packet& packet);
  bool write_fork_limit(std::int64_t most) const;
  void allow_forks(const Message& request);
  OwnedFd namespace_above_fork(pid_t pid) const;
  void adopt(const Packet& packet);
  void listen(const Message& request);
  [[noreturn]] void give_view(const Message& request, int mounts, int processes, int entered) const;

  const SlotPlan plan_;
  const int socket_;
  const std::string filter_, session_filter_;
  const std::vector<std::string> readable_;  // for Landlock
  int host_proc_ = -1;
  pid_t init_ = -1;
  int init_pidfd_ = -1;
  bool proc_mounted_ = false;
  bool box_mounted_ = false;
  int ruleset_ = -1;
};

void SlotProcess::send_answer(Kind kind, std::uint64_t id) {
  Message answer;
  answer.kind = kind;
  answer.id = id;
  (void)wire::send_message(socket_, answer);
}

bool SlotProcess::write_maps(pid_t pid, std::uint32_t outside) const {
  const std::string directory = std::to_string(pid) + "/";
  const auto write_file = [&](const char* name, const std::string& text) {
    const int fd = openat(host_proc_, (directory + name).c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(fd);
    return written;
  };
  const std::string map = std::to_string(kGuestId) + " " + std::to_string(outside) + " 1\n";
  if (plan_.world == World::userns && !write_file("setgroups", "deny")) return false;
  return write_file("uid_map", map) && write_file("gid_map", map);
}

Stage SlotProcess::start_init() {
  int report[2], mapped[2];
  if (pipe2(report, O_CLOEXEC) != 0) return Stage::descriptors;
  if (pipe2(mapped, O_CLOEXEC) != 0) {
    close(report[0]), close(report[1]);
    return Stage::descriptors;
  }
  const long pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD, nullptr,
                           nullptr, nullptr, nullptr);
  if (pid == 0) {
    // Its own copies of the slot's ends would keep the pipes from ever ending.
    close(report[0]), close(mapped[1]);
    be_init(report[1], mapped[0]);
  }
  Stage stage = pid < 0 ? Stage::pid_namespace : Stage::none;
  close(report[1]);
  close(mapped[0]);
  if (pid > 0) {
    init_ = static_cast<pid_t>(pid);
    init_pidfd_ = open_pidfd(init_);
    int answer[2] = {static_cast<int>(Stage::pid_namespace), ECHILD};
    if (read(report[0], answer, sizeof answer) == sizeof answer &&
        static_cast<Stage>(answer[0]) != Stage::proc)
      proc_mounted_ = true;
    stage = static_cast<Stage>(answer[0]);
    errno = answer[1];
    if (stage == Stage::none && !write_maps(init_, plan_.host_uid)) stage = Stage::user_namespace;
  }
  const int error = errno;
  if (stage == Stage::none && write(mapped[1], "g", 1) != 1) stage = Stage::pid_namespace;
  close(report[0]);
  close(mapped[1]);
  errno = error;
  return stage;
}

// Ends the run and waits until all of it is gone; false when it does not go. The pid namespace is
// gone only when those of its processes that somebody outside started are reaped too, hence the
// loop.
bool SlotProcess::end_run() {
  if (reduced()) return hunt_down();
  if (init_ > 0) {
    (void)kill(init_, SIGKILL);
    // reap() may be the one that reaps it; then there is no such child any more.
    while (waitpid(init_, nullptr, WNOHANG) == 0) {
      child::reap(socket_);
      pollfd gone{init_pidfd_, POLLIN, 0};
      (void)poll(&gone, 1, 2);
    }
    close(init_pidfd_);
    init_ = -1;
    init_pidfd_ = -1;
  }
  child::reap(socket_);
  return true;
}

bool SlotProcess::hunt_down() {
  const auto reap = [this] { child::reap(socket_); };
  return plan_.host_uid != 0 ? end_all_of(plan_.host_uid, reap, kMostRounds)
                             : end_below(reap, {}, kMostRounds);
}

void SlotProcess::prepare(const Message& request) {
  const auto fail = [&](Stage stage) { send_failure(socket_, request.id, stage); };
  if (!end_run()) return fail(Stage::ending);
  int box = -1;
  if (reduced()) {
    remove_below(plan_.box);
    if (!make_box_directories(plan_.box, plan_.host_uid)) return fail(Stage::box);
    box = open(plan_.box.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  } else {
    if (proc_mounted_) (void)umount2("/proc", MNT_DETACH);
    proc_mounted_ = false;
    if (box_mounted_ && umount2(kBox, MNT_DETACH) != 0) return fail(Stage::box);
    box_mounted_ = false;
    if (!mount_box(request.box_bytes, request.box_inodes, plan_.host_uid)) return fail(Stage::box);
    box_mounted_ = true;
    if (const Stage stage = start_init(); stage != Stage::none) return fail(stage);
    box = open(kBox, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  }
  if (box < 0) return fail(Stage::box);
  if (ruleset_ >= 0) close(ruleset_);
  ruleset_ = -1;
  if (plan_.landlock) {
    ruleset_ = make_landlock_ruleset(readable_, reduced() ? plan_.box : kBox, reduced());
    if (ruleset_ < 0) {
      close(box);
      return fail(Stage::landlock);
    }
  }
  Message answer;
  answer.kind = Kind::prepared;
  answer.id = request.id;
  answer.value = init_;
  answer.flags = reduced() ? 0 : 1;
  int fds[3] = {box, -1, -1};
  int n = 1;
  if (!reduced()) fds[n++] = init_pidfd_;
  if (ruleset_ >= 0) fds[n++] = ruleset_;
  (void)wire::send_message(socket_, answer, nullptr, 0, fds, n);
  close(box);
}

void SlotProcess::spawn(Packet& packet) {
  if (!child::before_fork(socket_, packet)) {
    packet.close_fds();
    return;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    child::Confinement confinement;
    const bool session = packet.message.flags & wire::kSession;
    const std::string& filter = session ? session_filter_ : filter_;
    confinement.filter = filter.data();
    confinement.filter_size = static_cast<std::uint32_t>(filter.size() / 8);
    confinement.landlock_ruleset = ruleset_;
    child::confine(packet, confinement, socket_);
    _exit(127);
  }
  child::after_fork(socket_, packet, pid);
}

// Work that changes the caller's namespaces, in a process of its own; true when it says so.
template <class Work>
bool in_a_process_of_its_own(Work work) {
  const pid_t pid = fork();
  if (pid == 0) _exit(work() ? 0 : 1);
  int status = 1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

// A session can fork when it may make one user namespace more below its own: the kernel counts.
bool SlotProcess::write_fork_limit(std::int64_t most) const {
  return in_a_process_of_its_own([&] {
    if (setns(init_pidfd_, CLONE_NEWUSER) != 0) return false;
    const int fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
    const std::string text = std::to_string(most);
    return fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  });
}

bool has_capabilities(const std::string& task) {
  const auto status = read_file(task + "/status");
  if (!status) return false;  // gone
  for (const char* name : {"\nCapPrm:\t", "\nCapEff:\t", "\nCapInh:\t", "\nCapAmb:\t"}) {
    const std::size_t at = status->find(name);
    if (at == std::string::npos) return true;
    const std::size_t from = at + std::strlen(name);
    const std::string value = status->substr(from, status->find('\n', from) - from);
    if (value.find_first_not_of('0') != std::string::npos) return true;
  }
  return false;
}

// Whether no thread of the run's has rights over any namespace, its init apart.
bool all_are_unprivileged() {
  for (const pid_t pid : processes()) {  // of the run: /proc here is that of its pid namespace
    if (pid == 1) continue;
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    DIR* threads = opendir(tasks.c_str());
    if (!threads) continue;  // gone
    bool found = false;
    while (const dirent* thread = found ? nullptr : readdir(threads))
      found = thread->d_name[0] != '.' && has_capabilities(tasks + "/" + thread->d_name);
    closedir(threads);
    if (found) return false;
  }
  return true;
}

void SlotProcess::allow_forks(const Message& request) {
  if (reduced() || init_ <= 0 || !write_fork_limit(request.value))
    return send_failure(socket_, request.id, Stage::user_namespace);
  if ((request.flags & wire::kVet) && !all_are_unprivileged())
    return send_failure(socket_, request.id, Stage::capabilities);
  send_answer(Kind::allowed, request.id);
}

// The user namespace above that of `pid`, where that is the first process of its pid namespace and
// its user namespace lies below the run's; else nothing.
OwnedFd SlotProcess::namespace_above_fork(pid_t pid) const {
  const auto open_below = [&](pid_t of, const char* name) {
    return openat(host_proc_, (std::to_string(of) + name).c_str(), O_RDONLY | O_CLOEXEC);
  };
  const OwnedFd status(open_below(pid, "/status")), run(open_below(init_, "/ns/user"));
  const OwnedFd own(open_below(pid, "/ns/user"));
  char text[4096];
  const ssize_t size = status ? read(status.get(), text, sizeof text - 1) : -1;
  if (size <= 0 || !run || !own) return {};
  text[size] = 0;
  const char* line = std::strstr(text, "\nNSpid:");
  const char* end = line ? std::strchr(line + 1, '\n') : nullptr;
  if (!end || end[-1] != '1' || end[-2] != '\t') return {};
  struct stat wanted{}, found{};
  if (fstat(run.get(), &wanted) != 0) return {};
  OwnedFd above(ioctl(own.get(), NS_GET_PARENT)), at(dup(above.get()));
  while (at && fstat(at.get(), &found) == 0) {
    if (found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev) return above;
    at = OwnedFd(ioctl(at.get(), NS_GET_PARENT));
  }
  return {};
}

// The last of a message's descriptors are those of cgroups.
bool enter_cgroups(const Packet& packet, const std::string& pid) {
  for (std::uint32_t i = 0; i < packet.message.n_cgroups; ++i) {
    const int entrance = packet.fds[packet.n_fds - 1 - static_cast<int>(i)];
    if (write(entrance, pid.data(), pid.size()) != static_cast<ssize_t>(pid.size())) return false;
  }
  return true;
}

// A workspace and a /proc of its own, over those of the session that it was forked from. Answers
// once it is told on `entered` that the fork is in its cgroups.
void SlotProcess::give_view(const Message& request, int mounts, int processes, int entered) const {
  const auto fail = [&](Stage stage) {
    send_failure(socket_, request.id, stage);
    _exit(1);
  };
  if (setns(mounts, CLONE_NEWNS) != 0) fail(Stage::mount_namespace);
  const int box = cover_box(request.box_bytes, request.box_inodes, plan_.host_uid);
  if (box < 0) fail(Stage::box);
  if (setns(processes, CLONE_NEWPID) != 0) fail(Stage::pid_namespace);
  const bool mounted = in_a_process_of_its_own([] {
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0;
  });
  if (!mounted) fail(Stage::proc);
  char yes;
  if (read(entered, &yes, 1) != 1) _exit(1);
  Message answer;
  answer.kind = Kind::adopted;
  answer.id = request.id;
  _exit(wire::send_message(socket_, answer, nullptr, 0, &box, 1) == 0 ? 0 : 1);
}

void SlotProcess::adopt(const Packet& packet) {
  const Message& request = packet.message;
  const auto pid = static_cast<pid_t>(request.value);
  const OwnedFd above = reduced() || init_ <= 0 ? OwnedFd() : namespace_above_fork(pid);
  if (!above || request.n_cgroups > static_cast<std::uint32_t>(packet.n_fds)) {
    errno = ESRCH;
    return send_failure(socket_, request.id, Stage::protocol);
  }
  // Only from there its maps can be written: the guest's user is itself.
  const bool mapped = in_a_process_of_its_own(
      [&] { return setns(above.get(), CLONE_NEWUSER) == 0 && write_maps(pid, kGuestId); });
  if (!mapped) return send_failure(socket_, request.id, Stage::user_namespace);
  const auto open_namespace = [&](const char* name) {
    return openat(host_proc_, (std::to_string(pid) + name).c_str(), O_RDONLY | O_CLOEXEC);
  };
  const OwnedFd mounts(open_namespace("/ns/mnt")), processes(open_namespace("/ns/pid"));
  if (!mounts || !processes) return send_failure(socket_, request.id, Stage::mount_namespace);
  int entered[2];
  if (pipe2(entered, O_CLOEXEC) != 0) return send_failure(socket_, request.id, Stage::descriptors);
  const pid_t helper = fork();
  if (helper == 0) {
    close(entered[1]);
    give_view(request, mounts.get(), processes.get(), entered[0]);
  }
  // Beside the mounts: the kernel lets all processors pass by before it moves a process.
  if (helper < 0)
    send_failure(socket_, request.id, Stage::fork);
  else if (!enter_cgroups(packet, std::to_string(pid)) || write(entered[1], "y", 1) != 1)
    send_failure(socket_, request.id, Stage::cgroup);
  for (const int end : entered) close(end);
  if (helper > 0) (void)waitpid(helper, nullptr, 0);
}

void SlotProcess::listen(const Message& request) {
  const OwnedFd listener(
      reduced() ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  constexpr int kMostWaiting = 64;
  if (!listener ||
      bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), kMostWaiting) != 0)
    return send_failure(socket_, request.id, Stage::net_namespace);
  Message answer;
  answer.kind = Kind::listening;
  answer.id = request.id;
  const int fd = listener.get();
  (void)wire::send_message(socket_, answer, nullptr, 0, &fd, 1);
}

void SlotProcess::serve() {
  child::watch_children();
  if (reduced()) (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  host_proc_ = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (const Stage stage = isolate(plan_); stage != Stage::none) {
    send_failure(socket_, 0, stage);
    _exit(1);
  }
  announce(socket_, Kind::ready);
  static Packet packet;
  for (;;) {
    switch (child::serve_one(socket_, packet)) {
      case child::Turn::gone:
        (void)end_run();
        _exit(0);
      case child::Turn::fork:
        spawn(packet);
        break;
      case child::Turn::other: {
        const Message message = packet.message;
        if (message.kind == Kind::adopt) adopt(packet);
        packet.close_fds();
        if (message.kind == Kind::prepare) {
          prepare(message);
        } else if (message.kind == Kind::resize) {
          // Without a file system of its own there is no size to set; the report says so.
          if (!reduced() && !resize_box(message.box_bytes, message.box_inodes))
            send_failure(socket_, message.id, Stage::box);
          else
            send_answer(Kind::resized, message.id);
        } else if (message.kind == Kind::allow_forks) {
          allow_forks(message);
        } else if (message.kind == Kind::listen) {
          listen(message);
        } else if (message.kind == Kind::kill) {
          if (end_run())
            send_answer(Kind::killed, message.id);
          else
            send_failure(socket_, message.id, Stage::ending);
        }
        break;
      }
      case child::Turn::parent:
        break;
    }
  }
}

std::string read_whole(int fd) {
  std::string text;
  char buffer[8192];
  for (ssize_t n; (n = pread(fd, buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  return text;
}

// Moves a descriptor to a number that place_descriptors() never uses, above stdio.
int keep_away(int fd) {
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
  close(fd);
  return moved;
}

}  // namespace

void become_slot(const SlotPlan& plan, int socket, FilterFds filters) {
  socket = keep_away(socket);
  std::string filter = read_whole(filters.program), session = read_whole(filters.session);
  close(filters.program);
  close(filters.session);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  (void)prctl(PR_SET_NAME, "proctor-slot", 0, 0, 0);
  if (plan.world == World::reduced) (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  SlotProcess slot(plan, socket, std::move(filter), std::move(session));
  slot.serve();
}

void become_zygote(const SlotPlan& plan, int socket, FilterFds filters) {
  socket = keep_away(socket);
  filters = {keep_away(filters.program), keep_away(filters.session), keep_away(filters.inherited)};
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // Where no init of theirs reaps them, its guests' orphans count as processes until somebody does.
  if (plan.world == World::reduced) (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const Stage stage = isolate(plan);
  if (stage != Stage::none) {
    send_failure(socket, 0, stage);
    _exit(1);
  }
  announce(socket, Kind::started);
  (void)fcntl(socket, F_SETFD, 0);
  for (const int filter : {filters.program, filters.session, filters.inherited})
    (void)fcntl(filter, F_SETFD, 0);
  const std::string socket_text = std::to_string(socket);
  const std::string filter_text = std::to_string(filters.program);
  const std::string session_text = std::to_string(filters.session);
  const std::string inherited_text = std::to_string(filters.inherited);
  const std::string source(zygote_source());
  const char* arguments[] = {plan.python.c_str(),
                             "-s",
                             "-c",
                             source.c_str(),
                             socket_text.c_str(),
                             plan.child_object.c_str(),
                             filter_text.c_str(),
                             session_text.c_str(),
                             inherited_text.c_str(),
                             plan.profile.c_str(),
                             nullptr};
  const char* environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                               "HOME=/box/work",
                               "LANG=C.UTF-8",
                               "PYTHONHASHSEED=0",
                               "OMP_NUM_THREADS=1",
                               "OPENBLAS_NUM_THREADS=1",
                               "MKL_NUM_THREADS=1",
                               "MPLBACKEND=Agg",
                               "TMPDIR=/box/tmp",
                               nullptr};
  execve(plan.python.c_str(), const_cast<char**>(arguments), const_cast<char**>(environment));
  send_failure(socket, 0, Stage::interpreter);
  _exit(127);
}

}  // namespace proctor
