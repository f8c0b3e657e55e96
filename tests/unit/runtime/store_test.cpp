// What the run directory promises to whoever writes it and whoever goes on with it.
#include "runtime/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "runtime/database.h"
#include "runtime/opinions.h"
#include "runtime/run_lock.h"
#include "runtime/store_schema.h"
#include "tests/support/await.h"
#include "tests/support/scratch.h"
#include "tests/support/trajectories.h"

namespace proctor {
namespace {

const json::value kConfig = json::object{{"suite", "qa"}, {"seed", 7}};

std::unique_ptr<Store> created(const std::string& directory) {
  auto store = Store::create(directory, kConfig);
  EXPECT_TRUE(store) << store.error().message;
  return std::move(*store);
}

std::unique_ptr<Store> opened(const std::string& directory,
                              Store::Access access = Store::Access::write) {
  auto store = Store::open(directory, access);
  EXPECT_TRUE(store) << store.error().message;
  return std::move(*store);
}

std::string refusal(const std::string& directory, Store::Access access = Store::Access::write) {
  auto store = Store::open(directory, access);
  return store ? "opened" : store.error().message;
}

void expect_done(const Status& status) { EXPECT_TRUE(status) << status.error().message; }

TEST(Store, GivesBackWhatWasFinished) {
  Scratch scratch;
  Trajectory whole = make_finished("b-language");
  whole.labels.push_back(make_label("igpo", 1, 0.5));
  {
    auto store = created(scratch.path("run"));
    expect_done(await(store->begin(shared(make_start("b-language")))));
    expect_done(await(store->finish(shared(whole))));
  }
  auto store = opened(scratch.path("run"), Store::Access::read);
  auto read = store->read("r-b-language-0");
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(*read);
  EXPECT_EQ(json::serialize(to_json(**read)), json::serialize(to_json(whole)));
  auto rows = store->rows();
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().status, "answered");
  EXPECT_EQ(rows->front().suite, "qa");
  EXPECT_EQ(rows->front().turns, 2);
  EXPECT_EQ(rows->front().reward, 1.0);
  EXPECT_EQ(rows->front().correct, true);
  EXPECT_TRUE(store->unfinished()->empty());
  EXPECT_FALSE(store->read("r-nothing-0")->has_value());
}

TEST(Store, KeepsFieldsItDoesNotKnow) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  Trajectory whole = make_finished("t");
  whole.extra["from_tomorrow"] = json::object{{"deep", json::array{1, 2.5, nullptr}}};
  expect_done(await(store->finish(shared(whole))));
  auto read = store->read(whole.id);
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->extra, whole.extra);
}

TEST(Store, RemembersTheConfig) {
  Scratch scratch;
  created(scratch.path("run"));
  EXPECT_EQ(opened(scratch.path("run"))->config(), kConfig);
  std::filesystem::remove(scratch.path("run/config.yaml"));
  EXPECT_EQ(opened(scratch.path("run"))->config(), kConfig);
}

TEST(Store, GivesUnfinishedRolloutsWithTheirTurnsInOrder) {
  Scratch scratch;
  {
    auto store = created(scratch.path("run"));
    for (const char* task : {"a", "b"}) expect_done(await(store->begin(shared(make_start(task)))));
    for (int i = 0; i < 12; ++i) {
      expect_done(await(store->append_turn("r-a-0", make_turn(i))));
      if (i < 3) expect_done(await(store->append_turn("r-b-0", make_turn(i))));
    }
  }
  auto unfinished = opened(scratch.path("run"))->unfinished();
  ASSERT_TRUE(unfinished) << unfinished.error().message;
  ASSERT_EQ(unfinished->size(), 2u);
  EXPECT_EQ((*unfinished)[0].id, "r-a-0");
  ASSERT_EQ((*unfinished)[0].turns.size(), 12u);
  for (int i = 0; i < 12; ++i) EXPECT_EQ((*unfinished)[0].turns[i]->index, i);
  EXPECT_EQ((*unfinished)[1].turns.size(), 3u);
  EXPECT_EQ((*unfinished)[0].task->question(), "Who designed the B language?");
}

TEST(Store, PutsSupervisionOnTheJournalledTurn) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  expect_done(await(store->begin(shared(make_start("a")))));
  expect_done(await(store->append_turn("r-a-0", make_turn(0))));
  Turn judged = *make_turn(0);
  judged.scores["igpo.score"] = 0.25;
  judged.decision = Decision::stop;
  judged.decided_by = "igpo";
  judged.timing.supervise_ms = 3;
  std::vector<Judgement> judgements{
      {std::make_shared<const Turn>(judged), {make_label("igpo", 0, 0.25)}}};
  expect_done(await(store->append_turn("r-a-0", make_turn(1), judgements)));
  auto unfinished = store->unfinished();
  ASSERT_TRUE(unfinished) << unfinished.error().message;
  const Trajectory& so_far = unfinished->front();
  ASSERT_EQ(so_far.turns.size(), 2u);
  EXPECT_EQ(json::serialize(to_json(*so_far.turns[0])), json::serialize(to_json(judged)));
  ASSERT_EQ(so_far.labels.size(), 1u);
  EXPECT_EQ(so_far.labels[0].value, 0.25);
  EXPECT_EQ(*store->unjudged("r-a-0"), std::vector<int>{1});
}

TEST(Store, ReplacesATurnAndDropsWhatWasBuiltOnIt) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  expect_done(await(store->begin(shared(make_start("a")))));
  for (int i = 0; i < 4; ++i) expect_done(await(store->append_turn("r-a-0", make_turn(i))));
  std::vector<Judgement> late{{make_turn(0), {make_label("igpo", 0, 1)}},
                              {make_turn(1), {make_label("igpo", 1, 1)}}};
  expect_done(await(store->append_turn("r-a-0", make_turn(4), late)));
  expect_done(await(store->append_turn("r-a-0", make_turn(1, "resampled"))));
  auto unfinished = store->unfinished();
  ASSERT_EQ(unfinished->front().turns.size(), 2u);
  EXPECT_EQ(unfinished->front().turns[1]->assistant.content, "resampled");
  EXPECT_TRUE(unfinished->front().labels.empty()) << "they judged the turn that is gone";
}

TEST(Store, StartsFromTheTurnsABranchSharesWithItsParent) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  Trajectory branch = make_start("a", 1);
  branch.parent = Parent{.trajectory_id = "r-a-0", .turns = 2};
  branch.turns = {make_turn(0), make_turn(1)};
  expect_done(await(store->begin(shared(branch))));
  expect_done(await(store->append_turn(branch.id, make_turn(2))));
  auto unfinished = store->unfinished();
  ASSERT_EQ(unfinished->front().turns.size(), 3u);
}

TEST(Store, BeginsAnewWhatHasBegunBefore) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  for (int i = 0; i < 2; ++i) {
    expect_done(await(store->begin(shared(make_start("a")))));
    EXPECT_TRUE(store->unfinished()->front().turns.empty());
    expect_done(await(store->append_turn("r-a-0", make_turn(0))));
  }
}

TEST(Store, RefusesATurnOfARolloutThatNeverBegan) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  const Status refused = await(store->append_turn("r-a-0", make_turn(0)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "turn 0 of 'r-a-0', which did not begin or is finished");
}

TEST(Store, ReplacesAFinishedRecord) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  Trajectory whole = make_finished("a");
  expect_done(await(store->finish(shared(whole))));
  whole.outcome.reward = 0.5;
  whole.labels.push_back(make_label("igpo", 0, 1));
  expect_done(await(store->finish(shared(whole))));
  EXPECT_EQ(store->rows()->size(), 1u);
  EXPECT_EQ(store->rows()->front().reward, 0.5);
  EXPECT_EQ((*store->read("r-a-0"))->labels.size(), 1u);
}

TEST(Store, LabelsAGroupAtOnce) {
  Scratch scratch;
  {
    auto store = created(scratch.path("run"));
    std::vector<TrajectoryRef> members;
    for (int sample = 0; sample < 3; ++sample) {
      Trajectory member = make_finished("a", sample);
      expect_done(await(store->finish(shared(member))));
      member.labels.push_back(make_label("grpo", 0, sample - 1.0));
      members.push_back(shared(member));
    }
    EXPECT_TRUE(store->labelled_groups()->empty());
    expect_done(await(store->finish_group("a", members)));
  }
  auto store = opened(scratch.path("run"), Store::Access::read);
  EXPECT_EQ(*store->labelled_groups(), std::vector<std::string>{"a"});
  auto totals = store->label_totals();
  ASSERT_EQ(totals->size(), 1u);
  const LabelTotal& total = totals->front();
  EXPECT_EQ(total.supervisor, "grpo");
  EXPECT_EQ(total.level, "turn");
  EXPECT_EQ(total.count, 3);
  EXPECT_EQ(total.valued, 3);
  EXPECT_DOUBLE_EQ(total.total, 0);
  EXPECT_EQ(total.verdicts,
            (std::map<std::string, std::int64_t>{{"correct", 1}, {"incorrect", 2}}));
}

TEST(Store, AFinishedRolloutThatBeginsAnewKeepsItsRecordAndUnmarksItsGroup) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  Trajectory member = make_finished("a", 0);
  member.labels.push_back(make_label("igpo", 0, 0.5));
  expect_done(await(store->finish_group(member.group(), {shared(member)})));
  expect_done(await(store->begin(shared(make_finished("a", 0)))));
  EXPECT_TRUE(store->labelled_groups()->empty());
  EXPECT_TRUE(store->read(member.id)->has_value());
  EXPECT_TRUE(store->rows()->empty()) << "it waits to be replaced";
  EXPECT_EQ(*store->finished_count(), 0);
  EXPECT_TRUE(store->label_totals()->empty());
  expect_done(await(store->finish(shared(member))));
  EXPECT_EQ(store->rows()->size(), 1u);
  EXPECT_FALSE(store->label_totals()->empty());
  EXPECT_TRUE(store->unfinished()->empty());
}

TEST(Store, OrdersRowsByTaskAndSample) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  for (auto [task, sample] : {std::pair{"b", 0}, {"a", 1}, {"a", 0}, {"a", 10}, {"a", 2}})
    expect_done(await(store->finish(shared(make_finished(task, sample)))));
  std::vector<std::string> ids, texts;
  const auto rows = store->rows();
  for (const auto& row : *rows) ids.push_back(row.id);
  expect_done(store->for_each_text([&](const std::string& id, std::string_view) -> Status {
    texts.push_back(id);
    return {};
  }));
  EXPECT_EQ(ids, (std::vector<std::string>{"r-a-0", "r-a-1", "r-a-2", "r-a-10", "r-b-0"}));
  EXPECT_EQ(texts, ids);
}

TEST(Store, WritesTheRecordsAsLines) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  for (int sample : {1, 0}) expect_done(await(store->finish(shared(make_finished("a", sample)))));
  expect_done(store->write_jsonl());
  std::vector<std::string> ids;
  auto read = read_jsonl(scratch.path("run/trajectories.jsonl"),
                         [&](json::value value, std::size_t) -> Status {
                           ids.emplace_back(value.at("id").as_string());
                           return {};
                         });
  expect_done(read);
  EXPECT_EQ(ids, (std::vector<std::string>{"r-a-0", "r-a-1"}));
}

TEST(Store, LeavesTheLinesAloneWhereNoRecordHasChanged) {
  Scratch scratch;
  const std::string lines = scratch.path("run/trajectories.jsonl");
  // Of the same length, so that only a new writing mends it.
  const auto spoil = [&] {
    const auto size = std::filesystem::file_size(lines);
    std::ofstream(lines) << std::string(size, 'x');
  };
  const auto is_spoilt = [&] { return std::ifstream(lines).get() == 'x'; };
  {
    auto store = created(scratch.path("run"));
    expect_done(await(store->finish(shared(make_finished("a", 0)))));
    expect_done(store->write_jsonl());
  }
  spoil();
  expect_done(opened(scratch.path("run"))->write_jsonl());
  EXPECT_TRUE(is_spoilt()) << "nothing had changed";
  {
    auto store = opened(scratch.path("run"));
    expect_done(await(store->begin(shared(make_finished("b", 0)))));
    expect_done(store->write_jsonl());
    EXPECT_TRUE(is_spoilt()) << "a rollout that begins is no record";
    expect_done(await(store->finish(shared(make_finished("a", 0)))));
    expect_done(store->write_jsonl());
    EXPECT_FALSE(is_spoilt()) << "a record was replaced";
    spoil();
    expect_done(await(store->finish_group("g", {shared(make_finished("a", 0))})));
    expect_done(store->write_jsonl());
    EXPECT_FALSE(is_spoilt()) << "a group was labelled";
  }
  std::ofstream(lines, std::ios::app) << "x";
  std::filesystem::resize_file(lines, 3);
  spoil();
  expect_done(opened(scratch.path("run"))->write_jsonl());
  EXPECT_FALSE(is_spoilt()) << "a file that was cut is written anew";
  std::filesystem::remove(lines);
  expect_done(opened(scratch.path("run"))->write_jsonl());
  EXPECT_TRUE(std::filesystem::exists(lines));
}

TEST(Store, IsReadWhileItIsWritten) {
  Scratch scratch;
  auto writing = created(scratch.path("run"));
  expect_done(await(writing->finish(shared(make_finished("a")))));
  auto reading = opened(scratch.path("run"), Store::Access::read);
  EXPECT_EQ(reading->rows()->size(), 1u);
  expect_done(await(writing->finish(shared(make_finished("b")))));
  EXPECT_EQ(reading->rows()->size(), 2u);
  EXPECT_FALSE(await(reading->append_turn("r-a-0", make_turn(0))));
}

TEST(Store, CommitsManyTurnsTogether) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  asio::io_context& context = test_context();
  int done = 0;
  for (int i = 0; i < 500; ++i) {
    auto whole = shared(make_finished("t" + std::to_string(i)));
    asio::co_spawn(context, store->finish(whole),
                   [&](std::exception_ptr, Status status) { done += status.ok(); });
  }
  context.run();
  EXPECT_EQ(done, 500);
  EXPECT_EQ(store->usage().rows, 500u);
  EXPECT_LE(store->usage().commits, 100u);
  EXPECT_GE(store->usage().highest_queued, 2u);
}

Async<bool> cancelled_by(Async<Status> write) {
  try {
    (void)co_await std::move(write);
  } catch (const std::exception& error) {
    co_return is_cancellation(error);
  }
  co_return false;
}

TEST(Store, WritesWhatNobodyWaitsForAnyMore) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  asio::io_context& context = test_context();
  asio::cancellation_signal signal;
  bool cancelled = false;
  asio::co_spawn(context, cancelled_by(store->finish(shared(make_finished("a")))),
                 asio::bind_cancellation_slot(
                     signal.slot(), [&](std::exception_ptr, bool was) { cancelled = was; }));
  asio::post(context, [&] { signal.emit(asio::cancellation_type::terminal); });
  context.run();
  EXPECT_TRUE(cancelled);
  expect_done(store->close());
  EXPECT_EQ(opened(scratch.path("run"))->rows()->size(), 1u);
}

TEST(Store, RefusesWritesOnceItIsClosed) {
  Scratch scratch;
  auto store = created(scratch.path("run"));
  expect_done(store->close());
  const Status refused = await(store->finish(shared(make_finished("a"))));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the store is closed");
}

TEST(Store, LeavesNoDebrisBehind) {
  Scratch scratch;
  created(scratch.path("run"));
  EXPECT_TRUE(opened(scratch.path("run"), Store::Access::read)->rows());
  EXPECT_FALSE(std::filesystem::exists(scratch.path("run/trajectories.db-wal")));
  EXPECT_FALSE(std::filesystem::exists(scratch.path("run/trajectories.db-shm")));
}

TEST(StoreAccess, RefusesASecondRunInTheSameDirectory) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  created(run);
  auto again = Store::create(run, kConfig);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, ErrorKind::bad_input);
  EXPECT_EQ(again.error().message, run + ": holds a run already: `proctor resume " + run +
                                       "` goes on with it, or give another --out");
}

TEST(StoreAccess, NamesTheProcessThatHoldsTheLock) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  auto holder = created(run);
  const std::string message = refusal(run);
  EXPECT_EQ(message.find(run + ": in use by process " + std::to_string(::getpid()) + " on "), 0u)
      << message;
  auto second = Store::create(run, kConfig);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::bad_input);
  expect_done(holder->close());
  opened(run);
}

TEST(StoreAccess, SaysWhatIsMissing) {
  Scratch scratch;
  EXPECT_EQ(refusal(scratch.path("none")), scratch.path("none") + ": no such directory");
  EXPECT_EQ(refusal(scratch.path()),
            scratch.path() + ": no run directory: it holds no trajectories.db");
  const std::string database = scratch.path("trajectories.db");
  std::filesystem::create_symlink("trajectories.db", database);
  EXPECT_EQ(refusal(scratch.path()), database + ": Too many levels of symbolic links")
      << "what cannot be looked at may be there";
  std::filesystem::remove(database);
  std::filesystem::create_directory(database);
  EXPECT_EQ(refusal(scratch.path()), database + ": cannot be read: Is a directory");
  std::filesystem::remove(database);
  std::ofstream(database).flush();
  EXPECT_NE(refusal(scratch.path()).find("a copy without the -wal file"), std::string::npos)
      << refusal(scratch.path());
}

TEST(StoreAccess, RefusesADamagedFileInWords) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  std::filesystem::create_directory(run);
  std::ofstream(run + "/trajectories.db") << std::string(5000, 'x');
  for (auto access : {Store::Access::read, Store::Access::write}) {
    auto store = Store::open(run, access);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().kind, ErrorKind::bad_input);
    EXPECT_NE(store.error().message.find("damaged or no SQLite database"), std::string::npos)
        << store.error().message;
  }
}

TEST(StoreAccess, NamesTheRecordWhoseBytesAreDamaged) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  {
    auto store = created(run);
    expect_done(await(store->finish(shared(make_finished("a")))));
  }
  {
    auto database = Database::open(run + "/trajectories.db", Database::Access::write);
    expect_done(database->run("UPDATE records SET record = x'28b52ffd00112233'"));
  }
  auto read = opened(run)->read("r-a-0");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message, run + "/trajectories.db: r-a-0: the record's bytes are damaged");
}

TEST(StoreAccess, FindsTheRecordsThatCannotBeRead) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  {
    auto store = created(run);
    for (const char* task : {"a", "b", "c", "d"})
      expect_done(await(store->finish(shared(make_finished(task)))));
    EXPECT_EQ(*store->damaged(), std::vector<std::string>{});
  }
  {
    auto database = Database::open(run + "/trajectories.db", Database::Access::write);
    expect_done(database->run("UPDATE records SET record = x'28b52ffd00112233' WHERE number = 1"));
    expect_done(database->run("UPDATE records SET record = '{\"id\": 1}' WHERE number = 2"));
    expect_done(database->run("DELETE FROM records WHERE number = 4"));
  }
  EXPECT_EQ(*opened(run)->damaged(), (std::vector<std::string>{"r-a-0", "r-b-0", "r-d-0"}));
}

TEST(StoreAccess, LeavesAConfigurationAloneThatIsNotOfARun) {
  Scratch scratch;
  const std::string run = scratch.path("mine");
  std::filesystem::create_directory(run);
  expect_done(write_file(run + "/config.yaml", "# mine\n"));
  auto store = Store::create(run, json::object{});
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message.find("/config.yaml: is not of a run"), std::string::npos);
  EXPECT_EQ(*read_file(run + "/config.yaml"), "# mine\n");
  EXPECT_FALSE(std::filesystem::exists(run + "/trajectories.db"));
  const std::string other = scratch.path("other");
  std::filesystem::create_directories(other);
  std::ofstream(other + "/trajectories.jsonl") << "precious";
  const auto refused = Store::create(other, json::object{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find(other + "/trajectories.jsonl: is not of a run"), 0u);
}

TEST(Store, LeavesADamagedRecordOutOfTheLinesAndNamesIt) {
  Scratch scratch;
  {
    auto store = created(scratch.path("run"));
    for (int sample : {0, 1, 2})
      expect_done(await(store->finish(shared(make_finished("a", sample)))));
  }
  {
    auto database =
        Database::open(scratch.path("run") + "/trajectories.db", Database::Access::write);
    expect_done(database->run(
        "UPDATE records SET record = substr(record, 1, length(record) - 9) WHERE number = 2"));
  }
  auto store = opened(scratch.path("run"));
  EXPECT_FALSE(store->write_jsonl());
  for (int time = 0; time < 2; ++time) {
    std::vector<Error> damaged;
    expect_done(store->write_jsonl(&damaged));
    ASSERT_EQ(damaged.size(), 1u) << "named each time";
    EXPECT_NE(damaged[0].message.find("r-a-1"), std::string::npos) << damaged[0].message;
    std::ifstream lines(scratch.path("run/trajectories.jsonl"));
    EXPECT_EQ(std::count(std::istreambuf_iterator<char>(lines), {}, '\n'), 2);
  }
}

// --- versions ---

Database plain_store(const std::string& path, int version) {
  auto database = Database::open(path, Database::Access::write);
  EXPECT_TRUE(create_schema(*database));
  expect_done(database->run("PRAGMA user_version = " + std::to_string(version)));
  return std::move(*database);
}

TEST(StoreSchema, RefusesANewerStore) {
  Scratch scratch;
  auto database = plain_store(scratch.path("db"), kStoreVersion + 1);
  const Status refused = check_schema(database, "DB", Database::Access::write);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "DB: written by store version 5, this proctor reads version 4: use the newer proctor "
            "that wrote it");
}

TEST(StoreSchema, UpgradesAnOlderStoreStepByStep) {
  Scratch scratch;
  auto database = plain_store(scratch.path("db"), 2);
  const SchemaUpgrade steps[] = {{1, "CREATE TABLE never(x)"},
                                 {2, "ALTER TABLE run ADD COLUMN note TEXT"},
                                 {3, "UPDATE run SET note = 'seen'"}};
  const Status reading = check_schema(database, "DB", Database::Access::read, 4, steps);
  ASSERT_FALSE(reading);
  EXPECT_NE(reading.error().message.find("`proctor resume` upgrades it"), std::string::npos);
  expect_done(check_schema(database, "DB", Database::Access::write, 4, steps));
  EXPECT_EQ(*database.integer("PRAGMA user_version"), 4);
  EXPECT_TRUE(database.prepare("SELECT note FROM run"));
  EXPECT_FALSE(database.prepare("SELECT x FROM never"));
}

// As version 2 had them: rows that said less, and sums of three verdicts.
constexpr const char* kBackToVersionTwo =
    "ALTER TABLE trajectories DROP COLUMN failure; "
    "ALTER TABLE trajectories DROP COLUMN parse_errors; "
    "ALTER TABLE trajectories DROP COLUMN tool_calls; "
    "ALTER TABLE trajectories DROP COLUMN tool_errors; "
    "ALTER TABLE trajectories DROP COLUMN prompt_tokens; "
    "ALTER TABLE trajectories DROP COLUMN completion_tokens; "
    "ALTER TABLE trajectories DROP COLUMN cost; "
    "DROP TABLE verdict_sums; DROP TABLE label_sums; DROP TABLE reason_sums; "
    "CREATE TABLE label_sums(trajectory INTEGER NOT NULL, correct INTEGER NOT NULL); "
    "PRAGMA user_version = 2";

TEST(StoreSchema, MakesTheColumnsOfVersionTwoAnewFromTheRecords) {
  Scratch scratch;
  const std::string file = scratch.path("run") + "/trajectories.db";
  {
    auto store = created(scratch.path("run"));
    for (int sample : {0, 1, 2}) {
      Trajectory whole = make_finished("a", sample);
      whole.extra["usage"] = {{"cost", 0.5}};
      whole.labels.push_back(make_label("grpo", 0, 1));
      whole.labels.back().verdict = "ungrounded";
      expect_done(await(store->finish(shared(whole))));
    }
  }
  {
    auto database = Database::open(file, Database::Access::write);
    expect_done(database->run(kBackToVersionTwo));
    expect_done(database->run("UPDATE records SET record = 'x' WHERE number = 2"));
  }
  auto store = opened(scratch.path("run"));
  auto rows = store->rows();
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ(rows->front().cost, 0.5);
  EXPECT_EQ(rows->at(1).cost, 0) << "its record is damaged";
  EXPECT_EQ(rows->at(1).status, "answered") << "what was known of it stays";
  const auto totals = store->label_totals();
  ASSERT_EQ(totals->size(), 1u);
  EXPECT_EQ(totals->front().verdicts, (std::map<std::string, std::int64_t>{{"ungrounded", 2}}));
}

TEST(StoreSchema, ReadsWhySupervisionsFailedFromTheRecordsOfVersionThree) {
  Scratch scratch;
  const std::map<std::string, std::int64_t> why{{"judge failed: gone", 2}};
  {
    auto store = created(scratch.path("run"));
    for (int sample : {0, 1}) {
      Trajectory whole = make_finished("a", sample);
      whole.labels.push_back(failed_supervision("judge", Hook::on_turn, 0, unavailable("gone")));
      expect_done(await(store->finish(shared(whole))));
    }
    EXPECT_EQ(store->label_totals()->front().reasons, why);
  }
  {
    auto database =
        Database::open(scratch.path("run") + "/trajectories.db", Database::Access::write);
    expect_done(database->run("DROP TABLE reason_sums; PRAGMA user_version = 3"));
  }
  auto store = opened(scratch.path("run"));
  EXPECT_EQ(store->label_totals()->front().reasons, why);
  expect_done(await(store->finish(shared(make_finished("a", 1)))));
  EXPECT_EQ(store->label_totals()->front().reasons.at("judge failed: gone"), 1)
      << "a record that takes the place of one takes its reasons along";
}

TEST(Store, RemembersHowManyRolloutsArePlanned) {
  Scratch scratch;
  {
    auto store = created(scratch.path("run"));
    EXPECT_EQ(*store->planned(), std::nullopt);
    expect_done(store->set_planned(7));
    expect_done(store->set_planned(9));
  }
  EXPECT_EQ(*opened(scratch.path("run"), Store::Access::read)->planned(), 9);
}

// Version 1 kept what supervision said of a turn in that turn's row.
TEST(StoreSchema, CarriesTheJudgementsOfVersionOneOver) {
  Scratch scratch;
  {
    auto store = created(scratch.path("run"));
    expect_done(await(store->begin(shared(make_start("a")))));
    expect_done(await(store->append_turn("r-a-0", make_turn(0))));
    expect_done(await(store->append_turn("r-a-0", make_turn(1))));
  }
  {
    Turn judged;
    judged.scores["igpo.gain"] = 0.5;
    const json::object supervision{{"turn", to_json(judged)},
                                   {"labels", json::array{to_json(make_label("igpo", 0, 0.5))}}};
    auto database =
        Database::open(scratch.path("run") + "/trajectories.db", Database::Access::write);
    expect_done(database->run(kBackToVersionTwo));
    expect_done(database->run("ALTER TABLE journal RENAME COLUMN judgements TO supervision"));
    auto update = database->prepare("UPDATE journal SET supervision = ?1 WHERE key % 65536 = 0");
    const std::string text = json::serialize(supervision);
    expect_done(update->bind_blob(1, text).run());
    expect_done(database->run("PRAGMA user_version = 1"));
  }
  auto store = Store::open(scratch.path("run"), Store::Access::write);
  ASSERT_TRUE(store) << store.error().message;
  auto unfinished = (*store)->unfinished();
  ASSERT_TRUE(unfinished) << unfinished.error().message;
  ASSERT_EQ(unfinished->size(), 1u);
  ASSERT_EQ(unfinished->front().turns.size(), 2u);
  EXPECT_EQ(unfinished->front().turns[0]->scores.at("igpo.gain"), 0.5);
  ASSERT_EQ(unfinished->front().labels.size(), 1u);
  EXPECT_EQ(*(*store)->unjudged("r-a-0"), std::vector<int>{1});
}

TEST(StoreSchema, LeavesAStoreAsItWasWhenAnUpgradeFails) {
  Scratch scratch;
  auto database = plain_store(scratch.path("db"), 1);
  const SchemaUpgrade steps[] = {{1, "CREATE TABLE half(x)"}, {2, "not sql"}};
  EXPECT_FALSE(check_schema(database, "DB", Database::Access::write, 3, steps));
  EXPECT_EQ(*database.integer("PRAGMA user_version"), 1);
  EXPECT_FALSE(database.prepare("SELECT x FROM half"));
}

TEST(StoreSchema, RefusesAnOlderStoreItCannotUpgrade) {
  Scratch scratch;
  auto database = plain_store(scratch.path("db"), 1);
  const Status refused = check_schema(database, "DB", Database::Access::write, 3, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("cannot upgrade from there"), std::string::npos);
}

TEST(StoreSchema, APathMayBeginWithTwoSlashes) {
  Scratch scratch;
  EXPECT_TRUE(Database::open("/" + scratch.path("db"), Database::Access::write));
  EXPECT_TRUE(std::filesystem::exists(scratch.path("db")));
}

TEST(StoreSchema, RefusesTheFileOfAnotherProgram) {
  Scratch scratch;
  auto database = Database::open(scratch.path("db"), Database::Access::write);
  expect_done(database->run("CREATE TABLE bookmarks(url)"));
  const Status refused = check_schema(*database, "DB", Database::Access::write);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("belongs to another program"), std::string::npos);
}

}  // namespace
}  // namespace proctor
