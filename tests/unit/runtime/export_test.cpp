// What export promises: every record as it is, or a sentence.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "runtime/exporter.h"
#include "runtime/line_writer.h"
#include "runtime/store.h"
#include "tests/support/await.h"
#include "tests/support/scratch.h"
#include "tests/support/trajectories.h"

namespace proctor {
namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  auto read = read_lines(path, [&lines](std::string_view text, std::size_t) -> Status {
    lines.emplace_back(text);
    return {};
  });
  EXPECT_TRUE(read) << read.error().message;
  return lines;
}

std::string make_run(const Scratch& scratch, int trajectories) {
  const std::string run = scratch.path("run");
  auto store = Store::create(run, json::object{});
  for (int i = 0; i < trajectories; ++i) {
    Trajectory whole = make_finished("t" + std::to_string(i));
    whole.extra["unknown"] = i;
    EXPECT_TRUE(await((*store)->finish(shared(whole))));
  }
  return run;
}

TEST(Export, WritesARunPlainAndCompressedAlike) {
  Scratch scratch;
  const std::string run = make_run(scratch, 3);
  for (const char* name : {"out.jsonl", "out.jsonl.zst"}) {
    auto counts = export_records(run, "proctor", {}, scratch.path(name));
    ASSERT_TRUE(counts) << counts.error().message;
    EXPECT_EQ(counts->rows, 3u);
  }
  const auto lines = lines_of(scratch.path("out.jsonl"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines_of(scratch.path("out.jsonl.zst")), lines);
  EXPECT_EQ(parse_json(lines[2])->at("unknown").as_int64(), 2);
}

TEST(Export, CopiesAFileOfTrajectories) {
  Scratch scratch;
  ASSERT_TRUE(export_records(make_run(scratch, 2), "proctor", {}, scratch.path("a.jsonl")));
  ASSERT_TRUE(export_records(scratch.path("a.jsonl"), "proctor", {}, scratch.path("b.jsonl")));
  EXPECT_EQ(lines_of(scratch.path("b.jsonl")), lines_of(scratch.path("a.jsonl")));
}

TEST(Export, SuggestsTheNearestFormat) {
  auto counts = export_records("x", "procter", {}, "out.jsonl");
  ASSERT_FALSE(counts);
  EXPECT_EQ(counts.error().kind, ErrorKind::bad_input);
  EXPECT_NE(counts.error().message.find("unknown format 'procter'"), std::string::npos);
  EXPECT_NE(counts.error().message.find("'proctor'"), std::string::npos);
}

TEST(Export, RefusesAnEndingItDoesNotWrite) {
  auto counts = export_records("x", "proctor", {}, "out.parquet");
  ASSERT_FALSE(counts);
  EXPECT_EQ(
      counts.error().message,
      "--out out.parquet: the format 'proctor' is written as .jsonl, .jsonl.zst or - (stdout)");
}

TEST(Export, NamesTheLineThatIsNoTrajectoryAndLeavesNoFile) {
  Scratch scratch;
  const std::string from = scratch.path("in.jsonl");
  std::ofstream(from) << json::serialize(to_json(make_finished("a"))) << "\n\n{\"id\": 3}\n";
  auto counts = export_records(from, "proctor", {}, scratch.path("out.jsonl"));
  ASSERT_FALSE(counts);
  EXPECT_EQ(counts.error().message.find(from + ":3: "), 0u) << counts.error().message;
  EXPECT_FALSE(std::filesystem::exists(scratch.path("out.jsonl")));
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
    EXPECT_EQ(entry.path(), from);
}

TEST(Export, WritesAnEmptyFileWhereThereIsNothing) {
  Scratch scratch;
  auto counts = export_records(make_run(scratch, 0), "proctor", {}, scratch.path("out.jsonl"));
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->rows, 0u);
  EXPECT_EQ(std::filesystem::file_size(scratch.path("out.jsonl")), 0u);
}

TEST(LineWriter, WritesToADeviceWithoutReplacingIt) {
  auto writer = LineWriter::open("/dev/null");
  ASSERT_TRUE(writer);
  EXPECT_TRUE(writer->write("x"));
  EXPECT_TRUE(writer->close());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(LineWriter, RemovesWhatKilledProcessesLeftAndNothingElse) {
  Scratch scratch;
  const std::string out = scratch.path("out.jsonl");
  for (const char* name : {".proctor-part-1-0", ".part1", ".partial", "2.proctor-part-1-0"})
    std::ofstream(out + name) << "x";
  auto at_work = LineWriter::open(out);
  ASSERT_TRUE(at_work);
  EXPECT_FALSE(std::filesystem::exists(out + ".proctor-part-1-0"));
  for (const char* name : {".part1", ".partial", "2.proctor-part-1-0"})
    EXPECT_TRUE(std::filesystem::exists(out + name)) << name;
  auto other = LineWriter::open(out);
  ASSERT_TRUE(other);
  EXPECT_TRUE(other->write("other"));
  EXPECT_TRUE(other->close());
  EXPECT_TRUE(at_work->write("at work"));
  EXPECT_TRUE(at_work->close()) << "a live one's is left alone";
  EXPECT_EQ(lines_of(out), std::vector<std::string>{"at work"});
}

TEST(LineWriter, SaysWhyItCannotWrite) {
  auto writer = LineWriter::open("/nowhere/out.jsonl");
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().message,
            "/nowhere/out.jsonl: cannot be written: No such file or directory");
  EXPECT_EQ(exit_code(writer.error().kind), 1);
  auto full = LineWriter::open("/dev/full");
  ASSERT_TRUE(full);
  Status written = full->write("x");
  if (written) written = full->close();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message, "/dev/full: cannot be written: No space left on device");
}

}  // namespace
}  // namespace proctor
