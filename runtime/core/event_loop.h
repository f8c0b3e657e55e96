// Runs one coroutine to its end from code that is none. Blind spot: it waits for all on the loop.
//
// Whoever owns an event loop lets it outlive the threads that answer its coroutines (a model's
// engine, the sandbox's, the store's writer, a pool's): one of them may still be inside its post
// when the handler that it posted has run. Declare the loop before what owns such threads.
#pragma once

#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "runtime/core/async.h"

namespace proctor {

// The coroutine's value; its exception is rethrown here. Returns when nothing is left to do on the
// loop, which may be used again after that.
template <class T>
T run_to_end(asio::io_context& loop, Async<T> work) {
  loop.restart();
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(loop, std::move(work),
                   [&](const std::exception_ptr& thrown) { failure = thrown; });
    loop.run();
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> value;
    asio::co_spawn(loop, std::move(work), [&](const std::exception_ptr& thrown, T result) {
      failure = thrown;
      if (!thrown) value.emplace(std::move(result));
    });
    loop.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*value);
  }
}

}  // namespace proctor
