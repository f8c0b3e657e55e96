// Exact BM25 over the memory-mapped index: window by window of documents, the leading terms'
// postings are added into a small table of scores that stays in cache. Terms whose largest impact
// cannot lift a document among the best no longer lead, and are only looked up (MaxScore, with
// skips).
//
// Blind spot: a query whose words are all frequent reads most of their postings, which takes
// milliseconds in a corpus of millions.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "tools/index.h"
#include "tools/index_file.h"
#include "tools/words.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;
using namespace index_file;

// A file mapped for reading.
class Mapping {
 public:
  static Result<Mapping> of(const std::string& path) {
    Mapping mapping;
    mapping.file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (mapping.file_ < 0) return bad_input(path + ": cannot open: " + std::strerror(errno));
    struct stat about{};
    if (fstat(mapping.file_, &about) != 0 || !S_ISREG(about.st_mode))
      return bad_input(path + ": not a file");
    mapping.bytes_ = static_cast<std::size_t>(about.st_size);
    if (mapping.bytes_ == 0) return mapping;
    void* data = mmap(nullptr, mapping.bytes_, PROT_READ, MAP_SHARED, mapping.file_, 0);
    if (data == MAP_FAILED) return internal_error(path + ": cannot map: " + std::strerror(errno));
    mapping.data_ = static_cast<const char*>(data);
    return mapping;
  }
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : file_(std::exchange(other.file_, -1)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping() {
    if (data_) munmap(const_cast<char*>(data_), bytes_);
    if (file_ >= 0) close(file_);
  }

  const char* data() const { return data_; }
  std::size_t size() const { return bytes_; }

  // Through read() instead of the map, which would count as this process's memory.
  Result<std::uint64_t> checksum_from(std::size_t begin, const std::string& path) const {
    Checksum sum;
    std::vector<char> buffer(std::size_t{1} << 18);
    for (std::size_t at = begin; at < bytes_;) {
      const ssize_t got = pread(file_, buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return internal_error(path + ": cannot read: " + std::strerror(errno));
      sum.add(buffer.data(), static_cast<std::size_t>(got));
      at += static_cast<std::size_t>(got);
    }
    return sum.value();
  }

 private:
  int file_ = -1;
  const char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

Error damaged(const std::string& path, const std::string& how) {
  return bad_input(path + ": " + how + "; build the index again");
}

Status check_header(const Mapping& file, const std::string& path) {
  if (file.size() < sizeof(Header::magic) ||
      std::memcmp(file.data(), kIndexMagic, sizeof kIndexMagic) != 0)
    return bad_input(path + ": not a search index; make one with `proctor index build`");
  if (file.size() < sizeof(Header)) return damaged(path, "cut short");
  Header header;
  std::memcpy(&header, file.data(), sizeof header);
  if (header.version != kIndexVersion)
    return bad_input(path + ": an index of version " + std::to_string(header.version) +
                     ", and this proctor reads version " + std::to_string(kIndexVersion) +
                     "; build the index again");
  Checksum sum;
  sum.add(&header, offsetof(Header, header_checksum));
  if (sum.value() != header.header_checksum) return damaged(path, "damaged (header)");
  if (file.size() != header.index_bytes)
    return damaged(path,
                   file.size() < header.index_bytes ? "cut short" : "longer than it should be");
  auto content = file.checksum_from(sizeof(Header), path);
  if (!content) return std::move(content).error();
  if (*content != header.content_checksum) return damaged(path, "damaged");
  return {};
}

Status check_documents(const Mapping& file, const std::string& path, std::uint64_t expected) {
  if (file.size() < sizeof kDocumentsMagic ||
      std::memcmp(file.data(), kDocumentsMagic, sizeof kDocumentsMagic) != 0)
    return damaged(path, "not the documents of a search index");
  if (file.size() != expected)
    return damaged(path, file.size() < expected ? "cut short" : "not the file of this index");
  return {};
}

// Where one term of the query stands in its postings.
struct Cursor {
  static constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

  const unsigned char* begin = nullptr;
  const unsigned char* at = nullptr;
  const unsigned char* end = nullptr;
  const Skip* skip = nullptr;  // the end of the block it stands in
  const Skip* last_skip = nullptr;
  std::uint32_t term = 0;
  float factor = 0;  // idf, times how often the query has the word
  float most = 0;    // no document scores more by this term
  std::int64_t document = -1;
  bool plain = true;  // of the current posting: once in the body
  std::uint64_t body = 0, title = 0;

  // To the next posting, or to kEnd. Damaged bytes end the list.
  void step(std::int64_t documents) {
    std::uint64_t head = 0;
    bool whole = true;
    if (at < end && *at < 0x80)
      head = *at++;
    else
      whole = get_varint(at, end, head);
    plain = (head & 1) == 0;
    if (!plain) whole = whole && get_varint(at, end, body) && get_varint(at, end, title);
    document += static_cast<std::int64_t>(head >> 1);
    if (!whole || head >> 1 == 0 || document >= documents) document = kEnd;
  }

  // To the first posting at `target` or behind.
  void seek(std::int64_t target, std::int64_t documents) {
    if (document >= target) return;
    if (skip < last_skip && skip->document < target) {
      const auto before = [](const Skip& block, std::int64_t value) {
        return block.document < value;
      };
      const Skip* block = std::lower_bound(skip, last_skip, target, before);
      const Skip& past = *(block - 1);  // whole blocks up to here lie before the target
      skip = block;
      if (past.document > document && past.bytes <= static_cast<std::size_t>(end - begin)) {
        at = begin + past.bytes;
        document = past.document;
      }
    }
    while (document < target) step(documents);
  }
};

// Best first; equal scores in the corpus's order.
bool better(const Hit& left, const Hit& right) {
  return left.score > right.score || (left.score == right.score && left.document < right.document);
}

// The k best of hits that arrive in the order of documents.
class Best {
 public:
  explicit Best(std::size_t k) : k_(k) {}
  // What a hit must exceed to matter: an equal one that comes later never does.
  float bar() const { return bar_; }
  // What an upper bound must exceed: sums of floats in another order differ in their last digits.
  float low_bar() const { return bar_ * 0.9999F; }
  void add(Hit hit) {
    if (heap_.size() == k_) {
      std::pop_heap(heap_.begin(), heap_.end(), better);
      heap_.pop_back();
    }
    heap_.push_back(hit);
    std::push_heap(heap_.begin(), heap_.end(), better);
    if (heap_.size() == k_) bar_ = heap_.front().score;
  }
  std::vector<Hit> take() {
    std::sort_heap(heap_.begin(), heap_.end(), better);
    return std::move(heap_);
  }

 private:
  std::size_t k_;
  float bar_ = 0;
  std::vector<Hit> heap_;
};

class Bm25Index final : public SearchIndex {
 public:
  static constexpr std::int64_t kWindow = 4096;  // the scores fit into the first-level cache
  static constexpr std::size_t kBlock = 64;
  static_assert(kWindow % kBlock == 0);

  Bm25Index(std::string directory, Mapping index, Mapping documents)
      : directory_(std::move(directory)),
        index_(std::move(index)),
        documents_(std::move(documents)) {
    std::memcpy(&header_, index_.data(), sizeof header_);
    postings_ = at<unsigned char>(header_.posting_bytes);
    terms_ = at<TermEntry>(header_.term_entries);
    term_text_ = at<char>(header_.term_text);
    skips_ = at<Skip>(header_.skips);
    slots_ = at<std::uint32_t>(header_.slots);
    slot_count_ = header_.slots.bytes / sizeof(std::uint32_t);
    norms_ = at<Norms>(header_.norms);
    entries_ = at<DocumentEntry>(header_.document_entries);
    facts_ = {header_.documents,   header_.terms,
              header_.postings,    header_.body_words + header_.title_words,
              header_.index_bytes, header_.documents_bytes};
  }

  // The checksums are right, so that only a faulty builder could fail this.
  Status check_sections() const {
    const auto fits = [&](const Section& section, std::uint64_t count, std::uint64_t size) {
      return section.at % 8 == 0 && section.at <= index_.size() &&
             section.bytes <= index_.size() - section.at && section.bytes == count * size;
    };
    const bool whole = fits(header_.posting_bytes, header_.posting_bytes.bytes, 1) &&
                       fits(header_.term_entries, header_.terms + 1, sizeof(TermEntry)) &&
                       fits(header_.skips, header_.skips.bytes / sizeof(Skip), sizeof(Skip)) &&
                       fits(header_.term_text, header_.term_text.bytes, 1) &&
                       fits(header_.slots, slot_count_, sizeof(std::uint32_t)) &&
                       std::has_single_bit(slot_count_) && slot_count_ > header_.terms &&
                       fits(header_.norms, header_.documents, sizeof(Norms)) &&
                       fits(header_.document_entries, header_.documents, sizeof(DocumentEntry));
    if (!whole) return damaged(directory_ + "/" + kIndexName, "damaged (sections)");
    return {};
  }

  std::vector<Hit> query(std::string_view text, std::size_t k) const override {
    std::vector<Cursor> cursors = open_cursors(text);
    k = std::min<std::size_t>(k, header_.documents);
    if (cursors.empty() || k == 0) return {};
    // rest[i]: no document scores more by the terms from i on.
    std::vector<float> rest(cursors.size() + 1, 0.0F);
    for (std::size_t i = cursors.size(); i-- > 0;) rest[i] = rest[i + 1] + cursors[i].most;
    static thread_local std::array<float, kWindow> scores;
    const auto documents = static_cast<std::int64_t>(header_.documents);
    Best best(k);
    std::size_t leading = cursors.size();
    for (;;) {
      // Documents with none of the leading terms cannot pass the bar any more.
      while (leading > 0 && rest[leading - 1] <= best.low_bar()) --leading;
      std::int64_t first = Cursor::kEnd;
      for (std::size_t i = 0; i < leading; ++i) first = std::min(first, cursors[i].document);
      if (first >= documents) return best.take();
      const std::int64_t past = std::min(first + kWindow, documents);
      scores.fill(0);
      for (std::size_t i = 0; i < leading; ++i) add_window(cursors[i], first, past, scores);
      collect(first, past, scores, cursors, rest, leading, best);
    }
  }

  Result<Document> document(std::uint32_t number) const override {
    if (number >= header_.documents)
      return bad_input(directory_ + ": there is no document " + std::to_string(number));
    const DocumentEntry& entry = entries_[number];
    const std::uint64_t bytes =
        std::uint64_t{entry.id_bytes} + entry.title_bytes + std::uint64_t{entry.text_bytes};
    if (entry.at > documents_.size() || bytes > documents_.size() - entry.at)
      return damaged(directory_ + "/" + kDocumentsName, "damaged");
    const std::string_view whole(documents_.data() + entry.at, bytes);
    if (document_checksum(whole) != entry.checksum)
      return damaged(directory_ + "/" + kDocumentsName,
                     "damaged at document " + std::to_string(number));
    return Document{whole.substr(0, entry.id_bytes),
                    whole.substr(entry.id_bytes, entry.title_bytes),
                    whole.substr(entry.id_bytes + std::size_t{entry.title_bytes})};
  }

  const IndexFacts& facts() const override { return facts_; }

 private:
  template <class T>
  const T* at(const Section& section) const {
    return reinterpret_cast<const T*>(index_.data() + section.at);
  }

  std::string_view text_of(std::uint32_t term) const {
    return {term_text_ + terms_[term].text_at, terms_[term + 1].text_at - terms_[term].text_at};
  }

  std::optional<std::uint32_t> find(std::string_view text) const {
    for (std::uint64_t at = first_slot(text, slot_count_);; at = (at + 1) & (slot_count_ - 1)) {
      const std::uint32_t term = slots_[at];
      if (term == kNoTerm) return std::nullopt;
      if (text_of(term) == text) return term;
    }
  }

  // One cursor for each distinct known word, the weightiest first. That is the order in which
  // scores are added up, whatever is skipped, so that skipping never changes the last digit.
  std::vector<Cursor> open_cursors(std::string_view text) const {
    static thread_local Stemmer stemmer;
    std::vector<std::pair<std::string, int>> words, stop_words;
    const auto count = [](auto& list, std::string_view word) {
      for (auto& [known, times] : list)
        if (known == word) return void(++times);
      if (list.size() < kMostQueryWords) list.emplace_back(word, 1);
    };
    WordReader reader(text);
    for (std::string word; reader.next(word);)
      count(is_stop_word(word) ? stop_words : words, stemmer.stem(word));
    std::vector<Cursor> cursors;
    for (const auto& [word, times] : words.empty() ? stop_words : words) {
      const std::optional<std::uint32_t> term = find(word);
      if (!term) continue;
      const TermEntry& entry = terms_[*term];
      Cursor cursor;
      cursor.term = *term;
      cursor.begin = cursor.at = postings_ + entry.postings_at;
      cursor.end = postings_ + terms_[*term + 1].postings_at;
      cursor.skip = skips_ + entry.skips_at;
      cursor.last_skip = cursor.skip + skips_of(entry.document_frequency);
      cursor.factor = static_cast<float>(times) * idf(entry.document_frequency);
      cursor.most = cursor.factor * entry.most;
      cursor.step(static_cast<std::int64_t>(header_.documents));
      cursors.push_back(cursor);
    }
    std::sort(cursors.begin(), cursors.end(), [](const Cursor& left, const Cursor& right) {
      return left.most > right.most || (left.most == right.most && left.term < right.term);
    });
    return cursors;
  }

  float idf(std::uint32_t frequency) const {
    const auto all = static_cast<double>(header_.documents);
    return static_cast<float>(std::log(1.0 + (all - frequency + 0.5) / (frequency + 0.5)));
  }

  float score(const Cursor& cursor) const {
    return cursor.factor * impact(cursor.plain, cursor.body, cursor.title, norms_[cursor.document],
                                  header_.k1, header_.title_weight);
  }

  // Adds the term's scores of documents [first, past).
  void add_window(Cursor& cursor, std::int64_t first, std::int64_t past,
                  std::array<float, kWindow>& scores) const {
    const auto documents = static_cast<std::int64_t>(header_.documents);
    cursor.seek(first, documents);
    for (; cursor.document < past; cursor.step(documents))
      scores[static_cast<std::size_t>(cursor.document - first)] += score(cursor);
  }

  // Of a fixed length and without a way out, so that the compiler makes vectors of it.
  static bool any_above(const float* scores, float least) {
    std::uint32_t above = 0;
    for (std::size_t i = 0; i < kBlock; ++i) above |= scores[i] > least ? 1U : 0U;
    return above != 0;
  }

  // Looks through a window of scores by the leading terms; where the others could lift one over the
  // bar, they are added too.
  void collect(std::int64_t first, std::int64_t past, const std::array<float, kWindow>& scores,
               std::vector<Cursor>& cursors, const std::vector<float>& rest, std::size_t leading,
               Best& best) const {
    const auto count = static_cast<std::size_t>(past - first);
    float least = std::max(0.0F, best.low_bar() - rest[leading]);
    for (std::size_t block = 0; block < count; block += kBlock) {
      if (!any_above(scores.data() + block, least)) continue;
      for (std::size_t i = block; i < block + kBlock; ++i) {
        if (scores[i] <= least) continue;
        const std::int64_t document = first + static_cast<std::int64_t>(i);
        const float whole = complete(document, scores[i], cursors, rest, leading, best.low_bar());
        if (whole > best.bar()) best.add({static_cast<std::uint32_t>(document), whole});
        least = std::max(0.0F, best.low_bar() - rest[leading]);
      }
    }
  }

  // The document's score with the terms from `leading` on, or less than the bar as soon as it is
  // clear that it stays below.
  float complete(std::int64_t document, float score_so_far, std::vector<Cursor>& cursors,
                 const std::vector<float>& rest, std::size_t leading, float low_bar) const {
    for (std::size_t i = leading; i < cursors.size(); ++i) {
      if (score_so_far + rest[i] <= low_bar) return 0;
      cursors[i].seek(document, static_cast<std::int64_t>(header_.documents));
      if (cursors[i].document == document) score_so_far += score(cursors[i]);
    }
    return score_so_far;
  }

  std::string directory_;
  Mapping index_, documents_;
  Header header_;
  const unsigned char* postings_ = nullptr;
  const TermEntry* terms_ = nullptr;
  const Skip* skips_ = nullptr;
  const char* term_text_ = nullptr;
  const std::uint32_t* slots_ = nullptr;
  std::uint64_t slot_count_ = 0;
  const Norms* norms_ = nullptr;
  const DocumentEntry* entries_ = nullptr;
  IndexFacts facts_;
};

}  // namespace

Result<std::shared_ptr<const SearchIndex>> SearchIndex::open(const std::string& directory) {
  std::error_code ignored;
  if (!fs::exists(directory, ignored))
    return bad_input(directory + ": no such folder; make an index with `proctor index build`");
  const std::string index_path = directory + "/" + kIndexName;
  const std::string documents_path = directory + "/" + kDocumentsName;
  if (!fs::is_directory(directory, ignored) || !fs::exists(index_path, ignored))
    return bad_input(directory + ": not a search index; make one with `proctor index build`");
  auto index = Mapping::of(index_path);
  if (!index) return std::move(index).error();
  if (auto checked = check_header(*index, index_path); !checked) return std::move(checked).error();
  auto documents = Mapping::of(documents_path);
  if (!documents) return std::move(documents).error();
  Header header;
  std::memcpy(&header, index->data(), sizeof header);
  if (auto checked = check_documents(*documents, documents_path, header.documents_bytes); !checked)
    return std::move(checked).error();
  auto opened =
      std::make_shared<const Bm25Index>(directory, std::move(*index), std::move(*documents));
  if (auto checked = opened->check_sections(); !checked) return std::move(checked).error();
  return std::shared_ptr<const SearchIndex>(std::move(opened));
}

}  // namespace proctor
