// SQLite's result codes become one sentence each; what a user can do about it is in the sentence.
#include "runtime/database.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace proctor {
namespace {

std::string because(int system_error, const char* otherwise) {
  return system_error != 0 ? std::strerror(system_error) : otherwise;
}

// SQLite forgets why a file could not be made.
bool has_room_beside(const std::string& file) {
  const std::string directory = std::filesystem::path(file).parent_path().string();
  const int made =
      ::open(directory.empty() ? "." : directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (made >= 0) ::close(made);
  return made >= 0 || (errno != ENOSPC && errno != EDQUOT);
}

Error no_room(const std::string& file, int system_error) {
  return internal_error(file + ": no room to write: " + std::strerror(system_error) +
                        "; what is finished is kept; make room, then resume");
}

Error explain(int code, int system_error, const std::string& file, const char* detail) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return internal_error(file +
                            ": the disk is full: what is finished is kept; free some space, "
                            "then resume");
    case SQLITE_READONLY:
      return internal_error(file + ": cannot be written: " + because(system_error, detail));
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      if (!has_room_beside(file)) return no_room(file, ENOSPC);
      [[fallthrough]];
    case SQLITE_AUTH:
      return bad_input(file + ": cannot be opened or written: " + because(system_error, detail));
    case SQLITE_IOERR:
      if (system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG)
        return no_room(file, system_error);
      return internal_error(file + ": the disk failed: " + because(system_error, detail));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return bad_input(file + ": damaged or no SQLite database (" + detail +
                       "); `sqlite3 FILE .recover` may save what is left");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return internal_error(file + ": held by another process for too long");
    default:
      return internal_error(file + ": " + detail);
  }
}

std::string file_of(sqlite3* handle) {
  const char* name = sqlite3_db_filename(handle, "main");
  return name && *name ? name : "database";
}

// A URI's path may hold neither '?' nor '#' nor '%' as they are.
std::string as_uri(const std::string& path, const char* query) {
  std::string uri = "file:";
  // Behind two slashes SQLite looks for a host.
  const bool two = path.starts_with("//");
  for (const char letter : two ? path.substr(path.find_first_not_of('/') - 1) : path) {
    if (letter == '?')
      uri += "%3f";
    else if (letter == '#')
      uri += "%23";
    else if (letter == '%')
      uri += "%25";
    else
      uri += letter;
  }
  return uri + query;
}

}  // namespace

namespace {

Error error_in(const std::string& file, sqlite3* handle) {
  // SQLite does not always keep the reason of a failed write; errno, cleared before the call, does.
  const int noted = errno;
  const int system_error = sqlite3_system_errno(handle);
  return explain(sqlite3_extended_errcode(handle), system_error != 0 ? system_error : noted, file,
                 sqlite3_errmsg(handle));
}

}  // namespace

Error database_error(sqlite3* handle) { return error_in(file_of(handle), handle); }

Statement& Statement::bind(int place, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), place, value);
  return *this;
}

Statement& Statement::bind(int place, double value) {
  sqlite3_bind_double(statement_.get(), place, value);
  return *this;
}

Statement& Statement::bind(int place, std::string_view value) {
  sqlite3_bind_text64(statement_.get(), place, value.data() ? value.data() : "", value.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int place, std::string_view value) {
  sqlite3_bind_blob64(statement_.get(), place, value.data() ? value.data() : "", value.size(),
                      SQLITE_STATIC);
  return *this;
}

Statement& Statement::bind_null(int place) {
  sqlite3_bind_null(statement_.get(), place);
  return *this;
}

Result<bool> Statement::step() {
  errno = 0;
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  Error error = database_error(sqlite3_db_handle(statement_.get()));
  sqlite3_reset(statement_.get());
  return error;
}

Status Statement::run() {
  auto stepped = step();
  if (!stepped) return std::move(stepped).error();
  if (*stepped) reset();
  return {};
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::number(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string_view Statement::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int length = sqlite3_column_bytes(statement_.get(), column);
  return bytes ? std::string_view(bytes, static_cast<std::size_t>(length)) : std::string_view();
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Result<Database> Database::open(const std::string& path, Access access) {
  // A reader opens for writing where it may: the last one to close then folds the -wal file of a
  // killed run back in, and leaves no debris. query_only keeps it from changing anything else.
  struct Try {
    int flags;
    const char* query;
  };
  static constexpr Try kWriting[] = {{SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, ""}};
  static constexpr Try kReading[] = {{SQLITE_OPEN_READWRITE, ""},
                                     {SQLITE_OPEN_READONLY, ""},
                                     {SQLITE_OPEN_READONLY, "?immutable=1"}};
  const bool writing = access == Access::write;
  const Try* tries = writing ? kWriting : kReading;
  const int count = writing ? 1 : 3;
  std::optional<Error> first;
  for (int i = 0; i < count; ++i) {
    errno = 0;
    std::error_code ignored;
    // Ignoring a -wal file with content would be reading an old state.
    if (tries[i].query[0] && std::filesystem::file_size(path + "-wal", ignored) > 0 && !ignored)
      break;
    sqlite3* handle = nullptr;
    const std::string uri = as_uri(path, tries[i].query);
    const int code = sqlite3_open_v2(
        uri.c_str(), &handle,
        tries[i].flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
    Database database;
    database.handle_.reset(handle);
    if (code == SQLITE_OK) {
      sqlite3_busy_timeout(handle, 10'000);
      // The first real look at the file: opening is lazy.
      if (writing) return database;
      auto looked = database.integer("SELECT count(*) FROM sqlite_master");
      if (looked) {
        if (auto only = database.run("PRAGMA query_only = 1"); !only)
          return std::move(only).error();
        return database;
      }
    }
    // One that could not be opened knows no name.
    if (!first) first = error_in(path, handle);
    const int kind = sqlite3_errcode(handle) & 0xff;
    if (kind != SQLITE_CANTOPEN && kind != SQLITE_READONLY && kind != SQLITE_PERM &&
        kind != SQLITE_IOERR)
      break;
  }
  return std::move(*first);
}

Status Database::run(const std::string& sql) {
  errno = 0;
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    return database_error(handle_.get());
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
    return database_error(handle_.get());
  return Statement(statement);
}

Result<std::int64_t> Database::integer(const std::string& sql) {
  auto statement = prepare(sql);
  if (!statement) return std::move(statement).error();
  auto row = statement->step();
  if (!row) return std::move(row).error();
  const std::int64_t value = *row ? statement->integer(0) : 0;
  statement->reset();
  return value;
}

}  // namespace proctor
