// The waits that need no template.
#include "runtime/core/async.h"

#include <boost/asio/error.hpp>

namespace proctor {

bool is_cancellation(const std::exception& error) {
  const auto* system = dynamic_cast<const boost::system::system_error*>(&error);
  return system && system->code() == asio::error::operation_aborted;
}

bool is_cancellation(const std::exception_ptr& error) {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& caught) {
    return is_cancellation(caught);
  } catch (...) {
    return false;
  }
}

Async<void> sleep_for(std::chrono::nanoseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

void Deadline::restart(Milliseconds limit) {
  limit_ = limit;
  timer_.expires_after(limit);  // wakes whoever waits, to wait again
}

Async<bool> Deadline::passed() {
  while (timer_.expiry() > std::chrono::steady_clock::now()) {
    boost::system::error_code woken;
    auto token = asio::redirect_error(asio::use_awaitable, woken);
    co_await timer_.async_wait(token);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return false;
  }
  co_return true;
}

Error no_answer_in(Milliseconds limit, const std::string& what) {
  return {ErrorKind::timeout, what + ": no answer in " + std::to_string(limit.count()) + " ms"};
}

// A waiter sleeps on a timer of its own, which lives on the waiting coroutine's executor; whoever
// frees a lease hands it over by posting there, so the timer is only ever touched on its executor.
struct Limiter::Waiter {
  explicit Waiter(const asio::any_io_executor& executor)
      : timer(executor, asio::steady_timer::time_point::max()) {}
  asio::steady_timer timer;
  bool granted = false;  // guarded by the limiter's mutex
};

Limiter::Limiter(std::size_t capacity, std::size_t most_waiting) : most_waiting_(most_waiting) {
  usage_.capacity = capacity;
}

Async<Result<Limiter::Lease>> Limiter::acquire() {
  const auto started = std::chrono::steady_clock::now();
  std::shared_ptr<Waiter> waiter;
  {
    auto executor = co_await asio::this_coro::executor;
    std::lock_guard lock(mutex_);
    if (usage_.in_use < usage_.capacity && waiters_.empty()) {
      ++usage_.acquired;
      usage_.highest = std::max(usage_.highest, ++usage_.in_use);
      co_return Lease(this);
    }
    if (waiters_.size() >= most_waiting_)
      co_return unavailable("all " + std::to_string(usage_.capacity) + " places are taken and " +
                            std::to_string(waiters_.size()) + " are waiting");
    waiter = std::make_shared<Waiter>(executor);
    waiters_.push_back(waiter);
    usage_.waiting = waiters_.size();
  }
  boost::system::error_code woken;
  try {
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        if (waiter->granted) break;
      }
      co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  } catch (...) {
    bool granted = false;
    {
      std::lock_guard lock(mutex_);
      granted = waiter->granted;
      if (!granted) std::erase(waiters_, waiter);
      usage_.waiting = waiters_.size();
    }
    if (granted) release();
    throw;
  }
  std::lock_guard lock(mutex_);
  ++usage_.acquired;
  usage_.waited += std::chrono::steady_clock::now() - started;
  co_return Lease(this);
}

std::optional<Limiter::Lease> Limiter::try_acquire() {
  std::lock_guard lock(mutex_);
  if (usage_.in_use >= usage_.capacity || !waiters_.empty()) return std::nullopt;
  ++usage_.acquired;
  usage_.highest = std::max(usage_.highest, ++usage_.in_use);
  return Lease(this);
}

Limiter::Usage Limiter::usage() const {
  std::lock_guard lock(mutex_);
  return usage_;
}

void Limiter::release() {
  std::shared_ptr<Waiter> next;
  {
    std::lock_guard lock(mutex_);
    if (waiters_.empty()) {
      --usage_.in_use;
      return;
    }
    next = waiters_.front();
    waiters_.pop_front();
    usage_.waiting = waiters_.size();
    next->granted = true;  // the place passes on without being free in between
  }
  asio::post(next->timer.get_executor(), [next] { next->timer.cancel(); });
}

void Limiter::Lease::give_back() {
  if (auto* limiter = std::exchange(limiter_, nullptr)) limiter->release();
}

}  // namespace proctor
