// Looks at a tree by what /proc shows. What a process or a thread's table of files can hold unseen
// is charged at its most. Blind spot: what starts and ends between two looks is seen only in its
// parent's totals, and nowhere when nobody waits for it.
#include "sandbox/tree_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include "sandbox/files.h"
#include "sandbox/owned_fd.h"

namespace proctor {
namespace {

// The most that one holds: the filter keeps them from being made larger where no cgroup counts, and
// the slot those of TCP.
constexpr std::int64_t kOfPipe = 64 << 10;
constexpr std::int64_t kOfSocket = 256 << 10;
// In one look.
constexpr int kMostDescriptors = 65'536;
constexpr std::size_t kMostMaps = 8 << 20;  // bytes of text
constexpr int kTooMany = 1 << 20;

std::string beginning_of(const std::string& path) {
  const OwnedFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  const ssize_t n = file ? read(file.get(), buffer, sizeof buffer) : -1;
  return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
}

// The number behind `name`, which is a line's beginning with the line break before it.
std::int64_t field_of(const std::string& text, std::string_view name) {
  const auto at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoll(text.c_str() + at + name.size(), nullptr, 10);
}

std::string directory_of(int pid) { return "/proc/" + std::to_string(pid); }

// False: there is none.
bool read_process(const std::string& directory, Process& process) {
  const std::string text = beginning_of(directory + "/stat");
  const auto close = text.rfind(')');  // the name itself may hold spaces and brackets
  if (close == std::string::npos) return false;
  std::istringstream words(text.substr(close + 1));
  std::vector<std::int64_t> fields = {0, 0, 0, 0};  // counted as in proc(5): 3 is the state
  std::string state;
  words >> state;
  for (std::int64_t value; fields.size() < 25 && words >> value;) fields.push_back(value);
  if (fields.size() < 25) return false;
  process.parent = static_cast<int>(fields[4]);
  process.threads = static_cast<int>(fields[20]);
  process.ended = state == "Z";
  process.own = fields[14] + fields[15];
  process.waited = fields[16] + fields[17];
  process.start = fields[22];
  process.pages = fields[24];
  return true;
}

std::map<int, Process> all_processes(std::uint32_t uid) {
  std::map<int, Process> all;
  for (const pid_t pid : processes()) {
    Process process;
    if (!read_process(directory_of(pid), process)) continue;
    process.of_uid =
        uid != 0 && field_of(beginning_of(directory_of(pid) + "/status"), "\nUid:") == uid;
    all[pid] = process;
  }
  return all;
}

struct Folder {
  explicit Folder(const std::string& path) : stream(opendir(path.c_str()), closedir) {}
  // The next name, or nothing.
  const char* next() {
    const dirent* entry = nullptr;
    do entry = stream ? readdir(stream.get()) : nullptr;
    while (entry && entry->d_name[0] == '.');
    return entry ? entry->d_name : nullptr;
  }
  int descriptor() const { return dirfd(stream.get()); }

 private:
  std::unique_ptr<DIR, int (*)(DIR*)> stream;
};

std::int64_t memory_of_thread(const std::string& directory, const Process& process) {
  // Address space that is only read costs page tables and nothing else.
  return process.pages * sysconf(_SC_PAGESIZE) +
         field_of(beginning_of(directory + "/status"), "\nVmPTE:") * 1024;
}

// A process goes on when its first thread has ended, and only the others show its memory then.
std::int64_t memory_of(int pid, const Process& process) {
  if (!process.ended || process.threads < 2) return memory_of_thread(directory_of(pid), process);
  std::int64_t most = 0;
  const std::string tasks = directory_of(pid) + "/task";
  Folder threads(tasks);
  while (const char* name = threads.next()) {
    const std::string directory = tasks + "/" + name;
    Process thread;
    if (read_process(directory, thread)) most = std::max(most, memory_of_thread(directory, thread));
  }
  return most;
}

// What a tree's tables of files lead to, each once.
struct Held {
  std::set<std::string> pipes, sockets;
  std::set<ino_t> nameless;
  std::int64_t nameless_bytes = 0;
  int descriptors = 0;
};

// Threads may have tables of their own.
void add_descriptors_of(const std::string& thread, const std::string& box, Held& held) {
  Folder folder(thread + "/fd");
  while (const char* name = folder.next()) {
    if (++held.descriptors > kMostDescriptors) return;
    char text[PATH_MAX];
    const ssize_t size = readlinkat(folder.descriptor(), name, text, sizeof text);
    if (size <= 0) continue;
    const std::string_view link(text, static_cast<std::size_t>(size));
    if (link.starts_with("pipe:")) held.pipes.emplace(link);
    if (link.starts_with("socket:")) held.sockets.emplace(link);
    struct stat found{};
    if (!box.empty() && link.starts_with(box) &&
        fstatat(folder.descriptor(), name, &found, 0) == 0 && S_ISREG(found.st_mode) &&
        found.st_nlink == 0 && held.nameless.insert(found.st_ino).second)
      held.nameless_bytes += found.st_blocks * 512;
  }
}

// Nameless files of the box that a process has mapped. False: there is more text than is read.
bool add_maps_of(int pid, const std::string& box, std::set<ino_t>& mapped, std::size_t& read) {
  std::ifstream lines(directory_of(pid) + "/maps");
  for (std::string line; std::getline(lines, line);) {
    if ((read += line.size()) > kMostMaps) return false;
    if (!line.ends_with(" (deleted)") || line.find(" " + box) == std::string::npos) continue;
    std::istringstream words(line);
    std::string range, rights, offset, device;
    ino_t inode = 0;
    words >> range >> rights >> offset >> device >> inode;
    mapped.insert(inode);
  }
  return true;
}

}  // namespace

TreeWatch::Processes TreeWatch::tree_of(const Processes& all) const {
  Processes tree;
  for (const auto& [pid, process] : all) {
    if (pid == holder_) continue;
    bool ours = process.of_uid;
    int at = pid;
    for (int steps = 0; !ours && steps < 4096; ++steps) {
      ours = at == holder_ || std::find(roots_.begin(), roots_.end(), at) != roots_.end();
      auto found = all.find(at);
      if (found == all.end()) break;
      at = found->second.parent;
    }
    if (ours) tree.emplace(pid, process);
  }
  return tree;
}

// The time of a process that has ended is its parent's when that waits for it, and else nobody's.
// Which of both it was shows a look later: /proc is not read at one moment.
std::int64_t TreeWatch::ticks_of(const Processes& all, Processes tree) {
  std::int64_t ticks = 0;
  for (const auto& [pid, process] : tree) ticks += process.own + process.waited;
  if (auto found = all.find(holder_); found != all.end()) {
    const Process& holder = found->second;
    if (holder_before_ < 0) holder_before_ = holder.own + holder.waited;
    ticks += holder.own + holder.waited - holder_before_;
    tree.emplace(holder_, holder);
  }
  std::int64_t gone = 0;
  for (const auto& [pid, before] : last_) {
    auto found = tree.find(pid);
    if (found != tree.end() && found->second.start == before.start)
      waited_for_ += found->second.waited - before.waited;
    else if (pid != holder_)
      gone += before.own + before.waited;
  }
  lost_ = std::max(lost_, gone_ - waited_for_);
  gone_ += gone;
  last_ = std::move(tree);
  return ticks + lost_;
}

void TreeWatch::add_held(const Processes& tree, TreeUsage& usage) const {
  const ActAs as(uid_);  // a container's root may not look into others' tables
  Held held;
  for (const auto& [pid, process] : tree) {
    const std::string tasks = directory_of(pid) + "/task";
    Folder threads(tasks);
    while (const char* name = threads.next()) add_descriptors_of(tasks + "/" + name, box_, held);
  }
  auto sockets = static_cast<std::int64_t>(held.sockets.size());
  // There are such that nobody has open: on their way to somebody, or not yet accepted.
  if (box_.empty())
    sockets = std::max(
        sockets, field_of(beginning_of(directory_of(holder_) + "/net/sockstat"), "sockets: used"));
  usage.buffers = static_cast<std::int64_t>(held.pipes.size()) * kOfPipe + sockets * kOfSocket;
  usage.nameless = held.nameless_bytes;
  if (box_.empty()) return;
  std::set<ino_t> mapped;
  std::size_t read = 0;
  for (const auto& [pid, process] : tree)
    if (!add_maps_of(pid, box_, mapped, read)) usage.nameless_maps = kTooMany;
  for (const ino_t inode : mapped) usage.nameless_maps += held.nameless.count(inode) ? 0 : 1;
}

TreeUsage TreeWatch::look() {
  const auto all = all_processes(uid_);
  const auto tree = tree_of(all);
  TreeUsage usage;
  for (const auto& [pid, process] : tree) {
    usage.tasks += process.threads;
    usage.memory += memory_of(pid, process);
  }
  add_held(tree, usage);
  most_ticks_ = std::max(most_ticks_, ticks_of(all, tree));  // a tree's time never falls
  usage.cpu = cpu();
  peak_memory_ = std::max(peak_memory_, usage.memory);
  peak_tasks_ = std::max(peak_tasks_, usage.tasks);
  return usage;
}

namespace {
std::chrono::microseconds time_of(std::int64_t ticks) {
  return std::chrono::microseconds(ticks * 1'000'000 / sysconf(_SC_CLK_TCK));
}
}  // namespace

std::chrono::microseconds TreeWatch::cpu() const { return time_of(most_ticks_ - ticks_before_); }
std::chrono::microseconds TreeWatch::cpu_before() const { return time_of(ticks_before_); }

void TreeWatch::begin() {
  ticks_before_ = most_ticks_;
  peak_memory_ = 0;
  peak_tasks_ = 0;
}

}  // namespace proctor
