// Languages, files in and out, live sessions, cancellation and caps.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "tests/integration/sandbox/world.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class Languages : public InWorld {};
IN_EVERY_WORLD(Languages);

TEST_P(Languages, EachSaysHello) {
  EXPECT_EQ(python("print('hi')").out, "hi\n");
  EXPECT_EQ(run(Language::bash, "echo hi").out, "hi\n");
  EXPECT_EQ(run(Language::c, "#include <stdio.h>\nint main(){puts(\"hi\");}").out, "hi\n");
  EXPECT_EQ(run(Language::cpp, "#include <iostream>\nint main(){std::cout<<\"hi\\n\";}").out,
            "hi\n");
}

TEST_P(Languages, PythonSaysWhatIsWrongWithTheBytesOfAProgram) {
  for (const char* code : {"print(1)\nprint('\xE9')", "print(1)\n# \xE9\nprint(2)",
                           "print(1)\r\n#\xE9 coding: latin-1", "print(1)\r'\xE9'"}) {
    const Execution none = python(code);
    EXPECT_EQ(none.ending, Ending::nonzero_exit) << code;
    EXPECT_EQ(none.out, "") << "nothing of it runs";
    EXPECT_EQ(none.err,
              "SyntaxError: Non-UTF-8 code starting with '\\xe9' in file main.py on line 2, but no "
              "encoding declared; see https://peps.python.org/pep-0263/ for details\n");
  }
  for (const char* first : {"", "\n", "#!/usr/bin/python3\r\n"})
    EXPECT_EQ(python(first + std::string("# coding: latin-1\nprint(ord('\xE9'))")).out, "233\n")
        << "it may say which";
  EXPECT_EQ(python("print('\xC3\xA9')").out, "\xC3\xA9\n");
}

TEST_P(Languages, JavaScriptWhereNodeIs) {
  ExecutionRequest request;
  request.language = Language::js;
  request.code = "console.log([1, 2].map(x => x * 2).join())";
  const auto ran = await(pool->run(std::move(request)));
  if (access("/usr/bin/node", X_OK) != 0) {
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().message, "/usr/bin/node is not there: install nodejs");
    return;
  }
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(ran->out, "2,4\n") << ran->err;
}

TEST_P(Languages, WhatIsNoProgramOrTooLargeAOneIsNoFaultOfOurs) {
  ExecutionRequest request;
  request.language = Language::c;
  request.code = "char a[20 << 20] = {1}; int main() { return a[5]; }";
  for (const char* flag : {"-c", "-S", "-fsyntax-only", "--version"}) {
    request.compiler_flags = {flag};
    const Execution none = run(request);
    EXPECT_EQ(none.ending, Ending::compile_error) << flag;
    EXPECT_THAT(none.error, HasSubstr("no program that can be run")) << flag;
  }
  request.compiler_flags.clear();
  EXPECT_EQ(run(request).ending, Ending::ok);
  request.limits.disk = 16_MiB;
  const Execution large = run(request);
  EXPECT_EQ(large.ending, Ending::file_limit);
  EXPECT_THAT(large.error, HasSubstr("more than the workspace's 16777216"));
}

TEST_P(Languages, InputAndArguments) {
  for (const Language language : {Language::python, Language::bash, Language::c}) {
    ExecutionRequest request;
    request.language = language;
    request.input = "from stdin";
    request.arguments = {"one", "two words"};
    request.code = language == Language::python ? "import sys; print(input(), sys.argv[1:])"
                   : language == Language::bash
                       ? "read line; echo \"$line\" \"[$1, $2]\""
                       : "#include <stdio.h>\nint main(int n, char** a){char b[99];"
                         "printf(\"%s [%s, %s]\\n\", fgets(b, 99, stdin), a[1], a[2]);}";
    const Execution ran = run(request);
    EXPECT_THAT(ran.out, HasSubstr("from stdin")) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("two words"));
  }
  EXPECT_EQ(python("import sys; print(repr(sys.stdin.read()))").out, "''\n");
}

TEST_P(Languages, FilesGoInAndComeBack) {
  ExecutionRequest request;
  request.code =
      "import helper\nprint(helper.x, open('deep/er/data').read())\n"
      "open('out.bin', 'wb').write(bytes(range(256)))\nopen('deep/er/data', 'a').write('!')\n";
  request.files = {{"helper.py", "x = 5"}, {"deep/er/data", "text"}};
  request.get = {"out.bin", "deep/er/data", "absent"};
  const Execution ran = run(request);
  EXPECT_EQ(ran.out, "5 text\n") << ran.err;
  EXPECT_EQ(ran.files.at("out.bin").size(), 256U);
  EXPECT_EQ(ran.files.at("deep/er/data"), "text!");
  EXPECT_FALSE(ran.files.count("absent"));
  EXPECT_THAT(ran.error, HasSubstr("'absent'"));
}

TEST_P(Languages, FileNamesThatLeadOutAreRefused) {
  const std::vector<std::string> names = {"../x", "/etc/x", "a/../../x",           "",
                                          ".",    "a//b",   std::string("a\0b", 3)};
  for (const std::string& name : names) {
    ExecutionRequest request;
    request.code = "print('ran')";
    request.files = {{name, "x"}};
    auto ran = await(pool->run(request));
    ASSERT_FALSE(ran) << name;
    EXPECT_EQ(ran.error().kind, ErrorKind::bad_input) << name;
  }
}

TEST_P(Languages, HostileArtefactsAreRefusedOneByOne) {
  ExecutionRequest request;
  request.language = Language::bash;
  request.code = guest("artefacts.sh");
  request.get = {"link",  "magic", "inner/etc/passwd", "fifo", "loop/good", "sparse",
                 "inner", "good"};
  const Execution ran = run(request);
  EXPECT_EQ(ran.files.size(), ran.files.count("good") + ran.files.count("sparse")) << ran.error;
  EXPECT_EQ(ran.files.at("good"), "good\n");
  EXPECT_FALSE(ran.files.count("sparse") && ran.files.at("sparse").size() > (64U << 20));
  for (const char* name : {"'link'", "'magic'", "'inner/etc/passwd'", "'fifo'", "'loop/good'"})
    EXPECT_THAT(ran.error, HasSubstr(name));
}

TEST_P(Languages, TheSameProgramIsCompiledOnce) {
  const std::string code =
      "#include <map>\n#include <string>\n#include <iostream>\nint "
      "main(){std::map<std::string,int> m;"
      "m[\"a\"]=1; std::cout<<m[\"a\"]<<'\\n';}";
  const auto took = [&] {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(run(Language::cpp, code).out, "1\n");
    return std::chrono::steady_clock::now() - begin;
  };
  const auto cold = took();
  EXPECT_LT(took() * 3, cold);
}

TEST_P(Languages, SessionsRememberAndShowValues) {
  const auto live = open_python();
  auto& session = *live;
  auto cell = [&](std::string code) { return *await(session.run(std::move(code), Limits{})); };
  EXPECT_EQ(cell("x = 20").out, "");
  EXPECT_EQ(cell("x += 1\nx * 2").out, "42\n");
  EXPECT_EQ(cell("'text'").out, "'text'\n");
  EXPECT_EQ(cell("print('a'); None").out, "a\n");
  const Execution bad = cell("print('before')\n1 / 0");
  EXPECT_EQ(bad.ending, Ending::nonzero_exit);
  EXPECT_EQ(bad.out, "before\n");
  EXPECT_THAT(bad.err, HasSubstr("File \"cell 5\", line 2"));
  EXPECT_EQ(cell("open('f', 'w').write('kept')\nx").out, "21\n");
  EXPECT_EQ(cell("open('f').read()").out, "'kept'\n");
  EXPECT_TRUE(session.alive());
}

TEST_P(Languages, ASessionDiesOfALimitAndSaysSo) {
  const auto session = open_python();
  Limits limits;
  limits.wall = 300ms;
  EXPECT_EQ((*await(session->run("x = 1", limits))).ending, Ending::ok);
  const Execution slow =
      *await(session->run("print('a', flush=True)\nimport time; time.sleep(50)", limits));
  EXPECT_EQ(slow.ending, Ending::wall_limit);
  EXPECT_EQ(slow.out, "a\n");
  EXPECT_FALSE(session->alive());
  EXPECT_EQ((*await(session->run("x", limits))).ending, Ending::sandbox_error);
  EXPECT_EQ(python("print(1)").out, "1\n");
}

TEST_P(Languages, ASessionIsHeldToLimitsInAndBetweenItsCells) {
  Limits limits;
  limits.cpu = 500ms;
  limits.processes = 16;
  limits.file = 1_MiB;
  limits.open_files = 50;
  const auto session = open_python(limits);
  auto cell = [&](std::string code) { return *await(session->run(std::move(code), limits)); };
  EXPECT_EQ(
      cell("import resource as r\nr.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_FSIZE)[1], "
           "r.getrlimit(r.RLIMIT_CORE)[1]")
          .out,
      "((50, 50), 1048576, 1)\n");
  // Each cell has the whole time for itself.
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(cell("import time\nend = time.process_time() + 0.3\n"
                   "while time.process_time() < end: pass")
                  .ending,
              Ending::ok);
  EXPECT_EQ(cell("import threading\ndef spin():\n  while True: pass\n"
                 "threading.Thread(target=spin, daemon=True).start()")
                .ending,
            Ending::ok);
  for (int i = 0; i < 100 && session->alive(); ++i) usleep(100'000);
  EXPECT_FALSE(session->alive());
  EXPECT_EQ(cell("1").ending, Ending::time_limit) << "no failure of ours";
  EXPECT_EQ(python("print(1)").out, "1\n");
}

// Where a session finds what its interpreter speaks to us with.
constexpr const char* kFindLibrary =
    "import ctypes, os\n"
    "lib = ctypes.CDLL('/proctor/child.so' if os.path.exists('/proctor/child.so')\n"
    "                  else os.getcwd() + '/../../child.so')\n";

TEST_P(Languages, ASessionCannotClaimThatACellHasRun) {
  Limits limits;
  limits.cpu = 500ms;
  const auto session = open_python(limits);
  const Execution claims = *await(
      session->run(std::string(kFindLibrary) + "import threading, time\n"
                                               "def spin():\n"
                                               "  while True:\n"
                                               "    end = time.monotonic() + 0.02\n"
                                               "    while time.monotonic() < end: pass\n"
                                               "    lib.proctor_done(0)\n"
                                               "threading.Thread(target=spin, daemon=True).start()",
                   limits));
  EXPECT_EQ(claims.ending, Ending::ok) << claims.err;
  for (int i = 0; i < 100 && session->alive(); ++i) usleep(100'000);
  EXPECT_FALSE(session->alive());
}

TEST_P(Languages, ACellAccountsForItselfAlone) {
  Limits limits;
  limits.cpu = 1s;
  const auto session = open_python(limits);
  auto cell = [&](std::string code) { return *await(session->run(std::move(code), limits)); };
  for (int i = 0; i < 3; ++i) {
    const Execution busy =
        cell("import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass");
    EXPECT_EQ(busy.ending, Ending::ok);
    EXPECT_GE(busy.usage.cpu_ms, 300);
  }
  EXPECT_LT(cell("1").usage.cpu_ms, 300);
  const Execution last = cell("import os\nos._exit(3)");
  EXPECT_EQ(last.ending, Ending::nonzero_exit) << last.usage.cpu_ms;
  EXPECT_EQ(last.exit_code, 3);
  EXPECT_LT(last.usage.cpu_ms, 300);
}

TEST_P(Languages, WhatIsPrintedBetweenCellsComesWithTheNext) {
  const auto session = open_python();
  auto cell = [&](std::string code) { return *await(session->run(std::move(code), Limits{})); };
  EXPECT_EQ(cell("import threading\n"
                 "threading.Timer(0.2, lambda: print('late', flush=True)).start()\nprint('soon')")
                .out,
            "soon\n");
  usleep(1'000'000);
  EXPECT_EQ(cell("print('next')").out, "late\nnext\n");
  EXPECT_EQ(cell("print('last')").out, "last\n");
}

Async<std::vector<Result<Execution>>> run_many(SandboxPool* pool, int n) {
  std::vector<Async<Result<Execution>>> works;
  for (int i = 0; i < n; ++i) {
    ExecutionRequest request;
    request.language = i % 3 ? Language::python : Language::bash;
    request.code = i % 3 ? "print(" + std::to_string(i) + ")" : "echo " + std::to_string(i);
    works.push_back(pool->run(std::move(request)));
  }
  co_return co_await gather(std::move(works));
}

Async<std::vector<Result<Execution>>> run_many_briefly(SandboxPool* pool, int n,
                                                       Milliseconds each) {
  std::vector<Async<Result<Execution>>> works;
  for (int i = 0; i < n; ++i) {
    ExecutionRequest request;
    request.language = Language::bash;
    request.code = ":";
    works.push_back(with_deadline(pool->run(std::move(request)), each, "run"));
  }
  co_return co_await gather(std::move(works));
}

// Many waits on the way to a session or a run are called off; what they had taken is free again.
TEST_P(Languages, WhatIsCalledOffHalfWayLeavesNothingTaken) {
  for (int round = 0; round < 300; ++round) {
    auto opening = pool->open_session(Language::python, Limits{});
    auto session = await(with_deadline(std::move(opening), Milliseconds(round % 5), "session"));
    if (!session) {
      EXPECT_EQ(session.error().kind, ErrorKind::timeout) << session.error().message;
    }
  }
  for (int round = 0; round < 60; ++round)
    (void)await(run_many_briefly(pool.get(), 4, Milliseconds(round % 5)));
  const auto opened = open_python();
  for (const auto& each : await(run_many_briefly(pool.get(), 4, 30s)))
    EXPECT_TRUE(each) << "slots are lost";
}

TEST_P(Languages, SetsHaveTheSameOrderInEveryProcess) {
  const std::string code = "import sys; print(hash('text'), [p for p in sys.path if not p])";
  const std::string first = python(code).out;
  EXPECT_THAT(first, HasSubstr(" []")) << "no module of ours is looked for in the workspace";
  pool.reset();
  SetUp();
  EXPECT_EQ(python(code).out, first);
  const auto session = open_python();
  EXPECT_EQ((*await(session->run(code, Limits{}))).out, first);
}

// An interpreter that hangs as the zygote is given up, and hangs as a guest until its limit.
TEST(Zygote, IsNotWaitedForWithoutEnd) {
  char folder[] = "/tmp/hanging-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  ASSERT_EQ(chmod(folder, 0755), 0);
  const std::string bin = std::string(folder) + "/bin";
  ASSERT_EQ(std::system(("mkdir " + bin +
                         " && echo 'int pause(void);int main(){for(;;)pause();}' | "
                         "gcc -x c - -o " +
                         bin + "/python3")
                            .c_str()),
            0);
  SandboxConfig config;
  config.python = bin + "/python3";
  auto pool = make_sandbox_pool(config);
  ASSERT_TRUE(pool) << pool.error().message;
  ExecutionRequest request;
  request.code = "print(1)";
  request.limits.wall = 500ms;
  auto ran = await(with_deadline((*pool)->run(request), 60s, "run"));
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(ran->ending, Ending::wall_limit) << ran->error;
  const std::string search = "grep -lsa '^" + bin + "' /proc/[0-9]*/cmdline";
  EXPECT_NE(std::system(search.c_str()), 0) << "it is killed";
  std::filesystem::remove_all(folder);
}

TEST_P(Languages, ManySessionsOneAfterTheOtherUseTheSameFewSlots) {
  std::set<std::string> users;
  for (int i = 0; i < 12; ++i) {
    const auto session = open_python();
    users.insert((*await(session->run("import os; os.getuid()", Limits{}))).out);
  }
  EXPECT_LE(users.size(), 8U);
}

TEST_P(Languages, MoreSessionsThanSlots) {
  std::vector<std::shared_ptr<SandboxSession>> sessions;
  for (int i = 0; i < 6; ++i) {
    sessions.push_back(open_python());
    EXPECT_EQ((*await(sessions.back()->run("x = " + std::to_string(i), Limits{}))).ending,
              Ending::ok);
  }
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ((*await(sessions[static_cast<std::size_t>(i)]->run("x", Limits{}))).out,
              std::to_string(i) + "\n");
  EXPECT_EQ(python("print(1)").out, "1\n");
}

TEST_P(Languages, ManyAtOnceKeepTheCap) {
  auto results = await(run_many(pool.get(), 40));
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i]);
    EXPECT_EQ(results[i]->out, std::to_string(i) + "\n") << results[i]->error;
  }
  EXPECT_EQ(pool->usage().highest, 2U);
  EXPECT_EQ(pool->usage().in_use, 0U);
}

TEST_P(Languages, CancellingKillsTheTree) {
  ExecutionRequest request;
  request.language = Language::bash;
  // A time of this process's own: the same test in another world may run at the same moment.
  const std::string seconds = std::to_string(1'000'000 + ::getpid());
  request.code = "sleep " + seconds + " & sleep " + seconds;
  auto ran = await(with_deadline(pool->run(request), 400ms, "run"));
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().kind, ErrorKind::timeout);
  EXPECT_EQ(python("print(1)").out, "1\n");
  usleep(300'000);
  const std::string survivors = "grep -lsa " + seconds +
                                " /proc/[0-9]*/cmdline 2>/dev/null | grep -v self | xargs -r "
                                "grep -lsa '^sleep' | grep -q .";
  EXPECT_NE(std::system(survivors.c_str()), 0);
}

}  // namespace
}  // namespace proctor
