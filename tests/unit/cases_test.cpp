// Runs tests/cases/*.case (the form is in the README there).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/core/text.h"
#include "runtime/labelling.h"
#include "supervisors/steps.h"
#include "tests/support/source_dir.h"
#include "tests/support/supervision.h"

namespace proctor {
namespace {

struct Expected {
  std::string name;  // SUPERVISOR.LABEL
  std::optional<double> value;
  std::optional<std::string> verdict;
};

// What must come out at one place; nothing is said of places without an `expect`.
struct Place {
  std::optional<int> turn;  // nothing: the trajectory
  std::vector<Expected> labels;
  int line = 0;
};

// "PART" TEXT, or TEXT for every prompt.
struct Answer {
  std::string part, text;
};

struct Case {
  std::string use;
  std::vector<Answer> replies, scores;
  Record record{"case"};
  std::vector<std::string> gold;
  std::vector<Place> places;
  int turns = 0;
};

[[noreturn]] void wrong(int line, const std::string& what) {
  throw std::runtime_error("line " + std::to_string(line) + ": " + what);
}

std::string unescaped(std::string_view text) {
  std::string out(trimmed(text));
  for (std::size_t at = out.find("\\n"); at != std::string::npos; at = out.find("\\n", at))
    out.replace(at, 2, "\n");
  return out;
}

std::string take_word(std::string_view& text) {
  text = trimmed(text);
  const std::size_t end = std::min(text.find(' '), text.size());
  std::string word(text.substr(0, end));
  text = trimmed(text.substr(end));
  return word;
}

Answer read_answer(std::string_view text) {
  text = trimmed(text);
  if (!text.starts_with('"')) return {"", unescaped(text)};
  const std::size_t end = text.find('"', 1);
  return {std::string(text.substr(1, end - 1)), unescaped(text.substr(end + 1))};
}

std::vector<Expected> read_expected(std::string_view text, int line) {
  std::vector<Expected> labels;
  if (trimmed(text) == "no label") return labels;
  while (!trimmed(text).empty()) {
    Expected label;
    label.name = take_word(text);
    const std::string value = take_word(text);
    if (label.name.find('.') == std::string::npos || value.empty())
      wrong(line, "expected SUPERVISOR.LABEL VALUE");
    if (value != "null") label.value = std::stod(value);
    if (text.starts_with('(')) {
      const std::size_t end = text.find(')');
      label.verdict = std::string(text.substr(1, end - 1));
      text = trimmed(text.substr(end + 1));
    }
    labels.push_back(std::move(label));
    if (!text.empty() && take_word(text) != "and") wrong(line, "expected `and`");
  }
  return labels;
}

void read_turn_line(Case& made, std::string_view rest, int line) {
  const std::size_t expect = rest.rfind(" expect ");
  if (expect != std::string_view::npos) {
    made.places.push_back({made.turns, read_expected(rest.substr(expect + 8), line), line});
    rest = rest.substr(0, expect);
  }
  const std::string kind = take_word(rest);
  ++made.turns;
  if (kind == "say") {
    made.record.say(unescaped(rest));
    return;
  }
  const std::size_t reply = rest.find(" reply ");
  if (kind != "call" || reply == std::string_view::npos)
    wrong(line, "expected `turn say TEXT` or `turn call TOOL {JSON} reply TEXT`");
  std::string_view call = rest.substr(0, reply);
  Turn turn{.index = made.turns - 1};
  ToolCall tool{.id = "c0", .name = take_word(call)};
  const auto arguments = parse_json(call);
  if (!arguments || !arguments->is_object()) wrong(line, "the arguments are no JSON object");
  tool.arguments = arguments->get_object();
  Observation seen;
  seen.tool_call_id = "c0";
  seen.name = tool.name;
  seen.content = unescaped(rest.substr(reply + 7));
  turn.assistant.tool_calls.push_back(std::move(tool));
  turn.observations.push_back(std::move(seen));
  made.record.add(std::move(turn));
}

Case read_case(const std::string& path) {
  Case made;
  std::ifstream file(path);
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    std::string_view rest = trimmed(text);
    if (rest.empty() || rest.starts_with('#')) continue;
    const std::string word = take_word(rest);
    if (word == "supervise") {
      made.use = take_word(rest);
      for (char between = ':'; !rest.empty(); between = ',') made.use += between + take_word(rest);
    } else if (word == "judge") {
      made.replies.push_back(read_answer(rest));
    } else if (word == "score") {
      made.scores.push_back(read_answer(rest));
    } else if (word == "gold") {
      made.gold.push_back(unescaped(rest));
      made.record.gold(made.gold);
    } else if (word == "task") {
      made.record.ask(unescaped(rest));
    } else if (word == "answer") {
      made.record.answer(unescaped(rest));
    } else if (word == "turn") {
      read_turn_line(made, rest, line);
    } else if (word == "expect") {
      made.places.push_back({std::nullopt, read_expected(rest, line), line});
    } else {
      wrong(line, "unknown word '" + word + "'");
    }
  }
  if (made.use.empty() || made.places.empty()) wrong(1, "nothing is supervised or expected");
  return made;
}

const Answer* first_match(const std::vector<Answer>& answers, const std::string& prompt) {
  for (const Answer& answer : answers)
    if (prompt.find(answer.part) != std::string::npos) return &answer;
  return nullptr;
}

std::shared_ptr<FakeModel> model_of(const Case& made) {
  auto model = replying([&made](const std::string& prompt) {
    const Answer* answer = first_match(made.replies, prompt);
    return answer ? answer->text : std::string();
  });
  model->on_score = [&made](const ScoreRequest& request) -> Result<Score> {
    const std::string last = request.messages.empty() ? "" : request.messages.back().text();
    const Answer* answer = first_match(made.scores, last);
    if (!answer) return internal_error("no score for this prompt");
    Score score;
    std::istringstream numbers(answer->text);
    for (double number = 0; numbers >> number;) score.logprobs.push_back(number);
    return score;
  };
  return model;
}

// The labels that stand at this place, in order of their names' occurrence.
std::vector<const Label*> labels_at(const Trajectory& labelled, const Place& place) {
  std::vector<const Label*> labels;
  for (const Label& label : labelled.labels)
    if (label.turn == place.turn) labels.push_back(&label);
  return labels;
}

void check(const Trajectory& labelled, const Place& place) {
  SCOPED_TRACE("line " + std::to_string(place.line));
  const auto labels = labels_at(labelled, place);
  if (place.labels.empty()) {
    EXPECT_TRUE(labels.empty()) << json::serialize(to_json(*labels[0]));
    return;
  }
  std::map<std::string, std::size_t> taken;
  for (const Expected& expected : place.labels) {
    std::vector<const Label*> same;
    for (const Label* label : labels)
      if (label->supervisor + "." + label->name == expected.name) same.push_back(label);
    const std::size_t index = taken[expected.name]++;
    ASSERT_LT(index, same.size()) << "there is no such label: " << expected.name;
    EXPECT_EQ(same[index]->value.has_value(), expected.value.has_value()) << expected.name;
    EXPECT_NEAR(same[index]->value.value_or(0), expected.value.value_or(0), 5e-7) << expected.name;
    if (expected.verdict) {
      EXPECT_EQ(same[index]->verdict, expected.verdict) << expected.name;
    }
  }
}

std::vector<std::string> case_files() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(source_dir()) + "/tests/cases"))
    if (entry.path().extension() == ".case") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Cases : public testing::TestWithParam<std::string> {};

TEST_P(Cases, ComeOutAsWritten) {
  const Case made = read_case(std::string(source_dir()) + "/tests/cases/" + GetParam() + ".case");
  Fixture fixture;
  auto model = model_of(made);
  fixture.models.set("policy", model);
  if (!made.replies.empty()) fixture.models.set("judge", model);
  fixture.models.set("scorer", model);
  auto labeller = Labeller::make({fixture.make(made.use)}, Milliseconds(5000));
  ASSERT_TRUE(labeller);
  const auto labelled = await(labeller->label({made.record.get()}));
  for (const auto& failure : labelled.failures) ADD_FAILURE() << failure.error.message;
  for (const Place& place : made.places) check(labelled.members[0], place);
}

INSTANTIATE_TEST_SUITE_P(Text, Cases, testing::ValuesIn(case_files()),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace proctor
