// A live Python: one guest that takes program after program over its channel. It has a slot of its
// own for as long as it lives, and counts against the executions at once only while a cell runs.
#include <fcntl.h>
#include <sys/wait.h>

#include "sandbox/crossing.h"
#include "sandbox/files.h"
#include "sandbox/pool.h"

namespace proctor {

class PythonSession final : public SandboxSession {
 public:
  PythonSession(std::shared_ptr<Core> core, SlotRef slot, GuestRef guest, WatchedFd channel,
                const Limits& limits)
      : core_(std::move(core)),
        live_(std::make_shared<Live>(std::move(slot), std::move(guest), std::move(channel))) {
    live_->tree = std::make_shared<TreeWatch>(core_->holder_of(*live_->slot), std::vector<int>{},
                                              live_->slot->host_uid);
    core_->set_going(watch_between_cells(core_.get(), live_, limits));
  }

  ~PythonSession() override { close(); }

  Async<Result<Execution>> run(std::string code, Limits limits,
                               std::function<void()> started) override {
    auto lease = co_await core_->limiter().acquire();
    if (!lease) co_return std::move(lease).error();
    if (started) started();
    auto work = run_cell(core_, live_, std::move(code), limits);
    auto there = run_on(&core_->context(), std::move(work));
    co_return co_await std::move(there);
  }
  bool alive() const override { return live_->alive; }

 private:
  // What the cell's coroutine and the reader share; it may outlive the session by a moment.
  struct Live {
    Live(SlotRef its_slot, GuestRef its_guest, WatchedFd its_channel)
        : slot(std::move(its_slot)), guest(std::move(its_guest)), channel(std::move(its_channel)) {}
    // The interpreter may be nobody's child that the tree is known by.
    TreeUsage usage() {
      if (slot->cgroup) return {.cpu = slot->cgroup->cpu()};
      if (guest->pid) tree->add_root(std::exchange(guest->pid, 0));
      return tree->look();
    }
    SlotRef slot;
    GuestRef guest;
    WatchedFd channel;
    std::shared_ptr<TreeWatch> tree;
    std::atomic<bool> alive = true;
    // What ended it while nobody waited for it, if that was a limit.
    Ending ended_by = Ending::sandbox_error;
    bool began = false;
    bool in_cell = false;
    int cells_begun = 0;
    bool closed = false;
  };
  using LiveRef = std::shared_ptr<Live>;

  void close() {
    if (core_->stopping_) return;
    asio::post(core_->context(), [core = core_, live = live_] { let_go(*core, *live); });
  }

  static void let_go(Core& core, Live& live) {
    live.alive = false;
    if (std::exchange(live.closed, true)) return;
    boost::system::error_code ignored;
    live.channel.close(ignored);
    live.guest->out.fd.close(ignored);
    live.guest->err.fd.close(ignored);
    if (core.stopping_) return;
    --core.sessions_;
    core.put_back(live.slot);
  }

  // Kills the interpreter when a cell is called off half-way.
  struct Guard {
    Core* core;
    LiveRef live;
    Guard(Core* owner, LiveRef of) : core(owner), live(std::move(of)) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (live) let_go(*core, *live);
    }
  };

  static Async<void> read_channel(LiveRef live) {
    auto packet = std::make_unique<wire::Packet>();
    boost::system::error_code error;
    for (;;) {
      co_await live->channel.async_wait(WatchedFd::wait_read,
                                        asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      const int received =
          wire::receive_message(live->channel.native_handle(), *packet, MSG_DONTWAIT);
      if (received < 0 && (errno == EAGAIN || errno == EPROTO)) continue;
      if (received <= 0) co_return;
      packet->close_fds();
      // The guest's word counts while a cell runs: in between it would only ask for a new account.
      if (packet->message.kind != wire::Kind::done || !live->in_cell) continue;
      live->guest->raised = packet->message.value != 0;
      ++live->guest->cells_done;
      live->guest->changed.ring();
    }
  }

  // Between cells nobody waits for the interpreter, but its threads and children go on. They may
  // use what one cell may; then the session is over.
  static Async<void> watch_between_cells(Core* core, LiveRef live, Limits limits) {
    asio::steady_timer timer(core->context());
    int last_cell = -1;
    std::chrono::microseconds before{0};
    while (!live->closed && !live->slot->gone && !core->stopping_) {
      timer.expires_after(100ms + 10ms * static_cast<int>(core->sessions_));
      boost::system::error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      if (live->closed || live->in_cell) continue;
      const TreeUsage usage = live->usage();
      if (std::exchange(last_cell, live->cells_begun) != live->cells_begun) {
        before = usage.cpu;
        continue;
      }
      const bool counted =
          live->slot->cgroup != nullptr;  // then the kernel refuses what is too much
      if (usage.cpu - before >= limits.cpu)
        live->ended_by = Ending::time_limit;
      else if (!counted && usage.tasks > limits.processes)
        live->ended_by = Ending::process_limit;
      else if (!counted && usage.memory > count(limits.memory))
        live->ended_by = Ending::memory_limit;
      else
        continue;
      let_go(*core, *live);
    }
  }

  static Async<Result<Execution>> run_cell(std::shared_ptr<Core> core, LiveRef live,
                                           std::string code, Limits limits) {
    if (!live->alive) {
      Execution dead;
      dead.ending = live->ended_by;
      dead.error = "the session is over";
      dead.isolation = core->isolation();
      co_return dead;
    }
    const SlotRef slot = live->slot;
    const GuestRef guest = live->guest;
    Guard guard(core.get(), live);
    Program program;
    program.code = std::move(code);
    program.limits = limits;
    // What was written since the last cell comes with this one.
    for (Output* output : {&guest->out, &guest->err})
      output->keep(static_cast<std::size_t>(count(limits.output)));
    if (slot->cgroup && !slot->cgroup->begin(count(limits.memory), limits.processes))
      co_return internal_error("sandbox: cgroup limits: " + std::string(std::strerror(errno)));
    live->in_cell = true;
    ++live->cells_begun;
    (void)live->usage();
    live->tree->begin();
    const SteadyTime begin = std::chrono::steady_clock::now();
    const int cell = guest->cells_done;
    if (!live->began) {
      live->began = true;
      core->set_going(read_channel(live));
      core->set_going(core->read_output(guest, false));
      core->set_going(core->read_output(guest, true));
    }
    if (auto sent = core->send_program(*guest, program, false); !sent)
      co_return std::move(sent).error();
    const auto tree = live->tree;
    const std::optional<Ending> forced =
        co_await core->watch(slot, guest, limits, tree, begin, cell);
    live->in_cell = false;
    const bool goes_on = !forced && guest->cells_done > cell;
    Execution execution;
    if (!goes_on) {
      execution = co_await core->end_guest(slot, guest, limits, tree, forced, begin);
      execution.error += std::string(execution.error.empty() ? "" : "; ") + "the session is over";
    } else {
      // The cell flushed before it answered: what it wrote is in the pipes by now.
      guest->out.drain();
      guest->err.drain();
      (void)live->usage();
      execution = core->judge(*slot, *guest, limits, *tree, forced, begin);
      if (execution.ending != Ending::memory_limit && execution.ending != Ending::process_limit &&
          execution.ending != Ending::output_limit && execution.ending != Ending::time_limit)
        execution.ending = guest->raised ? Ending::nonzero_exit : Ending::ok;
      execution.exit_code = guest->raised ? 1 : 0;
      guard.live = nullptr;
    }
    co_return execution;
  }

  friend class Core;
  std::shared_ptr<Core> core_;
  LiveRef live_;
};

Async<Result<std::shared_ptr<SandboxSession>>> Core::open_session(Limits limits) {
  auto work = open_here(limits);
  auto there = run_on(&context_, std::move(work));
  co_return co_await std::move(there);
}

// One of the sessions there may be, until the session itself counts.
struct Core::Place {
  Core* core;
  explicit Place(Core* owner) : core(owner) { ++core->sessions_; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (core) --core->sessions_;
  }
};

Async<Result<std::shared_ptr<SandboxSession>>> Core::open_here(Limits limits) {
  constexpr std::size_t kMostSessions = 256;  // live at once; each keeps a slot of its own
  if (sessions_ >= kMostSessions)
    co_return unavailable("there are " + std::to_string(sessions_) + " live sessions already");
  Place place(this);
  auto taken = co_await take_slot();
  if (!taken) co_return std::move(taken).error();
  const SlotRef slot = *taken;
  Lodging lodging(this, slot);
  co_await unpark(slot);
  Program program;
  program.limits = limits;
  Status furnished = co_await furnish(slot, &program);
  if (furnished && slot->cgroup && !slot->cgroup->begin(count(limits.memory), limits.processes))
    furnished = internal_error("sandbox: cgroup limits: " + std::string(std::strerror(errno)));
  if (!furnished) co_return std::move(furnished).error();
  auto parked = co_await park(slot, &limits);
  if (!parked) co_return std::move(parked).error();
  const GuestRef guest = *parked;
  WatchedFd channel(context_, dup(guest->channel.get()));
  std::shared_ptr<SandboxSession> session =
      std::make_shared<PythonSession>(shared_from_this(), slot, guest, std::move(channel), limits);
  lodging.slot = nullptr;
  place.core = nullptr;
  co_return session;
}

}  // namespace proctor
