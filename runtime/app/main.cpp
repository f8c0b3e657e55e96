// proctor's front: parses the command line, runs one command, turns its Error into one sentence.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>

#include "runtime/app/commands.h"
#include "runtime/core/config.h"
#include "runtime/core/harmless.h"
#include "runtime/core/records.h"
#include "sandbox/sandbox.h"

namespace proctor {
namespace {

constexpr const char* kNoStdout = "stdout: cannot be written";

// A reader that has gone away (`| head`) wanted no more, and no remark on it.
bool reader_has_gone() {
  pollfd out{STDOUT_FILENO, 0, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

// What is still in the buffer goes out now: output that is lost is a failure, and not a success
// that nobody sees.
int ended(int code) {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  const int reason = errno;
  std::cout.flush();
  if (flushed && std::cout && std::ferror(stdout) == 0) return code;
  if (!reader_has_gone())
    std::cerr << "proctor: " << kNoStdout
              << (reason == 0 ? std::string() : std::string(": ") + std::strerror(reason)) << "\n";
  return code == 0 ? 1 : code;
}

// A closed one's number must not become that of something else. To stdout nobody can write then:
// output would be lost.
void keep_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(descriptor, F_GETFD) < 0)
      (void)::open("/dev/null", descriptor == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

int run(int argc, char** argv) {
  // A write that fails says so itself.
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
  keep_standard_descriptors();
  // First of all, while there is one thread: the launcher of sandboxes must not inherit any other.
  const Status launcher = start_launcher();

  CLI::App app{"runs LLM agents and supervises how they work"};
  app.name("proctor");
  app.set_version_flag("--version", std::string("proctor ") + kVersion);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return "proctor: " + std::string(error.what()) + "\nRun with --help for more information.\n";
  });
  std::function<Result<int>()> chosen;
  for (const auto& row : commands()) {
    CLI::App* command = app.add_subcommand(row.name, row.summary);
    command->footer("Example:\n  " + row.example);
    auto body = row.set_up(*command);
    command->callback([&chosen, body] { chosen = body; });
  }
  std::vector<std::string> names;
  for (const auto& row : commands()) names.push_back(row.name);
  if (argc > 1 && argv[1][0] != '-' &&
      std::find(names.begin(), names.end(), argv[1]) == names.end()) {
    std::cerr << "proctor: unknown command '" << harmless(argv[1], false) << "'"
              << nearest_hint(argv[1], names) << "\n";
    return 2;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ended(app.exit(error) == 0 ? 0 : 2);
  }
  if (!launcher) {
    std::cerr << "proctor: sandbox launcher: " << launcher.error().message << "\n";
    return exit_code(launcher.error().kind);
  }
  Result<int> result = internal_error("");
  try {
    result = chosen();
  } catch (const std::exception& bug) {
    result = internal_error(bug.what());
  }
  if (result) return ended(*result);
  const Error& error = result.error();
  // It may quote what a model or a file said.
  if (error.message.find(kNoStdout) == std::string::npos || !reader_has_gone())
    std::cerr << "proctor: " << harmless(error.message, true) << "\n";
  return exit_code(error.kind);
}

}  // namespace
}  // namespace proctor

int main(int argc, char** argv) {
  try {
    return proctor::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "proctor: %s\n", error.what());  // before any command was chosen
    return 1;
  }
}
