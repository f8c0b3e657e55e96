// The inside of a SandboxPool: slots, zygotes, and executions on one thread of their own.
// Other threads call `start`, `stop`, `run`, `open_session`, `isolation` and `limiter` only.
#pragma once

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <map>
#include <set>
#include <thread>

#include "runtime/core/threads.h"
#include "sandbox/box_watch.h"
#include "sandbox/cgroup.h"
#include "sandbox/owned_fd.h"
#include "sandbox/plan.h"
#include "sandbox/proxy.h"
#include "sandbox/sandbox.h"
#include "sandbox/tree_watch.h"
#include "sandbox/waiting.h"
#include "sandbox/wire.h"
#include "sandbox/zygote.h"

namespace proctor {

using SteadyTime = std::chrono::steady_clock::time_point;

// What is known of one guest: filled in by the readers of the slot's and the zygote's socket.
struct Guest {
  explicit Guest(asio::io_context& context) : changed(context), out(context), err(context) {}

  std::uint64_t id = 0;
  Bell changed;
  Output out, err;
  OwnedFd channel;              // to a parked Python or a live session
  std::optional<Profile> from;  // the zygote that forked it
  int pid = 0, main_pid = 0;    // the former is taken by the watch of its tree
  OwnedFd process;              // a live session's pidfd
  bool exited = false;
  int status = 0;
  std::chrono::microseconds cpu{0};
  std::int64_t peak_memory = 0;
  bool failed = false;
  wire::Stage stage{};
  int error = 0;
  int cells_done = 0;  // live session: answers received
  bool raised = false, drew = false;
  std::optional<int> fork_error;  // live session: how its fork went
  bool resumed = false;           // and whether it goes on after it
};
using GuestRef = std::shared_ptr<Guest>;

// The parent's side of one slot process.
struct Slot {
  explicit Slot(asio::io_context& context) : socket(context), changed(context) {}
  ~Slot();  // gives the index back
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  int index = -1;
  std::uint32_t host_uid = 0;
  WatchedFd socket;
  Bell changed;
  OwnedFd process;  // the slot's pidfd
  int pid = 0;
  bool asked = false;  // there is such a process, though its pidfd may still be on the way
  bool gone = false;
  std::unique_ptr<Cgroup> cgroup;

  // The prepared run.
  std::uint64_t prepared = 0, resized = 0, killed = 0;  // the last answer's id
  std::uint64_t failed = 0;
  std::uint64_t kill_asked = 0;  // reduced: the last request's id
  wire::Stage stage{};
  int error = 0;
  OwnedFd init;  // pidfd of the run's init (full mode)
  int init_pid = 0;
  OwnedFd box;      // the workspace's directory
  OwnedFd ruleset;  // Landlock
  std::int64_t box_bytes = 0;
  int box_inodes = 0;
  std::shared_ptr<Proxy> proxy;     // of a run with a network
  GuestRef parked;                  // a Python that waits for its program
  Profile profile = Profile::thin;  // of the last Python here

  // A session's fork is a slot without a process of its own: that of the session it stems from
  // serves it. There, how many of them live, and what is being answered.
  std::shared_ptr<Slot> origin;
  std::vector<std::weak_ptr<Slot>> forks;
  std::vector<SteadyTime> buried;  // when the last ones ended
  std::uint64_t allowed = 0, adopted = 0, listening = 0;
  OwnedFd adopted_box, listener;
  bool forking = false;
};
using SlotRef = std::shared_ptr<Slot>;

// What a live session was opened with.
struct LiveSettings {
  Language language = Language::python;
  Limits limits;         // also of what it does between cells
  Milliseconds idle{0};  // it ends when nobody uses it for so long; 0: never
};
inline constexpr std::size_t kMostSessions = 256;  // live at once, forks counted in
inline constexpr int kMostForks = 1024;  // processes and threads of all forks of a session

// One program to start in a slot.
struct Program {
  std::vector<std::string> arguments;  // empty: the parked Python runs `code`
  std::string code;
  std::vector<std::string> code_arguments;
  std::string code_file;  // where `code` goes below the box; "" for Python
  bool code_executable = false;
  std::string input;
  std::vector<std::string> environment;  // beside what all have
  std::map<std::string, std::string> files;
  std::vector<std::string> get;  // below work/
  std::string fetch;             // a file below the box that the caller wants in `fetched`
  Limits limits;
};

// The name of a file below the box, as its working directory has it.
std::string from_work(const std::string& file);

// Why a guest of ours is gone that has not ended by itself.
std::string why_lost(const Slot& slot, const Guest& guest);

// stdin of a guest: a sealed copy, or the null device.
Result<OwnedFd> input_descriptor(std::string_view input);

class Core : public std::enable_shared_from_this<Core> {
 public:
  explicit Core(SandboxConfig config);
  ~Core();

  // Finds the best world, makes the first slot, starts the thread.
  Status start();
  void stop();

  Async<Result<Execution>> run(ExecutionRequest request);  // from any executor
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language language, Limits limits,
                                                              Milliseconds idle);
  Error busy() const;
  const Isolation& isolation() const { return isolation_; }
  Limiter& limiter() { return limiter_; }
  asio::io_context& context() { return context_; }

 private:
  friend class LiveSession;
  struct Home;
  struct Live;
  using LiveRef = std::shared_ptr<Live>;
  struct Lodging;
  struct Place;

  // pool.cpp: the world
  Status choose_world();
  Status try_world(World world);
  Status check_floor() const;
  Status prove(Slot& slot);
  void describe_isolation();
  Result<SlotRef> request_slot();
  Result<SlotRef> new_slot() const;  // a number, a cgroup, no process
  SlotPlan plan_for(int index) const;
  // slots.cpp
  std::size_t most_slots() const;
  Async<Result<SlotRef>> take_slot();
  void set_going(Async<void> work);  // behind everybody's back; ended before stop() returns
  Async<Status> prepare(SlotRef slot);
  Async<void> recycle(SlotRef slot);
  Async<void> read_slot(SlotRef slot);
  Zygote& zygote(Profile profile) { return *zygotes_[static_cast<std::size_t>(profile)]; }
  Async<bool> zygote_ready(Profile profile);
  // With `session` the limits of a live one, else it is for a single program.
  Async<Result<GuestRef>> park(SlotRef slot, Profile profile, const Limits* session);
  Result<GuestRef> start_waiting(const SlotRef& slot, Zygote* zygote,
                                 const std::vector<std::string>& arguments, const Limits* session);
  std::vector<std::string> environment_of(const Slot& slot) const;
  Async<void> unpark(SlotRef slot);
  Result<GuestRef> spawn(const SlotRef& slot, const Program& program);
  Result<GuestRef> new_guest(std::array<int, 2>& theirs, std::size_t most);
  // A socket to the guest, whose other end is `theirs`.
  static Status open_channel(Guest& guest, OwnedFd& theirs);
  bool dispatch(const wire::Packet& packet);
  void give_up(SlotRef slot);
  void kill_tree(Slot& slot);
  Async<Status> all_dead(SlotRef slot);
  void put_back(const SlotRef& slot);
  wire::Message spawn_message(const Slot& slot) const;
  std::string work_directory(const Slot& slot) const;
  // session.cpp
  Async<Result<LiveRef>> open_here(LiveSettings settings);
  Async<Result<LiveRef>> live_in(SlotRef slot, LiveSettings settings);
  LiveRef begin_live(std::shared_ptr<Home> home, GuestRef guest, LiveSettings settings,
                     WatchedFd channel);
  Async<void> read_channel(LiveRef live);
  Async<void> watch_between_cells(LiveRef live);
  Async<Result<Execution>> run_cell(LiveRef live, std::string code, Limits limits);
  void kill_session(const Live& live);
  void let_go(Live& live);
  // fork.cpp
  Async<Result<LiveRef>> fork_live(LiveRef live);
  Async<Result<LiveRef>> fork_now(LiveRef live);
  Async<Status> clone_session(LiveRef live, std::vector<int> fds, SteadyTime deadline);
  Async<Status> settle(LiveRef live, SlotRef fork, GuestRef guest, SteadyTime deadline);
  Async<Status> ask_slot(SlotRef origin, wire::Message message, std::vector<int> fds = {});
  Async<Status> vet(SlotRef origin);
  Async<void> vet_later(SlotRef origin);
  Async<Result<int>> next_sender(Guest& guest, SteadyTime deadline);
  Async<void> bury(SlotRef fork);
  // egress.cpp
  Status check_network(const Limits& limits) const;
  Async<Status> open_network(SlotRef slot, Limits limits);
  // execute.cpp
  Async<Result<Execution>> execute(ExecutionRequest request);
  Async<Result<Execution>> compile_and_run(ExecutionRequest request);
  static Status check_installed(const LanguageInfo& language);
  Async<Result<GuestRef>> begin_program(SlotRef slot, Program* program, SteadyTime* begin);
  Async<Result<Execution>> run_program(Program program, std::string* fetched);
  Async<Result<Execution>> run_once(Program* program, std::string* fetched, bool* began);
  Execution failure(std::string why) const;  // ours
  // Sets the tree's limits; gives up the slot where its groups have been taken away.
  Status begin_counting(const SlotRef& slot, const Limits& limits);
  // Whom file work in a workspace is done as; 0: as ourselves.
  std::uint32_t file_uid() const;
  Async<Status> furnish(SlotRef slot, const Program* program);
  Async<std::optional<Ending>> watch(SlotRef slot, GuestRef guest, Limits limits,
                                     std::shared_ptr<TreeWatch> tree, SteadyTime begin, int cell);
  // What counts against a run's memory where no cgroup does that.
  std::int64_t memory_of(const Slot& slot, const TreeUsage& usage) const;
  // Bytes of files in its workspace that no walk there finds.
  static std::int64_t nameless_of(const TreeUsage& usage, const Limits& limits);
  Async<bool> is_overfull(SlotRef slot, BoxWatch& box);
  std::optional<BoxWatch> watch_of_box(const Limits& limits) const;
  Async<void> read_output(GuestRef guest, bool err);
  Status send_program(Guest& guest, const Program& program, bool with_limits);
  // Whose orphans a run's are: its init's, or in the reduced world the slot's.
  int holder_of(const Slot& slot) const;
  // The limits of each process, for a spawn, park or go message. Of a session's processor time its
  // watcher takes care, cell by cell.
  void add_limits(wire::Message& message, const Limits& limits, bool session = false) const;
  // Kills the tree, takes what it still wrote, and judges.
  Async<Execution> end_guest(SlotRef slot, GuestRef guest, Limits limits,
                             std::shared_ptr<TreeWatch> tree, std::optional<Ending> forced,
                             SteadyTime begin, LiveRef session = nullptr);
  // How it ended and what it used, with its output, which is taken from the guest.
  Execution judge(Slot& slot, Guest& guest, const Limits& limits, const TreeWatch& tree,
                  std::optional<Ending> forced, SteadyTime begin);

  const SandboxConfig config_;
  asio::io_context context_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  Threads thread_;
  std::atomic<bool> stopping_ = false;
  Limiter limiter_;
  std::atomic<double> usual_ms_ = 100;  // of an execution
  const std::size_t room_;              // slots for which there are open files

  World world_ = World::root;
  bool landlock_ = true;
  std::vector<MissingLayer> missing_;
  Isolation isolation_;
  std::unique_ptr<Cgroups> cgroups_;
  struct Filters {
    OwnedFd program, session, inherited;
    FilterFds fds() const { return {program.get(), session.get(), inherited.get()}; }
  };
  Filters slot_filters_, zygote_filters_;
  std::string python_;
  std::string boxes_;                        // reduced: the directory of the slots' boxes
  std::vector<std::string> trees_, hidden_;  // shown beside the system's own; never shown

  std::shared_ptr<Outside> outside_;  // once somebody may go there

  std::vector<SlotRef> slots_;
  std::vector<SlotRef> idle_;
  std::size_t sessions_ = 0;  // with a slot of their own
  std::size_t forks_ = 0;
  Bell slot_ready_{context_};
  std::map<std::uint64_t, std::weak_ptr<Guest>> guests_;
  std::uint64_t last_id_ = 0;
  bool park_ahead_ = false;  // once somebody has run Python

  std::array<std::unique_ptr<Zygote>, kProfiles> zygotes_;

  struct Compiled;
  std::deque<std::shared_ptr<const Compiled>> compiled_;  // most recent first
  std::size_t compiled_bytes_ = 0;
};

// A slot that somebody uses or waits for. Unless it is taken away again, its end kills what runs in
// the slot and makes that ready for others: every wait may be called off, and throws then.
struct Core::Lodging {
  Core* core;
  SlotRef slot;
  Lodging(Core* owner, SlotRef taken) : core(owner), slot(std::move(taken)) {}
  Lodging(const Lodging&) = delete;
  Lodging& operator=(const Lodging&) = delete;
  ~Lodging() {
    if (slot) core->put_back(slot);
  }
};

}  // namespace proctor
