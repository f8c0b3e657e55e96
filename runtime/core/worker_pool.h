// Threads for blocking calls and long computation, which an executor's own must not wait for.
// Blind spot: a call that never ends keeps join() waiting; it is called off by who made it.
#pragma once

#include <boost/asio/thread_pool.hpp>

#include "runtime/core/threads.h"

namespace proctor {

class WorkerPool {
 public:
  WorkerPool() = default;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() { join(); }

  // `missing` where the threads cannot be made.
  Status start(std::size_t threads = 2) {
    return threads_.start(threads, [this] { pool_.attach(); }, [this] { pool_.stop(); });
  }
  boost::asio::thread_pool& pool() { return pool_; }
  // Waits for all that was given to it.
  void join() {
    if (threads_.running()) pool_.wait();
    threads_.join();
  }

 private:
  boost::asio::thread_pool pool_{0};  // its own threads: where one fails, it waits for ever
  Threads threads_;
};

}  // namespace proctor
