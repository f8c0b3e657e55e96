// numeric — does the answer give the gold value? Numbers as people write them, fractions, percent,
// units, \boxed{}, lists of values, and simple algebra.
//
// Gold is gold.answers (any of them) or gold.answer. The answer's last statement counts: \boxed{},
// else what follows "answer is" or "####", else the last line. With gold.exact the spelling counts
// (3/4 is not 6/8). Numbers are compared exactly unless a tolerance is given; brackets count where
// both lists have them. Blind spot: units are ignored, so 5 m and 5 km are equal.
#include <algorithm>
#include <cctype>
#include <limits>

#include "env/expression.h"
#include "env/gold.h"
#include "env/suite.h"

namespace proctor {
namespace {

std::string bare(std::string_view text) {
  const std::string_view around = " \t\r\n*`";
  const std::size_t first = text.find_first_not_of(around);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(around) - first + 1));
}

std::optional<std::string> last_boxed(const std::string& text) {
  const std::size_t at = text.rfind("\\boxed{");
  if (at == std::string::npos) return std::nullopt;
  int depth = 0;
  for (std::size_t i = at + 6; i < text.size(); ++i) {
    depth += text[i] == '{';
    depth -= text[i] == '}';
    if (depth == 0) return text.substr(at + 7, i - at - 7);
  }
  return std::nullopt;
}

std::optional<std::string> after_marker(const std::string& text) {
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::size_t best = std::string::npos;
  for (const std::string_view marker : {"answer is", "answer:", "answer =", "####"}) {
    const std::size_t at = lower.rfind(marker);
    if (at == std::string::npos) continue;
    const std::size_t end = at + marker.size();
    if (best == std::string::npos || end > best) best = end;
  }
  if (best == std::string::npos) return std::nullopt;
  std::string rest = text.substr(best);
  const std::size_t start = rest.find_first_not_of(" :\n\t");
  if (start == std::string::npos) return std::nullopt;
  return rest.substr(start, rest.find('\n', start) - start);
}

std::string last_line(const std::string& text) {
  const std::string all = bare(text);
  const std::size_t newline = all.rfind('\n');
  return newline == std::string::npos ? all : all.substr(newline + 1);
}

// What the answer states in the end.
std::string statement_in(const std::string& answer) {
  if (auto boxed = last_boxed(answer)) return bare(*boxed);
  if (auto marked = after_marker(answer)) return bare(*marked);
  return bare(last_line(answer));
}

std::string without_final_dot(std::string text) {
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
  return text;
}

// "()" of "(1, 2)"; empty where there are none.
std::string brackets_of(std::string_view text) {
  if (text.size() >= 2 && std::string_view("([{").find(text.front()) != std::string_view::npos &&
      std::string_view(")]}").find(text.back()) != std::string_view::npos)
    return {text.front(), text.back()};
  return "";
}

// The parts of "(1, 2)" or "1, 2"; one part: no list.
std::vector<std::string> parts_of(std::string_view text) {
  if (!brackets_of(text).empty()) text = text.substr(1, text.size() - 2);
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    depth += c == '(' || c == '[' || c == '{';
    depth -= c == ')' || c == ']' || c == '}';
    if (depth == 0 && (c == ',' || c == ';'))
      parts.emplace_back();
    else
      parts.back() += c;
  }
  for (std::string& part : parts) part = bare(part);
  return parts;
}

bool same_number(const WrittenNumber& answer, const WrittenNumber& gold, double tolerance) {
  if (close(answer.value, gold.value, tolerance)) return true;
  if (answer.percent == gold.percent) return false;
  const Number hundred = Number::decimal("100");
  return close(answer.percent ? answer.value / hundred : answer.value,
               gold.percent ? gold.value / hundred : gold.value, tolerance);
}

std::optional<WrittenNumber> number_of(const std::string& text) {
  if (auto number = read_number(text)) return number;
  const auto no_variables = [](char) { return std::numeric_limits<double>::quiet_NaN(); };
  if (auto value = evaluate(text, no_variables)) return WrittenNumber{.value = *value};
  return std::nullopt;
}

// The number in front of words that hold none: "2\frac{1}{2} cups", "10^3 m".
std::optional<WrittenNumber> measure_in(const std::string& text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = std::string_view(text).substr(at);
    const bool word =
        rest.size() > 1 && rest[0] == ' ' && std::isalpha(static_cast<unsigned char>(rest[1])) != 0;
    if (!word && !rest.starts_with("\\text") && !rest.starts_with("\\mathrm")) continue;
    if (last_number(rest)) return std::nullopt;
    return number_of(text.substr(0, at));
  }
  return std::nullopt;
}

std::string plain_brackets(std::string text) {
  for (const char* size : {"\\left", "\\right"}) replace_all(text, size, "");
  return text;
}

bool matches(const std::string& statement, const std::string& wanted, double tolerance) {
  const std::string clean = plain_brackets(without_final_dot(statement));
  const std::string gold = plain_brackets(wanted);
  if (clean.empty()) return false;
  if (clean == gold) return true;

  if (const auto expected = number_of(gold)) {
    // "x = 5" and "12 * 3 = 36" end in the value.
    const std::string right = bare(clean.substr(clean.rfind('=') + 1));
    if (auto number = number_of(right)) return same_number(*number, *expected, tolerance);
    if (auto number = measure_in(right)) return same_number(*number, *expected, tolerance);
    if (auto number = last_number(right)) return same_number(*number, *expected, tolerance);
    if (auto number = last_number(clean)) return same_number(*number, *expected, tolerance);
    return false;
  }
  const auto expected = parts_of(gold), given = parts_of(clean);
  if (expected.size() > 1) {
    const std::string around = brackets_of(clean), due = brackets_of(gold);
    if (!around.empty() && !due.empty() && around != due) return false;
    return std::equal(
        given.begin(), given.end(), expected.begin(), expected.end(),
        [&](const std::string& a, const std::string& b) { return matches(a, b, tolerance); });
  }
  if (same_expression(clean, gold, tolerance)) return true;
  return same_expression(clean.substr(clean.rfind('=') + 1), gold.substr(gold.rfind('=') + 1),
                         tolerance);
}

// The text as it is compared by its spelling: without "$", and without spaces but those between two
// digits, which make a number of two ("1 1/2").
std::string spelling_of(const std::string& text) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::string spelling;
  bool space = false;
  for (const char c : text) {
    if (c == ' ' || c == '$') {
      space = space || c == ' ';
      continue;
    }
    if (space && !spelling.empty() && digit(spelling.back()) && digit(c)) spelling += ' ';
    space = false;
    spelling += c;
  }
  return spelling;
}

// The statement is the gold text, or ends in it with no part of a number right before.
bool matches_exactly(const std::string& statement, const std::string& gold) {
  std::string given = spelling_of(without_final_dot(statement));
  std::string wanted = spelling_of(without_final_dot(gold));
  if (given == wanted) return true;
  // "x = 5" and "6/8 = 3/4" end in the value; several equations are compared whole.
  if (std::count(wanted.begin(), wanted.end(), '=') <= 1) {
    given = given.substr(given.rfind('=') + 1);
    wanted = wanted.substr(wanted.rfind('=') + 1);
  }
  if (wanted.empty() || !given.ends_with(wanted)) return false;
  if (given.size() == wanted.size()) return true;
  const char before = given[given.size() - wanted.size() - 1];
  return !std::isdigit(static_cast<unsigned char>(before)) &&
         std::string_view("/-. ").find(before) == std::string_view::npos;
}

// gold.answers and gold.answer, each one value or a list of them.
std::vector<std::string> golds_of(const json::object& gold) {
  std::vector<std::string> golds;
  for (const char* key : {"answers", "answer"})
    for (const std::string& text : gold_texts(gold, key)) golds.push_back(bare(text));
  return golds;
}

// Whether it can be compared by value: a text with a number in it, algebra, or a list of such.
bool has_value(std::string_view text) {
  if (text.find_first_of("0123456789") != std::string_view::npos) return true;
  // Algebra may have no value at one point or another.
  for (const double point : {0.7193, 3.1731, -2.4157})
    if (evaluate(text, [point](char) { return point; })) return true;
  if (const std::size_t equals = text.find('='); equals != std::string_view::npos)
    return has_value(text.substr(equals + 1));
  const auto parts = parts_of(text);
  return parts.size() > 1 && std::all_of(parts.begin(), parts.end(), has_value);
}

class Numeric final : public Checker {
 public:
  explicit Numeric(double tolerance) : tolerance_(tolerance) {}

  Status accepts(const Task& task) const override {
    const auto golds = golds_of(task.gold);
    if (golds.empty()) return lacks_gold(task, {"answers", "answer", "exact"});
    if (std::any_of(golds.begin(), golds.end(), has_value)) return {};
    return bad_input("gold '" + golds.front() +
                     "' is neither a number nor simple algebra; the checker `answers` compares "
                     "texts");
  }

  Async<Result<Grade>> check(TrajectoryRef so_far) override {
    const auto golds = golds_of(so_far->task->gold);
    const json::object& gold = so_far->task->gold;
    Grade grade;
    if (golds.empty()) co_return grade;

    const std::string statement =
        statement_in(so_far->outcome.answer.value_or("").substr(0, 100'000));
    const json::value* exact = gold.if_contains("exact");
    const bool spelling = exact && exact->is_bool() && exact->as_bool();
    const bool right = std::any_of(golds.begin(), golds.end(), [&](const std::string& expected) {
      return spelling ? matches_exactly(statement, expected)
                      : matches(statement, expected, tolerance_);
    });
    grade.reward = right ? 1 : 0;
    grade.correct = right;
    grade.metrics = {{"found", statement.find_first_of("0123456789") != std::string::npos ? 1 : 0}};
    co_return grade;
  }

 private:
  double tolerance_;
};

REGISTER_CHECKER(
    PluginInfo{.name = "numeric",
               .summary = "the answer's number, or simple algebra, equals the gold value",
               .options = {{.name = "tolerance",
                            .type = OptionType::number,
                            .fallback = 0.0,
                            .meaning = "allowed difference, as a part of the gold value",
                            .least = 0.0,
                            .most = 1.0}}},
    [](const Options& options, const CheckerServices&) -> Result<CheckerRef> {
      return CheckerRef(std::make_shared<Numeric>(options.number("tolerance")));
    })

}  // namespace
}  // namespace proctor
