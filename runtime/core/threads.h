// Threads of our own that end before they are forgotten. Blind spot: those that libraries make.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "runtime/core/result.h"

namespace proctor {

class Threads {
 public:
  Threads() = default;
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { join(); }

  // Runs `body` on `count` of them, or on none: where one cannot be made, `stop` has to end those
  // before it, and the failure is `missing`.
  Status start(std::size_t count, const std::function<void()>& body,
               const std::function<void()>& stop = {});
  bool running() const { return !threads_.empty(); }
  void join();

 private:
  std::vector<std::thread> threads_;
};

}  // namespace proctor
