// What a whole process tree uses where no cgroup counts it: looked up in /proc now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace proctor {

struct TreeUsage {
  std::chrono::microseconds cpu{0};
  std::int64_t memory = 0;   // now, bytes
  std::int64_t buffers = 0;  // the most that its pipes and sockets hold beside that
  int tasks = 0;             // now; threads count
  // Of a box without a size: files that have no name any more and are open, in bytes; and how many
  // are but mapped, so that their sizes cannot be told.
  std::int64_t nameless = 0;
  int nameless_maps = 0;
};

// A process as /proc/PID/stat has it; times in ticks.
struct Process {
  int parent = 0, threads = 0;
  bool ended = false;  // its first thread
  std::int64_t own = 0, waited = 0, pages = 0, start = 0;
  bool of_uid = false;
};

// What a run's processes use: all below `roots`, all of `uid` (0: nobody's), and the processor time
// of what `holder` (the run's init, or the slot) has waited for since the first look. `box` is the
// path of a workspace that has no size; where it has one (""), the run has namespaces too.
class TreeWatch {
 public:
  TreeWatch(int holder, std::vector<int> roots, std::uint32_t uid, std::string box)
      : holder_(holder), roots_(std::move(roots)), uid_(uid), box_(std::move(box)) {}
  TreeUsage look();
  void begin();  // what was used until the last look no longer counts
  void add_root(int pid) { roots_.push_back(pid); }
  // As the last look saw it, since begin(); and until then.
  std::chrono::microseconds cpu() const;
  std::chrono::microseconds cpu_before() const;
  std::int64_t peak_memory() const { return peak_memory_; }
  int peak_tasks() const { return peak_tasks_; }

 private:
  using Processes = std::map<int, Process>;
  Processes tree_of(const Processes& all) const;  // the holder is not in it
  std::int64_t ticks_of(const Processes& all, Processes tree);
  void add_held(const Processes& tree, TreeUsage& usage) const;

  int holder_;
  std::vector<int> roots_;
  std::uint32_t uid_;
  std::string box_;
  Processes last_;  // the tree at the last look, with its holder
  std::int64_t holder_before_ = -1;
  // Ticks of those who ended between two looks, until the last one; and those that somebody in the
  // tree got for waiting.
  std::int64_t gone_ = 0, waited_for_ = 0, lost_ = 0;
  std::int64_t most_ticks_ = 0, ticks_before_ = 0;
  std::int64_t peak_memory_ = 0;
  int peak_tasks_ = 0;
};

}  // namespace proctor
