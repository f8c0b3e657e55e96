// From the caller's executor to the pool's thread and back, for coroutines.
//
// asio's own co_spawn does the same, but keeps the signal of a cancellation with the caller: one
// that is still on its way to the other thread when the answer arrives meets a signal that is gone,
// or another call's.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

#include "runtime/core/async.h"

namespace proctor {

// The work's value or exception; the work runs on the context, and a cancellation of the caller is
// passed on to it.
template <class T>
Async<T> run_on(asio::io_context* context, Async<T> work) {
  auto initiate = [context](auto handler, Async<T> there) {
    auto signal = std::make_shared<asio::cancellation_signal>();
    if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected())
      slot.assign([context, signal](asio::cancellation_type type) {
        asio::post(*context, [signal, type] { signal->emit(type); });
      });
    auto waits = asio::make_work_guard(handler);
    auto answer = [handler = std::move(handler), waits = std::move(waits), signal](
                      const std::exception_ptr& thrown, T value) mutable {
      const auto here = waits.get_executor();
      asio::post(here, [handler = std::move(handler), waits = std::move(waits), thrown,
                        value = std::move(value)]() mutable {
        std::move(handler)(thrown, std::move(value));
      });
    };
    asio::co_spawn(*context, std::move(there),
                   asio::bind_cancellation_slot(signal->slot(), std::move(answer)));
  };
  auto crossing = asio::async_initiate<const asio::use_awaitable_t<>, void(std::exception_ptr, T)>(
      initiate, asio::use_awaitable, std::move(work));
  co_return co_await std::move(crossing);
}

}  // namespace proctor
