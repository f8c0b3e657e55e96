// What an execution costs: latency and rate of the sandbox beside a pure-Python fork server without
// any isolation, measured in turns within the same minute.
//
//   sandbox_bench [SECONDS_PER_ROW]
//
// Blind spot: the fork server answers at the end of its output, as it must; ours when the tree is
// dead. Rows are taken one after the other: a load from outside that comes and goes is in one of
// them.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <thread>

#include "sandbox/sandbox.h"
#include "tests/support/await.h"

extern char** environ;

namespace proctor {
namespace {

using Steady = std::chrono::steady_clock;

struct Row {
  std::string name;
  double p50, p99, rate;
  std::size_t n;
};

Row measure(const std::string& name, double seconds, const std::function<void()>& once) {
  for (int i = 0; i < 5; ++i) once();
  std::vector<double> times;
  const auto begin = Steady::now();
  while (std::chrono::duration<double>(Steady::now() - begin).count() < seconds ||
         times.size() < 5) {
    const auto start = Steady::now();
    once();
    times.push_back(std::chrono::duration<double, std::milli>(Steady::now() - start).count());
  }
  const double total = std::chrono::duration<double>(Steady::now() - begin).count();
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[std::min(times.size() - 1,
                          static_cast<std::size_t>(share * static_cast<double>(times.size())))];
  };
  return {name, at(0.5), at(0.99), static_cast<double>(times.size()) / total, times.size()};
}

void print(const Row& row) {
  fmt::print("{:<44} {:>9.2f} {:>9.2f} {:>9.1f} {:>7}\n", row.name, row.p50, row.p99, row.rate,
             row.n);
  std::fflush(stdout);
}

// The fork server: one Python that forks a child for every program and pipes its output back.
constexpr const char* kForkServer = R"(
import json, os, struct, sys
import ast, collections, datetime, functools, itertools, math, random, re, string
while True:
    head = os.read(0, 4)
    if len(head) < 4: os._exit(0)
    code = os.read(0, struct.unpack('<I', head)[0])
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(w, 1); os.close(r)
        exec(compile(code, 'main.py', 'exec'), {'__name__': '__main__'})
        sys.stdout.flush(); os._exit(0)
    os.close(w)
    out = b''
    while True:
        part = os.read(r, 65536)
        if not part: break
        out += part
    os.close(r); os.waitpid(pid, 0)
    os.write(3, struct.pack('<I', len(out)) + out)
)";

class ForkServer {
 public:
  ForkServer() {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 3);
    const char* arguments[] = {"/usr/bin/python3", "-I", "-c", kForkServer, nullptr};
    if (posix_spawn(&pid_, arguments[0], &actions, nullptr, const_cast<char**>(arguments),
                    environ) != 0)
      std::abort();
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  ~ForkServer() {
    close(to_);
    close(from_);
    waitpid(pid_, nullptr, 0);
  }
  void run(const std::string& code) {
    const auto size = static_cast<std::uint32_t>(code.size());
    std::string message(reinterpret_cast<const char*>(&size), 4);
    message += code;
    if (write(to_, message.data(), message.size()) < 0) std::abort();
    char answer[4096];
    if (read(from_, answer, sizeof answer) < 5) std::abort();
  }

 private:
  pid_t pid_;
  int to_, from_;
};

Async<void> keep_running(SandboxPool* pool, ExecutionRequest request, Steady::time_point end,
                         std::size_t* done) {
  while (Steady::now() < end) {
    ExecutionRequest copy = request;
    auto ran = co_await pool->run(std::move(copy));
    if (!ran || ran->ending != Ending::ok) std::abort();
    ++*done;
  }
}

double rate_of_two(SandboxPool& pool, const ExecutionRequest& request, double seconds) {
  asio::io_context context;
  std::size_t done = 0;
  const auto begin = Steady::now();
  const auto end = begin + std::chrono::milliseconds(static_cast<int>(seconds * 1000));
  for (int i = 0; i < 2; ++i)
    asio::co_spawn(context, keep_running(&pool, request, end, &done),
                   [](const std::exception_ptr& thrown) {
                     if (thrown) std::rethrow_exception(thrown);
                   });
  context.run();
  return static_cast<double>(done) / std::chrono::duration<double>(Steady::now() - begin).count();
}

int bench(double seconds) {
  SandboxConfig config;
  config.slots = 2;
  auto pool = make_sandbox_pool(config);
  if (!pool) {
    fmt::print(stderr, "sandbox_bench: {}\n", pool.error().message);
    return 3;
  }
  const auto request = [](Language language, std::string code) {
    ExecutionRequest made;
    made.language = language;
    made.code = std::move(code);
    return made;
  };
  const auto run = [&](const ExecutionRequest& made) {
    ExecutionRequest copy = made;
    auto ran = await((*pool)->run(std::move(copy)));
    if (!ran || ran->ending != Ending::ok) {
      fmt::print(stderr, "sandbox_bench: {}\n", ran ? ran->err + ran->error : ran.error().message);
      std::exit(1);
    }
  };
  fmt::print("isolation: {}, {} layers; {} cores; ms by the clock, sequential\n\n",
             (*pool)->isolation().level, (*pool)->isolation().active.size(),
             std::thread::hardware_concurrency());
  fmt::print("{:<44} {:>9} {:>9} {:>9} {:>7}\n", "", "p50", "p99", "per s", "n");

  const auto print_one = request(Language::python, "print(1)");
  ForkServer server;
  const Row bare = measure("python print(1): fork server, no isolation", seconds,
                           [&] { server.run("print(1)"); });
  print(bare);
  const Row ours = measure("python print(1): sandbox", seconds, [&] { run(print_one); });
  print(ours);
  fmt::print("{:<44} {:>9.2f}\n", "  p50 beside the fork server", ours.p50 / bare.p50);
  const double two = rate_of_two(**pool, print_one, seconds);
  fmt::print("{:<44} {:>29.1f}\n{:<44} {:>9.2f}\n", "python print(1): sandbox, two at once", two,
             "  beside one at once", two / ours.rate);
  print(measure("bash: true", seconds, [&] { run(request(Language::bash, "/bin/true")); }));
  print(measure("bash: builtin only", seconds, [&] { run(request(Language::bash, ":")); }));
  const std::string hello = "#include <iostream>\nint main() { std::cout << \"hello\\n\"; }\n";
  int fresh = 0;
  print(measure("c++ hello, cold", seconds, [&] {
    run(request(Language::cpp, hello + "// " + std::to_string(++fresh) + "\n"));
  }));
  print(
      measure("c++ hello, compiled before", seconds, [&] { run(request(Language::cpp, hello)); }));
  auto session = await((*pool)->open_session(Language::python, Limits{}));
  if (session)
    print(measure("python session: one cell", seconds, [&] {
      auto ran = await((*session)->run("x = 1", Limits{}));
      if (!ran || ran->ending != Ending::ok) std::exit(1);
    }));
  // Until the copy has answered its first cell. What it holds while it only reads is its own
  // memory, beside the session's.
  for (const int mib : {0, 64}) {
    auto heap = await((*pool)->open_session(Language::python, Limits{}));
    if (!heap || !await((*heap)->run(fmt::format("x = b'x' * ({} << 20)", mib), Limits{}))) break;
    std::int64_t held = 0;
    print(measure(fmt::format("fork of a python session, {} MiB heap", mib), seconds, [&] {
      auto fork = await((*heap)->fork());
      if (!fork) {
        fmt::print(stderr, "sandbox_bench: {}\n", fork.error().message);
        std::exit(1);
      }
      auto ran = await((*fork)->run("len(x)", Limits{}));
      if (!ran || ran->ending != Ending::ok) std::exit(1);
      held = std::max(held, ran->usage.peak_memory_bytes);
    }));
    fmt::print("{:<44} {:>9.2f}\n", "  MiB a fork holds at most",
               static_cast<double>(held) / (1 << 20));
  }
  return 0;
}

}  // namespace
}  // namespace proctor

int main(int argc, char** argv) {
  if (auto started = proctor::start_launcher(); !started) return 3;
  return proctor::bench(argc > 1 ? std::atof(argv[1]) : 3.0);
}
