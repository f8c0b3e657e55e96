// Waiting for bells and guests' output. Blind spot: a guest that writes without end is read up to
// its cap only; the pipe then fills, and the deadline or the kill ends it.
#include "sandbox/waiting.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace proctor {

Async<void> Bell::wait(std::chrono::steady_clock::time_point deadline) {
  timer_.expires_at(deadline);
  co_await wait();
}

Async<void> Bell::wait() {
  boost::system::error_code ignored;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
}

bool has_ended(const OwnedFd& process) {
  pollfd ended{process.get(), POLLIN, 0};
  return process && poll(&ended, 1, 0) == 1;
}

Result<WatchedFd> watched_copy(asio::io_context& context, int fd) {
  OwnedFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return internal_error(std::string("sandbox: ") + std::strerror(errno));
  WatchedFd watched(context);
  boost::system::error_code error;
  (void)watched.assign(copy.get(), error);
  if (error) return internal_error("sandbox: " + error.message());
  (void)copy.release();
  return watched;
}

bool send(WatchedFd& socket, const wire::Message& message, std::string_view text,
          const std::vector<int>& fds) {
  return socket.is_open() &&
         wire::send_message(socket.native_handle(), message, text.data(), text.size(), fds.data(),
                            static_cast<int>(fds.size()), MSG_DONTWAIT) == 0;
}

void Output::keep(std::size_t bytes) {
  most = bytes;
  if (text.size() <= most) return;
  text.resize(most);
  overflowed = true;
}

void Output::drain() {
  char buffer[65536];
  while (!ended && !overflowed) {
    const ssize_t n = read(fd.native_handle(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      ended = true;
      return;
    }
    const std::size_t room = most - text.size();
    text.append(buffer, std::min(room, static_cast<std::size_t>(n)));
    overflowed = static_cast<std::size_t>(n) > room;
  }
}

}  // namespace proctor
