// proctor export: training data from a run directory or a file of trajectories.
#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "runtime/app/commands.h"
#include "runtime/app/summary_text.h"
#include "runtime/core/text_table.h"
#include "runtime/exporter.h"
#include "runtime/record_source.h"

namespace proctor {
namespace {

struct ExportArguments {
  std::string from, format, out;
};

std::string format_table() {
  std::vector<std::vector<std::string>> rows{{"format", "what is written"}};
  auto& registry = Registry<ExporterMaker>::instance();
  for (const auto& name : registry.names())
    rows.push_back({name, registry.find(name)->info.summary});
  return text_table(rows);
}

Result<int> run_export(const ExportArguments& arguments) {
  if (!arguments.format.empty()) {
    auto& registry = Registry<ExporterMaker>::instance();
    if (!registry.find(arguments.format)) return registry.unknown("format", arguments.format);
  }
  if (arguments.format.empty()) {
    if (!arguments.out.empty())
      return bad_input("export: --format NAME is missing: `proctor export` lists the formats");
    std::cout << format_table();
    return 0;
  }
  if (arguments.from.empty())
    return bad_input("export: IN is missing: a run directory or a file of trajectories");
  const std::string out = arguments.out.empty() ? "-" : arguments.out;
  if (auto status = keep_off_run(out); !status) return std::move(status).error();
  auto counts = export_records(arguments.from, arguments.format, {}, out);
  if (!counts) return std::move(counts).error();
  std::string line;
  if (counts->rows == 0 && counts->skipped.empty())
    line = (arguments.from == "-" ? "stdin" : arguments.from) + ": there is no trajectory: ";
  line += fmt::format("{} written to {}", plural(static_cast<std::int64_t>(counts->rows), "row"),
                      out == "-" ? "stdout" : out);
  for (const auto& [why, count] : counts->skipped)
    line += fmt::format("; skipped {}: {}", count, why);
  std::cerr << line << "\n" << damaged_text(counts->damaged) << unfinished_text(arguments.from);
  return counts->damaged.empty() ? 0 : 1;
}

}  // namespace

std::function<Result<int>()> set_up_export(CLI::App& command) {
  auto arguments = std::make_shared<ExportArguments>();
  command.add_option("IN", arguments->from, kTrajectoriesMeaning);
  command.add_option("--format", arguments->format, "which; left out, lists the formats");
  command
      .add_option("--out", arguments->out,
                  "where to (its ending decides the file type); left out or -, stdout")
      ->check(not_empty());
  return [arguments] { return run_export(*arguments); };
}

}  // namespace proctor
