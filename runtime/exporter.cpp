// From a source of records through one exporter.
#include "runtime/exporter.h"

#include "runtime/record_source.h"

namespace proctor {

Result<TrajectoryRef> ExportRecord::trajectory() {
  if (!read_) {
    auto trajectory = trajectory_of({where_, text_});
    if (!trajectory) return std::move(trajectory).error();
    read_ = std::make_shared<const Trajectory>(std::move(*trajectory));
  }
  return read_;
}

Result<ExportCounts> export_records(const std::string& from, const std::string& format,
                                    const json::object& options, const std::string& out) {
  auto& registry = Registry<ExporterMaker>::instance();
  const auto* entry = registry.find(format);
  if (!entry) return registry.unknown("format", format);
  auto checked = Options::parse(options, entry->info.options, "export " + format);
  if (!checked) return std::move(checked).error();
  auto exporter = entry->make(*checked, out);
  if (!exporter) return std::move(exporter).error();
  std::vector<Error> damaged;
  const auto add = [&](const SourceRecord& record) {
    ExportRecord given(record.where, record.text);
    return (*exporter)->add(given);
  };
  if (auto read = for_each_record(from, add, &damaged); !read) return std::move(read).error();
  auto counts = (*exporter)->finish();
  if (counts) counts->damaged = std::move(damaged);
  return counts;
}

}  // namespace proctor
