// One process a run directory: a flock on DIR/lock, with the holder's pid in it.
//
// The lock dies with the process, however that ends; a lock file left behind is harmless. Blind
// spot: network file systems without flock, where it protects against processes of this host only.
#pragma once

#include <string>
#include <utility>

#include "runtime/core/result.h"

namespace proctor {

class RunLock {
 public:
  // `bad_input` naming the holder's pid and host when another process, or another RunLock of this
  // process, has it.
  static Result<RunLock> take(const std::string& directory);

  RunLock() = default;
  RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RunLock& operator=(RunLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~RunLock() { give_back(); }
  void give_back();

 private:
  explicit RunLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace proctor
