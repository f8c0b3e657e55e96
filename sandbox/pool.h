// The inside of a SandboxPool: slots, the zygote, and executions on one thread of their own.
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
#include "sandbox/cgroup.h"
#include "sandbox/owned_fd.h"
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sandbox/waiting.h"
#include "sandbox/wire.h"

namespace proctor {

using SteadyTime = std::chrono::steady_clock::time_point;

// What is known of one guest: filled in by the readers of the slot's and the zygote's socket.
struct Guest {
  explicit Guest(asio::io_context& context) : changed(context), out(context), err(context) {}

  std::uint64_t id = 0;
  Bell changed;
  Output out, err;
  OwnedFd channel;  // to a parked or live Python
  int pid = 0;
  bool exited = false;
  int status = 0;
  std::chrono::microseconds cpu{0};
  std::int64_t peak_memory = 0;
  bool failed = false;
  wire::Stage stage{};
  int error = 0;
  int cells_done = 0;  // live session: answers received
  bool raised = false;
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
  GuestRef parked;  // a Python that waits for its program
};
using SlotRef = std::shared_ptr<Slot>;

// One program to start in a slot.
struct Program {
  std::vector<std::string> arguments;  // empty: the parked Python runs `code`
  std::string code;
  std::vector<std::string> code_arguments;
  std::string code_file;  // where `code` goes below the box; "" for Python
  bool code_executable = false;
  std::string input;
  std::map<std::string, std::string> files;
  std::vector<std::string> get;  // below work/
  std::string fetch;             // a file below the box that the caller wants in `fetched`
  Limits limits;
};

// The name of a file below the box, as its working directory has it.
std::string from_work(const std::string& file);

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
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Limits limits);
  const Isolation& isolation() const { return isolation_; }
  Limiter& limiter() { return limiter_; }
  asio::io_context& context() { return context_; }

 private:
  friend class PythonSession;
  Async<Result<std::shared_ptr<SandboxSession>>> open_here(Limits limits);
  struct Lodging;
  struct Place;

  // pool.cpp: the world
  Status choose_world();
  Status try_world(World world);
  Status check_floor() const;
  Status prove(Slot& slot);
  void describe_isolation();
  Result<SlotRef> request_slot();
  SlotPlan plan_for(int index) const;
  // slots.cpp
  std::size_t most_slots() const;
  Async<Result<SlotRef>> take_slot();
  void set_going(Async<void> work);  // behind everybody's back; ended before stop() returns
  Async<Status> prepare(SlotRef slot);
  Async<void> recycle(SlotRef slot);
  Async<void> read_slot(SlotRef slot);
  Async<void> read_zygote();
  Async<bool> zygote_ready();
  void bound_zygote_start();
  // With `session` the limits of a live one, else it is for a single program.
  Async<Result<GuestRef>> park(SlotRef slot, const Limits* session);
  Async<void> unpark(SlotRef slot);
  Result<GuestRef> spawn(const SlotRef& slot, const Program& program);
  Result<GuestRef> new_guest(std::array<int, 2>& theirs, std::size_t most);
  void dispatch(const wire::Packet& packet);
  void give_up(SlotRef slot);
  void kill_tree(Slot& slot);
  Async<Status> all_dead(SlotRef slot);
  void put_back(const SlotRef& slot);
  static void accept_prepared(Slot& slot, wire::Packet& packet);
  wire::Message spawn_message(const Slot& slot) const;
  std::string work_directory(const Slot& slot) const;
  // execute.cpp
  Async<Result<Execution>> execute(ExecutionRequest request);
  Async<Result<Execution>> compile_and_run(ExecutionRequest request);
  static Status check_installed(const LanguageInfo& language);
  Async<Result<Execution>> run_program(Program program, std::string* fetched);
  // Whom file work in a workspace is done as; 0: as ourselves.
  std::uint32_t file_uid() const;
  Async<Status> furnish(SlotRef slot, const Program* program);
  Async<std::optional<Ending>> watch(SlotRef slot, GuestRef guest, Limits limits,
                                     std::shared_ptr<TreeWatch> tree, SteadyTime begin, int cell);
  Async<void> read_output(GuestRef guest, bool err);
  Status send_program(Guest& guest, const Program& program, bool with_limits);
  // Whose orphans a run's are: its init's, or in the reduced world the slot's.
  int holder_of(const Slot& slot) const;
  // The limits of each process, for a spawn, park or go message.
  void add_limits(wire::Message& message, const Limits& limits, bool with_cpu = true) const;
  // Kills the tree, takes what it still wrote, and judges.
  Async<Execution> end_guest(SlotRef slot, GuestRef guest, Limits limits,
                             std::shared_ptr<TreeWatch> tree, std::optional<Ending> forced,
                             SteadyTime begin);
  // How it ended and what it used, with its output, which is taken from the guest.
  Execution judge(Slot& slot, Guest& guest, const Limits& limits, const TreeWatch& tree,
                  std::optional<Ending> forced, SteadyTime begin);

  const SandboxConfig config_;
  asio::io_context context_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  Threads thread_;
  std::atomic<bool> stopping_ = false;
  Limiter limiter_;
  const std::size_t room_;  // slots for which there are open files

  World world_ = World::root;
  bool landlock_ = true;
  std::vector<MissingLayer> missing_;
  Isolation isolation_;
  std::unique_ptr<Cgroups> cgroups_;
  OwnedFd filter_;
  std::string python_;
  std::string boxes_;                        // reduced: the directory of the slots' boxes
  std::vector<std::string> trees_, hidden_;  // shown beside the system's own; never shown

  std::vector<SlotRef> slots_;
  std::vector<SlotRef> idle_;
  std::size_t sessions_ = 0;
  Bell slot_ready_{context_};
  std::map<std::uint64_t, std::weak_ptr<Guest>> guests_;
  std::uint64_t last_id_ = 0;
  bool park_ahead_ = false;  // once somebody has run Python

  enum class ZygoteState { none, starting, ready, unusable };
  ZygoteState zygote_state_ = ZygoteState::none;
  WatchedFd zygote_{context_};
  OwnedFd zygote_process_;
  Bell zygote_changed_{context_};
  asio::steady_timer zygote_deadline_{context_};
  int zygote_deaths_ = 0;

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
