// The index against a brute-force reference, and against files that are not whole.
#include "tools/index.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "runtime/core/determinism.h"
#include "runtime/core/json.h"
#include "tools/words.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

struct Passage {
  std::string id, title, text;
};

// A folder of its own for each test, gone at its end.
class IndexTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              (std::string("index-") + test->name() + "-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write_lines(const std::vector<std::string>& lines) {
    std::ofstream file(path("corpus.jsonl"));
    for (const std::string& line : lines) file << line << '\n';
    return path("corpus.jsonl");
  }

  std::string write_corpus(const std::vector<Passage>& corpus) {
    std::vector<std::string> lines;
    for (const Passage& passage : corpus) {
      json::object record{{"id", passage.id}, {"text", passage.text}};
      if (!passage.title.empty()) record["title"] = passage.title;
      lines.push_back(json::serialize(record));
    }
    return write_lines(lines);
  }

  std::shared_ptr<const SearchIndex> make(const std::vector<Passage>& corpus, IndexBuild how = {}) {
    fs::remove_all(path("index"));
    auto built = build_index(write_corpus(corpus), path("index"), how);
    EXPECT_TRUE(built) << (built ? "" : built.error().message);
    if (!built) return nullptr;
    auto opened = SearchIndex::open(path("index"));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    return opened ? *opened : nullptr;
  }

  std::string open_error() {
    auto opened = SearchIndex::open(path("index"));
    return opened ? "" : opened.error().message;
  }

  void damage(const std::string& name, std::size_t at) {
    std::fstream file(path("index/" + name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char was = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(was ^ 0x10));
  }

  fs::path folder_;
};

// Scores by the formula in index.h, in double precision, without any index.
class Reference {
 public:
  Reference(const std::vector<Passage>& corpus, Bm25Settings settings) : settings_(settings) {
    for (const Passage& passage : corpus) {
      titles_.push_back(count(passage.title));
      bodies_.push_back(count(passage.text));
    }
    average_body_ = average(bodies_);
    average_title_ = average(titles_);
  }

  std::vector<std::pair<std::size_t, double>> query(const std::string& text) {
    std::vector<std::string> words, stop_words;
    WordReader reader(text);
    for (std::string word; reader.next(word);)
      (is_stop_word(word) ? stop_words : words).emplace_back(stemmer_.stem(word));
    if (words.empty()) words = stop_words;
    std::vector<std::pair<std::size_t, double>> ranked;
    for (std::size_t document = 0; document < bodies_.size(); ++document) {
      double score = 0;
      for (const std::string& word : words) score += one(word, document);
      if (score > 0) ranked.emplace_back(document, score);
    }
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& left, const auto& right) {
      return left.second > right.second;
    });
    return ranked;
  }

 private:
  using Counts = std::map<std::string, int>;

  Counts count(const std::string& text) {
    Counts counts;
    WordReader reader(text);
    for (std::string word; reader.next(word);) {
      ++counts[std::string(stemmer_.stem(word))];
      ++counts[""];  // the length
    }
    return counts;
  }
  static double get(const Counts& counts, const std::string& word) {
    auto found = counts.find(word);
    return found == counts.end() ? 0 : found->second;
  }
  static double average(const std::vector<Counts>& field) {
    double all = 0;
    for (const Counts& counts : field) all += get(counts, "");
    return all / static_cast<double>(field.size());
  }
  double part(const Counts& counts, double average, const std::string& word) const {
    if (average == 0) return 0;
    const double b = settings_.b;
    return get(counts, word) / (1 - b + b * get(counts, "") / average);
  }
  double idf(const std::string& word) {
    if (auto known = idfs_.find(word); known != idfs_.end()) return known->second;
    double frequency = 0;
    for (std::size_t i = 0; i < bodies_.size(); ++i)
      frequency += get(bodies_[i], word) + get(titles_[i], word) > 0;
    const auto all = static_cast<double>(bodies_.size());
    return idfs_[word] = std::log(1 + (all - frequency + 0.5) / (frequency + 0.5));
  }
  double one(const std::string& word, std::size_t document) {
    const double weight = part(bodies_[document], average_body_, word) +
                          settings_.title_weight * part(titles_[document], average_title_, word);
    return weight == 0 ? 0 : idf(word) * weight / (weight + settings_.k1);
  }

  Bm25Settings settings_;
  Stemmer stemmer_;
  std::vector<Counts> titles_, bodies_;
  double average_body_ = 0, average_title_ = 0;
  std::map<std::string, double> idfs_;
};

const std::vector<std::string> kWords = {"compiler", "compilers", "parse",  "parser", "kernel",
                                         "the",      "of",        "unix",   "lisp",   "macro",
                                         "naïve",    "queue",     "stack",  "heap",   "byte",
                                         "PDP-11",   "and",       "branch", "cache",  "tree"};

std::string some_words(Rng& rng, std::size_t most) {
  std::string text;
  for (std::uint64_t left = rng.below(most + 1); left > 0; --left)
    text += kWords[rng.below(1 + rng.below(kWords.size()))] + " ";  // the first ones are frequent
  return text;
}

std::vector<Passage> random_corpus(Rng& rng, std::size_t documents, bool titles) {
  std::vector<Passage> corpus;
  for (std::size_t i = 0; i < documents; ++i)
    corpus.push_back(
        {"d" + std::to_string(i), titles ? some_words(rng, 3) : "", some_words(rng, 25)});
  return corpus;
}

TEST_F(IndexTest, RanksAndScoresAsTheFormulaSays) {
  Rng rng(17);
  for (int round = 0; round < 24; ++round) {
    const auto corpus = random_corpus(rng, 1 + rng.below(60), round % 2 == 0);
    IndexBuild how;
    how.bm25 = {.k1 = 0.5F + 0.1F * static_cast<float>(round % 8),
                .b = 0.125F * static_cast<float>(round % 9),
                .title_weight = static_cast<float>(round % 4)};
    if (round % 3 == 0) how.run_bytes = 1;  // every document a run of its own: all is merged
    auto index = make(corpus, how);
    ASSERT_TRUE(index);
    Reference reference(corpus, how.bm25);
    for (int asked = 0; asked < 20; ++asked) {
      const std::string query = some_words(rng, 6);
      const auto expected = reference.query(query);
      const auto hits = index->query(query, corpus.size());
      ASSERT_EQ(hits.size(), expected.size()) << query;
      std::map<std::uint32_t, double> score_of(expected.begin(), expected.end());
      for (std::size_t rank = 0; rank < hits.size(); ++rank) {
        ASSERT_NEAR(hits[rank].score, score_of.at(hits[rank].document), 1e-5) << query;
        ASSERT_NEAR(hits[rank].score, expected[rank].second, 1e-5) << query;
        if (rank == 0) continue;
        const bool ordered = hits[rank - 1].score > hits[rank].score ||
                             (hits[rank - 1].score == hits[rank].score &&
                              hits[rank - 1].document < hits[rank].document);
        ASSERT_TRUE(ordered) << query << " rank " << rank;
      }
      // A smaller k is the beginning of the larger one.
      const auto few = index->query(query, 3);
      ASSERT_EQ(few.size(), std::min<std::size_t>(3, hits.size()));
      ASSERT_TRUE(std::equal(few.begin(), few.end(), hits.begin()));
    }
  }
}

// Large enough for many windows and blocks, with few hits wanted: here most postings are skipped.
TEST_F(IndexTest, SkipsWithoutChangingAHit) {
  Rng rng(29);
  const auto word = [&] {  // frequent and rare ones, from every document to one in thousands
    return "w" + std::to_string(rng.below(1 + rng.below(1 + rng.below(1 + rng.below(3000)))));
  };
  std::vector<Passage> corpus;
  for (int i = 0; i < 15000; ++i) {
    Passage passage{std::to_string(i), rng.below(3) == 0 ? word() : "", ""};
    for (std::uint64_t left = rng.below(16); left > 0; --left) passage.text += word() + " ";
    corpus.push_back(std::move(passage));
  }
  auto index = make(corpus);
  ASSERT_TRUE(index);
  Reference reference(corpus, {});
  for (int asked = 0; asked < 60; ++asked) {
    std::string query;
    for (std::uint64_t left = 1 + rng.below(6); left > 0; --left) query += word() + " ";
    const auto all = index->query(query, corpus.size());
    for (const std::size_t k : {1, 3, 10, 200}) {
      const auto best = index->query(query, k);
      ASSERT_EQ(best.size(), std::min(k, all.size())) << query;
      ASSERT_TRUE(std::equal(best.begin(), best.end(), all.begin())) << query << " k=" << k;
    }
    if (asked % 10 != 0) continue;
    const auto expected = reference.query(query);
    ASSERT_EQ(all.size(), expected.size()) << query;
    for (std::size_t rank = 0; rank < all.size(); ++rank)
      ASSERT_NEAR(all[rank].score, expected[rank].second, 1e-5) << query;
  }
}

TEST_F(IndexTest, ScoresTheWorkedExample) {
  // N=2, df=1, avg=1.5; first document: tf=1, length 1. idf = ln(1 + 1.5/1.5) = 0.693147;
  // weight = 1 / (0.6 + 0.4 / 1.5) = 1.153846; score = 0.693147 * 1.153846 / 2.053846.
  auto index = make({{"a", "", "unix"}, {"b", "", "lisp macro"}});
  const auto hits = index->query("Unix", 10);
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].document, 0U);
  EXPECT_NEAR(hits[0].score, 0.389409, 1e-5);
}

TEST_F(IndexTest, GivesTheSameBytesWhateverTheRuns) {
  Rng rng(3);
  const auto corpus = random_corpus(rng, 200, true);
  make(corpus);
  const auto whole = read_file(path("index/index.bin"));
  IndexBuild how;
  how.run_bytes = 3000;
  make(corpus, how);
  const auto merged = read_file(path("index/index.bin"));
  ASSERT_TRUE(whole && merged);
  EXPECT_TRUE(*whole == *merged);
  EXPECT_FALSE(fs::exists(path("index/run-0")));
}

// So many files, and no more, can be opened while it lives.
class FewFiles {
 public:
  explicit FewFiles(rlim_t more) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(next) + more;
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewFiles() { setrlimit(RLIMIT_NOFILE, &before_); }
  FewFiles(const FewFiles&) = delete;
  FewFiles& operator=(const FewFiles&) = delete;

 private:
  rlimit before_{};
};

TEST_F(IndexTest, LosesNoRunWhereFewFilesCanBeOpen) {
  Rng rng(4);
  const auto corpus = random_corpus(rng, 200, true);
  make(corpus);
  const auto whole = read_file(path("index/index.bin"));
  IndexBuild how;
  how.run_bytes = 1;  // every document a run of its own
  {
    const FewFiles enough(100);
    make(corpus, how);
  }
  const auto merged = read_file(path("index/index.bin"));
  ASSERT_TRUE(whole && merged);
  EXPECT_TRUE(*whole == *merged);
  EXPECT_EQ(std::distance(fs::directory_iterator(path("index")), {}), 2) << "no run is left";

  const std::string lines = write_corpus(corpus);
  const FewFiles too_few(8);
  auto refused = build_index(lines, path("refused"), how);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("cannot read: Too many open files"), std::string::npos)
      << refused.error().message;
}

TEST_F(IndexTest, FindsDocumentsInManyWindows) {
  std::vector<Passage> corpus;
  for (int i = 0; i < 40000; ++i)
    corpus.push_back({std::to_string(i), "", i % 20000 == 19999 ? "rare word" : "word"});
  auto index = make(corpus);
  const auto hits = index->query("rare", 5);
  ASSERT_EQ(hits.size(), 2U);
  EXPECT_EQ(hits[0].document, 19999U);
  EXPECT_EQ(hits[1].document, 39999U);
  EXPECT_EQ(index->query("word", 50000).size(), 40000U);
}

TEST_F(IndexTest, BreaksTiesByTheCorpusOrder) {
  auto index = make({{"z", "", "same text"}, {"a", "", "same text"}, {"m", "", "same text"}});
  const auto hits = index->query("same", 2);
  ASSERT_EQ(hits.size(), 2U);
  EXPECT_EQ(hits[0].document, 0U);
  EXPECT_EQ(hits[1].document, 1U);
}

TEST_F(IndexTest, WeighsTheTitle) {
  auto index =
      make({{"x", "", "unix is mentioned here too"}, {"y", "unix", "an operating system"}});
  const auto hits = index->query("unix", 2);
  ASSERT_EQ(hits.size(), 2U);
  EXPECT_EQ(hits[0].document, 1U);
}

TEST_F(IndexTest, LooksAtStopWordsOnlyWhenThereIsNothingElse) {
  auto index = make({{"not", "NOT", "the opposite"}, {"gate", "", "a gate"}});
  EXPECT_EQ(index->query("not", 5).size(), 1U);
  const auto hits = index->query("the not gate", 5);
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].document, 1U);
}

TEST_F(IndexTest, AnswersNothingToNothing) {
  auto index = make({{"a", "", "text"}, {"empty", "only a title", ""}});
  EXPECT_TRUE(index->query("", 5).empty());
  EXPECT_TRUE(index->query("++ --", 5).empty());
  EXPECT_TRUE(index->query("unheard", 5).empty());
  EXPECT_TRUE(index->query("text", 0).empty());
  EXPECT_EQ(index->query("title", 5).size(), 1U);
}

TEST_F(IndexTest, LooksAtABoundedNumberOfWords) {
  auto index = make({{"a", "", "last"}});
  std::string query;
  for (std::size_t i = 0; i < SearchIndex::kMostQueryWords; ++i)
    query += "w" + std::to_string(i) + " ";
  EXPECT_TRUE(index->query(query + "last", 5).empty());
  EXPECT_EQ(index->query("last " + query, 5).size(), 1U);
}

TEST_F(IndexTest, GivesDocumentsBackAsTheyWere) {
  auto index = make({{"ä/1", "Tïtle", "line one\nline \"two\""}, {"2", "", ""}});
  auto first = index->document(0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, "ä/1");
  EXPECT_EQ(first->title, "Tïtle");
  EXPECT_EQ(first->text, "line one\nline \"two\"");
  EXPECT_TRUE(index->document(1)->text.empty());
  EXPECT_FALSE(index->document(2));
  EXPECT_EQ(index->facts().documents, 2U);
}

TEST_F(IndexTest, AnswersAlikeFromManyThreads) {
  Rng rng(5);
  auto index = make(random_corpus(rng, 500, true));
  const auto expected = index->query("unix compiler stack", 20);
  std::vector<std::thread> threads;
  std::atomic<int> differing = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int asked = 0; asked < 200; ++asked)
        if (index->query("unix compiler stack", 20) != expected) ++differing;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(differing, 0);
}

TEST_F(IndexTest, RefusesBadRecordsByLine) {
  const auto error_of = [&](const std::vector<std::string>& lines) {
    auto built = build_index(write_lines(lines), path("index"));
    EXPECT_FALSE(fs::exists(path("index"))) << "nothing half made stays";
    EXPECT_FALSE(built);
    return built ? "" : built.error().message.substr(path("corpus.jsonl").size());
  };
  const std::string good = R"({"id":"a","text":"x"})";
  EXPECT_EQ(error_of({good, "", good}), ":3: the id 'a' is there already, on line 1");
  EXPECT_TRUE(error_of({good, R"({"id":"b"})"}).starts_with(":2: text"));
  EXPECT_TRUE(error_of({good, R"({"id":"b","text":7})"}).starts_with(":2: text"));
  EXPECT_TRUE(error_of({R"({"text":"x"})"}).starts_with(":1: id"));
  EXPECT_TRUE(error_of({R"({"id":"","text":"x"})"}).starts_with(":1: id"));
  EXPECT_TRUE(error_of({good, "[1]"}).starts_with(":2: expected an object"));
  EXPECT_TRUE(error_of({good, "{"}).starts_with(":2: "));
  EXPECT_TRUE(error_of({}).starts_with(": no records"));
  EXPECT_TRUE(fs::directory_iterator(folder_) != fs::directory_iterator());
  for (const auto& left : fs::directory_iterator(folder_))
    EXPECT_EQ(left.path().filename(), "corpus.jsonl");
}

TEST_F(IndexTest, FindsADuplicateAmongMany) {
  std::vector<std::string> lines;
  for (int i = 0; i < 5000; ++i)
    lines.push_back(R"({"id":"n)" + std::to_string(i) + R"(","text":"x"})");
  lines.push_back(R"({"id":"n4321","text":"y"})");
  auto built = build_index(write_lines(lines), path("index"));
  ASSERT_FALSE(built);
  EXPECT_TRUE(
      built.error().message.ends_with(":5001: the id 'n4321' is there already, on line 4322"));
}

TEST_F(IndexTest, NeverTouchesAFolderThatIsThere) {
  fs::create_directories(path("index"));
  auto built = build_index(write_lines({R"({"id":"a","text":"x"})"}), path("index") + "/");
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().kind, ErrorKind::bad_input);
  EXPECT_TRUE(fs::is_empty(path("index")));
}

TEST_F(IndexTest, SaysWhatIsWrongWithAFolderThatIsNoIndex) {
  auto nowhere = SearchIndex::open(path("nowhere"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().kind, ErrorKind::bad_input);
  fs::create_directories(path("index"));
  EXPECT_NE(open_error().find("not a search index"), std::string::npos);
  std::ofstream(path("index/index.bin")) << "SQLite format 3";
  EXPECT_NE(open_error().find("not a search index"), std::string::npos);
  std::ofstream(path("index/index.bin"), std::ios::trunc);
  EXPECT_NE(open_error().find("not a search index"), std::string::npos);
}

TEST_F(IndexTest, RefusesFilesCutShortAtAnyByte) {
  make({{"a", "Title", "some text"}, {"b", "", "more of it"}});
  for (const std::string name : {"index.bin", "documents.bin"}) {
    const auto whole = fs::file_size(path("index/" + name));
    fs::copy_file(path("index/" + name), path("kept"), fs::copy_options::overwrite_existing);
    for (std::uintmax_t left = 0; left < whole; left += left < 300 ? 1 : 17) {
      fs::resize_file(path("index/" + name), left);
      EXPECT_NE(open_error(), "") << name << " of " << left << " bytes";
    }
    fs::resize_file(path("index/" + name), whole + 1);
    EXPECT_NE(open_error(), "") << name << " with a byte too many";
    fs::copy_file(path("kept"), path("index/" + name), fs::copy_options::overwrite_existing);
  }
  EXPECT_EQ(open_error(), "");
}

TEST_F(IndexTest, RefusesAnyDamagedByte) {
  make({{"a", "Title", "some text"}, {"b", "", "more of it"}});
  const auto bytes = fs::file_size(path("index/index.bin"));
  for (std::size_t at = 0; at < bytes; ++at) {
    damage("index.bin", at);
    EXPECT_NE(open_error(), "") << "byte " << at;
    damage("index.bin", at);  // and back
  }
  EXPECT_EQ(open_error(), "");
}

TEST_F(IndexTest, NamesTheVersionItCannotRead) {
  make({{"a", "", "text"}});
  damage("index.bin", 8);
  EXPECT_NE(open_error().find("of version 18,"), std::string::npos) << open_error();
}

TEST_F(IndexTest, RefusesADamagedDocumentOnly) {
  make({{"a", "", "some text"}, {"b", "", "other text"}});
  damage("documents.bin", 8 + 1 + 3);
  auto index = SearchIndex::open(path("index"));
  ASSERT_TRUE(index);
  EXPECT_FALSE((*index)->document(0));
  EXPECT_TRUE((*index)->document(1));
}

}  // namespace
}  // namespace proctor
