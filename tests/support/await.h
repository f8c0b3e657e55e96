// Runs a coroutine to its end from a test.
#pragma once

#include <utility>

#include "runtime/core/event_loop.h"

namespace proctor {

// One a thread, never destroyed: it outlives whatever thread a test's objects have.
inline asio::io_context& test_context() {
  static thread_local auto* context = new asio::io_context;
  context->restart();
  return *context;
}

template <class T>
T await(Async<T> work) {
  return run_to_end(test_context(), std::move(work));
}

}  // namespace proctor
