// The tool `search`, as a rollout calls it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/await.h"
#include "tools/index.h"
#include "tools/tool.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

class SearchTool : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("search-tool-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(folder_ / "corpus.jsonl")
        << R"({"id":"b","title":"B","text":"A language written by Ken Thompson in 1970."})" << '\n'
        << R"({"id":"c","title":"C","text":"A language that followed B, by Dennis Ritchie."})"
        << '\n'
        << R"({"id":"u","text":"Über-långe text without a title, ä ö ü ä ö ü ä ö ü, language."})"
        << '\n';
    ASSERT_TRUE(build_index((folder_ / "corpus.jsonl").string(), (folder_ / "index").string()));
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<ToolRef> make(json::object options) {
    const auto* entry = Registry<ToolMaker>::instance().find("search");
    PROCTOR_CHECK(entry != nullptr);
    auto parsed = Options::parse(options, entry->info.options, "search");
    if (!parsed) return std::move(parsed).error();
    return entry->make(*parsed, ToolServices{});
  }

  static Observation call(const ToolRef& tool, json::object arguments) {
    ToolCall call{"c0", "search", std::move(arguments)};
    auto observed = await(tool->call(call, std::make_shared<ToolContext>()));
    EXPECT_TRUE(observed);
    return observed ? *observed : Observation{};
  }

  fs::path folder_;
};

TEST_F(SearchTool, ShowsNumberedHitsAndRecordsTheirIds) {
  auto tool = make({{"index", (folder_ / "index").string()}});
  ASSERT_TRUE(tool) << tool.error().message;
  const Observation seen = call(*tool, {{"query", "Who wrote B? Thompson"}, {"k", 1}});
  EXPECT_EQ(seen.status, ObservationStatus::ok);
  EXPECT_EQ(seen.content, "Doc 1 (Title: B) A language written by Ken Thompson in 1970.\n");
  const json::object& hit = seen.data.at("hits").as_array().at(0).as_object();
  EXPECT_EQ(hit.at("id").as_string(), "b");
  EXPECT_EQ(hit.at("title").as_string(), "B");
  EXPECT_GT(hit.at("score").as_double(), 0);
}

TEST_F(SearchTool, IsPureAndAnswersAtOnce) {
  auto tool = make({{"index", (folder_ / "index").string()}});
  ASSERT_TRUE(tool);
  EXPECT_TRUE((*tool)->pure());
  EXPECT_TRUE((*tool)->instant());
  EXPECT_FALSE((*tool)->stateful());
}

TEST_F(SearchTool, CutsLongTextsBetweenCharacters) {
  auto tool = make({{"index", (folder_ / "index").string()}, {"max_chars", 37}, {"k", 1}});
  ASSERT_TRUE(tool);
  const Observation seen = call(*tool, {{"query", "title långe"}});
  EXPECT_EQ(seen.content, "Doc 1 Über-långe text without a title, ä ö ...\n");
}

TEST_F(SearchTool, ReturnsAsManyAsAskedOrAsSet) {
  auto tool = make({{"index", (folder_ / "index").string()}, {"k", 2}});
  ASSERT_TRUE(tool);
  const auto hits = [&](json::object arguments) {
    return call(*tool, std::move(arguments)).data.at("hits").as_array().size();
  };
  EXPECT_EQ(hits({{"query", "language"}}), 2U);
  EXPECT_EQ(hits({{"query", "language"}, {"k", 3}}), 3U);
}

TEST_F(SearchTool, TellsThePolicyWhatIsWrongWithItsArguments) {
  auto tool = make({{"index", (folder_ / "index").string()}});
  ASSERT_TRUE(tool);
  const auto complaint = [&](json::object arguments) {
    const Observation seen = call(*tool, std::move(arguments));
    EXPECT_EQ(seen.status, ObservationStatus::error);
    return seen.content;
  };
  EXPECT_EQ(complaint({}),
            "search: the argument 'query' is missing; it takes query (string) and, optionally, k "
            "(integer)");
  EXPECT_EQ(complaint({{"query", 7}}),
            "search: the argument 'query' must be of type string, not 7");
  EXPECT_EQ(complaint({{"query", "x"}, {"k", 0}}), "search: the argument 'k' must be at least 1");
  EXPECT_NE(complaint({{"query", "x"}, {"k", 1.5}}).find("integer"), std::string::npos);
  EXPECT_NE(complaint({{"query", "x"}, {"n", 1}}).find("no argument 'n'"), std::string::npos);
  EXPECT_NE(complaint({{"query", "  "}}).find("empty"), std::string::npos);
}

TEST_F(SearchTool, FailsWhereItsIndexIsDamagedAndTellsThePolicyNothing) {
  const fs::path documents = folder_ / "index" / "documents.bin";
  {
    std::fstream file(documents, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file << "##";
  }
  auto tool = make({{"index", (folder_ / "index").string()}, {"k", 3}});
  ASSERT_TRUE(tool) << tool.error().message;
  const ToolCall call{"c0", "search", {{"query", "language"}}};
  auto observed = await((*tool)->call(call, std::make_shared<ToolContext>()));
  ASSERT_FALSE(observed);
  EXPECT_EQ(observed.error().kind, ErrorKind::internal);
  EXPECT_NE(observed.error().message.find("documents.bin: damaged"), std::string::npos);
}

TEST_F(SearchTool, SaysWhenNothingMatches) {
  auto tool = make({{"index", (folder_ / "index").string()}});
  ASSERT_TRUE(tool);
  const Observation seen = call(*tool, {{"query", "zzz"}});
  EXPECT_EQ(seen.status, ObservationStatus::ok);
  EXPECT_EQ(seen.content, "No document matches. Try other words.");
  EXPECT_TRUE(seen.data.at("hits").as_array().empty());
}

TEST_F(SearchTool, IsNotMadeWithoutItsIndex) {
  auto tool = make({{"index", (folder_ / "nowhere").string()}});
  ASSERT_FALSE(tool);
  EXPECT_EQ(tool.error().kind, ErrorKind::bad_input);
  EXPECT_NE(tool.error().message.find((folder_ / "nowhere").string()), std::string::npos);
  EXPECT_FALSE(make({{"index", (folder_ / "index").string()}, {"k", 0}}));
}

}  // namespace
}  // namespace proctor
