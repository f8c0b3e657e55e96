// What guests may ask of the kernel: an allow-list. Whatever is not named is answered ENOSYS, as an
// older kernel would, so that libraries fall back; what is refused by intent gets EPERM. The
// architecture is checked first (int 0x80 and x32 end the process). Blind spot: pointers cannot be
// looked into, hence clone3 is refused whole and libc falls back to clone, whose flags are checked.
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <vector>

#include "sandbox/filter.h"

namespace proctor {
namespace {

// Harmless whatever the arguments, given the other layers.
constexpr const char* kAllowed[] = {
    // files
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "close", "close_range", "stat", "fstat", "lstat", "newfstatat", "statx", "statfs",
    "fstatfs", "lseek", "access", "faccessat", "faccessat2", "dup", "dup2", "dup3", "flock",
    "fsync", "fdatasync", "sync_file_range", "ftruncate", "fallocate", "fadvise64", "readahead",
    "getdents", "getdents64", "getcwd", "chdir", "fchdir", "rename", "renameat", "renameat2",
    "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat",
    "readlink", "readlinkat", "umask", "sendfile", "copy_file_range", "splice", "tee", "getxattr",
    "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
    // memory
    "munmap", "mprotect", "mremap", "madvise", "brk", "msync", "mincore", "mlock", "mlock2",
    "munlock", "mlockall", "munlockall", "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect",
    "get_mempolicy", "set_mempolicy", "mbind",
    // processes and threads
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
    "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "getuid", "geteuid",
    "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "capget", "capset", "getrlimit",
    "getrusage", "times", "getpriority", "sched_yield", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_getattr", "sched_get_priority_max", "sched_get_priority_min",
    "sched_rr_get_interval", "ioprio_get", "set_tid_address", "set_robust_list", "get_robust_list",
    "rseq", "futex", "futex_waitv", "arch_prctl", "getcpu", "pidfd_open", "uname", "sysinfo",
    "getrandom", "restart_syscall",
    // signals
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "rt_sigsuspend", "sigaltstack", "pause", "alarm", "signalfd", "signalfd4",
    // time
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "getitimer", "setitimer", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun",
    "timer_delete", "timerfd_create", "timerfd_settime", "timerfd_gettime",
    // waiting and pipes
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "pipe", "pipe2",
    // sockets, whose families are checked below
    "bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername", "getsockopt",
    "sendto", "recvfrom", "recvmsg", "recvmmsg", "shutdown"};

// System V and POSIX ipc, for an ipc namespace of their own, where their memory is counted.
constexpr const char* kIpc[] = {
    "shmat",      "shmctl",       "shmdt",           "semget",    "semop",        "semctl",
    "semtimedop", "msgget",       "msgsnd",          "msgrcv",    "msgctl",       "mq_open",
    "mq_unlink",  "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"};

// Of the process named first; 0 is the caller.
constexpr const char* kOfProcesses[] = {"sched_setaffinity", "sched_setparam", "sched_setscheduler",
                                        "sched_setattr"};

constexpr const char* kOwnersAndTimes[] = {"chown", "fchown", "lchown",   "fchownat",
                                           "utime", "utimes", "futimesat"};

// Refused by intent: libraries that try them see EPERM.
constexpr const char* kRefused[] = {
    "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "unshare", "setns", "ptrace", "process_vm_readv",
    "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp",
    "name_to_handle_at", "open_by_handle_at", "bpf", "perf_event_open", "keyctl", "add_key",
    "request_key", "userfaultfd", "fanotify_init", "fanotify_mark",
    // The host's own uses of /usr would be seen, and other guests'.
    "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "init_module",
    "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
    "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "acct", "syslog", "quotactl", "quotactl_fd", "iopl", "ioperm", "modify_ldt", "vhangup",
    "setgroups", "seccomp", "migrate_pages", "move_pages", "lookup_dcookie", "nfsservctl", "uselib",
    "ustat", "sysfs", "ioprio_set", "setxattr", "lsetxattr", "fsetxattr", "removexattr",
    "lremovexattr", "fremovexattr", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self", "memfd_secret", "set_mempolicy_home_node", "cachestat"};

// What child.cpp confines a guest with, and guests may not.
constexpr const char* kConfining[] = {"setns", "setgroups", "seccomp", "landlock_restrict_self"};
constexpr int kConfiningPrctls[] = {PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_SET_DUMPABLE};

// Not named, hence ENOSYS: openat2 and clone3, whose arguments lie in memory, io_uring_*, io_*
// (runtimes fall back quietly), and all that is new.

class Filter {
 public:
  explicit Filter(std::uint32_t otherwise) : context_(seccomp_init(otherwise)) {}
  ~Filter() {
    if (context_) seccomp_release(context_);
  }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  explicit operator bool() const { return context_ != nullptr; }
  scmp_filter_ctx get() { return context_; }

  // Names this libseccomp does not know are left to the default answer.
  template <class... Compare>
  void rule(std::uint32_t action, const char* name, Compare... compare) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || number < 0) return;
    if (const int error =
            seccomp_rule_add(context_, action, number, sizeof...(compare), compare...);
        error < 0 && error_ == 0)
      error_ = -error;
  }
  template <class... Compare>
  void allow(const char* name, Compare... compare) {
    rule(SCMP_ACT_ALLOW, name, compare...);
  }
  int error() const { return error_; }
  void fail(int error) {
    if (error_ == 0) error_ = error;
  }

 private:
  scmp_filter_ctx context_;
  int error_ = 0;
};

// The host's sockets that have a path can be reached wherever that path can be seen, or Landlock is
// old: without a network of their own guests get none but pairs whose ends reach nobody else, as
// one of datagrams would.
void add_sockets(Filter& filter, bool own_network) {
  for (unsigned family = 0; family <= AF_INET6; ++family) {
    const bool allowed =
        own_network && (family == AF_UNIX || family == AF_INET || family == AF_INET6);
    filter.rule(allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket",
                SCMP_A0_32(SCMP_CMP_EQ, family));
  }
  filter.rule(SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", SCMP_A0_32(SCMP_CMP_GT, AF_INET6));
  // A message can hold open files, which then are in nobody's table: where the workspace's size is
  // what we see of it, there are none.
  for (const char* name : {"sendmsg", "sendmmsg"})
    filter.rule(own_network ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), name);
  if (own_network) {
    filter.allow("socketpair", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
    return;
  }
  constexpr std::uint32_t kType = 0xf;  // beside it there are flags
  for (const std::uint32_t type : {SOCK_STREAM, SOCK_SEQPACKET})
    filter.allow("socketpair", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
                 SCMP_A1_32(SCMP_CMP_MASKED_EQ, kType, type));
  for (const std::uint32_t type : {SOCK_DGRAM, SOCK_RAW})
    filter.rule(SCMP_ACT_ERRNO(EPERM), "socketpair", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
                SCMP_A1_32(SCMP_CMP_MASKED_EQ, kType, type));
}

template <class Compare>
void refuse_with(Filter& filter, const char* name, Compare argument_has, std::uint64_t bits) {
  for (std::uint64_t bit = 1; bit <= bits; bit <<= 1)
    if (bit & bits) filter.rule(SCMP_ACT_ERRNO(EPERM), name, argument_has(bit, bit));
}

// Allowed while an argument has none of these bits.
template <class Compare>
void add_without(Filter& filter, const char* name, Compare argument_has, std::uint64_t bits) {
  filter.allow(name, argument_has(bits, 0));
  refuse_with(filter, name, argument_has, bits);
}

// Programs that would run as somebody else cannot be made anywhere.
constexpr std::uint64_t kSetIds = 06000;

#define PROCTOR_ARGUMENT(n)                                 \
  [](std::uint64_t mask, std::uint64_t value) {             \
    return SCMP_A##n##_64(SCMP_CMP_MASKED_EQ, mask, value); \
  }

// The flags of open(2) under a mask.
struct Flags {
  std::uint64_t mask, value;
};

void add_files(Filter& filter, bool own_uid, bool truncation_held) {
  add_without(filter, "creat", PROCTOR_ARGUMENT(1), kSetIds);
  add_without(filter, "mknod", PROCTOR_ARGUMENT(1), kSetIds);  // fifos; devices need a capability
  add_without(filter, "mknodat", PROCTOR_ARGUMENT(2), kSetIds);
  // The mode counts only where a file is made (O_TMPFILE holds O_DIRECTORY, hence the odd bit).
  constexpr std::uint64_t kMakes = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);
  std::vector<Flags> ways = {{0, 0}};
  if (truncation_held) {
    filter.allow("truncate");
  } else {
    filter.rule(SCMP_ACT_ERRNO(EPERM), "truncate");
    ways = {{O_TRUNC, 0},
            {O_TRUNC | O_ACCMODE, O_TRUNC | O_WRONLY},
            {O_TRUNC | O_ACCMODE, O_TRUNC | O_RDWR}};
  }
  for (const auto [mask, value] : ways) {
    filter.allow("open", SCMP_A1_64(SCMP_CMP_MASKED_EQ, kMakes | mask, value));
    filter.allow("openat", SCMP_A2_64(SCMP_CMP_MASKED_EQ, kMakes | mask, value));
    for (std::uint64_t making = 1; making <= kMakes; making <<= 1) {
      if (!(making & kMakes)) continue;
      filter.allow("open", SCMP_A1_64(SCMP_CMP_MASKED_EQ, making | mask, making | value),
                   SCMP_A2_64(SCMP_CMP_MASKED_EQ, kSetIds, 0));
      filter.allow("openat", SCMP_A2_64(SCMP_CMP_MASKED_EQ, making | mask, making | value),
                   SCMP_A3_64(SCMP_CMP_MASKED_EQ, kSetIds, 0));
    }
  }
  if (own_uid) {
    add_without(filter, "chmod", PROCTOR_ARGUMENT(1), kSetIds);
    add_without(filter, "fchmod", PROCTOR_ARGUMENT(1), kSetIds);
    add_without(filter, "fchmodat", PROCTOR_ARGUMENT(2), kSetIds);
    add_without(filter, "fchmodat2", PROCTOR_ARGUMENT(2), kSetIds);
    for (const char* name : kOwnersAndTimes) filter.allow(name);
    filter.allow("utimensat");
  } else {
    // Landlock has no say in these, and guests are the owner of our user's files.
    for (const char* name : {"chmod", "fchmod", "fchmodat", "fchmodat2"})
      filter.rule(SCMP_ACT_ERRNO(EPERM), name);
    for (const char* name : kOwnersAndTimes) filter.rule(SCMP_ACT_ERRNO(EPERM), name);
    filter.allow("utimensat", SCMP_A1_64(SCMP_CMP_EQ, 0));  // of an open file
    filter.rule(SCMP_ACT_ERRNO(EPERM), "utimensat", SCMP_A1_64(SCMP_CMP_NE, 0));
  }
}

// The host's pool of huge pages is in no limit of a run's.
void add_memory(Filter& filter, bool own_ipc) {
  add_without(filter, "mmap", PROCTOR_ARGUMENT(3), MAP_HUGETLB);
  add_without(filter, "memfd_create", PROCTOR_ARGUMENT(1), MFD_HUGETLB);
  filter.allow("vmsplice");
  if (own_ipc) add_without(filter, "shmget", PROCTOR_ARGUMENT(2), SHM_HUGETLB);
}

// Memory that is a process's own, and no other. What is shared stays while a page of it is mapped
// somewhere, and a pipe that was given pages keeps them.
void add_private_memory(Filter& filter) {
  constexpr std::uint64_t kHas = MAP_HUGETLB | MAP_ANONYMOUS, kShared = MAP_ANONYMOUS | MAP_SHARED;
  filter.allow("mmap", SCMP_A3_64(SCMP_CMP_MASKED_EQ, kHas, 0));
  filter.allow("mmap",
               SCMP_A3_64(SCMP_CMP_MASKED_EQ, kHas | MAP_TYPE, MAP_ANONYMOUS | MAP_PRIVATE));
  for (const std::uint64_t refused : {std::uint64_t{MAP_HUGETLB}, kShared})
    filter.rule(SCMP_ACT_ERRNO(EPERM), "mmap", SCMP_A3_64(SCMP_CMP_MASKED_EQ, refused, refused));
  filter.rule(SCMP_ACT_ERRNO(EPERM), "vmsplice");
}

// Who sets the size of a socket's buffers is told that it was done, as where it is more than may
// be.
void add_socket_options(Filter& filter, bool counted) {
  if (counted) {
    filter.allow("setsockopt");
    return;
  }
  filter.allow("setsockopt", SCMP_A1_32(SCMP_CMP_NE, SOL_SOCKET));
  const auto of_sockets = SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET);
  filter.allow("setsockopt", of_sockets, SCMP_A2_32(SCMP_CMP_LT, SO_SNDBUF));
  filter.allow("setsockopt", of_sockets, SCMP_A2_32(SCMP_CMP_GT, SO_RCVBUF));
  for (const unsigned size : {SO_SNDBUF, SO_RCVBUF})
    filter.rule(SCMP_ACT_ERRNO(0), "setsockopt", of_sockets, SCMP_A2_32(SCMP_CMP_EQ, size));
}

// That of core files stays as it was set, whatever programs make of it: many of them set it to 0
// first thing.
void add_core_limit(Filter& filter) {
  filter.rule(SCMP_ACT_ERRNO(0), "setrlimit", SCMP_A0_32(SCMP_CMP_EQ, RLIMIT_CORE));
  filter.rule(SCMP_ACT_ERRNO(0), "prlimit64", SCMP_A0_32(SCMP_CMP_EQ, 0),
              SCMP_A1_32(SCMP_CMP_EQ, RLIMIT_CORE), SCMP_A2_64(SCMP_CMP_NE, 0));
}

// Limits of the caller's own.
void add_limits(Filter& filter, bool confines) {
  const auto own = SCMP_A0_32(SCMP_CMP_EQ, 0);
  filter.rule(SCMP_ACT_ERRNO(EPERM), "prlimit64", SCMP_A0_32(SCMP_CMP_NE, 0));
  if (confines) {
    filter.allow("setrlimit");
    filter.allow("prlimit64", own);
    return;
  }
  filter.allow("setrlimit", SCMP_A0_32(SCMP_CMP_NE, RLIMIT_CORE));
  filter.allow("prlimit64", own, SCMP_A1_32(SCMP_CMP_NE, RLIMIT_CORE));
  filter.allow("prlimit64", own, SCMP_A1_32(SCMP_CMP_EQ, RLIMIT_CORE), SCMP_A2_64(SCMP_CMP_EQ, 0));
  add_core_limit(filter);
}

void add_processes(Filter& filter, bool own_processes) {
  if (own_processes) {
    for (const char* name : kOfProcesses) filter.allow(name);
    filter.allow("setpriority");
    return;
  }
  for (const char* name : kOfProcesses) {
    filter.allow(name, SCMP_A0_32(SCMP_CMP_EQ, 0));
    filter.rule(SCMP_ACT_ERRNO(EPERM), name, SCMP_A0_32(SCMP_CMP_NE, 0));
  }
  constexpr unsigned kProcess = 0;  // PRIO_PROCESS
  filter.allow("setpriority", SCMP_A0_32(SCMP_CMP_EQ, kProcess), SCMP_A1_32(SCMP_CMP_EQ, 0));
  filter.rule(SCMP_ACT_ERRNO(EPERM), "setpriority", SCMP_A0_32(SCMP_CMP_NE, kProcess));
  filter.rule(SCMP_ACT_ERRNO(EPERM), "setpriority", SCMP_A1_32(SCMP_CMP_NE, 0));
}

// A limit on a file's size ends a program with SIGXFSZ. Guests may not send that signal, so that
// the ending `file_limit` cannot be feigned.
void add_signals(Filter& filter) {
  filter.allow("kill", SCMP_A1_32(SCMP_CMP_NE, SIGXFSZ));
  filter.allow("tkill", SCMP_A1_32(SCMP_CMP_NE, SIGXFSZ));
  filter.allow("rt_sigqueueinfo", SCMP_A1_32(SCMP_CMP_NE, SIGXFSZ));
  filter.allow("pidfd_send_signal", SCMP_A1_32(SCMP_CMP_NE, SIGXFSZ));
  filter.allow("tgkill", SCMP_A2_32(SCMP_CMP_NE, SIGXFSZ));
  filter.allow("rt_tgsigqueueinfo", SCMP_A2_32(SCMP_CMP_NE, SIGXFSZ));
}

// Leases and notices of files (F_NOTIFY is inotify's predecessor) would watch what others share.
void add_file_controls(Filter& filter, bool counted) {
  filter.allow("fcntl", SCMP_A1_32(SCMP_CMP_LT, F_SETLEASE));
  if (counted) {
    filter.allow("fcntl", SCMP_A1_32(SCMP_CMP_GT, F_NOTIFY));
  } else {
    for (unsigned command = F_NOTIFY + 1; command < F_SETPIPE_SZ; ++command)
      filter.allow("fcntl", SCMP_A1_32(SCMP_CMP_EQ, command));
    filter.allow("fcntl", SCMP_A1_32(SCMP_CMP_GT, F_SETPIPE_SZ));
    filter.rule(SCMP_ACT_ERRNO(EPERM), "fcntl", SCMP_A1_32(SCMP_CMP_EQ, F_SETPIPE_SZ));
  }
  for (const unsigned command : {F_SETLEASE, F_GETLEASE, F_NOTIFY})
    filter.rule(SCMP_ACT_ERRNO(EPERM), "fcntl", SCMP_A1_32(SCMP_CMP_EQ, command));
}

void add_ioctls(Filter& filter) {
  // Masked to 32 bits: the kernel ignores the upper half, a naive compare would not.
  constexpr unsigned long kHarmless[] = {
      TCGETS,       TIOCGWINSZ,   FIONREAD,    FIONBIO,    FIOCLEX,   FIONCLEX,    FIOASYNC,
      TIOCGPGRP,    TCSETS,       TCSETSW,     TCSETSF,    TIOCSPGRP, SIOCGIFCONF, SIOCGIFADDR,
      SIOCGIFFLAGS, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFMTU, SIOCOUTQ,  SIOCATMARK};
  for (unsigned long request : kHarmless)
    filter.allow("ioctl", SCMP_A1_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(request)));
}

void add_prctls(Filter& filter, bool confines) {
  constexpr int kHarmless[] = {PR_SET_NAME,         PR_GET_NAME,           PR_SET_PDEATHSIG,
                               PR_GET_PDEATHSIG,    PR_GET_DUMPABLE,       PR_GET_NO_NEW_PRIVS,
                               PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP,        PR_CAPBSET_READ,
                               PR_GET_TIMERSLACK,   PR_SET_TIMERSLACK,     PR_SET_VMA,
                               PR_SET_THP_DISABLE,  PR_GET_THP_DISABLE,    PR_GET_KEEPCAPS,
                               PR_GET_SECUREBITS,   PR_GET_CHILD_SUBREAPER};
  for (int operation : kHarmless)
    filter.allow("prctl", SCMP_A0_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(operation)));
  if (!confines) return;
  for (int operation : kConfiningPrctls)
    filter.allow("prctl", SCMP_A0_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(operation)));
}

// A sibling would be a child of the slot or zygote: no watcher of the tree would know it.
constexpr std::uint64_t kOfOthers = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                    CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

void add_clones(Filter& filter, bool session) {
  if (!session) return add_without(filter, "clone", PROCTOR_ARGUMENT(0), kOfOthers);
  filter.allow("clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, kOfOthers, 0));
  filter.allow("clone", SCMP_A0_64(SCMP_CMP_EQ, kForkFlags | SIGCHLD));
}

void add_all(Filter& filter, const FilterOptions& options, bool confines) {
  for (const char* name : kAllowed) filter.allow(name);
  for (const char* name : kRefused) {
    const bool needed = confines && std::find_if(std::begin(kConfining), std::end(kConfining),
                                                 [name](const char* each) {
                                                   return std::strcmp(each, name) == 0;
                                                 }) != std::end(kConfining);
    filter.rule(needed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), name);
  }
  add_clones(filter, options.namespaces && (options.session || confines));
  // 0xffffffff only asks; ADDR_NO_RANDOMIZE and the like weaken the guest itself, and are refused.
  filter.allow("personality", SCMP_A0_32(SCMP_CMP_EQ, 0));
  filter.allow("personality", SCMP_A0_32(SCMP_CMP_EQ, 0xffffffff));
  add_files(filter, options.own_uid, options.truncation_held);
  if (options.counted)
    add_memory(filter, options.namespaces);
  else
    add_private_memory(filter);
  add_limits(filter, confines);
  add_processes(filter, options.namespaces);
  add_sockets(filter, options.namespaces);
  add_socket_options(filter, options.counted);
  if (options.namespaces && options.counted)
    for (const char* name : kIpc) filter.allow(name);
  // Nothing a guest writes is worth the host's disks waiting for.
  for (const char* name : {"sync", "syncfs"}) filter.rule(SCMP_ACT_ERRNO(0), name);
  add_signals(filter);
  add_file_controls(filter, options.counted);
  add_ioctls(filter);
  add_prctls(filter, confines);
}

// Refuses what add_all() allows beyond these options when it `confines`, as it would refuse it.
void add_own(Filter& filter, const FilterOptions& options) {
  for (const char* name : kConfining) filter.rule(SCMP_ACT_ERRNO(EPERM), name);
  for (int operation : kConfiningPrctls)
    filter.rule(SCMP_ACT_ERRNO(ENOSYS), "prctl",
                SCMP_A0_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(operation)));
  add_core_limit(filter);
  if (!options.session) refuse_with(filter, "clone", PROCTOR_ARGUMENT(0), kOfOthers);
}

}  // namespace

Result<std::string> build_filter(const FilterOptions& options, FilterPart part) {
  const bool own = part == FilterPart::own;
  Filter filter(own ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
  if (!filter) return internal_error("seccomp: out of memory");
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (!own) (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // binary search
  if (own)
    add_own(filter, options);
  else
    add_all(filter, options, part == FilterPart::inherited);
  if (filter.error() != 0)
    return internal_error(std::string("seccomp: ") + std::strerror(filter.error()));

  const int fd = memfd_create("filter", MFD_CLOEXEC);
  if (fd < 0) return internal_error(std::string("seccomp: memfd: ") + std::strerror(errno));
  std::string program;
  const int exported = seccomp_export_bpf(filter.get(), fd);
  if (exported == 0) {
    program.resize(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)));
    if (pread(fd, program.data(), program.size(), 0) != static_cast<ssize_t>(program.size()))
      program.clear();
  }
  close(fd);
  if (program.empty())
    return internal_error(std::string("seccomp: export: ") + std::strerror(-exported));
  return program;
}

}  // namespace proctor
