// answers — checks a short answer against gold.answers (aliases) and gold.entities.
//
// Correct: the same as any alias after normalisation, or a mention of every entity. Metrics em and
// f1 are the best over the aliases. Blind spot: a right answer in other words than the aliases'.
#include "env/answers.h"

#include <algorithm>
#include <map>

#include "env/gold.h"
#include "env/suite.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

bool is_space(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// ASCII's, as SQuAD has it, and what text processors and other scripts put in its place.
bool is_punctuation(char32_t c) {
  if (c < 128)
    return c > ' ' && c != 127 && kind_of(c) != CharacterKind::letter &&
           kind_of(c) != CharacterKind::digit;
  return c == 0xA1 || c == 0xA7 || c == 0xAB || c == 0xB4 || c == 0xB6 || c == 0xB7 || c == 0xBB ||
         c == 0xBF || (c >= 0x2010 && c <= 0x2027) || (c >= 0x2030 && c <= 0x205E) ||
         (c >= 0x3001 && c <= 0x3003) || (c >= 0x3008 && c <= 0x3011) || c == 0xFF0C || c == 0xFF0E;
}

bool is_digit_at(std::string_view text, std::size_t at) {
  return at < text.size() && text[at] >= '0' && text[at] <= '9';
}

// Words in lower case without punctuation, articles still among them.
std::vector<std::string> plain_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto [point, bytes] = decode(text, at);
    const bool decimal_point =
        point == '.' && at > 0 && is_digit_at(text, at - 1) && is_digit_at(text, at + 1);
    if (is_space(point))
      end_word();
    else if (decimal_point || !is_punctuation(point))
      append_utf8(word, lower(point));
    at += bytes;
  }
  end_word();
  return words;
}

std::vector<std::string> answer_words(std::string_view text) {
  std::vector<std::string> words = plain_words(text);
  std::erase_if(words,
                [](const auto& word) { return word == "a" || word == "an" || word == "the"; });
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string trimmed_lower(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  return lower_text(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

// The texts of a gold field: one, a list, or a list of {"name","aliases"}.
std::vector<std::vector<std::string>> alternatives(const json::object& gold,
                                                   std::string_view field) {
  std::vector<std::vector<std::string>> all;
  const json::value* given = gold.if_contains(field);
  if (!given || given->is_null()) return all;
  const json::array list = given->is_array() ? given->as_array() : json::array{*given};
  for (const json::value& entry : list) {
    if (entry.is_null()) continue;
    if (!entry.is_object()) {
      all.push_back({gold_text(entry)});
      continue;
    }
    std::vector<std::string> names;
    if (const json::value* name = entry.as_object().if_contains("name"))
      names.push_back(gold_text(*name));
    if (const json::value* aliases = entry.as_object().if_contains("aliases");
        aliases && aliases->is_array())
      for (const json::value& alias : aliases->as_array()) names.push_back(gold_text(alias));
    if (!names.empty()) all.push_back(std::move(names));
  }
  return all;
}

class Answers final : public Checker {
 public:
  Status accepts(const Task& task) const override {
    for (const char* field : {"answers", "entities"})
      for (const auto& names : alternatives(task.gold, field))
        if (std::any_of(names.begin(), names.end(),
                        [](const std::string& name) { return !trimmed_lower(name).empty(); }))
          return {};
    return lacks_gold(task, {"answers", "entities"});
  }

  Async<Result<Grade>> check(TrajectoryRef so_far) override {
    Grade grade;
    const json::object& gold = so_far->task->gold;
    const auto answers = alternatives(gold, "answers");
    const auto entities = alternatives(gold, "entities");
    if (answers.empty() && entities.empty()) co_return grade;

    const std::string given = so_far->outcome.answer.value_or("");
    bool exact = false;
    double f1 = 0;
    for (const auto& aliases : answers) {
      for (const std::string& alias : aliases) {
        exact = exact || same_answer(given, alias);
        f1 = std::max(f1, answer_f1(given, alias));
      }
    }
    const bool mentions_all =
        !entities.empty() && std::all_of(entities.begin(), entities.end(), [&](const auto& names) {
          return std::any_of(names.begin(), names.end(),
                             [&](const std::string& name) { return mentions(given, name); });
        });
    grade.correct = exact || mentions_all;
    grade.reward = *grade.correct ? 1.0 : 0.0;
    if (!answers.empty()) grade.metrics = {{"em", exact ? 1 : 0}, {"f1", f1}};
    co_return grade;
  }
};

REGISTER_CHECKER({.name = "answers", .summary = "short answers: exact match, token F1, entities"},
                 [](const Options&, const CheckerServices&) -> Result<CheckerRef> {
                   return CheckerRef(std::make_shared<Answers>());
                 })

}  // namespace

std::string normalised_answer(std::string_view text) { return joined(answer_words(text)); }

bool same_answer(std::string_view given, std::string_view gold) {
  const std::string wanted = normalised_answer(gold);
  if (wanted.empty()) return !gold.empty() && trimmed_lower(given) == trimmed_lower(gold);
  return normalised_answer(given) == wanted;
}

double answer_f1(std::string_view given, std::string_view gold) {
  const std::vector<std::string> have = answer_words(given), want = answer_words(gold);
  if (want.empty() || have.empty() || have == want) return same_answer(given, gold) ? 1 : 0;
  const auto is_verdict = [](const std::vector<std::string>& words) {
    return words.size() == 1 && (words[0] == "yes" || words[0] == "no" || words[0] == "noanswer");
  };
  if (is_verdict(have) || is_verdict(want)) return 0;
  std::map<std::string_view, int> left;
  for (const std::string& word : want) ++left[word];
  int common = 0;
  for (const std::string& word : have)
    if (left[word]-- > 0) ++common;
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(have.size());
  const double recall = static_cast<double>(common) / static_cast<double>(want.size());
  return 2 * precision * recall / (precision + recall);
}

bool mentions(std::string_view text, std::string_view entity) {
  const std::vector<std::string> wanted = answer_words(entity);
  if (wanted.empty()) return trimmed_lower(text) == trimmed_lower(entity) && !entity.empty();
  const std::vector<std::string> words = answer_words(text);
  return std::search(words.begin(), words.end(), wanted.begin(), wanted.end()) != words.end();
}

}  // namespace proctor
