// What of the sandbox is to be seen from outside: its processes and groups.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/core/async.h"
#include "sandbox/files.h"

namespace proctor {

// Waits for it; whether it came true in time.
template <class Condition>
bool comes_true(Condition condition, Milliseconds within = 5s) {
  const auto end = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    usleep(5'000);
  }
  return true;
}

// Processes of this machine whose command line holds the text.
inline int processes_with(const std::string& text) {
  int found = 0;
  for (const pid_t pid : processes()) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
    std::ostringstream line;
    line << file.rdbuf();  // gives up quietly on a process that ends meanwhile
    found += line.str().find(text) != std::string::npos;
  }
  return found;
}

inline std::string name_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

// Of this process.
inline std::vector<pid_t> descendants() {
  std::vector<pid_t> found = processes();
  std::erase_if(found, [](pid_t pid) {
    if (pid == getpid()) return true;
    while (pid > 1 && pid != getpid()) pid = parent_of(pid);
    return pid != getpid();
  });
  return found;
}

inline std::vector<pid_t> descendants_named(const std::string& name) {
  std::vector<pid_t> found = descendants();
  std::erase_if(found, [&](pid_t pid) { return name_of(pid) != name; });
  return found;
}

// The warm Pythons: what the launcher itself has started of that name.
inline std::vector<pid_t> zygotes() {
  std::vector<pid_t> found = descendants();
  std::erase_if(found, [](pid_t pid) {
    return !name_of(pid).starts_with("python") || name_of(parent_of(pid)) != "proctor-launch";
  });
  return found;
}

// Returns when they have ended, and what was below them, which dies a moment later.
inline void kill_all(const std::vector<pid_t>& victims) {
  std::vector<pid_t> all = descendants();
  std::erase_if(all, [&](pid_t pid) {
    while (pid > 1 && std::find(victims.begin(), victims.end(), pid) == victims.end())
      pid = parent_of(pid);
    return pid <= 1;
  });
  for (const pid_t pid : victims) kill(pid, SIGKILL);
  for (const pid_t pid : all) (void)comes_true([&] { return kill(pid, 0) != 0; });
}

// The sandbox's own groups of this process.
inline std::vector<std::string> own_cgroups() {
  std::vector<std::string> found;
  const std::string name = "proctor-" + std::to_string(getpid()) + "-";
  for (const std::string controller : {"", "/memory", "/pids", "/cpuacct", "/cpu,cpuacct"}) {
    const std::string base = "/sys/fs/cgroup" + controller;
    const OwnedFd folder(open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) continue;
    for (const auto& each : names_in(folder.get()))
      if (each.starts_with(name)) found.push_back(base + "/" + each);
  }
  return found;
}

}  // namespace proctor
