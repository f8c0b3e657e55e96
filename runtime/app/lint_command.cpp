// proctor lint: proves records, and names the first thing that is wrong.
#include <fmt/format.h>

#include <cstdint>
#include <iostream>
#include <map>
#include <memory>

#include "runtime/app/commands.h"
#include "runtime/core/harmless.h"
#include "runtime/core/text_table.h"
#include "runtime/lint.h"

namespace proctor {
namespace {

constexpr std::size_t kMostOfOneRecord = 100'000;  // complaints, however broken it is

struct LintArguments {
  std::string path;
  bool all = false;
};

// Complaints that differ in numbers alone are of one kind.
std::string kind_of(const std::string& what) {
  std::string kind;
  for (const char letter : what) {
    const bool numeral = std::string_view("0123456789.-+").find(letter) != std::string_view::npos;
    if (!numeral)
      kind += letter;
    else if (kind.empty() || kind.back() != '#')
      kind += '#';
  }
  return kind;
}

int nothing_wrong(const std::string& path, const LintReport& report) {
  const auto count = [](std::size_t n, const char* thing) {
    return plural(static_cast<std::int64_t>(n), thing);
  };
  std::cout << fmt::format("{}: {}, {}, {}, {}: nothing is wrong\n", path,
                           count(report.records, "record"), count(report.turns, "turn"),
                           count(report.labels, "label"), count(report.tokens, "token"));
  return 0;
}

Result<int> lint_first(const std::string& path) {
  std::string first;
  auto report = lint(path, 1, [&](const Complaint& complaint) {
    first = complaint.text();
    return false;
  });
  if (!report) return std::move(report).error();
  if (!first.empty()) return bad_input(first);
  return nothing_wrong(path, *report);
}

// One line a kind: the first of it, and how many more there are.
Result<int> lint_all(const std::string& path) {
  struct Kind {
    std::string first, last_where;
    std::int64_t times = 0, records = 0;
  };
  std::map<std::string, Kind> kinds;
  std::vector<std::string> order;
  auto report = lint(path, kMostOfOneRecord, [&](const Complaint& complaint) {
    const std::string name = kind_of(complaint.what);
    Kind& kind = kinds[name];
    if (++kind.times == 1) {
      kind.first = complaint.text();
      order.push_back(name);
    }
    kind.records += kind.last_where != complaint.where;
    kind.last_where = complaint.where;
    return true;
  });
  if (!report) return std::move(report).error();
  for (const auto& name : order) {
    const Kind& kind = kinds[name];
    std::cout << harmless(kind.first, false);
    if (kind.times > 1)
      std::cout << fmt::format(" ({} more like it, in {})", kind.times - 1,
                               plural(kind.records, "record"));
    std::cout << "\n";
  }
  if (report->wrong == 0) return nothing_wrong(path, *report);
  return bad_input(fmt::format("{}: {} of {} {} wrong", path, report->wrong,
                               plural(static_cast<std::int64_t>(report->records), "record"),
                               report->wrong == 1 ? "is" : "are"));
}

}  // namespace

std::function<Result<int>()> set_up_lint(CLI::App& command) {
  auto arguments = std::make_shared<LintArguments>();
  command.add_option("IN", arguments->path, kTrajectoriesMeaning)->required();
  command.add_flag("--all", arguments->all,
                   "all that is wrong on stdout, one line a kind, not the first complaint alone");
  return [arguments] {
    return arguments->all ? lint_all(arguments->path) : lint_first(arguments->path);
  };
}

}  // namespace proctor
