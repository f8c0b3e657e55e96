// proctor show: a run, or one trajectory of it, in the terminal.
//
// A run directory's pages come from the store's columns; only the trajectory asked for is read.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>
#include <set>

#include "runtime/app/commands.h"
#include "runtime/app/terminal_text.h"
#include "runtime/app/trajectory_text.h"
#include "runtime/core/config.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text_table.h"
#include "runtime/overview.h"
#include "runtime/record_source.h"
#include "runtime/row_filter.h"
#include "runtime/store.h"
#include "runtime/summary.h"

namespace proctor {
namespace {

constexpr std::size_t kRows = 20;  // listed unless --limit says otherwise

struct ShowArguments {
  std::string path, trajectory;
  std::vector<std::string> filters;
  std::optional<std::size_t> limit;  // of rows
  bool as_json = false, full = false;
};

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.3g}", *value) : "-";
}

std::string suites_text(const std::vector<SuiteOverview>& suites) {
  std::vector<SuiteTotals> totals;
  totals.reserve(suites.size());
  for (const auto& suite : suites)
    totals.push_back({.suite = harmless(suite.suite, false),
                      .tasks = suite.tasks,
                      .rollouts = suite.trajectories,
                      .answered = suite.answered,
                      .graded = suite.graded,
                      .correct = suite.correct,
                      .errors = suite.errors,
                      .played = suite.played,
                      .turns = suite.turns,
                      .correct_interval = suite.correct_interval,
                      .reward = suite.reward,
                      .calls = std::nullopt});
  return suites_table(totals);
}

LabelTotals totals_of(const LabelTotal& sum) {
  LabelTotals totals{.supervisor = sum.supervisor,
                     .label = sum.name,
                     .level = sum.level,
                     .labels = sum.count,
                     .mean = std::nullopt,
                     .model_calls = sum.model_calls,
                     .executions = sum.executions,
                     .failed = sum.failed,
                     .verdicts = {}};
  if (sum.valued > 0) totals.mean = sum.total / static_cast<double>(sum.valued);
  for (const auto& [word, count] :
       {std::pair{"correct", sum.correct}, {"incorrect", sum.incorrect}, {"neutral", sum.neutral}})
    if (count > 0) totals.verdicts[word] = count;
  return totals;
}

// As `supervisors` of summary.json has them, which a file's totals come from; but the store counts
// no verdicts other than these three.
json::object label_json(const LabelTotal& sum) {
  const LabelTotals totals = totals_of(sum);
  json::object verdicts;
  for (const auto& [word, count] : totals.verdicts) verdicts[word] = count;
  return {{"supervisor", totals.supervisor},
          {"label", totals.label},
          {"level", totals.level},
          {"labels", totals.labels},
          {"mean", totals.mean ? number_or_null(*totals.mean) : json::value(nullptr)},
          {"verdicts", std::move(verdicts)},
          {"failed", totals.failed},
          {"model_calls", totals.model_calls},
          {"executions", totals.executions},
          {"wall_ms", number_or_null(sum.wall_ms)}};
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

// The whole id, all of a task by its whole name, or a beginning of either that only one has.
Result<std::set<std::string>> find_ids(const std::vector<TrajectoryRow>& rows,
                                       const std::string& wanted, const std::string& path) {
  std::vector<std::string> ids;
  std::set<std::string> fitting, samples;
  for (const auto& row : rows) {
    if (row.id == wanted) return std::set{wanted};
    if (row.task_id == wanted) samples.insert(row.id);
    if (row.id.starts_with(wanted) || row.task_id.starts_with(wanted)) fitting.insert(row.id);
    ids.push_back(row.id);
  }
  if (!samples.empty()) return samples;
  if (fitting.size() == 1) return fitting;
  if (fitting.empty()) {
    std::string hint = ids.size() <= 5000 ? nearest_hint(wanted, ids) : "";
    if (ids.size() > 8 && hint.find("did you mean") == std::string::npos)
      hint = ": ids look like " + ids.front();
    return bad_input(path + ": no trajectory '" + wanted + "'" + hint);
  }
  std::string some;
  int named = 0;
  for (const auto& id : fitting)
    if (++named <= 5) some += (named > 1 ? ", " : "") + id;
  return bad_input(fmt::format("{}: '{}' fits {} trajectories: {}{}; give more of the id", path,
                               wanted, fitting.size(), some, named > 5 ? ", ..." : ""));
}

TrajectoryRow row_of(const Trajectory& trajectory, std::string status) {
  return {.id = trajectory.id,
          .task_id = trajectory.task_id,
          .group_id = trajectory.group(),
          .suite = trajectory.task ? trajectory.task->suite : "",
          .sample = trajectory.sample,
          .status = std::move(status),
          .reward = trajectory.outcome.reward,
          .correct = trajectory.outcome.correct,
          .turns = static_cast<int>(trajectory.turns.size())};
}

int print(const Trajectory& trajectory, const ShowArguments& arguments, bool finished) {
  std::string text;
  if (arguments.as_json) {
    append_json(text, trajectory);
    text += '\n';
  } else {
    text = trajectory_text(trajectory, TerminalStyle::of_stdout(), arguments.full, finished);
  }
  std::cout << text;
  return 0;
}

// What the first page shows, wherever it came from.
struct Page {
  std::vector<TrajectoryRow> rows;  // of finished ones
  std::vector<TrajectoryRow> unfinished;
  // Totals of the whole run: the table, and a list. Null: not of what is shown.
  std::string labels;
  json::value label_list;

  void keep(const std::set<std::string>& ids) {
    const auto other = [&ids](const TrajectoryRow& row) { return !ids.contains(row.id); };
    std::erase_if(rows, other);
    std::erase_if(unfinished, other);
  }
};

Result<int> show_page(Page page, const ShowArguments& arguments) {
  auto filter = RowFilter::parse(arguments.filters);
  if (!filter) return std::move(filter).error();
  const std::size_t all = page.rows.size(), unfinished = page.unfinished.size();
  const auto dropped = [&filter](const TrajectoryRow& row) { return !filter->fits(row); };
  std::erase_if(page.rows, dropped);
  std::erase_if(page.unfinished, dropped);
  if (filter->asks_for_grade()) page.unfinished.clear();
  // Beside a filtered list totals of the whole run would mislead.
  if (!arguments.filters.empty()) {
    page.labels.clear();
    page.label_list = nullptr;
  }
  const auto suites = overview_of(page.rows);
  if (arguments.as_json) {
    json::array suite_list, row_list;
    for (const auto& suite : suites) suite_list.push_back(to_json(suite));
    for (const auto& row : page.rows)
      if (row_list.size() < arguments.limit.value_or(page.rows.size()))
        row_list.push_back(to_json(row));
    std::cout << json_text(json::object{{"suites", std::move(suite_list)},
                                        {"labels", std::move(page.label_list)},
                                        {"unfinished", unfinished},
                                        {"trajectories", std::move(row_list)}})
              << "\n";
    return 0;
  }
  const TerminalStyle style = TerminalStyle::of_stdout();
  std::string head = fmt::format("{} finished", all);
  if (unfinished > 0)
    head += fmt::format(", {} unfinished: `proctor resume {}` goes on", unfinished, arguments.path);
  const std::size_t kept = page.rows.size() + page.unfinished.size();
  if (kept < all + unfinished) head += fmt::format("; the filter keeps {}", kept);
  std::cout << style.paint(Ink::bold, arguments.path) << ": " << head << "\n";
  if (!page.rows.empty()) std::cout << "\n" << suites_text(suites);
  if (!page.labels.empty()) std::cout << "\n" << page.labels;
  // Unfinished ones first: they are few, and what somebody looks for while a run goes on.
  std::vector<TrajectoryRow> listed = std::move(page.unfinished);
  std::move(page.rows.begin(), page.rows.end(), std::back_inserter(listed));
  const std::size_t limit = arguments.limit.value_or(kRows);
  if (listed.empty() || limit == 0) return 0;
  std::cout << "\n" << rows_text(listed, limit);
  if (listed.size() > limit)
    std::cout << style.paint(Ink::dim, fmt::format("... {} more; --limit N shows more of them",
                                                   listed.size() - limit))
              << "\n";
  std::cout << style.paint(Ink::dim, fmt::format("`proctor show {} ID` shows one; the beginning "
                                                 "of an id is enough",
                                                 arguments.path))
            << "\n";
  return 0;
}

// Of a directory the store's columns are enough.
Result<int> show_directory(const ShowArguments& arguments) {
  auto store = Store::open(arguments.path, Store::Access::read);
  if (!store) return std::move(store).error();
  auto rows = (*store)->rows();
  if (!rows) return std::move(rows).error();
  Page page{.rows = std::move(*rows)};
  auto begun = (*store)->unfinished();
  if (!begun) return std::move(begun).error();
  for (const auto& trajectory : *begun) page.unfinished.push_back(row_of(trajectory, "unfinished"));
  if (arguments.trajectory.empty()) {
    auto totals = (*store)->label_totals();
    if (!totals) return std::move(totals).error();
    std::vector<LabelTotals> table;
    json::array list;
    for (const auto& total : *totals) {
      table.push_back(totals_of(total));
      list.push_back(label_json(total));
    }
    page.label_list = std::move(list);
    if (!table.empty()) page.labels = harmless(labels_table(table), true);
    return show_page(std::move(page), arguments);
  }
  std::vector<TrajectoryRow> known = page.rows;
  known.insert(known.end(), page.unfinished.begin(), page.unfinished.end());
  auto ids = find_ids(known, arguments.trajectory, arguments.path);
  if (!ids) return std::move(ids).error();
  if (ids->size() > 1) {
    page.keep(*ids);
    return show_page(std::move(page), arguments);
  }
  const std::string id = *ids->begin();
  auto record = (*store)->read(id);
  if (!record) return std::move(record).error();
  if (*record) return print(**record, arguments, true);
  const auto open = std::find_if(begun->begin(), begun->end(),
                                 [&id](const Trajectory& each) { return each.id == id; });
  if (open == begun->end()) return bad_input(arguments.path + ": no trajectory '" + id + "'");
  return print(*open, arguments, false);
}

// A file is read from its beginning to its end.
Result<int> show_file(const ShowArguments& arguments) {
  Page page;
  Summary summary;
  std::vector<Trajectory> fitting;  // with an id or task that begins as wanted
  auto read = for_each_trajectory(arguments.path, [&](Trajectory trajectory) -> Status {
    page.rows.push_back(row_of(trajectory, to_string(trajectory.outcome.status)));
    summary.add(trajectory);
    const auto& wanted = arguments.trajectory;
    if (!wanted.empty() &&
        (trajectory.id.starts_with(wanted) || trajectory.task_id.starts_with(wanted)))
      fitting.push_back(std::move(trajectory));
    return {};
  });
  if (!read) return std::move(read).error();
  if (arguments.trajectory.empty()) {
    json::object totals = summary.to_json();
    page.labels = harmless(summary.labels_text(), true);
    page.label_list = std::move(totals["supervisors"]);
    return show_page(std::move(page), arguments);
  }
  auto ids = find_ids(page.rows, arguments.trajectory, arguments.path);
  if (!ids) return std::move(ids).error();
  if (ids->size() > 1) {
    page.keep(*ids);
    return show_page(std::move(page), arguments);
  }
  const std::string id = *ids->begin();
  for (const auto& trajectory : fitting)
    if (trajectory.id == id) return print(trajectory, arguments, true);
  return bad_input(arguments.path + ": no trajectory '" + id + "'");
}

Result<int> run_show(const ShowArguments& arguments) {
  return has_store(arguments.path) ? show_directory(arguments) : show_file(arguments);
}

}  // namespace

std::function<Result<int>()> set_up_show(CLI::App& command) {
  auto arguments = std::make_shared<ShowArguments>();
  command.add_option("IN", arguments->path, kTrajectoriesMeaning)->required();
  command.add_option("TRAJECTORY", arguments->trajectory,
                     "an id or a task's, or the beginning of one");
  command
      .add_option("--limit", arguments->limit,
                  "how many trajectories to list (20; with --json, all)")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()));
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
