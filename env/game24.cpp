// game24 — is the answer an expression of exactly the four given numbers that makes 24?
//
// Exact rational arithmetic; + - * / and parentheses, each number used once. Numbers come from
// gold.numbers, the goal from gold.target (24). Blind spot: an expression in words.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string_view>

#include "env/expression.h"
#include "env/suite.h"

namespace proctor {
namespace {

struct Rational {
  std::int64_t top = 0, bottom = 1;
};

// All three: nothing beyond 64 bits, which four small numbers never need.
std::optional<std::int64_t> times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// Nothing: division by zero.
std::optional<Rational> quotient(std::optional<std::int64_t> top,
                                 std::optional<std::int64_t> bottom) {
  if (!top || !bottom || *bottom == 0) return std::nullopt;
  // Its opposite is beyond 64 bits: neither gcd nor division may meet it.
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  if (*top == kLeast || *bottom == kLeast) return std::nullopt;
  const std::int64_t shared = std::gcd(*top, *bottom) * (*bottom < 0 ? -1 : 1);
  return Rational{*top / shared, *bottom / shared};
}

std::optional<Rational> apply(char op, Rational a, Rational b) {
  if (op == '*') return quotient(times(a.top, b.top), times(a.bottom, b.bottom));
  if (op == '/') return quotient(times(a.top, b.bottom), times(a.bottom, b.top));
  const auto left = times(a.top, b.bottom), right = times(b.top, a.bottom);
  std::int64_t top = 0;
  if (!left || !right) return std::nullopt;
  const bool over = op == '+' ? __builtin_add_overflow(*left, *right, &top)
                              : __builtin_sub_overflow(*left, *right, &top);
  if (over) return std::nullopt;
  return quotient(top, times(a.bottom, b.bottom));
}

// Recursive descent; `used` collects the numbers in order. Nothing: no such expression.
class Expression {
 public:
  explicit Expression(std::string_view text) : text_(text) {}

  std::optional<Rational> value() {
    auto whole = sum(0);
    if (!whole || peek() != '\0') return std::nullopt;
    return whole;
  }
  std::vector<std::int64_t> used;

 private:
  static constexpr int kDeepest = 64;

  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  std::optional<Rational> sum(int depth) {
    auto left = product(depth);
    while (left && (peek() == '+' || peek() == '-')) {
      const char op = text_[at_++];
      auto right = product(depth);
      left = right ? apply(op, *left, *right) : std::nullopt;
    }
    return left;
  }

  std::optional<Rational> product(int depth) {
    auto left = atom(depth);
    while (left && (peek() == '*' || peek() == '/')) {
      const char op = text_[at_++];
      auto right = atom(depth);
      left = right ? apply(op, *left, *right) : std::nullopt;
    }
    return left;
  }

  std::optional<Rational> atom(int depth) {
    if (depth > kDeepest) return std::nullopt;
    if (peek() == '(') {
      ++at_;
      auto inner = sum(depth + 1);
      if (!inner || peek() != ')') return std::nullopt;
      ++at_;
      return inner;
    }
    std::int64_t number = 0;
    const std::size_t start = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      number = number * 10 + (text_[at_] - '0');
      if (number > 1'000'000) return std::nullopt;
    }
    if (at_ == start) return std::nullopt;
    used.push_back(number);
    return Rational{number, 1};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// The expression of an answer: its last line with a digit, without what is before ":", and without
// "= 24" behind it.
std::string expression_in(std::string answer, std::int64_t target) {
  // Always a space instead, so that no two numbers grow together.
  for (const char* markup : {"$", "`", "\\boxed", "\\left", "\\right", "\r", "\\(", "\\)", "\\,"})
    replace_all(answer, markup, " ");
  for (const char* times : {"×", "·", "\\times", "\\cdot", "x", "X"})
    replace_all(answer, times, "*");
  for (const char* minus : {"−", "–"}) replace_all(answer, minus, "-");
  for (const char* divide : {"÷"}) replace_all(answer, divide, "/");
  std::replace(answer.begin(), answer.end(), '{', '(');
  std::replace(answer.begin(), answer.end(), '}', ')');
  std::replace(answer.begin(), answer.end(), '[', '(');
  std::replace(answer.begin(), answer.end(), ']', ')');
  std::string line;
  for (std::size_t start = 0; start < answer.size();) {
    const std::size_t end = std::min(answer.find('\n', start), answer.size());
    std::string candidate = answer.substr(start, end - start);
    if (candidate.find_first_of("0123456789") != std::string::npos) line = std::move(candidate);
    start = end + 1;
  }
  if (const auto colon = line.rfind(':'); colon != std::string::npos) line.erase(0, colon + 1);
  if (const auto equals = line.find('='); equals != std::string::npos) {
    Expression right(std::string_view(line).substr(equals + 1));
    auto value = right.value();
    if (value && value->bottom == 1 && value->top == target) line.resize(equals);
  }
  const std::string_view bold = "*_. ";  // of Markdown, and the full stop
  const std::size_t first = line.find_first_not_of(bold);
  if (first == std::string::npos) return "";
  return line.substr(first, line.find_last_not_of(bold) - first + 1);
}

struct Puzzle {
  std::vector<std::int64_t> numbers;  // none: the task has no gold
  std::int64_t target = 24;
};

Result<Puzzle> read_puzzle(const json::object& gold) {
  Puzzle puzzle;
  if (const json::value* list = gold.if_contains("numbers"); list && !list->is_null()) {
    const auto is_integer = [](const json::value& entry) { return entry.is_int64(); };
    const auto* entries = list->if_array();
    if (!entries || !std::all_of(entries->begin(), entries->end(), is_integer))
      return bad_input("gold.numbers: expected a list of integers");
    for (const json::value& entry : *entries) puzzle.numbers.push_back(entry.as_int64());
  }
  if (const json::value* goal = gold.if_contains("target"); goal && !goal->is_null()) {
    if (!goal->is_int64()) return bad_input("gold.target: expected an integer");
    puzzle.target = goal->as_int64();
  }
  return puzzle;
}

class Game24 final : public Checker {
 public:
  Status accepts(const Task& task) const override {
    auto puzzle = read_puzzle(task.gold);
    if (!puzzle) return std::move(puzzle).error();
    if (puzzle->numbers.empty()) return lacks_gold(task, {"numbers", "target"});
    return {};
  }

  Async<Result<Grade>> check(TrajectoryRef so_far) override {
    Grade grade;
    auto puzzle = read_puzzle(so_far->task->gold);
    if (!puzzle) co_return std::move(puzzle).error().in("task " + so_far->task->id);
    if (puzzle->numbers.empty()) co_return grade;
    std::vector<std::int64_t> numbers = std::move(puzzle->numbers);
    const std::int64_t target = puzzle->target;

    const std::string text =
        expression_in(so_far->outcome.answer.value_or("").substr(0, 10000), target);
    Expression expression(text);
    const auto value = expression.value();
    std::sort(numbers.begin(), numbers.end());
    std::sort(expression.used.begin(), expression.used.end());
    const bool uses = value && expression.used == numbers;
    const bool right = uses && value->bottom == 1 && value->top == target;
    grade.reward = right ? 1 : 0;
    grade.correct = right;
    grade.metrics = {{"parses", value ? 1 : 0}, {"uses_the_numbers", uses ? 1 : 0}};
    co_return grade;
  }
};

REGISTER_CHECKER(PluginInfo{.name = "game24",
                            .summary = "an expression of exactly the given numbers that makes 24"},
                 [](const Options&, const CheckerServices&) -> Result<CheckerRef> {
                   return CheckerRef(std::make_shared<Game24>());
                 })

}  // namespace
}  // namespace proctor
