// What a model or a program wrote may hold escape sequences that move the cursor or worse.
#include "runtime/core/harmless.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/core/unicode.h"

namespace proctor {
namespace {

// C1 controls (some terminals take them for escape sequences), directions, joiners, fillers, tags.
bool is_unseen(char32_t point) {
  constexpr std::pair<char32_t, char32_t> kUnseen[] = {
      {0x80, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},   {0x115f, 0x1160},
      {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
      {0x3164, 0x3164}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};
  return std::any_of(std::begin(kUnseen), std::end(kUnseen), [point](const auto& range) {
    return range.first <= point && point <= range.second;
  });
}

}  // namespace

std::string harmless(std::string_view text, bool keep_newlines) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto letter = static_cast<unsigned char>(text[i]);
    if (letter == '\n' && keep_newlines) {
      out += '\n';
    } else if (letter == '\t') {
      out += keep_newlines ? "    " : " ";
    } else if (letter == '\n') {
      out += ' ';
    } else if (letter == '\r') {
      continue;
    } else if (letter < 0x20 || letter == 0x7f) {
      out += '^';
      out += static_cast<char>(letter ^ 0x40);
    } else if (letter < 0x80) {
      out += text[i];
    } else {
      const Character character = decode(text, i);
      if (character.point == kNoCharacter && character.bytes == 1)
        out += fmt::format("<{:02X}>", letter);
      else if (is_unseen(character.point))
        out += fmt::format("<U+{:04X}>", static_cast<std::uint32_t>(character.point));
      else
        out += text.substr(i, character.bytes);
      i += character.bytes - 1;
    }
  }
  return out;
}

}  // namespace proctor
