// The front door of the search index: build one from a corpus, open it, ask it.
//
// An index is a folder: index.bin (words and where they stand) and documents.bin (ids, titles and
// texts), both read through memory maps that all processes on a machine share. It never changes
// once built; a new corpus is a new folder. Blind spot: a file that is cut short while it is open
// ends the process (SIGBUS), as with every memory map.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/result.h"

namespace proctor {

// Two-field BM25 (BM25F): counts of a word in title and body are each normalised by the field's
// length, added with the title's weight, and saturated once.
//   weight = tf_body / (1 - b + b * len_body / avg_body) + title_weight * (the same of the title)
//   score  = sum over the query's words of ln(1 + (N - df + 0.5) / (df + 0.5)) * weight / (weight +
//   k1)
// With no titles in the corpus this is plain BM25 with Lucene's idf and exact lengths.
struct Bm25Settings {
  float k1 = 0.9F;
  float b = 0.4F;
  float title_weight = 2.0F;
};

struct IndexBuild {
  Bm25Settings bm25;
  // Postings kept in memory before they are written out as a run. Memory besides: about 32 bytes a
  // document (ids' hashes, lengths) and the vocabulary.
  std::size_t run_bytes = std::size_t{64} << 20;
  // Set by whoever calls the build off: it ends as `cancelled`, and leaves nothing behind.
  const std::atomic<bool>* stop = nullptr;
};

struct IndexFacts {
  std::uint64_t documents = 0;
  std::uint64_t terms = 0;
  std::uint64_t postings = 0;
  std::uint64_t words = 0;            // of bodies and titles
  std::uint64_t index_bytes = 0;      // of index.bin
  std::uint64_t documents_bytes = 0;  // of documents.bin
};

// Reads {"id","title"?,"text"} records and writes the folder, which must not be there yet; it
// appears under its name only when it is whole. Complaints read "FILE:LINE: ...".
Result<IndexFacts> build_index(const std::string& corpus, const std::string& directory,
                               const IndexBuild& how = {});

struct Hit {
  std::uint32_t document = 0;
  float score = 0;

  bool operator==(const Hit&) const = default;
};

struct Document {
  std::string_view id, title, text;  // valid as long as the index
};

// Safe to ask from any number of threads at once; no locks.
class SearchIndex {
 public:
  // A query's distinct words beyond these are not looked at.
  static constexpr std::size_t kMostQueryWords = 1024;

  // One sentence when the folder is no index, of another version, cut short or damaged.
  static Result<std::shared_ptr<const SearchIndex>> open(const std::string& directory);

  virtual ~SearchIndex() = default;
  // The k best, best first; equal scores in the corpus's order. Stop words count only in a query
  // that has no others. Fewer than k when fewer documents hold a word of the query.
  virtual std::vector<Hit> query(std::string_view text, std::size_t k) const = 0;
  // An Error when its bytes are damaged.
  virtual Result<Document> document(std::uint32_t number) const = 0;
  virtual const IndexFacts& facts() const = 0;
};

}  // namespace proctor
