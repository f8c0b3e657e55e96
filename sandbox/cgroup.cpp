// cgroup back ends. Version 1 has one hierarchy a controller and no way to start a process inside;
// version 2 has one tree, whose parent must pass controllers on.
#include "sandbox/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "sandbox/files.h"

namespace proctor {
namespace {

std::int64_t number_in(const std::string& text) { return std::strtoll(text.c_str(), nullptr, 10); }

// The number behind `name` in "name number" lines.
std::int64_t field_in(const std::string& text, const char* name) {
  std::istringstream lines(text);
  std::string word;
  std::int64_t value;
  while (lines >> word >> value)
    if (word == name) return value;
  return 0;
}

class CounterFile {
 public:
  CounterFile() = default;
  CounterFile(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC)) {}
  CounterFile(CounterFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  CounterFile& operator=(CounterFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~CounterFile() {
    if (fd_ >= 0) close(fd_);
  }

  std::string text() const {
    char buffer[2048];
    const ssize_t n = fd_ < 0 ? -1 : pread(fd_, buffer, sizeof buffer, 0);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
  }
  std::int64_t number() const { return number_in(text()); }
  std::int64_t field(const char* name) const { return field_in(text(), name); }
  bool put(const std::string& value) const {
    return fd_ >= 0 &&
           pwrite(fd_, value.data(), value.size(), 0) == static_cast<ssize_t>(value.size());
  }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The highest number of tasks at once: the kernel's, from Linux 6.11 on, or the highest seen.
class TaskPeak {
 public:
  TaskPeak() = default;
  explicit TaskPeak(const std::string& directory)
      : counted_(directory + "/pids.peak", O_RDONLY),
        now_(counted_ ? CounterFile() : CounterFile(directory + "/pids.current", O_RDONLY)) {}
  void look() { seen_ = now_ ? std::max(seen_, now_.number()) : 0; }
  int number() const { return static_cast<int>(counted_ ? counted_.number() : seen_); }

 private:
  CounterFile counted_, now_;
  std::int64_t seen_ = 0;
};

}  // namespace

// Groups that nobody uses any more. One that is busy for a moment still, with what was killed in
// it, is tried again.
class UnusedGroups {
 public:
  void remove(const std::string& directory) {
    if (rmdir(directory.c_str()) != 0 && errno == EBUSY) busy_.push_back(directory);
  }
  void try_again() {
    for (const auto& directory : std::exchange(busy_, {})) remove(directory);
  }

 private:
  std::vector<std::string> busy_;
};

namespace {

using Unused = std::shared_ptr<UnusedGroups>;

// A folder of its own for each run, as the highest number of tasks cannot be reset.
class RunFolders {
 public:
  RunFolders(std::string base, Unused unused)
      : base_(std::move(base)), unused_(std::move(unused)) {}
  ~RunFolders() { remove(); }
  RunFolders(const RunFolders&) = delete;
  RunFolders& operator=(const RunFolders&) = delete;
  // The next run's, or "" with errno.
  std::string next() {
    unused_->try_again();
    remove();
    current_ = base_ + "-" + std::to_string(++runs_);
    return mkdir(current_.c_str(), 0755) == 0 ? current_ : "";
  }

 private:
  void remove() const {
    if (!current_.empty()) unused_->remove(current_);
  }
  std::string base_, current_;
  Unused unused_;
  int runs_ = 0;
};

class CgroupV1 final : public Cgroup {
 public:
  // The folders of memory and cpu are there already.
  CgroupV1(const std::string& memory, std::string pids, const std::string& cpu,
           const Unused& unused)
      : directories_{memory, cpu},
        unused_(unused),
        folders_(std::move(pids), unused),
        limit_(memory + "/memory.limit_in_bytes", O_RDWR),
        swap_limit_(memory + "/memory.memsw.limit_in_bytes", O_RDWR),
        peak_(memory + "/memory.max_usage_in_bytes", O_RDWR),
        oom_(memory + "/memory.oom_control", O_RDONLY),
        cpu_(cpu + "/cpuacct.usage", O_RDWR) {
    for (const auto& directory : directories_)
      entrances_.push_back(open((directory + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
    entrances_.push_back(-1);
  }
  ~CgroupV1() override {
    for (int fd : entrances_)
      if (fd >= 0) close(fd);
    for (const auto& directory : directories_) unused_->remove(directory);
  }

  bool renew() override {
    if (!limit_ || !oom_ || !cpu_ || entrances_[0] < 0 || entrances_[1] < 0) return false;
    const std::string pids = folders_.next();
    if (pids.empty()) return false;
    most_ = CounterFile(pids + "/pids.max", O_RDWR);
    peak_tasks_ = TaskPeak(pids);
    refused_ = CounterFile(pids + "/pids.events", O_RDONLY);
    task_limit_ = 0;
    if (entrances_.back() >= 0) close(entrances_.back());
    entrances_.back() = open((pids + "/tasks").c_str(), O_WRONLY | O_CLOEXEC);
    return entrances_.back() >= 0;
  }
  bool begin(std::int64_t memory, int tasks) override {
    if (memory != memory_limit_) {
      // Lowering: memory first, memory and swap after; raising: the other way round.
      const std::string text = std::to_string(memory);
      if (memory > memory_limit_ && memory_limit_ > 0) (void)swap_limit_.put(text);
      if (!limit_.put(text)) return false;
      (void)swap_limit_.put(text);  // absent without swap accounting
      memory_limit_ = memory;
    }
    if (tasks != task_limit_) {
      if (!most_.put(std::to_string(tasks))) return false;
      task_limit_ = tasks;
    }
    (void)peak_.put("0");
    // A limit that stays as it is does not tell that somebody has removed the folder.
    const std::string cpu = cpu_.text(), oom = oom_.text();
    if (cpu.empty() || oom.empty()) return false;
    cpu_before_ = number_in(cpu);
    oom_before_ = field_in(oom, "oom_kill");
    refused_before_ = refused_.field("max");
    return true;
  }
  std::chrono::microseconds cpu() override {
    peak_tasks_.look();
    return std::chrono::microseconds((cpu_.number() - cpu_before_) / 1000);
  }
  std::int64_t peak_memory() override { return peak_.number(); }
  int peak_tasks() override { return peak_tasks_.number(); }
  bool out_of_memory() override { return oom_.field("oom_kill") > oom_before_; }
  bool out_of_tasks() override { return refused_.field("max") > refused_before_; }
  void kill() override {}  // version 1 has no such file

 private:
  std::vector<std::string> directories_;  // memory, cpu
  Unused unused_;
  RunFolders folders_;  // pids
  CounterFile limit_, swap_limit_, peak_, oom_, cpu_, most_, refused_;
  TaskPeak peak_tasks_;
  std::int64_t memory_limit_ = 0;
  int task_limit_ = 0;
  std::int64_t cpu_before_ = 0, oom_before_ = 0, refused_before_ = 0;
};

class CgroupV2 final : public Cgroup {
 public:
  CgroupV2(std::string directory, Unused unused)
      : folders_(std::move(directory), std::move(unused)) {
    entrances_.push_back(-1);
  }
  ~CgroupV2() override {
    for (int fd : entrances_)
      if (fd >= 0) close(fd);
  }

  bool renew() override {
    const std::string directory = folders_.next();
    if (directory.empty()) return false;
    limit_ = CounterFile(directory + "/memory.max", O_RDWR);
    peak_ = CounterFile(directory + "/memory.peak", O_RDWR);
    if (!peak_) peak_ = CounterFile(directory + "/memory.peak", O_RDONLY);
    events_ = CounterFile(directory + "/memory.events", O_RDONLY);
    most_ = CounterFile(directory + "/pids.max", O_RDWR);
    peak_tasks_ = TaskPeak(directory);
    refused_ = CounterFile(directory + "/pids.events", O_RDONLY);
    cpu_ = CounterFile(directory + "/cpu.stat", O_RDONLY);
    kill_ = CounterFile(directory + "/cgroup.kill", O_WRONLY);
    (void)CounterFile(directory + "/memory.oom.group", O_WRONLY).put("1");
    (void)CounterFile(directory + "/memory.swap.max", O_WRONLY).put("0");
    if (entrances_.back() >= 0) close(entrances_.back());
    entrances_.back() = open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    return entrances_.back() >= 0;
  }
  bool begin(std::int64_t memory, int tasks) override {
    (void)peak_.put("0");  // for the cells of a session; possible since Linux 6.12
    cpu_before_ = cpu_.field("usage_usec");
    oom_before_ = events_.field("oom_kill");  // what is held already may be too much
    refused_before_ = refused_.field("max");
    return limit_.put(std::to_string(memory)) && most_.put(std::to_string(tasks));
  }
  std::chrono::microseconds cpu() override {
    peak_tasks_.look();
    return std::chrono::microseconds(cpu_.field("usage_usec") - cpu_before_);
  }
  std::int64_t peak_memory() override { return peak_.number(); }
  int peak_tasks() override { return peak_tasks_.number(); }
  bool out_of_memory() override { return events_.field("oom_kill") > oom_before_; }
  bool out_of_tasks() override { return refused_.field("max") > refused_before_; }
  void kill() override { (void)kill_.put("1"); }

 private:
  RunFolders folders_;
  CounterFile limit_, peak_, events_, most_, refused_, cpu_, kill_;
  TaskPeak peak_tasks_;
  std::int64_t cpu_before_ = 0, oom_before_ = 0, refused_before_ = 0;
};

struct Hierarchy {
  std::string mount;
  std::string root;  // which part of the hierarchy is mounted there
};

// controller ("" for version 2) ─▶ where it is mounted
std::map<std::string, Hierarchy> mounted_hierarchies() {
  std::map<std::string, Hierarchy> found;
  std::ifstream lines("/proc/self/mountinfo");
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, word, type, source, options;
    words >> id >> parent >> device >> root >> point;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2") found[""] = {point, root};
    if (type != "cgroup") continue;
    std::istringstream names(options);
    for (std::string name; std::getline(names, name, ',');) found[name] = {point, root};
  }
  return found;
}

std::map<std::string, std::string> own_groups() {
  std::map<std::string, std::string> found;
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string path = line.substr(second + 1);
    std::istringstream names(line.substr(first + 1, second - first - 1));
    bool any = false;
    for (std::string name; std::getline(names, name, ','); any = true) found[name] = path;
    if (!any) found[""] = path;
  }
  return found;
}

std::string group_name() {
  static int counter = 0;
  return "proctor-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
}

// Groups of proctors that died together with their launchers.
void remove_stale(const std::string& directory) {
  DIR* stream = opendir(directory.c_str());
  if (!stream) return;
  while (const dirent* entry = readdir(stream)) {
    int pid = 0;
    if (std::sscanf(entry->d_name, "proctor-%d-", &pid) != 1 || pid <= 0) continue;
    if (access(("/proc/" + std::to_string(pid)).c_str(), F_OK) == 0) continue;
    const std::string stale = directory + "/" + entry->d_name;
    remove_below(stale);
    (void)rmdir(stale.c_str());
  }
  closedir(stream);
}

// Version 2: what is made in the group has limits. errno EBUSY while processes are in it.
bool pass_on(const std::string& group) {
  const CounterFile control(group + "/cgroup.subtree_control", O_WRONLY);
  if (!control.put("+memory +pids")) return false;
  (void)control.put("+cpu");  // shares alone hang on it, and not everybody is given it
  return true;
}

// Where this process was before it stepped aside, and where it is now; "" when it did not.
struct Aside {
  std::string group, below;
};
Aside& aside() {
  static Aside now;
  return now;
}

// This process and what it has started.
void move_us(const std::string& from, const std::string& to) {
  const CounterFile entrance(to + "/cgroup.procs", O_WRONLY);
  std::ifstream pids(from + "/cgroup.procs");
  for (pid_t pid; pids >> pid;) {
    pid_t above = pid;
    while (above > 1 && above != getpid()) above = parent_of(above);
    if (above == getpid()) (void)entrance.put(std::to_string(pid));
  }
}

void remove_group(const std::string& directory) {
  // It is busy for a moment after its last process was killed.
  for (int round = 0; round < 50; ++round) {
    remove_below(directory);
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) break;
    usleep(2'000);
  }
}

// Version 2 lets a group that passes controllers on hold no processes: where nobody but we are in
// it, we move into one below.
bool step_aside(const std::string& group) {
  const std::string below = group + "/" + group_name();
  if (mkdir(below.c_str(), 0755) != 0) return false;
  move_us(group, below);
  if (pass_on(group)) {
    aside() = {group, below};
    return true;
  }
  const int why = errno;
  move_us(below, group);
  (void)rmdir(below.c_str());
  errno = why;
  return false;
}

// Refused as long as anybody needs the controllers. Who is killed before leaves the group as it is.
void step_back() {
  const auto [group, below] = aside();
  if (group.empty() ||
      !CounterFile(group + "/cgroup.subtree_control", O_WRONLY).put("-memory -pids -cpu"))
    return;
  aside() = {};
  move_us(below, group);
  remove_group(below);
}

std::string below_mount(const Hierarchy& hierarchy, const std::string& group) {
  // In a container the group's path may be given from the host's root, of which only a part is
  // mounted here.
  std::string path = group;
  if (hierarchy.root != "/" && path.rfind(hierarchy.root, 0) == 0)
    path = path.substr(hierarchy.root.size());
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return hierarchy.mount + (path == "/" ? "" : path);
}

}  // namespace

std::unique_ptr<Cgroups> Cgroups::find() {
  std::unique_ptr<Cgroups> found(new Cgroups);
  found->unused_ = std::make_shared<UnusedGroups>();
  const auto mounts = mounted_hierarchies();
  const auto own = own_groups();
  const std::string name = group_name();
  std::string why_v1, why_v2 = "no cgroup2 file system is mounted";

  if (auto unified = mounts.find(""); unified != mounts.end()) {
    const std::string& mount = unified->second.mount;
    const std::string here = below_mount(unified->second, own.count("") ? own.at("") : "/");
    // What was delegated to us comes before what we merely may write to.
    std::vector<std::pair<std::string, bool>> places = {{here, false}, {mount, false}};
    const std::string parent = here.substr(0, here.rfind('/'));
    if (parent.size() > mount.size()) places.insert(places.begin() + 1, {parent, false});
    places.insert(geteuid() == 0 ? places.end() : places.begin() + 1, {here, true});
    if (!aside().group.empty()) places.insert(places.begin(), {aside().group, false});
    why_v2.clear();
    for (const auto& [base, occupied] : places) {
      const std::string controllers = CounterFile(base + "/cgroup.controllers", O_RDONLY).text();
      if (controllers.find("memory") == std::string::npos ||
          controllers.find("pids") == std::string::npos)
        continue;
      remove_stale(base);
      const std::string ours = base + "/" + name;
      if ((occupied ? step_aside(base) : pass_on(base)) && mkdir(ours.c_str(), 0755) == 0) {
        if (pass_on(ours)) {
          found->kind_ = 2;
          found->directories_ = {ours};
          return found;
        }
        (void)rmdir(ours.c_str());
      }
      if (why_v2.empty() || errno == EBUSY)
        why_v2 = base + ": " +
                 (errno == EBUSY ? "other processes are in this group" : std::strerror(errno));
    }
    if (why_v2.empty()) why_v2 = "cgroup2 has no memory and pids controllers to pass on";
  }
  for (const char* controller : {"memory", "pids", "cpuacct"}) {
    auto hierarchy = mounts.find(controller);
    if (hierarchy == mounts.end()) {
      why_v1 = std::string("no cgroup v1 controller '") + controller + "' is mounted";
      break;
    }
    auto group = own.find(controller);
    const std::string base =
        below_mount(hierarchy->second, group == own.end() ? "/" : group->second);
    const std::string ours = base + "/" + name;
    remove_stale(base);
    if (mkdir(ours.c_str(), 0755) != 0) {
      why_v1 = base + ": " + std::strerror(errno);
      break;
    }
    (void)CounterFile(ours + "/memory.use_hierarchy", O_WRONLY).put("1");
    found->directories_.push_back(ours);
  }
  if (why_v1.empty()) {
    found->kind_ = 1;
    return found;
  }
  for (const auto& directory : found->directories_) (void)rmdir(directory.c_str());
  found->directories_.clear();
  found->why_ = why_v1.rfind("no cgroup v1", 0) == 0 ? why_v2 : why_v1;
  return found;
}

Cgroups::~Cgroups() {
  for (const auto& directory : directories_) remove_group(directory);
  if (kind_ == 2) step_back();
}

std::unique_ptr<Cgroup> Cgroups::make(int index) {
  // A number may come again while what its last slot left is still busy.
  const std::string name = "/" + std::to_string(index) + "-" + std::to_string(++made_);
  // Somebody may have swept away what was empty.
  for (const auto& directory : directories_)
    if (mkdir(directory.c_str(), 0755) == 0 && kind_ == 2) (void)pass_on(directory);
  std::unique_ptr<Cgroup> made;
  if (kind_ == 2) {
    made = std::make_unique<CgroupV2>(directories_[0] + name, unused_);
  } else if (kind_ == 1) {
    for (const auto& directory : {directories_[0], directories_[2]})
      if (mkdir((directory + name).c_str(), 0755) != 0) return nullptr;
    made = std::make_unique<CgroupV1>(directories_[0] + name, directories_[1] + name,
                                      directories_[2] + name, unused_);
  }
  if (made && made->renew()) return made;
  const int error = errno;
  made.reset();
  errno = error;
  return nullptr;
}

}  // namespace proctor
