// A message as somebody sends it, whole, cut or swollen, with any number of descriptors.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "sandbox/wire.h"

namespace proctor {

[[noreturn]] inline void does_not_hold(const char* what) {
  std::cerr << "does not hold: " << what << "\n";
  std::abort();
}

// The lowest free descriptor: the same as before when none was left open.
inline int lowest_free() {
  const int fd = dup(0);
  close(fd);
  return fd;
}

// Sends what it is given through a socket and receives it as the sandbox does.
class Datagrams {
 public:
  Datagrams() {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends_) != 0) std::abort();
    nothing_ = open("/dev/null", O_RDONLY);
  }
  // Whether a message came.
  bool pass(const unsigned char* data, std::size_t size, int n_fds, wire::Packet& packet) {
    iovec part{const_cast<unsigned char*>(data), size};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    std::vector<char> control(CMSG_SPACE(sizeof(int) * static_cast<std::size_t>(n_fds)));
    if (n_fds > 0) {
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int) * static_cast<std::size_t>(n_fds));
      const std::vector<int> fds(static_cast<std::size_t>(n_fds), nothing_);
      std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
    }
    if (sendmsg(ends_[0], &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return false;
    const int received = wire::receive_message(ends_[1], packet, MSG_DONTWAIT);
    if (received < 0 && errno != EPROTO) does_not_hold("what was sent is received or refused");
    if (received < 0 && packet.n_fds != 0) does_not_hold("a refused message leaves nothing open");
    if (received > 0 &&
        !wire::well_formed(packet.message, sizeof packet.message + packet.message.text_size))
      does_not_hold("a message is well formed");
    return received > 0;
  }

 private:
  int ends_[2] = {-1, -1};
  int nothing_ = -1;
};

}  // namespace proctor
