// Starts, hears and ends a zygote. Blind spot: a profile is chosen by words of the program's text;
// one that imports by another way pays for its import.
#include "sandbox/zygote.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>

namespace proctor {
namespace {

using wire::Kind;

constexpr Milliseconds kPatience = 10s;  // until it is ready
constexpr int kMostDeaths = 5;
constexpr Milliseconds kPause = 60s;  // after that many

}  // namespace

const char* to_string(Profile profile) {
  constexpr std::array kNames = {"thin", "numpy", "sympy"};
  return kNames[static_cast<std::size_t>(profile)];
}

Profile profile_of(std::string_view code) {
  const auto names = [&](std::string_view module) {
    return code.find(module) != std::string_view::npos;
  };
  if (code.find("import") == std::string_view::npos) return Profile::thin;
  if (names("sympy") || names("math_verify")) return Profile::sympy;
  if (names("numpy") || names("pandas") || names("scipy") || names("matplotlib"))
    return Profile::numpy;
  return Profile::thin;
}

Zygote::Zygote(asio::io_context& context, Profile profile,
               std::function<bool(const wire::Packet&)> hear, std::function<void()> lost)
    : context_(context),
      profile_(profile),
      hear_(std::move(hear)),
      lost_(std::move(lost)),
      socket_(context),
      changed_(context),
      deadline_(context) {}

Async<bool> Zygote::ready(SlotPlan plan, FilterFds filters) {
  while (was_killed()) co_await changed_.wait();
  if (state_ == State::unusable && !closed_ && std::chrono::steady_clock::now() >= again_at_)
    state_ = State::none;
  if (state_ == State::none) {
    state_ = State::starting;
    plan.profile = to_string(profile_);
    auto socket = ask_for_zygote(plan, filters);
    if (!socket) {
      be_unusable();
      co_return false;
    }
    (void)fcntl(*socket, F_SETFL, O_NONBLOCK);
    socket_.assign(*socket);
    asio::co_spawn(context_, read(), [](const std::exception_ptr& thrown) {
      if (thrown && !is_cancellation(thrown)) std::rethrow_exception(thrown);
    });
    bound_start();
  }
  while (state_ == State::starting) co_await changed_.wait();
  co_return state_ == State::ready;
}

void Zygote::be_unusable() {
  state_ = State::unusable;
  deaths_ = 0;
  again_at_ = std::chrono::steady_clock::now() + kPause;
}

// One that does not get ready is killed, by the end of its reader, and not tried again for a while.
void Zygote::bound_start() {
  deadline_.expires_after(kPatience);
  deadline_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || state_ != State::starting) return;
    be_unusable();
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  });
}

void Zygote::close() {
  closed_ = true;
  state_ = State::unusable;
  boost::system::error_code ignored;
  socket_.close(ignored);
  changed_.ring();
}

Async<void> Zygote::read() {
  auto packet = std::make_unique<wire::Packet>();
  boost::system::error_code error;
  for (;;) {
    co_await socket_.async_wait(WatchedFd::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    const int received = wire::receive_message(socket_.native_handle(), *packet, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EPROTO)) continue;
    if (received <= 0) break;
    if (packet->message.kind == Kind::started) {
      process_ = OwnedFd(packet->take(0));
    } else if (packet->message.kind == Kind::ready) {
      state_ = State::ready;
      ready_since_ = std::chrono::steady_clock::now();
      deadline_.cancel();
    } else if (!hear_(*packet) && packet->message.kind == Kind::failed && packet->message.id == 0) {
      break;  // its own failure, and nobody's that is forgotten already
    }
    packet->close_fds();
    changed_.ring();
  }
  // It is started again a few times.
  boost::system::error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
  if (process_) (void)syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
  process_.reset();
  if (state_ == State::ready && std::chrono::steady_clock::now() - ready_since_ > kPatience)
    deaths_ = 0;
  if (state_ != State::unusable && ++deaths_ < kMostDeaths)
    state_ = State::none;
  else
    be_unusable();
  lost_();
  changed_.ring();
}

}  // namespace proctor
