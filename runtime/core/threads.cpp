#include "runtime/core/threads.h"

#include <system_error>

namespace proctor {

Status Threads::start(std::size_t count, const std::function<void()>& body,
                      const std::function<void()>& stop) {
  threads_.reserve(count);
  try {
    while (threads_.size() < count) threads_.emplace_back(body);
  } catch (const std::system_error& error) {
    if (stop) stop();
    join();
    return missing("a thread cannot be made: " + error.code().message() +
                   "; raise the limit on processes (ulimit -u)");
  }
  return {};
}

void Threads::join() {
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace proctor
