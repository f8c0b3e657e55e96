// The checkers that need no sandbox, with the traps that answers of real models set.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "env/suite.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

CheckerRef make_checker(const std::string& name, const json::object& options = {}) {
  const auto* entry = Registry<CheckerMaker>::instance().find(name);
  PROCTOR_CHECK(entry);
  auto parsed = Options::parse(options, entry->info.options, name);
  PROCTOR_CHECK(parsed.ok());
  auto made = entry->make(*parsed, CheckerServices{});
  PROCTOR_CHECK(made.ok());
  return *made;
}

Grade grade(const std::string& checker, json::object gold, std::optional<std::string> answer,
            json::object metadata = {}, const json::object& options = {}) {
  auto task = std::make_shared<Task>();
  task->id = "t";
  task->gold = std::move(gold);
  task->metadata = std::move(metadata);
  auto trajectory = std::make_shared<Trajectory>();
  trajectory->task = task;
  trajectory->outcome.answer = std::move(answer);
  auto graded = await(make_checker(checker, options)->check(trajectory));
  PROCTOR_CHECK(graded.ok());
  return *graded;
}

bool numeric(const std::string& gold, const std::string& answer) {
  return grade("numeric", {{"answers", {gold}}}, answer).correct.value();
}
bool game24(const std::string& answer, json::array numbers = {4, 9, 10, 13}) {
  return grade("game24", {{"numbers", std::move(numbers)}}, answer).correct.value();
}

TEST(Numeric, TakesNumbersAsPeopleWriteThem) {
  EXPECT_TRUE(numeric("42", "42"));
  EXPECT_TRUE(numeric("42", "The answer is 42."));
  EXPECT_TRUE(numeric("42", "6 * 7 = 42"));
  EXPECT_TRUE(numeric("42", "I think it is **42** apples"));
  EXPECT_TRUE(numeric("42", "\\boxed{42}"));
  EXPECT_TRUE(numeric("42", "so we get $\\boxed{42}$ and not 43"));
  EXPECT_TRUE(numeric("42", "blah 17\n#### 42"));
  EXPECT_TRUE(numeric("42", "42.0"));
  EXPECT_TRUE(numeric("1234567", "1,234,567"));
  EXPECT_TRUE(numeric("1,234", "1234"));
  EXPECT_TRUE(numeric("1234.5", "$1,234.50"));
  EXPECT_TRUE(numeric("-15", "-15"));
  EXPECT_TRUE(numeric("-15", "the result is −15"));
  EXPECT_TRUE(numeric("100000", "1e5"));
  EXPECT_TRUE(numeric("15", "x = 15 km"));
  EXPECT_TRUE(numeric("8", "2^3"));
}

TEST(Numeric, TakesFractionsAndPercent) {
  EXPECT_TRUE(numeric("0.75", "3/4"));
  EXPECT_TRUE(numeric("3/4", "0.75"));
  EXPECT_TRUE(numeric("3/4", "\\frac{3}{4}"));
  EXPECT_TRUE(numeric("3/4", "\\dfrac34"));
  EXPECT_TRUE(numeric("1.5", "1 1/2"));
  EXPECT_TRUE(numeric("50%", "0.5"));
  EXPECT_TRUE(numeric("0.5", "50%"));
  EXPECT_TRUE(numeric("50", "50 %"));
  EXPECT_FALSE(numeric("3/4", "4/3"));
  EXPECT_FALSE(numeric("50", "0.5"));
}

TEST(Numeric, IsNotFooled) {
  EXPECT_FALSE(numeric("42", ""));
  EXPECT_FALSE(numeric("42", "no idea"));
  EXPECT_FALSE(numeric("42", "142"));
  EXPECT_FALSE(numeric("42", "4 2"));
  EXPECT_FALSE(numeric("42", "42 or 43"));
  EXPECT_FALSE(numeric("42", "-42"));
  EXPECT_FALSE(numeric("42", "42.5"));
  EXPECT_FALSE(numeric("3", "7-3 = 4"));
  EXPECT_FALSE(numeric("0", "nan"));
  EXPECT_FALSE(numeric("0", "1/0"));
  EXPECT_FALSE(numeric("5", "x5"));
  EXPECT_FALSE(numeric("42", "\\boxed{41} is 42"));
  EXPECT_FALSE(numeric("42", "The answer is 41. Or 42?\nThe answer is 43"));
  EXPECT_FALSE(numeric("42", std::string(50000, '(') + "41"));
  EXPECT_FALSE(grade("numeric", {{"answers", {"42"}}}, std::nullopt).correct.value());
}

TEST(Numeric, ComparesSimpleAlgebraAndLists) {
  EXPECT_TRUE(numeric("x + 1", "1 + x"));
  EXPECT_TRUE(numeric("2x(x+1)", "2x^2 + 2x"));
  EXPECT_TRUE(numeric("\\frac{\\pi}{2}", "pi/2"));
  EXPECT_TRUE(numeric("2\\sqrt{3}", "\\sqrt{12}"));
  EXPECT_TRUE(numeric("(1, 2)", "(1,2)"));
  EXPECT_TRUE(numeric("y = 2x + 1", "y = 1 + 2x"));
  EXPECT_FALSE(numeric("(1, 2)", "(2, 1)"));
  EXPECT_FALSE(numeric("(1, 2)", "(1, 2, 3)"));
  EXPECT_FALSE(numeric("x + 1", "x - 1"));
  EXPECT_FALSE(numeric("x + 1", "y + 1"));
  EXPECT_FALSE(numeric("x + 1", "no idea"));
}

TEST(Numeric, ComparesExactlyWithoutATolerance) {
  EXPECT_FALSE(numeric("1000000", "1000001"));
  EXPECT_FALSE(numeric("1152921504606846976", "1152921504606846977"));
  EXPECT_TRUE(numeric("1152921504606846976", "2^60"));
  EXPECT_FALSE(numeric("2432902008176640000", "2432902008176640001"));
  EXPECT_TRUE(numeric("51090942171709440000", "21!"));
  EXPECT_FALSE(numeric("12345678902", "12345678901"));
  EXPECT_FALSE(numeric("6.626e-34", "0"));
  EXPECT_FALSE(numeric("6.626e-34", "1.6e-19"));
  EXPECT_TRUE(numeric("6.626e-34", "6.626 \\times 10^{-34}"));
  EXPECT_TRUE(numeric("0.3333333333333333", "1/3"));
  EXPECT_FALSE(numeric("0.333", "1/3"));
  EXPECT_TRUE(numeric("0.3", "0.30000000000000004"));
  EXPECT_TRUE(numeric("\\sqrt{2}", "1.4142135623730951"));
  EXPECT_TRUE(numeric("0", "\\sin(\\pi)"));
}

// The same fraction in all the ways that people write it; another one in none of them.
std::vector<std::string> spellings(long top, long bottom) {
  const auto text = [](long number) { return std::to_string(number); };
  const std::string sign = top < 0 ? "-" : "";
  const long size = std::abs(top), whole = size / bottom, rest = size % bottom;
  std::vector<std::string> all = {
      text(top) + "/" + text(bottom),
      text(3 * top) + "/" + text(3 * bottom),
      sign + "\\frac{" + text(size) + "}{" + text(bottom) + "}",
      sign + "\\dfrac{" + text(7 * size) + "}{" + text(7 * bottom) + "}",
      "(" + text(top - 5 * bottom) + ")/" + text(bottom) + " + 5",
      text(top) + " \\div " + text(bottom),
  };
  if (rest != 0 && whole != 0) {
    all.push_back(sign + text(whole) + " " + text(rest) + "/" + text(bottom));
    all.push_back(sign + text(whole) + "\\frac{" + text(rest) + "}{" + text(bottom) + "}");
  }
  if (long scale = 1'000'000; scale % bottom == 0) {
    std::string decimals = text(scale / bottom * rest);
    decimals.insert(0, 6 - decimals.size(), '0');
    all.push_back(sign + text(whole) + "." + decimals);
    all.push_back(text(scale / bottom * top) + " \\times 10^{-6}");
    all.push_back(text(scale / bottom * top) + "e-6");
  }
  return all;
}

TEST(Numeric, AgreesWithExactArithmeticHoweverANumberIsWritten) {
  std::mt19937_64 random(20260328);
  const auto between = [&](long least, long most) {
    return std::uniform_int_distribution<long>(least, most)(random);
  };
  for (int round = 0; round < 300; ++round) {
    constexpr std::array kBottoms = {1L, 2L, 3L, 4L, 5L, 7L, 8L, 16L, 25L, 64L, 125L, 997L};
    const long bottom = kBottoms[static_cast<std::size_t>(between(0, kBottoms.size() - 1))];
    const long top = between(1, 99'999'999) * (between(0, 1) == 0 ? 1 : -1);
    const auto same = spellings(top, bottom), other = spellings(top + 1, bottom);
    const auto any = [&](const auto& list) {
      return list[static_cast<std::size_t>(between(0, static_cast<long>(list.size()) - 1))];
    };
    const std::string gold = any(same), right = any(same), wrong = any(other);
    for (const auto& [before, behind] :
         {std::pair{"", ""}, {"**", "**"}, {"So it is $\\boxed{", "}$."}, {"Answer: ", ""}}) {
      EXPECT_TRUE(numeric(gold, before + right + behind)) << gold << " | " << right;
      EXPECT_FALSE(numeric(gold, before + wrong + behind)) << gold << " | " << wrong;
    }
  }
}

TEST(Numeric, AllowsAPartOfTheGoldValue) {
  const auto within = [](double tolerance, const char* gold, const char* answer) {
    return grade("numeric", {{"answers", {gold}}}, answer, {}, {{"tolerance", tolerance}})
        .correct.value();
  };
  EXPECT_TRUE(within(0.01, "101", "102"));
  EXPECT_FALSE(within(0.01, "99", "100"));
  EXPECT_TRUE(within(0.3, "10", "13"));
  EXPECT_TRUE(within(0.01, "\\pi", "3.14"));
  EXPECT_FALSE(within(0.01, "0.001", "0.002"));
  EXPECT_FALSE(within(0.01, "0", "0.001"));
}

TEST(Numeric, ReadsMixedNumbersInLatex) {
  EXPECT_TRUE(numeric("2.5", "\\boxed{2\\frac{1}{2}}"));
  EXPECT_TRUE(numeric("13/4", "3\\dfrac{1}{4}"));
  EXPECT_TRUE(numeric("-2.5", "-2\\tfrac12"));
  EXPECT_TRUE(numeric("2\\frac{1}{2}", "2 1/2"));
  EXPECT_FALSE(numeric("2\\frac{1}{2}", "1"));
  EXPECT_TRUE(numeric("x^2\\frac{1}{2}", "x^2/2"));
}

TEST(Numeric, ReadsUnitsAndPowersOfTen) {
  for (const char* answer : {"42 cm^2", "42 m/s^2", "42\\text{ cm}^2", "42 m/s", "42 m^{-2}"})
    EXPECT_TRUE(numeric("42", answer)) << answer;
  for (const char* answer :
       {"1.5 × 10^3 m", "1.5 \\times 10^3 J", "1.5 x 10^3", "1.5×10^3", "1.5e3 m"})
    EXPECT_TRUE(numeric("1500", answer)) << answer;
  EXPECT_FALSE(numeric("2", "42 cm^2"));
}

TEST(Numeric, TellsBracketsAndSignsApart) {
  EXPECT_TRUE(numeric("(2,4)", "\\left(2, 4\\right)"));
  EXPECT_TRUE(numeric("[2,4]", "2, 4"));
  EXPECT_FALSE(numeric("[2,4]", "[2,4)"));
  EXPECT_FALSE(numeric("[2,4]", "(2,4]"));
  EXPECT_FALSE(numeric("x", "|x|"));
  EXPECT_TRUE(numeric("\\sqrt{x}", "x^{1/2}"));
}

TEST(Numeric, WantsLowestTermsWhereTheSpellingCounts) {
  const json::object gold = {{"answers", {"3/4"}}, {"exact", true}};
  EXPECT_TRUE(grade("numeric", gold, "3/4").correct.value());
  EXPECT_TRUE(grade("numeric", gold, "6/8 = 3 / 4.").correct.value());
  EXPECT_FALSE(grade("numeric", gold, "6/8").correct.value());
  EXPECT_FALSE(grade("numeric", gold, "13/4").correct.value());
  EXPECT_FALSE(grade("numeric", gold, "-3/4").correct.value());
  EXPECT_FALSE(grade("numeric", gold, "1 3/4").correct.value());
}

TEST(Numeric, ReadsTheSpellingOfGoldAsThatOfAnswers) {
  const auto exact = [](const char* gold, const char* answer) {
    return grade("numeric", {{"answers", {gold}}, {"exact", true}}, answer).correct.value();
  };
  EXPECT_TRUE(exact("1 1/2", "1 1/2"));
  EXPECT_TRUE(exact("x=5", "x=5"));
  EXPECT_TRUE(exact("x = 5", "5"));
  EXPECT_TRUE(exact("$12", "12"));
  EXPECT_TRUE(exact("3 / 4", "3/4"));
  EXPECT_TRUE(exact("x = 1, y = 2", "x=1, y=2"));
  EXPECT_FALSE(exact("1 1/2", "11/2"));
  EXPECT_FALSE(exact("1/2", "1 1/2"));
  EXPECT_FALSE(exact("x = 1, y = 2", "2"));
  EXPECT_FALSE(exact("x = 5", "x = 15"));
}

TEST(Numeric, HasNoGradeWithoutGold) {
  const Grade none = grade("numeric", {}, "42");
  EXPECT_FALSE(none.reward.has_value());
  EXPECT_FALSE(none.correct.has_value());
}

TEST(Game24, TakesAnExpressionOfTheFourNumbers) {
  EXPECT_TRUE(game24("(10 - 4) * (13 - 9)"));
  EXPECT_TRUE(game24("(10-4)*(13-9) = 24"));
  EXPECT_TRUE(game24("The solution:\n**(10 − 4) × (13 − 9)**."));
  EXPECT_TRUE(game24("\\boxed{(10 - 4) \\times (13 - 9)}"));
  EXPECT_TRUE(game24("8 / (3 - 8 / 3)", {3, 3, 8, 8}));
  EXPECT_TRUE(game24("5*(5-1/5)", {1, 5, 5, 5}));
}

TEST(Game24, IsNotFooled) {
  EXPECT_FALSE(game24(""));
  EXPECT_FALSE(game24("24"));
  EXPECT_FALSE(game24("(10 - 4) * 4"));
  EXPECT_FALSE(game24("(10 - 4) * (13 - 9) + 9 - 9"));
  EXPECT_FALSE(game24("(10 - 4) * (13 - 9) = 25"));
  EXPECT_FALSE(game24("10 + 4 + 13 - 9"));
  EXPECT_FALSE(game24("1 2 * 2", {12, 2}));
  EXPECT_FALSE(game24("1$2 * 2", {12, 2}));
  EXPECT_FALSE(game24("(10 - 4) * (13 - 9"));
  EXPECT_FALSE(game24("24 + 0 / (4 - 4)", {24, 0, 4, 4}));
  EXPECT_FALSE(game24("4 ** 2 + 4 + 4", {4, 2, 4, 4}));
  EXPECT_FALSE(game24(std::string(5000, '(')));
  // The least number of 64 bits, whose opposite is none.
  EXPECT_FALSE(game24("(0-32768)*65536*65536*65536/(0-1)", {0, 0, 1, 32768, 65536, 65536, 65536}));
  EXPECT_FALSE(game24("1/((0-32768)*65536*65536*65536)", {0, 1, 32768, 65536, 65536, 65536}));
  EXPECT_FALSE(game24("999999999999999999999 * 4 * 9 * 10 * 13"));
}

// "": accepted.
std::string complaint(const std::string& checker, json::object gold) {
  Task task;
  task.id = "t";
  task.gold = std::move(gold);
  auto accepted = make_checker(checker)->accepts(task);
  return accepted ? "" : accepted.error().message;
}

TEST(Checkers, RefuseGoldThatTheyCannotGradeBy) {
  EXPECT_EQ(complaint("answers", {}), "needs gold.answers, and the task has no gold");
  EXPECT_EQ(complaint("answers", {{"answer", "42"}}),
            "needs gold.answers; gold has 'answer': did you mean 'answers'?");
  EXPECT_EQ(complaint("answers", {{"answers", json::array{}}, {"solution", "x"}}),
            "needs gold.answers, which is missing or empty");
  EXPECT_NE(complaint("answers", {{"answers", {"", " "}}}), "");
  EXPECT_EQ(complaint("numeric", {{"number", 42}}),
            "needs gold.answers, which is missing or empty");
  EXPECT_EQ(complaint("numeric", {{"answer", "forty"}}),
            "gold 'forty' is neither a number nor simple algebra; the checker `answers` compares "
            "texts");
  EXPECT_EQ(complaint("game24", {{"answers", {"24"}}}),
            "needs gold.numbers, which is missing or empty");
  EXPECT_EQ(complaint("game24", {{"number", {1, 2, 3, 4}}}),
            "needs gold.numbers; gold has 'number': did you mean 'numbers'?");
  EXPECT_EQ(complaint("game24", {{"numbers", {1, "2"}}}),
            "gold.numbers: expected a list of integers");
  EXPECT_EQ(complaint("game24", {{"numbers", {1, 2}}, {"target", "24"}}),
            "gold.target: expected an integer");
}

TEST(Checkers, AcceptGoldInEveryFormThatIsGraded) {
  EXPECT_EQ(complaint("answers", {{"answers", "42"}}), "");
  EXPECT_EQ(complaint("answers", {{"answers", {"", "42"}}}), "");
  EXPECT_EQ(complaint("answers", {{"entities", {{{"name", "Turing"}}}}}), "");
  for (const char* gold : {"42", "3/4", "50 %", "12 apples", "x + 1", "1/(x - 1)", "y = 2x", "pi",
                           "(a, b)", "\\sqrt{2}"})
    EXPECT_EQ(complaint("numeric", {{"answers", {gold}}}), "") << gold;
  EXPECT_EQ(complaint("numeric", {{"answers", {"forty", "40"}}}), "") << "one of them will do";
  EXPECT_EQ(complaint("numeric", {{"answer", 42}}), "");
  EXPECT_TRUE(grade("numeric", {{"answers", "42"}}, "42").correct.value()) << "one, and no list";
  EXPECT_EQ(complaint("game24", {{"numbers", {4, 9, 10, 13}}}), "");
}

}  // namespace
}  // namespace proctor
