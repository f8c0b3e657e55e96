// The run directory when things go wrong around it: kill -9, a full disk, a read-only one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "runtime/store.h"
#include "tests/support/await.h"
#include "tests/support/must_work.h"
#include "tests/support/scratch.h"
#include "tests/support/trajectories.h"

namespace proctor {
namespace {

std::string read_all(int descriptor) {
  std::string text;
  char block[1 << 14];
  for (ssize_t got; (got = ::read(descriptor, block, sizeof block)) > 0;)
    text.append(block, static_cast<std::size_t>(got));
  return text;
}

// Runs `work` in a forked child, which may do to itself what a test process may not; gives what it
// says. "" is all right, "skip: ..." a reason not to look.
template <class Work>
std::string in_child(Work work) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    std::string said;
    try {
      said = work();
    } catch (const std::exception& error) {
      said = error.what();
    }
    (void)!::write(ends[1], said.data(), said.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status)) said += "; the child died of signal " + std::to_string(WTERMSIG(status));
  return said;
}

#define EXPECT_FINE_IN_CHILD(said)                                 \
  if (const std::string text = (said); text.starts_with("skip: ")) \
    cannot_run("SANDBOX_MUST_WORK", text.substr(6));               \
  else                                                             \
    EXPECT_EQ(text, "")

// --- kill -9 ---

constexpr int kTurns = 4;
constexpr int kInFlight = 8;

void say(int descriptor, const std::string& line) {
  const std::string text = line + "\n";
  if (::write(descriptor, text.data(), text.size()) < 0) ::_exit(3);
}

Async<void> roll_out(Store* store, Trajectory so_far, int report) {
  for (int turn = static_cast<int>(so_far.turns.size()); turn < kTurns; ++turn) {
    TurnRef made = make_turn(turn);
    const Status written = co_await store->append_turn(so_far.id, made);
    if (!written) ::_exit(4);
    so_far.turns.push_back(made);
    say(report, "turn " + so_far.id + " " + std::to_string(turn));
  }
  const std::string id = so_far.id;
  Trajectory whole = make_finished(so_far.task_id, so_far.sample, 0);
  whole.turns = so_far.turns;
  TrajectoryRef finished = shared(std::move(whole));
  const Status done = co_await store->finish(finished);
  if (!done) ::_exit(5);
  say(report, "finished " + id);
}

Async<void> roll_out_for_ever(Store* store, std::vector<Trajectory> unfinished, int* next,
                              int report) {
  for (auto& so_far : unfinished) co_await roll_out(store, std::move(so_far), report);
  for (;;) {
    Trajectory start = make_start("task" + std::to_string((*next)++));
    TrajectoryRef begun = shared(start);
    const Status written = co_await store->begin(begun);
    if (!written) ::_exit(6);
    co_await roll_out(store, std::move(start), report);
  }
}

// What a run does: goes on with what is unfinished, then takes new tasks, until it is killed.
[[noreturn]] void write_until_killed(const std::string& run, int report) {
  auto store = Store::open(run, Store::Access::write);
  if (!store) {
    say(report, "error " + store.error().message);
    ::_exit(2);
  }
  auto rows = (*store)->rows();
  auto unfinished = (*store)->unfinished();
  if (!rows || !unfinished) ::_exit(7);
  int next = static_cast<int>(rows->size() + unfinished->size());
  std::vector<std::vector<Trajectory>> shares(kInFlight);
  for (std::size_t i = 0; i < unfinished->size(); ++i)
    shares[i % kInFlight].push_back(std::move((*unfinished)[i]));
  asio::io_context context;
  for (auto& share : shares)
    asio::co_spawn(context, roll_out_for_ever(store->get(), std::move(share), &next, report),
                   [](std::exception_ptr) { ::_exit(8); });
  context.run();
  ::_exit(9);
}

struct Promised {
  std::set<std::string> finished;
  std::map<std::string, int> turns;  // highest confirmed
};

void note(const std::string& report, Promised& promised) {
  std::istringstream lines(report);
  for (std::string kind, id; lines >> kind;) {
    if (kind == "error") {
      std::string why;
      std::getline(lines, why);
      ADD_FAILURE() << why;
    } else if (kind == "finished") {
      lines >> id;
      EXPECT_TRUE(promised.finished.insert(id).second) << id << " was rolled out twice";
    } else {
      int turn = 0;
      lines >> id >> turn;
      EXPECT_TRUE(!promised.turns.contains(id) || promised.turns[id] < turn)
          << id << ": turn " << turn << " was done twice";
      promised.turns[id] = turn;
    }
  }
}

void expect_kept(const std::string& run, const Promised& promised) {
  auto store = Store::open(run, Store::Access::read);
  ASSERT_TRUE(store) << store.error().message;
  auto rows = (*store)->rows();
  auto unfinished = (*store)->unfinished();
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_TRUE(unfinished) << unfinished.error().message;
  std::map<std::string, int> kept;
  for (const auto& row : *rows) {
    EXPECT_TRUE(kept.emplace(row.id, row.turns).second) << row.id << " is there twice";
    EXPECT_EQ(row.turns, kTurns);
  }
  for (const auto& so_far : *unfinished)
    EXPECT_TRUE(kept.emplace(so_far.id, static_cast<int>(so_far.turns.size())).second)
        << so_far.id << " is finished and unfinished";
  std::set<std::string> finished;
  for (const auto& row : *rows) finished.insert(row.id);
  for (const auto& id : promised.finished) EXPECT_TRUE(finished.contains(id)) << id << " is lost";
  for (const auto& [id, turn] : promised.turns)
    EXPECT_GT(kept[id], turn) << "a turn of " << id << " is lost";
}

TEST(StoreSurvival, KeepsWhatItConfirmedThroughFiftyKills) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  ASSERT_TRUE(Store::create(run, json::object{{"seed", 1}}));
  std::mt19937 random(20260101);
  Promised promised;
  for (int kill = 0; kill < 50; ++kill) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    // Nothing may wait for a reader: what was said before the kill is all in the pipe.
    ::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(run, ends[1]);
    }
    ::close(ends[1]);
    ::usleep(1000 * std::uniform_int_distribution<int>(1, 120)(random));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the writer gave up: " << WEXITSTATUS(status);
    note(read_all(ends[0]), promised);
    ::close(ends[0]);
    if (kill % 10 == 9) expect_kept(run, promised);
  }
  expect_kept(run, promised);
  EXPECT_GT(promised.finished.size(), 50u) << "too little happened between the kills";

  auto store = Store::open(run, Store::Access::read);
  ASSERT_TRUE(store);
  std::size_t read = 0;
  auto all = (*store)->for_each([&read](Trajectory whole) -> Status {
    const Trajectory undisturbed = make_finished(whole.task_id, 0, kTurns);
    EXPECT_EQ(json::serialize(to_json(whole)), json::serialize(to_json(undisturbed)));
    ++read;
    return {};
  });
  EXPECT_TRUE(all) << all.error().message;
  EXPECT_GE(read, promised.finished.size());
}

TEST(StoreSurvival, LocksOutASecondProcessAndNamesTheFirst) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  auto store = Store::create(run, json::object{});
  ASSERT_TRUE(store);
  const std::string said = in_child([&run]() -> std::string {
    auto second = Store::open(run, Store::Access::write);
    return second ? "opened" : second.error().message;
  });
  EXPECT_EQ(said.find(run + ": in use by process " + std::to_string(::getpid()) + " on "), 0u)
      << said;
  const std::string reading = in_child([&run]() -> std::string {
    auto reader = Store::open(run, Store::Access::read);
    return reader ? "" : reader.error().message;
  });
  EXPECT_EQ(reading, "") << "reading locks nobody out";
}

// --- a disk without room ---

// Writes big records until one is refused; gives the refusal, and how many were confirmed before.
std::pair<std::string, int> fill(Store& store) {
  std::mt19937 random(1);
  for (int i = 0; i < 10'000; ++i) {
    Trajectory whole = make_finished("t" + std::to_string(i));
    std::string noise;
    for (int k = 0; k < 8000; ++k) noise += static_cast<char>('a' + random() % 26);
    whole.outcome.answer = noise;
    const Status written = await(store.finish(shared(whole)));
    if (!written) return {written.error().message, i};
  }
  return {"", 10'000};
}

// The whole story on a disk that fills up: a sentence, and everything confirmed is still there.
std::string fill_and_look(const std::string& run, const std::string& expected) {
  int kept = 0;
  {
    auto store = Store::create(run, json::object{});
    if (!store) return store.error().message;
    auto [message, confirmed] = fill(**store);
    if (message.find(expected) == std::string::npos) return "expected a sentence, got: " + message;
    if (message.find("is kept") == std::string::npos) return "does not say what is kept";
    if (confirmed == 0) return "nothing fitted";
    kept = confirmed;
    auto rows = (*store)->rows();
    if (!rows) return "rows while full: " + rows.error().message;
    if (static_cast<int>(rows->size()) != kept)
      return "kept " + std::to_string(rows->size()) + " of " + std::to_string(kept);
  }
  auto store = Store::open(run, Store::Access::read);
  if (!store) return "open while full: " + store.error().message;
  auto rows = (*store)->rows();
  if (!rows) return "rows when opened again: " + rows.error().message;
  if (static_cast<int>(rows->size()) != kept) return "lost some after opening again";
  auto one = (*store)->read(rows->back().id);
  if (!one || !*one) return "a record cannot be read";
  return "";
}

// A mount of our own that nobody else sees.
std::string mount_tmpfs(const std::string& directory, const char* options) {
  if (::unshare(CLONE_NEWNS) != 0) return "skip: no mount namespace here";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", directory.c_str(), "tmpfs", 0, options) != 0)
    return "skip: tmpfs cannot be mounted here";
  return "";
}

TEST(StoreSurvival, SaysThatTheDiskIsFullAndKeepsWhatIsFinished) {
  Scratch scratch;
  EXPECT_FINE_IN_CHILD(in_child([&]() -> std::string {
    if (auto skip = mount_tmpfs(scratch.path(), "size=1m"); !skip.empty()) return skip;
    return fill_and_look(scratch.path("run"), "the disk is full");
  }));
}

TEST(StoreSurvival, GoesOnWhenThereIsRoomAgain) {
  Scratch scratch;
  EXPECT_FINE_IN_CHILD(in_child([&]() -> std::string {
    if (auto skip = mount_tmpfs(scratch.path(), "size=1m"); !skip.empty()) return skip;
    auto store = Store::create(scratch.path("run"), json::object{});
    if (!store) return store.error().message;
    const int kept = fill(**store).second;
    if (::mount("tmpfs", scratch.path().c_str(), "tmpfs", MS_REMOUNT, "size=4m") != 0)
      return "cannot grow";
    const Status written = await((*store)->finish(shared(make_finished("later"))));
    if (!written) return "still refused: " + written.error().message;
    auto rows = (*store)->rows();
    return static_cast<int>(rows->size()) == kept + 1 ? "" : "lost some";
  }));
}

TEST(StoreSurvival, SaysThatAFileMayNotGrow) {
  Scratch scratch;
  EXPECT_FINE_IN_CHILD(in_child([&]() -> std::string {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return "no file size limit can be set";
    return fill_and_look(scratch.path("run"), "no room to write: File too large");
  }));
}

// --- a directory that cannot be written ---

TEST(StoreSurvival, IsReadFromAReadOnlyDisk) {
  Scratch scratch;
  EXPECT_FINE_IN_CHILD(in_child([&]() -> std::string {
    if (auto skip = mount_tmpfs(scratch.path(), "size=4m"); !skip.empty()) return skip;
    const std::string run = scratch.path("run");
    {
      auto store = Store::create(run, json::object{});
      if (!store) return store.error().message;
      if (!await((*store)->finish(shared(make_finished("a"))))) return "not written";
    }
    if (::mount("tmpfs", scratch.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) != 0)
      return "cannot remount";
    auto reading = Store::open(run, Store::Access::read);
    if (!reading) return "reading: " + reading.error().message;
    auto rows = (*reading)->rows();
    if (!rows) return "rows: " + rows.error().message;
    if (rows->size() != 1) return "rows are missing";
    auto writing = Store::open(run, Store::Access::write);
    if (writing) return "opened for writing";
    const std::string expected = run + ": cannot be written to: Read-only file system";
    return writing.error().message == expected ? "" : writing.error().message;
  }));
}

TEST(StoreSurvival, SaysWhyADirectoryCannotBeMade) {
  Scratch scratch;
  EXPECT_FINE_IN_CHILD(in_child([&]() -> std::string {
    if (auto skip = mount_tmpfs(scratch.path(), "ro"); !skip.empty()) return skip;
    auto store = Store::create(scratch.path("run"), json::object{});
    if (store) return "created";
    const std::string expected = scratch.path("run") + ": cannot be made: Read-only file system";
    return store.error().message == expected ? "" : store.error().message;
  }));
}

TEST(StoreSurvival, SaysThatATruncatedStoreIsDamaged) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  {
    auto store = Store::create(run, json::object{});
    for (int i = 0; i < 200; ++i)
      ASSERT_TRUE(await((*store)->finish(shared(make_finished("t" + std::to_string(i))))));
  }
  const auto size = std::filesystem::file_size(run + "/trajectories.db");
  std::filesystem::resize_file(run + "/trajectories.db", size / 2);
  auto store = Store::open(run, Store::Access::read);
  Status outcome;
  if (!store) {
    outcome = std::move(store).error();
  } else {
    outcome = (*store)->for_each([](Trajectory) -> Status { return {}; });
  }
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::bad_input);
  EXPECT_NE(outcome.error().message.find("damaged"), std::string::npos) << outcome.error().message;
}

}  // namespace
}  // namespace proctor
