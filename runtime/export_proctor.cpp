// proctor — trajectories as they are, one JSON line each, byte for byte what the store holds.
//
// Every record is read once on the way, so that what is written is known to be readable again.
#include "runtime/exporter.h"
#include "runtime/line_writer.h"

namespace proctor {
namespace {

class ProctorExporter final : public Exporter {
 public:
  explicit ProctorExporter(LineWriter writer) : writer_(std::move(writer)) {}

  Status add(ExportRecord& record) override {
    auto trajectory = record.trajectory();
    if (!trajectory) return std::move(trajectory).error();
    std::string_view line = record.text();
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    ++counts_.rows;
    return writer_.write(line);
  }

  Result<ExportCounts> finish() override {
    if (auto closed = writer_.close(); !closed) return std::move(closed).error();
    return counts_;
  }

 private:
  LineWriter writer_;
  ExportCounts counts_;
};

REGISTER_EXPORTER({.name = "proctor", .summary = "trajectories: every record as it is (.jsonl)"},
                  [](const Options&, const std::string& out) -> Result<std::unique_ptr<Exporter>> {
                    if (!is_lines_name(out))
                      return bad_input("--out " + out +
                                       ": the format 'proctor' is written as .jsonl, .jsonl.zst "
                                       "or - (stdout)");
                    auto writer = LineWriter::open(out);
                    if (!writer) return std::move(writer).error();
                    return std::make_unique<ProctorExporter>(std::move(*writer));
                  })

}  // namespace
}  // namespace proctor
