// Grading by the answer alone. Blind spot: units, fractions and algebra ("1/2" is not 0.5 here).
#include "supervisors/grading.h"

#include <charconv>
#include <cmath>
#include <set>

#include "env/gold.h"
#include "policies/answer.h"
#include "runtime/core/text.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

std::optional<std::string> tagged(const std::string& text) {
  const std::size_t open = text.rfind("<answer>");
  if (open == std::string::npos) return std::nullopt;
  const std::size_t from = open + 8;
  const std::size_t close = text.find("</answer>", from);
  return text.substr(from, close == std::string::npos ? close : close - from);
}

// A decimal number, thousands commas allowed, all of the text; finite.
std::optional<double> as_number(std::string_view text) {
  std::string digits;
  std::size_t integer_digits = 0;
  bool comma = false, fraction = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ',') {
      // Groups of three behind it, one to three digits before it.
      if (fraction || integer_digits == 0 || integer_digits > 3) return std::nullopt;
      if (comma && integer_digits != 3) return std::nullopt;
      comma = true;
      integer_digits = 0;
      continue;
    }
    if (c >= '0' && c <= '9' && !fraction) ++integer_digits;
    if (c == '.' || c == 'e' || c == 'E') {
      if (comma && !fraction && integer_digits != 3) return std::nullopt;
      fraction = true;
    }
    digits += c;
  }
  if (comma && !fraction && integer_digits != 3) return std::nullopt;
  const char* first = digits.data() + (digits.starts_with('+') ? 1 : 0);
  const char* last = digits.data() + digits.size();
  double number = 0;
  const auto [end, code] = std::from_chars(first, last, number);
  if (code != std::errc() || end != last || first == last || !std::isfinite(number))
    return std::nullopt;
  return number;
}

// "**8**.", "$8$", "`8`" mean 8.
std::string_view undecorated(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> kAround[] = {
      {"**", "**"}, {"*", "*"}, {"$", "$"}, {"`", "`"}, {"\\(", "\\)"}};
  text = trimmed(text);
  if (text.ends_with('.')) text = trimmed(text.substr(0, text.size() - 1));
  for (const auto& [open, close] : kAround) {
    if (text.size() <= open.size() + close.size()) continue;
    if (!text.starts_with(open) || !text.ends_with(close)) continue;
    const std::string_view inside =
        text.substr(open.size(), text.size() - open.size() - close.size());
    if (inside.find(open) == std::string_view::npos) return undecorated(inside);
  }
  return text;
}

std::optional<StatedAnswer> behind_answer_is(const std::string& text) {
  const std::string lower = lower_ascii(text);
  const std::size_t at = lower.rfind("answer is");
  if (at == std::string::npos) return std::nullopt;
  const std::size_t from = at + 9;
  std::string_view rest =
      trimmed(std::string_view(text).substr(from, text.find('\n', from) - from));
  if (rest.starts_with(':')) rest.remove_prefix(1);
  return StatedAnswer{from, std::string(undecorated(rest))};
}

// A last line that is marked, or a number: "#### 8", "$8$".
std::optional<StatedAnswer> last_line(const std::string& text) {
  const std::string_view all = trimmed(text);
  const std::size_t from = all.rfind('\n') + 1;  // 0 behind npos
  std::string_view line = trimmed(all.substr(from));
  const bool marked = line.starts_with("#### ");
  line = undecorated(marked ? line.substr(5) : line);
  if (!marked && !as_number(line)) return std::nullopt;
  return StatedAnswer{static_cast<std::size_t>(line.data() - text.data()), std::string(line)};
}

// Words for set_f1, in lower case.
std::set<std::u32string> words_of(const std::string& text) {
  std::set<std::u32string> words;
  std::u32string word;
  const auto close = [&] {
    if (!word.empty()) words.insert(std::exchange(word, {}));
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, bytes] = decode(text, at);
    at += bytes;
    const bool ascii_mark =
        code < 128 && !(code >= '0' && code <= '9') && !((code | 32) >= 'a' && (code | 32) <= 'z');
    const bool other_mark =
        (code >= 0x2010 && code <= 0x205E) || (code >= 0x3000 && code <= 0x3003) ||
        (code >= 0x3008 && code <= 0x3011) || code == 0xA0 || code == 0xAB || code == 0xBB;
    if (ascii_mark || other_mark)
      close();
    else
      word += lower(code);
  }
  close();
  return words;
}

}  // namespace

double set_f1(const std::string& answer, const std::string& gold) {
  const auto said = words_of(answer), right = words_of(gold);
  std::size_t common = 0;
  for (const auto& word : said) common += right.count(word);
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(said.size());
  const double recall = static_cast<double>(common) / static_cast<double>(right.size());
  return 2 * precision * recall / (precision + recall);
}

std::vector<std::string> gold_answers(const Trajectory& trajectory) {
  if (!trajectory.task) return {};
  return gold_texts(trajectory.task->gold, "answers");
}

std::optional<std::string> answer_in(const std::string& text) {
  if (auto boxed = boxed_answer(text)) return boxed;
  if (auto inside = tagged(text)) return std::string(trimmed(*inside));
  std::optional<StatedAnswer> last;
  for (auto& found : {behind_answer_is(text), stated_answer(text), last_line(text)})
    if (found && (!last || found->at > last->at)) last = found;
  if (last) return std::string(undecorated(last->text));
  return fenced_answer(text);
}

bool same_answer(const std::string& a, const std::string& b) {
  const std::string_view left = trimmed(a), right = trimmed(b);
  if (lower_ascii(left) == lower_ascii(right)) return true;
  const auto x = as_number(left), y = as_number(right);
  return x && y && *x == *y;
}

bool ended_by_policy(const Outcome& outcome) {
  return outcome.status != OutcomeStatus::error && outcome.status != OutcomeStatus::cancelled;
}

std::optional<std::string> why_ungraded(const Outcome& outcome) {
  const auto* error = outcome.metrics.if_contains(kCheckerError);
  if (!error) return std::nullopt;
  return error->is_string() ? std::string(error->get_string()) : json::serialize(*error);
}

Label not_judged(const std::string& name, const Outcome& outcome) {
  Label label{.name = name, .level = LabelLevel::trajectory};
  label.verdict = "not_judged";
  label.rationale = std::string("the rollout ended in ") + to_string(outcome.status) +
                    (outcome.error ? ": " + *outcome.error : std::string());
  return label;
}

std::optional<bool> correct_by_answer(const Trajectory& trajectory) {
  if (!ended_by_policy(trajectory.outcome)) return std::nullopt;
  if (trajectory.outcome.correct) return trajectory.outcome.correct;
  const auto gold = gold_answers(trajectory);
  if (gold.empty()) return std::nullopt;
  std::optional<std::string> answer = trajectory.outcome.answer;
  if (!answer && !trajectory.turns.empty())
    answer = answer_in(trajectory.turns.back()->assistant.content);
  if (!answer) return false;
  for (const auto& right : gold)
    if (same_answer(*answer, right)) return true;
  return false;
}

std::optional<bool> correctness(const Trajectory& trajectory) {
  if (!ended_by_policy(trajectory.outcome)) return std::nullopt;
  if (trajectory.outcome.correct) return trajectory.outcome.correct;
  if (trajectory.outcome.reward) return *trajectory.outcome.reward >= 0.5;
  return correct_by_answer(trajectory);
}

}  // namespace proctor
