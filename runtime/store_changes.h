// What the writer thread does to trajectories.db: changes, applied many to a transaction.
//
// One thread uses it. A change that makes no sense (a turn of a rollout that never began) is
// refused alone; a failure of the disk fails the whole batch and leaves the file as it was.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/core/records.h"
#include "runtime/database.h"
#include "runtime/record_text.h"
#include "runtime/store.h"
#include "runtime/store_columns.h"

namespace proctor {

struct Change {
  enum class Kind { begin, turn, finish, group };
  Kind kind;
  std::string id;  // of the trajectory or group
  TurnRef turn;
  std::vector<Judgement> judgements;
  std::vector<TrajectoryRef> trajectories;
};

class ChangeApplier {
 public:
  static Result<std::unique_ptr<ChangeApplier>> make(Database database);

  // One status a change, in order, true only of what is committed. Batches with a finished
  // trajectory in them survive a power cut, others the end of the process.
  std::vector<Status> apply(std::span<const Change> batch);
  std::size_t rows_written() const { return rows_; }

 private:
  struct OpenRollout {
    std::int64_t number = 0;
    int next_turn = 0;  // one past the last journalled
  };
  explicit ChangeApplier(Database database) : database_(std::move(database)) {}

  Status prepare_all();
  // The Status inside is a refusal of this change; the Error outside is the database's.
  Result<Status> apply_one(const Change& change);
  Result<Status> begin(const Change& change);
  Result<Status> append_turn(const Change& change);
  Result<Status> finish(const Trajectory& trajectory);
  Status drop_journal(const std::string& id);
  Result<OpenRollout*> find_open(const std::string& id);  // nullptr when it never began
  Status sync_on_commit(bool wanted);

  Database database_;
  Statement begin_batch_, commit_, insert_rollout_, find_rollout_, last_turn_, drop_turns_,
      insert_turn_, delete_rollout_, insert_record_, insert_group_, drop_group_, drop_lines_mark_;
  ColumnWriter columns_;
  std::unordered_map<std::string, OpenRollout> open_;
  RecordPacker packer_;
  std::string text_, judgements_;
  std::size_t rows_ = 0;
  bool syncing_ = false;
};

// Where a turn lies in the journal: the turns of a rollout are neighbours.
inline constexpr int kMostTurns = 1 << 16;
inline std::int64_t journal_key(std::int64_t rollout, int turn) {
  return rollout * kMostTurns + turn;
}

}  // namespace proctor
