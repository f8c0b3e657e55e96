// Builds an index: postings grow in memory, go to disk as sorted runs when they get large, and are
// merged at the end.
//
// Blind spot: one thread; the vocabulary and a table of id hashes stay in memory whatever the size.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <queue>
#include <span>
#include <utility>

#include "runtime/core/json.h"
#include "tools/index.h"
#include "tools/index_file.h"
#include "tools/partial_folder.h"
#include "tools/words.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;
using namespace index_file;

constexpr std::size_t kMostOpenRuns = 64;  // files at once while runs are merged

std::string reason(int error) { return std::strerror(error); }

// A file being written; the first failure is kept and told by close(). Sums up what passes.
class Writer {
 public:
  explicit Writer(fs::path path) : path_(std::move(path)) {
    file_ = std::fopen(path_.c_str(), "wb");
    if (!file_) fail();
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    if (file_) std::fclose(file_);
  }

  void write(const void* data, std::size_t bytes) {
    if (failed_) return;
    if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes) fail();
    written_ += bytes;
    sum_.add(data, bytes);
  }
  void write(std::string_view text) { write(text.data(), text.size()); }
  template <class T>
  void write_plain(const T& value) {
    write(&value, sizeof value);
  }
  void overwrite_front(const void* data, std::size_t bytes) {
    if (failed_) return;
    if (std::fseek(file_, 0, SEEK_SET) != 0 || std::fwrite(data, 1, bytes, file_) != bytes) fail();
  }
  void forget_checksum() { sum_ = {}; }
  std::uint64_t checksum() const { return sum_.value(); }
  std::uint64_t written() const { return written_; }
  bool failed() const { return failed_.has_value(); }

  // What has been written so far can be read from the file after this.
  void flush() {
    if (!failed_ && std::fflush(file_) != 0) fail();
  }
  Status close(bool durable) {
    flush();
    if (!failed_ && durable && fsync(fileno(file_)) != 0) fail();
    if (file_ && std::fclose(std::exchange(file_, nullptr)) != 0 && !failed_) fail();
    if (failed_) return internal_error(path_.string() + ": cannot write: " + reason(*failed_));
    return {};
  }

 private:
  void fail() { failed_ = errno; }

  fs::path path_;
  std::FILE* file_ = nullptr;
  std::optional<int> failed_;
  std::uint64_t written_ = 0;
  Checksum sum_;
};

// A run or a part file being read back, in order. A file that cannot be opened or read is never
// taken for one that has ended.
class Reader {
 public:
  explicit Reader(fs::path path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rb")) {
    if (!file_) error_ = errno;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Reader(Reader&& other) noexcept
      : path_(std::move(other.path_)),
        file_(std::exchange(other.file_, nullptr)),
        error_(other.error_) {}
  Reader& operator=(Reader&&) = delete;
  ~Reader() {
    if (file_) std::fclose(file_);
  }

  Status read(void* into, std::size_t bytes) {
    if (!file_) return unreadable();
    if (std::fread(into, 1, bytes, file_) == bytes) return {};
    if (std::feof(file_)) return internal_error(path_.string() + ": was cut short");
    error_ = errno;
    return unreadable();
  }
  Status skip_to(std::uint64_t at) {
    if (file_ && fseeko(file_, static_cast<off_t>(at), SEEK_SET) == 0) return {};
    if (file_) error_ = errno;
    return unreadable();
  }

 private:
  Status unreadable() const {
    return internal_error(path_.string() + ": cannot read: " + reason(error_));
  }

  fs::path path_;
  std::FILE* file_;
  int error_ = 0;
};

// The postings of one term within one run; `pending` is the document still being counted.
struct Postings {
  std::string bytes;
  std::uint32_t documents = 0;
  std::int64_t last = -1;
  std::int64_t pending = -1;
  std::uint32_t body = 0, title = 0;

  void close_pending() {
    if (pending < 0) return;
    const auto step = static_cast<std::uint64_t>(pending - last);
    const bool plain = body == 1 && title == 0;
    put_varint(bytes, step << 1 | (plain ? 0 : 1));
    if (!plain) {
      put_varint(bytes, body);
      put_varint(bytes, title);
    }
    ++documents;
    last = std::exchange(pending, -1);
    body = title = 0;
  }
};

struct RunHead {  // in front of each term of a run, whose text and postings follow
  std::uint32_t term_bytes = 0;
  std::uint32_t documents = 0;
  std::int64_t last = 0;
  std::uint64_t posting_bytes = 0;
};

void write_term(Writer& out, std::string_view term, std::uint32_t documents, std::int64_t last,
                std::string_view postings) {
  out.write_plain(
      RunHead{static_cast<std::uint32_t>(term.size()), documents, last, postings.size()});
  out.write(term);
  out.write(postings);
}

// Numbers texts in the order they are first seen. Flat, since indexing is little else than looking
// words up and every step through a node is a cache miss.
class TextTable {
 public:
  // The text's number; `fresh` when it is new.
  std::uint32_t number_of(std::string_view text, bool& fresh) {
    if ((texts_.size() + 1) * 2 > slots_.size()) grow();
    const std::uint64_t hash = hash64(text);
    const auto short_hash = static_cast<std::uint32_t>(hash >> 32);
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[at];
      if (slot.number == kNoTerm) {
        slot = {short_hash, static_cast<std::uint32_t>(texts_.size())};
        texts_.push_back({letters_.size(), static_cast<std::uint32_t>(text.size())});
        letters_ += text;
        fresh = true;
        return slot.number;
      }
      if (slot.hash == short_hash && (*this)[slot.number] == text) {
        fresh = false;
        return slot.number;
      }
    }
  }
  std::string_view operator[](std::uint32_t number) const {
    return std::string_view(letters_).substr(texts_[number].at, texts_[number].bytes);
  }
  std::size_t size() const { return texts_.size(); }
  std::size_t bytes() const {
    return letters_.capacity() + texts_.capacity() * sizeof(Text) + slots_.size() * sizeof(Slot);
  }

 private:
  struct Slot {
    std::uint32_t hash = 0, number = kNoTerm;
  };
  struct Text {
    std::size_t at = 0;
    std::uint32_t bytes = 0;
  };

  void grow() {
    slots_.assign(std::max<std::size_t>(1024, slots_.size() * 2), Slot{});
    for (std::uint32_t number = 0; number < texts_.size(); ++number) {
      const std::uint64_t hash = hash64((*this)[number]);
      std::size_t at = hash & (slots_.size() - 1);
      while (slots_[at].number != kNoTerm) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {static_cast<std::uint32_t>(hash >> 32), number};
    }
  }

  std::string letters_;
  std::vector<Text> texts_;
  std::vector<Slot> slots_;
};

// Counts words into postings until a run is full.
class Inverter {
 public:
  std::uint32_t add(std::uint32_t document, std::string_view text, bool title) {
    WordReader reader(text);
    std::uint32_t count = 0;
    while (reader.next(word_)) {
      Postings& postings = postings_of(word_);
      if (postings.pending != document) {
        const std::size_t before = postings.bytes.capacity();
        postings.close_pending();
        bytes_ += postings.bytes.capacity() - before;
        postings.pending = document;
      }
      ++(title ? postings.title : postings.body);
      ++count;
    }
    return count;
  }

  std::size_t bytes() const {
    return bytes_ + words_.bytes() + stems_.bytes() + postings_.capacity() * sizeof(Postings) +
           stem_of_word_.capacity() * sizeof(std::uint32_t);
  }
  std::size_t terms() const { return postings_.size(); }

  void write_run(Writer& out) {
    std::vector<std::uint32_t> sorted(postings_.size());
    for (std::uint32_t stem = 0; stem < sorted.size(); ++stem) sorted[stem] = stem;
    std::sort(sorted.begin(), sorted.end(), [&](std::uint32_t left, std::uint32_t right) {
      return stems_[left] < stems_[right];
    });
    for (const std::uint32_t stem : sorted) {
      Postings& postings = postings_[stem];
      postings.close_pending();
      write_term(out, stems_[stem], postings.documents, postings.last, postings.bytes);
    }
    words_ = {}, stems_ = {}, stem_of_word_ = {}, postings_ = {};
    bytes_ = 0;
  }

 private:
  // Stemming costs more than all else, so that each spelling is stemmed once a run.
  Postings& postings_of(const std::string& word) {
    bool fresh = false;
    const std::uint32_t number = words_.number_of(word, fresh);
    if (!fresh) return postings_[stem_of_word_[number]];
    const std::uint32_t stem = stems_.number_of(stemmer_.stem(word), fresh);
    if (fresh) postings_.emplace_back();
    stem_of_word_.push_back(stem);
    return postings_[stem];
  }

  Stemmer stemmer_;
  std::string word_;
  TextTable words_, stems_;
  std::vector<std::uint32_t> stem_of_word_;
  std::vector<Postings> postings_;
  std::size_t bytes_ = 0;
};

// Finds ids given twice: 16 bytes a document instead of the ids themselves.
class IdTable {
 public:
  struct Seen {
    std::uint64_t hash = 0;
    std::uint32_t document = 0;
    std::uint32_t line = 0;  // 0: an empty place
  };

  // Calls `same` for each document whose id has this hash; adds the new one when none is the same.
  template <class Same>
  std::optional<Seen> add(Seen seen, Same same) {
    if ((count_ + 1) * 3 > places_.size() * 2) grow();
    for (std::size_t at = seen.hash & (places_.size() - 1);; at = (at + 1) & (places_.size() - 1)) {
      if (places_[at].line == 0) {
        places_[at] = seen;
        ++count_;
        return std::nullopt;
      }
      if (places_[at].hash == seen.hash && same(places_[at].document)) return places_[at];
    }
  }

 private:
  void grow() {
    std::vector<Seen> old(std::max<std::size_t>(1024, places_.size() * 2));
    old.swap(places_);
    for (const Seen& seen : old) {
      if (seen.line == 0) continue;
      std::size_t at = seen.hash & (places_.size() - 1);
      while (places_[at].line != 0) at = (at + 1) & (places_.size() - 1);
      places_[at] = seen;
    }
  }

  std::vector<Seen> places_;
  std::size_t count_ = 0;
};

struct Lengths {
  std::uint32_t body = 0, title = 0;
};

class Builder {
 public:
  Builder(const std::string& directory, IndexBuild how) : folder_(directory), how_(how) {}

  Status start() {
    if (auto made = folder_.create(); !made) return made;
    documents_.emplace(folder_ / kDocumentsName);
    entries_.emplace(folder_ / "entries.part");
    documents_->write(kDocumentsMagic, sizeof kDocumentsMagic);
    return {};
  }

  Status add(const std::string& id, const std::string& title, const std::string& text,
             std::size_t line) {
    if (count_ >= kMostDocuments) return bad_input("an index holds at most 2147483647 documents");
    if (id.size() + title.size() + text.size() > std::numeric_limits<std::uint32_t>::max())
      return bad_input("a document is at most 4 GB");
    const auto number = static_cast<std::uint32_t>(count_);
    Status looked_up;
    const auto is_twin = [&](std::uint32_t other) {
      auto same = has_id(other, id);
      if (!same) looked_up = same.error();
      return same && *same;
    };
    const auto twin = ids_.add({hash64(id), number, static_cast<std::uint32_t>(line)}, is_twin);
    if (!looked_up) return looked_up;
    if (twin)
      return bad_input("the id '" + id + "' is there already, on line " +
                       std::to_string(twin->line));

    DocumentEntry entry;
    entry.at = documents_->written();
    entry.id_bytes = static_cast<std::uint32_t>(id.size());
    entry.title_bytes = static_cast<std::uint32_t>(title.size());
    entry.text_bytes = static_cast<std::uint32_t>(text.size());
    whole_.assign(id).append(title).append(text);
    entry.checksum = document_checksum(whole_);
    documents_->write(whole_);

    Lengths lengths;
    lengths.title = inverter_.add(number, title, true);
    lengths.body = inverter_.add(number, text, false);
    title_words_ += lengths.title;
    body_words_ += lengths.body;
    entries_->write_plain(entry);
    entries_->write_plain(lengths);
    ++count_;
    if (inverter_.bytes() > how_.run_bytes) return write_run();
    return {};
  }

  Result<IndexFacts> finish() {
    if (inverter_.terms() > 0) {
      if (auto wrote = write_run(); !wrote) return std::move(wrote).error();
    }
    if (auto closed = documents_->close(true); !closed) return std::move(closed).error();
    if (auto closed = entries_->close(false); !closed) return std::move(closed).error();
    if (auto read = read_norms(); !read) return std::move(read).error();

    Writer out(folder_ / kIndexName);
    Header header{};
    std::memcpy(header.magic, kIndexMagic, sizeof kIndexMagic);
    header.version = kIndexVersion;
    out.write(&header, sizeof header);
    out.forget_checksum();
    if (auto merged = write_postings(out, header); !merged) return std::move(merged).error();
    write_terms(out, header);
    if (auto wrote = write_documents(out, header); !wrote) return std::move(wrote).error();

    header.documents_bytes = documents_->written();
    header.documents = count_;
    header.terms = terms_.size() - 1;
    header.body_words = body_words_;
    header.title_words = title_words_;
    header.k1 = how_.bm25.k1, header.b = how_.bm25.b, header.title_weight = how_.bm25.title_weight;
    header.index_bytes = out.written();
    header.content_checksum = out.checksum();
    Checksum of_header;
    of_header.add(&header, offsetof(Header, header_checksum));
    header.header_checksum = of_header.value();
    out.overwrite_front(&header, sizeof header);
    if (auto closed = out.close(true); !closed) return std::move(closed).error();

    remove_runs(runs_);
    std::error_code ignored;
    fs::remove(folder_ / "entries.part", ignored);
    if (auto named = folder_.take_name(); !named) return std::move(named).error();
    return IndexFacts{header.documents,           header.terms,       header.postings,
                      body_words_ + title_words_, header.index_bytes, header.documents_bytes};
  }

 private:
  // Looks the other document's id up on disk: equal hashes are rare, so that this is.
  Result<bool> has_id(std::uint32_t document, const std::string& id) {
    documents_->flush();
    entries_->flush();
    DocumentEntry entry;
    Reader entries(folder_ / "entries.part");
    Reader documents(folder_ / kDocumentsName);
    std::string found(id.size(), '\0');
    Status read =
        entries.skip_to(std::uint64_t{document} * (sizeof(DocumentEntry) + sizeof(Lengths)));
    if (read) read = entries.read(&entry, sizeof entry);
    if (read && entry.id_bytes != id.size()) return false;
    if (read) read = documents.skip_to(entry.at);
    if (read) read = documents.read(found.data(), found.size());
    if (!read) return std::move(read).error();
    return found == id;
  }

  // Terms in order, each with its postings, of documents that follow one another.
  struct Run {
    fs::path path;
    std::uint64_t terms = 0;
  };

  Status write_run() {
    Run run{folder_ / ("run-" + std::to_string(runs_made_++)), inverter_.terms()};
    Writer out(run.path);
    inverter_.write_run(out);
    runs_.push_back(std::move(run));
    return out.close(false);
  }

  static Section section(Writer& out, std::uint64_t begin) {
    const Section made{begin, out.written() - begin};
    static constexpr char kZeros[8] = {};
    out.write(kZeros, (8 - out.written() % 8) % 8);
    return made;
  }

  // One run's place in the merge.
  struct Source {
    Reader reader;
    std::uint64_t left;  // terms
    RunHead head{};
    std::string term, bytes;

    // False behind the last term.
    Result<bool> next() {
      if (left == 0) return false;
      --left;
      Status read = reader.read(&head, sizeof head);
      if (read) {
        term.resize(head.term_bytes);
        bytes.resize(head.posting_bytes);
        read = reader.read(term.data(), term.size());
      }
      if (read) read = reader.read(bytes.data(), bytes.size());
      if (!read) return std::move(read).error();
      return true;
    }
  };

  // A term of several runs.
  struct Merged {
    std::string term, postings;
    std::uint32_t documents = 0;
    std::int64_t last = -1;
  };

  // A later run's postings count from -1 too: its first step is put right.
  static void append_run(std::string& merged, std::int64_t last, std::string_view bytes) {
    const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
    const auto* begin = at;
    std::uint64_t first = 0;
    PROCTOR_CHECK(get_varint(at, begin + bytes.size(), first));
    const std::int64_t document = static_cast<std::int64_t>(first >> 1) - 1;
    put_varint(merged, static_cast<std::uint64_t>(document - last) << 1 | (first & 1));
    merged.append(bytes.substr(static_cast<std::size_t>(at - begin)));
  }

  // Each term of these runs, in order, to `take`, which gives a Status.
  template <class Take>
  static Status merge(std::span<const Run> runs, Take take) {
    std::vector<Source> sources;
    for (const Run& run : runs) sources.push_back({Reader(run.path), run.terms, {}, {}, {}});
    const auto later = [&](std::size_t left, std::size_t right) {
      return std::tie(sources[left].term, left) > std::tie(sources[right].term, right);
    };
    std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> queue(later);
    const auto advance = [&](std::size_t source) -> Status {
      auto more = sources[source].next();
      if (!more) return std::move(more).error();
      if (*more) queue.push(source);
      return {};
    };
    for (std::size_t source = 0; source < sources.size(); ++source)
      if (auto read = advance(source); !read) return read;

    Merged merged;
    while (!queue.empty()) {
      merged.term = sources[queue.top()].term;
      merged.postings.clear();
      merged.documents = 0;
      merged.last = -1;
      while (!queue.empty() && sources[queue.top()].term == merged.term) {
        const std::size_t source = queue.top();
        queue.pop();
        append_run(merged.postings, merged.last, sources[source].bytes);
        merged.last = sources[source].head.last;
        merged.documents += sources[source].head.documents;
        if (auto read = advance(source); !read) return read;
      }
      if (auto taken = take(merged); !taken) return taken;
    }
    return {};
  }

  // Until so few runs are left that all can be open at once: neighbours become one.
  Status join_runs() {
    while (runs_.size() > kMostOpenRuns) {
      std::vector<Run> joined;
      for (std::size_t first = 0; first < runs_.size(); first += kMostOpenRuns) {
        const auto group =
            std::span(runs_).subspan(first, std::min(kMostOpenRuns, runs_.size() - first));
        Run run{folder_ / ("run-" + std::to_string(runs_made_++)), 0};
        Writer out(run.path);
        Status merged = merge(group, [&](const Merged& term) -> Status {
          ++run.terms;
          write_term(out, term.term, term.documents, term.last, term.postings);
          return {};
        });
        if (merged) merged = out.close(false);
        if (!merged) return merged;
        remove_runs(group);
        joined.push_back(std::move(run));
      }
      runs_ = std::move(joined);
    }
    return {};
  }

  static void remove_runs(std::span<const Run> runs) {
    std::error_code ignored;
    for (const Run& run : runs) fs::remove(run.path, ignored);
  }

  Status write_postings(Writer& out, Header& header) {
    if (auto joined = join_runs(); !joined) return joined;
    const std::uint64_t begin = out.written();
    Status merged = merge(runs_, [&](const Merged& term) -> Status {
      if (term_text_.size() + term.term.size() > kNoTerm || terms_.size() >= kNoTerm - 1 ||
          term.postings.size() > kNoTerm)
        return bad_input("the corpus is too large for one index");
      TermEntry entry;
      entry.postings_at = out.written() - begin;
      entry.text_at = static_cast<std::uint32_t>(term_text_.size());
      entry.document_frequency = term.documents;
      look_over(entry, term.postings);
      terms_.push_back(entry);
      term_text_ += term.term;
      header.postings += term.documents;
      out.write(term.postings);
      return {};
    });
    if (!merged) return merged;
    TermEntry past;
    past.postings_at = out.written() - begin;
    past.text_at = static_cast<std::uint32_t>(term_text_.size());
    terms_.push_back(past);
    header.posting_bytes = section(out, begin);
    return {};
  }

  // Finds a list's largest impact, and the ends of its blocks.
  void look_over(TermEntry& entry, std::string_view postings) {
    const auto* begin = reinterpret_cast<const unsigned char*>(postings.data());
    const auto* at = begin;
    const auto* end = begin + postings.size();
    const std::uint32_t skips = skips_of(entry.document_frequency);
    entry.skips_at = static_cast<std::uint32_t>(skips_.size());
    std::int64_t document = -1;
    for (std::uint32_t seen = 1; at < end; ++seen) {
      std::uint64_t head = 0, body = 1, title = 0;
      PROCTOR_CHECK(get_varint(at, end, head));
      const bool plain = (head & 1) == 0;
      if (!plain) PROCTOR_CHECK(get_varint(at, end, body) && get_varint(at, end, title));
      document += static_cast<std::int64_t>(head >> 1);
      entry.most = std::max(entry.most,
                            impact(plain, body, title, norms_[static_cast<std::size_t>(document)],
                                   how_.bm25.k1, how_.bm25.title_weight));
      if (skips > 0 && seen % kSkipEvery == 0)
        skips_.push_back(
            {static_cast<std::uint32_t>(document), static_cast<std::uint32_t>(at - begin)});
    }
  }

  void write_terms(Writer& out, Header& header) {
    std::uint64_t begin = out.written();
    out.write(terms_.data(), terms_.size() * sizeof(TermEntry));
    header.term_entries = section(out, begin);
    begin = out.written();
    out.write(skips_.data(), skips_.size() * sizeof(Skip));
    header.skips = section(out, begin);
    begin = out.written();
    out.write(term_text_);
    header.term_text = section(out, begin);

    const std::size_t terms = terms_.size() - 1;
    std::vector<std::uint32_t> slots(std::bit_ceil(terms + terms / 2 + 1), kNoTerm);
    for (std::size_t term = 0; term < terms; ++term) {
      const std::string_view text =
          std::string_view(term_text_)
              .substr(terms_[term].text_at, terms_[term + 1].text_at - terms_[term].text_at);
      std::size_t at = first_slot(text, slots.size());
      while (slots[at] != kNoTerm) at = (at + 1) & (slots.size() - 1);
      slots[at] = static_cast<std::uint32_t>(term);
    }
    begin = out.written();
    out.write(slots.data(), slots.size() * sizeof slots[0]);
    header.slots = section(out, begin);
  }

  float norm(std::uint32_t length, std::uint64_t words) const {
    if (words == 0) return 0;
    const float average =
        static_cast<float>(static_cast<double>(words) / static_cast<double>(count_));
    const float b = how_.bm25.b;
    return 1.0F / (1.0F - b + b * static_cast<float>(length) / average);
  }

  // The entries as add() left them, in order; `each` takes an entry and its document's lengths.
  template <class Each>
  Status read_entries(Each each) {
    Reader entries(folder_ / "entries.part");
    DocumentEntry entry;
    Lengths lengths;
    for (std::uint64_t document = 0; document < count_; ++document) {
      if (auto read = entries.read(&entry, sizeof entry); !read) return read;
      if (auto read = entries.read(&lengths, sizeof lengths); !read) return read;
      each(entry, lengths);
    }
    return {};
  }

  Status read_norms() {
    norms_.reserve(count_);
    return read_entries([&](const DocumentEntry&, Lengths lengths) {
      norms_.push_back({norm(lengths.body, body_words_), norm(lengths.title, title_words_)});
    });
  }

  Status write_documents(Writer& out, Header& header) {
    std::uint64_t begin = out.written();
    out.write(norms_.data(), norms_.size() * sizeof(Norms));
    header.norms = section(out, begin);
    begin = out.written();
    auto read = read_entries([&](const DocumentEntry& entry, Lengths) { out.write_plain(entry); });
    header.document_entries = section(out, begin);
    return read;
  }

  PartialFolder folder_;
  IndexBuild how_;
  std::optional<Writer> documents_, entries_;
  Inverter inverter_;
  IdTable ids_;
  std::string whole_;
  std::uint64_t count_ = 0, body_words_ = 0, title_words_ = 0;
  std::vector<Run> runs_;
  std::size_t runs_made_ = 0;
  std::vector<Norms> norms_;
  std::vector<TermEntry> terms_;
  std::vector<Skip> skips_;
  std::string term_text_;
};

Status add_record(Builder& builder, const json::value& record, std::size_t line) {
  if (!record.is_object()) return bad_input(R"(expected an object {"id","title"?,"text"})");
  Fields fields(record.as_object(), "");
  const std::string id = fields.text("id");
  const std::string title = fields.text_or("title", "");
  const std::string text = fields.text("text");
  if (!fields.status()) return fields.status();
  if (id.empty()) return bad_input("id: expected a text that is not empty");
  return builder.add(id, title, text, line);
}

}  // namespace

Result<IndexFacts> build_index(const std::string& corpus, const std::string& directory,
                               const IndexBuild& how) {
  // A trailing slash would put the partial folder inside.
  const fs::path target =
      fs::path(directory).has_filename() ? fs::path(directory) : fs::path(directory).parent_path();
  std::error_code ignored;
  if (target.empty()) return bad_input("an index needs the name of a new folder");
  if (fs::exists(fs::symlink_status(target, ignored)))
    return bad_input(directory + ": is there already; remove it or name another folder");
  Builder builder(target.string(), how);
  if (auto started = builder.start(); !started) return std::move(started).error();
  bool any = false;
  auto read = read_jsonl(corpus, [&](const json::value& record, std::size_t line) -> Status {
    any = true;
    if (how.stop && *how.stop) return Error{ErrorKind::cancelled, "interrupted"};
    return add_record(builder, record, line);
  });
  if (!read) return std::move(read).error();
  if (!any)
    return bad_input(corpus + R"(: no records; expected {"id","title"?,"text"} on each line)");
  return builder.finish();
}

}  // namespace proctor
