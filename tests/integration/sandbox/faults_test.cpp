// Processes of the sandbox's own that are killed at any moment, and what it needs taken away: the
// execution that is hit says `sandbox_error`, the next one works, and nothing is left behind. In
// every world.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "tests/integration/sandbox/watched.h"
#include "tests/integration/sandbox/world.h"

namespace proctor {
namespace {

using testing::HasSubstr;

// Who is killed.
enum class Victim { launcher, slot, zygote };

std::vector<pid_t> processes_of(Victim victim) {
  if (victim == Victim::zygote) return zygotes();
  return descendants_named(victim == Victim::launcher ? "proctor-launch" : "proctor-slot");
}

class SandboxFaults : public InWorld {
 protected:
  void expect_all_works() {
    EXPECT_EQ(python("print(1)").out, "1\n");
    EXPECT_EQ(run(Language::bash, "echo 2").out, "2\n");
    const auto session = open_python();
    EXPECT_EQ((*await(session->run("1 + 2", Limits{}))).out, "3\n");
  }
  // There is no warm Python where guests must be their slot's own.
  static std::vector<Victim> victims() {
    std::vector<Victim> all = {Victim::launcher, Victim::slot};
    if (!zygotes().empty()) all.insert(all.begin(), Victim::zygote);
    return all;
  }
};
IN_EVERY_WORLD(SandboxFaults);

TEST_P(SandboxFaults, KilledWhileNobodyRuns) {
  expect_all_works();
  for (const Victim victim : victims()) {
    for (int round = 0; round < 2; ++round) {
      const auto processes = processes_of(victim);
      ASSERT_FALSE(processes.empty());
      kill_all(processes);
      expect_all_works();
    }
  }
}

TEST_P(SandboxFaults, KilledUnderAProgram) {
  expect_all_works();
  for (const Victim victim : victims()) {
    const std::string mark =
        "71" + std::to_string(static_cast<int>(victim)) + std::to_string(getpid());
    std::atomic<bool> over = false;
    std::thread killer([&] {
      while (!over && processes_with(mark) < 2) usleep(10'000);
      kill_all(processes_of(victim));
    });
    const auto began = std::chrono::steady_clock::now();
    const Execution ran = python(
        "import os\n"
        "if os.fork() == 0:\n  os.setsid(); os.execv('/bin/sleep', ['sleep', '" +
        mark + "'])\n" + "os.spawnv(os.P_WAIT, '/bin/sleep', ['sleep', '" + mark + "'])\n");
    over = true;
    killer.join();
    EXPECT_EQ(ran.ending, Ending::sandbox_error) << to_string(ran.ending) << ran.err;
    EXPECT_THAT(ran.error, HasSubstr("killed from outside"));
    EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
    expect_all_works();
    EXPECT_TRUE(comes_true([&] { return processes_with(mark) == 0; }))
        << processes_with(mark) << " go on";
  }
}

TEST_P(SandboxFaults, KilledUnderASession) {
  expect_all_works();
  for (const Victim victim : victims()) {
    const auto session = open_python(), idle = open_python();
    EXPECT_EQ((*await(idle->run("1", Limits{}))).ending, Ending::ok);
    std::thread killer([&] {
      usleep(300'000);
      kill_all(processes_of(victim));
    });
    const Execution cell = *await(session->run("import time; time.sleep(20)", Limits{}));
    killer.join();
    EXPECT_EQ(cell.ending, Ending::sandbox_error) << to_string(cell.ending) << cell.err;
    EXPECT_THAT(cell.error, HasSubstr("killed from outside; the session is over"));
    EXPECT_FALSE(session->alive());
    EXPECT_TRUE(comes_true([&] { return !idle->alive(); })) << "nobody has to ask";
    const Execution next = *await(idle->run("1", Limits{}));
    EXPECT_EQ(next.ending, Ending::sandbox_error);
    EXPECT_THAT(next.error, HasSubstr("killed from outside; the session is over"));
    EXPECT_TRUE(await(session->reset()));
    EXPECT_EQ((*await(session->run("1 + 2", Limits{}))).out, "3\n");
    expect_all_works();
  }
}

TEST_P(SandboxFaults, KilledOverAndOver) {
  expect_all_works();
  std::atomic<bool> over = false;
  std::atomic<int> kills = 0;
  std::thread killer([&] {
    for (int turn = 0; !over; ++turn) {
      for (const pid_t pid : processes_of(static_cast<Victim>(turn % 3)))
        kills += kill(pid, SIGKILL) == 0;
      usleep(30'000);
    }
  });
  int ok = 0, failed = 0;
  for (int i = 0; i < 60; ++i) {
    const Execution ran = i % 2 ? python("print(1)") : run(Language::bash, "echo 1");
    if (ran.ending == Ending::ok) {
      ++ok;
      EXPECT_EQ(ran.out, "1\n");
    } else {
      ++failed;
      EXPECT_EQ(ran.ending, Ending::sandbox_error) << to_string(ran.ending) << ran.err;
      EXPECT_NE(ran.error, "");
    }
  }
  over = true;
  killer.join();
  EXPECT_GT(kills, 10);
  expect_all_works();
  EXPECT_LE(descendants_named("proctor-launch").size(), 2U);
  EXPECT_EQ(descendants_named("proctor-guard").size(), 1U);
}

// All that is empty of a tree of groups.
void remove_groups(const std::string& directory) {
  const OwnedFd folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return;
  for (const auto& each : names_in(folder.get())) remove_groups(directory + "/" + each);
  (void)rmdir(directory.c_str());
}

TEST_P(SandboxFaults, GroupsThatAreSweptAway) {
  if (!has("cgroup")) return;
  for (int round = 0; round < 3; ++round) {
    // A program of bash's leaves nobody parked in the slot, and all of its groups empty.
    for (int i = 0; round == 0 && i < 4; ++i) EXPECT_EQ(run(Language::bash, "echo 1").out, "1\n");
    const auto groups = own_cgroups();
    EXPECT_FALSE(groups.empty());
    const auto swept = [&] {
      for (const auto& each : groups) remove_groups(each);
      return own_cgroups().empty();
    };
    // Once Python has run there, one is parked in each slot, and its groups stay.
    EXPECT_TRUE(comes_true(swept, round == 0 ? 5s : 10ms) || round > 0);
    if (round == 1) {
      EXPECT_TRUE(await(pool->open_session(Language::bash, Limits{})));
    }
    EXPECT_EQ(run(Language::bash, "echo 2").out, "2\n");
    Limits little;
    little.memory = 64_MiB;
    const Execution much = python("x = b'x' * (200 << 20)", little);
    EXPECT_EQ(much.ending, Ending::memory_limit) << much.err << much.error;
    expect_all_works();
  }
}

TEST_P(SandboxFaults, NoMoreOpenFiles) {
  expect_all_works();
  rlimit usual{};
  getrlimit(RLIMIT_NOFILE, &usual);
  const auto lower = [&](rlim_t most) {
    const rlimit limit{most, usual.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
  };
  const OwnedFd next(dup(0));
  for (rlim_t more : {0, 1, 2, 4, 7}) {
    lower(static_cast<rlim_t>(next.get()) + more);
    const auto began = std::chrono::steady_clock::now();
    std::vector<Execution> all;
    for (int i = 0; i < 3; ++i) {
      ExecutionRequest request;
      request.code = "print(1)";
      auto ran = await(pool->run(request));
      lower(usual.rlim_cur);
      ASSERT_TRUE(ran) << ran.error().message;
      if (ran->ending != Ending::ok) {
        EXPECT_EQ(ran->ending, Ending::sandbox_error) << to_string(ran->ending);
        EXPECT_THAT(ran->error, testing::AnyOf(HasSubstr("Too many open files"),
                                               HasSubstr("the slot is gone")));
      }
      lower(static_cast<rlim_t>(next.get()) + more);
    }
    lower(usual.rlim_cur);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 8s);
    expect_all_works();
  }
}

}  // namespace
}  // namespace proctor
