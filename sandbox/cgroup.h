// Accounting and limits of a whole process tree: cgroups v1 and v2, or polling where neither can be
// written.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace proctor {

// One slot's groups, used again by every run in it.
class Cgroup {
 public:
  virtual ~Cgroup() = default;
  // Between runs, when nobody is inside: what the kernel counts without a way to reset it starts
  // anew. False with errno.
  virtual bool renew() = 0;
  // Limits, and marks the counters' present state as zero.
  virtual bool begin(std::int64_t memory, int tasks) = 0;
  virtual std::chrono::microseconds cpu() = 0;  // a look, which peak_tasks() may hang on
  virtual std::int64_t peak_memory() = 0;
  virtual int peak_tasks() = 0;
  virtual bool out_of_memory() = 0;
  virtual bool out_of_tasks() = 0;
  virtual void kill() = 0;  // everything in it, where the kernel can
  // Files open for writing: a process of one thread enters by writing "0" (version 1: at once,
  // where moving another or all its threads waits for every processor), and is moved by writing its
  // pid.
  const std::vector<int>& entrances() const { return entrances_; }

 protected:
  std::vector<int> entrances_;
};

class UnusedGroups;

// What the process may write to, found once a pool.
class Cgroups {
 public:
  // Nothing usable: `why()` says so.
  static std::unique_ptr<Cgroups> find();
  ~Cgroups();

  bool usable() const { return kind_ != 0; }
  const std::string& why() const { return why_; }
  const std::vector<std::string>& directories() const { return directories_; }
  std::unique_ptr<Cgroup> make(int index);

 private:
  Cgroups() = default;
  int made_ = 0;
  std::shared_ptr<UnusedGroups> unused_;
  int kind_ = 0;  // 1, 2: version; 0: none
  std::string why_;
  std::vector<std::string> directories_;  // v1: memory, pids, cpuacct; v2: one
};

struct TreeUsage {
  std::chrono::microseconds cpu{0};
  std::int64_t memory = 0;  // now, bytes
  int tasks = 0;            // now; threads count
};

// What a run's processes use, from /proc: all below `roots`, all of `uid` (0: nobody's), and the
// processor time of what `holder` (the run's init, or the slot) has waited for since the first
// look.
class TreeWatch {
 public:
  TreeWatch(int holder, std::vector<int> roots, std::uint32_t uid)
      : holder_(holder), roots_(std::move(roots)), uid_(uid) {}
  TreeUsage look();
  void begin();  // what was used until the last look no longer counts
  void add_root(int pid) { roots_.push_back(pid); }
  // As the last look saw it, since begin(); and until then.
  std::chrono::microseconds cpu() const;
  std::chrono::microseconds cpu_before() const;
  std::int64_t peak_memory() const { return peak_memory_; }
  int peak_tasks() const { return peak_tasks_; }

 private:
  int holder_;
  std::vector<int> roots_;
  std::uint32_t uid_;
  std::int64_t holder_ticks_before_ = -1;
  std::int64_t most_ticks_ = 0, ticks_before_ = 0;
  std::int64_t peak_memory_ = 0;
  int peak_tasks_ = 0;
};

}  // namespace proctor
