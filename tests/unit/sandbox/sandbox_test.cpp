// The sandbox's words and frames, without any process: limits, requests, records, names, messages.
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/base64.h"
#include "sandbox/box_watch.h"
#include "sandbox/child.h"
#include "sandbox/files.h"
#include "sandbox/filter.h"
#include "sandbox/mounts.h"
#include "sandbox/plan.h"
#include "sandbox/wire.h"

namespace proctor {
namespace {

using testing::HasSubstr;

json::object object_of(const char* text) { return json::parse(text).as_object(); }

TEST(Limits, AreReadOverTheDefaults) {
  auto limits = read_limits(object_of(R"({"time_ms":500,"memory_bytes":104857600,"processes":4})"));
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->cpu, 500ms);
  EXPECT_EQ(limits->wall, Limits{}.wall);
  EXPECT_EQ(limits->memory, 100_MiB);
  EXPECT_EQ(limits->processes, 4);
  EXPECT_EQ(limits->open_files, Limits{}.open_files);
}

TEST(Limits, MoreProcessorTimeBringsWallTimeAlong) {
  EXPECT_EQ(read_limits(object_of(R"({"time_ms":60000})"))->wall, 120s);
  EXPECT_EQ(read_limits(object_of(R"({"time_ms":60000,"wall_ms":1000})"))->wall, 1s);
}

TEST(Limits, OutOfRangeIsNamed) {
  auto limits = read_limits(object_of(R"({"processes":0})"));
  ASSERT_FALSE(limits);
  EXPECT_THAT(limits.error().message, HasSubstr("processes"));
  EXPECT_THAT(limits.error().message, HasSubstr("1"));
  EXPECT_FALSE(read_limits(object_of(R"({"time_ms":"fast"})")));
}

TEST(Requests, AreReadWhole) {
  auto request = read_execution_request(object_of(
      R"({"id":7,"lang":"cpp","code":"x","stdin":"in","files":{"a/b":"aGk="},"get":["c"],)"
      R"("arguments":["1"],"wall_ms":99,"network":"none"})"));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->language, Language::cpp);
  EXPECT_EQ(request->input, "in");
  EXPECT_EQ(request->files.at("a/b"), "hi");
  EXPECT_EQ(request->get, std::vector<std::string>{"c"});
  EXPECT_EQ(request->limits.wall, 99ms);
}

TEST(Requests, UnknownKeysAreRefusedWithTheNearest) {
  auto request = read_execution_request(object_of(R"({"lang":"c","code":"","memory_byte":1})"));
  ASSERT_FALSE(request);
  EXPECT_THAT(request.error().message, HasSubstr("memory_bytes"));
  EXPECT_THAT(read_execution_request(object_of(R"({"lang":"pyton","code":""})")).error().message,
              HasSubstr("python"));
  EXPECT_THAT(read_execution_request(object_of(R"({"lang":"c"})")).error().message,
              HasSubstr("code"));
  EXPECT_FALSE(read_execution_request(object_of(R"({"lang":"c","code":"","files":{"a":"?"}})")));
  auto network = read_execution_request(object_of(R"({"lang":"c","code":"","network":"all"})"));
  EXPECT_EQ(network.error().kind, ErrorKind::bad_input);
}

TEST(Requests, ArgumentsAreWhatAProgramCanBeGiven) {
  json::object object = object_of(R"({"lang":"bash","code":"","arguments":["a\u0000b"]})");
  EXPECT_THAT(read_execution_request(object).error().message, HasSubstr("NUL"));
  object["arguments"] = json::array(511, "x");
  EXPECT_TRUE(read_execution_request(object));
  object["arguments"] = json::array(512, "x");
  EXPECT_THAT(read_execution_request(object).error().message, HasSubstr("511"));
}

TEST(ExecutionRecord, IsTheContracts) {
  Execution execution;
  execution.ending = Ending::nonzero_exit;
  execution.exit_code = 3;
  execution.out = "a\xff\xc3\xa9";
  execution.files["f"] = std::string("\0\1", 2);
  execution.usage = {1.5, 0.5, 4096, 2};
  execution.isolation = {"reduced", {"seccomp"}, {{"pid", "refused", "allow it"}}};
  const json::value record = to_json(execution);
  EXPECT_EQ(record, json::parse(R"({"status":"nonzero_exit","exit_code":3,"signal":null,
    "stdout":"a\ufffd\u00e9","stderr":"","stdout_truncated":false,"stderr_truncated":false,
    "files":{"f":"AAE="},
    "usage":{"wall_ms":1.5,"cpu_ms":0.5,"peak_memory_bytes":4096,"peak_processes":2},
    "isolation":{"level":"reduced","active":["seccomp"],
      "missing":[{"layer":"pid","why":"refused","remedy":"allow it"}]},"denied":[],
    "replaced":["stdout"]})"));
  execution.out = "\xc3\xa9\xef\xbf\xbd";  // printed so by the program itself
  EXPECT_FALSE(to_json(execution).contains("replaced"));
  execution.out = "a\xef\xbf";
  EXPECT_TRUE(to_json(execution).contains("replaced")) << "the program ended it there";
  execution.out_truncated = true;
  EXPECT_EQ(to_json(execution).at("stdout"), "a");
  EXPECT_FALSE(to_json(execution).contains("replaced"));
}

TEST(Base64, GoesThereAndBack) {
  std::string bytes;
  for (int size = 0; size < 300; ++size) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    bytes += static_cast<char>(size * 7);
  }
  EXPECT_EQ(to_base64("hello"), "aGVsbG8=");
  for (const char* bad : {"a", "aGk", "aGk!", "====", "a===", "aG=k", "aGk=aGk="})
    EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(PlaceInView, IsAFilesOwnButWhereTheGuestHasSomethingItself) {
  EXPECT_EQ(place_in_view("/usr/bin/python3"), "/usr/bin/python3");
  EXPECT_EQ(place_in_view("/root/proctor/data/venv"), "/root/proctor/data/venv");
  for (const std::string taken : {"/tmp", "/var/tmp", "/dev/shm", "/box", "/proc"}) {
    EXPECT_EQ(place_in_view(taken + "/checkout/python3"), "/host" + taken + "/checkout/python3");
    EXPECT_EQ(place_in_view(taken + "x/python3"), taken + "x/python3") << "only looks like it";
  }
}

TEST(FileNames, StayInside) {
  for (const char* good : {"a", "a/b.txt", "..a", "a..", "...", "deep/er/er"})
    EXPECT_TRUE(check_file_name(good)) << good;
  for (const char* bad : {"", "/a", "..", "../a", "a/..", "a/../b", ".", "./a", "a//b", "a/"})
    EXPECT_FALSE(check_file_name(bad)) << bad;
  EXPECT_FALSE(check_file_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(check_file_name(std::string(2000, 'a')));
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/files-" + std::to_string(getpid());
    mkdir(path_.c_str(), 0700);
    directory_ = open(path_.c_str(), O_DIRECTORY | O_RDONLY);
  }
  void TearDown() override {
    close(directory_);
    remove_below(path_);
    EXPECT_EQ(rmdir(path_.c_str()), 0);
  }
  std::string path_;
  int directory_ = -1;
};

TEST_F(Files, GoThereAndBack) {
  ASSERT_TRUE(put_file(directory_, "a/b/c", "text", 0));
  EXPECT_EQ(*get_file(directory_, "a/b/c", 100), "text");
  EXPECT_FALSE(get_file(directory_, "a/b/c", 3));
  EXPECT_FALSE(get_file(directory_, "a/b", 100));
}

TEST_F(Files, DeepAndForbiddenTreesAreRemoved) {
  const std::string outside = path_ + "-outside";
  ASSERT_EQ(mkdir(outside.c_str(), 0500), 0);
  ASSERT_EQ(mkdir((path_ + "/top").c_str(), 0700), 0);
  ASSERT_EQ(symlink(outside.c_str(), (path_ + "/top/link").c_str()), 0);
  int at = open((path_ + "/top").c_str(), O_DIRECTORY | O_RDONLY);
  for (int depth = 0; depth < 1000; ++depth) {
    ASSERT_EQ(mkdirat(at, "d", 0700), 0);
    ASSERT_EQ(mkdirat(at, "e", 0), 0);
    const int below = openat(at, "d", O_DIRECTORY | O_RDONLY);
    ASSERT_GE(below, 0);
    close(at);
    at = below;
  }
  ASSERT_EQ(mkdirat(at, "closed", 0700), 0);
  close(openat(at, "closed/file", O_CREAT | O_WRONLY, 0600));
  ASSERT_EQ(fchmodat(at, "closed", 0, 0), 0);
  close(at);
  remove_below(path_);
  EXPECT_NE(access((path_ + "/top").c_str(), F_OK), 0);
  struct stat found{};
  ASSERT_EQ(stat(outside.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0500U);
  rmdir(outside.c_str());
}

TEST_F(Files, LinksAreNeverFollowed) {
  ASSERT_EQ(symlink("/etc", (path_ + "/out").c_str()), 0);
  ASSERT_EQ(symlink("/etc/passwd", (path_ + "/file").c_str()), 0);
  ASSERT_EQ(mkfifo((path_ + "/fifo").c_str(), 0600), 0);
  EXPECT_FALSE(get_file(directory_, "out/passwd", 100000));
  EXPECT_FALSE(get_file(directory_, "file", 100000));
  EXPECT_FALSE(get_file(directory_, "fifo", 100000));
  EXPECT_FALSE(put_file(directory_, "out/x", "", 0));
  EXPECT_FALSE(put_file(directory_, "file", "", 0));
}

TEST_F(Files, HardTreesAreRemoved) {
  ASSERT_TRUE(put_file(directory_, "a/b/c/d", "x", 0));
  ASSERT_EQ(chmod((path_ + "/a/b").c_str(), 0), 0);
  ASSERT_EQ(symlink(path_.c_str(), (path_ + "/a/loop").c_str()), 0);
  remove_below(path_);
  EXPECT_NE(access((path_ + "/a").c_str(), F_OK), 0);
}

// As a guest may have left it; all of it counts, once.
TEST_F(Files, AWorkspaceIsLookedAtWhole) {
  for (const char* name : {"work", "tmp", "shm", "code"})
    ASSERT_EQ(mkdirat(directory_, name, 0700), 0);
  const auto is_over = [&](std::int64_t bytes, std::int64_t inodes) {
    BoxWatch box(bytes, inodes);
    while (!box.look(directory_)) {
    }
    return box.is_over(0);
  };
  EXPECT_FALSE(is_over(64 << 10, 1));
  ASSERT_TRUE(put_file(directory_, "work/a", std::string(100'000, 'x'), 0));
  EXPECT_TRUE(is_over(90'000, 100));
  EXPECT_FALSE(is_over(180'000, 1));
  ASSERT_EQ(linkat(directory_, "work/a", directory_, "tmp/b", 0), 0);
  EXPECT_FALSE(is_over(180'000, 2));
  EXPECT_TRUE(is_over(180'000, 1));
  ASSERT_EQ(symlinkat("/usr", directory_, "work/usr"), 0);
  EXPECT_FALSE(is_over(180'000, 3));
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "shm/" + std::to_string(i);
    ASSERT_TRUE(put_file(directory_, name, "", 0));
  }
  EXPECT_TRUE(is_over(1 << 20, 2002));
  EXPECT_FALSE(is_over(1 << 20, 2003));
  ASSERT_EQ(fchmodat(directory_, "shm", 0, 0), 0);
  EXPECT_TRUE(is_over(1 << 20, 2002));
}

// What system calls answer behind a filter, tried in a child: errno, 0 for success. As the zygote's
// and its guest's, one upon the other, a filter answers the same.
class Filters : public testing::Test {
 protected:
  template <class Try>
  static int errno_behind(const FilterOptions& options, const std::vector<FilterPart>& parts,
                          Try attempt) {
    std::vector<std::string> programs;
    for (const FilterPart part : parts) {
      auto program = build_filter(options, part);
      EXPECT_TRUE(program);
      if (!program) return -1;
      programs.push_back(std::move(*program));
    }
    const pid_t child = fork();
    if (child == 0) {
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(255);
      for (auto& program : programs) {
        sock_fprog filter{static_cast<unsigned short>(program.size() / 8),
                          reinterpret_cast<sock_filter*>(program.data())};
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) _exit(255);
      }
      errno = 0;
      _exit(attempt() < 0 ? errno : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  template <class Try>
  static int errno_of(const FilterOptions& options, Try attempt) {
    const int layered = errno_behind(options, {FilterPart::inherited, FilterPart::own}, attempt);
    const int whole = errno_behind(options, {FilterPart::whole}, attempt);
    EXPECT_EQ(layered, whole);
    return whole;
  }
  const FilterOptions full_, reduced_{.namespaces = false},
      shared_uid_{.namespaces = false, .own_uid = false};
};

TEST_F(Filters, AreSmallEnoughForTheKernel) {
  for (const auto& options : {full_, reduced_, shared_uid_})
    for (const auto part : {FilterPart::whole, FilterPart::inherited, FilterPart::own}) {
      const auto program = build_filter(options, part);
      ASSERT_TRUE(program);
      EXPECT_EQ(program->size() % 8, 0U);
      EXPECT_LT(program->size() / 8, part == FilterPart::own ? 96U : 4096U);
    }
}

TEST_F(Filters, WithoutANetworkThereAreSocketPairsOnly) {
  const auto internet = [] { return socket(AF_INET, SOCK_STREAM, 0); };
  const auto local = [] { return socket(AF_UNIX, SOCK_STREAM, 0); };
  const auto pair = [] {
    int both[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, both);
  };
  EXPECT_EQ(errno_of(full_, internet), 0);
  EXPECT_EQ(errno_of(full_, local), 0);
  EXPECT_EQ(errno_of(reduced_, internet), EAFNOSUPPORT);
  EXPECT_EQ(errno_of(reduced_, local), EAFNOSUPPORT);
  EXPECT_EQ(errno_of(reduced_, pair), 0);
  // An end of a pair of datagrams can send to any socket that has a path.
  const auto pair_of = [](int type) {
    return [type] {
      int both[2];
      return socketpair(AF_UNIX, type, 0, both);
    };
  };
  EXPECT_EQ(errno_of(reduced_, pair_of(SOCK_SEQPACKET | SOCK_CLOEXEC)), 0);
  for (const int type : {int{SOCK_DGRAM}, int{SOCK_RAW}, SOCK_DGRAM | SOCK_NONBLOCK}) {
    EXPECT_EQ(errno_of(reduced_, pair_of(type)), EPERM);
    EXPECT_EQ(errno_of(full_, pair_of(type)), 0);
  }
}

TEST_F(Filters, NoFileIsWatched) {
  EXPECT_EQ(errno_of(full_, [] { return inotify_init1(0); }), EPERM);
  EXPECT_EQ(errno_of(reduced_, [] { return inotify_init1(0); }), EPERM);
}

TEST_F(Filters, NoHugePagesAreTaken) {
  const auto map = [](int flags) {
    return [flags] {
      return mmap(nullptr, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0) ==
                     MAP_FAILED
                 ? -1
                 : 0;
    };
  };
  for (const auto& options : {full_, reduced_}) {
    EXPECT_EQ(errno_of(options, map(0)), 0);
    EXPECT_EQ(errno_of(options, map(MAP_HUGETLB)), EPERM);
    EXPECT_EQ(errno_of(options, [] { return memfd_create("x", MFD_CLOEXEC); }), 0);
    EXPECT_EQ(errno_of(options, [] { return memfd_create("x", MFD_HUGETLB); }), EPERM);
  }
  EXPECT_EQ(errno_of(full_, [] { return shmget(IPC_PRIVATE, 2 << 20, 0600 | SHM_HUGETLB); }),
            EPERM);
}

TEST_F(Filters, WhereNobodyCountsItMemoryIsAProcesssOwn) {
  FilterOptions full = full_, reduced = reduced_;
  full.counted = reduced.counted = false;
  const auto map = [](int flags, int fd) {
    return [=] {
      const int rights = PROT_READ | PROT_WRITE;
      return mmap(nullptr, 4096, rights, flags, fd, 0) == MAP_FAILED ? -1 : 0;
    };
  };
  const auto set = [](int size) {
    return [size] {
      int pair[2], before = 0, after = 0, wanted = 1 << 20;
      socklen_t length = sizeof before;
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
      (void)getsockopt(pair[0], SOL_SOCKET, size, &before, &length);
      if (setsockopt(pair[0], SOL_SOCKET, size, &wanted, sizeof wanted) != 0) return -1;
      (void)getsockopt(pair[0], SOL_SOCKET, size, &after, &length);
      errno = EBUSY;
      return after == before ? 0 : -1;
    };
  };
  const auto grow = [] {
    int ends[2];
    return pipe(ends) != 0 ? -1 : fcntl(ends[0], F_SETPIPE_SZ, 1 << 17) > 0 ? 0 : -1;
  };
  for (const auto& options : {full, reduced}) {
    EXPECT_EQ(errno_of(options, map(MAP_PRIVATE | MAP_ANONYMOUS, -1)), 0);
    EXPECT_EQ(errno_of(options, map(MAP_SHARED, -1)), EBADF);  // a file's, had there been one
    EXPECT_EQ(errno_of(options, map(MAP_SHARED | MAP_ANONYMOUS, -1)), EPERM);
    EXPECT_EQ(errno_of(options, map(MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1)), EPERM);
    EXPECT_EQ(errno_of(options, map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1)), EPERM);
    EXPECT_EQ(errno_of(options, [] { return memfd_create("x", 0); }), ENOSYS);
    EXPECT_EQ(errno_of(options, [] { return shmget(IPC_PRIVATE, 4096, 0600); }), ENOSYS);
    EXPECT_EQ(errno_of(options, grow), EPERM);
    EXPECT_EQ(errno_of(options, set(SO_SNDBUF)), 0);
    EXPECT_EQ(errno_of(options, set(SO_RCVBUF)), 0);
  }
  EXPECT_EQ(errno_of(full_, map(MAP_SHARED | MAP_ANONYMOUS, -1)), 0);
  EXPECT_EQ(errno_of(full_, grow), 0);
}

TEST_F(Filters, LimitsAreOnesOwnAndThatOfCoreFilesStays) {
  rlimit limit{};
  const auto get = [&] { return getrlimit(RLIMIT_CORE, &limit); };
  const auto set = [&](auto resource) {
    return [&limit, resource] { return setrlimit(resource, &limit); };
  };
  for (const auto& options : {full_, reduced_}) {
    EXPECT_EQ(errno_of(options, get), 0);
    // It is told that it was done, and nothing has changed.
    EXPECT_EQ(errno_of(options,
                       [] {
                         rlimit before{}, after{};
                         (void)getrlimit(RLIMIT_CORE, &before);
                         const rlimit other{before.rlim_cur == 0 ? 0 : before.rlim_cur - 1,
                                            before.rlim_max};
                         if (before.rlim_cur != 0 && setrlimit(RLIMIT_CORE, &other) != 0) return -1;
                         (void)getrlimit(RLIMIT_CORE, &after);
                         errno = EBUSY;
                         return after.rlim_cur == before.rlim_cur ? 0 : -1;
                       }),
              0);
    EXPECT_EQ(errno_of(options, set(RLIMIT_FSIZE)), 0);
    EXPECT_EQ(errno_of(options, [] { return prlimit(getppid(), RLIMIT_CPU, nullptr, nullptr); }),
              EPERM);
  }
}

TEST_F(Filters, WhatConfinesGuestsIsRefusedToThem) {
  FilterOptions session = full_;
  session.session = true;
  for (const auto& options : {full_, session, reduced_}) {
    EXPECT_EQ(errno_of(options, [] { return setns(-1, 0); }), EPERM);
    EXPECT_EQ(errno_of(options, [] { return setgroups(0, nullptr); }), EPERM);
    EXPECT_EQ(errno_of(options, [] { return syscall(SYS_seccomp, 0, 0, nullptr); }), EPERM);
    EXPECT_EQ(errno_of(options, [] { return syscall(SYS_landlock_restrict_self, -1, 0); }), EPERM);
    for (const int operation : {PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_SET_DUMPABLE, PR_SET_PTRACER})
      EXPECT_EQ(errno_of(options, [=] { return prctl(operation, 0, 0, 0, 0); }), ENOSYS);
    EXPECT_EQ(errno_of(options, [] { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }), 0);
  }
  const auto clone_as_fork = [] {
    return syscall(SYS_clone, (kForkFlags & ~CLONE_VM & ~CLONE_VFORK) | SIGCHLD, 0, 0, 0, 0);
  };
  EXPECT_EQ(errno_of(full_, clone_as_fork), EPERM);
}

TEST_F(Filters, NoProcessIsMadeAsASibling) {
  for (const auto& options : {full_, reduced_, shared_uid_})
    EXPECT_EQ(errno_of(options,
                       [] {
                         const long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
                         if (pid == 0) _exit(0);
                         return pid;
                       }),
              EPERM);
}

// What Landlock leaves to others before its version 3.
TEST_F(Filters, AFileThatIsOnlyReadIsNotCutWhereLandlockIsOld) {
  const std::string path = testing::TempDir() + "/cut-" + std::to_string(getpid());
  close(open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  FilterOptions old = shared_uid_;
  old.truncation_held = false;
  const auto opened = [&](int flags) {
    return [&path, flags] { return open(path.c_str(), flags, 0600); };
  };
  const auto cut = [&] { return truncate(path.c_str(), 0); };
  EXPECT_EQ(errno_of(shared_uid_, cut), 0);
  EXPECT_EQ(errno_of(old, cut), EPERM);
  for (const int also : {0, O_CREAT}) {
    EXPECT_EQ(errno_of(shared_uid_, opened(O_RDONLY | O_TRUNC | also)), 0);
    EXPECT_NE(errno_of(old, opened(O_RDONLY | O_TRUNC | also)), 0);
    EXPECT_NE(errno_of(old, opened(O_ACCMODE | O_TRUNC | also)), 0);
    EXPECT_EQ(errno_of(old, opened(O_RDONLY | also)), 0);
    EXPECT_EQ(errno_of(old, opened(O_WRONLY | O_TRUNC | also)), 0);
    EXPECT_EQ(errno_of(old, opened(O_RDWR | O_TRUNC | O_CLOEXEC | also)), 0);
  }
  EXPECT_EQ(errno_of(old, [&] { return ftruncate(open(path.c_str(), O_RDWR), 0); }), 0);
  EXPECT_NE(errno_of(old, [&] { return open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 04755); }),
            0);
  unlink(path.c_str());
}

TEST_F(Filters, WithoutNamespacesOthersAreOutOfReach) {
  rlimit limit{};
  const pid_t other = getppid(), self = 0;
  for (const pid_t pid : {other, self}) {
    const int wanted = pid == self ? 0 : EPERM;
    EXPECT_EQ(errno_of(reduced_, [&] { return prlimit(pid, RLIMIT_NOFILE, nullptr, &limit); }),
              wanted);
    EXPECT_EQ(errno_of(reduced_, [&] { return setpriority(PRIO_PROCESS, unsigned(pid), 19); }),
              wanted);
    const sched_param none{};
    EXPECT_EQ(errno_of(reduced_, [&] { return sched_setscheduler(pid, SCHED_IDLE, &none); }),
              wanted);
  }
  EXPECT_EQ(errno_of(reduced_, [] { return setpriority(PRIO_USER, 0, 19); }), EPERM);
  EXPECT_EQ(errno_of(reduced_, [] { return shmget(IPC_PRIVATE, 4096, 0600); }), ENOSYS);
  EXPECT_EQ(errno_of(reduced_, [] { return msgget(IPC_PRIVATE, 0600); }), ENOSYS);
}

TEST_F(Filters, NoFileIsMadeThatRunsAsSomebody) {
  const std::string path = testing::TempDir() + "/set-id-" + std::to_string(getpid());
  const auto make = [&](mode_t mode) {
    return [&path, mode] { return open(path.c_str(), O_CREAT | O_WRONLY, mode); };
  };
  const auto change = [&](mode_t mode) {
    return [&path, mode] { return chmod(path.c_str(), mode); };
  };
  for (const auto& options : {full_, reduced_}) {
    EXPECT_NE(errno_of(options, make(04755)), 0);
    EXPECT_NE(errno_of(options, make(02755)), 0);
    EXPECT_EQ(errno_of(options, make(0755)), 0);
    EXPECT_EQ(errno_of(options, change(04755)), EPERM);
    EXPECT_EQ(errno_of(options, change(02755)), EPERM);
    EXPECT_EQ(errno_of(options, change(0700)), 0);
    // Without O_CREAT the mode is whatever the register holds.
    EXPECT_EQ(
        errno_of(options,
                 [&] { return syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY, 07777); }),
        0);
    EXPECT_EQ(errno_of(options, [] { return syscall(SYS_sync); }), 0);
  }
  EXPECT_EQ(errno_of(shared_uid_, change(0700)), EPERM);
  EXPECT_EQ(errno_of(shared_uid_, [&] { return chown(path.c_str(), getuid(), getgid()); }), EPERM);
  EXPECT_EQ(errno_of(shared_uid_, [&] { return utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }),
            EPERM);
  EXPECT_EQ(errno_of(shared_uid_, [&] { return futimens(open(path.c_str(), O_RDONLY), nullptr); }),
            0);
  unlink(path.c_str());
}

class Frames : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair_), 0);
  }
  void TearDown() override {
    close(pair_[0]);
    close(pair_[1]);
  }
  static int open_descriptors() {
    int open = 0;
    for (int fd = 0; fd < 512; ++fd) open += fcntl(fd, F_GETFD) >= 0;
    return open;
  }
  int pair_[2];
};

TEST_F(Frames, CarryTextAndDescriptors) {
  wire::Message message;
  message.kind = wire::Kind::spawn;
  message.id = 77;
  const int fds[2] = {0, 1};
  ASSERT_EQ(wire::send_message(pair_[0], message, "text", 4, fds, 2), 0);
  auto packet = std::make_unique<wire::Packet>();
  ASSERT_EQ(wire::receive_message(pair_[1], *packet), 1);
  EXPECT_EQ(packet->message.id, 77U);
  EXPECT_EQ(std::string(packet->text, packet->message.text_size), "text");
  EXPECT_EQ(packet->n_fds, 2);
  packet->close_fds();
}

TEST_F(Frames, ASpawnMessageNamesNothingBeyondItself) {
  wire::Packet packet;
  const std::string text("/box/work\0/bin/true\0A=b\0", 24);
  std::memcpy(packet.text, text.data(), text.size());
  packet.message.text_size = static_cast<std::uint32_t>(text.size());
  packet.message.n_arguments = packet.message.n_environment = 1;
  packet.message.n_cgroups = 2;
  packet.n_fds = 5;
  for (int i = 0; i < packet.n_fds; ++i) packet.fds[i] = 100 + i;
  child::Spawn spawn;
  ASSERT_TRUE(child::read_spawn(packet, spawn));
  EXPECT_STREQ(spawn.directory, "/box/work");
  EXPECT_STREQ(spawn.arguments[0], "/bin/true");
  EXPECT_STREQ(spawn.environment[0], "A=b");
  EXPECT_EQ(spawn.environment[1], nullptr);
  EXPECT_EQ(spawn.cgroups[1], 104);
  const auto refused = [&](auto change) {
    wire::Packet changed = packet;
    change(changed);
    return !child::read_spawn(changed, spawn);
  };
  EXPECT_TRUE(refused([](auto& other) { other.message.n_cgroups = 3; })) << "no descriptor is two";
  EXPECT_TRUE(refused([](auto& other) { other.message.n_environment = 2; }));
  EXPECT_TRUE(refused([](auto& other) { other.message.n_arguments = 5000; }));
  EXPECT_TRUE(refused([](auto& other) { other.message.text_size -= 1; })) << "an open end";
  EXPECT_TRUE(refused([](auto& other) { other.message.text_size = 0; }));
}

TEST(Plans, AreReadAsWrittenOrRefused) {
  SlotPlan plan;
  plan.trees = {"/opt/python"};
  plan.host_uid = 7;
  auto read = read_plan(write_plan(plan));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(write_plan(*read), write_plan(plan));
  for (const char* bad : {"", "[]", "{}", R"({"world":9})", R"({"world":)"})
    EXPECT_FALSE(read_plan(bad)) << bad;
}

TEST_F(Frames, HalfAForeignOrAnOverfullOneIsDroppedWithItsDescriptors) {
  const int before = open_descriptors();
  auto packet = std::make_unique<wire::Packet>();
  wire::Message message;
  const auto send_raw = [&](const void* bytes, std::size_t size, int n_fds) {
    iovec part{const_cast<void*>(bytes), size};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    std::vector<char> control(CMSG_SPACE(sizeof(int) * 64));
    if (n_fds > 0) {
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(sizeof(int) * static_cast<std::size_t>(n_fds));
      cmsghdr* entry = CMSG_FIRSTHDR(&header);
      entry->cmsg_level = SOL_SOCKET;
      entry->cmsg_type = SCM_RIGHTS;
      entry->cmsg_len = CMSG_LEN(sizeof(int) * static_cast<std::size_t>(n_fds));
      for (int i = 0; i < n_fds; ++i) std::memcpy(CMSG_DATA(entry) + i * 4, &pair_[0], 4);
    }
    ASSERT_EQ(sendmsg(pair_[0], &header, 0), static_cast<ssize_t>(size));
    EXPECT_EQ(wire::receive_message(pair_[1], *packet), -1);
    EXPECT_EQ(errno, EPROTO);
  };
  send_raw(&message, sizeof message / 2, 3);
  send_raw(&message, 0, 2);  // and not the end of the other side
  message.magic = 1;
  send_raw(&message, sizeof message, 3);
  message.magic = wire::kMagic;
  message.text_size = 5;
  send_raw(&message, sizeof message, 0);
  message.text_size = 0;
  message.n_limits = wire::kMostLimits + 1;
  send_raw(&message, sizeof message, 1);
  message.n_limits = 0;
  send_raw(&message, sizeof message, 60);
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace proctor
