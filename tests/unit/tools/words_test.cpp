// What the index takes for a word.
#include "tools/words.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace proctor {
namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  WordReader reader(text);
  for (std::string word; reader.next(word);) words.push_back(word);
  return words;
}
using Words = std::vector<std::string>;

TEST(Words, AreLowerCaseRunsOfLettersAndDigits) {
  EXPECT_EQ(words_of("The PDP-11/70, by DEC (1975)!"),
            (Words{"the", "pdp", "11", "70", "by", "dec", "1975"}));
}

TEST(Words, KeepApostrophesPointsAndCommasInside) {
  EXPECT_EQ(words_of("can't U.S.A. 3.14 1,000 end. a,b 'quoted'"),
            (Words{"can't", "u.s.a", "3.14", "1,000", "end", "a", "b", "quoted"}));
  EXPECT_EQ(words_of("it\xE2\x80\x99s"), (Words{"it's"}));
}

TEST(Words, JoinUnderscoresButNeverStandAsOne) {
  EXPECT_EQ(words_of("snake_case ___ _x"), (Words{"snake_case", "_x"}));
}

TEST(Words, LoseSignsThatUnicodeDoesNotCountAsWords) {
  EXPECT_EQ(words_of("C++ C# .NET"), (Words{"c", "c", "net"}));
}

TEST(Words, AreLowerCasedBeyondAscii) {
  EXPECT_EQ(words_of("ÉCOLE Straße ΣΊΣΥΦΟΣ Ａｂ ЖУК Ǆ"),
            (Words{"école", "straße", "σίσυφοσ", "ａｂ", "жук", "ǆ"}));
  EXPECT_EQ(words_of("ΤΈΛΟΣ τέλος"), (Words{"τέλοσ", "τέλοσ"}));
}

TEST(Words, KeepCombiningMarksAndDropInvisibleCharacters) {
  EXPECT_EQ(words_of("e\u0301te\u0301 co\u00ADop"), (Words{"e\u0301te\u0301", "coop"}));
}

TEST(Words, TakeIdeographsOneByOneAndKatakanaTogether) {
  EXPECT_EQ(words_of("東京タワーabc"), (Words{"東", "京", "タワー", "abc"}));
}

TEST(Words, AreSeparatedByBytesThatAreNoUtf8) {
  EXPECT_EQ(words_of("ab\xFFxy\xC3"), (Words{"ab", "xy"}));
  EXPECT_EQ(words_of("\xED\xA0\x80z\xF4\x90\x80\x80"), (Words{"z"}));  // surrogate, beyond Unicode
  EXPECT_EQ(words_of("\xC0\x80q"), (Words{"q"}));                      // overlong
}

TEST(Words, AreCutWhenLongerThanAnyoneSearches) {
  for (const std::string& word : words_of(std::string(1000, 'x')))
    EXPECT_LE(word.size(), WordReader::kLongestBytes);
  EXPECT_EQ(words_of(std::string(1000, 'x')).size(), 4U);
  EXPECT_EQ(words_of(std::string(5000, '_') + "a").size(), 1U);
  std::string marks = "a";
  for (int i = 0; i < 2000; ++i) marks += "\u0301";
  for (const std::string& word : words_of(marks)) EXPECT_LE(word.size(), WordReader::kLongestBytes);
}

TEST(Words, OfNothingAreNone) {
  EXPECT_TRUE(words_of("").empty());
  EXPECT_TRUE(words_of(" \t\n ++ -- …").empty());
}

TEST(Stemmer, LetsFormsOfAWordMeet) {
  Stemmer stemmer;
  EXPECT_EQ(stemmer.stem("compilers"), "compil");
  EXPECT_EQ(stemmer.stem("compiler"), "compil");
  EXPECT_EQ(stemmer.stem("Unix's"), "Unix");
  EXPECT_EQ(stemmer.stem("pdp"), "pdp");
}

TEST(StopWords, AreLucenesThirtyThree) {
  EXPECT_TRUE(is_stop_word("the"));
  EXPECT_TRUE(is_stop_word("with"));
  EXPECT_FALSE(is_stop_word("who"));
  EXPECT_FALSE(is_stop_word("compiler"));
}

}  // namespace
}  // namespace proctor
