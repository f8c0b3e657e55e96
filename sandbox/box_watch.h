// What a workspace holds that has no file system of its own, and so no size.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace proctor {

// Walks the workspace again and again while a guest may change it, a few entries at a time.
class BoxWatch {
 public:
  using Clock = std::chrono::steady_clock;
  BoxWatch(std::int64_t bytes, std::int64_t inodes);

  // Goes on with a walk, or begins one; true when it is through, or has seen too much.
  bool look(int box);
  void begin_anew() { restart(); }
  // Whether there is more than may be, `nameless` bytes of other files counted in.
  bool is_over(std::int64_t nameless) const;
  // When to look again, lest it be overrun by far and lest looking costs more than it is worth.
  Clock::time_point next() const { return next_; }

 private:
  void restart();
  void open_next(int box);
  void count_entry(const char* name);
  Clock::duration pause() const;

  const std::int64_t most_bytes_, most_inodes_;
  std::int64_t bytes_ = 0, inodes_ = 0;
  bool blind_ = false;  // there is something that cannot be looked into
  bool walking_ = false;
  std::vector<std::string> folders_;  // still to be looked into, below the box
  std::size_t folder_bytes_ = 0;      // of their names
  std::string path_;                  // of the open one
  std::unique_ptr<DIR, int (*)(DIR*)> open_{nullptr, closedir};
  std::set<std::pair<dev_t, ino_t>> linked_;  // files with several names
  Clock::duration took_{};
  Clock::time_point next_;
};

}  // namespace proctor
