// Exporters write what trainers load. One reader, one file: export_<name>.cpp registers itself.
//
// Records come one at a time in order of task and sample, so that the members of a group are
// neighbours; an exporter that needs a whole group keeps only that.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/records.h"
#include "runtime/core/registry.h"

namespace proctor {

// A record on its way to an exporter: its text as stored, and read only when asked for.
class ExportRecord {
 public:
  ExportRecord(std::string where, std::string_view text) : where_(std::move(where)), text_(text) {}

  const std::string& where() const { return where_; }
  std::string_view text() const { return text_; }
  // The complaint names the record.
  Result<TrajectoryRef> trajectory();

 private:
  std::string where_;
  std::string_view text_;
  TrajectoryRef read_;
};

struct ExportCounts {
  std::size_t rows = 0;
  std::map<std::string, std::size_t> skipped;  // why ─▶ how many: "no step labels"
  std::vector<Error> damaged;                  // records of a run directory that cannot be read
};

class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual Status add(ExportRecord& record) = 0;
  // Everything was added: puts the output in its place. Without it there is no output.
  virtual Result<ExportCounts> finish() = 0;
};

// Opens `out`; `bad_input` when its ending is not one the format is written as.
using ExporterMaker = std::function<Result<std::unique_ptr<Exporter>>(const Options& options,
                                                                      const std::string& out)>;

#define REGISTER_EXPORTER(...)                                                  \
  static const bool registered_exporter_ = [] {                                 \
    ::proctor::Registry<::proctor::ExporterMaker>::instance().add(__VA_ARGS__); \
    return true;                                                                \
  }();

// Runs a whole export; 0 rows are no error here.
Result<ExportCounts> export_records(const std::string& from, const std::string& format,
                                    const json::object& options, const std::string& out);

}  // namespace proctor
