// What the pool waits for: bells, and guests' output. All of it lives on the pool's one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/result.h"
#include "sandbox/owned_fd.h"
#include "sandbox/wire.h"

namespace proctor {

// Rings whoever waits; rings without a waiter are lost, so a waiter looks before it waits.
class Bell {
 public:
  explicit Bell(asio::io_context& context)
      : timer_(context, asio::steady_timer::time_point::max()) {}
  void ring() { timer_.cancel(); }
  // Until the next ring; for many waiters. Both throw when called off.
  Async<void> wait();
  // Until the next ring or `deadline`; for a bell with one waiter at a time.
  Async<void> wait(std::chrono::steady_clock::time_point deadline);

 private:
  asio::steady_timer timer_;
};

// Waits until the descriptor is readable: a pidfd when its process is dead.
using WatchedFd = asio::posix::stream_descriptor;

// Whether a pidfd's process is dead; its end may not be heard of yet. False without one.
bool has_ended(const OwnedFd& process);

// A copy of the descriptor, to be watched on its own.
Result<WatchedFd> watched_copy(asio::io_context& context, int fd);

// Whether the message could be sent, without waiting.
bool send(WatchedFd& socket, const wire::Message& message, std::string_view text = {},
          const std::vector<int>& fds = {});

// One stream of a guest, kept up to a cap; the rest is not read.
struct Output {
  explicit Output(asio::io_context& context) : fd(context) {}
  WatchedFd fd;
  std::string text;
  std::size_t most = 0;
  bool overflowed = false;
  bool ended = false;

  // How much is kept from now on; what is there beyond it is cut.
  void keep(std::size_t bytes);
  // Takes what is there now, without waiting.
  void drain();
};

}  // namespace proctor
