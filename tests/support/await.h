// Runs a coroutine to its end from a test.
#pragma once

#include <boost/asio/io_context.hpp>
#include <optional>
#include <utility>

#include "runtime/core/async.h"

namespace proctor {

// The coroutine's value; its exception is rethrown here.
template <class T>
T await(Async<T> work) {
  asio::io_context context;
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
