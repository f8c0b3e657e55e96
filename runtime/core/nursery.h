// Nursery: whoever starts work awaits or cancels it. Children run side by side on their own
// executors; the owner joins them. Event: a flag one can wait for on one executor.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "runtime/core/async.h"

namespace proctor {

// Set once; waits end when it is. All calls on one executor (a rollout's strand).
class Event {
 public:
  explicit Event(const asio::any_io_executor& executor)
      : timer_(executor, asio::steady_timer::time_point::max()) {}
  bool is_set() const { return set_; }
  void set() {
    set_ = true;
    timer_.cancel();
  }
  // Throws the cancellation exception when called off.
  Async<void> wait();

 private:
  asio::steady_timer timer_;
  bool set_ = false;
};

class Nursery {
 public:
  // `owner` and every `where` run one thing at a time: strands, or contexts of one thread.
  explicit Nursery(asio::any_io_executor owner);
  // Joined before: a nursery that dies with children is a bug (the process ends).
  ~Nursery();
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;

  // Starts the child on `where`. From any thread.
  void spawn(const asio::any_io_executor& where, Async<void> child);
  // Waits until no child is left; when the waiter is called off, cancels the children, waits until
  // they have really ended, and then throws. Afterwards rethrows the first exception of a child
  // that was no cancellation. On the owner's executor only.
  Async<void> join();
  // Calls every child off; they still have to be joined. From any thread.
  void cancel();
  std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace proctor
