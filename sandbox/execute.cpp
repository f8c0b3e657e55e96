// One execution: furnish the workspace, start, watch the limits of the whole tree, kill, judge how
// it ended. The answer leaves as soon as the tree is dead; making the slot ready again happens
// behind.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "runtime/core/determinism.h"
#include "sandbox/crossing.h"
#include "sandbox/files.h"
#include "sandbox/pool.h"
#include "sandbox/user_tasks.h"

namespace proctor {
namespace {

using Steady = std::chrono::steady_clock;

constexpr Milliseconds kDrain = 2s;  // for the last output of a tree that is being killed

}  // namespace

std::string from_work(const std::string& file) {
  constexpr std::string_view kWork = "work/";
  return file.starts_with(kWork) ? file.substr(kWork.size()) : "../" + file;
}

// stdin: never ours. Empty input is an end of file.
Result<OwnedFd> input_descriptor(std::string_view input) {
  if (input.empty()) {
    OwnedFd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (nothing) return nothing;
    return internal_error(std::string("/dev/null: ") + std::strerror(errno));
  }
  return sealed_memory(input, "input");
}

// What the kernel holds each process to. The tree's limits are the cgroup's or the watcher's; these
// are the backstop, a little above where those count exactly.
void Core::add_limits(wire::Message& message, const Limits& limits, bool session) const {
  const bool tree_is_counted = cgroups_ && cgroups_->usable();
  const auto add = [&](int resource, std::uint64_t value) {
    message.limits[message.n_limits++] = {resource, value};
  };
  const auto cpu_seconds = (limits.cpu.count() + 999) / 1000 + 1;
  if (!session) add(RLIMIT_CPU, static_cast<std::uint64_t>(cpu_seconds));
  add(RLIMIT_FSIZE, static_cast<std::uint64_t>(count(limits.file)));
  add(RLIMIT_NOFILE, static_cast<std::uint64_t>(limits.open_files));
  add(RLIMIT_MEMLOCK, 1 << 20);
  add(RLIMIT_SIGPENDING, 1024);
  add(RLIMIT_RTPRIO, 0);
  add(RLIMIT_NICE, 0);
  add(RLIMIT_MSGQUEUE, 1 << 20);
  // Counted by uid. The run's init counts too where it has the guest's; and where guests have ours,
  // so do all others of that user, and what the programs of other slots start meanwhile.
  std::uint64_t most = static_cast<std::uint64_t>(limits.processes) + (tree_is_counted ? 16 : 1);
  if (session) most += kMostForks;  // all of a session's count here together
  if (world_ == World::reduced && geteuid() != 0)
    most += static_cast<std::uint64_t>(tasks_of_user()) +
            most_slots() * static_cast<std::uint64_t>(limits.processes);
  add(RLIMIT_NPROC, most);
  if (!tree_is_counted) add(RLIMIT_DATA, static_cast<std::uint64_t>(count(limits.memory)) * 4);
}

int Core::holder_of(const Slot& slot) const {
  return world_ == World::reduced ? slot.pid : slot.init_pid;
}

std::uint32_t Core::file_uid() const {
  return world_ == World::userns && geteuid() == 0 ? kNobody : 0;
}

Async<void> Core::read_output(GuestRef guest, bool err) {
  Output& output = err ? guest->err : guest->out;
  boost::system::error_code error;
  while (!output.ended && !output.overflowed && !error) {
    co_await output.fd.async_wait(WatchedFd::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
    if (!error) output.drain();
    if (output.ended || output.overflowed) guest->changed.ring();
  }
  output.ended = true;
  guest->changed.ring();
}

// Size of the workspace, files, and the program's own file.
Async<Status> Core::furnish(SlotRef slot, const Program* program) {
  const Limits& limits = program->limits;
  if (count(limits.disk) != slot->box_bytes || limits.inodes != slot->box_inodes) {
    wire::Message message;
    message.kind = wire::Kind::resize;
    message.id = ++last_id_;
    message.box_bytes = slot->box_bytes = count(limits.disk);
    message.box_inodes = slot->box_inodes = limits.inodes;
    if (wire::send_message(slot->socket.native_handle(), message, nullptr, 0, nullptr, 0,
                           MSG_DONTWAIT) != 0)
      co_return internal_error("sandbox: the slot is gone");
    const auto deadline = Steady::now() + 10s;
    while (slot->resized != message.id && slot->failed != message.id && !slot->gone &&
           Steady::now() < deadline)
      co_await slot->changed.wait(deadline);
    if (slot->resized != message.id)
      co_return internal_error(std::string("sandbox: workspace size: ") +
                               std::strerror(slot->error));
  }
  std::int64_t given = 0;
  for (const auto& [name, bytes] : program->files) given += static_cast<std::int64_t>(bytes.size());
  if (given > count(limits.disk))
    co_return bad_input("the files given are " + std::to_string(given) +
                        " bytes, more than the workspace's " + std::to_string(count(limits.disk)));
  const std::uint32_t owner = slot->host_uid;
  const ActAs as(file_uid());
  const OwnedFd work(open_directory(slot->box.get(), "work"));
  for (const auto& [name, bytes] : program->files) {
    if (auto checked = check_file_name(name); !checked) co_return checked;
    if (auto put = put_file(work.get(), name, bytes, owner); !put) co_return put;
  }
  if (!program->code_file.empty()) {
    Status put = put_file(slot->box.get(), program->code_file, program->code, owner,
                          program->code_executable);
    if (!put) co_return put;
  }
  co_return Status();
}

Status Core::send_program(Guest& guest, const Program& program, bool with_limits) {
  std::string body;
  for (const auto& variable : program.environment) body += variable + '\0';
  std::string head = std::to_string(body.size()) + " ";
  for (const auto& argument : program.code_arguments) {
    head += std::to_string(argument.size()) + " ";
    body += argument;
  }
  head += std::to_string(program.code.size()) + "\n";
  auto text = sealed_memory(head + body + program.code, "program");
  if (!text) return std::move(text).error();
  auto input = input_descriptor(program.input);
  if (!input) return std::move(input).error();
  wire::Message message;
  message.kind = wire::Kind::go;
  if (with_limits) add_limits(message, program.limits);
  const int fds[2] = {input->get(), text->get()};
  if (wire::send_message(guest.channel.get(), message, nullptr, 0, fds, 2, MSG_DONTWAIT) != 0) {
    const bool ended = errno == EPIPE || errno == ECONNRESET;
    if (ended && !with_limits) return {};  // a session failed before; its reader tells
    if (ended) return internal_error("sandbox: the interpreter ended before its program came");
    return internal_error(std::string("sandbox: ") + std::strerror(errno));
  }
  return {};
}

namespace {

// A workspace that is a file system of its own.
std::optional<struct statvfs> space_of(int box) {
  struct statvfs space{};
  if (fstatvfs(box, &space) != 0) return std::nullopt;
  return space;
}

std::chrono::nanoseconds time_of_thread() {
  timespec used{};
  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

bool is_full(int box) {
  const auto space = space_of(box);
  return space && (space->f_bavail == 0 || space->f_ffree == 0);
}

}  // namespace

// Files in a workspace that is in memory count, as they do in a cgroup.
std::int64_t Core::memory_of(const Slot& slot, const TreeUsage& usage) const {
  const auto space = world_ == World::reduced ? std::nullopt : space_of(slot.box.get());
  const auto files =
      space ? static_cast<std::int64_t>((space->f_blocks - space->f_bfree) * space->f_frsize) : 0;
  return usage.memory + usage.buffers + files;
}

// One that is but mapped may be as large as a file can be.
std::int64_t Core::nameless_of(const TreeUsage& usage, const Limits& limits) {
  return usage.nameless + usage.nameless_maps * count(limits.file);
}

// Where the workspace has no size of its own, somebody has to look.
std::optional<BoxWatch> Core::watch_of_box(const Limits& limits) const {
  if (world_ != World::reduced) return std::nullopt;
  return std::optional<BoxWatch>(std::in_place, count(limits.disk), limits.inodes);
}

Async<bool> Core::is_overfull(SlotRef slot, BoxWatch& box) {
  box.begin_anew();
  while (!box.look(slot->box.get())) co_await asio::post(context_, asio::use_awaitable);
  co_return box.is_over(0);
}

// Waits for the guest's end (or, in a live session, the cell's). Gives back the limit that was
// overrun, if it was one.
Async<std::optional<Ending>> Core::watch(SlotRef slot, GuestRef guest, Limits limits,
                                         std::shared_ptr<TreeWatch> tree, SteadyTime begin,
                                         int cell) {
  const auto wall_end = begin + limits.wall;
  const auto cores = std::max(1U, std::thread::hardware_concurrency());
  auto next_look =
      begin + std::min<std::chrono::nanoseconds>(slot->cgroup ? limits.cpu / cores : 20ms, 50ms);
  auto box = watch_of_box(limits);
  TreeUsage usage;
  for (;;) {
    if (guest->failed || slot->gone) co_return std::nullopt;
    if (guest->exited || guest->cells_done > cell) {
      if (!box) co_return std::nullopt;
      const bool overfull = co_await is_overfull(slot, *box);
      co_return overfull ? std::optional(Ending::file_limit) : std::nullopt;
    }
    if (guest->out.overflowed || guest->err.overflowed) co_return Ending::output_limit;
    const auto now = Steady::now();
    if (now >= wall_end) co_return Ending::wall_limit;
    if (now >= next_look) {
      const auto spent = time_of_thread();
      if (guest->pid) tree->add_root(std::exchange(guest->pid, 0));
      usage = slot->cgroup ? TreeUsage{.cpu = slot->cgroup->cpu()} : tree->look();
      if (usage.cpu >= limits.cpu) co_return Ending::time_limit;
      if (!slot->cgroup && usage.tasks > limits.processes) co_return Ending::process_limit;
      if (slot->cgroup ? slot->cgroup->out_of_memory()
                       : memory_of(*slot, usage) > count(limits.memory))
        co_return Ending::memory_limit;
      const std::chrono::nanoseconds left = (limits.cpu - usage.cpu) / cores;
      const std::chrono::nanoseconds longest = slot->cgroup ? 100ms : 15ms;
      const auto took = time_of_thread() - spent;  // no more than a quarter of ours
      next_look = Steady::now() +
                  std::max(3 * took, std::clamp<std::chrono::nanoseconds>(left, 3ms, longest));
    }
    if (box && now >= box->next()) {
      if (box->look(slot->box.get()) && slot->cgroup) usage = tree->look();
      if (box->is_over(nameless_of(usage, limits))) co_return Ending::file_limit;
    }
    const auto next = box ? std::min(next_look, box->next()) : next_look;
    co_await guest->changed.wait(std::min(next, wall_end));
  }
}

std::string why_lost(const Slot& slot, const Guest& guest) {
  if (slot.gone) return "the sandbox lost the slot that it ran in, which was killed from outside";
  if (guest.stage == wire::Stage::interpreter && guest.error == EPIPE)
    return "the sandbox lost the Python that it was forked from, which was killed from outside";
  return std::string(to_string(guest.stage)) + ": " + std::strerror(guest.error);
}

Execution Core::failure(std::string why) const {
  Execution execution;
  execution.error = std::move(why);
  execution.isolation = isolation_;
  return execution;
}

Execution Core::judge(Slot& slot, Guest& guest, const Limits& limits, const TreeWatch& tree,
                      std::optional<Ending> forced, SteadyTime begin) {
  Execution execution;
  execution.isolation = isolation_;
  execution.usage.wall_ms = to_ms(Steady::now() - begin);
  execution.out = std::exchange(guest.out.text, {});
  execution.err = std::exchange(guest.err.text, {});
  // The guest's own figure comes at its end and is of its whole life.
  std::chrono::microseconds cpu = std::max(tree.cpu(), guest.cpu - tree.cpu_before());
  if (slot.cgroup) {
    cpu = slot.cgroup->cpu();
    execution.usage.peak_memory_bytes = slot.cgroup->peak_memory();
    execution.usage.peak_processes = std::max(1, slot.cgroup->peak_tasks());
  } else {
    execution.usage.peak_memory_bytes = std::max(guest.peak_memory, tree.peak_memory());
    execution.usage.peak_processes = std::max(1, tree.peak_tasks());
  }
  execution.usage.cpu_ms = to_ms(cpu);
  if (slot.proxy) execution.network = slot.proxy->take();
  execution.out_truncated = guest.out.overflowed;
  execution.err_truncated = guest.err.overflowed;
  // Killed for its limit it may fail to be started, where that was slow.
  if (slot.gone || (guest.failed && !forced)) {
    execution.ending = Ending::sandbox_error;
    execution.error = why_lost(slot, guest);
    return execution;
  }
  if (guest.exited && WIFEXITED(guest.status)) execution.exit_code = WEXITSTATUS(guest.status);
  if (guest.exited && WIFSIGNALED(guest.status)) execution.signal = WTERMSIG(guest.status);
  // A guest that we killed has no signal of its own.
  if (forced) execution.signal.reset();

  // The guest itself may have ended before the last look.
  const int peak_tasks = tree.peak_tasks() + (guest.exited ? 1 : 0);
  const bool by_itself = guest.exited && !forced;
  const bool failed = !by_itself || execution.signal || execution.exit_code != 0;
  if (slot.cgroup && slot.cgroup->out_of_memory()) {
    execution.ending = Ending::memory_limit;
  } else if (forced) {
    execution.ending = *forced;
  } else if (execution.out_truncated || execution.err_truncated) {
    execution.ending = Ending::output_limit;
  } else if (cpu >= limits.cpu) {
    execution.ending = Ending::time_limit;
  } else if (slot.cgroup ? slot.cgroup->out_of_tasks() : failed && peak_tasks >= limits.processes) {
    execution.ending = Ending::process_limit;
  } else if (execution.signal == SIGXFSZ ||
             (failed && slot.box && world_ != World::reduced && is_full(slot.box.get()))) {
    execution.ending = Ending::file_limit;
  } else if (execution.signal) {
    execution.ending = Ending::signaled;
  } else {
    execution.ending = failed ? Ending::nonzero_exit : Ending::ok;
  }
  return execution;
}

Async<Execution> Core::end_guest(SlotRef slot, GuestRef guest, Limits limits,
                                 std::shared_ptr<TreeWatch> tree, std::optional<Ending> forced,
                                 SteadyTime begin, LiveRef session) {
  // What the guest leaves behind counts as well, and is there for one more look.
  if (!slot->cgroup) (void)tree->look();
  if (session)
    kill_session(*session);
  else
    kill_tree(*slot);
  // Its status comes a moment later, with what it used.
  const SteadyTime drained = Steady::now() + kDrain;
  while (!(guest->out.ended && guest->err.ended && (guest->exited || guest->failed))) {
    if (slot->gone || Steady::now() >= drained) break;
    co_await guest->changed.wait(drained);
  }
  co_return judge(*slot, *guest, limits, *tree, forced, begin);
}

Status Core::begin_counting(const SlotRef& slot, const Limits& limits) {
  if (!slot->cgroup || slot->cgroup->begin(count(limits.memory), limits.processes)) return {};
  const int error = errno;
  give_up(slot);
  return internal_error("sandbox: cgroup limits: " + std::string(std::strerror(error)));
}

// The program under way in the slot. Where that fails, nothing of it has run.
Async<Result<GuestRef>> Core::begin_program(SlotRef slot, Program* program, SteadyTime* begin) {
  const bool python = program->arguments.empty();
  GuestRef guest;
  if (python) {
    park_ahead_ = true;
    const Profile profile = profile_of(program->code);
    if (slot->profile != profile) co_await unpark(slot);
    guest = std::exchange(slot->parked, nullptr);
    if (guest && guest->from && zygote(*guest->from).was_killed())
      (void)co_await zygote_ready(*guest->from);
    if (!guest || guest->failed || guest->exited) {
      auto parked = co_await park(slot, profile, nullptr);
      if (!parked) co_return std::move(parked).error();
      guest = *parked;
    }
    guest->out.most = guest->err.most = static_cast<std::size_t>(count(program->limits.output));
  } else {
    co_await unpark(slot);
  }
  if (Status opened = co_await open_network(slot, program->limits); !opened)
    co_return std::move(opened).error().in("sandbox");
  if (slot->proxy) program->environment = slot->proxy->environment();
  Status furnished = co_await furnish(slot, program);
  if (!furnished) co_return std::move(furnished).error();
  if (Status counted = begin_counting(slot, program->limits); !counted) co_return counted.error();
  *begin = Steady::now();
  if (!python) co_return spawn(slot, *program);
  if (auto sent = send_program(*guest, *program, true); !sent) co_return std::move(sent).error();
  co_return guest;
}

Async<Result<Execution>> Core::run_once(Program* program, std::string* fetched, bool* began) {
  SlotRef slot;
  std::optional<Lodging> lodging;
  GuestRef guest;
  SteadyTime begin;
  // Each slot may turn out to have been lost while nobody used it.
  for (std::size_t tries = slots_.size() + 1; !guest; --tries) {
    lodging.reset();
    auto taken = co_await take_slot();
    if (!taken) co_return std::move(taken).error();
    slot = *taken;
    lodging.emplace(this, slot);
    auto begun = co_await begin_program(slot, program, &begin);
    if (begun)
      guest = *begun;
    else if (tries == 0 || begun.error().kind != ErrorKind::internal)
      co_return std::move(begun).error();
  }
  set_going(read_output(guest, false));
  set_going(read_output(guest, true));
  auto tree = std::make_shared<TreeWatch>(holder_of(*slot), std::vector<int>{}, slot->host_uid,
                                          plan_for(slot->index).box);
  const std::optional<Ending> forced =
      co_await watch(slot, guest, program->limits, tree, begin, INT32_MAX);
  Execution execution = co_await end_guest(slot, guest, program->limits, tree, forced, begin);
  boost::system::error_code ignored;
  guest->out.fd.close(ignored);
  guest->err.fd.close(ignored);
  *began = !slot->gone || guest->main_pid != 0;
  if (execution.ending == Ending::sandbox_error) co_return execution;
  if (!program->get.empty() || fetched || world_ == World::reduced) {
    // Files are read when nobody can change them any more.
    Status dead = co_await all_dead(slot);
    if (!dead) co_return std::move(dead).error().in("sandbox");
  }
  const ActAs as(file_uid());
  const OwnedFd work(open_directory(slot->box.get(), "work"));
  std::int64_t room = count(program->limits.disk);
  for (const auto& name : program->get) {
    Status named = check_file_name(name);
    if (room <= 0)
      named = bad_input("'" + name + "' is left out: the files before it are " +
                        std::to_string(count(program->limits.disk)) + " bytes together");
    auto bytes = named ? get_file(work.get(), name, std::min(room, count(program->limits.file)))
                       : Result<std::string>(std::move(named).error());
    if (!bytes) {
      execution.error += (execution.error.empty() ? "" : "; ") + bytes.error().message;
      continue;
    }
    room -= static_cast<std::int64_t>(bytes->size());
    execution.files[name] = std::move(*bytes);
  }
  if (fetched && execution.ending == Ending::ok) {
    auto bytes = get_file(slot->box.get(), program->fetch, 256 << 20);
    *fetched = bytes ? std::move(*bytes) : "";
  }
  co_return execution;
}

Async<Result<Execution>> Core::run_program(Program program, std::string* fetched) {
  bool began = true;
  auto first = run_once(&program, fetched, &began);
  auto ran = co_await std::move(first);
  if (began) co_return ran;
  // Lost with its slot before anything of it ran: in another one that is no failure.
  auto second = run_once(&program, fetched, &began);
  co_return co_await std::move(second);
}

Status Core::check_installed(const LanguageInfo& language) {
  if (!program_of(language.language).empty()) return {};
  return missing(std::string(language.program) + " is not there: install " + language.package);
}

Async<Result<Execution>> Core::execute(ExecutionRequest request) {
  for (const auto& name : request.get)
    if (auto checked = check_file_name(name); !checked) co_return std::move(checked).error();
  if (auto can = check_network(request.limits); !can) co_return std::move(can).error();
  if (request.language == Language::c || request.language == Language::cpp)
    co_return co_await compile_and_run(std::move(request));
  Program program;
  program.code = std::move(request.code);
  program.input = std::move(request.input);
  program.files = std::move(request.files);
  program.get = std::move(request.get);
  program.limits = request.limits;
  if (request.language == Language::python) {
    program.code_arguments = std::move(request.arguments);
  } else {
    const LanguageInfo& language = info_of(request.language);
    if (auto installed = check_installed(language); !installed)
      co_return std::move(installed).error();
    program.code_file = language.file;
    program.arguments = {language.program};
    if (request.language == Language::js) {
      const std::int64_t mib = count(request.limits.memory) / (1 << 20) * 3 / 4;
      program.arguments.push_back("--max-old-space-size=" +
                                  std::to_string(std::max<std::int64_t>(16, mib)));
    }
    program.arguments.push_back(from_work(program.code_file));
    program.arguments.insert(program.arguments.end(), request.arguments.begin(),
                             request.arguments.end());
  }
  auto work = run_program(std::move(program), nullptr);
  co_return co_await std::move(work);
}

Async<Result<Execution>> Core::run(ExecutionRequest request) {
  auto lease = co_await limiter_.acquire();
  if (!lease) co_return busy();
  if (request.started) request.started();
  const SteadyTime begin = Steady::now();
  auto work = execute(std::move(request));
  auto there = run_on(&context_, std::move(work));
  auto ran = co_await std::move(there);
  constexpr double kLatest = 0.1;
  usual_ms_ = (1 - kLatest) * usual_ms_ + kLatest * to_ms(Steady::now() - begin);
  if (!ran && ran.error().kind == ErrorKind::internal) co_return failure(ran.error().message);
  co_return ran;
}

// When it is worth to come again: those that wait are through by then, at the usual pace.
Error Core::busy() const {
  const Limiter::Usage usage = limiter_.usage();
  const double wait_ms = usual_ms_ * static_cast<double>(usage.waiting + 1) /
                         static_cast<double>(std::max<std::size_t>(1, usage.capacity));
  return unavailable("the sandbox is busy: all " + std::to_string(usage.capacity) +
                     " places are taken and " + std::to_string(usage.waiting) +
                     " wait; try again in " + std::to_string(static_cast<int>(wait_ms) + 1) +
                     " ms");
}

}  // namespace proctor
