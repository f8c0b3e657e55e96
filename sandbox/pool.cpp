// Which world this machine allows, proved by running a program in it before anything is promised.
#include "sandbox/pool.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "runtime/core/config.h"
#include "runtime/core/open_files.h"
#include "runtime/core/paths.h"
#include "runtime/core/text_table.h"
#include "sandbox/embedded.h"
#include "sandbox/files.h"
#include "sandbox/filter.h"
#include "sandbox/hear.h"
#include "sandbox/landlock.h"
#include "sandbox/launcher.h"
#include "sandbox/mounts.h"
#include "sandbox/python.h"

namespace proctor {
namespace {

using wire::Kind;

// A testing knob: which world to take, whatever the machine allows.
Result<std::optional<World>> forced_world() {
  const char* wanted = std::getenv("PROCTOR_SANDBOX_WORLD");
  if (!wanted || !*wanted) return std::optional<World>();
  for (World world : {World::root, World::userns, World::reduced})
    if (std::strcmp(wanted, to_string(world)) == 0) return std::optional(world);
  return bad_input(std::string("PROCTOR_SANDBOX_WORLD=") + wanted +
                   ": expected root, userns or reduced");
}

// Another: to do as if no cgroup could be written.
bool wants_no_cgroup() {
  const char* wanted = std::getenv("PROCTOR_SANDBOX_CGROUP");
  return wanted && std::strcmp(wanted, "none") == 0;
}

// Slots of all pools of this process have numbers of their own. With a number come a uid and a
// folder, so it is free again only when the slot's process, and all below it, has ended.
constexpr int kMostSlots = 512;

// Slots for which there are open files enough, at least one.
std::size_t slots_that_fit(std::size_t other_files) {
  return (std::max(most_open_files(), other_files + kFilesOfSlot) - other_files) / kFilesOfSlot;
}

// One a core, where that many fit.
std::size_t usual_slots(std::size_t other_files) {
  return std::min<std::size_t>(std::max(1U, std::thread::hardware_concurrency()),
                               slots_that_fit(other_files));
}

class Indices {
 public:
  static Indices& instance() {
    static Indices indices;
    return indices;
  }
  std::optional<int> take() {
    std::lock_guard lock(mutex_);
    std::erase_if(leaving_, [](const auto& each) { return has_ended(each.second); });
    for (int index = 0; index < kMostSlots; ++index)
      if (!taken_.count(index) && !leaving_.count(index)) {
        taken_.insert(index);
        return index;
      }
    return std::nullopt;
  }
  // A process that was never heard of may be there for good, and keeps its number.
  void give_back(int index, bool has_process, OwnedFd process) {
    std::lock_guard lock(mutex_);
    if (taken_.erase(index) > 0 && has_process) leaving_[index] = std::move(process);
  }

 private:
  std::mutex mutex_;
  std::set<int> taken_;
  std::map<int, OwnedFd> leaving_;  // with the pidfds of their processes
};

std::string describe(wire::Stage stage, int error) {
  return std::string(to_string(stage)) + ": " + std::strerror(error);
}

// One packet within the time, for the moments before the pool's thread runs.
Status receive_within(int socket, wire::Packet& packet, Milliseconds limit) {
  pollfd readable{socket, POLLIN, 0};
  if (poll(&readable, 1, static_cast<int>(limit.count())) <= 0)
    return Error{ErrorKind::timeout, "no answer"};
  if (wire::receive_message(socket, packet) <= 0) return internal_error("the slot is gone");
  return {};
}

// What came with proctor and what it was given to work with: the hidden tests of suites are there.
std::vector<std::string> hidden_directories() {
  std::vector<std::string> hidden;
  std::error_code error;
  for (const auto& directory : {home_directory(), data_directory()}) {
    const auto real = std::filesystem::canonical(directory, error);
    if (!error) hidden.push_back(real.string());
  }
  return hidden;
}

// What to do about layers that are missing: in a container its flags decide, and its groups are
// nobody's inside. Blind spots: a container that shares the host's pid namespace, and one whose
// runtime leaves none of these marks.
struct Remedies {
  const char* namespaces;
  const char* cgroup;
  const char* uid;
};

bool in_container() {
  struct stat own{};
  constexpr ino_t kFirstPidNamespace = 0xEFFFFFFC;  // the kernel's PROC_PID_INIT_INO
  if (stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == kFirstPidNamespace) return false;
  return access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
         std::getenv("container") || std::getenv("KUBERNETES_SERVICE_HOST");
}

const Remedies& remedies() {
  static const Remedies on_host = {
      "run as root, or allow unprivileged user namespaces",
      "run as root, or give this process a delegated cgroup (systemd-run --user --scope -p "
      "Delegate=yes)",
      "run as root"};
  static const Remedies inside = {
      "docker run --security-opt seccomp=docker/seccomp.json --security-opt apparmor=unconfined "
      "--security-opt systempaths=unconfined (docs/docker.md)",
      "none from inside: --memory and --pids-limit of docker run hold the container as a whole",
      "docker run --user root; in the full world with --cap-add SYS_ADMIN, which docs/docker.md "
      "advises against"};
  static const Remedies& chosen = in_container() ? inside : on_host;
  return chosen;
}

constexpr std::array kNamespaces = {"user", "mount", "pid", "net", "ipc", "uts"};

}  // namespace

Slot::~Slot() { Indices::instance().give_back(index, asked, std::move(process)); }

Core::Core(SandboxConfig config)
    : config_(std::move(config)),
      limiter_(config_.slots ? config_.slots : usual_slots(config_.other_files),
               config_.most_waiting),
      room_(slots_that_fit(config_.other_files)) {
  for (std::size_t i = 0; i < kProfiles; ++i) {
    const auto profile = static_cast<Profile>(i);
    auto hear = [this](const wire::Packet& packet) { return dispatch(packet); };
    auto lost = [this, profile] {
      for (const auto& [id, weak] : guests_) {
        const GuestRef guest = weak.lock();
        if (!guest || guest->from != profile || guest->exited) continue;
        guest->failed = true;
        guest->stage = wire::Stage::interpreter;
        guest->error = EPIPE;
        guest->changed.ring();
      }
    };
    zygotes_[i] = std::make_unique<Zygote>(context_, profile, std::move(hear), std::move(lost));
  }
}

Core::~Core() {
  stop();
  slots_.clear();
  cgroups_.reset();
  if (!boxes_.empty()) {
    remove_below(boxes_);
    (void)rmdir(boxes_.c_str());
  }
}

Status Core::start() {
  if (limiter_.usage().capacity > kMostSlots / 2)
    return bad_input("at most " + std::to_string(kMostSlots / 2) + " executions at once, got " +
                     std::to_string(limiter_.usage().capacity));
  const auto at_once = static_cast<std::int64_t>(limiter_.usage().capacity);
  if (auto enough = need_open_files(config_.other_files + kFilesOfSlot * limiter_.usage().capacity,
                                    plural(at_once, "program") + " at a time in the sandbox " +
                                        (at_once == 1 ? "needs" : "need"));
      !enough)
    return enough;
  const PythonPlace place = find_python(config_.python);
  python_ = place.interpreter;
  trees_ = place.trees;
  hidden_ = hidden_directories();
  for (const auto& directory : hidden_)
    if (lies_in("/usr/bin", directory))
      return bad_input("'" + directory +
                       "' cannot be proctor's home or data folder: programs that "
                       "run in the sandbox need what is in there, and would find the hidden tests");
  if (auto chosen = choose_world(); !chosen) return chosen;
  describe_isolation();
  if (auto floor = check_floor(); !floor) return floor;
  work_.emplace(context_.get_executor());
  for (const auto& slot : slots_) {
    set_going(read_slot(slot));
    idle_.push_back(slot);
  }
  return thread_.start(1, [this] { context_.run(); });
}

Status Core::choose_world() {
  if (guardian_pid() == 0) return internal_error("sandbox: start_launcher() was not called");
  if (!wants_no_cgroup()) cgroups_ = Cgroups::find();
  if (cgroups_ && cgroups_->usable()) {
    remove_when_gone(cgroups_->directories());
  } else {
    const std::string why =
        cgroups_ ? cgroups_->why() : "PROCTOR_SANDBOX_CGROUP=none asks for none";
    missing_.push_back(
        {"cgroup", why + "; memory, time and processes are polled", remedies().cgroup});
  }
  landlock_ = landlock_abi() > 0;
  if (!landlock_)
    missing_.push_back({"landlock", "the kernel has no Landlock",
                        "a kernel from 5.13 on with landlock among the lsm= modules"});

  std::vector<World> worlds = {World::userns, World::reduced};
  if (geteuid() == 0) worlds.insert(worlds.begin(), World::root);
  auto forced = forced_world();
  if (!forced) return std::move(forced).error();
  if (*forced) worlds = {**forced};
  std::string why_not;
  for (const World world : worlds) {
    const Status tried = try_world(world);
    if (!tried) {
      why_not += (why_not.empty() ? "" : "; ") + std::string(to_string(world)) + ": " +
                 tried.error().message;
      continue;
    }
    if (world == World::reduced) {
      if (*forced) why_not = "PROCTOR_SANDBOX_WORLD=reduced asks for none";
      for (const char* name : kNamespaces)
        missing_.push_back({name, "namespaces refused: " + why_not, remedies().namespaces});
    }
    if (world == World::reduced && geteuid() != 0) {
      // Guests are the same user: what is left must at least keep them from our files and signals.
      if (!landlock_ && !config_.allow_weak)
        return missing("no isolation worth the name can be had here: namespaces are refused (" +
                       why_not +
                       "), there is no Landlock, and guests would be the same user; "
                       "allow it (proctor exec --allow-weak), or " +
                       remedies().namespaces);
      (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    return {};
  }
  return missing("no sandbox can be set up here: " + why_not);
}

Status Core::try_world(World world) {
  world_ = world;
  FilterOptions options;
  options.namespaces = world != World::reduced;
  options.own_uid = world != World::reduced || geteuid() == 0;
  options.truncation_held = options.own_uid || landlock_abi() >= kLandlockTruncate;
  options.counted = cgroups_ && cgroups_->usable();
  const auto build = [&options](OwnedFd& into, FilterPart part, bool session) -> Status {
    options.session = session && options.namespaces;
    auto filter = build_filter(options, part);
    if (!filter) return std::move(filter).error();
    auto sealed = sealed_memory(*filter, "filter");
    if (!sealed) return std::move(sealed).error();
    into = std::move(*sealed);
    return {};
  };
  for (auto& [filters, part] : {std::pair{&slot_filters_, FilterPart::whole},
                                std::pair{&zygote_filters_, FilterPart::own}}) {
    if (auto built = build(filters->program, part, false); !built) return built;
    if (auto built = build(filters->session, part, true); !built) return built;
  }
  if (auto built = build(zygote_filters_.inherited, FilterPart::inherited, true); !built)
    return built;
  if (world == World::reduced && boxes_.empty()) {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base && *base ? base : "/tmp") + "/proctor-XXXXXX";
    if (!mkdtemp(path.data()) || chmod(path.c_str(), 0711) != 0)
      return internal_error("'" + path + "': " + std::strerror(errno));
    std::error_code ignored;
    boxes_ = std::filesystem::canonical(path, ignored);  // as /proc names what lies there
    remove_when_gone({boxes_});
    if (auto written = write_file(boxes_ + "/child.so", child_library()); !written) return written;
    (void)chmod((boxes_ + "/child.so").c_str(), 0755);
  }
  // Layers that can be gone without are dropped one by one until a program runs.
  for (int attempt = 0; attempt < 3; ++attempt) {
    auto slot = request_slot();
    if (!slot) return std::move(slot).error();
    Status proved = prove(**slot);
    if (proved) {
      slots_.push_back(*slot);
      return {};
    }
    const wire::Stage stage = (*slot)->stage;
    if (stage == wire::Stage::cgroup && cgroups_ && cgroups_->usable()) {
      missing_.push_back({"cgroup", proved.error().message, remedies().cgroup});
      (*slot)->cgroup.reset();
      cgroups_ = nullptr;
      return try_world(world);  // its filter is another
    } else if (stage == wire::Stage::landlock && landlock_) {
      missing_.push_back({"landlock", proved.error().message, "allow landlock_* system calls"});
      landlock_ = false;
    } else {
      return proved;
    }
  }
  return internal_error("no program could be run");
}

SlotPlan Core::plan_for(int index) const {
  SlotPlan plan;
  plan.world = world_;
  plan.index = index;
  plan.trees = trees_;
  plan.hidden = hidden_;
  plan.landlock = landlock_;
  plan.python = world_ == World::reduced ? python_ : place_in_view(python_);
  plan.child_object = world_ == World::reduced ? boxes_ + "/child.so" : kLibrary;
  if (world_ == World::reduced) plan.box = boxes_ + "/" + std::to_string(index);
  if (world_ != World::userns && geteuid() == 0) {
    // A uid of the slot's own, which no other proctor on this machine uses.
    plan.host_uid = 1'000'000'000U + static_cast<std::uint32_t>(guardian_pid()) * kMostSlots +
                    static_cast<std::uint32_t>(index) % kMostSlots;
  }
  return plan;
}

Result<SlotRef> Core::new_slot() const {
  auto slot = std::make_shared<Slot>(const_cast<asio::io_context&>(context_));
  const auto index = Indices::instance().take();
  if (!index)
    return unavailable("all " + std::to_string(kMostSlots) +
                       " slots of this process are in use; close some sessions");
  slot->index = *index;
  if (cgroups_ && cgroups_->usable()) {
    slot->cgroup = cgroups_->make(slot->index);
    if (!slot->cgroup) return internal_error(std::string("cgroup: ") + std::strerror(errno));
  }
  return slot;
}

Result<SlotRef> Core::request_slot() {
  auto made = new_slot();
  if (!made) return std::move(made).error();
  const SlotRef slot = *made;
  const SlotPlan plan = plan_for(slot->index);
  slot->host_uid = plan.host_uid;
  if (!plan.box.empty() && mkdir(plan.box.c_str(), 0711) != 0 && errno != EEXIST)
    return internal_error("'" + plan.box + "': " + std::strerror(errno));
  auto socket = ask_for_slot(plan, slot_filters_.fds());
  if (!socket) return std::move(socket).error();
  slot->asked = true;
  slot->socket.assign(*socket);
  return slot;
}

// Runs `true` in the slot, blocking, as the first and only thing before the thread starts.
Status Core::prove(Slot& slot) {
  constexpr Milliseconds kPatience = 15s;
  static wire::Packet packet;
  const int socket = slot.socket.native_handle();
  const auto expect = [&](Kind kind) -> Status {
    for (;;) {
      if (auto received = receive_within(socket, packet, kPatience); !received) return received;
      if (packet.message.kind == Kind::failed) {
        slot.stage = packet.message.stage;
        slot.error = packet.message.error;
        return missing(describe(slot.stage, slot.error));
      }
      if (packet.message.kind == kind) return {};
      packet.close_fds();
    }
  };
  if (auto ready = expect(Kind::ready); !ready) return ready;
  (void)hear(slot, packet);
  packet.close_fds();

  const Limits defaults;
  wire::Message prepare;
  prepare.kind = Kind::prepare;
  prepare.id = ++last_id_;
  prepare.box_bytes = slot.box_bytes = count(defaults.disk);
  prepare.box_inodes = slot.box_inodes = defaults.inodes;
  (void)wire::send_message(socket, prepare);
  if (auto prepared = expect(Kind::prepared); !prepared) return prepared;
  (void)hear(slot, packet);
  packet.close_fds();
  if (slot.cgroup && !slot.cgroup->begin(count(defaults.memory), defaults.processes)) {
    slot.stage = wire::Stage::cgroup;
    slot.error = errno;
    return missing(describe(slot.stage, slot.error));
  }

  wire::Message spawn = spawn_message(slot);
  spawn.id = ++last_id_;
  spawn.n_arguments = 1;
  std::string text = work_directory(slot);
  text += '\0';
  text += "/bin/true";
  text += '\0';
  const OwnedFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  std::vector<int> fds = {nothing.get(), nothing.get(), nothing.get(),
                          slot.init ? slot.init.get() : nothing.get()};
  if (slot.cgroup)
    fds.insert(fds.end(), slot.cgroup->entrances().begin(), slot.cgroup->entrances().end());
  (void)wire::send_message(socket, spawn, text.data(), text.size(), fds.data(),
                           static_cast<int>(fds.size()));
  if (auto exited = expect(Kind::exited); !exited) return exited;
  if (packet.message.value != 0)
    return missing("a trial program ended with status " + std::to_string(packet.message.value));
  (void)fcntl(socket, F_SETFL, O_NONBLOCK);
  return {};
}

void Core::describe_isolation() {
  isolation_.level = world_ == World::reduced ? "reduced" : "full";
  if (world_ != World::reduced) isolation_.active.assign(kNamespaces.begin(), kNamespaces.end());
  if (slots_.front()->cgroup) isolation_.active.push_back("cgroup");
  isolation_.active.insert(isolation_.active.end(),
                           {"seccomp", "rlimits", "no_new_privs", "capabilities"});
  if (landlock_ && world_ == World::reduced && landlock_abi() < kLandlockScopes)
    missing_.push_back({"landlock",
                        "the kernel's (version " + std::to_string(landlock_abi()) +
                            ") keeps guests from files, but not from signals to others",
                        "a kernel from 6.12 on"});
  else if (landlock_)
    isolation_.active.push_back("landlock");
  if (slots_.front()->host_uid != 0)
    isolation_.active.push_back("uid");
  else
    missing_.push_back(
        {"uid", "not started as root: guests are the same user outside", remedies().uid});
  isolation_.missing = missing_;
}

Status Core::check_floor() const {
  static const std::vector<std::string> known = {
      "user",    "mount",   "pid",          "net",          "ipc",      "uts", "cgroup",
      "seccomp", "rlimits", "no_new_privs", "capabilities", "landlock", "uid"};
  for (const auto& wanted : config_.require) {
    if (std::find(known.begin(), known.end(), wanted) == known.end())
      return bad_input("unknown isolation layer '" + wanted + "'" + nearest_hint(wanted, known));
    if (std::find(isolation_.active.begin(), isolation_.active.end(), wanted) !=
        isolation_.active.end())
      continue;
    for (const auto& layer : isolation_.missing)
      if (layer.layer == wanted)
        return missing("isolation layer '" + wanted + "' is required and missing (" + layer.why +
                       "): " + layer.remedy);
    return missing("isolation layer '" + wanted + "' is required and missing");
  }
  if (config_.strict && !isolation_.missing.empty()) {
    const MissingLayer& layer = isolation_.missing.front();
    std::string names;
    for (const auto& each : isolation_.missing) names += (names.empty() ? "" : ", ") + each.layer;
    return missing("strict: isolation layers are missing: " + names + " (" + layer.why +
                   "): " + layer.remedy);
  }
  return {};
}

void Core::stop() {
  if (!thread_.running()) return;
  asio::post(context_, [this] {
    stopping_ = true;
    for (const auto& each : zygotes_) each->close();
    const auto slots = slots_;
    for (const auto& slot : slots) give_up(slot);
    for (const auto& [id, weak] : guests_)
      if (auto guest = weak.lock()) {
        guest->failed = true;
        guest->changed.ring();
      }
    slot_ready_.ring();
    work_.reset();
  });
  thread_.join();
}

namespace {

class Pool final : public SandboxPool {
 public:
  explicit Pool(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~Pool() override { core_->stop(); }

  Async<Result<Execution>> run(ExecutionRequest request) override {
    return core_->run(std::move(request));
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language language, Limits limits,
                                                              Milliseconds idle) override {
    return core_->open_session(language, limits, idle);
  }
  const Isolation& isolation() const override { return core_->isolation(); }
  Limiter::Usage usage() const override { return core_->limiter().usage(); }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Result<std::unique_ptr<SandboxPool>> make_sandbox_pool(const SandboxConfig& config) {
  auto core = std::make_shared<Core>(config);
  if (auto started = core->start(); !started) return std::move(started).error();
  return std::unique_ptr<SandboxPool>(std::make_unique<Pool>(std::move(core)));
}

}  // namespace proctor
