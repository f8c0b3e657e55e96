// Async<T>: a coroutine on Boost.Asio, and the few ways to wait.
//
// Rules of the house: parameters by value; every wait on something outside has a deadline; no lock
// is held across co_await; name a value before awaiting with it (GCC 12 miscompiles brace lists and
// lambda captures inside one co_await expression). Cancellation travels as an exception
// (boost::system::system_error with operation_aborted) that unwinds the coroutine; all other
// failures are Result<T>. A rollout runs on one strand; what rollouts share is thread-safe.
#pragma once

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/core/result.h"

namespace proctor {

namespace asio = boost::asio;
using namespace std::chrono_literals;

template <class T>
using Async = asio::awaitable<T>;

using Milliseconds = std::chrono::milliseconds;

// True for the exception by which a cancelled coroutine unwinds.
bool is_cancellation(const std::exception& error);
bool is_cancellation(const std::exception_ptr& error);

// Waits; throws the cancellation exception when called off.
Async<void> sleep_for(std::chrono::nanoseconds time);

// A moment that can be put off while somebody waits for it. All calls on one executor (a strand).
class Deadline {
 public:
  Deadline(const asio::any_io_executor& executor, Milliseconds limit)
      : timer_(executor, limit), limit_(limit) {}
  // `limit` from now on, instead of what it was.
  void restart(Milliseconds limit);
  Milliseconds limit() const { return limit_; }
  // True when the moment came, false when the wait was called off.
  Async<bool> passed();

 private:
  asio::steady_timer timer_;
  Milliseconds limit_;
};

// The work beside an alarm. The first to end calls the other off, and both have ended when this
// returns, so nothing of the work runs on behind the caller's back.
template <class T>
struct Race {
  bool rang = false;  // the alarm came first, in time or by cancel(); the result is of no use then
  bool in_time = false;
  std::exception_ptr failure;
  T result;
};
template <class T>
Async<Race<T>> race(Async<T> work, asio::steady_timer* alarm) {
  auto executor = co_await asio::this_coro::executor;
  auto both = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(work), asio::deferred), alarm->async_wait(asio::deferred));
  auto [order, failure, result, called_off] =
      co_await both.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  co_return Race<T>{.rang = order[0] == 1,
                    .in_time = !called_off,
                    .failure = std::move(failure),
                    .result = std::move(result)};
}

Error no_answer_in(Milliseconds limit, const std::string& what);

// The work's result, or a timeout Error "WHAT: no answer in N ms" after cancelling it.
template <class T>
Async<Result<T>> with_deadline(Async<Result<T>> work, Milliseconds limit, std::string what) {
  asio::steady_timer alarm(co_await asio::this_coro::executor, limit);
  auto both = race(std::move(work), &alarm);
  auto ended = co_await std::move(both);
  if (ended.rang && ended.in_time) co_return no_answer_in(limit, what);
  if (ended.failure) std::rethrow_exception(ended.failure);
  co_return std::move(ended.result);
}
template <class T>
Async<Result<T>> with_deadline(Async<Result<T>> work, std::shared_ptr<Deadline> deadline,
                               std::string what) {
  auto executor = co_await asio::this_coro::executor;
  auto alarm = deadline->passed();
  auto both = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(work), asio::deferred),
      asio::co_spawn(executor, std::move(alarm), asio::deferred));
  auto [order, failure, result, broken, rang] =
      co_await both.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1 && rang) co_return no_answer_in(deadline->limit(), what);
  if (failure) std::rethrow_exception(failure);
  co_return std::move(result);
}

// Runs all side by side on the caller's executor and returns their values in order. When the caller
// is cancelled, all are; the first exception, in order, is rethrown after all have ended.
template <class T>
Async<std::vector<T>> gather(std::vector<Async<T>> works) {
  std::vector<T> values;
  if (works.empty()) co_return values;
  if (works.size() == 1) {
    values.push_back(co_await std::move(works.front()));
    co_return values;
  }
  auto executor = co_await asio::this_coro::executor;
  using Operation = decltype(asio::co_spawn(executor, std::move(works.front()), asio::deferred));
  std::vector<Operation> operations;
  operations.reserve(works.size());
  for (auto& work : works)
    operations.push_back(asio::co_spawn(executor, std::move(work), asio::deferred));
  auto group = asio::experimental::make_parallel_group(std::move(operations));
  auto [order, failures, results] =
      co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  for (auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
  values.reserve(results.size());
  for (auto& result : results) values.push_back(std::move(result));
  co_return values;
}

// Runs a blocking or long computation on a pool thread and resumes on the caller's executor. The
// computation itself cannot be cancelled: keep it short, or let it look at a flag of its own. A
// cancellation of the caller counts from its next wait on: asio's own way of passing one on to
// another thread may touch a signal that is gone (sandbox/crossing.h).
template <class F>
Async<std::invoke_result_t<F>> on_pool(asio::thread_pool* pool, F work) {
  auto task = [](F inner) -> Async<std::invoke_result_t<F>> { co_return inner(); };
  auto there =
      asio::co_spawn(*pool, task(std::move(work)),
                     asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
  co_return co_await std::move(there);
}

// At most `capacity` leases at a time, handed out first come, first served; safe from any thread.
// With a bound on waiters, `acquire` answers `unavailable` instead of queueing without end.
class Limiter {
 public:
  class Lease {
   public:
    Lease() = default;
    explicit Lease(Limiter* limiter) : limiter_(limiter) {}
    Lease(Lease&& other) noexcept : limiter_(std::exchange(other.limiter_, nullptr)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        give_back();
        limiter_ = std::exchange(other.limiter_, nullptr);
      }
      return *this;
    }
    ~Lease() { give_back(); }
    void give_back();

   private:
    Limiter* limiter_ = nullptr;
  };

  // What was seen so far; `highest` is the most leases out at once, which never exceeds capacity.
  struct Usage {
    std::size_t in_use = 0;
    std::size_t highest = 0;
    std::size_t waiting = 0;
    std::size_t capacity = 0;
    std::chrono::nanoseconds waited{0};  // summed over those that got a place
    std::size_t acquired = 0;            // how many got one
  };

  explicit Limiter(std::size_t capacity, std::size_t most_waiting = SIZE_MAX);
  Limiter(const Limiter&) = delete;
  Limiter& operator=(const Limiter&) = delete;

  // The limiter must outlive the lease. Throws the cancellation exception when called off.
  Async<Result<Lease>> acquire();
  std::optional<Lease> try_acquire();
  Usage usage() const;

 private:
  struct Waiter;
  void release();

  const std::size_t most_waiting_;
  mutable std::mutex mutex_;
  Usage usage_;
  std::deque<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace proctor
