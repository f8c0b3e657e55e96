// Small rows beside big ones: what lists and summaries read lies in `trajectories` and
// the sums, so that nobody touches a record's blob to count. `journal` is keyed by rollout and
// turn in one integer, which keeps a rollout's turns together and makes dropping them one range.
#include "runtime/store_schema.h"

#include <array>

#include "runtime/store_columns.h"

namespace proctor {
namespace {

constexpr int kApplicationId = 0x70726374;  // "prct"

constexpr const char* kTables = R"sql(
CREATE TABLE run(
  key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trajectories(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, task_id TEXT NOT NULL, group_id TEXT NOT NULL,
  suite TEXT NOT NULL, sample INTEGER NOT NULL, status TEXT NOT NULL, reward REAL, correct INTEGER,
  failure TEXT, turns INTEGER NOT NULL, parse_errors INTEGER NOT NULL, tool_calls INTEGER NOT NULL,
  tool_errors INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  cost REAL NOT NULL);
CREATE TABLE records(
  number INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE label_sums(
  trajectory INTEGER NOT NULL, supervisor TEXT NOT NULL, name TEXT NOT NULL, level TEXT NOT NULL,
  count INTEGER NOT NULL, valued INTEGER NOT NULL, total REAL NOT NULL, failed INTEGER NOT NULL,
  model_calls INTEGER NOT NULL, executions INTEGER NOT NULL, wall_ms REAL NOT NULL,
  PRIMARY KEY(trajectory, supervisor, name, level)) WITHOUT ROWID;
CREATE TABLE verdict_sums(
  trajectory INTEGER NOT NULL, supervisor TEXT NOT NULL, name TEXT NOT NULL, level TEXT NOT NULL,
  verdict TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY(trajectory, supervisor, name, level, verdict)) WITHOUT ROWID;
CREATE TABLE reason_sums(
  trajectory INTEGER NOT NULL, supervisor TEXT NOT NULL, name TEXT NOT NULL, level TEXT NOT NULL,
  reason TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY(trajectory, supervisor, name, level, reason)) WITHOUT ROWID;
CREATE TABLE labelled_groups(
  group_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE rollouts(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, start BLOB NOT NULL);
CREATE TABLE journal(
  key INTEGER PRIMARY KEY, turn BLOB NOT NULL, judgements BLOB);
)sql";

// 1: what supervision said of a turn lay in that turn's own row, one object.
constexpr SchemaUpgrade kUpgrades[] = {
    {1,
     "ALTER TABLE journal RENAME COLUMN supervision TO judgements; "
     "UPDATE journal SET judgements = CAST('[' || CAST(judgements AS TEXT) || ']' AS BLOB) "
     "WHERE judgements IS NOT NULL"},
    // 2: rows did not say what failed, was called or was spent; sums knew three verdicts only.
    {2,
     "ALTER TABLE trajectories ADD COLUMN failure TEXT; "
     "ALTER TABLE trajectories ADD COLUMN parse_errors INTEGER NOT NULL DEFAULT 0; "
     "ALTER TABLE trajectories ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0; "
     "ALTER TABLE trajectories ADD COLUMN tool_errors INTEGER NOT NULL DEFAULT 0; "
     "ALTER TABLE trajectories ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0; "
     "ALTER TABLE trajectories ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0; "
     "ALTER TABLE trajectories ADD COLUMN cost REAL NOT NULL DEFAULT 0; "
     "DROP TABLE label_sums; "
     "CREATE TABLE label_sums(trajectory INTEGER NOT NULL, supervisor TEXT NOT NULL, "
     "name TEXT NOT NULL, level TEXT NOT NULL, count INTEGER NOT NULL, valued INTEGER NOT NULL, "
     "total REAL NOT NULL, failed INTEGER NOT NULL, model_calls INTEGER NOT NULL, "
     "executions INTEGER NOT NULL, wall_ms REAL NOT NULL, "
     "PRIMARY KEY(trajectory, supervisor, name, level)) WITHOUT ROWID; "
     "CREATE TABLE verdict_sums(trajectory INTEGER NOT NULL, supervisor TEXT NOT NULL, "
     "name TEXT NOT NULL, level TEXT NOT NULL, verdict TEXT NOT NULL, count INTEGER NOT NULL, "
     "PRIMARY KEY(trajectory, supervisor, name, level, verdict)) WITHOUT ROWID"},
    // 3: nothing but the records said why a supervision had failed.
    {3,
     "CREATE TABLE reason_sums(trajectory INTEGER NOT NULL, supervisor TEXT NOT NULL, "
     "name TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, "
     "PRIMARY KEY(trajectory, supervisor, name, level, reason)) WITHOUT ROWID",
     rewrite_columns},
};

std::string version_words(const std::string& file, std::int64_t version) {
  return file + ": written by store version " + std::to_string(version);
}

// The steps that lead from `from` to the program's version exist one by one.
bool leads_up(std::span<const SchemaUpgrade> upgrades, std::int64_t from, int to) {
  for (const auto& upgrade : upgrades)
    if (upgrade.from == from) ++from;
  return from == to;
}

}  // namespace

Status create_schema(Database& database) {
  const std::array<std::string, 7> steps = {
      "PRAGMA page_size = 8192",  // a tenth less CPU a turn than 4096 or 16384: fewer, fuller
                                  // writes
      "PRAGMA journal_mode = WAL",
      "BEGIN IMMEDIATE",
      kTables,
      "PRAGMA application_id = " + std::to_string(kApplicationId),
      "PRAGMA user_version = " + std::to_string(kStoreVersion),
      "COMMIT",
  };
  for (const auto& step : steps)
    if (auto done = database.run(step); !done) return done;
  return {};
}

Result<bool> has_schema(Database& database) {
  auto tables = database.integer("SELECT count(*) FROM sqlite_master");
  if (!tables) return std::move(tables).error();
  return *tables > 0;
}

Status check_schema(Database& database, const std::string& file, Database::Access access) {
  return check_schema(database, file, access, kStoreVersion, kUpgrades);
}

Status check_schema(Database& database, const std::string& file, Database::Access access,
                    int program_version, std::span<const SchemaUpgrade> upgrades) {
  auto present = has_schema(database);
  if (!present) return std::move(present).error();
  if (!*present)
    return bad_input(
        file +
        ": empty: the run never began (start it again with `proctor run`), or this is a copy "
        "without the -wal file beside it");
  auto application = database.integer("PRAGMA application_id");
  if (!application) return std::move(application).error();
  if (*application != kApplicationId)
    return bad_input(file + ": belongs to another program: no proctor run is in this directory");
  auto found = database.integer("PRAGMA user_version");
  if (!found) return std::move(found).error();
  const std::int64_t version = *found;
  if (version == program_version) return {};
  const std::string reads = "this proctor reads version " + std::to_string(program_version);
  if (version > program_version)
    return bad_input(version_words(file, version) + ", " + reads +
                     ": use the newer proctor that wrote it");
  if (!leads_up(upgrades, version, program_version))
    return bad_input(version_words(file, version) + ", " + reads +
                     " and cannot upgrade from there: use the proctor that wrote it, and its "
                     "`export --format proctor` to carry the records over");
  if (access == Database::Access::read)
    return bad_input(version_words(file, version) + ", " + reads +
                     ": `proctor resume` upgrades it, reading alone does not");
  if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) return begun;
  for (const auto& upgrade : upgrades) {
    if (upgrade.from < version) continue;
    auto done = database.run(upgrade.sql);
    if (done && upgrade.then) done = upgrade.then(database);
    if (done) done = database.run("PRAGMA user_version = " + std::to_string(upgrade.from + 1));
    if (!done) {
      (void)database.run("ROLLBACK");
      return std::move(done).error().in("upgrade from version " + std::to_string(upgrade.from));
    }
  }
  return database.run("COMMIT");
}

}  // namespace proctor
