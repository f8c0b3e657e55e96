// Where a text may be cut, and what is text at all.
#include "runtime/core/unicode.h"

#include <gtest/gtest.h>

namespace proctor {
namespace {

TEST(Unicode, FindsTheStartOfACharacter) {
  const std::string text = "aé€😀";  // 1 + 2 + 3 + 4 bytes
  const std::size_t starts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t at = 0; at < 12; ++at) EXPECT_EQ(character_start(text, at), starts[at]) << at;
  EXPECT_EQ(character_start("", 0), 0u);
}

TEST(Unicode, KnowsWhatIsNoUtf8) {
  EXPECT_TRUE(is_utf8("aé€😀\xEF\xBF\xBD"));
  EXPECT_TRUE(is_utf8(""));
  for (const char* broken : {"\xC3", "a\xE2\x82", "\x80", "\xED\xA0\x80", "\xC0\x80", "\xF5"})
    EXPECT_FALSE(is_utf8(broken));
}

}  // namespace
}  // namespace proctor
