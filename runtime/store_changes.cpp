// Turns are journalled uncompressed: they are dropped when their rollout is finished, and packing
// them costs more than writing them. Finished records are packed.
#include "runtime/store_changes.h"

#include <algorithm>

#include "runtime/core/record_writer.h"

namespace proctor {
namespace {

// What a judgement may change of a turn; the rest was journalled with it.
Turn without_content(const Turn& turn) {
  Turn rest;
  rest.index = turn.index;
  rest.weights_version = turn.weights_version;
  rest.scores = turn.scores;
  rest.decision = turn.decision;
  rest.decided_by = turn.decided_by;
  rest.action_extra = turn.action_extra;
  rest.timing = turn.timing;
  rest.extra = turn.extra;
  return rest;
}

// `[{"turn":{...},"labels":[...]},...]`
void append_json(std::string& out, const std::vector<Judgement>& judgements) {
  out += '[';
  for (const Judgement& judgement : judgements) {
    if (out.back() != '[') out += ',';
    out += R"({"turn":)";
    append_json(out, without_content(*judgement.turn));
    out += R"(,"labels":[)";
    for (const Label& label : judgement.labels) {
      if (out.back() != '[') out += ',';
      append_json(out, label);
    }
    out += "]}";
  }
  out += ']';
}

}  // namespace

Result<std::unique_ptr<ChangeApplier>> ChangeApplier::make(Database database) {
  std::unique_ptr<ChangeApplier> applier(new ChangeApplier(std::move(database)));
  if (auto ready = applier->prepare_all(); !ready) return std::move(ready).error();
  return applier;
}

Status ChangeApplier::prepare_all() {
  // NORMAL: a commit is in the -wal file, and so safe from kill -9, without an fsync of its own.
  for (const char* pragma : {"PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 4000",
                             "PRAGMA journal_size_limit = 67108864", "PRAGMA secure_delete = OFF",
                             "PRAGMA cache_size = -16384", "PRAGMA temp_store = MEMORY"})
    if (auto done = database_.run(pragma); !done) return done;
  const std::pair<Statement*, const char*> wanted[] = {
      {&begin_batch_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&insert_rollout_,
       "INSERT INTO rollouts(id, start) VALUES(?1, ?2) "
       "ON CONFLICT(id) DO UPDATE SET start = excluded.start RETURNING number"},
      {&find_rollout_, "SELECT number FROM rollouts WHERE id = ?1"},
      {&last_turn_, "SELECT max(key) FROM journal WHERE key BETWEEN ?1 AND ?2"},
      {&drop_turns_, "DELETE FROM journal WHERE key BETWEEN ?1 AND ?2"},
      {&insert_turn_, "INSERT OR REPLACE INTO journal(key, turn, judgements) VALUES(?1, ?2, ?3)"},
      {&delete_rollout_, "DELETE FROM rollouts WHERE number = ?1"},
      {&insert_record_, "INSERT OR REPLACE INTO records(number, record) VALUES(?1, ?2)"},
      {&insert_group_, "INSERT OR IGNORE INTO labelled_groups(group_id) VALUES(?1)"},
      {&drop_group_, "DELETE FROM labelled_groups WHERE group_id = ?1"},
      {&drop_lines_mark_, "DELETE FROM run WHERE key = 'lines'"},
  };
  for (const auto& [statement, sql] : wanted) {
    auto prepared = database_.prepare(sql);
    if (!prepared) return std::move(prepared).error();
    *statement = std::move(*prepared);
  }
  auto columns = ColumnWriter::make(database_);
  if (!columns) return std::move(columns).error();
  columns_ = std::move(*columns);
  return {};
}

Status ChangeApplier::sync_on_commit(bool wanted) {
  if (wanted == syncing_) return {};
  auto done = database_.run(wanted ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  if (done) syncing_ = wanted;
  return done;
}

std::vector<Status> ChangeApplier::apply(std::span<const Change> batch) {
  const bool durable = std::any_of(batch.begin(), batch.end(), [](const Change& change) {
    return change.kind == Change::Kind::finish || change.kind == Change::Kind::group;
  });
  std::vector<Status> statuses;
  statuses.reserve(batch.size());
  Status whole = sync_on_commit(durable);
  if (whole) whole = begin_batch_.run();
  // trajectories.jsonl no longer holds what the store holds.
  if (whole && durable) whole = drop_lines_mark_.run();
  for (const Change& change : batch) {
    if (!whole) break;
    try {
      auto applied = apply_one(change);
      if (applied)
        statuses.push_back(std::move(*applied));
      else
        whole = std::move(applied).error();
    } catch (const std::exception& bug) {
      whole = internal_error(std::string("store: ") + bug.what());
    }
  }
  if (whole) whole = commit_.run();
  if (!whole) {
    if (database_.in_transaction()) (void)database_.run("ROLLBACK");
    open_.clear();  // what it says of the journal may have been rolled back
    statuses.assign(batch.size(), whole);
  } else {
    rows_ += batch.size();
  }
  return statuses;
}

Result<Status> ChangeApplier::apply_one(const Change& change) {
  switch (change.kind) {
    case Change::Kind::begin:
      return begin(change);
    case Change::Kind::turn:
      return append_turn(change);
    case Change::Kind::finish:
      return finish(*change.trajectories.front());
    case Change::Kind::group:
      break;
  }
  for (const auto& member : change.trajectories) {
    auto done = finish(*member);
    if (!done || !*done) return done;
  }
  if (auto done = insert_group_.bind(1, change.id).run(); !done) return std::move(done).error();
  return Status();
}

Result<Status> ChangeApplier::begin(const Change& change) {
  const Trajectory& start = *change.trajectories.front();
  text_.clear();
  append_json(text_, start);
  insert_rollout_.bind(1, std::string_view(start.id)).bind_blob(2, packer_.pack(text_));
  auto row = insert_rollout_.step();
  if (!row) return std::move(row).error();
  OpenRollout rollout{.number = insert_rollout_.integer(0)};
  insert_rollout_.reset();
  // It may have begun before, in a process that was killed: then it begins anew.
  drop_turns_.bind(1, journal_key(rollout.number, 0))
      .bind(2, journal_key(rollout.number, kMostTurns - 1));
  if (auto done = drop_turns_.run(); !done) return std::move(done).error();
  // A group with a member that begins anew is to be labelled anew.
  if (auto done = drop_group_.bind(1, std::string_view(start.group())).run(); !done)
    return std::move(done).error();
  open_[start.id] = rollout;
  return Status();
}

Result<ChangeApplier::OpenRollout*> ChangeApplier::find_open(const std::string& id) {
  if (auto known = open_.find(id); known != open_.end()) return &known->second;
  auto row = find_rollout_.bind(1, std::string_view(id)).step();
  if (!row) return std::move(row).error();
  if (!*row) return nullptr;
  OpenRollout rollout{.number = find_rollout_.integer(0)};
  find_rollout_.reset();
  last_turn_.bind(1, journal_key(rollout.number, 0))
      .bind(2, journal_key(rollout.number, kMostTurns - 1));
  auto last = last_turn_.step();
  if (!last) return std::move(last).error();
  if (*last && !last_turn_.is_null(0))
    rollout.next_turn = static_cast<int>(last_turn_.integer(0) % kMostTurns) + 1;
  last_turn_.reset();
  return &(open_[id] = rollout);
}

Result<Status> ChangeApplier::append_turn(const Change& change) {
  auto found = find_open(change.id);
  if (!found) return std::move(found).error();
  OpenRollout* rollout = *found;
  const int index = change.turn->index;
  if (!rollout)
    return Status(internal_error("turn " + std::to_string(index) + " of '" + change.id +
                                 "', which did not begin or is finished"));
  if (index < 0 || index >= kMostTurns)
    return Status(internal_error("turn " + std::to_string(index) + " of '" + change.id +
                                 "': the journal takes turns 0 to " +
                                 std::to_string(kMostTurns - 1)));
  if (index < rollout->next_turn) {
    // What came after the turn that is replaced was built on it, and goes with it.
    drop_turns_.bind(1, journal_key(rollout->number, index))
        .bind(2, journal_key(rollout->number, kMostTurns - 1));
    if (auto done = drop_turns_.run(); !done) return std::move(done).error();
  }
  text_.clear();
  append_json(text_, *change.turn);
  insert_turn_.bind(1, journal_key(rollout->number, index)).bind_blob(2, text_);
  judgements_.clear();
  if (change.judgements.empty()) {
    insert_turn_.bind_null(3);
  } else {
    append_json(judgements_, change.judgements);
    insert_turn_.bind_blob(3, judgements_);
  }
  if (auto done = insert_turn_.run(); !done) return std::move(done).error();
  rollout->next_turn = index + 1;
  return Status();
}

Result<Status> ChangeApplier::finish(const Trajectory& trajectory) {
  auto number = columns_.write(trajectory);
  if (!number) return std::move(number).error();
  text_.clear();
  append_json(text_, trajectory);
  insert_record_.bind(1, *number).bind_blob(2, packer_.pack(text_));
  if (auto done = insert_record_.run(); !done) return std::move(done).error();
  if (auto done = drop_journal(trajectory.id); !done) return std::move(done).error();
  return Status();
}

Status ChangeApplier::drop_journal(const std::string& id) {
  auto found = find_open(id);
  if (!found) return std::move(found).error();
  if (!*found) return {};
  const std::int64_t number = (*found)->number;
  drop_turns_.bind(1, journal_key(number, 0)).bind(2, journal_key(number, kMostTurns - 1));
  if (auto done = drop_turns_.run(); !done) return done;
  if (auto done = delete_rollout_.bind(1, number).run(); !done) return done;
  open_.erase(id);
  return {};
}

}  // namespace proctor
