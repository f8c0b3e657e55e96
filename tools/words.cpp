// Segmentation by character kinds; what they are is in runtime/core/unicode.h.
#include "tools/words.h"

#include <libstemmer.h>

#include <algorithm>
#include <iterator>

#include "runtime/core/result.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

using Kind = CharacterKind;

constexpr char32_t kTypographicApostrophe = 0x2019;

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
    if (word.size() > kLongestBytes - 4) {
      if (searchable) return true;
      word.clear();
    }
    auto [point, bytes] = decode(text_, at_);
    const Kind kind = kind_of(point);
    if (word.empty()) {
      if (kind == Kind::single) {
        append_utf8(word, point);
        at_ += bytes;
        return true;
      }
      if (!starts_word(kind)) {
        at_ += bytes;
        continue;
      }
    } else if (kind == Kind::extend) {
      if (!is_invisible(point)) append_utf8(word, point);
      at_ += bytes;
      continue;
    } else if (!joins(last, kind)) {
      const std::size_t behind = at_ + bytes;
      if (kind == Kind::none && behind < text_.size() &&
          joins_across(last, point, kind_of(decode(text_, behind).point))) {
        append_utf8(word, point == kTypographicApostrophe ? U'\'' : point);
        at_ = behind;
        continue;
      }
      if (searchable) return true;
      word.clear();
      continue;
    }
    if (point < 128)
      word.push_back(static_cast<char>(lower(point)));
    else
      append_utf8(word, lower(point));
    searchable = searchable || kind != Kind::connector;
    last = kind;
    at_ += bytes;
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
