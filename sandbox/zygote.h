// A warm Python with a profile of modules that forks confined guests ahead of their programs; the
// parent's side. Lives on the pool's thread.
#pragma once

#include <functional>
#include <string_view>

#include "sandbox/launcher.h"
#include "sandbox/owned_fd.h"
#include "sandbox/waiting.h"
#include "sandbox/wire.h"

namespace proctor {

// What a zygote has imported. Guests of a heavier one take longer to fork and to end.
enum class Profile { thin, numpy, sympy };
inline constexpr std::size_t kProfiles = 3;
const char* to_string(Profile profile);
// The lightest one that saves the program an import.
Profile profile_of(std::string_view code);

class Zygote {
 public:
  // `hear` takes a message about a guest and says whether it knew it; `lost` is told when the
  // process has ended, with its guests.
  Zygote(asio::io_context& context, Profile profile, std::function<bool(const wire::Packet&)> hear,
         std::function<void()> lost);

  // Starts it when there is none. False where there can be none just now: guests start their own
  // interpreter then.
  Async<bool> ready(SlotPlan plan, FilterFds filters);
  bool is_ready() const { return state_ == State::ready; }
  // A moment ago, and its reader has not noticed yet.
  bool was_killed() const { return is_ready() && has_ended(process_); }
  WatchedFd& socket() { return socket_; }
  void close();  // for good

 private:
  enum class State { none, starting, ready, unusable };

  Async<void> read();
  void bound_start();
  void be_unusable();

  asio::io_context& context_;
  const Profile profile_;
  const std::function<bool(const wire::Packet&)> hear_;
  const std::function<void()> lost_;
  State state_ = State::none;
  WatchedFd socket_;
  OwnedFd process_;
  Bell changed_;
  asio::steady_timer deadline_;
  int deaths_ = 0;  // one soon after the other
  std::chrono::steady_clock::time_point ready_since_, again_at_;
  bool closed_ = false;
};

}  // namespace proctor
