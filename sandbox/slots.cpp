// Slots on the parent's side: made on demand, leased, killed and made ready again behind the
// answer; and the zygote with the guests it has parked.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "sandbox/embedded.h"
#include "sandbox/hear.h"
#include "sandbox/launcher.h"
#include "sandbox/pool.h"

namespace proctor {
namespace {

using wire::Kind;
using wire::Message;
using wire::Packet;

constexpr Milliseconds kPatience = 10s;  // with our own processes
constexpr std::size_t kSpareSlots = 2;   // being made ready while all others run

void append(std::string& text, std::string_view part) {
  text += part;
  text += '\0';
}

}  // namespace

void Core::set_going(Async<void> work) {
  asio::co_spawn(context_, std::move(work), [](const std::exception_ptr& thrown) {
    if (thrown && !is_cancellation(thrown)) std::rethrow_exception(thrown);
  });
}

std::string Core::work_directory(const Slot& slot) const {
  return world_ == World::reduced ? boxes_ + "/" + std::to_string(slot.index) + "/work"
                                  : std::string(kBox) + "/work";
}

wire::Message Core::spawn_message(const Slot& slot) const {
  Message message;
  message.kind = Kind::spawn;
  if (world_ != World::reduced) {
    message.flags = wire::kJoinRun | wire::kSetIdentity;
    message.uid = message.gid = kGuestId;
  } else if (slot.host_uid != 0) {
    message.flags = wire::kSetIdentity;
    message.uid = message.gid = slot.host_uid;
  }
  if (slot.cgroup) message.n_cgroups = static_cast<std::uint32_t>(slot.cgroup->entrances().size());
  return message;
}

// A message about a guest, from its slot or from a zygote; false where it is not about one.
bool Core::dispatch(const Packet& packet) {
  auto found = guests_.find(packet.message.id);
  if (found == guests_.end()) return false;
  const GuestRef guest = found->second.lock();
  if (!guest) return true;
  hear(*guest, packet.message);
  guest->changed.ring();
  return true;
}

Async<void> Core::read_slot(SlotRef slot) {
  auto packet = std::make_unique<Packet>();
  boost::system::error_code error;
  for (;;) {
    co_await slot->socket.async_wait(WatchedFd::wait_read,
                                     asio::redirect_error(asio::use_awaitable, error));
    if (error || slot->gone) break;
    const int received = wire::receive_message(slot->socket.native_handle(), *packet, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) continue;
    // It says nothing malformed: what came was cut off, since we have no room for its descriptors.
    if (received <= 0) break;
    // A guest may fail where only its slot can tell.
    if (!dispatch(*packet)) (void)hear(*slot, *packet);
    packet->close_fds();
    slot->changed.ring();
  }
  // Never started: nobody else had the other end.
  if (!error && !slot->process) slot->asked = false;
  give_up(slot);
}

// Ends the slot's process and all below it, and forgets it. Whoever still runs in it sees its guest
// fail. By value: the caller's may be that of a list it is taken from.
void Core::give_up(SlotRef slot) {  // NOLINT(performance-unnecessary-value-param)
  if (slot->gone) return;
  slot->gone = true;
  kill_tree(*slot);
  boost::system::error_code ignored;
  slot->socket.close(ignored);
  // In the reduced world only the slot itself can find its guests: it ends them, and then itself,
  // now that its socket has ended.
  if (slot->process && world_ != World::reduced)
    (void)syscall(SYS_pidfd_send_signal, slot->process.get(), SIGKILL, nullptr, 0);
  std::erase(slots_, slot);
  std::erase(idle_, slot);
  slot->parked.reset();
  for (const auto& each : slot->forks)
    if (const SlotRef fork = each.lock()) fork->gone = true;
  slot->changed.ring();
  slot_ready_.ring();
}

void Core::kill_tree(Slot& slot) {
  if (slot.init) (void)syscall(SYS_pidfd_send_signal, slot.init.get(), SIGKILL, nullptr, 0);
  if (slot.cgroup) slot.cgroup->kill();
  if (slot.proxy) slot.proxy->close();
  if (world_ == World::reduced && !slot.gone && slot.killed != UINT64_MAX) {
    Message message;
    message.kind = Kind::kill;
    message.id = slot.kill_asked = ++last_id_;
    slot.killed = 0;
    if (!send(slot.socket, message)) slot.killed = UINT64_MAX;
  }
}

// Returns when no process of the run is left; gives the slot up when that takes too long.
Async<Status> Core::all_dead(SlotRef slot) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  if (world_ == World::reduced) {
    while (slot->killed == 0 && slot->failed != slot->kill_asked && !slot->gone &&
           std::chrono::steady_clock::now() < deadline)
      co_await slot->changed.wait(deadline);
    if (slot->killed != 0 && !slot->gone) co_return Status();
    const bool lost = slot->gone;
    give_up(slot);
    co_return internal_error(lost ? "the slot was killed from outside"
                                  : "the slot does not end its processes");
  }
  if (!slot->init) co_return Status();
  auto watched = watched_copy(context_, slot->init.get());
  if (!watched) {
    give_up(slot);
    co_return std::move(watched).error();
  }
  WatchedFd& init = *watched;
  asio::steady_timer timer(context_, deadline);
  bool late = false;
  timer.async_wait([&](boost::system::error_code cancelled) {
    if (cancelled) return;
    late = true;
    boost::system::error_code ignored;
    init.cancel(ignored);
  });
  boost::system::error_code error;
  co_await init.async_wait(WatchedFd::wait_read, asio::redirect_error(asio::use_awaitable, error));
  timer.cancel();
  // Lets a timer handler that is queued already run while its captures are alive.
  co_await asio::post(context_, asio::use_awaitable);
  if (!late) co_return Status();
  give_up(slot);
  co_return internal_error("a run's processes do not end");
}

Async<Status> Core::prepare(SlotRef slot) {
  const Limits defaults;
  Message message;
  message.kind = Kind::prepare;
  message.id = ++last_id_;
  message.box_bytes = slot->box_bytes = count(defaults.disk);
  message.box_inodes = slot->box_inodes = defaults.inodes;
  slot->box.reset();
  slot->init.reset();
  slot->ruleset.reset();
  slot->proxy.reset();
  if (!send(slot->socket, message)) co_return internal_error("the slot is gone");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (slot->prepared != message.id && slot->failed != message.id && !slot->gone &&
         std::chrono::steady_clock::now() < deadline)
    co_await slot->changed.wait(deadline);
  if (slot->prepared == message.id) co_return Status();
  if (slot->failed == message.id)
    co_return internal_error(std::string("slot: ") + to_string(slot->stage) + ": " +
                             std::strerror(slot->error));
  co_return internal_error(slot->gone ? "the slot is gone" : "the slot does not answer");
}

// Behind the answer: waits for the tree's death, makes room, parks the next Python.
Async<void> Core::recycle(SlotRef slot) {
  Status usable = co_await all_dead(slot);
  if (usable && slot->cgroup && !slot->cgroup->renew())
    usable = internal_error(std::string("cgroup: ") + std::strerror(errno));
  if (usable) usable = co_await prepare(slot);
  if (!usable || stopping_) {
    give_up(slot);
    co_return;
  }
  if (park_ahead_ && zygote(slot->profile).is_ready()) {
    auto parked = co_await park(slot, slot->profile, nullptr);
    if (parked) slot->parked = *parked;
  }
  if (slot->gone) co_return;
  if (slots_.size() > most_slots()) {
    give_up(slot);  // a closed session's
    co_return;
  }
  idle_.push_back(slot);
  slot_ready_.ring();
}

void Core::put_back(const SlotRef& slot) {
  if (slot->gone) return;
  kill_tree(*slot);
  slot->parked.reset();
  set_going(slot->origin ? bury(slot) : recycle(slot));
}

// Each session has one of its own for as long as it lives.
std::size_t Core::most_slots() const {
  return std::min(limiter_.usage().capacity + kSpareSlots, room_) + sessions_;
}

Async<Result<SlotRef>> Core::take_slot() {
  for (;;) {
    if (stopping_) co_return unavailable("the sandbox is being closed");
    if (!idle_.empty()) {
      SlotRef slot = idle_.back();
      idle_.pop_back();
      if (!has_ended(slot->process)) co_return slot;
      give_up(slot);
      continue;
    }
    if (slots_.size() < most_slots()) break;
    co_await slot_ready_.wait();
  }
  auto requested = request_slot();
  if (!requested) co_return std::move(requested).error().in("sandbox");
  SlotRef slot = *requested;
  slots_.push_back(slot);
  Lodging lodging(this, slot);
  (void)fcntl(slot->socket.native_handle(), F_SETFL, O_NONBLOCK);
  set_going(read_slot(slot));
  Status prepared = co_await prepare(slot);
  lodging.slot = nullptr;
  if (prepared) co_return slot;
  give_up(slot);
  co_return std::move(prepared).error().in("sandbox");
}

// Where guests must start their own interpreter in any case: that is so in the reduced world
// without a uid for each slot, where only a slot's own children can be hunted down.
Async<bool> Core::zygote_ready(Profile profile) {
  if (world_ == World::reduced && geteuid() != 0) co_return false;
  SlotPlan plan = plan_for(-1);
  auto starting = zygote(profile).ready(std::move(plan), zygote_filters_.fds());
  co_return co_await std::move(starting);
}

// A guest with pipes of its own; `theirs` are the ends it writes to.
Result<GuestRef> Core::new_guest(std::array<int, 2>& theirs, std::size_t most) {
  auto guest = std::make_shared<Guest>(context_);
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0)
    return internal_error(std::string("sandbox: pipe: ") + std::strerror(errno));
  if (pipe2(err, O_CLOEXEC) != 0) {
    const int error = errno;
    close(out[0]), close(out[1]);
    return internal_error(std::string("sandbox: pipe: ") + std::strerror(error));
  }
  for (int fd : {out[0], err[0]}) (void)fcntl(fd, F_SETFL, O_NONBLOCK);
  // Opened anew as /dev/stdout they are files, which are ours.
  for (int fd : {out[1], err[1]}) (void)fchmod(fd, 0666);
  guest->out.fd.assign(out[0]);
  guest->err.fd.assign(err[0]);
  guest->out.most = guest->err.most = most;
  theirs = {out[1], err[1]};
  guest->id = ++last_id_;
  std::erase_if(guests_, [](const auto& each) { return each.second.expired(); });
  guests_[guest->id] = guest;
  return guest;
}

Status Core::open_channel(Guest& guest, OwnedFd& theirs) {
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
    return internal_error(std::string("sandbox: socketpair: ") + std::strerror(errno));
  guest.channel = OwnedFd(channel[0]);
  theirs = OwnedFd(channel[1]);
  return {};
}

// An interpreter in the prepared run, confined, that waits at its channel: forked by the zygote, or
// started with these arguments.
Result<GuestRef> Core::start_waiting(const SlotRef& slot, Zygote* zygote,
                                     const std::vector<std::string>& arguments,
                                     const Limits* session) {
  std::array<int, 2> theirs{};
  auto made = new_guest(theirs, 0);
  if (!made) return std::move(made).error();
  const GuestRef guest = *made;
  const OwnedFd out(theirs[0]), err(theirs[1]);
  OwnedFd inner;
  if (auto opened = open_channel(*guest, inner); !opened) return std::move(opened).error();
  const OwnedFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));

  Message message = spawn_message(*slot);
  message.id = guest->id;
  message.flags |= wire::kPark | (session ? std::uint32_t{wire::kSession} : 0U);
  if (zygote && world_ != World::reduced) message.flags |= wire::kJoinSlot;
  if (session) {
    add_limits(message, *session, true);
  } else {
    message.limits[message.n_limits++] = {RLIMIT_MEMLOCK, 1 << 20};
  }
  std::string text;
  append(text, work_directory(*slot));
  std::vector<int> fds = {nothing.get(), out.get(), err.get(),
                          slot->init ? slot->init.get() : nothing.get(), inner.get()};
  if (zygote && slot->ruleset) {
    message.value = 1;
    fds.push_back(slot->ruleset.get());
  }
  if (!zygote) {
    message.n_arguments = static_cast<std::uint32_t>(arguments.size());
    for (const auto& argument : arguments) append(text, argument);
    auto environment = environment_of(*slot);
    if (slot->proxy) {
      const auto proxy = slot->proxy->environment();
      environment.insert(environment.end(), proxy.begin(), proxy.end());
    }
    message.n_environment = static_cast<std::uint32_t>(environment.size());
    for (const auto& variable : environment) append(text, variable);
  }
  if (slot->cgroup)
    fds.insert(fds.end(), slot->cgroup->entrances().begin(), slot->cgroup->entrances().end());
  if (!send(zygote ? zygote->socket() : slot->socket, message, text, fds))
    return internal_error(std::string("sandbox: cannot start an interpreter: ") +
                          std::strerror(errno));
  return guest;
}

// A Python in the prepared run, waiting for its program.
Async<Result<GuestRef>> Core::park(SlotRef slot, Profile profile, const Limits* session) {
  if (python_.empty())
    co_return missing("no python3 for the sandbox was found: install python3, or name one");
  const bool warm = co_await zygote_ready(profile);
  slot->profile = profile;
  std::vector<std::string> arguments;
  if (!warm) {
    const SlotPlan plan = plan_for(slot->index);
    arguments = {
        plan.python,      "-s", "-c", std::string(zygote_source()), session ? "session" : "once",
        plan.child_object};
  }
  auto started = start_waiting(slot, warm ? &zygote(profile) : nullptr, arguments, session);
  if (started && warm) (*started)->from = profile;
  co_return started;
}

// A run that is not Python's must not find one beside it.
Async<void> Core::unpark(SlotRef slot) {
  const GuestRef guest = std::move(slot->parked);
  slot->parked.reset();
  if (!guest) co_return;
  guest->channel.reset();  // it ends by itself
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (!guest->exited && !guest->failed && std::chrono::steady_clock::now() < deadline)
    co_await guest->changed.wait(deadline);
}

std::vector<std::string> Core::environment_of(const Slot& slot) const {
  const std::string work = work_directory(slot);
  const std::string box = work.substr(0, work.size() - 5);
  return {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "HOME=" + work,
          "TMPDIR=" + box + "/tmp",
          "LANG=C.UTF-8",
          "USER=guest",
          "NODE_PATH=" + work,
          "PYTHONHASHSEED=0",
          "MPLBACKEND=Agg",
          "OMP_NUM_THREADS=1",
          "OPENBLAS_NUM_THREADS=1"};
}

// A program of the system's or the guest's own, started by the slot.
Result<GuestRef> Core::spawn(const SlotRef& slot, const Program& program) {
  std::array<int, 2> theirs{};
  auto made = new_guest(theirs, static_cast<std::size_t>(count(program.limits.output)));
  if (!made) return std::move(made).error();
  const GuestRef guest = *made;
  const OwnedFd out(theirs[0]), err(theirs[1]);
  auto input = input_descriptor(program.input);
  if (!input) return std::move(input).error();

  Message message = spawn_message(*slot);
  message.id = guest->id;
  add_limits(message, program.limits);
  std::string text;
  const std::string work = work_directory(*slot);
  append(text, work);
  message.n_arguments = static_cast<std::uint32_t>(program.arguments.size());
  for (const auto& argument : program.arguments) append(text, argument);
  auto environment = environment_of(*slot);
  environment.insert(environment.end(), program.environment.begin(), program.environment.end());
  message.n_environment = static_cast<std::uint32_t>(environment.size());
  for (const auto& variable : environment) append(text, variable);
  if (text.size() > wire::kMostBytes) return bad_input("the arguments are longer than 64 KiB");
  std::vector<int> fds = {input->get(), out.get(), err.get(),
                          slot->init ? slot->init.get() : input->get()};
  if (slot->cgroup)
    fds.insert(fds.end(), slot->cgroup->entrances().begin(), slot->cgroup->entrances().end());
  if (!send(slot->socket, message, text, fds))
    return internal_error(std::string("sandbox: cannot start a program: ") + std::strerror(errno));
  return guest;
}

}  // namespace proctor
