// Nothing is left behind by thousands of executions of all kinds, with slots, launchers and Pythons
// killed now and then: processes, mounts, groups, files in the temporary folder, open files and
// memory are counted before and after. In every world.
//
// PROCTOR_LEAKS_EXECUTIONS=10000 takes more of them than the usual 300, within the same bounds.
// Blind spot: what grows by less than 4 MiB.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>

#include "tests/integration/sandbox/watched.h"
#include "tests/integration/sandbox/world.h"
#include "tests/support/scratch.h"

namespace proctor {
namespace {

std::size_t entries(const std::string& folder) {
  std::size_t found = 0;
  std::error_code error;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator(folder, error))
    ++found;
  return found;
}

std::int64_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::int64_t kib = 0;
  for (std::string word; status >> word;)
    if (word == "VmRSS:") status >> kib;
  return kib;
}

// Of the sandbox's, that this process sees: none of them is for anybody but a slot's guests.
int mounts() {
  std::ifstream lines("/proc/self/mountinfo");
  int found = 0;
  for (std::string line; std::getline(lines, line);)
    for (const char* source : {"proctor", "box", "hidden"})
      found += line.find(std::string(" - tmpfs ") + source + " ") != std::string::npos;
  return found;
}

// Groups below the folder.
int groups_in(const std::string& folder) {
  int found = 0;
  std::error_code error;
  for (const auto& each : std::filesystem::recursive_directory_iterator(folder, error))
    found += each.is_directory(error);
  return found;
}

class Leaks : public InWorld {
 protected:
  void SetUp() override {
    std::filesystem::permissions(scratch_.path(), std::filesystem::perms(0711));
    setenv("TMPDIR", scratch_.path().c_str(), 1);
    InWorld::SetUp();
    unsetenv("TMPDIR");
  }

  struct Counts {
    int processes = 0, groups = 0, mounts = 0;
    std::size_t temporary = 0;
    std::map<std::string, std::size_t> files;  // open, by who has them
    std::int64_t memory_kib = 0;
  };
  Counts look() {
    Counts counts;
    const auto all = descendants();
    counts.processes = static_cast<int>(all.size());
    counts.mounts = mounts();
    counts.temporary = entries(scratch_.path());
    counts.files["ours"] = entries("/proc/self/fd");
    for (const pid_t pid : all) {
      const std::string name = name_of(pid);
      if (name != "proctor-guard" && name != "proctor-launch") continue;
      auto& most = counts.files[name];  // in the world of user namespaces there are two launchers
      most = std::max(most, entries("/proc/" + std::to_string(pid) + "/fd"));
    }
    for (const auto& each : own_cgroups()) counts.groups += 1 + groups_in(each);
    counts.memory_kib = resident_kib(getpid());
    return counts;
  }

  void program(int turn);
  void session(int turn);
  void killing(int turn);

  Scratch scratch_;
  std::map<std::string, int> endings_;
  void count(const Execution& ran, Ending wanted) {
    ++endings_[to_string(ran.ending)];
    EXPECT_EQ(to_string(ran.ending), std::string(to_string(wanted)))
        << ran.out.substr(0, 300) << ran.err.substr(0, 300) << ran.error;
  }
};
IN_EVERY_WORLD(Leaks);

// One of each kind in turn.
void Leaks::program(int turn) {
  Limits limits;
  limits.memory = 96_MiB;
  limits.output = static_cast<Bytes>(10'000);
  switch (turn % 10) {
    case 0:
      return count(python("import numpy\nprint(numpy.arange(3).sum())"), Ending::ok);
    case 1:
      return count(python("raise ValueError(1)", limits), Ending::nonzero_exit);
    case 2:
      limits.wall = 30ms;
      return count(python("import time; time.sleep(20)", limits), Ending::wall_limit);
    case 3:
      return count(python("x = b'x' * (300 << 20)", limits), Ending::memory_limit);
    case 4:
      return count(run(Language::bash, "for i in 1 2 3; do (sleep 60 &) & done; echo $i"),
                   Ending::ok);
    case 5:
      return count(run(Language::cpp, "#include <cstdio>\nint main() { std::puts(\"1\"); }"),
                   Ending::ok);
    case 6:
      return count(run(Language::bash, "yes", limits), Ending::output_limit);
    case 7: {
      ExecutionRequest request;
      request.code = "import os; os.mkdir('d'); open('d/out', 'w').write(open('in').read() * 2)";
      request.files["in"] = std::string(1000, 'x');
      request.get = {"d/out"};
      const Execution ran = run(request);
      EXPECT_EQ(ran.files.count("d/out"), 1U);
      return count(ran, Ending::ok);
    }
    case 8:
      return count(run(Language::bash, "kill -9 $$"), Ending::signaled);
    default:
      return count(run(Language::c, "int main( {"), Ending::compile_error);
  }
}

void Leaks::session(int turn) {
  const auto open = [&](Language language) {
    return *await(pool->open_session(language, Limits{}));
  };
  const auto first = open(turn % 2 ? Language::python : Language::bash);
  count(*await(first->run(turn % 2 ? "x = 1" : "x=1", Limits{})), Ending::ok);
  if (reduced()) return;
  const auto fork = await(first->fork());
  ASSERT_TRUE(fork) << fork.error().message;
  const auto second = await((*fork)->fork());
  ASSERT_TRUE(second) << second.error().message;
  const std::string show = turn % 2 ? "print(x)" : "echo $x";
  count(*await((*second)->run(show, Limits{})), Ending::ok);
  count(*await((*fork)->run(show, Limits{})), Ending::ok);
}

// Of whom it hits, the execution says `sandbox_error`.
void Leaks::killing(int turn) {
  const char* const names[] = {"proctor-slot", "proctor-launch", "python3"};
  const std::string name = names[turn % 3];
  std::thread killer([&] {
    usleep(20'000);
    kill_all(name == "python3" ? zygotes() : descendants_named(name));
  });
  const Execution ran = python("import time; time.sleep(0.2)");
  killer.join();
  ++endings_[to_string(ran.ending)];
  EXPECT_TRUE(ran.ending == Ending::ok || ran.ending == Ending::sandbox_error)
      << to_string(ran.ending);
}

TEST_P(Leaks, NothingIsLeftOfExecutionsOfAllKinds) {
  const char* many = std::getenv("PROCTOR_LEAKS_EXECUTIONS");
  const int executions = many ? std::atoi(many) : 300;
  Counts before, after;
  // A pool has a slot or two more or less from moment to moment.
  const auto within = [](const Counts& now, const Counts& wanted) {
    bool files = true;
    for (const auto& [who, most] : wanted.files)
      files = files && now.files.at(who) <= most + (who == "ours" ? 2 * kFilesOfSlot : 2);
    return files && now.processes <= wanted.processes + 6 && now.groups <= wanted.groups + 8 &&
           now.temporary <= wanted.temporary;
  };
  const auto at_rest = [&] {
    (void)python("1");  // what is made ready for it takes the last one's place
    usleep(100'000);
    return look();
  };
  // The first hundred fill caches and wake Pythons; what there is then is what there may be.
  constexpr int kWarmUp = 110;
  const auto began = std::chrono::steady_clock::now();
  for (int turn = 0; turn < executions + kWarmUp; ++turn) {
    if (turn == kWarmUp) {
      usleep(1'000'000);
      before = at_rest();
    }
    if (turn % 25 == 10)
      session(turn);
    else if (turn % 100 == 50)
      killing(turn / 100);
    else
      program(turn);
  }
  EXPECT_TRUE(comes_true([&] { return within(after = at_rest(), before); }, 20s));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  for (const auto& [counts, when] : {std::pair(before, "before"), std::pair(after, "after")}) {
    std::cout << when << ": processes " << counts.processes << ", mounts " << counts.mounts
              << ", groups " << counts.groups << ", temporary files " << counts.temporary;
    for (const auto& [who, files] : counts.files) std::cout << ", files of " << who << " " << files;
    std::cout << ", memory " << counts.memory_kib << " KiB\n";
  }
  for (const auto& [ending, times] : endings_) std::cout << ending << " " << times << ", ";
  std::cout << seconds << " s\n";
  EXPECT_EQ(after.mounts, 0);
#ifndef __SANITIZE_ADDRESS__  // which keeps what was freed
  EXPECT_LE(after.memory_kib, before.memory_kib + 4096);
#endif
  pool.reset();
  EXPECT_TRUE(comes_true([] { return own_cgroups().empty(); }));
  EXPECT_EQ(entries(scratch_.path()), 0U);
  EXPECT_TRUE(
      comes_true([] { return descendants_named("proctor-slot").empty() && zygotes().empty(); }));
}

}  // namespace
}  // namespace proctor
