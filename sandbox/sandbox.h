// The front door of the sandbox: runs what must not be trusted, under limits, and reports how it
// ended and which isolation layers were really active.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/json.h"
#include "runtime/core/result.h"
#include "sandbox/language.h"

namespace proctor {

enum class Bytes : std::int64_t {};
constexpr std::int64_t count(Bytes bytes) { return static_cast<std::int64_t>(bytes); }
constexpr Bytes operator""_MiB(unsigned long long n) { return static_cast<Bytes>(n * 1024 * 1024); }

// A host that a program may reach, as `read_network` has it.
struct AllowedHost {
  std::string host;
  int port = 0;  // 0: 80 and 443
};

struct Limits {
  Milliseconds cpu = 10s;  // of the whole tree
  Milliseconds wall = 20s;
  Bytes memory = 512_MiB;
  Bytes output = 1_MiB;  // stdout and stderr, each
  int processes = 32;    // processes and threads
  int open_files = 256;
  Bytes file = 64_MiB;   // one file's size
  Bytes disk = 256_MiB;  // the workspace
  int inodes = 16384;
  std::vector<AllowedHost> network;  // none: no network; a session has that it was opened with
  Bytes network_bytes = 64_MiB;      // sent and received
};
// What a limit may be, both ends included, by its name in requests.
std::pair<std::int64_t, std::int64_t> limit_range(std::string_view name);
// Reads the options of `proctor exec` and of requests (time_ms, wall_ms, memory_bytes, ...,
// network) over the given defaults.
Result<Limits> read_limits(const json::object& options, const Limits& defaults = {});

enum class Ending {
  ok,
  nonzero_exit,
  signaled,
  time_limit,
  wall_limit,
  memory_limit,
  output_limit,
  process_limit,
  file_limit,
  denied,
  compile_error,
  sandbox_error
};
const char* to_string(Ending ending);

// One execution of a program given as text.
struct ExecutionRequest {
  Language language = Language::python;
  std::string code;
  std::string input;                         // stdin
  std::map<std::string, std::string> files;  // written into the workspace: relative name ─▶ bytes
  std::vector<std::string> get;              // files to bring back
  std::vector<std::string> arguments;
  Limits limits;
  std::vector<std::string> compiler_flags;  // c, cpp: instead of the defaults
  std::function<void()> started = {};       // called once a slot is granted, on any thread
};

// A request as a record: {"lang","code"}, and, all optional, the limits, "network" ("none" or
// "allow:HOST,..."), "files" {NAME: base64}, "get" [NAME], "stdin", "arguments", "compiler_flags".
// Unknown keys are refused with the nearest known one; `id` is the caller's and is let pass.
Result<ExecutionRequest> read_execution_request(const json::object& request,
                                                const Limits& defaults = {});

struct MissingLayer {
  std::string layer, why, remedy;
};

struct Isolation {
  std::string level;                // full | reduced
  std::vector<std::string> active;  // user, mount, pid, net, ipc, uts, cgroup, seccomp, ...
  std::vector<MissingLayer> missing;
};

struct ExecutionUsage {
  double wall_ms = 0, cpu_ms = 0;
  std::int64_t peak_memory_bytes = 0;
  int peak_processes = 0;
};

// What became of one connection to the outside.
struct NetworkConnection {
  enum class Outcome { ok, refused, error, limit, open };  // open: it goes on after the cell
  std::string host;
  int port = 0;
  std::string address;  // "": it came to none
  std::int64_t bytes_out = 0, bytes_in = 0;
  double ms = 0;
  Outcome outcome = Outcome::ok;
  std::string why;  // "" where all is well
};
const char* to_string(NetworkConnection::Outcome outcome);

struct NetworkUse {
  std::vector<NetworkConnection> connections;
  std::int64_t unlisted = 0;  // that were too many to be let through or written down
};

// How it ended; always data. `sandbox_error` says in `error` what failed of ours.
struct Execution {
  Ending ending = Ending::sandbox_error;
  std::optional<int> exit_code;
  std::optional<int> signal;
  std::string out, err;
  bool out_truncated = false, err_truncated = false;
  std::map<std::string, std::string> files;
  ExecutionUsage usage;
  Isolation isolation;
  std::vector<std::pair<std::string, int>> denied;  // system call ─▶ count
  std::optional<NetworkUse> network;                // where there was one
  std::string error;
};
// The Execution record of the contract.
json::object to_json(const Execution& execution);

// A live Python or bash across executions. Ends with the object. All calls are safe from any
// thread; one cell runs at a time.
class SandboxSession {
 public:
  virtual ~SandboxSession() = default;
  // One cell; in Python the value of a last expression is shown as a notebook shows it. What was
  // printed since the last cell comes with it. A cell that had to be ended, or that ended the
  // interpreter, takes the session along, and `error` says so; one that only was refused a process,
  // or lost a child for its memory, does not. What a Python cell has drawn with matplotlib is in
  // `files` (figure-1.png and so on).
  virtual Async<Result<Execution>> run(std::string code, Limits limits,
                                       std::function<void()> started = {}) = 0;
  // A copy of the live process, copy-on-write, and of its files, between two cells; it ends on its
  // own. What it sees of the clock, the network of its session and the descriptors it was started
  // with are the same; all else that either does is unseen by the other. `unavailable` while a cell
  // runs, or where it has other processes or threads, which no fork would have; `missing` where
  // namespaces are refused.
  virtual Async<Result<std::shared_ptr<SandboxSession>>> fork() = 0;
  // Interrupts the running cell, as ^C would: a Python raises KeyboardInterrupt. Nothing otherwise.
  virtual void interrupt() = 0;
  // A fresh interpreter in a fresh workspace in place of this one, whether that lives or not.
  virtual Async<Status> reset() = 0;
  virtual bool alive() const = 0;
};

// Open files of a slot, measured.
inline constexpr std::size_t kFilesOfSlot = 20;

struct SandboxConfig {
  std::size_t slots = 0;             // executions at once; 0 = one per core
  std::size_t most_waiting = 4096;   // executions that wait for a place; more are answered "busy"
  bool strict = false;               // any missing layer refuses to start (`missing`)
  std::vector<std::string> require;  // layers below which it refuses
  bool allow_weak = false;           // go on even where guests are nearly as free as we are
  std::string python;                // interpreter; "" = the one set up for proctor, else python3
  std::size_t other_files = 24;      // that the process has open besides (measured: exec's)
  // The addresses of a host that a program may reach; blocks, on a thread of its own. None: the
  // system's.
  std::function<Result<std::vector<std::string>>(const std::string& host)> look_up;
};

// A trusted launcher process and warm slots behind it. The launcher, with the guardian that keeps
// it running, is forked by `start_launcher`, which main calls before any thread exists.
class SandboxPool {
 public:
  virtual ~SandboxPool() = default;
  // Safe from any thread and executor; waits for a slot in order. `unavailable` when too many wait:
  // "busy", and in how many milliseconds to try again.
  // Cancelling kills the execution's whole tree.
  virtual Async<Result<Execution>> run(ExecutionRequest request) = 0;
  // Python or bash. One that nobody uses for `idle` ends; 0: it waits for ever.
  virtual Async<Result<std::shared_ptr<SandboxSession>>> open_session(
      Language language, Limits limits, Milliseconds idle = Milliseconds(0)) = 0;
  virtual const Isolation& isolation() const = 0;
  virtual Limiter::Usage usage() const = 0;
};

// Forks the launcher; call it first thing in main, while the process has one thread. Cheap: nothing
// else is set up until a pool is made.
Status start_launcher();
// `missing` when `strict` or `require` cannot be met, naming the layer and the remedy.
Result<std::unique_ptr<SandboxPool>> make_sandbox_pool(const SandboxConfig& config);

}  // namespace proctor
