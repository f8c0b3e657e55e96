// proctor lint: proves records, and names the first thing that is wrong.
#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "runtime/app/commands.h"
#include "runtime/lint.h"

namespace proctor {
namespace {

struct LintArguments {
  std::string path;
  bool all = false;
};

Result<int> run_lint(const LintArguments& arguments) {
  // Of one record the first twenty say enough, however broken it is.
  std::string first;
  auto report = lint(arguments.path, arguments.all ? 20 : 1, [&](const std::string& complaint) {
    if (!arguments.all) {
      first = complaint;
      return false;
    }
    std::cout << complaint << "\n";
    return true;
  });
  if (!report) return std::move(report).error();
  if (!first.empty()) return bad_input(first);
  if (report->wrong > 0)
    return bad_input(fmt::format("{}: {} of {} records are wrong", arguments.path, report->wrong,
                                 report->records));
  std::cout << fmt::format("{}: {} records, {} turns, {} labels, {} tokens: nothing is wrong\n",
                           arguments.path, report->records, report->turns, report->labels,
                           report->tokens);
  return 0;
}

}  // namespace

std::function<Result<int>()> set_up_lint(CLI::App& command) {
  auto arguments = std::make_shared<LintArguments>();
  command
      .add_option("PATH", arguments->path,
                  "a run directory, or trajectories (.jsonl, .jsonl.zst, - for stdin)")
      ->required();
  command.add_flag("--all", arguments->all,
                   "every complaint on stdout, instead of the first one alone");
  return [arguments] { return run_lint(*arguments); };
}

}  // namespace proctor
