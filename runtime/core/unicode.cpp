// The parts of unicode.h that need the tables of scripts/make_unicode_tables.py.
#include "runtime/core/unicode.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "runtime/core/result.h"

namespace proctor {
namespace {

using Kind = CharacterKind;

struct KindRange {
  char32_t first, last;
  Kind kind;
};
struct LowerRange {
  char32_t first, last;
  std::int32_t step, difference;
};
#include "runtime/core/unicode_tables.inc"

// The last range that begins at or before the character, if it reaches that far.
template <class Range, std::size_t N>
const Range* find_range(const Range (&ranges)[N], char32_t point) {
  auto after =
      std::upper_bound(std::begin(ranges), std::end(ranges), point,
                       [](char32_t value, const Range& range) { return value < range.first; });
  if (after == std::begin(ranges)) return nullptr;
  const Range* range = std::prev(after);
  return point <= range->last ? range : nullptr;
}

}  // namespace

Character unicode_detail::decode_long(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + bytes > text.size()) return {kNoCharacter, 1};
  char32_t point = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kNoCharacter, 1};
    point = point << 6 | (byte(i) & 0x3F);
  }
  const char32_t least = bytes == 2 ? 0x80 : bytes == 3 ? 0x800 : 0x10000;
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (point < least || point > 0x10FFFF || surrogate) return {kNoCharacter, 1};
  return {point, bytes};
}

CharacterKind unicode_detail::kind_beyond_ascii(char32_t point) {
  const KindRange* range = find_range(kKinds, point);
  return range ? range->kind : Kind::none;
}

char32_t unicode_detail::lower_beyond_ascii(char32_t point) {
  if (point == 0x3C2) return 0x3C3;  // final sigma: the same letter elsewhere in a word
  const LowerRange* range = find_range(kLower, point);
  if (!range || (point - range->first) % static_cast<char32_t>(range->step) != 0) return point;
  return static_cast<char32_t>(static_cast<std::int32_t>(point) + range->difference);
}

void append_utf8(std::string& text, char32_t point) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  const auto tail = [&](unsigned shift) { put(0x80 | (point >> shift & 0x3F)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6), tail(0);
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12), tail(6), tail(0);
  } else {
    put(0xF0 | point >> 18), tail(12), tail(6), tail(0);
  }
}

std::string lower_text(std::string_view text) {
  std::string lowered;
  lowered.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [point, bytes] = decode(text, at);
    if (point == kNoCharacter)
      lowered.append(text.substr(at, bytes));
    else
      append_utf8(lowered, lower(point));
    at += bytes;
  }
  return lowered;
}

std::size_t character_start(std::string_view text, std::size_t at) {
  if (at >= text.size()) return text.size();
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

std::size_t utf8_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto [point, bytes] = decode(text, at);
    if (point == kNoCharacter && bytes == 1) break;
    at += bytes;
  }
  return at;
}

std::string why_no_utf8(std::string_view text) {
  const std::size_t at = utf8_prefix(text);
  PROCTOR_CHECK(at < text.size());
  const std::string said =
      fmt::format("0x{:02X} is no UTF-8 text", static_cast<unsigned char>(text[at]));
  const bool marked = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  return marked ? said + ", but the mark of UTF-16; save it as UTF-8" : said;
}

}  // namespace proctor
