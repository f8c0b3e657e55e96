// Every subcommand is one function in a NAME_command.cpp, which near relatives share (run and
// resume, supervisors and tools), and one row in commands.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "runtime/core/result.h"

namespace proctor {

// Declares the options on `command` and gives back what runs once they are parsed: the exit code,
// or an Error that main prints as "proctor: MESSAGE" with the exit code of its kind.
using CommandSetup = std::function<std::function<Result<int>()>(CLI::App& command)>;

struct CommandRow {
  std::string name;
  std::string summary;  // one line
  std::string example;  // shown by --help and run by a test
  CommandSetup set_up;
};

const std::vector<CommandRow>& commands();

// What every command that reads trajectories takes.
inline constexpr const char* kTrajectoriesMeaning =
    "a run directory, or trajectories (.jsonl, .jsonl.zst, - for stdin)";

// Of options for which an empty text would mean something else than what was typed.
inline CLI::Validator not_empty() {
  return {[](const std::string& text) { return text.empty() ? "is empty" : ""; }, ""};
}

// The remark on a supervisor that had turns to look at, and nothing to say of any.
inline std::string labelled_nothing(const std::string& alias, const std::string& name) {
  return "proctor: " + alias + " labelled nothing; `proctor supervisors " + name +
         "` says what it judges\n";
}

// Set by the first SIGINT or SIGTERM from here on; the second does not wait.
const std::atomic<bool>& catch_interrupt();

std::function<Result<int>()> set_up_run(CLI::App& command);
std::function<Result<int>()> set_up_resume(CLI::App& command);
std::function<Result<int>()> set_up_label(CLI::App& command);
std::function<Result<int>()> set_up_exec(CLI::App& command);
std::function<Result<int>()> set_up_index(CLI::App& command);
std::function<Result<int>()> set_up_show(CLI::App& command);
std::function<Result<int>()> set_up_export(CLI::App& command);
std::function<Result<int>()> set_up_lint(CLI::App& command);
std::function<Result<int>()> set_up_supervisors(CLI::App& command);
std::function<Result<int>()> set_up_tools(CLI::App& command);
std::function<Result<int>()> set_up_doctor(CLI::App& command);
std::function<Result<int>()> set_up_bench(CLI::App& command);

}  // namespace proctor
