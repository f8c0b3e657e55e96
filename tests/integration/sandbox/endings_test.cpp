// Each way a program can end, told apart from all others, in every world.
#include <gmock/gmock.h>

#include "tests/integration/sandbox/world.h"

namespace proctor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Endings : public InWorld {};
COUNTED_OR_NOT(Endings);

#define EXPECT_ENDING(execution, wanted)                                   \
  EXPECT_EQ(to_string((execution).ending), std::string(to_string(wanted))) \
      << (execution).out.substr(0, 500) << (execution).err.substr(0, 500) << (execution).error

TEST_P(Endings, OkAfterAnOrderlyEnd) {
  const Execution ran = python("print('hello')");
  EXPECT_ENDING(ran, Ending::ok);
  EXPECT_EQ(ran.out, "hello\n");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_FALSE(ran.signal);
  EXPECT_GT(ran.usage.wall_ms, 0);
  EXPECT_GT(ran.usage.peak_memory_bytes, 0);
  EXPECT_GE(ran.usage.peak_processes, 1);
}

TEST_P(Endings, ExitCodesAreTheProgramsOwn) {
  EXPECT_EQ(python("raise SystemExit(3)").exit_code, 3);
  const Execution ran = run(Language::bash, "echo '{\"status\":\"ok\",\"exit_code\":0}'; exit 9");
  EXPECT_ENDING(ran, Ending::nonzero_exit);
  EXPECT_EQ(ran.exit_code, 9);
  EXPECT_EQ(python("import os; os._exit(7)").exit_code, 7);
}

TEST_P(Endings, AnUncaughtExceptionShowsItsLines) {
  const Execution ran = python("def f():\n  raise ValueError('here')\nf()\n");
  EXPECT_ENDING(ran, Ending::nonzero_exit);
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("File \"main.py\", line 2, in f\n    raise ValueError('here')"));
  EXPECT_THAT(ran.err, testing::Not(HasSubstr("zygote")));
}

TEST_P(Endings, SignalsAreSignalsAndNothingElse) {
  for (const int signal : {6, 9, 11, 15, 24, 31}) {
    const Execution ran = run(Language::bash, "kill -" + std::to_string(signal) + " $$");
    EXPECT_ENDING(ran, Ending::signaled);
    EXPECT_EQ(ran.signal, signal);
    EXPECT_FALSE(ran.exit_code);
  }
}

TEST_P(Endings, ProcessorTimeIsTheTrees) {
  Limits limits;
  limits.cpu = 400ms;
  EXPECT_ENDING(python("while True: pass", limits), Ending::time_limit);
  // Heirs that each use less than any limit of their own.
  const Execution chain = python(
      "import os, time\n"
      "while True:\n"
      "  end = time.process_time() + 0.05\n"
      "  while time.process_time() < end: pass\n"
      "  pid = os.fork()\n"
      "  if pid: os.waitpid(pid, 0); os._exit(0)\n",
      limits);
  EXPECT_ENDING(chain, Ending::time_limit);
  EXPECT_LT(chain.usage.cpu_ms, 2000);
}

TEST_P(Endings, WallTimeEndsASleeperThatIgnoresSignals) {
  Limits limits;
  limits.wall = 1s;
  const Execution ran = python(
      "import signal, time\n"
      "for n in range(1, 32):\n"
      "  try: signal.signal(n, signal.SIG_IGN)\n"
      "  except (OSError, ValueError): pass\n"
      "print('before', flush=True)\n"
      "time.sleep(100)\n",
      limits);
  EXPECT_ENDING(ran, Ending::wall_limit);
  EXPECT_EQ(ran.out, "before\n");
  EXPECT_LT(ran.usage.wall_ms, 5000);
  EXPECT_ENDING(run(Language::bash, "kill -STOP $$", limits), Ending::wall_limit);
}

TEST_P(Endings, MemoryIsTheTrees) {
  Limits limits;
  limits.memory = 128_MiB;
  const std::string touch =
      "x = bytearray(SIZE << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\n";
  std::string big = touch;
  big.replace(big.find("SIZE"), 4, "400");
  EXPECT_ENDING(python(big, limits), Ending::memory_limit);
  std::string shared = "import os, time\nfor _ in range(4):\n  if os.fork() == 0:\n    " + touch;
  shared.replace(shared.find("SIZE"), 4, "60");
  shared.replace(shared.find("\nfor i"), 1, "\n    ");
  shared += "    time.sleep(5)\n    os._exit(0)\ntime.sleep(5)\n";
  EXPECT_ENDING(python(shared, limits), Ending::memory_limit);
}

// In the reduced world it is on the disk.
TEST_P(Endings, FilesInTheWorkspaceAreMemoryWhereItIsInMemory) {
  Limits limits;
  limits.memory = 64_MiB;
  limits.disk = 512_MiB;
  limits.file = 512_MiB;
  EXPECT_ENDING(run(Language::bash, "head -c 200M /dev/zero > x; echo $?", limits),
                reduced() ? Ending::ok : Ending::memory_limit);
}

TEST_P(Endings, OutputIsCutAtItsCap) {
  Limits limits;
  limits.output = static_cast<Bytes>(1000);
  const Execution out = python("while True: print('a' * 1000)", limits);
  EXPECT_ENDING(out, Ending::output_limit);
  EXPECT_EQ(out.out.size(), 1000U);
  EXPECT_TRUE(out.out_truncated);
  EXPECT_FALSE(out.err_truncated);
  const Execution err = run(Language::bash, "while :; do echo aaaaaaaa >&2; done", limits);
  EXPECT_ENDING(err, Ending::output_limit);
  EXPECT_TRUE(err.err_truncated);
  EXPECT_ENDING(python("import sys; sys.stdout.write('a' * 1000)", limits), Ending::ok);
}

TEST_P(Endings, ProcessesAreCountedAndRefused) {
  Limits limits;
  limits.processes = 16;
  limits.wall = 5s;
  const Execution forks = python(guest("fork_bomb.py") + "\nraise SystemExit(1)\n", limits);
  EXPECT_ENDING(forks, Ending::process_limit);
  EXPECT_THAT(forks.out, testing::Not(HasSubstr("escaped")));
  // Where guests are proctor's own user the kernel leaves room for those of all slots, here four.
  EXPECT_LE(forks.usage.peak_processes, reduced() && !has("uid") ? 5 * 16 + 2 : 18);
  const std::string threads =
      "import threading, time\n"
      "try:\n  for _ in range(100): threading.Thread(target=time.sleep, args=(2,), "
      "daemon=True).start()\nfinally: time.sleep(AFTER)\n";
  const auto ending_after = [&](const char* seconds) {
    std::string code = threads;
    return python(code.replace(code.find("AFTER"), 5, seconds), limits);
  };
  EXPECT_ENDING(ending_after("0.5"), Ending::process_limit);
  // Without a cgroup, who ends at once with all that it has may be gone before anybody looks.
  const Execution brief = ending_after("0");
  if (has("cgroup") || brief.ending != Ending::nonzero_exit)
    EXPECT_ENDING(brief, Ending::process_limit);
  else
    EXPECT_THAT(brief.err, HasSubstr("can't start new thread"));
}

TEST_P(Endings, PeakProcessesAreTheRunsOwn) {
  const std::string forks =
      "import os, time\nfor _ in range(COUNT):\n  if os.fork() == 0: time.sleep(0.3); os._exit(0)\n"
      "time.sleep(0.2)\n";
  for (const int count : {9, 4, 1}) {
    std::string code = forks;
    code.replace(code.find("COUNT"), 5, std::to_string(count));
    for (int slot = 0; slot < 4; ++slot) {
      const auto peak = python(code).usage.peak_processes;
      EXPECT_LE(peak, count + 1);
      // Without a cgroup they are counted by looking now and then.
      if (has("cgroup")) {
        EXPECT_EQ(peak, count + 1);
      }
    }
  }
}

TEST_P(Endings, AFileThatOutgrowsItsLimit) {
  Limits limits;
  limits.file = 1_MiB;
  EXPECT_ENDING(python("open('x', 'wb').write(b'a' * (2 << 20))", limits), Ending::file_limit);
  EXPECT_ENDING(run(Language::bash, "head -c 3M /dev/zero > x", limits),
                Ending::nonzero_exit);  // bash lives on: its child's end is its own affair
  EXPECT_ENDING(python("open('x', 'wb').write(b'a' * (1 << 19))", limits), Ending::ok);
}

TEST_P(Endings, AFullWorkspace) {
  Limits limits;
  limits.disk = 1_MiB;
  EXPECT_ENDING(python("open('x', 'wb').write(b'a' * (2 << 20))", limits), Ending::file_limit);
  EXPECT_ENDING(python("open('x', 'wb').write(b'a' * (1 << 19))", limits), Ending::ok);
  Limits few;
  few.inodes = 50;
  EXPECT_ENDING(python("for i in range(100): open(str(i), 'w')", few), Ending::file_limit);
  EXPECT_ENDING(python("for i in range(40): open(str(i), 'w')", few), Ending::ok);
}

// In the reduced world nobody refuses it: the session is over.
TEST_P(Endings, CellsOfASessionFillOneWorkspace) {
  Limits limits;
  limits.disk = 4_MiB;
  const auto session = open_python(limits);
  const auto cell = [&](const std::string& name) {
    auto ran =
        await(session->run("open('" + name + "', 'wb').write(b'a' * (3 << 20)); None", limits));
    EXPECT_TRUE(ran) << ran.error().message;
    return ran ? ran->ending : Ending::sandbox_error;
  };
  EXPECT_EQ(cell("a"), Ending::ok);
  EXPECT_EQ(cell("b"), reduced() ? Ending::file_limit : Ending::nonzero_exit);
}

TEST_P(Endings, ACompilerErrorNamesTheLine) {
  const Execution ran = run(Language::cpp, "int main() {\n  return nothing;\n}\n");
  EXPECT_ENDING(ran, Ending::compile_error);
  EXPECT_THAT(ran.err, HasSubstr("main.cpp:2:"));
  EXPECT_EQ(ran.out, "");
}

TEST_P(Endings, TheNextRunKnowsNothingOfTheLast) {
  (void)python(
      "import builtins, os, sys\n"
      "builtins.print = None\nsys.modules['json'] = None\nos.umask(0)\n"
      "open('left', 'w').write('x')\nopen('/tmp/left', 'w').write('x')\n");
  for (int i = 0; i < 6; ++i) {
    const Execution next = python(
        "import json, os\nprint(os.listdir('.'), os.listdir(os.environ['TMPDIR']), "
        "oct(os.umask(0)))");
    EXPECT_EQ(next.out, "[] [] 0o22\n") << next.err;
  }
}

TEST_P(Endings, ForkedRunsDoNotShareRandomness) {
  for (const std::string code :
       {"import random; print(random.random())", "import uuid; print(uuid.uuid4())",
        "import tempfile; print(tempfile.mktemp())",
        "try:\n  from numpy.random import random\nexcept ImportError:\n  from random import "
        "random\n"
        "print(random())"})
    EXPECT_NE(python(code).out, python(code).out) << code;
}

TEST(Pool, ThatIsFullSaysWhenToComeAgain) {
  auto pool = make_sandbox_pool({.slots = 1, .most_waiting = 2});
  ASSERT_TRUE(pool) << pool.error().message;
  const auto at_once = [&]() -> Async<std::vector<Result<Execution>>> {
    std::vector<Async<Result<Execution>>> all;
    for (int i = 0; i < 5; ++i) {
      ExecutionRequest request;
      request.code = "import time; time.sleep(0.3)";
      all.push_back((*pool)->run(std::move(request)));
    }
    co_return co_await gather(std::move(all));
  };
  int ran = 0, busy = 0;
  for (const auto& each : await(at_once())) {
    if (each) {
      ++ran;
      continue;
    }
    ++busy;
    EXPECT_EQ(each.error().kind, ErrorKind::unavailable);
    EXPECT_THAT(each.error().message, testing::HasSubstr("busy"));
    EXPECT_THAT(each.error().message, testing::HasSubstr("try again in"));
  }
  EXPECT_EQ(ran, 3);
  EXPECT_EQ(busy, 2);
}

}  // namespace
}  // namespace proctor
