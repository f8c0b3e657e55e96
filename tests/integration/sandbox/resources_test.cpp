// Guests that take more than they may have by roads that no single process shows, in every world.
#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "tests/integration/sandbox/attacks.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class Resources : public Attacks {
 protected:
  // Runs both at once; how the second, which starts a moment later, ended.
  Execution beside(ExecutionRequest first, ExecutionRequest second);
};
COUNTED_OR_NOT(Resources);

Async<Result<Execution>> after(SandboxPool* pool, ExecutionRequest request, Milliseconds pause) {
  co_await sleep_for(pause);
  auto work = pool->run(std::move(request));
  co_return co_await std::move(work);
}

Async<std::vector<Result<Execution>>> both(SandboxPool* pool, ExecutionRequest first,
                                           ExecutionRequest second) {
  std::vector<Async<Result<Execution>>> works;
  works.push_back(pool->run(std::move(first)));
  works.push_back(after(pool, std::move(second), 300ms));
  co_return co_await gather(std::move(works));
}

Execution Resources::beside(ExecutionRequest first, ExecutionRequest second) {
  auto ran = await(both(pool.get(), std::move(first), std::move(second)));
  EXPECT_TRUE(ran[0]) << ran[0].error().message;
  EXPECT_TRUE(ran[1]) << ran[1].error().message;
  return ran[1] ? *ran[1] : Execution{};
}

// The number behind `name` in a file of "name number" lines.
std::int64_t field_of(const char* path, const std::string& name) {
  std::ifstream words(path);
  for (std::string word; words >> word;)
    if (word == name) {
      std::int64_t value = 0;
      words >> value;
      return value;
    }
  return 0;
}

// 03 06 07 08 71 74 80: the guest stops far beyond its limit, and says so.
TEST_P(Resources, MemoryThatNoProcessShowsIsTheRuns) {
  for (const std::string number : {"3", "6", "7", "8", "71", "74", "80"}) {
    ExecutionRequest request = attack("memory.py", {number, "300000000"});
    request.limits.memory = 48_MiB;
    request.limits.open_files = 4096;
    const Execution ran = run(request);
    EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out;
    // Where nobody would count it there is none.
    const bool refused =
        (number == "7" && reduced()) || (!has("cgroup") && (number == "6" || number == "7"));
    if (refused) {
      EXPECT_THAT(ran.out, HasSubstr("done")) << ran.err;
    } else {
      EXPECT_EQ(ran.ending, Ending::memory_limit) << number << ran.out << ran.err;
    }
    expect_alive();
  }
}

// 05
TEST_P(Resources, AllFoldersTogetherHoldWhatTheWorkspaceMay) {
  ExecutionRequest request = attack("memory.py", {"5", "200000000"});
  request.limits.disk = 32_MiB;
  const Execution ran = run(request);
  EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out << ran.err;
  EXPECT_EQ(ran.ending, reduced() ? Ending::file_limit : Ending::ok) << ran.out << ran.err;
  expect_alive();
}

// 05: files that a look at the workspace finds late, or does not find.
TEST_P(Resources, FilesCountWhereverTheyAre) {
  for (const std::string way :
       {"named", "nameless", "in_children", "mapped", "in_messages", "locked", "deep", "moving"}) {
    ExecutionRequest request = attack("disk.py", {way, "300"});
    request.limits.disk = 32_MiB;
    const Execution ran = run(request);
    EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out << ran.err;
    if (reduced() && way != "in_messages") {
      EXPECT_EQ(ran.ending, Ending::file_limit) << way << ran.out << ran.err;
    } else {
      EXPECT_THAT(ran.out, HasSubstr("done")) << way << to_string(ran.ending) << ran.err;
    }
    expect_alive();
  }
}

// 09 73 75 76 106
TEST_P(Resources, ThingsOfTheKernelsHaveAnEnd) { expect_contained(attack("objects.py")); }

// 10 11
TEST_P(Resources, ManySmallFilesAndOneOfHoles) {
  const Execution ran = run(attack("inodes.py", {reduced() ? "50000" : "16384"}));
  EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out << ran.err;
  EXPECT_EQ(ran.ending, reduced() ? Ending::file_limit : Ending::ok) << ran.out << ran.err;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(python("import os; print(os.listdir())").out, "[]\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

// 72
TEST_P(Resources, FailingLookupsAreNotKept) {
  ExecutionRequest request = attack("lookups.py");
  request.limits.memory = 24_MiB;
  const auto entries = [] {
    std::int64_t all = 0;
    std::ifstream("/proc/sys/fs/dentry-state") >> all;
    return all;
  };
  const std::int64_t before = entries();
  const Execution ran = run(request);
  EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out << ran.err;
  expect_alive();
  // Where the kernel reclaims too late, the run ends for its memory, which held all of them.
  constexpr std::int64_t kBytesOfEntry = 192;
  const bool ended = has("cgroup") && ran.ending == Ending::memory_limit;
  if (!ended) {
    EXPECT_THAT(ran.out, testing::HasSubstr("done")) << to_string(ran.ending) << ran.err;
  }
  if (has("cgroup")) {
    const std::int64_t most = ended ? count(request.limits.memory) / kBytesOfEntry
                                    : std::max(40'000, std::atoi(ran.out.c_str()) / 2);
    EXPECT_LT(entries() - before, most) << ran.out;
  }
}

// 12: half a gigabyte for each stream.
TEST_P(Resources, AFloodOfOutputLeavesUsAsWeWere) {
  const auto resident = [] { return field_of("/proc/self/status", "VmRSS:"); };
  expect_alive();
  const std::int64_t before = resident();
  const Execution ran =
      run(Language::bash, "head -c 512M /dev/zero & head -c 512M /dev/zero >&2; wait");
  EXPECT_EQ(ran.ending, Ending::output_limit);
  EXPECT_LE(ran.out.size(), std::size_t{1} << 20);
  EXPECT_LE(ran.err.size(), std::size_t{1} << 20);
  EXPECT_LT(resident() - before, 32 * 1024);
}

// 13
TEST_P(Resources, ProcessorTimeOfManyChildrenIsTheTrees) {
  Limits limits;
  limits.cpu = 600ms;
  const Execution ran = python(
      "import os, time\n"
      "for _ in range(8):\n"
      "  if os.fork() == 0:\n"
      "    while time.process_time() < 0.4: pass\n"
      "    os._exit(0)\n"
      "for _ in range(8): os.wait()\n",
      limits);
  EXPECT_EQ(ran.ending, Ending::time_limit) << ran.out << ran.err;
  EXPECT_LT(ran.usage.cpu_ms, 2000);
}

// 14
TEST_P(Resources, ProcessorTimeOfThoseNobodyWaitsForIsTheTrees) {
  for (const char* way : {"orphans", "ignored"}) {
    ExecutionRequest request = attack("heirs.py", {way, "3"});
    request.limits.cpu = 600ms;
    const Execution ran = run(request);
    EXPECT_EQ(ran.ending, Ending::time_limit) << way << ran.out << ran.err;
    EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out;
    expect_alive();
  }
}

// The kernel groups sessions where they are in the first cpu group only: in no container.
bool autogroups() {
  int enabled = 0;
  std::ifstream("/proc/sys/kernel/sched_autogroup_enabled") >> enabled;
  if (access("/sys/fs/cgroup/cgroup.type", F_OK) == 0) return false;  // the first has none
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers.find(",cpu,") != std::string::npos && line.substr(second) != ":/") return false;
  }
  return enabled != 0;
}

// 77 78: threads that burn, processes that flush; another run keeps its share of the processors.
TEST_P(Resources, ANeighbourIsServed) {
  ExecutionRequest burns, flushes, small;
  burns.code =
      "import os, time\n"
      "for _ in range(24):\n"
      "  if os.fork() == 0:\n"
      "    while True: pass\n"
      "time.sleep(9)\n";
  flushes.code =
      "import os\n"
      "for n in range(8): os.fork() if n < 3 else None\n"
      "f = os.open(str(os.getpid()), os.O_CREAT | os.O_WRONLY)\n"
      "while True: os.pwrite(f, bytes(65536), 0); os.fsync(f)\n";
  burns.limits.wall = flushes.limits.wall = 2s;
  small.code =
      "import os, time\n"
      "begin = time.monotonic()\n"
      "while time.process_time() < 0.1: pass\n"
      "for n in range(20): open('x', 'w').write('x' * 4096)\n"
      "print('took', time.monotonic() - begin)\n";
  const bool grouped = autogroups();
  const double alone = run(small).usage.wall_ms;
  for (const ExecutionRequest& loud : {burns, flushes}) {
    const Execution quiet = beside(loud, small);
    EXPECT_EQ(quiet.ending, Ending::ok) << quiet.err;
    // Without a share of its own it takes 12 times as long on two processors.
    EXPECT_LT(quiet.usage.wall_ms, grouped ? alone * 6 + 300 : 10'000) << alone;
  }
}

// 79
TEST_P(Resources, ACompilerIsHeldToLimits) {
  const auto begin = std::chrono::steady_clock::now();
  for (const char* code : {"#include \"/dev/zero\"\n", "char big[1L << 36] = {1};\nint main() {}\n",
                           "#include \"main.c\"\n#include \"main.c\"\n",
                           "asm(\".incbin \\\"/dev/zero\\\"\");\nint main() {}\n",
                           "#define A(x) x x x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\n"
                           "char* s = B(B(\"xxxxxxxx\"));\n"}) {
    const Execution ran = run(Language::c, code);
    EXPECT_EQ(ran.ending, Ending::compile_error) << code << ran.err.substr(0, 300);
    EXPECT_LE(ran.err.size(), std::size_t{1} << 20);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
  const Execution secret = run(Language::c, "#include \"/etc/shadow\"\n");
  EXPECT_THAT(secret.err, testing::Not(HasSubstr("root")));
  expect_alive();
}

// 80: the files that come with a request.
TEST_P(Resources, MoreFilesThanTheWorkspaceHoldsAreRefused) {
  ExecutionRequest request;
  request.code = "print('ran')";
  request.limits.disk = 1_MiB;
  for (const char* name : {"a", "b", "c"}) request.files[name] = std::string(400'000, 'x');
  auto ran = await(pool->run(request));
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().kind, ErrorKind::bad_input);
  EXPECT_THAT(ran.error().message, HasSubstr("1200000 bytes, more than the workspace's 1048576"));
  expect_alive();
}

}  // namespace
}  // namespace proctor
