// The messages between the parent, the guardian, the launcher, the slots and the Python zygote:
// fixed structs on a SOCK_SEQPACKET socket, with descriptors beside them. A receiver drops what is
// oversized, short or carries more descriptors than it may, and closes those. Plain C inside: the
// zygote loads it too.
#pragma once

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace proctor::wire {

inline constexpr std::size_t kMostBytes = std::size_t{64} * 1024;
inline constexpr int kMostFds = 16;
inline constexpr std::uint32_t kMostLimits = 12;
inline constexpr std::uint32_t kMagic = 0x70727431;  // "prt1"

enum class Kind : std::uint32_t {
  make_slot = 1,  // parent ─▶ guardian ─▶ launcher: text = the slot's plan in JSON; fds: the
                  // slot's socket, the filters
  make_zygote,    // the same for a zygote
  sweep,          // parent ─▶ guardian: text = directories to remove when the parent is gone
  started,        // zygote ─▶ parent: its interpreter is being loaded; fds: own pidfd
  ready,          // slot, zygote ─▶ parent: set up, value = own pid; fds: the slot's pidfd
  prepare,        // parent ─▶ slot: forget the last run, make room for the next
  prepared,       // slot ─▶ parent; fds: the box directory, pidfd of the run's init (full mode),
                  // the Landlock ruleset
  spawn,          // parent ─▶ slot, zygote: start a guest; text = cwd, arguments, environment
  spawned,        // back: value = pid
  exited,         // back: value = wait status, usage
  resize,         // parent ─▶ slot: the box's size and inodes
  resized,        // back
  kill,           // parent ─▶ slot: end every process of the run (reduced mode)
  killed,         // back
  failed,         // back, instead of the answer: stage and error number
  go,             // parent ─▶ parked Python: limits; fds: stdin, program
  done,           // live session ─▶ parent: one cell is through; value = 1: it raised, + 2: figures
  allow_forks,    // parent ─▶ slot: value = how many forks of the run's session there may be;
                  // with kVet refused while any of the run's processes has capabilities
  allowed,        // back
  fork,           // parent ─▶ live session: fork; fds: the fork's channel, stdout, stderr
  forked,         // live session ─▶ parent: value = errno; its fork ─▶ parent, by its own channel
  resumed,        // live session ─▶ parent: after its fork it goes on
  adopt,          // parent ─▶ slot: value = pid of a session's fork, to get a view of its own;
                  // fds: its cgroups
  adopted,        // back; fds: the box directory
  listen,         // parent ─▶ slot: make a listener on the loopback of its guests
  listening,      // back; fds: the listener
};

// Which step of setting up went wrong; errno alone never tells.
enum class Stage : std::uint32_t {
  none,
  fork,
  cgroup,
  join,
  directory,
  identity,
  descriptors,
  limits,
  capabilities,
  no_new_privs,
  landlock,
  seccomp,
  exec,
  user_namespace,
  mount_namespace,
  net_namespace,
  pid_namespace,
  root_view,
  pivot,
  proc,
  box,
  protocol,
  interpreter,
  ending
};

inline const char* to_string(Stage stage) {
  static const char* const names[] = {
      "none",          "fork",          "cgroup",      "joining namespaces", "directory",
      "uid",           "descriptors",   "rlimits",     "capabilities",       "no_new_privs",
      "landlock",      "seccomp",       "exec",        "user namespace",     "mount namespace",
      "net namespace", "pid namespace", "root view",   "pivot_root",         "mounting proc",
      "workspace",     "protocol",      "interpreter", "ending the run"};
  const auto index = static_cast<std::uint32_t>(stage);
  return index < sizeof names / sizeof *names ? names[index] : "unknown";
}

struct ResourceLimit {
  std::int32_t resource;
  std::uint64_t value;
};

// Flags of a spawn message, and of allow_forks.
enum : std::uint32_t {
  kJoinRun = 1,      // fds[3] is the run's init: fork into its pid namespace, join ipc, uts, user
  kJoinSlot = 2,     // and its mount and net namespace too (the zygote is elsewhere)
  kSetIdentity = 4,  // become uid/gid
  kPark = 8,         // fds[4] is the channel: wait there for `go` (after exec when given arguments)
  kSession = 16,     // the channel stays open: one `go` a cell
  kVet = 32,
};

struct Message {
  std::uint32_t magic = kMagic;
  Kind kind{};
  std::uint64_t id = 0;
  std::int64_t value = 0;
  Stage stage = Stage::none;
  std::int32_t error = 0;
  // usage of an exited guest and those it waited for
  std::int64_t cpu_us = 0;
  std::int64_t peak_kib = 0;
  // spawn, go, adopt
  std::uint32_t flags = 0;
  std::uint32_t uid = 0, gid = 0;
  std::uint32_t n_cgroups = 0;  // so many of the fds, the last, are entrances of cgroups
  std::uint32_t n_limits = 0;
  ResourceLimit limits[kMostLimits] = {};
  std::uint32_t n_arguments = 0, n_environment = 0;
  // prepare, resize
  std::int64_t box_bytes = 0, box_inodes = 0;
  std::uint32_t text_size = 0;  // bytes that follow the struct
};

struct Packet {
  Message message;
  int fds[kMostFds];
  int n_fds = 0;
  int sender = 0;  // pid, where the socket asks for credentials
  char text[kMostBytes];

  void close_fds() {
    for (int i = 0; i < n_fds; ++i)
      if (fds[i] >= 0) close(fds[i]);
    n_fds = 0;
  }
  int take(int index) {
    if (index >= n_fds) return -1;
    const int fd = fds[index];
    fds[index] = -1;
    return fd;
  }
};

// 0, or -1 with errno.
inline int send_message(int socket, Message message, const char* text = nullptr,
                        std::size_t text_size = 0, const int* fds = nullptr, int n_fds = 0,
                        int flags = 0) {
  if (text_size > kMostBytes || n_fds > kMostFds) {
    errno = EMSGSIZE;
    return -1;
  }
  message.text_size = static_cast<std::uint32_t>(text_size);
  iovec parts[2] = {{&message, sizeof message}, {const_cast<char*>(text), text_size}};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = text_size ? 2 : 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostFds)];
  if (n_fds > 0) {
    std::memset(control, 0, sizeof control);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * static_cast<std::size_t>(n_fds));
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * static_cast<std::size_t>(n_fds));
    std::memcpy(CMSG_DATA(part), fds, sizeof(int) * static_cast<std::size_t>(n_fds));
  }
  ssize_t sent;
  // The filter of some guests refuses messages that might hold descriptors.
  const bool plain = n_fds == 0 && text_size == 0;
  do
    sent = plain ? send(socket, &message, sizeof message, MSG_NOSIGNAL | flags)
                 : sendmsg(socket, &header, MSG_NOSIGNAL | flags);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}

// Says that a step went wrong, with the present errno.
inline void send_failure(int socket, std::uint64_t id, Stage stage) {
  Message message;
  message.kind = Kind::failed;
  message.id = id;
  message.stage = stage;
  message.error = errno;
  (void)send_message(socket, message);
}

// Whether a received packet of `size` bytes is one message as its sender must have built it.
inline bool well_formed(const Message& message, std::size_t size) {
  return size >= sizeof(Message) && message.magic == kMagic &&
         message.text_size == size - sizeof(Message) && message.n_limits <= kMostLimits &&
         message.n_cgroups <= static_cast<std::uint32_t>(kMostFds);
}

// 1 received, 0 the other side is gone, -1 with errno (EPROTO for a malformed packet, whose
// descriptors are closed).
inline int receive_message(int socket, Packet& packet, int flags = 0) {
  packet.n_fds = 0;
  packet.sender = 0;
  iovec parts[2] = {{&packet.message, sizeof packet.message}, {packet.text, sizeof packet.text}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostFds) + CMSG_SPACE(sizeof(ucred))];
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size;
  do size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | flags);
  while (size < 0 && errno == EINTR);
  if (size < 0) return -1;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials;
      std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
      packet.sender = credentials.pid;
    }
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const int count = static_cast<int>((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + sizeof(int) * static_cast<std::size_t>(i), sizeof fd);
      if (packet.n_fds < kMostFds)
        packet.fds[packet.n_fds++] = fd;
      else
        close(fd);
    }
  }
  if (size == 0 && packet.n_fds == 0) return 0;
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
      !well_formed(packet.message, static_cast<std::size_t>(size))) {
    packet.close_fds();
    errno = EPROTO;
    return -1;
  }
  return 1;
}

}  // namespace proctor::wire
