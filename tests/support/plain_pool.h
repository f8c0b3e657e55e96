// A SandboxPool without a sandbox: runs Python requests as plain child processes in a fresh folder.
// Only for programs that the tests themselves wrote and that mean no harm.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/core/json.h"
#include "sandbox/sandbox.h"

namespace proctor {

class PlainPool final : public SandboxPool {
 public:
  Async<Result<Execution>> run(ExecutionRequest request) override {
    ++runs;
    char name[] = "/tmp/proctor-plain-XXXXXX";
    const std::filesystem::path folder = mkdtemp(name);
    request.files["plain_main.py"] = request.code;
    for (const auto& [file, content] : request.files) std::ofstream(folder / file) << content;
    const std::string command = "cd " + folder.string() +
                                " && timeout -k 1 120 /usr/bin/python3 plain_main.py >.out 2>.err";
    const int status = std::system(command.c_str());
    Execution execution;
    execution.exit_code = WEXITSTATUS(status);
    execution.ending = status == 0 ? Ending::ok : Ending::nonzero_exit;
    execution.out = content_of(folder / ".out");
    execution.err = content_of(folder / ".err");
    for (const auto& file : request.get) execution.files[file] = content_of(folder / file);
    std::filesystem::remove_all(folder);
    co_return execution;
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language, Limits,
                                                              Milliseconds) override {
    co_return missing("the plain pool has no sessions");
  }
  const Isolation& isolation() const override { return isolation_; }
  Limiter::Usage usage() const override { return {}; }

  int runs = 0;

 private:
  static std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  Isolation isolation_;
};

}  // namespace proctor
