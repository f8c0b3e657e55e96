// The numbers are those of the mechanism's worked example.
#include "runtime/core/unicode.h"
#include "sandbox/sandbox.h"
#include "supervisors/grading.h"
#include "supervisors/loose_json.h"
#include "supervisors/steps.h"
#include "tests/support/supervision.h"

namespace proctor {
namespace {

// A solution whose steps are right (+1), wrong (-1) or say nothing that can be computed (0).
Record chain(const std::vector<int>& verdicts, bool correct) {
  std::string text;
  for (const int v : verdicts)
    text += v > 0 ? "so 2 + 2 = 4\n\n" : v < 0 ? "so 2 + 2 = 5\n\n" : "let us think\n\n";
  Record record("chain");
  record.say(text);
  record.edit().outcome.correct = correct;
  return record;
}

Trajectory labelled(const Record& record, const std::string& use) {
  Fixture fixture;
  Trajectory trajectory = record.get();
  auto failure = supervise(fixture.make(use), trajectory);
  EXPECT_FALSE(failure) << failure->message;
  return trajectory;
}

// u of the first step, whose recorded rest has these verdicts and one more step at its end.
double first_value(std::vector<int> rest, bool correct, const std::string& use) {
  rest.insert(rest.begin(), 1);
  rest.push_back(0);
  return values_of(labelled(chain(rest, correct), use), "rollout_value").at(0);
}

TEST(GroundedPrm, ValuesTheRecordedRestInTheFormOfTheCode) {
  const std::string use = "groundedprm:check=tool";
  EXPECT_NEAR(first_value({1, 1, -1}, true, use), .777778, 5e-7);
  EXPECT_NEAR(first_value({1, 1, 1}, false, use), .333333, 5e-7);
  EXPECT_NEAR(first_value({}, true, use), 1, 1e-12);
  EXPECT_NEAR(first_value({-1}, true, use), 0, 1e-12);
  EXPECT_NEAR(first_value({-1, 0, 1, 1}, true, use), .1875, 1e-12);
}

TEST(GroundedPrm, ValuesTheRecordedRestInTheFormOfThePaper) {
  const std::string use = "groundedprm:check=tool,fusion=paper";
  EXPECT_NEAR(first_value({1, 1, -1}, true, use), 1.363333, 5e-7);
  EXPECT_NEAR(first_value({1, 1, 1}, false, use), -.096667, 5e-7);
  EXPECT_NEAR(first_value({}, true, use), 1, 1e-12);
  EXPECT_NEAR(first_value({-1}, true, use), 0, 1e-12);
  EXPECT_NEAR(first_value({-1, 0, 1, 1}, true, use), 1.13475, 5e-7);
}

TEST(GroundedPrm, FindsTheFirstWrongStep) {
  Trajectory record = labelled(chain({1, 0, -1, 1}, false), "groundedprm:check=tool");
  expect_near(values_of(record, "tool_verdict"), {1, 0, -1, 1});
  // h = v + u/2; u of the four steps: (0 * 1 - 1/2) / 2 - 1/2, -1 - 1, -1, -1.
  expect_near(values_of(record, "rollout_value"), {-.75, -2, -1, -1});
  expect_near(values_of(record, "step"), {.625, -1, -1.5, .5});
  EXPECT_EQ(find_label(record, "step", 0, 1)->verdict, "incorrect");
  EXPECT_EQ(find_label(record, "first_error")->value, 1);
  EXPECT_EQ(find_label(record, "first_error")->verdict, "found");
  EXPECT_EQ(find_label(record, "tool_verdict", 0, 2)->evidence.at("query"), "2 + 2 = 5");
  EXPECT_EQ(find_label(record, "tool_verdict", 0, 2)->evidence.at("result"), "4 = 5");
}

TEST(GroundedPrm, JudgesByTheToolAloneWhereTheEndIsNotKnown) {
  Record record = Record("r").say("2 + 2 = 4\n\n3 * 3 = 10");
  Trajectory trajectory = labelled(record, "groundedprm:check=tool");
  expect_near(values_of(trajectory, "step"), {1, -1});
  EXPECT_TRUE(values_of(trajectory, "rollout_value").empty());
}

TEST(GroundedPrm, DoesNotKnowTheEndOfWhatAFailureOfOursEnded) {
  for (const OutcomeStatus status : {OutcomeStatus::error, OutcomeStatus::cancelled}) {
    Record record = chain({1, -1}, false).gold({"4"});
    record.edit().outcome.status = status;
    EXPECT_FALSE(correctness(record.get()));
    const Trajectory judged = labelled(record, "groundedprm:check=tool");
    EXPECT_FALSE(find_label(judged, "rollout_value"));
    expect_near(values_of(judged, "step"), {1, -1});
    const Label* whole = find_label(judged, "first_error");
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->verdict, "not_judged");
    EXPECT_FALSE(whole->value);
  }
}

TEST(GroundedPrm, MarksChainsThatNoToolCouldCheck) {
  Trajectory by_tool = labelled(chain({0, 0}, true), "groundedprm:check=tool");
  EXPECT_EQ(find_label(by_tool, "first_error")->verdict, "ungrounded");
  EXPECT_EQ(find_label(by_tool, "first_error")->value, -1);
  Trajectory unchecked = labelled(chain({1, -1}, true), "groundedprm:check=none");
  expect_near(values_of(unchecked, "tool_verdict"), {0, 0});
  EXPECT_EQ(find_label(unchecked, "first_error")->verdict, "ungrounded");
}

TEST(GroundedPrm, CallsAnEmptyStepWrong) {
  Turn turn;
  turn.assistant.steps = {{"2 + 2 = 4", " ", "done"}};
  Trajectory record = labelled(Record("r").add(turn), "groundedprm:check=tool");
  expect_near(values_of(record, "tool_verdict"), {1, -1, 0});
  EXPECT_EQ(find_label(record, "tool_verdict", 0, 1)->rationale, "empty");
}

TEST(GroundedPrm, CallsATurnWithoutAWordWrong) {
  for (const char* said : {"", " \n\n "}) {
    Trajectory record = labelled(Record("r").say(said), "groundedprm:check=tool");
    expect_near(values_of(record, "tool_verdict"), {-1});
    EXPECT_EQ(find_label(record, "tool_verdict", 0, 0)->rationale, "empty");
  }
}

TEST(GroundedPrm, TakesTurnsAsStepsOfAnAgent) {
  Trajectory record = labelled(Record("r").call("2 + 2 = 4", "q", "seen").say("3 + 3 = 7"),
                               "groundedprm:check=tool");
  ASSERT_EQ(values_of(record, "step").size(), 2u);
  EXPECT_EQ(find_label(record, "step", 1)->level, LabelLevel::turn);
  EXPECT_EQ(find_label(record, "step", 1)->value, -1);
}

TEST(GroundedPrm, HasNothingToSayOfNothing) {
  EXPECT_TRUE(labelled(Record("r"), "groundedprm:check=tool").labels.empty());
}

// Runs Python queries by a table.
class FakeSandbox final : public SandboxPool {
 public:
  std::map<std::string, Execution> answers;
  int runs = 0;
  Async<Result<Execution>> run(ExecutionRequest request) override {
    ++runs;
    for (const auto& [part, execution] : answers)
      if (request.code.find(part) != std::string::npos) co_return execution;
    co_return internal_error("no such query");
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language, Limits,
                                                              Milliseconds) override {
    co_return missing("none");
  }
  const Isolation& isolation() const override { return isolation_; }
  Limiter::Usage usage() const override { return {}; }

 private:
  Isolation isolation_;
};

Execution printed(const std::string& out, Ending ending = Ending::ok) {
  Execution execution;
  execution.ending = ending;
  execution.out = out;
  return execution;
}

struct JudgeFixture : Fixture {
  FakeSandbox sandbox;
  int queries = 0, verdicts = 0;
  std::string query = "Sure: ```json\n{'query': 'total(1)',}\n```";
  std::string verdict = "{\"reason\": \"it fits\", \"result\": True}";
  std::shared_ptr<FakeModel> model = replying([this](const std::string& prompt) {
    if (prompt.find("Write one Python expression") != std::string::npos) {
      ++queries;
      return query;
    }
    ++verdicts;
    return verdict;
  });
  JudgeFixture() {
    models.set("judge", model);
    services.sandbox = &sandbox;
    sandbox.answers["total(1)"] = printed("42\n");
  }
  Trajectory label(const Record& record, const std::string& use = "groundedprm:tries=2") {
    Trajectory trajectory = record.get();
    auto failure = supervise(make(use), trajectory);
    EXPECT_FALSE(failure) << failure->message;
    return trajectory;
  }
};

TEST(GroundedPrm, AsksTheJudgeWhereTheToolIsInconclusive) {
  JudgeFixture fixture;
  Trajectory record = fixture.label(Record("r").say("The total is forty-two.\n\n2 + 2 = 4"));
  expect_near(values_of(record, "tool_verdict"), {1, 1});
  EXPECT_EQ(fixture.queries, 1);
  EXPECT_EQ(fixture.verdicts, 1);
  const Label* label = find_label(record, "tool_verdict", 0, 0);
  EXPECT_EQ(label->rationale, "it fits");
  EXPECT_EQ(label->evidence.at("query"), "total(1)");
  EXPECT_EQ(label->evidence.at("result"), "42");
  EXPECT_EQ(label->cost.model_calls, 2);
  EXPECT_EQ(label->cost.executions, 1);
}

TEST(GroundedPrm, RunsEqualQueriesOnce) {
  JudgeFixture fixture;
  fixture.label(Record("r").say("One thing.\n\nAnother thing.\n\nA third."));
  EXPECT_EQ(fixture.queries, 3);
  EXPECT_EQ(fixture.sandbox.runs, 1);
}

TEST(GroundedPrm, StaysNeutralWhenTheToolOrTheJudgeSaysNothing) {
  const Record record = Record("r").say("The total is forty-two.");
  {
    JudgeFixture fixture;
    fixture.query = "I cannot.";
    Trajectory labelled = fixture.label(record);
    EXPECT_EQ(find_label(labelled, "tool_verdict")->rationale, "no valid query");
    EXPECT_EQ(find_label(labelled, "tool_verdict")->value, 0);
    EXPECT_EQ(fixture.queries, 2);  // every try is a fresh call
    EXPECT_EQ(fixture.verdicts, 0);
  }
  for (const auto& [ending, status] :
       {std::pair{Ending::nonzero_exit, "error"}, {Ending::wall_limit, "timeout"}}) {
    JudgeFixture fixture;
    fixture.sandbox.answers["total(1)"] = printed("", ending);
    Trajectory labelled = fixture.label(record);
    EXPECT_EQ(find_label(labelled, "tool_verdict")->rationale, "tool error");
    EXPECT_EQ(find_label(labelled, "tool_verdict")->evidence.at("status"), status);
    EXPECT_EQ(fixture.verdicts, 0);
  }
  {
    JudgeFixture fixture;
    fixture.sandbox.answers["total(1)"] = printed("-inf");
    EXPECT_EQ(find_label(fixture.label(record), "tool_verdict")->value, 0);
  }
  for (const std::string said : {"who knows", "I was told to print result: true but I cannot tell",
                                 "<think>it prints {\"result\": true}"}) {
    JudgeFixture fixture;
    fixture.verdict = said;
    Trajectory labelled = fixture.label(record);
    EXPECT_EQ(find_label(labelled, "tool_verdict")->rationale, "unparsable");
    EXPECT_EQ(fixture.verdicts, 2);
  }
}

TEST(GroundedPrm, ShowsTheJudgeNoLaterStep) {
  JudgeFixture fixture;
  fixture.model->on_generate = [](const GenerateRequest& request) -> Result<Generation> {
    const std::string prompt = request.messages.back().text();
    EXPECT_EQ(prompt.find("third thing"), std::string::npos);
    EXPECT_NE(prompt.find("first thing"), std::string::npos);
    return Generation{.content = "no"};
  };
  Turn turn;
  turn.assistant.steps = {{"first thing", "second thing", "third thing = 3 = 3"}};
  fixture.label(Record("r").add(turn));
}

TEST(GroundedPrm, ShowsTheJudgeTheCallsAndWhatCameOfEarlierOnes) {
  JudgeFixture fixture;
  std::vector<std::string> prompts, systems;
  fixture.model->on_generate = [&](const GenerateRequest& request) -> Result<Generation> {
    systems.push_back(request.messages.front().text());
    prompts.push_back(request.messages.back().text());
    return Generation{.content =
                          request.asker.purpose == "teacher" ? "{'query': 'total(1)'}" : "no"};
  };
  fixture.label(
      Record("r").call("I look.", "first", "saw one").call("And again.", "second", "saw two"),
      "groundedprm:check=judge,tries=1,tolerance=0.25");
  const std::string& last = prompts.back();
  EXPECT_NE(last.find("called: search {\"query\":\"first\"}"), std::string::npos);
  EXPECT_NE(last.find("called: search {\"query\":\"second\"}"), std::string::npos);
  EXPECT_NE(last.find("saw one"), std::string::npos);
  EXPECT_EQ(last.find("saw two"), std::string::npos);
  EXPECT_NE(systems.back().find("at most 0.25;"), std::string::npos);
  EXPECT_NE(systems.back().find(kFenceRule), std::string::npos);
}

TEST(GroundedPrm, CutsALongAnswerOfTheToolBetweenCharacters) {
  JudgeFixture fixture;
  std::string printed_out = "x";
  for (int i = 0; i < 1500; ++i) printed_out += "é";
  fixture.sandbox.answers["total(1)"] = printed(printed_out);
  const Trajectory labelled = fixture.label(Record("r").say("The total is forty-two."));
  const Label* label = find_label(labelled, "tool_verdict");
  ASSERT_TRUE(label);
  const std::string result(label->evidence.at("result").as_string());
  EXPECT_TRUE(is_utf8(result));
  EXPECT_TRUE(result.starts_with("xé"));
  EXPECT_TRUE(result.ends_with("é\n[cut: 1002 more characters]")) << result;
  EXPECT_EQ(fixture.verdicts, 1);
}

TEST(GroundedPrm, ShowsTheJudgeTheEndOfLongTurns) {
  JudgeFixture fixture;
  std::size_t longest = 0;
  fixture.model->on_generate = [&](const GenerateRequest& request) -> Result<Generation> {
    const std::string prompt = request.messages.back().text();
    longest = std::max(longest, prompt.size());
    EXPECT_EQ(prompt.find("seen first"), std::string::npos);
    if (request.asker.turn == 1) {
      EXPECT_NE(prompt.find("seen last"), std::string::npos);
    }
    return Generation{.content = "no"};
  };
  const std::string page(50000, 'p');
  fixture.label(Record("r").call("I look.", "q", "seen first " + page + " seen last").say(page),
                "groundedprm:check=judge,tries=1,max_chars=1000");
  EXPECT_GT(longest, 2000u);
  EXPECT_LT(longest, 3000u);
}

TEST(GroundedPrm, SaysWhatIsMissing) {
  EXPECT_EQ(await(Fixture().make("groundedprm:check=judge").supervisor->prepare()).error().kind,
            ErrorKind::missing);
  EXPECT_FALSE(Fixture().try_make("groundedprm:rollouts=2"));
  EXPECT_FALSE(Fixture().try_make("groundedprm:decay=0"));
  EXPECT_FALSE(Fixture().try_make("groundedprm:tries=17"));
  EXPECT_TRUE(await(Fixture().make("groundedprm").supervisor->prepare()));
}

TEST(LooseJson, ForgivesWhatModelsDo) {
  EXPECT_EQ(loose_object("{\"a\": 1}", "a")->at("a"), 1);
  EXPECT_EQ(loose_object("```json\n{'a': 'it\\'s', }\n```", "a")->at("a"), "it's");
  EXPECT_EQ(loose_object("x {\"a\": {\"b\": 2}} y {\"c\": 3}", "a")->at("a").at("b"), 2);
  EXPECT_EQ(loose_object("{\"a\": 1} then {\"a\": 2}", "a")->at("a"), 2);
  EXPECT_EQ(loose_object("{'a': False}", "a")->at("a"), false);
  EXPECT_FALSE(loose_object("{\"b\": 1}", "a"));
  EXPECT_FALSE(loose_object(std::string(100000, '{'), "a"));
  EXPECT_EQ(loose_bool("  TRUE "), true);
  EXPECT_FALSE(loose_bool("maybe"));
  EXPECT_EQ(bool_behind("They differ.\n**Result**: **False**", "result"), false);
  EXPECT_EQ(bool_behind("{'reason': 'it's so', 'result': True", "result"), true);
  EXPECT_FALSE(bool_behind("I was told to print result: true but I cannot tell", "result"));
  EXPECT_FALSE(bool_behind("It prints \"result\": true", "result"));
  EXPECT_FALSE(whole_object("It prints {\"a\": 1}", "a"));
  EXPECT_EQ(whole_object("```json\n{'a': 1}\n```\n", "a")->at("a"), 1);
  EXPECT_FALSE(bool_behind("result unknown", "result"));
}

TEST(Steps, AreCutAtBlankLinesElseBeforeNumberedLines) {
  EXPECT_EQ(split_text("a\nb\n \n\nc"), (std::vector<std::string>{"a\nb", "c"}));
  EXPECT_EQ(split_text("Plan\nStep 1: x\nmore\nStep 2: y"),
            (std::vector<std::string>{"Plan", "Step 1: x\nmore", "Step 2: y"}));
  EXPECT_EQ(split_text("1. x\n2. y\n3.5 litres"),
            (std::vector<std::string>{"1. x", "2. y\n3.5 litres"}));
  EXPECT_TRUE(split_text(" \n\n ").empty());
}

TEST(Grading, ReadsAnswersAsTheyAreWritten) {
  EXPECT_EQ(answer_in("so \\boxed{\\frac{1}{2}} and \\boxed{7}"), "7");
  EXPECT_EQ(answer_in("<answer> x </answer> the answer is y"), "x");
  EXPECT_EQ(answer_in("The answer is: 12.\nbye"), "12");
  EXPECT_FALSE(answer_in("nothing"));
  for (const char* text :
       {"3 + 5 = 8\n\nAnswer: 8", "Final Answer: 8", "**Answer:** 8", "**Final answer: 8**",
        "so\n#### 8", "The answer is **8**.", "The answer is $8$.", "The answer is \\(8\\)",
        "3 + 5:\n8", "5\n\n**8.**\n", "The answer is not clear.\nAnswer: 8",
        "Answer: 7\nNo: the answer is 8.", "Like this:\n```\n8\n```"})
    EXPECT_EQ(answer_in(text), "8") << text;
  EXPECT_EQ(answer_in("the answer is 1,000 m."), "1,000 m");
  EXPECT_EQ(answer_in("the answer is __init__"), "__init__");
  EXPECT_EQ(answer_in("the answer is $2$ and $3$."), "$2$ and $3$");
  EXPECT_EQ(answer_in("Answer: Paris\nas every child knows"), "Paris\nas every child knows");
  EXPECT_EQ(answer_in("\\boxed{7} and \\boxed{8"), "7");
  EXPECT_FALSE(answer_in("# Heading\nno number 8"));
  EXPECT_TRUE(same_answer("1,000", "1000.0"));
  EXPECT_TRUE(same_answer(" Paris ", "paris"));
  EXPECT_FALSE(same_answer("Paris, France", "Paris"));
  EXPECT_FALSE(same_answer("1,00", "100"));
}

}  // namespace
}  // namespace proctor
