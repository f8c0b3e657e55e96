// Characters of UTF-8 text: decoding, lower case, and which of them make words.
//
// Lower case is by single characters (no "ẞ" to "ss", no Turkish rules); nothing is normalised, so
// that a precomposed letter and its decomposed twin differ.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace proctor {

struct Character {
  char32_t point;
  std::size_t bytes;
};

// Stands for a byte that is no UTF-8.
inline constexpr char32_t kNoCharacter = 0xFFFD;

// `single` stands alone (ideographs, hiragana); `extend` belongs to the character before it.
enum class CharacterKind : std::uint8_t {
  none,
  letter,
  digit,
  connector,
  katakana,
  single,
  extend
};

namespace unicode_detail {
Character decode_long(std::string_view text, std::size_t at);
CharacterKind kind_beyond_ascii(char32_t point);
char32_t lower_beyond_ascii(char32_t point);

constexpr std::array<CharacterKind, 128> ascii_kinds() {
  std::array<CharacterKind, 128> kinds{};
  for (std::size_t c = '0'; c <= '9'; ++c) kinds[c] = CharacterKind::digit;
  for (std::size_t c = 'a'; c <= 'z'; ++c) kinds[c] = CharacterKind::letter;
  for (std::size_t c = 'A'; c <= 'Z'; ++c) kinds[c] = CharacterKind::letter;
  kinds['_'] = CharacterKind::connector;
  return kinds;
}
inline constexpr std::array<CharacterKind, 128> kAsciiKinds = ascii_kinds();
}  // namespace unicode_detail

// The character at `at`, which is inside the text.
inline Character decode(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1};
  return unicode_detail::decode_long(text, at);
}

inline CharacterKind kind_of(char32_t point) {
  return point < 128 ? unicode_detail::kAsciiKinds[point]
                     : unicode_detail::kind_beyond_ascii(point);
}

inline char32_t lower(char32_t point) {
  if (point < 128) return point >= 'A' && point <= 'Z' ? point + 32 : point;
  return unicode_detail::lower_beyond_ascii(point);
}

void append_utf8(std::string& text, char32_t point);
// Bytes that are no UTF-8 stay as they are.
std::string lower_text(std::string_view text);

// Where the character begins that the byte `at` belongs to: where a text may be cut. The end of the
// text is its own start.
std::size_t character_start(std::string_view text, std::size_t at);
// How many of the first bytes belong to characters: all of them in a text that is UTF-8.
std::size_t utf8_prefix(std::string_view text);
inline bool is_utf8(std::string_view text) { return utf8_prefix(text) == text.size(); }
// What is wrong with the byte behind that prefix, in words: "0xE9 is no UTF-8 text".
std::string why_no_utf8(std::string_view text);

}  // namespace proctor
