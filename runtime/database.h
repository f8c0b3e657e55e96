// A thin, throwing-free skin over SQLite: connections, prepared statements, and errors as
// sentences.
//
// A connection is used by one thread at a time; whoever shares one locks around it.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/core/result.h"

namespace proctor {

// A prepared statement. Texts and blobs bound must live until the next reset.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  Statement& bind(int place, std::int64_t value);
  Statement& bind(int place, double value);
  Statement& bind(int place, std::string_view value);
  Statement& bind_blob(int place, std::string_view value);
  Statement& bind_null(int place);
  template <class T>
  Statement& bind_optional(int place, const std::optional<T>& value) {
    return value ? bind(place, *value) : bind_null(place);
  }

  // True while there is a row. After false or an error the statement is ready to be bound again.
  Result<bool> step();
  // For statements without rows.
  Status run();
  void reset();

  std::int64_t integer(int column) const;
  double number(int column) const;
  std::string_view text(int column) const;  // of text and blobs; valid until the next step
  bool is_null(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  enum class Access { read, write };

  Database() = default;
  // Readers do not write a byte of content, but may create and remove SQLite's -wal and -shm
  // neighbours; where the directory cannot be written they do without.
  static Result<Database> open(const std::string& path, Access access);

  Status run(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  Result<std::int64_t> integer(const std::string& sql);
  bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
  explicit operator bool() const { return handle_ != nullptr; }
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

// What went wrong last on this connection, as one sentence that begins with the file's name.
Error database_error(sqlite3* handle);

}  // namespace proctor
