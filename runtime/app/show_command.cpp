// proctor show: a run, or one trajectory of it, in the terminal.
//
// A run's pages come from the store's columns; only the trajectory asked for is read.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "runtime/app/commands.h"
#include "runtime/app/terminal_text.h"
#include "runtime/app/trajectory_text.h"
#include "runtime/core/config.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text_table.h"
#include "runtime/overview.h"
#include "runtime/row_filter.h"
#include "runtime/store.h"

namespace proctor {
namespace {

struct ShowArguments {
  std::string directory, trajectory;
  std::vector<std::string> filters;
  std::size_t limit = 20;
  bool as_json = false, full = false;
};

std::string percent(std::int64_t part, std::int64_t whole) {
  return whole == 0
             ? "-"
             : fmt::format("{:.0f}%", 100 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.3g}", *value) : "-";
}

std::string range(const std::optional<Interval>& interval, double scale, const char* unit) {
  if (!interval) return "-";
  return fmt::format("{:.3g}{} .. {:.3g}{}", scale * interval->low, unit, scale * interval->high,
                     unit);
}

std::string suites_text(const std::vector<SuiteOverview>& suites) {
  std::vector<std::vector<std::string>> table{{"suite", "tasks", "trajectories", "answered",
                                               "correct", "95 %", "reward", "95 %", "turns",
                                               "errors"}};
  for (const auto& suite : suites) {
    std::optional<Interval> shares = suite.correct_interval;
    if (shares) *shares = {std::round(100 * shares->low), std::round(100 * shares->high)};
    table.push_back({suite.suite, std::to_string(suite.tasks), std::to_string(suite.trajectories),
                     percent(suite.answered, suite.trajectories),
                     percent(suite.correct, suite.graded), range(shares, 1, "%"),
                     number(suite.reward), range(suite.reward_interval, 1, ""),
                     fmt::format("{:.1f}", static_cast<double>(suite.turns) /
                                               static_cast<double>(suite.trajectories)),
                     std::to_string(suite.errors)});
  }
  return text_table(table);
}

std::string labels_text(const std::vector<LabelTotal>& totals) {
  std::vector<std::vector<std::string>> table{{"supervisor", "label", "level", "labels", "mean",
                                               "range", "correct", "incorrect", "neutral", "failed",
                                               "model calls", "executions"}};
  for (const auto& total : totals) {
    std::optional<double> mean;
    if (total.valued > 0) mean = total.total / static_cast<double>(total.valued);
    std::optional<Interval> values;
    if (total.least && total.most) values = Interval{*total.least, *total.most};
    const auto count = [](std::int64_t n) { return n == 0 ? "-" : std::to_string(n); };
    table.push_back({total.supervisor, total.name, total.level, std::to_string(total.count),
                     number(mean), range(values, 1, ""), count(total.correct),
                     count(total.incorrect), count(total.neutral), count(total.failed),
                     count(total.model_calls), count(total.executions)});
  }
  return text_table(table);
}

std::string rows_text(const std::vector<TrajectoryRow>& rows, std::size_t limit) {
  std::vector<std::vector<std::string>> table{
      {"trajectory", "status", "correct", "reward", "turns"}};
  for (const auto& row : rows) {
    if (table.size() > limit) break;
    table.push_back({harmless(row.id, false), row.status,
                     row.correct ? (*row.correct ? "yes" : "no") : "-", number(row.reward),
                     std::to_string(row.turns)});
  }
  return text_table(table);
}

// The whole id, or a beginning of it or of the task's that only one has.
Result<std::string> find_id(const std::vector<TrajectoryRow>& rows, const std::string& wanted,
                            const std::string& directory) {
  std::vector<std::string> ids, fitting;
  for (const auto& row : rows) {
    if (row.id == wanted) return wanted;
    if (row.id.starts_with(wanted) || row.task_id.starts_with(wanted)) fitting.push_back(row.id);
    ids.push_back(row.id);
  }
  if (fitting.size() == 1) return fitting.front();
  if (fitting.empty()) {
    std::string hint = ids.size() <= 5000 ? nearest_hint(wanted, ids) : "";
    if (ids.size() > 8 && hint.find("did you mean") == std::string::npos)
      hint = ": ids look like " + ids.front();
    return bad_input(directory + ": no finished trajectory '" + wanted + "'" + hint);
  }
  std::string some;
  for (std::size_t i = 0; i < std::min<std::size_t>(fitting.size(), 5); ++i)
    some += (i > 0 ? ", " : "") + fitting[i];
  return bad_input(fmt::format("{}: '{}' fits {} trajectories: {}{}; give more of the id",
                               directory, wanted, fitting.size(), some,
                               fitting.size() > 5 ? ", ..." : ""));
}

Result<int> show_trajectory(Store& store, const std::vector<TrajectoryRow>& rows,
                            const ShowArguments& arguments) {
  auto id = find_id(rows, arguments.trajectory, arguments.directory);
  if (!id) return std::move(id).error();
  auto read = store.read(*id);
  if (!read) return std::move(read).error();
  if (!*read) return bad_input(arguments.directory + ": no trajectory '" + *id + "'");
  if (arguments.as_json)
    std::cout << json_text(to_json(**read)) << "\n";
  else
    std::cout << trajectory_text(**read, TerminalStyle::of_stdout(), arguments.full);
  return 0;
}

json::object run_json(const std::vector<SuiteOverview>& suites,
                      const std::vector<LabelTotal>& totals, const std::vector<TrajectoryRow>& rows,
                      std::size_t unfinished) {
  json::array suite_list, label_list, row_list;
  for (const auto& suite : suites) suite_list.push_back(to_json(suite));
  for (const auto& total : totals) label_list.push_back(to_json(total));
  for (const auto& row : rows) row_list.push_back(to_json(row));
  return {{"suites", std::move(suite_list)},
          {"labels", std::move(label_list)},
          {"unfinished", unfinished},
          {"trajectories", std::move(row_list)}};
}

Result<int> show_run(Store& store, std::vector<TrajectoryRow> rows,
                     const ShowArguments& arguments) {
  auto filter = RowFilter::parse(arguments.filters);
  if (!filter) return std::move(filter).error();
  auto totals = store.label_totals();
  if (!totals) return std::move(totals).error();
  auto unfinished = store.unfinished_count();
  if (!unfinished) return std::move(unfinished).error();
  const std::size_t all = rows.size();
  std::erase_if(rows, [&filter](const TrajectoryRow& row) { return !filter->fits(row); });
  const auto suites = overview_of(rows);
  if (arguments.as_json) {
    std::cout << json_text(run_json(suites, *totals, rows, *unfinished)) << "\n";
    return 0;
  }
  const TerminalStyle style = TerminalStyle::of_stdout();
  std::string head = fmt::format("{} finished", all);
  if (*unfinished > 0)
    head += fmt::format(", {} unfinished: `proctor resume {}` goes on", *unfinished,
                        arguments.directory);
  if (rows.size() < all) head += fmt::format("; the filter keeps {}", rows.size());
  std::cout << style.paint(Ink::bold, arguments.directory) << ": " << head << "\n";
  if (!rows.empty()) std::cout << "\n" << suites_text(suites);
  // The totals are of the whole run: beside a filtered list they would mislead.
  if (!totals->empty() && arguments.filters.empty()) std::cout << "\n" << labels_text(*totals);
  if (!rows.empty() && arguments.limit > 0) {
    std::cout << "\n" << rows_text(rows, arguments.limit);
    if (rows.size() > arguments.limit)
      std::cout << style.paint(Ink::dim, fmt::format("... {} more; --limit N shows more of them",
                                                     rows.size() - arguments.limit))
                << "\n";
    std::cout << style.paint(Ink::dim, fmt::format("`proctor show {} ID` shows one; the beginning "
                                                   "of an id is enough",
                                                   arguments.directory))
              << "\n";
  }
  return 0;
}

Result<int> run_show(const ShowArguments& arguments) {
  auto store = Store::open(arguments.directory, Store::Access::read);
  if (!store) return std::move(store).error();
  auto rows = (*store)->rows();
  if (!rows) return std::move(rows).error();
  if (!arguments.trajectory.empty()) return show_trajectory(**store, *rows, arguments);
  return show_run(**store, std::move(*rows), arguments);
}

}  // namespace

std::function<Result<int>()> set_up_show(CLI::App& command) {
  auto arguments = std::make_shared<ShowArguments>();
  command.add_option("DIR", arguments->directory, "a run directory")->required();
  command.add_option("TRAJECTORY", arguments->trajectory,
                     "an id, or the beginning of one or of a task's");
  command.add_option("--limit", arguments->limit, "how many trajectories to list")
      ->capture_default_str();
  command
      .add_option("--filter", arguments->filters,
                  "only these, as status=answered, correct=false, reward<0.5, turns>=3, "
                  "suite=qa, task=ID; several must all hold")
      ->allow_extra_args(false)
      ->take_all();
  command.add_flag("--json", arguments->as_json, "for machines: one JSON object on stdout");
  command.add_flag("--full", arguments->full, "of a trajectory: cut nothing");
  return [arguments] { return run_show(*arguments); };
}

}  // namespace proctor
