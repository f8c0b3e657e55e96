// Runs a coroutine to its end from a test.
#pragma once

#include <boost/asio/io_context.hpp>
#include <optional>
#include <utility>

#include "runtime/core/async.h"

namespace proctor {

// One a thread, never destroyed: a thread that posted the last handler (the store's writer, a
// model's engine) may still be inside its post when that handler has run and the test is over.
inline asio::io_context& test_context() {
  static thread_local auto* context = new asio::io_context;
  context->restart();
  return *context;
}

// The coroutine's value; its exception is rethrown here.
template <class T>
T await(Async<T> work) {
  asio::io_context& context = test_context();
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown) { failure = thrown; });
    context.run();
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> value;
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown, T result) {
      failure = thrown;
      if (!thrown) value.emplace(std::move(result));
    });
    context.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*value);
  }
}

}  // namespace proctor
