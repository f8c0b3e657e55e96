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
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "sandbox/filter.h"

namespace proctor {
namespace {

// Harmless whatever the arguments, given the other layers.
constexpr const char* kAllowed[] = {
    // files
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "open", "openat", "openat2", "creat", "close", "close_range", "stat", "fstat",
    "lstat", "newfstatat", "statx", "statfs", "fstatfs", "lseek", "access", "faccessat",
    "faccessat2", "dup", "dup2", "dup3", "fcntl", "flock", "fsync", "fdatasync", "sync_file_range",
    "truncate", "ftruncate", "fallocate", "fadvise64", "readahead", "getdents", "getdents64",
    "getcwd", "chdir", "fchdir", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir",
    "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "readlink", "readlinkat",
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "umask",
    "utime", "utimes", "utimensat", "futimesat", "sendfile", "copy_file_range", "splice", "tee",
    "vmsplice", "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
    "mknod", "mknodat",  // fifos; devices need a capability
    "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
    // memory
    "mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "msync", "mincore", "mlock", "mlock2",
    "munlock", "mlockall", "munlockall", "memfd_create", "membarrier", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "get_mempolicy", "set_mempolicy", "mbind",
    // processes and threads
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
    "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "getuid", "geteuid",
    "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "capget", "capset", "getrlimit",
    "setrlimit", "prlimit64", "getrusage", "times", "getpriority", "setpriority", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
    "sched_getscheduler", "sched_setscheduler", "sched_getattr", "sched_setattr",
    "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "ioprio_get",
    "set_tid_address", "set_robust_list", "get_robust_list", "rseq", "futex", "futex_waitv",
    "arch_prctl", "getcpu", "pidfd_open", "uname", "sysinfo", "getrandom", "restart_syscall",
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
    "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown",
    // System V and POSIX ipc, in a namespace of their own
    "shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget",
    "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
    "mq_notify", "mq_getsetattr", "sync", "syncfs"};

// Refused by intent: libraries that try them see EPERM.
constexpr const char* kRefused[] = {"mount",
                                    "umount2",
                                    "pivot_root",
                                    "chroot",
                                    "open_tree",
                                    "move_mount",
                                    "fsopen",
                                    "fsconfig",
                                    "fsmount",
                                    "fspick",
                                    "mount_setattr",
                                    "unshare",
                                    "setns",
                                    "ptrace",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "process_madvise",
                                    "process_mrelease",
                                    "pidfd_getfd",
                                    "kcmp",
                                    "name_to_handle_at",
                                    "open_by_handle_at",
                                    "bpf",
                                    "perf_event_open",
                                    "keyctl",
                                    "add_key",
                                    "request_key",
                                    "userfaultfd",
                                    "fanotify_init",
                                    "fanotify_mark",
                                    "init_module",
                                    "finit_module",
                                    "delete_module",
                                    "kexec_load",
                                    "kexec_file_load",
                                    "reboot",
                                    "swapon",
                                    "swapoff",
                                    "sethostname",
                                    "setdomainname",
                                    "settimeofday",
                                    "clock_settime",
                                    "clock_adjtime",
                                    "adjtimex",
                                    "acct",
                                    "syslog",
                                    "quotactl",
                                    "quotactl_fd",
                                    "iopl",
                                    "ioperm",
                                    "modify_ldt",
                                    "vhangup",
                                    "setgroups",
                                    "seccomp",
                                    "migrate_pages",
                                    "move_pages",
                                    "lookup_dcookie",
                                    "nfsservctl",
                                    "uselib",
                                    "ustat",
                                    "sysfs",
                                    "ioprio_set",
                                    "setxattr",
                                    "lsetxattr",
                                    "fsetxattr",
                                    "removexattr",
                                    "lremovexattr",
                                    "fremovexattr",
                                    "landlock_create_ruleset",
                                    "landlock_add_rule",
                                    "landlock_restrict_self",
                                    "memfd_secret",
                                    "set_mempolicy_home_node",
                                    "cachestat"};

// Not named, hence ENOSYS: clone3, io_uring_*, io_* (runtimes fall back quietly), and all that is
// new.

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS))) {}
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

void add_sockets(Filter& filter, bool inet) {
  const auto families = [&](const char* name) {
    filter.allow(name, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
    if (inet) {
      filter.allow(name, SCMP_A0_32(SCMP_CMP_EQ, AF_INET));
      filter.allow(name, SCMP_A0_32(SCMP_CMP_EQ, AF_INET6));
    }
  };
  families("socket");
  for (unsigned family = 0; family <= AF_INET6; ++family)
    if (family != AF_UNIX && !(inet && (family == AF_INET || family == AF_INET6)))
      filter.rule(SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", SCMP_A0_32(SCMP_CMP_EQ, family));
  filter.rule(SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", SCMP_A0_32(SCMP_CMP_GT, AF_INET6));
  filter.allow("socketpair", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
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

void add_ioctls(Filter& filter) {
  // Masked to 32 bits: the kernel ignores the upper half, a naive compare would not.
  constexpr unsigned long kHarmless[] = {
      TCGETS,       TIOCGWINSZ,   FIONREAD,    FIONBIO,    FIOCLEX,   FIONCLEX,    FIOASYNC,
      TIOCGPGRP,    TCSETS,       TCSETSW,     TCSETSF,    TIOCSPGRP, SIOCGIFCONF, SIOCGIFADDR,
      SIOCGIFFLAGS, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFMTU, SIOCOUTQ,  SIOCATMARK};
  for (unsigned long request : kHarmless)
    filter.allow("ioctl", SCMP_A1_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(request)));
}

void add_prctls(Filter& filter) {
  constexpr int kHarmless[] = {PR_SET_NAME,         PR_GET_NAME,           PR_SET_PDEATHSIG,
                               PR_GET_PDEATHSIG,    PR_GET_DUMPABLE,       PR_GET_NO_NEW_PRIVS,
                               PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP,        PR_CAPBSET_READ,
                               PR_GET_TIMERSLACK,   PR_SET_TIMERSLACK,     PR_SET_VMA,
                               PR_SET_THP_DISABLE,  PR_GET_THP_DISABLE,    PR_GET_KEEPCAPS,
                               PR_GET_SECUREBITS,   PR_GET_CHILD_SUBREAPER};
  for (int operation : kHarmless)
    filter.allow("prctl", SCMP_A0_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(operation)));
}

}  // namespace

Result<std::string> build_filter(const FilterOptions& options) {
  Filter filter;
  if (!filter) return internal_error("seccomp: out of memory");
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // binary search
  for (const char* name : kAllowed) filter.allow(name);
  for (const char* name : kRefused) filter.rule(SCMP_ACT_ERRNO(EPERM), name);
  constexpr std::uint64_t kNewSpaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                       CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  filter.allow("clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, kNewSpaces, 0));
  for (std::uint64_t bit = 1; bit <= kNewSpaces; bit <<= 1)
    if (bit & kNewSpaces)
      filter.rule(SCMP_ACT_ERRNO(EPERM), "clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, bit, bit));
  // 0xffffffff only asks; ADDR_NO_RANDOMIZE and the like weaken the guest itself, and are refused.
  filter.allow("personality", SCMP_A0_32(SCMP_CMP_EQ, 0));
  filter.allow("personality", SCMP_A0_32(SCMP_CMP_EQ, 0xffffffff));
  add_sockets(filter, options.inet);
  add_signals(filter);
  add_ioctls(filter);
  add_prctls(filter);
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
