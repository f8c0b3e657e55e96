// A fork of a live session: the parent's part.
//
// The session clones itself on demand into user, pid, mount and ipc namespaces below its own, which
// the kernel lets it do while we ask for it, and not again. The slot gives the clone a workspace
// and a /proc of its own, we copy the files, and then it may go on. What its user namespace allowed
// it is given up before; that is checked, of all the session's processes, once no more namespaces
// can be made. Costs a copy of the page tables, and one of the files. Blind spot: namespaces nest
// at most 32 deep, and so do forks of forks.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "sandbox/files.h"
#include "sandbox/forkable.h"
#include "sandbox/live.h"

namespace proctor {
namespace {

using wire::Kind;
using wire::Message;

constexpr Milliseconds kPatience = 10s;  // with the session and the slot
// A fork that has ended counts with the kernel until all its namespaces are freed, behind our
// backs.
constexpr Milliseconds kFreeing = 200ms;
constexpr int kMostTries = 20;               // while it takes longer
constexpr Milliseconds kPatienceToVet = 2s;  // while a fork that failed still ends

std::string words(int error) {
  switch (error) {
    case ENOSPC:
    case EUSERS:
      return "namespaces cannot be nested any deeper";
    default:
      return std::strerror(error);
  }
}

// Whose process serves the slot.
SlotRef origin_of(const SlotRef& slot) { return slot->origin ? slot->origin : slot; }

}  // namespace

// Waits until its processes are gone, and with them its namespaces and files.
Async<void> Core::bury(SlotRef fork) {
  (void)co_await all_dead(fork);
  fork->init.reset();
  std::erase_if(fork->origin->forks, [&](const auto& each) {
    const SlotRef other = each.lock();
    return !other || other == fork;
  });
  fork->origin->buried.push_back(std::chrono::steady_clock::now());
  fork->origin->changed.ring();
}

Async<Status> Core::ask_slot(SlotRef origin, Message message, std::vector<int> fds) {
  message.id = ++last_id_;
  if (!send(origin->socket, message, {}, fds)) co_return internal_error("the slot is gone");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const auto answered = [&] {
    return origin->allowed == message.id || origin->adopted == message.id ||
           origin->listening == message.id;
  };
  while (!answered() && origin->failed != message.id && !origin->gone &&
         std::chrono::steady_clock::now() < deadline)
    co_await origin->changed.wait(deadline);
  if (answered()) co_return Status();
  if (origin->failed == message.id)
    co_return internal_error(std::string(to_string(origin->stage)) + ": " + words(origin->error));
  co_return internal_error("the slot does not answer");
}

// Lets no more namespaces be made, and then nobody have rights over any.
Async<Status> Core::vet(SlotRef origin) {
  Message close;
  close.kind = Kind::allow_forks;
  close.value = static_cast<std::int64_t>(origin->forks.size());
  close.flags = wire::kVet;
  return ask_slot(std::move(origin), close);
}

// Of a fork that failed or was called off half-way: once that is dead. Whose processes have rights
// then is not known, and all end.
Async<void> Core::vet_later(SlotRef origin) {
  const auto deadline = std::chrono::steady_clock::now() + kPatienceToVet;
  for (;;) {
    const Status vetted = co_await vet(origin);
    if (vetted || origin->gone) break;
    if (std::chrono::steady_clock::now() >= deadline) {
      give_up(origin);
      break;
    }
    asio::steady_timer moment(context_, 5ms);
    co_await moment.async_wait(asio::use_awaitable);
  }
  origin->forking = false;
  origin->changed.ring();
}

// Who sent the next message on the fork's channel: the kernel's word.
Async<Result<int>> Core::next_sender(Guest& guest, SteadyTime deadline) {
  auto packet = std::make_unique<wire::Packet>();
  while (std::chrono::steady_clock::now() < deadline) {
    const int received = wire::receive_message(guest.channel.get(), *packet, MSG_DONTWAIT);
    if (received > 0) {
      packet->close_fds();
      co_return packet->sender;
    }
    if (received == 0 || errno != EAGAIN) break;
    auto watched = watched_copy(context_, guest.channel.get());
    if (!watched) co_return std::move(watched).error();
    WatchedFd& channel = *watched;
    asio::steady_timer timer(context_, deadline);
    timer.async_wait([&](boost::system::error_code cancelled) {
      boost::system::error_code ignored;
      if (!cancelled) channel.cancel(ignored);
    });
    boost::system::error_code error;
    co_await channel.async_wait(WatchedFd::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    timer.cancel();
    // Lets a timer handler that is queued already run while its captures are alive.
    co_await asio::post(context_, asio::use_awaitable);
  }
  co_return internal_error("the fork ended, or did not answer");
}

Async<Result<Core::LiveRef>> Core::fork_live(LiveRef live) {
  if (!live->alive) co_return unavailable(live->why_ended);
  if (world_ == World::reduced)
    co_return missing("a live session cannot be forked here, where namespaces are refused");
  if (live->slot->proxy)
    co_return missing("a live session with a network cannot be forked: its forks would share it");
  if (sessions_ + forks_ >= kMostSessions)
    co_return unavailable("there are " + std::to_string(sessions_ + forks_) +
                          " live sessions already");
  if (live->in_cell || live->forking)
    co_return unavailable(live->forking ? "the session is being forked"
                                        : "a cell of this session is running");
  const SlotRef origin = origin_of(live->slot);
  while (origin->forking && !origin->gone) co_await origin->changed.wait();
  struct Busy {
    Core* core;
    LiveRef live;
    SlotRef origin;
    bool vetted = false;
    Busy(Core* owner, LiveRef of, SlotRef slot)
        : core(owner), live(std::move(of)), origin(std::move(slot)) {
      live->forking = origin->forking = true;
    }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() {
      live->forking = false;
      live->last_used = std::chrono::steady_clock::now();
      if (!vetted && !core->stopping_) {
        core->set_going(core->vet_later(origin));
        return;
      }
      origin->forking = false;
      origin->changed.ring();
    }
  };
  if (!live->alive || live->in_cell) co_return unavailable("a cell of this session is running");
  Busy busy(this, live, origin);
  auto forked = co_await fork_now(live);
  if (!forked) co_return std::move(forked).error().in("fork of a session");
  busy.vetted = true;
  co_return forked;
}

// Lets the session clone itself. The descriptors are the clone's: channel, stdout, stderr.
Async<Status> Core::clone_session(LiveRef live, std::vector<int> fds, SteadyTime deadline) {
  const SlotRef origin = origin_of(live->slot);
  const GuestRef guest = live->guest;
  std::erase_if(origin->buried, [now = std::chrono::steady_clock::now()](SteadyTime at) {
    return now - at > kFreeing;
  });
  Message allow;
  allow.kind = Kind::allow_forks;
  allow.value = static_cast<std::int64_t>(origin->forks.size() + origin->buried.size());
  if (auto opened = co_await ask_slot(origin, allow); !opened) co_return opened;
  Message fork;
  fork.kind = Kind::fork;
  for (int attempt = 0;; ++attempt) {
    guest->fork_error.reset();
    guest->resumed = false;
    if (!send(live->channel, fork, {}, fds))
      co_return internal_error("the session does not answer");
    while (!guest->fork_error && !guest->exited && !guest->failed && !origin->gone &&
           std::chrono::steady_clock::now() < deadline)
      co_await guest->changed.wait(deadline);
    const int error = guest->fork_error.value_or(ETIMEDOUT);
    if (error == 0) co_return Status();
    if (error != ENOSPC || attempt == kMostTries) co_return unavailable(words(error));
    asio::steady_timer moment(context_, 5ms);
    co_await moment.async_wait(asio::use_awaitable);
  }
}

// Gives the clone, which waits at its channel, a place of its own, and lets it go on.
Async<Status> Core::settle(LiveRef live, SlotRef fork, GuestRef guest, SteadyTime deadline) {
  auto first = co_await next_sender(*guest, deadline);
  if (!first) co_return std::move(first).error();
  fork->init_pid = *first;
  fork->init = OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, *first, 0)));
  if (!fork->init) co_return internal_error(std::string("its process: ") + std::strerror(errno));
  Message adopt;
  adopt.kind = Kind::adopt;
  adopt.value = *first;
  adopt.box_bytes = fork->box_bytes;
  adopt.box_inodes = fork->box_inodes;
  const auto entrances = fork->cgroup ? fork->cgroup->entrances() : std::vector<int>();
  adopt.n_cgroups = static_cast<std::uint32_t>(entrances.size());
  if (auto adopted = co_await ask_slot(fork->origin, adopt, entrances); !adopted) co_return adopted;
  fork->box = std::move(fork->origin->adopted_box);
  {
    const ActAs as(file_uid());
    if (auto copied = copy_below(live->slot->box.get(), fork->box.get(), fork->host_uid); !copied)
      co_return copied;
  }
  Message go;
  go.kind = Kind::go;
  if (wire::send_message(guest->channel.get(), go, nullptr, 0, nullptr, 0, MSG_DONTWAIT) != 0)
    co_return internal_error("the fork has ended");
  auto session = co_await next_sender(*guest, deadline);
  if (!session) co_return std::move(session).error();
  // Until then it holds what it was given for the fork.
  const GuestRef forked = live->guest;
  while (!forked->resumed && !forked->exited && !forked->failed && !fork->gone &&
         std::chrono::steady_clock::now() < deadline)
    co_await forked->changed.wait(deadline);
  if (auto vetted = co_await vet(fork->origin); !vetted) co_return vetted;
  guest->pid = guest->main_pid = *session;
  guest->process = OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, *session, 0)));
  co_return Status();
}

Async<Result<Core::LiveRef>> Core::fork_now(LiveRef live) {
  const SlotRef origin = origin_of(live->slot);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (live->guest->main_pid == 0 && !live->guest->failed && !origin->gone &&
         std::chrono::steady_clock::now() < deadline)
    co_await live->guest->changed.wait(deadline);
  if (live->guest->main_pid == 0) co_return internal_error("the session did not start");
  // Until its first cell there is nothing of the guest's.
  std::string why =
      live->cells_begun > 0 ? why_not_forkable(live->guest->main_pid, live->slot->box.get()) : "";
  if (!why.empty()) co_return unavailable(std::move(why));
  const Limits& limits = live->settings.limits;
  auto made = new_slot();
  if (!made) co_return std::move(made).error();
  const SlotRef slot = *made;
  slot->origin = origin;
  slot->host_uid = origin->host_uid;
  slot->box_bytes = live->slot->box_bytes;
  slot->box_inodes = live->slot->box_inodes;
  if (slot->cgroup && !slot->cgroup->begin(count(limits.memory), limits.processes))
    co_return internal_error("sandbox: cgroup limits: " + std::string(std::strerror(errno)));
  origin->forks.push_back(slot);
  ++forks_;
  auto home = std::make_shared<Home>(this, slot, live->home);  // ends what follows when it fails

  std::array<int, 2> theirs{};
  auto guest = new_guest(theirs, static_cast<std::size_t>(count(limits.output)));
  if (!guest) co_return std::move(guest).error();
  const OwnedFd out(theirs[0]), err(theirs[1]);
  OwnedFd inner;
  if (auto opened = open_channel(**guest, inner); !opened) co_return std::move(opened).error();
  const int yes = 1;  // the kernel says who sends on it
  (void)setsockopt((*guest)->channel.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
  std::vector<int> fds = {inner.get(), out.get(), err.get()};
  Status cloned = co_await clone_session(live, std::move(fds), deadline);
  if (!cloned) co_return std::move(cloned).error();
  inner.reset();  // its end is then that of the fork
  Status settled = co_await settle(live, slot, *guest, deadline);
  if (!settled) co_return std::move(settled).error();
  auto channel = watched_copy(context_, (*guest)->channel.get());
  if (!channel) co_return std::move(channel).error();
  co_return begin_live(std::move(home), *guest, live->settings, std::move(*channel));
}

}  // namespace proctor
