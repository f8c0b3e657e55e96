// Hyphens that take nothing away: ranges ("Chapters 5-7 = 3", "9-5 = 8 hours") and dates.
//
// Known by their shape, by a word before them for what has numbers, or by the unit of what they are
// said to span. Blind spot: a hyphen within any other name or number ("737-800", "555-1234").
#include <array>
#include <charconv>

#include "supervisors/arithmetic_parts.h"

namespace proctor::arithmetic {
namespace {

constexpr std::string_view kNumbered[] = {
    "age",     "article",  "between", "block",    "book",   "case",      "chapter",  "column",
    "day",     "episode",  "example", "exercise", "figure", "floor",     "frame",    "from",
    "game",    "gate",     "grade",   "group",    "hour",   "house",     "hr",       "issue",
    "item",    "lane",     "lesson",  "level",    "line",   "lot",       "minute",   "month",
    "number",  "page",     "panel",   "part",     "period", "phase",     "player",   "position",
    "problem", "question", "room",    "round",    "row",    "scene",     "score",    "season",
    "seat",    "section",  "session", "slide",    "slot",   "stage",     "station",  "step",
    "stop",    "table",    "task",    "test",     "ticket", "track",     "trial",    "unit",
    "verse",   "version",  "volume",  "week",     "year",   "january",   "february", "march",
    "april",   "may",      "june",    "july",     "august", "september", "october",  "november",
    "december"};
// The same, before a full stop as well.
constexpr std::string_view kShortened[] = {
    "ch",  "chap", "fig", "figs", "no",  "nos", "pp",  "sec",  "vol", "vols", "jan",
    "feb", "mar",  "apr", "jun",  "jul", "aug", "sep", "sept", "oct", "nov",  "dec"};

bool is_numbered(std::string word) {
  if (word.ends_with('s')) word.pop_back();
  return is_one_of(word, kNumbered);
}

// The whole numbers of "5-7" or "2024-05-01" from `i` on, as they are written.
std::vector<std::string_view> numbers_at(const Tokens& tokens, std::size_t i, std::size_t past,
                                         char32_t joint) {
  std::vector<std::string_view> numbers;
  for (; i < past && tokens[i].kind == Kind::number; i += 2) {
    const std::string_view number = tokens.text(i, i + 1);
    if (number.size() > 6 || number.find_first_not_of("0123456789") != std::string_view::npos)
      break;
    if (!numbers.empty() && tokens[i].blank_before) break;
    numbers.push_back(number);
    if (i + 1 >= past || tokens.character(i + 1) != joint || tokens[i + 1].blank_before) break;
  }
  return numbers;
}

int value_of(std::string_view digits) {
  int value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

bool is_year(std::string_view digits) {
  return digits.size() == 4 && digits >= "1000" && digits < "2200";
}

// "2024-05-01", "25-12-2024", "05/01"; but 2000/10/20 is 10.
bool is_date(const std::vector<std::string_view>& numbers, char32_t joint) {
  const auto is_padded = [](std::string_view digits) {
    return digits.size() > 1 && digits[0] == '0';
  };
  const auto is_up_to = [](std::string_view digits, int most) {
    return digits.size() <= 2 && value_of(digits) >= 1 && value_of(digits) <= most;
  };
  if (numbers.size() < 2 || numbers.size() > 3) return false;
  if (std::ranges::any_of(numbers, is_padded)) return true;
  if (numbers.size() == 2) return false;
  const auto first = numbers[0], second = numbers[1], third = numbers[2];
  if (is_year(third)) return is_up_to(first, 31) && is_up_to(second, 31);
  return joint == '-' && is_year(first) && second.size() == 2 && is_up_to(second, 12) &&
         third.size() == 2 && is_up_to(third, 31);
}

Side without_parentheses(const Tokens& tokens, Side side) {
  while (side.past - side.first > 2 && tokens[side.first].kind == Kind::open &&
         tokens[side.past - 1].kind == Kind::close) {
    ++side.first;
    --side.past;
  }
  return side;
}

// The numbers of a side that consists of nothing else.
std::vector<std::string_view> numbers_of(const Tokens& tokens, const Side& side, char32_t joint) {
  const Side inner = without_parentheses(tokens, side);
  auto numbers = numbers_at(tokens, inner.first, inner.past, joint);
  if (2 * numbers.size() - 1 != inner.past - inner.first) numbers.clear();
  return numbers;
}

bool has_shape_of_range(const Tokens& tokens, const Side& side) {
  const auto numbers = numbers_of(tokens, side, '-');
  const bool years =
      numbers.size() == 2 && is_year(numbers[0]) && is_year(numbers[1]) && numbers[0] < numbers[1];
  return years || is_date(numbers, '-') || is_date(numbers_of(tokens, side, '/'), '/');
}

// "Chapters 5-7", "pp. 5-7", "pages 1, 5-7".
bool stands_behind_numbered(const Tokens& tokens, std::size_t i) {
  if (i == 0 || tokens[i].line_before) return false;
  --i;
  if (tokens.is_word(i))
    return is_numbered(tokens.word(i)) || is_one_of(tokens.word(i), kShortened);
  if (tokens.character(i) == '.' && !tokens[i].blank_before)
    return i > 0 && tokens.is_word(i - 1) && is_one_of(tokens.word(i - 1), kShortened);
  if (tokens.character(i) != ',') return false;
  const auto goes_on = [&](std::size_t at) {
    return tokens[at].kind == Kind::number || tokens[at].is_sign('-') ||
           tokens.character(at) == ',';
  };
  while (i > 0 && goes_on(i) && !tokens[i].line_before) --i;
  return tokens.is_word(i) && tokens.word(i).ends_with('s') && is_numbered(tokens.word(i));
}

bool is_named_range(const Tokens& tokens, const Side& side) {
  std::size_t at = side.first;
  while (at < side.past && tokens[at].kind == Kind::open) ++at;
  const auto numbers = numbers_at(tokens, at, side.past, '-');
  return numbers.size() == 2 && value_of(numbers[0]) < value_of(numbers[1]) &&
         stands_behind_numbered(tokens, side.first);
}

// "5-7 = 3 days", "1914-18 = 4 years", "9-5 = 8 hours": with both ends counted, or only one.
bool is_span(const Tokens& tokens, const Side& left, const Side& right) {
  if (!may_be_unit(tokens, right.past) || !is_numbered(tokens.word(right.past))) return false;
  const auto numbers = numbers_of(tokens, left, '-');
  if (numbers.size() != 2 || !right.value) return false;
  const int from = value_of(numbers[0]), to = value_of(numbers[1]);
  const auto is_said = [&](int span) { return span > 0 && *right.value == span; };
  if (is_said(to - from) || (to > from && is_said(to - from + 1))) return true;
  if (is_year(numbers[0]) && numbers[1].size() == 2)
    return is_said(to - from % 100) || is_said(to - from % 100 + 1);
  const std::string unit = tokens.word(right.past);
  if (!unit.starts_with("hour") && !unit.starts_with("hr")) return false;
  return std::ranges::any_of(std::array{12, 24}, [&](int clock) {
    return from <= clock && to <= clock && is_said(to - from + clock);
  });
}

}  // namespace

bool is_range(const Tokens& tokens, const Side& left, const Side& right) {
  return has_shape_of_range(tokens, left) || has_shape_of_range(tokens, right) ||
         is_named_range(tokens, left) || is_span(tokens, left, right);
}

}  // namespace proctor::arithmetic
