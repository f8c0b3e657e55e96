// Trajectories from a run directory or from a file of JSON lines, one at a time.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "runtime/core/records.h"

namespace proctor {

// One record as it lies there. `where` names it in messages: "FILE:LINE" or
// "DIR/trajectories.db: ID".
struct SourceRecord {
  std::string where;
  std::string_view text;
  std::size_t number = 0;  // the line, or the place in the directory, from 1
};

// Whether the path is a run directory with its store.
bool has_store(const std::string& path);
// `bad_input` where --out is one of the files that a run writes beside its store.
Status keep_off_run(const std::string& out);
// A record as a trajectory; `bad_input` for one that has no `turns` (a task's line): "WHERE: ...".
Result<Trajectory> trajectory_of(const SourceRecord& record);

// Calls `each` for every record of a run directory (a directory with trajectories.db, in order of
// task and sample; else its trajectories.jsonl), or of a file (".zst" is decompressed, "-" is
// stdin). The first error ends it; with `unreadable`, a directory's damaged records do not, but are
// left out and named there.
Status for_each_record(const std::string& path,
                       const std::function<Status(const SourceRecord& record)>& each,
                       std::vector<Error>* unreadable = nullptr);

// The same as trajectories; complaints read "WHERE: ...".
Status for_each_trajectory(const std::string& path,
                           const std::function<Status(Trajectory trajectory)>& each);

}  // namespace proctor
