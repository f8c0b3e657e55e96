// A run directory without a store still has its lines: a copy of trajectories.jsonl is enough.
#include "runtime/record_source.h"

#include <filesystem>
#include <set>

#include "runtime/store.h"

namespace proctor {
namespace {

Status from_directory(const std::string& directory,
                      const std::function<Status(const SourceRecord&)>& each,
                      std::vector<Error>* unreadable) {
  auto store = Store::open(directory, Store::Access::read);
  if (!store) return std::move(store).error();
  const std::string where = directory + "/trajectories.db";
  std::size_t number = 0;
  return (*store)->for_each_text(
      [&](const std::string& id, std::string_view text) {
        return each(SourceRecord{where + ": " + id, text, ++number});
      },
      unreadable);
}

}  // namespace

bool has_store(const std::string& path) {
  std::error_code error;
  return path != "-" && std::filesystem::exists(path + "/trajectories.db", error);
}

Status keep_off_run(const std::string& out) {
  static const std::set<std::string> kNames = {
      "config.yaml",         "tasks.jsonl",         "trajectories.db",
      "trajectories.db-wal", "trajectories.db-shm", "trajectories.jsonl",
      "summary.json",        "log.jsonl",           "lock"};
  std::error_code error;
  const auto place = std::filesystem::weakly_canonical(out, error);  // behind symbolic links
  if (error || !kNames.contains(place.filename().string()) ||
      !has_store(place.parent_path().string()))
    return {};
  return bad_input("--out " + out +
                   ": is a file of the run in that directory; write to another place");
}

Result<Trajectory> trajectory_of(const SourceRecord& record) {
  auto value = parse_exact_json(record.text, kRecordLevels);
  if (!value) return std::move(value).error().in(record.where);
  const auto* object = value->if_object();
  if (object && !object->contains("turns"))
    return bad_input(record.where + ": is no trajectory: it has no `turns`");
  auto trajectory = read_trajectory(*value);
  if (!trajectory) return std::move(trajectory).error().in(record.where);
  return trajectory;
}

Status for_each_record(const std::string& path,
                       const std::function<Status(const SourceRecord& record)>& each,
                       std::vector<Error>* unreadable) {
  std::string file = path;
  std::error_code error;  // what cannot be looked at is said when it is opened
  if (path != "-" && std::filesystem::is_directory(path, error)) {
    const std::string lines = path + "/trajectories.jsonl";
    if (has_store(path) || !std::filesystem::exists(lines, error))
      return from_directory(path, each, unreadable);
    file = lines;
  }
  const std::string shown = file == "-" ? "stdin" : file;
  // An Error of `each` names the place already; read_lines would name it twice.
  Status ended;
  auto read = read_lines(file, [&](std::string_view text, std::size_t line) -> Status {
    ended = each(SourceRecord{shown + ":" + std::to_string(line), text, line});
    return ended;
  });
  if (!ended) return ended;
  return read;
}

Status for_each_trajectory(const std::string& path,
                           const std::function<Status(Trajectory trajectory)>& each) {
  return for_each_record(path, [&each](const SourceRecord& record) -> Status {
    auto trajectory = trajectory_of(record);
    if (!trajectory) return std::move(trajectory).error();
    return each(std::move(*trajectory));
  });
}

}  // namespace proctor
