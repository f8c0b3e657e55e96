// Guests that attack what the host shows and what it takes back: its kernel's files and calls,
// file-out, clean-up, ports, ipc objects; and whether what is refused leaves ordinary programs
// standing. In every world.
#include <unistd.h>

#include <chrono>

#include "tests/integration/sandbox/attacks.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class Host : public Attacks {};
COUNTED_OR_NOT(Host);

// 33 34 35 58 64 70
TEST_P(Host, FilesOfTheKernelAreMaskedAndNotToBeWritten) {
  expect_contained(attack("kernel_files.py"));
}

// 58 61 62 for what is no interpreter
TEST_P(Host, ABareProgramInheritsNothing) {
  EXPECT_EQ(expect_contained(attack("bare.c")).ending, Ending::ok);
}

// 26 95: what is brought back was there when all were dead, and is the guest's own.
TEST_P(Host, FilesThatChangeWhileTheyAreAskedFor) {
  ExecutionRequest request = attack("race.py");
  request.get = {"out", "other", "link", "folder/passwd", "etc/passwd"};
  for (int i = 0; i < 6; ++i) {
    const Execution ran = run(request);
    EXPECT_THAT(ran.out, HasSubstr("done")) << ran.err;
    for (const auto& [name, bytes] : ran.files) {
      EXPECT_TRUE(name == "out" || name == "other") << name;
      EXPECT_EQ(bytes.find_first_not_of("mine\0", 0, 5), std::string::npos) << name << bytes;
    }
  }
  expect_alive();
}

// 69: where somebody has to look for files, folders that have no path end the run.
TEST_P(Host, ATreeThatIsHardToRemoveIsGoneSoon) {
  for (int i = 0; i < 3; ++i) {
    const Execution ran = run(attack("hard_tree.py"));
    EXPECT_EQ(ran.ending, reduced() ? Ending::file_limit : Ending::ok) << ran.out << ran.err;
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(python("import os; print(os.listdir('.'))").out, "[]\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

Async<std::vector<Result<Execution>>> twice(SandboxPool* pool, ExecutionRequest request) {
  std::vector<Async<Result<Execution>>> works;
  works.push_back(pool->run(request));
  works.push_back(pool->run(request));
  co_return co_await gather(std::move(works));
}

// 99
TEST_P(Host, TwoRunsHaveThePortForThemselvesEach) {
  ExecutionRequest request;
  request.code =
      "import socket, time\n"
      "s = socket.create_server(('127.0.0.1', 8080))\n"
      "time.sleep(0.3)\n"
      "c = socket.create_connection(('127.0.0.1', 8080)); print('bound')\n";
  for (const auto& ran : await(twice(pool.get(), request))) {
    ASSERT_TRUE(ran);
    if (reduced()) {
      EXPECT_THAT(ran->err, HasSubstr("Address family not supported"));
    } else {
      EXPECT_EQ(ran->out, "bound\n") << ran->err;
    }
  }
}

// 101: twice, and two at once: nobody finds another's.
TEST_P(Host, ObjectsOfIpcAreTheRunsOwn) {
  for (int i = 0; i < 4; ++i) expect_contained(attack("ipc.py"));
  for (const auto& ran : await(twice(pool.get(), attack("ipc.py")))) {
    ASSERT_TRUE(ran);
    EXPECT_EQ(escapes(ran->out), std::set<int>{}) << ran->out;
  }
}

// 103: refusals cost nobody but who asks for them.
TEST_P(Host, AStormOfRefusedCallsIsTheGuestsOwnTime) {
  const auto ours = [] {
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  };
  ExecutionRequest request = attack("spawns.c", {"storms"});
  (void)run(request);
  const auto before = ours();
  EXPECT_EQ(expect_contained(request).ending, Ending::ok);
  EXPECT_LT(ours() - before, 400ms);
}

// 104
TEST_P(Host, InterruptedCallsBreakNoPipeline) { expect_contained(attack("interrupted.py")); }

// 110
TEST_P(Host, OrdinaryProgramsLiveWithWhatIsRefused) {
  for (const char* name : {"everyday.py", "everyday.sh", "everyday.js"}) {
    if (name == std::string("everyday.js") && access("/usr/bin/node", X_OK) != 0) continue;
    ExecutionRequest request = attack(name, {reduced() ? "reduced" : GetParam()});
    request.limits.memory = 1024_MiB;
    // Modes and times stay as they are where guests are proctor's own user: tar and gcc's linker
    // fail.
    const bool refused = reduced() && !has("uid") && name == std::string("everyday.sh");
    EXPECT_EQ(expect_contained(request).ending, refused ? Ending::nonzero_exit : Ending::ok)
        << name;
  }
}

// 108 109: clocks and the sandbox's own looks are to be seen; an ending does not hang on them.
TEST_P(Host, WhoKnowsWhereItIsIsJudgedLikeAnybody) {
  const Execution ran = python(
      "import os, time\n"
      "known = os.environ.get('HOME', '').endswith('/work')\n"
      "assert time.perf_counter_ns() and time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)\n"
      "print('in a sandbox' if known else 'free')\nraise SystemExit(4)\n");
  EXPECT_EQ(ran.out, "in a sandbox\n");
  EXPECT_EQ(ran.ending, Ending::nonzero_exit);
  EXPECT_EQ(ran.exit_code, 4);
}

}  // namespace
}  // namespace proctor
