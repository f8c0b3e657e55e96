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
#include "runtime/app/summary_text.h"
#include "runtime/app/terminal_text.h"
#include "runtime/app/trajectory_text.h"
#include "runtime/core/config.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/shell_word.h"
#include "runtime/core/text_table.h"
#include "runtime/filter.h"
#include "runtime/record_source.h"
#include "runtime/store.h"
#include "runtime/store_columns.h"
#include "runtime/summary.h"

namespace proctor {
namespace {

constexpr std::size_t kRows = 20;  // listed unless --limit says otherwise

struct ShowArguments {
  std::string path, trajectory;
  std::vector<std::string> filters;
  RowFilter filter = {};             // what they say
  std::optional<std::size_t> limit;  // of rows
  bool as_json = false, full = false;
};

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.3g}", *value) : "-";
}

json::value optional_json(const std::optional<double>& value) {
  return value ? number_or_null(*value) : json::value(nullptr);
}

json::object row_json(const TrajectoryRow& row) {
  return {{"id", row.id},
          {"task_id", row.task_id},
          {"group_id", row.group_id},
          {"suite", row.suite},
          {"sample", row.sample},
          {"status", row.status},
          {"reward", optional_json(row.reward)},
          {"correct", row.correct ? json::value(*row.correct) : json::value(nullptr)},
          {"failure", row.failure ? json::value(json::string(*row.failure)) : json::value(nullptr)},
          {"turns", row.turns},
          {"parse_errors", row.parse_errors},
          {"tool_calls", row.tool_calls},
          {"tool_errors", row.tool_errors},
          {"prompt_tokens", row.prompt_tokens},
          {"completion_tokens", row.completion_tokens},
          {"cost", number_or_null(row.cost)}};
}

const char* grade_text(const TrajectoryRow& row) {
  if (row.correct) return *row.correct ? "yes" : "no";
  return row.failure && row.failure->starts_with(kNotGraded) ? "not graded" : "-";
}

std::string rows_text(const std::vector<TrajectoryRow>& rows, std::size_t limit) {
  std::vector<std::vector<std::string>> table{
      {"trajectory", "status", "correct", "reward", "turns"}};
  for (const auto& row : rows) {
    if (table.size() > limit) break;
    table.push_back(
        {row.id, row.status, grade_text(row), number(row.reward), std::to_string(row.turns)});
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

TrajectoryRow unfinished_row(const Trajectory& begun) {
  TrajectoryRow row = row_of(begun);
  row.status = "unfinished";
  return row;
}

Result<int> print(const Trajectory& trajectory, const ShowArguments& arguments, bool finished) {
  if (!arguments.filters.empty())
    return bad_input("--filter: '" + trajectory.id + "' is one trajectory; a filter is for lists");
  std::string text;
  if (arguments.as_json && finished) {
    append_json(text, trajectory);
    text += '\n';
  } else if (arguments.as_json) {
    json::object begun = to_json(trajectory);
    begun["outcome"] = nullptr;  // it has none yet
    text = json_text(begun) + "\n";
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
  std::optional<std::int64_t> planned;            // rollouts of the whole run, where that is known
  std::optional<std::vector<LabelTotal>> labels;  // totals of the whole run; none: not of this page

  void keep(const std::set<std::string>& ids) {
    const auto other = [&ids](const TrajectoryRow& row) { return !ids.contains(row.id); };
    std::erase_if(rows, other);
    std::erase_if(unfinished, other);
  }
};

Result<int> show_page(Page page, const ShowArguments& arguments) {
  const RowFilter& filter = arguments.filter;
  const std::size_t all = page.rows.size(), unfinished = page.unfinished.size();
  const auto dropped = [&filter](const TrajectoryRow& row) { return !filter.fits(row); };
  std::erase_if(page.rows, dropped);
  std::erase_if(page.unfinished, dropped);
  if (filter.asks_for_grade()) page.unfinished.clear();
  // Beside a filtered list totals of the whole run would mislead.
  const bool hides_labels =
      !arguments.filters.empty() && page.labels.has_value() && !page.labels->empty();
  if (!arguments.filters.empty()) page.labels.reset();
  const bool with_labels = page.labels.has_value();
  const Summary summary =
      summary_of(page.rows, std::move(page.labels).value_or(std::vector<LabelTotal>()));
  const std::size_t kept = page.rows.size() + page.unfinished.size();
  if (arguments.as_json) {
    json::object totals = to_json(summary);
    json::array row_list;
    for (const auto* rows : {&page.unfinished, &page.rows})
      for (const auto& row : *rows)
        if (row_list.size() < arguments.limit.value_or(kept)) row_list.push_back(row_json(row));
    std::cout << json_text(json::object{
                     {"suites", std::move(totals["suites"])},
                     {"supervisors",
                      with_labels ? std::move(totals["supervisors"]) : json::value(nullptr)},
                     {"failures", std::move(totals["failures"])},
                     {"planned", page.planned ? json::value(*page.planned) : json::value(nullptr)},
                     {"finished", all},
                     {"begun", unfinished},
                     {"trajectories", std::move(row_list)}})
              << "\n";
    return 0;
  }
  const TerminalStyle style = TerminalStyle::of_stdout();
  const std::size_t planned = static_cast<std::size_t>(page.planned.value_or(0));
  std::string head = fmt::format("{} finished", all);
  if (planned > all) head += fmt::format(" of {}", planned);
  if (unfinished > 0) head += fmt::format(", {} begun", unfinished);
  if (unfinished > 0 || planned > all)
    head += fmt::format(": `proctor resume {}` goes on", shell_word(arguments.path));
  if (kept < all + unfinished) head += fmt::format("; the filter keeps {}", kept);
  std::cout << style.paint(Ink::bold, arguments.path) << ": " << head << "\n";
  if (const std::string tables = summary_text(summary); !tables.empty())
    std::cout << "\n" << tables;
  if (hides_labels)
    std::cout << style.paint(Ink::dim, "labels are added up where no --filter is given") << "\n";
  if (const std::string failures = failures_text(summary); !failures.empty())
    std::cout << "\n" << failures;
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
                                                 shell_word(arguments.path)))
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
  for (const auto& trajectory : *begun) page.unfinished.push_back(unfinished_row(trajectory));
  if (arguments.trajectory.empty()) {
    auto totals = (*store)->label_totals();
    if (!totals) return std::move(totals).error();
    page.labels = std::move(*totals);
    auto planned = (*store)->planned();
    if (!planned) return std::move(planned).error();
    page.planned = *planned;
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
  const auto open = std::find_if(begun->begin(), begun->end(),
                                 [&id](const Trajectory& each) { return each.id == id; });
  if (open != begun->end()) return print(*open, arguments, false);
  auto record = (*store)->read(id);
  if (!record) return std::move(record).error();
  if (*record) return print(**record, arguments, true);
  return bad_input(arguments.path + ": no trajectory '" + id + "'");
}

// A file is read from its beginning to its end.
Result<int> show_file(const ShowArguments& arguments) {
  Page page;
  LabelSums sums;
  std::vector<Trajectory> fitting;  // with an id or task that begins as wanted
  auto read = for_each_trajectory(arguments.path, [&](Trajectory trajectory) -> Status {
    page.rows.push_back(row_of(trajectory));
    sums.add(trajectory.labels);
    const auto& wanted = arguments.trajectory;
    if (!wanted.empty() &&
        (trajectory.id.starts_with(wanted) || trajectory.task_id.starts_with(wanted)))
      fitting.push_back(std::move(trajectory));
    return {};
  });
  if (!read) return std::move(read).error();
  if (arguments.trajectory.empty()) {
    page.labels = sums.totals();
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

Result<int> run_show(ShowArguments arguments) {
  auto filter = RowFilter::parse(arguments.filters);
  if (!filter) return std::move(filter).error();
  arguments.filter = std::move(*filter);
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
                  "only these, as status=answered,correct=false, reward<0.5, turns>=3, "
                  "suite=qa, task=foldoc-*; several must all hold")
      ->allow_extra_args(false)
      ->take_all();
  command.add_flag("--json", arguments->as_json, "for machines: one JSON object on stdout");
  command.add_flag("--full", arguments->full, "of a trajectory: cut nothing");
  return [arguments] { return run_show(*arguments); };
}

}  // namespace proctor
