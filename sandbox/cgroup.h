// Accounting and limits of a whole process tree: cgroups v1 and v2. Where neither can be written,
// tree_watch.h looks.
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

}  // namespace proctor
