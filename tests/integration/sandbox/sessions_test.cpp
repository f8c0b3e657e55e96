// Live sessions of Python and bash in every world: their forks, interrupts, idle ends and resets.
#include <gmock/gmock.h>

#include <thread>

#include "sandbox/files.h"
#include "tests/integration/sandbox/world.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class Sessions : public InWorld {
 protected:
  using SessionRef = std::shared_ptr<SandboxSession>;

  SessionRef open(Language language, Limits limits = {}, Milliseconds idle = Milliseconds(0)) {
    auto opened = await(pool->open_session(language, limits, idle));
    if (!opened) throw std::runtime_error(opened.error().message);
    return *opened;
  }
  static SessionRef fork_of(const SessionRef& session) {
    auto forked = await(session->fork());
    if (!forked) throw std::runtime_error(forked.error().message);
    return *forked;
  }
  static Execution cell(const SessionRef& session, const std::string& code, Limits limits = {}) {
    auto ran = await(session->run(code, limits));
    if (!ran) throw std::runtime_error(ran.error().message);
    return *ran;
  }
  static std::string said(const SessionRef& session, const std::string& code) {
    const Execution ran = cell(session, code);
    return ran.out + ran.err + ran.error;
  }
};
IN_EVERY_WORLD(Sessions);

TEST_P(Sessions, HoldNoMoreThanTheNextCellMay) {
  const auto session = open(Language::python);
  Limits less;
  less.memory = 64_MiB;
  EXPECT_EQ(said(session, "x = b'x' * (200 << 20)"), "");
  const Execution ended = cell(session, "1", less);
  EXPECT_EQ(ended.ending, Ending::memory_limit) << ended.error;
  EXPECT_THAT(ended.error, HasSubstr("the session is over"));
  EXPECT_FALSE(session->alive());
}

class Forks : public Sessions {};
INSTANTIATE_TEST_SUITE_P(Worlds, Forks, testing::Values("root", "userns"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(Forks, APythonAndItsForkGoDifferentWays) {
  const auto session = open(Language::python);
  EXPECT_EQ(said(session, "x = [1, 2]\nopen('file', 'w').write('old')\nx"), "[1, 2]\n");
  const auto fork = fork_of(session);
  EXPECT_EQ(said(fork, "x"), "[1, 2]\n");
  EXPECT_EQ(said(fork, "x.append(3); open('file', 'w').write('new'); x"), "[1, 2, 3]\n");
  EXPECT_EQ(said(session, "x, open('file').read()"), "([1, 2], 'old')\n");
  EXPECT_EQ(said(fork, "import os\nx, open(os.path.abspath('file')).read()"),
            "([1, 2, 3], 'new')\n");
  EXPECT_EQ(said(session, "open('file', 'w').write('third')"), "5\n");
  EXPECT_EQ(said(fork, "open('file').read()"), "'new'\n");
}

// Whatever is cloned while the session may clone itself: no process of its has rights afterwards.
TEST_P(Forks, EndTheSessionWhenAnybodyKeepsPrivileges) {
  for (const bool another_ended_before : {false, true}) {
    const auto session = open(Language::python);
    if (another_ended_before) fork_of(session);
    ASSERT_EQ(said(session, guest("privileged_fork.py")), "");
    auto forked = await(session->fork());
    EXPECT_FALSE(forked);
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (session->alive() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(20ms);
    EXPECT_FALSE(session->alive());
    EXPECT_THAT(said(session, "1"), HasSubstr("the session is over"));
  }
}

TEST_P(Forks, DrawTheNumbersThatTheirSessionWouldHaveDrawn) {
  const auto session = open(Language::python);
  said(session, "import random; random.seed(7); random.random()");
  const auto fork = fork_of(session);
  const std::string drawn = said(session, "[random.random() for _ in range(4)]");
  EXPECT_THAT(drawn, HasSubstr("0.15084917392450192"));
  EXPECT_EQ(said(fork, "[random.random() for _ in range(4)]"), drawn);
}

TEST_P(Forks, AreForkedThemselvesAndOutliveWhereTheyStemFrom) {
  auto session = open(Language::python);
  said(session, "x = 0");
  auto fork = fork_of(session);
  said(fork, "x = 1");
  auto second = fork_of(fork);
  said(second, "x = 2");
  session.reset();
  EXPECT_EQ(said(fork, "x"), "1\n");
  fork.reset();
  EXPECT_EQ(said(second, "x += 1; x"), "3\n");
  auto third = fork_of(second);
  EXPECT_EQ(said(third, "x"), "3\n");
  EXPECT_EQ(python("print(1)").out, "1\n");
}

TEST_P(Forks, LeaveNothingRunningOfAClosedSession) {
  auto session = open(Language::python);
  const auto fork = fork_of(session);
  said(session, "import subprocess\nfor i in range(3): subprocess.Popen(['sleep', '4242.5'])");
  const auto sleepers = [] {
    int found = 0;
    for (const pid_t pid : processes())
      if (auto line = read_file("/proc/" + std::to_string(pid) + "/cmdline"))
        found += line->find("4242.5") != std::string::npos;
    return found;
  };
  for (int i = 0; i < 100 && sleepers() < 3; ++i) std::this_thread::sleep_for(20ms);
  EXPECT_EQ(sleepers(), 3);
  session.reset();
  for (int i = 0; i < 100 && sleepers() > 0; ++i) std::this_thread::sleep_for(20ms);
  EXPECT_EQ(sleepers(), 0);
  EXPECT_EQ(said(fork, "1 + 1"), "2\n");
}

TEST_P(Forks, OutliveTheEndOfTheirSession) {
  Limits short_limits;
  short_limits.wall = 300ms;
  for (const char* end : {"while True: pass", "import os; os._exit(3)", "x = 'x' * (1 << 30)"}) {
    const auto session = open(Language::python);
    said(session, "x = 5");
    const auto fork = fork_of(session), second = fork_of(fork);
    EXPECT_NE(cell(session, end, short_limits).ending, Ending::ok);
    EXPECT_FALSE(session->alive());
    EXPECT_EQ(said(fork, "x"), "5\n") << end;
    EXPECT_NE(cell(fork, end, short_limits).ending, Ending::ok);
    EXPECT_EQ(said(second, "x"), "5\n") << end;
  }
}

TEST_P(Forks, BashForksAsWell) {
  const auto session = open(Language::bash);
  EXPECT_EQ(said(session, "x=1; f() { echo f $1; }; cd /tmp; echo here > note"), "");
  const auto fork = fork_of(session);
  EXPECT_EQ(said(fork, "x=2; f $x; cat note; echo there > note; pwd"), "f 2\nhere\n/tmp\n");
  EXPECT_EQ(said(session, "f $x; cat note"), "f 1\nhere\n");
  EXPECT_EQ(said(fork, "f $x; cat note"), "f 2\nthere\n");
}

TEST_P(Forks, HaveOpenFilesOfTheirOwn) {
  const auto session = open(Language::python);
  said(session, "f = open('log', 'w+'); f.write('a'); f.flush()");
  const auto fork = fork_of(session);
  said(fork, "f.write('b'); f.flush()");
  said(session, "f.write('c'); f.flush()");
  EXPECT_EQ(said(session, "open('log').read()"), "'ac'\n");
  EXPECT_EQ(said(fork, "open('log').read()"), "'ab'\n");
}

TEST_P(Forks, KeepLimitsAccountsAndDeathsApart) {
  const auto session = open(Language::python);
  said(session, "x = 1");
  const auto fork = fork_of(session);
  Limits limits;
  limits.wall = 300ms;
  EXPECT_EQ(cell(fork, "while True: pass", limits).ending, Ending::wall_limit);
  EXPECT_FALSE(fork->alive());
  EXPECT_EQ(said(session, "x"), "1\n");
  const auto second = fork_of(session);
  const Execution left = cell(second, "import os; os._exit(7)");
  EXPECT_EQ(left.ending, Ending::nonzero_exit);
  EXPECT_EQ(left.exit_code, 7);
  const auto third = fork_of(session);
  limits = {};
  limits.memory = 64_MiB;
  EXPECT_EQ(cell(third, "y = b'x' * (200 << 20)", limits).ending, Ending::memory_limit);
  EXPECT_EQ(said(session, "x"), "1\n");
}

TEST_P(Forks, SeeNothingOfEachOther) {
  const auto session = open(Language::python);
  const auto fork = fork_of(session);
  EXPECT_EQ(said(fork, "import os\nlen([p for p in os.listdir('/proc') if p.isdigit()])"), "2\n");
  // Neither its privileges nor new namespaces are there for the taking.
  EXPECT_EQ(said(fork,
                 "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                 "[line for line in open('/proc/self/status') if line.startswith('Cap') and not "
                 "line.startswith('CapBnd') and int(line.split()[1], 16)]"),
            "[]\n");
  for (const auto& each : {session, fork}) {
    EXPECT_EQ(said(each,
                   "import ctypes\nctypes.CDLL(None).syscall(56, 0x10000000|0x20000|0x20000000|"
                   "0x08000000|0x8000|17, 0, 0, 0, 0)"),
              "-1\n");
    EXPECT_EQ(said(each, "ctypes.CDLL(None).unshare(0x10000000)"), "-1\n");
  }
}

TEST_P(Forks, AreRefusedWhileThereIsMoreThanTheInterpreter) {
  const auto session = open(Language::python);
  said(session, "import subprocess, threading, time\nchild = subprocess.Popen(['sleep', '100'])");
  auto refused = await(session->fork());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("1 other process"));
  said(session, "child.kill(); child.wait()");
  EXPECT_TRUE(await(session->fork()));
  said(session, "threading.Thread(target=time.sleep, args=(100,), daemon=True).start()");
  EXPECT_FALSE(await(session->fork()));
}

// A copy that wrote into what both hold would tamper with the other.
TEST_P(Forks, AreRefusedWhileSomethingWouldBeShared) {
  const auto session = open(Language::python);
  const auto refused = [&](const std::string& makes, const std::string& ends) {
    EXPECT_EQ(said(session, makes), "");
    auto forked = await(session->fork());
    EXPECT_EQ(said(session, ends), "");
    return forked ? std::string("forked") : forked.error().message;
  };
  said(session, "import mmap, os, select, socket, tempfile");
  EXPECT_THAT(refused("m = mmap.mmap(-1, 4096)", "m.close()"), HasSubstr("mapped shared"));
  EXPECT_THAT(refused("f = open('f', 'w+b'); f.truncate(9); m = mmap.mmap(f.fileno(), 9);",
                      "m.close(); f.close()"),
              HasSubstr("mapped shared"));
  EXPECT_THAT(refused("f = os.memfd_create('x');", "os.close(f)"),
              HasSubstr("a file in memory (descriptor 4)"));
  EXPECT_THAT(refused("p = os.pipe();", "os.close(p[0]); os.close(p[1])"), HasSubstr("a pipe"));
  EXPECT_THAT(refused("s = socket.socket();", "s.close()"), HasSubstr("a socket"));
  EXPECT_THAT(refused("e = select.epoll();", "e.close()"), HasSubstr("such as epoll"));
  EXPECT_THAT(refused("t = tempfile.TemporaryFile();", "t.close()"), HasSubstr("without a name"));
  said(session, "import numpy, json; g = open('g', 'w'); n = open('/dev/null')");
  EXPECT_TRUE(await(session->fork()));
}

TEST_P(Forks, OfForksAndManyAtOnce) {
  const auto session = open(Language::python);
  said(session, "x = bytearray(8 << 20)");
  std::vector<SessionRef> all = {session};
  for (int i = 0; i < 12; ++i) {
    all.push_back(fork_of(all[static_cast<std::size_t>(i / 2)]));
    EXPECT_EQ(said(all.back(), "len(x)"), "8388608\n");
  }
  // One below the other, until namespaces nest no deeper: a sentence then.
  SessionRef deepest = session;
  int depth = 0;
  for (; depth < 40; ++depth) {
    auto forked = await(deepest->fork());
    if (!forked) {
      EXPECT_THAT(forked.error().message, HasSubstr("nested any deeper"));
      break;
    }
    deepest = *forked;
  }
  EXPECT_GT(depth, 20);
  EXPECT_LT(depth, 40);
  EXPECT_EQ(said(deepest, "len(x)"), "8388608\n");
}

TEST_P(Sessions, BashKeepsItsState) {
  const auto session = open(Language::bash);
  EXPECT_EQ(said(session, "x=5\ncd /tmp\ngreet() { echo hello $1; }"), "");
  EXPECT_EQ(said(session, "greet $x; pwd"),
            reduced() ? said(session, "greet $x; pwd") : "hello 5\n/tmp\n");
  const Execution failed = cell(session, "ls /nowhere");
  EXPECT_EQ(failed.ending, Ending::nonzero_exit);
  const Execution wrong = cell(session, "if then");
  EXPECT_EQ(wrong.ending, Ending::nonzero_exit);
  EXPECT_THAT(wrong.err, testing::StartsWith("bash: ")) << wrong.err;
  said(session, "(exit 7)");
  EXPECT_EQ(said(session, "echo $?"), "7\n");
  EXPECT_EQ(said(session, "echo 'a\"b' \"c $x\""), "a\"b c 5\n");
  const Execution over = cell(session, "exit 3");
  EXPECT_EQ(over.exit_code, 3);
  EXPECT_FALSE(session->alive());
}

TEST_P(Sessions, ComplainOfACellInItsOwnLines) {
  const auto session = open(Language::python);
  const std::string complaint = said(session, "x = (1\ny = 2");
  EXPECT_THAT(complaint, HasSubstr("File \"cell 1\", line 1"));
  EXPECT_THAT(complaint, testing::Not(HasSubstr("ast.py")));
}

TEST_P(Sessions, ShowWhatIsDrawn) {
  const auto session = open(Language::python);
  Limits limits;
  limits.cpu = limits.wall = 60s;
  const Execution drawn = cell(session,
                               "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.figure()\n"
                               "plt.bar([1], [2])\nprint('ok')",
                               limits);
  EXPECT_EQ(drawn.out, "ok\n") << drawn.err;
  ASSERT_EQ(drawn.files.size(), 2u) << drawn.err;
  for (const char* name : {"figure-1.png", "figure-2.png"})
    EXPECT_THAT(drawn.files.at(name), testing::StartsWith("\x89PNG"));
  EXPECT_TRUE(cell(session, "1").files.empty());
  EXPECT_EQ(cell(session, "plt.plot([3])", limits).files.count("figure-3.png"), 1u);
}

TEST_P(Sessions, AreInterrupted) {
  const auto session = open(Language::python);
  said(session, "x = 1");
  std::thread later([&] {
    std::this_thread::sleep_for(300ms);
    session->interrupt();
  });
  const Execution ran = cell(session, "while True: pass");
  later.join();
  EXPECT_EQ(ran.ending, Ending::nonzero_exit);
  EXPECT_THAT(ran.err, HasSubstr("KeyboardInterrupt"));
  session->interrupt();  // nothing runs: nothing happens
  EXPECT_EQ(said(session, "x"), "1\n");
}

TEST_P(Sessions, EndWhenNobodyUsesThem) {
  const auto session = open(Language::python, {}, 300ms);
  EXPECT_EQ(said(session, "1 + 1"), "2\n");
  std::this_thread::sleep_for(1s);
  EXPECT_FALSE(session->alive());
  EXPECT_THAT(said(session, "1 + 1"), HasSubstr("idle"));
}

TEST_P(Sessions, AreResetToAFreshOne) {
  for (const Language language : {Language::python, Language::bash}) {
    const auto session = open(language);
    said(session, language == Language::python ? "x = 1; open('f', 'w').close()" : "x=1; touch f");
    ASSERT_TRUE(await(session->reset()));
    if (language == Language::python)
      EXPECT_EQ(said(session, "import os; 'x' in globals(), os.listdir()"), "(False, [])\n");
    else
      EXPECT_EQ(said(session, "echo $x; ls"), "\n");
    cell(session, language == Language::python ? "import os; os._exit(0)" : "exit");
    EXPECT_FALSE(session->alive());
    ASSERT_TRUE(await(session->reset()));
    EXPECT_TRUE(session->alive());
  }
}

TEST_P(Sessions, CannotBeForkedWhereNamespacesAreRefused) {
  if (!reduced()) return;
  const auto session = open(Language::python);
  auto refused = await(session->fork());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::missing);
  EXPECT_EQ(said(session, "1 + 1"), "2\n");
}

}  // namespace
}  // namespace proctor
