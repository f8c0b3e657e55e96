// How an index lies on disk; known to bm25.cpp, which reads it, and index_build.cpp, which writes
// it.
//
// index.bin: the header, then sections at offsets that are multiples of 8: postings, term entries
// (one more than terms, so that an entry's end is the next one's beginning), skips, term text, hash
// slots, norms, document entries. All numbers little-endian. A posting is a varint of (step << 1 |
// more), the step from the document before (the first from -1); `more` = 0 means once in the body,
// never in the title, else two varints follow: times in the body, times in the title.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "runtime/core/determinism.h"

namespace proctor::index_file {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

// Raised whenever the layout or the way words are made changes.
inline constexpr std::uint32_t kIndexVersion = 2;
inline constexpr char kIndexMagic[8] = {'P', 'R', 'O', 'C', 'T', 'I', 'X', '\x1a'};
inline constexpr char kDocumentsMagic[8] = {'P', 'R', 'O', 'C', 'T', 'D', 'X', '\x1a'};
inline constexpr const char* kIndexName = "index.bin";
inline constexpr const char* kDocumentsName = "documents.bin";
inline constexpr std::uint32_t kNoTerm = 0xFFFFFFFF;
inline constexpr std::uint64_t kMostDocuments = 0x7FFFFFFF;

struct Section {
  std::uint64_t at = 0;
  std::uint64_t bytes = 0;
};

struct Header {
  char magic[8];
  std::uint32_t version = kIndexVersion;
  std::uint32_t reserved = 0;
  std::uint64_t index_bytes = 0;
  std::uint64_t documents_bytes = 0;
  std::uint64_t documents = 0;
  std::uint64_t terms = 0;
  std::uint64_t postings = 0;
  std::uint64_t body_words = 0;
  std::uint64_t title_words = 0;
  float k1 = 0, b = 0, title_weight = 0, padding = 0;
  Section posting_bytes, term_entries, skips, term_text, slots, norms, document_entries;
  std::uint64_t content_checksum = 0;  // of everything behind the header
  std::uint64_t header_checksum = 0;   // of the header up to here
};
static_assert(sizeof(Header) == 216);

struct TermEntry {
  std::uint64_t postings_at = 0;
  std::uint32_t text_at = 0;
  std::uint32_t document_frequency = 0;
  float most = 0;              // the largest impact() of its postings
  std::uint32_t skips_at = 0;  // one skip for each kSkipEvery postings, where there are more
};
static_assert(sizeof(TermEntry) == 24);

// The end of a block of postings: its last document, and how many bytes of the list lie before.
struct Skip {
  std::uint32_t document = 0;
  std::uint32_t bytes = 0;
};
inline constexpr std::uint32_t kSkipEvery = 128;

inline std::uint32_t skips_of(std::uint32_t document_frequency) {
  return document_frequency > kSkipEvery ? document_frequency / kSkipEvery : 0;
}

// 1 / (1 - b + b * length / average length); 0 where the field has no words in the whole corpus.
struct Norms {
  float body = 0, title = 0;
};

// A word's weight in a document, saturated: what idf is multiplied with.
inline float impact(bool plain, std::uint64_t body, std::uint64_t title, const Norms& norms,
                    float k1, float title_weight) {
  float weight = norms.body;
  if (!plain)
    weight = static_cast<float>(body) * norms.body +
             title_weight * static_cast<float>(title) * norms.title;
  return weight / (weight + k1);
}

struct DocumentEntry {
  std::uint64_t at = 0;  // in documents.bin: id, title, text, one behind the other
  std::uint32_t id_bytes = 0, title_bytes = 0, text_bytes = 0;
  std::uint32_t checksum = 0;
};
static_assert(sizeof(DocumentEntry) == 24);

// Tells damage from health, not an attacker from a friend. The same however the bytes are cut.
class Checksum {
 public:
  void add(const void* data, std::size_t bytes) {
    const char* from = static_cast<const char*>(data);
    total_ += bytes;
    while (bytes > 0) {
      if (held_ == 0 && bytes >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, from, 8);
        mix(word);
        from += 8, bytes -= 8;
        continue;
      }
      pending_ |= std::uint64_t{static_cast<unsigned char>(*from)} << (8 * held_);
      ++from, --bytes;
      if (++held_ == 8) {
        mix(pending_);
        pending_ = 0, held_ = 0;
      }
    }
  }
  std::uint64_t value() const {
    Checksum last = *this;
    last.mix(last.pending_);
    last.mix(total_);
    return last.state_ ^ last.state_ >> 31;
  }

 private:
  void mix(std::uint64_t word) { state_ = std::rotl((state_ ^ word) * 0x9E3779B97F4A7C15ULL, 29); }
  std::uint64_t state_ = 0x243F6A8885A308D3ULL, pending_ = 0, total_ = 0;
  unsigned held_ = 0;
};

inline std::uint32_t document_checksum(std::string_view bytes) {
  Checksum sum;
  sum.add(bytes.data(), bytes.size());
  return static_cast<std::uint32_t>(sum.value());
}

// Slots form a hash table over terms with linear probing; their number is a power of two.
inline std::uint64_t first_slot(std::string_view term, std::uint64_t slots) {
  return hash64(term) & (slots - 1);
}

inline void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// False when the bytes end too early or the number is too long.
inline bool get_varint(const unsigned char*& at, const unsigned char* end, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
    const unsigned char byte = *at++;
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace proctor::index_file
