// Live sessions: one guest that takes cell after cell over its channel. It has a slot of its own
// for as long as it lives, and counts against the executions at once only while a cell runs.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>

#include "sandbox/crossing.h"
#include "sandbox/files.h"
#include "sandbox/hear.h"
#include "sandbox/live.h"

namespace proctor {
namespace {

// The loop that bash runs; the builtin is guest/live.cpp's.
constexpr const char* kBashLoop =
    "enable -f \"$1\" proctor && shift && while proctor wait PROCTOR_CELL; do "
    "proctor last; eval \"$PROCTOR_CELL\"; proctor done $?; done";

// What else is in the pid namespace of a session's init; its forks are in namespaces below.
void kill_all_but(pid_t init) {
  constexpr int kRounds = 20;  // some may be forking
  for (int round = 0, killed = 1; killed > 0 && round < kRounds; ++round) {
    killed = 0;
    for (const pid_t pid : processes()) {
      if (pid == init || !share_pid_namespace(pid, init)) continue;
      const OwnedFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      if (!share_pid_namespace(pid, init)) continue;  // another's number by then
      if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) == 0) ++killed;
    }
  }
}

// The guest is alive, and may have put anything in their place.
std::map<std::string, std::string> take_figures(int box) {
  constexpr std::size_t kMostFigures = 16;
  constexpr std::int64_t kMostBytes = 4 << 20;  // each
  std::map<std::string, std::string> figures;
  const OwnedFd folder(open_directory(box, "code"));
  for (const auto& name : folder ? names_in(folder.get()) : std::vector<std::string>()) {
    if (!name.starts_with("figure-") || !name.ends_with(".png")) continue;
    if (figures.size() < kMostFigures)
      if (auto bytes = get_file(folder.get(), name, kMostBytes)) figures[name] = std::move(*bytes);
    (void)unlinkat(folder.get(), name.c_str(), 0);
  }
  return figures;
}

}  // namespace

Core::Home::~Home() {
  if (core->stopping_) return;
  --(slot->origin ? core->forks_ : core->sessions_);
  core->put_back(slot);
}

// The interpreter may be nobody's child that the tree is known by.
TreeUsage Core::Live::usage() {
  if (slot->cgroup) return {.cpu = slot->cgroup->cpu()};
  if (guest->pid) tree->add_root(std::exchange(guest->pid, 0));
  return tree->look();
}

// Its forks live on in namespaces below its own, whose init, in the same cgroup as the rest, stays
// until the last of them is gone.
void Core::kill_session(const Live& live) {
  if (live.home.use_count() > 1)
    kill_all_but(live.slot->init_pid);
  else
    kill_tree(*live.slot);
}

void Core::let_go(Live& live) {
  live.alive = false;
  if (std::exchange(live.closed, true)) return;
  boost::system::error_code ignored;
  live.channel.close(ignored);
  live.guest->out.fd.close(ignored);
  live.guest->err.fd.close(ignored);
  if (!stopping_) kill_session(live);
  live.guest->process.reset();  // it would keep its namespaces
  live.home.reset();
}

Async<void> Core::read_channel(LiveRef live) {
  auto packet = std::make_unique<wire::Packet>();
  boost::system::error_code error;
  const GuestRef guest = live->guest;
  for (;;) {
    co_await live->channel.async_wait(WatchedFd::wait_read,
                                      asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    const int received =
        wire::receive_message(live->channel.native_handle(), *packet, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EPROTO)) continue;
    if (received <= 0) break;
    packet->close_fds();
    hear_session(*guest, packet->message,
                 {live->in_cell, live->forking, live->slot->origin != nullptr});
    guest->changed.ring();
  }
  // Of a fork nobody else tells that it has ended.
  if (!live->slot->origin || guest->exited) co_return;
  guest->status = SIGKILL;
  guest->exited = true;
  guest->changed.ring();
}

// Between cells nobody waits for the interpreter, but its threads and children go on. They may use
// what one cell may; then the session is over. So it is when nobody has used it for too long.
Async<void> Core::watch_between_cells(LiveRef live) {
  asio::steady_timer timer(context_);
  auto box = watch_of_box(live->settings.limits);
  int last_cell = -1;
  std::chrono::microseconds before{0};
  while (!live->closed && !stopping_) {
    timer.expires_after(100ms + 10ms * static_cast<int>(sessions_ + forks_));
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (live->closed || live->in_cell || live->forking) continue;
    if (live->slot->gone || live->guest->failed) {
      live->why_ended = why_lost(*live->slot, *live->guest) + "; the session is over";
      let_go(*live);
      continue;
    }
    if (live->settings.idle > 0ms &&
        std::chrono::steady_clock::now() - live->last_used >= live->settings.idle) {
      live->why_ended =
          "the session was idle for " + std::to_string(live->settings.idle.count()) + " ms";
      let_go(*live);
      continue;
    }
    const TreeUsage usage = live->usage();
    if (box && box->next() <= std::chrono::steady_clock::now())
      (void)box->look(live->slot->box.get());
    if (std::exchange(last_cell, live->cells_begun) != live->cells_begun) {
      before = usage.cpu;
      continue;
    }
    // With a cgroup the kernel refuses what is too much.
    const bool counted = live->slot->cgroup != nullptr;
    if (usage.cpu - before >= live->settings.limits.cpu)
      live->ended_by = Ending::time_limit;
    else if (!counted && usage.tasks > live->settings.limits.processes)
      live->ended_by = Ending::process_limit;
    else if (!counted && memory_of(*live->slot, usage) > count(live->settings.limits.memory))
      live->ended_by = Ending::memory_limit;
    else if (box && box->is_over(nameless_of(usage, live->settings.limits)))
      live->ended_by = Ending::file_limit;
    else
      continue;
    let_go(*live);
  }
  if (!live->closed && !stopping_) let_go(*live);  // its slot is gone
}

Async<Result<Execution>> Core::run_cell(LiveRef live, std::string code, Limits limits) {
  if (live->in_cell || live->forking)
    co_return unavailable(live->forking ? "the session is being forked"
                                        : "a cell of this session is running");
  if (!live->alive) {
    Execution dead = failure(live->why_ended);
    dead.ending = live->ended_by;
    co_return dead;
  }
  // Kills the interpreter when the cell is called off half-way.
  struct Guard {
    Core* core;
    LiveRef live;
    Guard(Core* owner, LiveRef of) : core(owner), live(std::move(of)) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (live) core->let_go(*live);
    }
  };
  const SlotRef slot = live->slot;
  const GuestRef guest = live->guest;
  Guard guard(this, live);
  Program program;
  program.code = std::move(code);
  program.limits = limits;
  // What was written since the last cell comes with this one.
  for (Output* output : {&guest->out, &guest->err})
    output->keep(static_cast<std::size_t>(count(limits.output)));
  if (slot->cgroup && !slot->cgroup->begin(count(limits.memory), limits.processes)) {
    if (errno != EBUSY)
      co_return internal_error("sandbox: cgroup limits: " + std::string(std::strerror(errno)));
    Execution dead = failure("it holds more memory than this cell may use; the session is over");
    dead.ending = Ending::memory_limit;
    co_return dead;
  }
  if (slot->proxy) slot->proxy->begin(limits.network_bytes);
  if (slot->proxy && live->cells_begun == 0) program.environment = slot->proxy->environment();
  live->in_cell = true;
  ++live->cells_begun;
  (void)live->usage();
  live->tree->begin();
  const SteadyTime begin = std::chrono::steady_clock::now();
  const int cell = guest->cells_done;
  if (auto sent = send_program(*guest, program, false); !sent) co_return std::move(sent).error();
  const auto tree = live->tree;
  const std::optional<Ending> forced = co_await watch(slot, guest, limits, tree, begin, cell);
  live->in_cell = false;
  live->last_used = std::chrono::steady_clock::now();
  const bool goes_on = !forced && guest->cells_done > cell;
  if (!goes_on) {
    Execution execution = co_await end_guest(slot, guest, limits, tree, forced, begin, live);
    execution.error += std::string(execution.error.empty() ? "" : "; ") + "the session is over";
    co_return execution;
  }
  // The cell flushed before it answered: what it wrote is in the pipes by now.
  guest->out.drain();
  guest->err.drain();
  (void)live->usage();
  Execution execution = judge(*slot, *guest, limits, *tree, forced, begin);
  if (execution.ending != Ending::memory_limit && execution.ending != Ending::process_limit &&
      execution.ending != Ending::output_limit && execution.ending != Ending::time_limit)
    execution.ending = guest->raised ? Ending::nonzero_exit : Ending::ok;
  execution.exit_code = guest->raised ? 1 : 0;
  if (guest->drew) {
    const ActAs as(file_uid());
    execution.files = take_figures(slot->box.get());
  }
  guard.live = nullptr;
  co_return execution;
}

class LiveSession final : public SandboxSession {
 public:
  LiveSession(std::shared_ptr<Core> core, Core::LiveRef live)
      : core_(std::move(core)), live_(std::move(live)) {}
  ~LiveSession() override { close(live()); }

  Async<Result<Execution>> run(std::string code, Limits limits,
                               std::function<void()> started) override {
    auto lease = co_await core_->limiter().acquire();
    if (!lease) co_return core_->busy();
    if (started) started();
    auto work = core_->run_cell(live(), std::move(code), limits);
    auto there = run_on(&core_->context(), std::move(work));
    auto ran = co_await std::move(there);
    if (!ran && ran.error().kind == ErrorKind::internal)
      co_return core_->failure(ran.error().message);
    co_return ran;
  }

  Async<Result<std::shared_ptr<SandboxSession>>> fork() override {
    auto work = core_->fork_live(live());
    auto there = run_on(&core_->context(), std::move(work));
    auto forked = co_await std::move(there);
    if (!forked) co_return std::move(forked).error();
    std::shared_ptr<SandboxSession> session = std::make_shared<LiveSession>(core_, *forked);
    co_return session;
  }

  void interrupt() override {
    asio::post(core_->context(), [live = live()] {
      if (live->in_cell && live->guest->process)
        (void)syscall(SYS_pidfd_send_signal, live->guest->process.get(), SIGINT, nullptr, 0);
    });
  }

  Async<Status> reset() override {
    const Core::LiveRef old = live();
    close(old);
    auto work = core_->open_here(old->settings);
    auto there = run_on(&core_->context(), std::move(work));
    auto opened = co_await std::move(there);
    if (!opened) co_return std::move(opened).error();
    const std::lock_guard lock(mutex_);
    live_ = std::move(*opened);
    co_return Status();
  }

  bool alive() const override { return live()->alive; }

 private:
  Core::LiveRef live() const {
    const std::lock_guard lock(mutex_);
    return live_;
  }
  void close(const Core::LiveRef& live) {
    if (core_->stopping_) return;
    asio::post(core_->context(), [core = core_, live] { core->let_go(*live); });
  }

  const std::shared_ptr<Core> core_;
  mutable std::mutex mutex_;
  Core::LiveRef live_;
};

Async<Result<std::shared_ptr<SandboxSession>>> Core::open_session(Language language, Limits limits,
                                                                  Milliseconds idle) {
  auto work = open_here({language, limits, idle});
  auto there = run_on(&context_, std::move(work));
  auto live = co_await std::move(there);
  if (!live) co_return std::move(live).error();
  std::shared_ptr<SandboxSession> session =
      std::make_shared<LiveSession>(shared_from_this(), *live);
  co_return session;
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

Async<Result<Core::LiveRef>> Core::open_here(LiveSettings settings) {
  const Language language = settings.language;
  if (language != Language::python && language != Language::bash)
    co_return bad_input("live sessions are there for python and bash");
  if (auto can = check_network(settings.limits); !can) co_return std::move(can).error();
  if (sessions_ + forks_ >= kMostSessions)
    co_return unavailable("there are " + std::to_string(sessions_ + forks_) +
                          " live sessions already");
  if (language == Language::bash)
    if (auto installed = check_installed(info_of(language)); !installed)
      co_return std::move(installed).error();
  Place place(this);
  for (std::size_t tries = slots_.size() + 1;; --tries) {  // as for a program
    auto taken = co_await take_slot();
    if (!taken) co_return std::move(taken).error();
    Lodging lodging(this, *taken);
    auto live = co_await live_in(*taken, settings);
    if (!live && tries > 0 && live.error().kind == ErrorKind::internal) continue;
    if (!live) co_return std::move(live).error();
    lodging.slot = nullptr;
    place.core = nullptr;
    co_return live;
  }
}

Async<Result<Core::LiveRef>> Core::live_in(SlotRef slot, LiveSettings settings) {
  const auto& [language, limits, idle] = settings;
  co_await unpark(slot);
  if (Status opened = co_await open_network(slot, limits); !opened)
    co_return std::move(opened).error().in("sandbox");
  Program program;
  program.limits = limits;
  if (Status furnished = co_await furnish(slot, &program); !furnished)
    co_return std::move(furnished).error();
  if (Status counted = begin_counting(slot, limits); !counted) co_return counted.error();
  if (world_ != World::reduced) {
    // It may fork when it is asked to, and only then.
    wire::Message none;
    none.kind = wire::Kind::allow_forks;
    if (Status closed = co_await ask_slot(slot, none); !closed) co_return std::move(closed).error();
  }
  Result<GuestRef> started = internal_error("");
  if (language == Language::bash) {
    const std::vector<std::string> arguments = {
        info_of(language).program,         "--norc", "--noprofile", "-c", kBashLoop, "bash",
        plan_for(slot->index).child_object};
    started = start_waiting(slot, nullptr, arguments, &limits);
  } else {
    started = co_await park(slot, Profile::thin, &limits);
  }
  if (!started) co_return std::move(started).error();
  (*started)->out.most = (*started)->err.most = static_cast<std::size_t>(count(limits.output));
  auto channel = watched_copy(context_, (*started)->channel.get());
  if (!channel) co_return std::move(channel).error();
  auto home = std::make_shared<Home>(this, slot, nullptr);
  co_return begin_live(std::move(home), *started, settings, std::move(*channel));
}

Core::LiveRef Core::begin_live(std::shared_ptr<Home> home, GuestRef guest, LiveSettings settings,
                               WatchedFd channel) {
  // A fork's uid is that of its whole family, which the tree is not.
  const std::uint32_t uid = home->slot->origin ? 0 : home->slot->host_uid;
  const int holder = holder_of(*home->slot), index = home->slot->index;
  auto live = std::make_shared<Live>(std::move(home), guest, settings, std::move(channel));
  live->tree = std::make_shared<TreeWatch>(holder, std::vector<int>{}, uid, plan_for(index).box);
  set_going(read_channel(live));
  set_going(read_output(guest, false));
  set_going(read_output(guest, true));
  set_going(watch_between_cells(live));
  return live;
}

}  // namespace proctor
