// The run directory (docs/run-directory.md): config.yaml, trajectories.db (SQLite, WAL),
// trajectories.jsonl, summary.json, log.jsonl. One writer thread, group commit. Every finished turn
// is journalled; a finished trajectory is on the disk before it is reported.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/records.h"

namespace proctor {

// What a reader can know of a trajectory without reading its record.
struct TrajectoryRow {
  std::string id, task_id, group_id, suite;
  int sample = 0;
  std::string status;
  std::optional<double> reward;
  std::optional<bool> correct;
  // Why it ended in `error`; kNotGraded and why, when its checker failed.
  std::optional<std::string> failure;
  int turns = 0;
  std::int64_t parse_errors = 0;  // turns
  std::int64_t tool_calls = 0, tool_errors = 0;
  std::int64_t prompt_tokens = 0, completion_tokens = 0;  // the policy's, as `usage` has them
  double cost = 0;                                        // at the policy's prices
};
inline const std::string kNotGraded = "not graded: ";

// All labels of one supervisor, name and level, added up.
struct LabelTotal {
  std::string supervisor, name, level;
  std::int64_t count = 0, valued = 0;
  double total = 0;         // of the values
  std::int64_t failed = 0;  // the evidence holds an "error"
  std::int64_t model_calls = 0, executions = 0;
  double wall_ms = 0;
  std::map<std::string, std::int64_t> verdicts;  // how often each
  std::map<std::string, std::int64_t> reasons;   // of failed supervisions: who failed, and why
};

// What supervision made of a journalled turn: its labels, and the turn's scores, decision, timing
// and extra fields; the turn's content is not written again.
struct Judgement {
  TurnRef turn;
  std::vector<Label> labels;
};

struct StoreUsage {
  std::size_t commits = 0, rows = 0;
  std::size_t queued = 0, highest_queued = 0;
  std::chrono::nanoseconds busy{0};  // of the writer thread
};

class Store {
 public:
  enum class Access { read, write };

  // Makes the directory. `bad_input` when it holds a run already (the message names `resume`), or
  // when another process has it locked.
  static Result<std::unique_ptr<Store>> create(const std::string& directory,
                                               const json::value& config);
  // `bad_input` when it is no run directory, was written by another schema version (in words), or,
  // for writing, is locked by another process. Reading never locks anyone out and reads lazily.
  static Result<std::unique_ptr<Store>> open(const std::string& directory, Access access);
  virtual ~Store() = default;

  virtual const std::string& directory() const = 0;
  virtual const json::value& config() const = 0;

  // --- writing; safe from any executor; an Error names the disk's reason (full, no permission) ---
  // A rollout begins, with the turns it starts from where it branches off another. One that has
  // begun and is not finished begins anew: its journal is dropped. A finished one keeps its record
  // until the new one takes its place; its group counts as not labelled.
  virtual Async<Status> begin(TrajectoryRef start) = 0;
  // Resolves when the turn would survive kill -9. Group commit: many turns, one transaction. A turn
  // of the same index replaces the former (resampled turns), and what was journalled behind it
  // goes. `judgements` came in on earlier turns since the last call: they share the turn's row, so
  // that supervision costs no write of its own. The write happens even when the wait for it is
  // cancelled; that is so for all of these.
  virtual Async<Status> append_turn(std::string trajectory_id, TurnRef turn,
                                    std::vector<Judgement> judgements = {}) = 0;
  // Resolves when the record would survive a power cut; its journal is dropped in the same
  // transaction. Called again for an id it replaces the record (group labels come later).
  virtual Async<Status> finish(TrajectoryRef whole) = 0;
  // The same for all members of a group at once, marking the group as labelled.
  virtual Async<Status> finish_group(std::string group_id, std::vector<TrajectoryRef> members) = 0;
  // Before all of these.
  virtual Status set_planned(std::int64_t rollouts) = 0;

  // --- reading; one that was begun again is unfinished until its new record stands ---
  virtual Result<std::vector<TrajectoryRow>> rows() = 0;  // finished ones, by task and sample
  virtual Result<std::int64_t> finished_count() = 0;
  virtual Result<std::vector<std::string>> labelled_groups() = 0;
  // The ids of finished ones whose record cannot be read. Records that carry a checksum are held
  // against it; only the others are parsed.
  virtual Result<std::vector<std::string>> damaged() = 0;
  virtual Result<std::optional<Trajectory>> read(const std::string& id) = 0;
  // Those that began and were not finished, with their journalled turns and the turns' labels. One
  // that cannot be read is left out, and named in `unreadable`.
  virtual Result<std::vector<Trajectory>> unfinished(std::vector<Error>* unreadable = nullptr) = 0;
  // How many rollouts the whole run has, as set last; nothing when that was never said.
  virtual Result<std::optional<std::int64_t>> planned() = 0;
  // The journalled turns of an unfinished trajectory that no judgement is known of.
  virtual Result<std::vector<int>> unjudged(const std::string& id) = 0;
  // Every finished trajectory in the order of rows(), one at a time.
  virtual Status for_each(const std::function<Status(Trajectory trajectory)>& each) = 0;
  // The same as the JSON texts that were stored. The first that is damaged ends it, or, with
  // `unreadable`, is left out and named there.
  virtual Status for_each_text(
      const std::function<Status(const std::string& id, std::string_view text)>& each,
      std::vector<Error>* unreadable = nullptr) = 0;
  // All labels of the finished ones, by supervisor, name and level; reads no record.
  virtual Result<std::vector<LabelTotal>> label_totals() = 0;

  // trajectories.jsonl; leaves it alone where no record has changed since it was written.
  // A damaged record ends it or, with `unreadable`, is left out and named there.
  virtual Status write_jsonl(std::vector<Error>* unreadable = nullptr) = 0;
  virtual Status write_summary(const json::value& summary) = 0;  // summary.json
  virtual StoreUsage usage() const = 0;
  // Waits for the writer; further writes are errors. The destructor does it too.
  virtual Status close() = 0;
};

}  // namespace proctor
