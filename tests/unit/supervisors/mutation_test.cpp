// Logical lines, and what each operator makes of them.
#include "supervisors/mutation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisors/probes.h"
#include "supervisors/variant_source.h"

namespace proctor {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

// Variants of one line that stands in a function, by one operator.
std::vector<std::string> python(const std::string& operator_, const std::string& line,
                                const std::string& before = "") {
  const auto lines =
      code_lines(Language::python, "def f(a, b, xs):\n" + before + "    " + line + "\n");
  std::vector<std::string> codes;
  for (const LineVariant& variant : mutations(Language::python, lines, {operator_}))
    if (variant.line + 1 == lines.size()) codes.push_back(variant.code.substr(4));
  return codes;
}
std::vector<std::string> cpp(const std::string& operator_, const std::string& line) {
  const auto lines =
      code_lines(Language::cpp, "int f(int a, int b) {\n  int c = 0;\n  " + line + "\n}\n");
  std::vector<std::string> codes;
  for (const LineVariant& variant : mutations(Language::cpp, lines, {operator_}))
    if (variant.line == 2) codes.push_back(variant.code.substr(2));
  return codes;
}

TEST(CodeLines, AreLogicalAndHoldCode) {
  const auto lines = code_lines(Language::python,
                                "\"\"\"doc\n string\"\"\"\n# note\n\nx = [1,\n  2]  # two\n"
                                "y = 1 + \\\n  2\nz = '''a\nb'''\n");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].first, 4);
  EXPECT_EQ(lines[0].last, 5);
  EXPECT_EQ(lines[0].text, "x = [1,\n  2]  # two");
  EXPECT_EQ(lines[1].last, 7);
  EXPECT_EQ(lines[2].last, 9);
}

TEST(CodeLines, LeaveOutLoneBracesAndComments) {
  const auto lines = code_lines(
      Language::cpp, "#include <vector>\n/* a\n b */\nint f()\n{\n  return 1; // one\n}\n};\n");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1].text, "int f()");
  EXPECT_EQ(lines[2].first, 5);
}

TEST(CodeLines, AreReplacedWhole) {
  const std::string source = "a = (1,\n  2)\nb = 3\n";
  const auto lines = code_lines(Language::python, source);
  EXPECT_EQ(with_line(source, lines[0], "a = 0"), "a = 0\nb = 3\n");
  EXPECT_EQ(with_line("x = 1", code_lines(Language::python, "x = 1")[0], "x = 2"), "x = 2");
}

TEST(CodeLines, EndInBrokenSource) {
  for (const char* source :
       {"\"", "'''", "(((", "R\"x(", "/*", "\\", "\\\n", "0x", "1e+", "r'", "\xff\xfe"})
    for (const Language language : {Language::python, Language::cpp}) {
      const auto lines = code_lines(language, source);
      mutations(language, lines, mutation_operators());
      refactorings(language, lines);
    }
}

TEST(Mutations, ChangeOneTokenOfPython) {
  EXPECT_THAT(python("ROR", "if a < b:"), ElementsAre("if a <= b:", "if a > b:"));
  EXPECT_THAT(python("ROR", "return a == b"), ElementsAre("return a != b"));
  EXPECT_THAT(
      python("AOR", "return a + b * -a // 2"),
      ElementsAre("return a - b * -a // 2", "return a + b // -a // 2", "return a + b * -a * 2"));
  EXPECT_THAT(python("AOR", "g(*xs, **a)"), IsEmpty());
  EXPECT_THAT(python("AUG", "a += 1"), ElementsAre("a -= 1"));
  EXPECT_THAT(python("CRP", "a = 0"), ElementsAre("a = 1", "a = -1"));
  EXPECT_THAT(python("CRP", "a = 100 + 1.5 + 0x10"),
              ElementsAre("a = 101 + 1.5 + 0x10", "a = 99 + 1.5 + 0x10"));
  EXPECT_THAT(python("LCR", "return a and b"), ElementsAre("return a or b"));
  EXPECT_THAT(python("NOT", "if a < b:"), ElementsAre("if not (a < b):"));
  EXPECT_THAT(python("NOT", "while not a:"), ElementsAre("while a:"));
  EXPECT_THAT(python("IDX", "return xs[a] + xs[1:2]"), ElementsAre("return xs[a + 1] + xs[1:2]"));
  EXPECT_THAT(python("IDX", "return xs[a if b else 0]"),
              ElementsAre("return xs[(a if b else 0) + 1]"));
  EXPECT_THAT(python("SDL", "a = 1"), ElementsAre("pass"));
  EXPECT_THAT(python("SDL", "return a"), IsEmpty());
  EXPECT_THAT(python("SDL", "for a in b:"), IsEmpty());
  EXPECT_THAT(python("RVR", "return a"), ElementsAre("return None"));
  EXPECT_THAT(python("RVR", "return None"), IsEmpty());
  EXPECT_THAT(python("ARG", "return g(a, b + 1, 2)"), ElementsAre("return g(b + 1, a, 2)"));
  EXPECT_THAT(python("ARG", "g(a, key=b)"), IsEmpty());
  EXPECT_THAT(python("VAR", "return a", "    n = 1\n"), ElementsAre("return b", "return xs"));
}

TEST(Mutations, NeverTouchTextAndComments) {
  for (const std::string& name : mutation_operators())
    EXPECT_THAT(python(name, "print('1 < 2 and 3')  # a < b + 1"),
                testing::AnyOf(IsEmpty(), ElementsAre("pass")))
        << name;
}

TEST(Mutations, ChangeOneTokenOfCpp) {
  EXPECT_THAT(cpp("ROR", "if (a < b) c = 1;"),
              ElementsAre("if (a <= b) c = 1;", "if (a > b) c = 1;"));
  EXPECT_THAT(cpp("ROR", "std::vector<int> v;"), IsEmpty());
  EXPECT_THAT(cpp("ROR", "std::map<int, std::vector<int>> v;"), IsEmpty());
  EXPECT_THAT(cpp("AOR", "c = a * b / 2;"), ElementsAre("c = a / b / 2;", "c = a * b * 2;"));
  EXPECT_THAT(cpp("AOR", "int* p = &a;"), IsEmpty());
  EXPECT_THAT(cpp("LCR", "if (a && b) c = 1;"), ElementsAre("if (a || b) c = 1;"));
  EXPECT_THAT(cpp("NOT", "if (a) {"), ElementsAre("if (!(a)) {"));
  EXPECT_THAT(cpp("NOT", "while (!a) {"), ElementsAre("while (a) {"));
  EXPECT_THAT(cpp("SDL", "c = 1;"), ElementsAre(";"));
  EXPECT_THAT(cpp("SDL", "return c;"), IsEmpty());
  EXPECT_THAT(cpp("SDL", "for (int i = 0; i < 3; ++i) {"), IsEmpty());
  EXPECT_THAT(cpp("RVR", "return a + b;"), ElementsAre("return 0;"));
  EXPECT_THAT(cpp("ARG", "c = g(a, b);"), ElementsAre("c = g(b, a);"));
  EXPECT_THAT(cpp("VAR", "c = a;"), ElementsAre("c = b;", "c = c;"));
}

TEST(Refactorings, KeepTheMeaning) {
  const auto lines = code_lines(
      Language::python,
      "def f(a, b):\n    s = 0\n    if a < b and b > 1:\n        s += a\n    return s\n");
  std::vector<std::string> codes;
  for (const LineVariant& variant : refactorings(Language::python, lines))
    codes.push_back(variant.code);
  EXPECT_THAT(codes, Contains("    s = (0)"));
  EXPECT_THAT(codes, Contains("    if b > a and b > 1:"));
  EXPECT_THAT(codes, Contains("    if not (not (a < b) or not (b > 1)):"));
  EXPECT_THAT(codes, Contains("        s = s + (a)"));
}

TEST(TeacherReply, MustReplaceExactlyThatLine) {
  const CodeLine line = code_lines(Language::python, "def f(a):\n    return a\n")[1];
  const auto read = [&](const std::string& reply) {
    return read_teacher_reply(reply, 2, Language::python, line);
  };
  EXPECT_EQ(read(R"({"line": 2, "type": "mutation", "code": "return a + 1"})"), "    return a + 1");
  EXPECT_EQ(read("```json\n{\"line\": 2, \"code\": \"    return -a\"}\n```"), "    return -a");
  EXPECT_EQ(read(R"({"line": 1, "code": "return a + 1"})"), std::nullopt);
  EXPECT_EQ(read(R"({"line": 2, "code": "x = 1\nreturn x"})"), std::nullopt);
  EXPECT_EQ(read(R"({"line": 2, "code": "return  a  # same"})"), std::nullopt);
  EXPECT_EQ(read("no idea"), std::nullopt);
}

TEST(Probes, AreSeededDifferentAndOfTheTestsTypes) {
  ProgramTask task;
  task.entry_point = "f";
  task.tests.push_back({.given = {.args = json::array{json::array{1, 5}, 2, "ab"}, .input = {}},
                        .expect = 1,
                        .output = {}});
  const std::string program = "def f(xs, n, s):\n    return n > 100\n";
  const auto probes = make_probes(task, program, 1, 120);
  EXPECT_GE(probes.size(), 50u);
  EXPECT_EQ(probes, make_probes(task, program, 1, 120));
  EXPECT_NE(probes, make_probes(task, program, 2, 120));
  bool border = false;
  for (const ProgramInput& probe : probes) {
    ASSERT_EQ(probe.args->size(), 3u);
    EXPECT_TRUE(probe.args->at(0).is_array() && probe.args->at(1).is_int64() &&
                probe.args->at(2).is_string());
    border = border || probe.args->at(1) == 101;
  }
  EXPECT_TRUE(border);
}

}  // namespace
}  // namespace proctor
