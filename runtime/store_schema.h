// The tables of trajectories.db and their version.
//
// The version lies in the file (PRAGMA user_version). An older store is upgraded when it is opened
// for writing, step by step in one transaction; a newer one, or another program's file, is refused.
#pragma once

#include <span>
#include <string>

#include "runtime/database.h"

namespace proctor {

inline constexpr int kStoreVersion = 4;

// Takes a store from version `from` to the next one: the SQL, then what SQL alone cannot do.
struct SchemaUpgrade {
  int from;
  const char* sql;
  Status (*then)(Database& database) = nullptr;
};

// Sets the file up for a new run: page size, WAL, tables, version.
Status create_schema(Database& database);
// True when the file holds a store, of whatever version; false when it is still empty.
Result<bool> has_schema(Database& database);
// Answers `bad_input` in words when this program cannot use the store as it is.
Status check_schema(Database& database, const std::string& file, Database::Access access);
// The same for any version and steps.
Status check_schema(Database& database, const std::string& file, Database::Access access,
                    int program_version, std::span<const SchemaUpgrade> upgrades);

}  // namespace proctor
