// Segmentation by character kinds, with tables made by scripts/make_unicode_tables.py.
#include "tools/words.h"

#include <libstemmer.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include "runtime/core/result.h"

namespace proctor {
namespace {

// `single` stands alone (ideographs, hiragana); `extend` belongs to the character before it.
enum class Kind : std::uint8_t { none, letter, digit, connector, katakana, single, extend };

struct KindRange {
  char32_t first, last;
  Kind kind;
};
struct LowerRange {
  char32_t first, last;
  std::int32_t step, difference;
};
#include "tools/unicode_words.inc"

constexpr char32_t kInvalid = 0xFFFD;
constexpr char32_t kTypographicApostrophe = 0x2019;

constexpr std::array<Kind, 128> ascii_kinds() {
  std::array<Kind, 128> kinds{};
  for (int c = '0'; c <= '9'; ++c) kinds[static_cast<std::size_t>(c)] = Kind::digit;
  for (int c = 'a'; c <= 'z'; ++c) kinds[static_cast<std::size_t>(c)] = Kind::letter;
  for (int c = 'A'; c <= 'Z'; ++c) kinds[static_cast<std::size_t>(c)] = Kind::letter;
  kinds['_'] = Kind::connector;
  return kinds;
}
constexpr std::array<Kind, 128> kAsciiKinds = ascii_kinds();

// The last range that begins at or before the character, if it reaches that far.
template <class Range, std::size_t N>
const Range* find_range(const Range (&ranges)[N], char32_t c) {
  auto after =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t value, const Range& range) { return value < range.first; });
  if (after == std::begin(ranges)) return nullptr;
  const Range* range = std::prev(after);
  return c <= range->last ? range : nullptr;
}

Kind kind_of(char32_t c) {
  if (c < 128) return kAsciiKinds[c];
  const KindRange* range = find_range(kKinds, c);
  return range ? range->kind : Kind::none;
}

char32_t lower(char32_t c) {
  if (c == 0x3C2) return 0x3C3;  // final sigma: the same letter elsewhere in a word
  const LowerRange* range = find_range(kLower, c);
  if (!range || (c - range->first) % static_cast<char32_t>(range->step) != 0) return c;
  return static_cast<char32_t>(static_cast<std::int32_t>(c) + range->difference);
}

struct Character {
  char32_t point;
  std::size_t bytes;
};

// The character at `at`; one byte of kInvalid for what is no UTF-8.
Character decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + bytes > text.size()) return {kInvalid, 1};
  char32_t point = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kInvalid, 1};
    point = point << 6 | (byte(i) & 0x3F);
  }
  const char32_t least = bytes == 2 ? 0x80 : bytes == 3 ? 0x800 : 0x10000;
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (point < least || point > 0x10FFFF || surrogate) return {kInvalid, 1};
  return {point, bytes};
}

void append(std::string& word, char32_t point) {
  const auto put = [&](char32_t byte) { word.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6), put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12), put(0x80 | (point >> 6 & 0x3F)), put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18), put(0x80 | (point >> 12 & 0x3F)), put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

bool starts_word(Kind kind) {
  return kind == Kind::letter || kind == Kind::digit || kind == Kind::connector ||
         kind == Kind::katakana;
}

bool joins(Kind left, Kind right) {
  if (!starts_word(right)) return false;
  if (left == Kind::connector || right == Kind::connector) return true;
  return (left == Kind::katakana) == (right == Kind::katakana);
}

// "can't", "3.14", "1,000": the mark stays inside where both sides are of one kind.
bool joins_across(Kind left, char32_t mark, Kind right) {
  if (left != right) return false;
  const bool dot_or_apostrophe = mark == '.' || mark == '\'' || mark == kTypographicApostrophe;
  if (left == Kind::letter) return dot_or_apostrophe || mark == 0xB7;
  return left == Kind::digit && (dot_or_apostrophe || mark == ',');
}

bool is_invisible(char32_t point) { return point == 0xAD || point == 0x200C || point == 0x200D; }

}  // namespace

bool WordReader::next(std::string& word) {
  word.clear();
  Kind last = Kind::none;
  bool searchable = false;  // connectors alone are no word
  while (at_ < text_.size()) {
    auto [point, bytes] = decode(text_, at_);
    const Kind kind = kind_of(point);
    if (word.empty()) {
      if (kind == Kind::single) {
        append(word, point);
        at_ += bytes;
        return true;
      }
      if (!starts_word(kind)) {
        at_ += bytes;
        continue;
      }
    } else if (kind == Kind::extend) {
      if (!is_invisible(point)) append(word, point);
      at_ += bytes;
      continue;
    } else if (!joins(last, kind)) {
      const std::size_t behind = at_ + bytes;
      if (kind == Kind::none && behind < text_.size() &&
          joins_across(last, point, kind_of(decode(text_, behind).point))) {
        append(word, point == kTypographicApostrophe ? U'\'' : point);
        at_ = behind;
        continue;
      }
      if (searchable) return true;
      word.clear();
      continue;
    }
    if (point < 128) {
      word.push_back(static_cast<char>(point >= 'A' && point <= 'Z' ? point + 32 : point));
    } else {
      append(word, lower(point));
    }
    searchable = searchable || kind != Kind::connector;
    last = kind;
    at_ += bytes;
    if (word.size() > kLongestBytes - 4 && searchable) return true;
  }
  if (searchable) return true;
  word.clear();
  return false;
}

Stemmer::Stemmer() : stemmer_(sb_stemmer_new("english", "UTF_8")) { PROCTOR_CHECK(stemmer_); }

void Stemmer::Deleter::operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }

std::string_view Stemmer::stem(std::string_view word) {
  const sb_symbol* stemmed =
      sb_stemmer_stem(stemmer_.get(), reinterpret_cast<const sb_symbol*>(word.data()),
                      static_cast<int>(word.size()));
  PROCTOR_CHECK(stemmed != nullptr);  // only when memory runs out
  return {reinterpret_cast<const char*>(stemmed),
          static_cast<std::size_t>(sb_stemmer_length(stemmer_.get()))};
}

bool is_stop_word(std::string_view word) {
  static constexpr std::string_view kWords[] = {
      "a",   "an",    "and",  "are",   "as",    "at",   "be",   "but", "by",  "for",  "if",
      "in",  "into",  "is",   "it",    "no",    "not",  "of",   "on",  "or",  "such", "that",
      "the", "their", "then", "there", "these", "they", "this", "to",  "was", "will", "with"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

}  // namespace proctor
