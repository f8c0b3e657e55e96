// The run directory behind store.h: who may open it, how it is read. Writing is store_writer.cpp.
//
// Readers have a connection of their own and take no transaction that outlasts one record, so that
// a long reading never keeps the -wal file from being folded in.
#include "runtime/store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "runtime/core/config.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/shell_word.h"
#include "runtime/line_writer.h"
#include "runtime/run_lock.h"
#include "runtime/store_schema.h"
#include "runtime/store_writer.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

std::string database_path(const std::string& directory) { return directory + "/trajectories.db"; }

Status make_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return internal_error(directory + ": cannot be made: " + error.message());
  if (!fs::is_directory(directory)) return internal_error(directory + ": is not a directory");
  return {};
}

Status can_be_read(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return bad_input(path + ": cannot be read: " + std::strerror(errno));
  ::close(descriptor);
  if (std::error_code error; fs::is_directory(path, error))
    return bad_input(path + ": cannot be read: " + std::strerror(EISDIR));
  return {};
}

// The names in the directory survive a power cut.
void sync_directory(const std::string& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void sync_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

// config.yaml is what counts, so that a user may mend it between run and resume; where it is gone,
// the copy in the store does.
Result<json::value> read_config(Database& database, const std::string& directory) {
  const std::string path = directory + "/config.yaml";
  if (std::error_code error; fs::exists(path, error)) {
    auto file = read_yaml(path);
    if (!file) return std::move(file).error();
    return std::move(file->root);
  }
  auto statement = database.prepare("SELECT value FROM run WHERE key = 'config'");
  if (!statement) return std::move(statement).error();
  auto row = statement->step();
  if (!row) return std::move(row).error();
  if (!*row) return bad_input(path + ": no such file");
  auto config = parse_json(statement->text(0));
  if (!config) return std::move(config).error().in(database_path(directory));
  return config;
}

Status remember(Database& database, std::string_view key, std::string_view value) {
  auto statement = database.prepare("INSERT OR REPLACE INTO run(key, value) VALUES(?1, ?2)");
  if (!statement) return std::move(statement).error();
  return statement->bind(1, key).bind(2, value).run();
}

// One that was begun again is unfinished, though its former record still waits to be replaced.
constexpr const char* kFinished = "trajectories WHERE id NOT IN (SELECT id FROM rollouts)";
constexpr const char* kOfFinished =
    "WHERE trajectory NOT IN (SELECT number FROM trajectories WHERE id IN (SELECT id FROM "
    "rollouts))";

constexpr const char* kRowColumns =
    "id, task_id, group_id, suite, sample, status, reward, correct, failure, turns, parse_errors, "
    "tool_calls, tool_errors, prompt_tokens, completion_tokens, cost";

TrajectoryRow read_row(const Statement& row) {
  TrajectoryRow read;
  read.id = row.text(0);
  read.task_id = row.text(1);
  read.group_id = row.text(2);
  read.suite = row.text(3);
  read.sample = static_cast<int>(row.integer(4));
  read.status = row.text(5);
  if (!row.is_null(6)) read.reward = row.number(6);
  if (!row.is_null(7)) read.correct = row.integer(7) != 0;
  if (!row.is_null(8)) read.failure = row.text(8);
  read.turns = static_cast<int>(row.integer(9));
  read.parse_errors = row.integer(10);
  read.tool_calls = row.integer(11);
  read.tool_errors = row.integer(12);
  read.prompt_tokens = row.integer(13);
  read.completion_tokens = row.integer(14);
  read.cost = row.number(15);
  return read;
}

LabelTotal read_total(const Statement& row) {
  LabelTotal total;
  total.supervisor = row.text(0);
  total.name = row.text(1);
  total.level = row.text(2);
  total.count = row.integer(3);
  total.valued = row.integer(4);
  total.total = row.number(5);
  total.failed = row.integer(6);
  total.model_calls = row.integer(7);
  total.executions = row.integer(8);
  total.wall_ms = row.number(9);
  return total;
}

// A turn of the journal with what supervision made of it, as far as is known.
struct JournalledTurn {
  Turn turn;
  std::vector<Label> labels;
  bool judged = false;
};

Status add_judgement(const json::value& value, std::vector<JournalledTurn>& turns) {
  const auto* object = value.if_object();
  if (!object || !object->contains("turn")) return bad_input("no judgement of a turn");
  auto turn = read_turn(object->at("turn"), "turn");
  if (!turn) return std::move(turn).error();
  const auto place = std::find_if(turns.begin(), turns.end(), [&](const auto& journalled) {
    return journalled.turn.index == turn->index;
  });
  if (place == turns.end()) return {};  // of a turn that a branch shares with its parent
  turn->assistant = std::move(place->turn.assistant);
  turn->observations = std::move(place->turn.observations);
  turn->candidates = std::move(place->turn.candidates);
  turn->chosen = place->turn.chosen;
  for (const auto& pair : place->turn.extra) turn->extra.emplace(pair.key(), pair.value());
  place->turn = std::move(*turn);
  place->labels.clear();
  if (const auto* labels = object->if_contains("labels"); labels && labels->is_array())
    for (const auto& item : labels->get_array()) {
      auto label = read_label(item, "labels");
      if (!label) return std::move(label).error();
      place->labels.push_back(std::move(*label));
    }
  place->judged = true;
  return {};
}

Status add_row(const Statement& row, std::vector<JournalledTurn>& turns) {
  auto value = parse_json(row.text(1), kRecordLevels);
  if (!value) return std::move(value).error();
  auto turn = read_turn(*value, "turn");
  if (!turn) return std::move(turn).error();
  turns.push_back({.turn = std::move(*turn), .labels = {}});
  if (row.is_null(2)) return {};
  auto judgements = parse_json(row.text(2), kRecordLevels);
  if (!judgements) return std::move(judgements).error();
  if (!judgements->is_array()) return bad_input("no judgements of turns");
  for (const auto& judgement : judgements->get_array())
    if (auto added = add_judgement(judgement, turns); !added) return added;
  return {};
}

class SqliteStore final : public Store {
 public:
  SqliteStore(std::string directory, json::value config, RunLock lock,
              std::unique_ptr<StoreWriter> writer, Database reader)
      : directory_(std::move(directory)),
        config_(std::move(config)),
        lock_(std::move(lock)),
        writer_(std::move(writer)),
        reader_(std::move(reader)) {}
  ~SqliteStore() override { (void)close(); }

  const std::string& directory() const override { return directory_; }
  const json::value& config() const override { return config_; }

  Async<Status> begin(TrajectoryRef start) override {
    return write({.kind = Change::Kind::begin, .id = start->id, .trajectories = {start}});
  }
  Async<Status> append_turn(std::string trajectory_id, TurnRef turn,
                            std::vector<Judgement> judgements) override {
    return write({.kind = Change::Kind::turn,
                  .id = std::move(trajectory_id),
                  .turn = std::move(turn),
                  .judgements = std::move(judgements)});
  }
  Async<Status> finish(TrajectoryRef whole) override {
    return write({.kind = Change::Kind::finish, .id = whole->id, .trajectories = {whole}});
  }
  Async<Status> finish_group(std::string group_id, std::vector<TrajectoryRef> members) override {
    return write({.kind = Change::Kind::group,
                  .id = std::move(group_id),
                  .trajectories = std::move(members)});
  }

  Result<std::vector<TrajectoryRow>> rows() override;
  Result<std::vector<std::string>> labelled_groups() override;
  Result<std::vector<std::string>> damaged() override;
  Result<std::optional<Trajectory>> read(const std::string& id) override;
  Result<std::vector<Trajectory>> unfinished(std::vector<Error>* unreadable) override;
  Result<std::int64_t> finished_count() override;
  Result<std::optional<std::int64_t>> planned() override;
  Status set_planned(std::int64_t rollouts) override;
  Result<std::vector<int>> unjudged(const std::string& id) override;
  Status for_each(const std::function<Status(Trajectory)>& each) override;
  Status for_each_text(const std::function<Status(const std::string&, std::string_view)>& each,
                       std::vector<Error>* unreadable) override;
  Result<std::vector<LabelTotal>> label_totals() override;

  Status write_jsonl(std::vector<Error>* unreadable) override;
  Status write_summary(const json::value& summary) override {
    return write_file(directory_ + "/summary.json", json_text(summary) + "\n");
  }
  StoreUsage usage() const override { return writer_ ? writer_->usage() : StoreUsage{}; }
  Status close() override;

 private:
  Async<Status> write(Change change) {
    if (!writer_) return refuse();
    return writer_->write(std::move(change));
  }
  static Async<Status> refuse() {
    co_return internal_error("the run directory is open for reading only");
  }
  // Calls `row` for each row; the reader's lock is held meanwhile.
  Status each_row(const std::string& sql, const std::function<Status(const Statement&)>& row);
  Result<std::optional<std::int64_t>> number_of(const char* table, const std::string& id);
  Result<std::optional<std::string>> text_of(std::int64_t number, bool* packed = nullptr);
  static Result<Trajectory> parse(const std::string& text);
  bool can_be_read_again(std::int64_t number);
  Result<Trajectory> read_start(std::string_view packed);
  Result<std::vector<JournalledTurn>> journal_of(std::int64_t rollout);
  Error damaged(Error error, const std::string& id) const {
    return std::move(error).in(database_path(directory_) + ": " + id);
  }

  const std::string directory_;
  const json::value config_;
  RunLock lock_;
  std::unique_ptr<StoreWriter> writer_;  // null: for reading
  std::mutex mutex_;                     // around all below
  Database reader_;
  std::optional<Statement> record_;  // of reader_: one record by its number
  RecordUnpacker unpacker_;
};

Status SqliteStore::each_row(const std::string& sql,
                             const std::function<Status(const Statement&)>& row) {
  std::lock_guard lock(mutex_);
  auto statement = reader_.prepare(sql);
  if (!statement) return std::move(statement).error();
  for (;;) {
    auto more = statement->step();
    if (!more) return std::move(more).error();
    if (!*more) return {};
    if (auto done = row(*statement); !done) return done;
  }
}

Result<std::vector<TrajectoryRow>> SqliteStore::rows() {
  std::vector<TrajectoryRow> rows;
  auto read = each_row(std::string("SELECT ") + kRowColumns + " FROM " + kFinished,
                       [&rows](const Statement& row) -> Status {
                         rows.push_back(read_row(row));
                         return {};
                       });
  if (!read) return std::move(read).error();
  std::sort(rows.begin(), rows.end(), [](const TrajectoryRow& a, const TrajectoryRow& b) {
    return std::tie(a.task_id, a.sample, a.id) < std::tie(b.task_id, b.sample, b.id);
  });
  return rows;
}

Result<std::vector<std::string>> SqliteStore::labelled_groups() {
  std::vector<std::string> groups;
  auto read = each_row("SELECT group_id FROM labelled_groups ORDER BY group_id",
                       [&groups](const Statement& row) -> Status {
                         groups.emplace_back(row.text(0));
                         return {};
                       });
  if (!read) return std::move(read).error();
  return groups;
}

Result<std::vector<LabelTotal>> SqliteStore::label_totals() {
  using Key = std::tuple<std::string_view, std::string_view, std::string_view>;
  std::vector<LabelTotal> totals;
  auto read = each_row(
      "SELECT supervisor, name, level, sum(count), sum(valued), sum(total), sum(failed), "
      "sum(model_calls), sum(executions), sum(wall_ms) FROM label_sums " +
          std::string(kOfFinished) +
          " GROUP BY supervisor, name, level ORDER BY supervisor, name, level",
      [&totals](const Statement& row) -> Status {
        totals.push_back(read_total(row));
        return {};
      });
  if (!read) return std::move(read).error();
  std::map<Key, LabelTotal*> by_key;
  for (auto& total : totals) by_key[{total.supervisor, total.name, total.level}] = &total;
  const auto read_words = [&](const std::string& word,
                              std::map<std::string, std::int64_t> LabelTotal::* words) {
    return each_row("SELECT supervisor, name, level, " + word + ", sum(count) FROM " + word +
                        "_sums " + kOfFinished + " GROUP BY supervisor, name, level, " + word,
                    [&](const Statement& row) -> Status {
                      // One that was written between the readings has no total yet.
                      if (auto found = by_key.find({row.text(0), row.text(1), row.text(2)});
                          found != by_key.end())
                        (found->second->*words)[std::string(row.text(3))] = row.integer(4);
                      return {};
                    });
  };
  read = read_words("verdict", &LabelTotal::verdicts);
  if (read) read = read_words("reason", &LabelTotal::reasons);
  if (!read) return std::move(read).error();
  return totals;
}

Result<std::optional<std::int64_t>> SqliteStore::planned() {
  std::optional<std::int64_t> planned;
  auto read = each_row("SELECT CAST(value AS INTEGER) FROM run WHERE key = 'planned'",
                       [&planned](const Statement& row) -> Status {
                         planned = row.integer(0);
                         return {};
                       });
  if (!read) return std::move(read).error();
  return planned;
}

Status SqliteStore::set_planned(std::int64_t rollouts) {
  auto database = Database::open(database_path(directory_), Database::Access::write);
  if (!database) return std::move(database).error();
  return remember(*database, "planned", std::to_string(rollouts));
}

Result<std::optional<std::int64_t>> SqliteStore::number_of(const char* table,
                                                           const std::string& id) {
  std::optional<std::int64_t> number;
  std::lock_guard lock(mutex_);
  auto statement = reader_.prepare(std::string("SELECT number FROM ") + table + " WHERE id = ?1");
  if (!statement) return std::move(statement).error();
  auto row = statement->bind(1, std::string_view(id)).step();
  if (!row) return std::move(row).error();
  if (*row) number = statement->integer(0);
  return number;
}

Result<std::optional<std::string>> SqliteStore::text_of(std::int64_t number, bool* packed) {
  std::lock_guard lock(mutex_);
  if (!record_) {
    auto prepared = reader_.prepare("SELECT record FROM records WHERE number = ?1");
    if (!prepared) return std::move(prepared).error();
    record_ = std::move(*prepared);
  }
  auto row = record_->bind(1, number).step();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<std::string>();
  if (packed) *packed = RecordUnpacker::is_packed(record_->text(0));
  auto text = unpacker_.unpack(record_->text(0));
  record_->reset();
  if (!text) return std::move(text).error();
  return std::optional<std::string>(std::move(*text));
}

Result<std::optional<Trajectory>> SqliteStore::read(const std::string& id) {
  auto number = number_of("trajectories", id);
  if (!number) return std::move(number).error();
  if (!*number) return std::optional<Trajectory>();
  auto text = text_of(**number);
  if (!text) return damaged(std::move(text).error(), id);
  if (!*text) return damaged(bad_input("its record is gone"), id);
  auto trajectory = parse(**text);
  if (!trajectory) return damaged(std::move(trajectory).error(), id);
  return std::optional<Trajectory>(std::move(*trajectory));
}

bool SqliteStore::can_be_read_again(std::int64_t number) {
  bool packed = false;
  auto text = text_of(number, &packed);
  return text && *text && (packed || parse(**text));
}

Result<std::vector<std::string>> SqliteStore::damaged() {
  std::vector<std::pair<std::int64_t, std::string>> finished;
  auto listed = each_row(std::string("SELECT number, id FROM ") + kFinished + " ORDER BY number",
                         [&finished](const Statement& row) -> Status {
                           finished.emplace_back(row.integer(0), row.text(1));
                           return {};
                         });
  if (!listed) return std::move(listed).error();
  std::vector<std::string> ids;
  for (auto& [number, id] : finished)
    if (!can_be_read_again(number)) ids.push_back(std::move(id));
  return ids;
}

Status SqliteStore::for_each_text(
    const std::function<Status(const std::string&, std::string_view)>& each,
    std::vector<Error>* unreadable) {
  // Numbers first and records one by one: a record may be long, and so may be what `each` does.
  struct Entry {
    std::string task_id, id;
    std::int64_t sample, number;
  };
  std::vector<Entry> entries;
  auto listed = each_row(std::string("SELECT task_id, id, sample, number FROM ") + kFinished,
                         [&entries](const Statement& row) -> Status {
                           entries.push_back({std::string(row.text(0)), std::string(row.text(1)),
                                              row.integer(2), row.integer(3)});
                           return {};
                         });
  if (!listed) return listed;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.task_id, a.sample, a.id) < std::tie(b.task_id, b.sample, b.id);
  });
  for (const Entry& entry : entries) {
    auto text = text_of(entry.number);
    if (text && !*text) text = bad_input("its record is gone");
    if (!text) {
      Error error = damaged(std::move(text).error(), entry.id);
      if (!unreadable) return error;
      unreadable->push_back(std::move(error));
      continue;
    }
    if (auto done = each(entry.id, **text); !done) return done;
  }
  return {};
}

Status SqliteStore::for_each(const std::function<Status(Trajectory)>& each) {
  const auto read = [&](const std::string& id, std::string_view text) -> Status {
    auto value = parse_json(text, kRecordLevels);
    if (!value) return damaged(std::move(value).error(), id);
    auto trajectory = read_trajectory(*value);
    if (!trajectory) return damaged(std::move(trajectory).error(), id);
    return each(std::move(*trajectory));
  };
  return for_each_text(read, nullptr);
}

Result<Trajectory> SqliteStore::read_start(std::string_view packed) {
  auto text = unpacker_.unpack(packed);
  if (!text) return std::move(text).error();
  return parse(*text);
}

Result<Trajectory> SqliteStore::parse(const std::string& text) {
  auto value = parse_json(text, kRecordLevels);
  if (!value) return std::move(value).error();
  return read_trajectory(*value);
}

Result<std::vector<JournalledTurn>> SqliteStore::journal_of(std::int64_t rollout) {
  std::vector<JournalledTurn> turns;
  auto read = each_row("SELECT key, turn, judgements FROM journal WHERE key BETWEEN " +
                           std::to_string(journal_key(rollout, 0)) + " AND " +
                           std::to_string(journal_key(rollout, kMostTurns - 1)) + " ORDER BY key",
                       [&turns](const Statement& row) { return add_row(row, turns); });
  if (!read) return std::move(read).error();
  return turns;
}

Result<std::vector<Trajectory>> SqliteStore::unfinished(std::vector<Error>* unreadable) {
  const auto leave_out = [&](Error error, const std::string& id) {
    if (unreadable) unreadable->push_back(damaged(std::move(error), id));
  };
  std::vector<std::pair<std::int64_t, Trajectory>> begun;
  auto listed = each_row("SELECT number, id, start FROM rollouts ORDER BY number",
                         [&](const Statement& row) -> Status {
                           auto start = read_start(row.text(2));
                           if (start)
                             begun.emplace_back(row.integer(0), std::move(*start));
                           else
                             leave_out(std::move(start).error(), std::string(row.text(1)));
                           return {};
                         });
  if (!listed) return std::move(listed).error();
  std::vector<Trajectory> unfinished;
  for (auto& [number, trajectory] : begun) {
    auto journal = journal_of(number);
    if (!journal) {
      leave_out(std::move(journal).error(), trajectory.id);
      continue;
    }
    for (auto& journalled : *journal) {
      const auto index = static_cast<std::size_t>(journalled.turn.index);
      // Behind a gap nothing can be gone on from.
      if (index > trajectory.turns.size()) break;
      trajectory.turns.resize(index);
      trajectory.turns.push_back(std::make_shared<const Turn>(std::move(journalled.turn)));
      for (auto& label : journalled.labels) trajectory.labels.push_back(std::move(label));
    }
    unfinished.push_back(std::move(trajectory));
  }
  return unfinished;
}

Result<std::int64_t> SqliteStore::finished_count() {
  std::lock_guard lock(mutex_);
  return reader_.integer(std::string("SELECT count(*) FROM ") + kFinished);
}

Result<std::vector<int>> SqliteStore::unjudged(const std::string& id) {
  auto number = number_of("rollouts", id);
  if (!number) return std::move(number).error();
  std::vector<int> turns;
  if (!*number) return turns;
  auto journal = journal_of(**number);
  if (!journal) return damaged(std::move(journal).error(), id);
  for (const auto& journalled : *journal)
    if (!journalled.judged) turns.push_back(journalled.turn.index);
  return turns;
}

// The mark is the size of the file that was written, so that one that is gone or cut is written
// anew; the next finished record takes it away (ChangeApplier). Times of files say nothing: a copy
// has new ones.
Status SqliteStore::write_jsonl(std::vector<Error>* unreadable) {
  const std::string path = directory_ + "/trajectories.jsonl";
  std::error_code error;
  std::string written_size;
  auto marked = each_row("SELECT value FROM run WHERE key = 'lines'",
                         [&written_size](const Statement& row) -> Status {
                           written_size = row.text(0);
                           return {};
                         });
  if (!marked) return marked;
  if (const auto size = fs::file_size(path, error); !error && std::to_string(size) == written_size)
    return {};
  auto writer = LineWriter::open(path);
  if (!writer) return std::move(writer).error();
  auto written = for_each_text(
      [&](const std::string&, std::string_view text) { return writer->write(text); }, unreadable);
  if (written) written = writer->close();
  if (!written) return written;
  if (unreadable && !unreadable->empty()) return {};  // no mark: they are named the next time, too
  const auto size = fs::file_size(path, error);
  if (error) return {};  // somebody took it away: the next one writes it
  auto database = Database::open(database_path(directory_), Database::Access::write);
  if (!database) return std::move(database).error();
  return remember(*database, "lines", std::to_string(size));
}

Status SqliteStore::close() {
  {
    std::lock_guard lock(mutex_);
    record_.reset();
    reader_ = Database();
  }
  if (writer_) writer_->close();  // the last connection folds the -wal file in
  lock_.give_back();
  return {};
}

Result<std::unique_ptr<Store>> open_for_writing(const std::string& directory, Database database,
                                                json::value config, RunLock lock) {
  auto applier = ChangeApplier::make(std::move(database));
  if (!applier) return std::move(applier).error();
  auto reader = Database::open(database_path(directory), Database::Access::read);
  if (!reader) return std::move(reader).error();
  auto writer = StoreWriter::start(std::move(*applier));
  if (!writer) return std::move(writer).error();
  return std::make_unique<SqliteStore>(directory, std::move(config), std::move(lock),
                                       std::move(*writer), std::move(*reader));
}

}  // namespace

Result<std::unique_ptr<Store>> Store::create(const std::string& directory,
                                             const json::value& config) {
  const std::string config_file = directory + "/config.yaml";
  std::error_code error;
  for (const char* name : {"config.yaml", "trajectories.jsonl", "summary.json", "log.jsonl"})
    if (const std::string file = directory + "/" + name;
        fs::exists(file, error) && !fs::exists(database_path(directory), error))
      return bad_input(file + ": is not of a run, which would overwrite it: give another --out");
  if (auto made = make_directory(directory); !made) return std::move(made).error();
  auto lock = RunLock::take(directory);
  if (!lock) return std::move(lock).error();
  auto database = Database::open(database_path(directory), Database::Access::write);
  if (!database) return std::move(database).error();
  auto present = has_schema(*database);
  if (!present) return std::move(present).error();
  if (*present)
    return bad_input(directory + ": holds a run already: `proctor resume " + shell_word(directory) +
                     "` goes on with it, or give another --out");
  if (auto written = write_file(config_file, to_yaml(config)); !written)
    return std::move(written).error();
  sync_file(config_file);
  if (auto created = create_schema(*database); !created) return std::move(created).error();
  auto remembered = remember(*database, "config", json::serialize(config));
  if (remembered) remembered = remember(*database, "proctor", kVersion);
  if (!remembered) return std::move(remembered).error();
  sync_directory(directory);
  return open_for_writing(directory, std::move(*database), config, std::move(*lock));
}

Result<std::unique_ptr<Store>> Store::open(const std::string& directory, Access access) {
  const std::string path = database_path(directory);
  std::error_code error;
  if (!fs::exists(path, error)) {
    if (error) return bad_input(path + ": " + error.message());
    if (!fs::exists(directory, error)) return bad_input(directory + ": no such directory");
    return bad_input(directory + ": no run directory: it holds no trajectories.db");
  }
  // Before anything is said of writing.
  if (auto readable = can_be_read(path); !readable) return std::move(readable).error();
  const bool writing = access == Access::write;
  RunLock lock;
  if (writing) {
    auto taken = RunLock::take(directory);
    if (!taken) return std::move(taken).error();
    lock = std::move(*taken);
  }
  const auto mode = writing ? Database::Access::write : Database::Access::read;
  auto database = Database::open(path, mode);
  if (!database) return std::move(database).error();
  if (auto usable = check_schema(*database, path, mode); !usable) return std::move(usable).error();
  auto config = read_config(*database, directory);
  if (!config) return std::move(config).error();
  if (writing)
    return open_for_writing(directory, std::move(*database), std::move(*config), std::move(lock));
  return std::make_unique<SqliteStore>(directory, std::move(*config), RunLock(), nullptr,
                                       std::move(*database));
}

}  // namespace proctor
