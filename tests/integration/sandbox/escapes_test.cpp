// Guests that try to get out, in every world: to the host's files, network, processes, to other
// runs, and through the kernel's surface. Nothing here is stated as not promised.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/integration/sandbox/attacks.h"
#include "tests/integration/sandbox/watched.h"

namespace proctor {
namespace {

using testing::HasSubstr;

class Escapes : public Attacks {};
IN_EVERY_WORLD(Escapes);

TEST_P(Escapes, SystemCallsThatAreNobodysBusiness) { expect_contained(attack("syscalls.py")); }
TEST_P(Escapes, PrivilegesAndWhatIsInherited) { expect_contained(attack("identity.py")); }

TEST_P(Escapes, TheOtherSystemCallTable) {
  for (const char* name : {"compat_syscall.py", "x32_syscall.py"}) {
    const Execution ran = python(guest(name));
    EXPECT_EQ(ran.ending, Ending::signaled) << ran.out << ran.err;
    EXPECT_EQ(ran.signal, SIGSYS);
  }
}

TEST_P(Escapes, FilesOfTheHost) {
  char secret[] = "/tmp/everybody-XXXXXX";
  const int fd = mkstemp(secret);
  ASSERT_EQ(write(fd, "secret", 6), 6);
  fchmod(fd, 0666);
  close(fd);
  expect_contained(attack("files.py", {secret}));
  unlink(secret);
}

TEST_P(Escapes, TheNetwork) {
  const int tcp = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(tcp, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(tcp, 8), 0);
  socklen_t size = sizeof address;
  getsockname(tcp, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string name = "proctor-test-" + std::to_string(getpid());
  const int abstract = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), local.sun_path + 1);
  ASSERT_EQ(bind(abstract, reinterpret_cast<sockaddr*>(&local),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  ASSERT_EQ(listen(abstract, 8), 0);
  expect_contained(attack("network.py", {std::to_string(ntohs(address.sin_port)), name}));
  close(tcp);
  close(abstract);
}

TEST_P(Escapes, WhatLiesOutsideOfNamespaces) {
  char folder[] = "/tmp/neighbours-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  chmod(folder, 0777);
  const std::string path = std::string(folder) + "/socket", file = std::string(folder) + "/file";
  const int local = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(bind(local, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(local, 8), 0);
  chmod(path.c_str(), 0777);
  const std::string datagrams = path + "-datagrams";
  const int receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
  std::copy(datagrams.begin(), datagrams.end(), address.sun_path);
  ASSERT_EQ(bind(receiver, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  chmod(datagrams.c_str(), 0777);
  close(open(file.c_str(), O_CREAT | O_WRONLY, 0644));
  // Twice: what the first leaves behind, the second must not find.
  for (int run = 0; run < 2; ++run)
    expect_contained(attack("neighbours.py", {path, file, std::to_string(getpid())}));
  close(local);
  close(receiver);
  std::filesystem::remove_all(folder);
}

TEST_P(Escapes, ClosedConnectionsAreNotSeenByTheNextRun) {
  if (reduced()) {  // where there are no sockets to leave behind
    const Execution refused = python("import socket\nsocket.socket()");
    EXPECT_EQ(refused.ending, Ending::nonzero_exit);
    EXPECT_THAT(refused.err, HasSubstr("not supported by protocol"));
    return;
  }
  const std::string listen =
      "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 8123)); s.listen()\n";
  const Execution first = python(listen +
                                 "c = socket.create_connection(('127.0.0.1', 8123))\n"
                                 "a, _ = s.accept(); a.close(); print(c.recv(1)); c.close()\n");
  EXPECT_EQ(first.out, "b''\n") << first.err;
  for (int i = 0; i < 4; ++i) {
    const Execution next = python(listen + "print(len(open('/proc/net/tcp').readlines()))");
    EXPECT_EQ(next.out, "2\n") << next.err;  // the heading and its own
  }
}

TEST_P(Escapes, NothingOutlivesItsExecution) {
  const std::string mark = std::to_string(getpid());
  ExecutionRequest request;
  request.code = guest("survivors.py");
  request.arguments = {mark};
  const Execution ran = run(request);
  EXPECT_THAT(ran.out, HasSubstr("done")) << ran.err;
  for (int i = 0; i < 20 && processes_with("3133" + mark) > 0; ++i) usleep(50'000);
  EXPECT_EQ(processes_with("3133" + mark), 0);

  Limits limits;
  limits.wall = 300ms;
  request.code += "\nimport time; time.sleep(100)\n";
  request.limits = limits;
  EXPECT_EQ(run(request).ending, Ending::wall_limit);
  for (int i = 0; i < 20 && processes_with("3133" + mark) > 0; ++i) usleep(50'000);
  EXPECT_EQ(processes_with("3133" + mark), 0);
}

TEST_P(Escapes, OrphansAreReaped) {
  Limits limits;
  limits.processes = 16;
  const Execution ran = python(guest("orphans.py"), limits);
  EXPECT_EQ(ran.ending, Ending::ok) << ran.out << ran.err;
  EXPECT_EQ(ran.out, reduced() ? "no proc\n" : "init\n0 left\n");
}

TEST_P(Escapes, AForkBombLeavesNothing) {
  Limits limits;
  limits.wall = 2s;
  const Execution ran = run(Language::bash, ":(){ :|:& };:; sleep 100", limits);
  EXPECT_TRUE(ran.ending == Ending::process_limit || ran.ending == Ending::wall_limit ||
              ran.ending == Ending::time_limit)
      << to_string(ran.ending);
  EXPECT_EQ(python("print(1)").out, "1\n");
}

TEST_P(Escapes, TheReportIsHonest) {
  const Execution ran = python("print(1)");
  for (const char* name : {"user", "mount", "pid", "net", "ipc", "uts", "cgroup", "seccomp",
                           "landlock", "rlimits", "no_new_privs", "capabilities", "uid"}) {
    bool named_missing = false;
    for (const auto& layer : ran.isolation.missing) {
      named_missing = named_missing || layer.layer == name;
      EXPECT_FALSE(layer.why.empty());
      EXPECT_FALSE(layer.remedy.empty());
    }
    EXPECT_NE(has(name), named_missing) << name;
  }
  if (must_work("SANDBOX_MUST_WORK") && std::string(GetParam()) == "root") {
    EXPECT_TRUE(ran.isolation.missing.empty()) << ran.isolation.missing.front().layer;
  }
}

TEST(Isolation, AFloorThatIsNotMetIsRefusedByName) {
  setenv("PROCTOR_SANDBOX_WORLD", "reduced", 1);
  SandboxConfig strict;
  strict.strict = true;
  auto made = make_sandbox_pool(strict);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::missing);
  EXPECT_THAT(made.error().message, HasSubstr("pid"));
  SandboxConfig floor;
  floor.require = {"seccomp", "net"};
  made = make_sandbox_pool(floor);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("'net'"));
  floor.require = {"seccomp"};
  EXPECT_TRUE(make_sandbox_pool(floor));
  floor.require = {"secomp"};
  made = make_sandbox_pool(floor);
  unsetenv("PROCTOR_SANDBOX_WORLD");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::bad_input);
  EXPECT_THAT(made.error().message, HasSubstr("seccomp"));
}

}  // namespace
}  // namespace proctor
