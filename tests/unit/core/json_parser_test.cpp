#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "runtime/core/determinism.h"
#include "runtime/core/json.h"
#include "runtime/core/json_keys.h"

namespace proctor {
namespace {

TEST(JsonParser, ReadsNumbersToTheLastBit) {
  Rng rng(7);
  for (int i = 0; i < 20000; ++i) {
    const double number = i % 2 == 0 ? 20 * rng.uniform() - 10 : std::bit_cast<double>(rng());
    if (!std::isfinite(number)) continue;
    const auto back = parse_json(json::serialize(json::value(number)));
    ASSERT_TRUE(back);
    ASSERT_EQ(back->as_double(), number);
  }
  EXPECT_EQ(parse_json("0.1")->as_double(), 0.1);
  EXPECT_EQ(parse_json("[1.5,-2e3,3]")->at(1).as_double(), -2000);
}

TEST(JsonParser, KeepsTheKindsOfNumbers) {
  EXPECT_TRUE(parse_json("7")->is_int64());
  EXPECT_TRUE(parse_json("-7")->is_int64());
  EXPECT_TRUE(parse_json("18446744073709551615")->is_uint64());
  EXPECT_TRUE(parse_json("7.0")->is_double());
  EXPECT_TRUE(parse_json("123456789012345678901234567890")->is_double());
  EXPECT_FALSE(parse_json("1e999"));
  EXPECT_FALSE(parse_json("[-1e999]"));
  EXPECT_EQ(parse_json("1e-999")->as_double(), 0);
}

TEST(JsonParser, RefusesAnIntegerThatItWouldRoundWhereAPersonWroteIt) {
  const auto complaint = [](std::string_view text) {
    auto value = parse_exact_json(text);
    return value ? std::string() : value.error().message;
  };
  EXPECT_EQ(complaint("{\"a\": [1, 51090942171709440000]}"),
            "at byte 10: the integer 51090942171709440000 does not fit in 64 bits; write it as a "
            "text");
  EXPECT_NE(complaint("-9223372036854775809").find("at byte 0: the integer -9223372036854775809"),
            std::string::npos);
  EXPECT_NE(complaint(std::string(400, '7')).find(std::string(40, '7') + "... does not fit"),
            std::string::npos);
  for (const char* fine : {"18446744073709551615", "-9223372036854775808", "1e25",
                           "100000000000000000000.0", "\"51090942171709440000\""})
    EXPECT_EQ(complaint(fine), "") << fine;
}

TEST(JsonParser, SaysWhatIsWrongAndWhere) {
  for (const char* bad : {"", " ", "{", "[1,", "{\"a\":}", "nul", "\"x", "1 2", "[1]]", "01", "1.",
                          "{\"a\" 1}", "\"\\u12\"", "\"\xff\""})
    EXPECT_FALSE(parse_json(bad)) << bad;
  EXPECT_NE(parse_json("[1, x]").error().message.find("byte 4"), std::string::npos);
  EXPECT_FALSE(parse_json(std::string(49, '[') + std::string(49, ']')));
  EXPECT_TRUE(parse_json(std::string(48, '[') + std::string(48, ']')));
  EXPECT_TRUE(parse_json(std::string(256, '[') + std::string(256, ']'), kRecordLevels));
  EXPECT_FALSE(parse_json(std::string(257, '[') + std::string(257, ']'), kRecordLevels));
  EXPECT_TRUE(parse_json(" {\"a\": [true, false, null, \"\\u00e9\"]} \n"));
  EXPECT_EQ(parse_json("{\"a\":1,\"a\":2}")->at("a"), 2);
}

TEST(JsonParser, SaysWhichBytesAreNoTextAndWhichEscapesNoCharacter) {
  const auto complaint = [](std::string_view text) { return parse_json(text).error().message; };
  EXPECT_EQ(complaint("{\"a\":\"gr\xF6sse\"}"), "invalid JSON at byte 8: 0xF6 is no UTF-8 text");
  EXPECT_EQ(
      complaint("\xFF\xFE{\0"),
      "invalid JSON at byte 0: 0xFF is no UTF-8 text, but the mark of UTF-16; save it as UTF-8");
  for (const char* half : {"\\ud800", "\\udc00", "\\uDBFF\\u0041", "\\ud800x", "\\ud800\\n"})
    EXPECT_NE(complaint("\"ab" + std::string(half) + "\"").find("half of a surrogate pair"),
              std::string::npos)
        << half << ": " << complaint("\"ab" + std::string(half) + "\"");
  EXPECT_EQ(complaint("\"\\ud83d\\ude00\"x"), "invalid JSON at byte 14: text behind the value");
  EXPECT_EQ(complaint("[1e999]"), "invalid JSON at byte 6: the number is too large");
  EXPECT_EQ(parse_json("\"\\ud83d\\ude00\"")->as_string(), "\xF0\x9F\x98\x80");
}

TEST(RepeatedKey, IsFoundAtAnyDepth) {
  EXPECT_EQ(repeated_key(R"({"a":1,"b":2,"a":3})"), "a");
  EXPECT_EQ(repeated_key(R"([{"a":{"b":[{"\u0063":1,"c":2}]}}])"), "c");
  EXPECT_FALSE(repeated_key(R"({"a":{"a":1},"b":{"a":2}})"));
  EXPECT_FALSE(repeated_key(R"({"a":1,"a":)"));
}

}  // namespace
}  // namespace proctor
