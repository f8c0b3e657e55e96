// Guests that attack processes: those of their own run, whoever started it, the next run, a
// bystander, and ours by what they say on a session's channel. In every world.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/integration/sandbox/attacks.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class Processes : public Attacks {};
IN_EVERY_WORLD(Processes);

// 22 28 29 30 32 59 60 81 84 87 100 105
TEST_P(Processes, OthersAreOutOfReach) {
  const Execution ran = expect_contained(attack("processes.py"));
  EXPECT_EQ(ran.ending, Ending::ok) << ran.err;
}

// 17: its output is whole at its own end, whoever else holds the pipe.
TEST_P(Processes, AChildThatHoldsTheOutputIsNotWaitedFor) {
  const Execution ran = python(
      "import os, time\n"
      "if os.fork() == 0: time.sleep(60)\n"
      "print('done')\n");
  EXPECT_EQ(ran.ending, Ending::ok);
  EXPECT_EQ(ran.out, "done\n");
  EXPECT_LT(ran.usage.wall_ms, 3000);
}

// 83
TEST_P(Processes, AByteNowAndThenIsNoReasonToWait) {
  Limits limits;
  limits.wall = 500ms;
  const Execution ran = run(Language::bash, "while :; do printf x; sleep 0.05; done", limits);
  EXPECT_EQ(ran.ending, Ending::wall_limit);
  EXPECT_THAT(ran.out, HasSubstr("xx"));
  EXPECT_LT(ran.usage.wall_ms, 3000);
}

// 86; 81 for what is not Python
TEST_P(Processes, ChildrenThatShareMemoryEndWithTheRun) {
  ExecutionRequest request = attack("spawns.c", {"hangs"});
  request.limits.wall = 500ms;
  EXPECT_EQ(run(request).ending, Ending::wall_limit) << "its parent waits for ever";
  expect_alive();
  request.arguments = {"outlives"};
  EXPECT_EQ(expect_contained(request).ending, Ending::ok);
  request.arguments = {"scribbles"};
  EXPECT_EQ(expect_contained(request).signal, SIGSEGV);
}

// 85: numbers of processes come round fast while runs are ended; whoever gets one is let be.
TEST_P(Processes, BystandersAreNotSignalled) {
  std::atomic<bool> over = false;
  std::atomic<int> born = 0, struck = 0;
  std::thread bystanders([&] {
    while (!over) {
      const pid_t child = fork();
      if (child == 0) {
        usleep(300);
        _exit(0);
      }
      int status = 0;
      if (child < 0 || waitpid(child, &status, 0) != child) continue;
      ++born;
      struck += status != 0;
    }
  });
  Limits limits;
  limits.wall = 150ms;
  limits.processes = 16;
  for (int i = 0; i < 4; ++i)
    (void)run(Language::bash, "for i in 1 2 3 4; do (while :; do /bin/true; done) & done; wait",
              limits);
  over = true;
  bystanders.join();
  EXPECT_GT(born, 5);
  EXPECT_EQ(struck, 0);
}

// 67
TEST_P(Processes, ASpoiltInterpreterSpoilsNoOther) {
  EXPECT_THAT(python(guest("poison.py")).out, HasSubstr("done"));
  for (int i = 0; i < 4; ++i) {
    const Execution next = python(
        "import os, random, signal, traceback\n"
        "print(os.umask(0), 'PATH' in os.environ, signal.getsignal(signal.SIGTERM) == 0,\n"
        "      signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n");
    EXPECT_EQ(next.out, "18 True True True\n") << next.err;
  }
}

// 89
TEST_P(Processes, AnInterpreterThatCrashesIsReportedAndReplaced) {
  const auto session = open_python();
  const Execution crash = *await(session->run("import ctypes\nctypes.string_at(0)", Limits{}));
  EXPECT_EQ(crash.ending, Ending::signaled) << crash.error;
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_FALSE(session->alive());
  EXPECT_EQ((*await(session->run("1", Limits{}))).ending, Ending::sandbox_error);
  const auto next = open_python();
  EXPECT_EQ((*await(next->run("1 + 1", Limits{}))).out, "2\n");
}

int open_files_of_ours() {
  int files = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
    ++files;
  return files;
}

// 82 100
TEST_P(Processes, WhatIsSaidOnASessionsChannelIsHeardWithinBounds) {
  expect_alive();
  Limits limits;
  limits.wall = 3s;
  int before = 0;
  for (int round = 0; round < 3; ++round) {
    {
      const auto session = open_python();
      const Execution talks = *await(session->run(guest("channel.py"), limits));
      EXPECT_EQ(escapes(talks.out), std::set<int>{}) << talks.out;
      EXPECT_THAT(talks.out, HasSubstr("done")) << to_string(talks.ending) << talks.err;
      EXPECT_EQ(talks.ending, Ending::ok) << "no word of an end is believed";
    }
    expect_alive();
    usleep(300'000);
    if (round == 0) before = open_files_of_ours();
  }
  EXPECT_LT(open_files_of_ours(), before + 40) << "what is sent along is closed";
}

}  // namespace
}  // namespace proctor
