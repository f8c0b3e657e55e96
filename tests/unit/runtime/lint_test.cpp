// Each claim of a sound record, and the sentence that comes when it does not hold.
#include "runtime/lint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "runtime/core/record_writer.h"
#include "runtime/database.h"
#include "runtime/opinions.h"
#include "runtime/store.h"
#include "tests/support/await.h"
#include "tests/support/scratch.h"
#include "tests/support/trajectories.h"

namespace proctor {
namespace {

// Two turns: prompt 1 2 3, sampled 4 5, prompt 6, sampled 7.
Trajectory with_tokens() {
  Trajectory whole = make_finished("t", 0, 0);
  for (int t = 0; t < 2; ++t) {
    Turn turn = *make_turn(t);
    TurnTokens tokens;
    tokens.prompt_from = t == 0 ? 0 : 5;
    tokens.prompt_ids = t == 0 ? std::vector<std::int32_t>{1, 2, 3} : std::vector<std::int32_t>{6};
    tokens.ids = t == 0 ? std::vector<std::int32_t>{4, 5} : std::vector<std::int32_t>{7};
    tokens.logprobs = std::vector<float>(tokens.ids.size(), -0.5F);
    turn.assistant.tokens = tokens;
    whole.turns.push_back(std::make_shared<const Turn>(turn));
  }
  Tokens flat;
  flat.ids = {1, 2, 3, 4, 5, 6, 7};
  flat.loss_mask = {0, 0, 0, 1, 1, 0, 1};
  flat.logprobs = {0, 0, 0, -0.5, -0.5, 0, -0.5};
  flat.turn = {-1, -1, -1, 0, 0, 0, 1};
  flat.rewards = {0, 0, 0, 0, 1, 0, 0.5};
  whole.tokens = flat;
  return whole;
}

using Change = std::function<void(Trajectory&)>;

std::string complaint(const Change& change) {
  Trajectory whole = with_tokens();
  change(whole);
  const auto complaints = complaints_of(whole);
  return complaints.empty() ? "nothing" : complaints.front();
}

void edit_turn(Trajectory& whole, std::size_t index, const std::function<void(Turn&)>& edit) {
  Turn turn = *whole.turns[index];
  edit(turn);
  whole.turns[index] = std::make_shared<const Turn>(turn);
}

TEST(Lint, FindsNothingInASoundRecord) {
  EXPECT_EQ(complaint([](Trajectory&) {}), "nothing");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens.reset(); }), "nothing");
}

TEST(Lint, CountsTheValuesOfATurnsTokens) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 1, [](Turn& turn) { turn.assistant.tokens->logprobs = {-1, -1}; });
            }),
            "turns[1].assistant.tokens.logprobs has 2 values for 1 ids");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) { turn.assistant.tokens->segments = "r"; });
            }),
            "turns[0].assistant.tokens.segments has 1 letters for 2 ids");
}

TEST(Lint, CountsTheValuesOfTheWhole) {
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->loss_mask.pop_back(); }),
            "tokens.loss_mask has 6 values for 7 ids");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->logprobs.pop_back(); }),
            "tokens.logprobs has 6 values for 7 ids");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->turn.push_back(1); }),
            "tokens.turn has 8 values for 7 ids");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->advantages = {1}; }),
            "tokens.advantages has 1 values for 7 ids");
}

TEST(Lint, WantsLogProbabilitiesOfSampledTokensOnly) {
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->logprobs[3] = 0.25; }),
            "tokens.logprobs[3] is 0.25; a log-probability is finite and at most 0");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->logprobs[0] = -1; }),
            "tokens.logprobs[0] is -1 where loss_mask is 0");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->rewards[0] = 1; }),
            "tokens.rewards[0] is 1 where loss_mask is 0");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->logprobs[6] = -0.25; }),
            "tokens.logprobs[6] is -0.25, but turns[1].assistant.tokens.logprobs[0] is -0.5");
}

TEST(Lint, WantsTheMaskExactlyOnSampledTokens) {
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->loss_mask[5] = 1; }),
            "tokens.loss_mask[5] is 1 on a token the policy did not sample");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.tokens->loss_mask[3] = 0;
              whole.tokens->logprobs[3] = 0;
            }),
            "tokens.loss_mask[3] is 0 on a token the policy sampled");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->loss_mask[3] = 2; }),
            "tokens.loss_mask[3] is 2, expected 0 or 1");
}

TEST(Lint, HoldsTheFlatIdsAgainstTheTurns) {
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->ids[4] = 99; }),
            "tokens.ids[4] is 99, but turns[0].assistant.tokens.ids[1] is 5");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->ids[5] = 99; }),
            "tokens.ids[5] is 99, but turns[1].assistant.tokens.prompt_ids[0] is 6");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 1, [](Turn& turn) { turn.assistant.tokens->prompt_from = 4; });
            }),
            "turns[1].assistant.tokens.prompt_from is 4, but 5 ids come before this turn in "
            "tokens.ids");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.turns.pop_back();
              whole.tokens->turn[6] = 0;
            }),
            "tokens.ids has 7 ids, but the turns account for 5");
}

TEST(Lint, WantsIdsOfEveryTurnBehindAFlatRecord) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              Turn bare = *whole.turns[1];
              bare.assistant.tokens.reset();
              whole.turns[1] = std::make_shared<const Turn>(std::move(bare));
            }),
            "tokens: a flat record, but turns[1] has no ids");
}

TEST(Lint, WantsTurnsToGoForward) {
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->turn[5] = -1; }),
            "tokens.turn[5] is -1 after 0: turns must not go back");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.tokens->turn[6] = 2; }),
            "tokens.turn[6] is 2, but the record has 2 turns");
  EXPECT_EQ(
      complaint([](Trajectory& whole) { edit_turn(whole, 1, [](Turn& turn) { turn.index = 3; }); }),
      "turns[1].index is 3, expected 1");
}

TEST(Lint, MatchesToolCallsAndObservations) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) { turn.observations[0].tool_call_id = "c9"; });
            }),
            "turns[0].observations[0].tool_call_id 'c9' is no tool call of this turn");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) { turn.observations.clear(); });
            }),
            "turns[0]: no observation for tool call 'c0'");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 1, [](Turn& turn) { turn.observations.clear(); });
            }),
            "nothing")
      << "the last turn may have been cut off";
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 1, [](Turn& turn) {
                turn.assistant.tool_calls.push_back(turn.assistant.tool_calls[0]);
              });
            }),
            "turns[1].assistant.tool_calls[1].id 'c1' is also that of tool_calls[0]");
}

TEST(Lint, ChecksWhatStandsBeforeTheTurns) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.observation = json::object{{"tokens_parted", {{"turn", 1}, {"token", 3}}}};
            }),
            "tokens is given, but observation.tokens_parted says that no one sequence holds them");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.prefix = std::make_shared<std::vector<Message>>(
                  std::vector<Message>{{.role = "robot", .content = "hi"}});
            }),
            "prefix[0].role is 'robot', expected system, developer, user, assistant or tool");
}

TEST(Lint, ChecksTheChosenCandidate) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) {
                turn.candidates = std::vector<Assistant>(2, turn.assistant);
                turn.chosen = 2;
              });
            }),
            "turns[0].chosen is 2, out of the 2 candidates");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) {
                turn.candidates = std::vector<Assistant>(2, turn.assistant);
                turn.candidates->at(1).content = "something else";
                turn.chosen = 1;
              });
            }),
            "turns[0].assistant is not candidates[1], which was chosen");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) {
                turn.candidates = std::vector<Assistant>(2, turn.assistant);
              });
            }),
            "turns[0].chosen is null, but there are candidates");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) {
                turn.candidates = std::vector<Assistant>(2, turn.assistant);
                turn.candidates->at(0).tokens->ids[0] += 1;
                turn.chosen = 0;
              });
            }),
            "turns[0].assistant is not candidates[0], which was chosen");
}

TEST(Lint, ChecksLabels) {
  const auto labelled = [](const std::function<void(Label&)>& edit) {
    return complaint([&edit](Trajectory& whole) {
      whole.labels.push_back(make_label("igpo", 0, 1));
      summarise_scores(whole);
      edit(whole.labels.back());
    });
  };
  EXPECT_EQ(labelled([](Label&) {}), "nothing");
  EXPECT_EQ(labelled([](Label& label) { label.turn = 2; }), "labels[0]: there is no turn 2");
  EXPECT_EQ(labelled([](Label& label) { label.turn.reset(); }), "labels[0]: it names no turn");
  EXPECT_EQ(labelled([](Label& label) { label.verdict = "no_gain"; }), "nothing")
      << "a mechanism's own word";
  EXPECT_EQ(labelled([](Label& label) { label.verdict = "may be"; }),
            "labels[0]: its verdict 'may be' is not one short word");
  EXPECT_EQ(labelled([](Label& label) { label.token = {5, 8}; }),
            "labels[0]: its token range [5, 8] is not in the 7 ids");
  EXPECT_EQ(labelled([](Label& label) { label.tool_call = 1; }),
            "labels[0]: there is no tool call 1 in turn 0");
  EXPECT_EQ(labelled([](Label& label) { label.level = LabelLevel::line; }),
            "labels[0]: it names no line");
  EXPECT_EQ(labelled([](Label& label) { label.supervisor = ""; }), "labels[0].supervisor is empty");
}

TEST(Lint, HoldsTheCountsOfUsageAgainstTheIds) {
  const auto spent = [](json::object usage) {
    return complaint([&usage](Trajectory& whole) { whole.extra["usage"] = std::move(usage); });
  };
  // Prompts of 3 and 6 ids, 2 and 1 sampled.
  EXPECT_EQ(spent({{"prompt_tokens", 9}, {"completion_tokens", 3}}), "nothing");
  EXPECT_EQ(spent({{"prompt_tokens", 20}, {"completion_tokens", 8}, {"wasted_tokens", 5}}),
            "nothing")
      << "a turn that was not recorded";
  EXPECT_EQ(spent({{"cost", 1}}), "nothing");
  EXPECT_EQ(spent({{"prompt_tokens", 8}}),
            "usage.prompt_tokens is 8, but the turns' prompts have 9 ids");
  EXPECT_EQ(spent({{"prompt_tokens", 9}, {"cached_tokens", 10}}),
            "usage.cached_tokens is 10, more than the 9 of the prompts");
  EXPECT_EQ(spent({{"completion_tokens", 2}}),
            "usage.completion_tokens is 2, but the turns have 3 sampled ids");
  EXPECT_EQ(spent({{"completion_tokens", 9}, {"wasted_tokens", 5}}),
            "usage.completion_tokens is 9 (5 of them wasted), but the turns have 3 sampled ids");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.extra["usage"] = {{"completion_tokens", 2}};
              whole.tokens.reset();
              edit_turn(whole, 0, [](Turn& turn) { turn.assistant.tokens.reset(); });
            }),
            "nothing")
      << "not all ids are known";
}

TEST(Lint, SeesNegativeTimes) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 1, [](Turn& turn) { turn.timing.model_ms = -1; });
            }),
            "turns[1].timing.model_ms is -1; a time is not negative");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) { turn.timing.extra["queued_ms"] = -0.5; });
            }),
            "turns[0].timing.queued_ms is -0.5; a time is not negative");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) {
                turn.observations.resize(1);
                turn.observations[0].usage.wall_ms = -2;
              });
            }),
            "turns[0].observations[0].usage.wall_ms is -2; a time is not negative");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.extra["usage"] = {{"wall_ms", -3}}; }),
            "usage.wall_ms is -3; a time is not negative");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.labels = {make_label("judge", 0, 1)};
              whole.labels[0].cost.wall_ms = -4;
              summarise_scores(whole);
            }),
            "labels[0].cost.wall_ms is -4; a time is not negative");
}

TEST(Lint, SeesWhatCannotHaveBeenSpent) {
  const auto spent = [](json::object usage) {
    return complaint([&usage](Trajectory& whole) { whole.extra["usage"] = std::move(usage); });
  };
  EXPECT_EQ(spent({{"turns", 2}, {"tool_calls", 7}}), "nothing");
  EXPECT_EQ(spent({{"turns", 7}}), "usage.turns is 7, but the record has 2 turns");
  EXPECT_EQ(spent({{"cost", -1}}), "usage.cost is -1; what was spent is not negative");
  EXPECT_EQ(spent({{"completion_tokens", 3}, {"wasted_tokens", -1}}),
            "usage.wasted_tokens is -1; what was spent is not negative");
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.labels = {make_label("judge", 0, 1)};
              whole.labels[0].cost.model_calls = -1;
              summarise_scores(whole);
            }),
            "labels[0].cost.model_calls is -1; what was spent is not negative");
}

TEST(Lint, SeesAnObservationOfAnotherTool) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              edit_turn(whole, 0, [](Turn& turn) {
                turn.assistant.tool_calls = {{.id = "c", .name = "python", .arguments = {}}};
                turn.observations.resize(1);
                turn.observations[0].tool_call_id = "c";
                turn.observations[0].name = "search";
              });
            }),
            "turns[0].observations[0].name is 'search', but the call was of 'python'");
}

TEST(Lint, SeesAnAnswerThatIsNone) {
  EXPECT_EQ(complaint([](Trajectory& whole) {
              whole.outcome = {};
              whole.outcome.status = OutcomeStatus::answered;
            }),
            "outcome.status is 'answered', but outcome.answer is null");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.outcome.error = "gone"; }),
            "outcome.status is 'answered', but outcome.error is 'gone'");
}

TEST(Lint, SeesAGroupOfTwoTasks) {
  Linter linter;
  Trajectory whole = make_finished("t", 0, 0);
  EXPECT_TRUE(linter.check("a", json_text(to_json(whole))).empty());
  whole.id = "u";
  const std::string first = std::exchange(whole.task_id, "other");
  whole.task.reset();
  const auto complaints = linter.check("b", json_text(to_json(whole)));
  ASSERT_EQ(complaints.size(), 1U);
  EXPECT_EQ(complaints[0].what,
            "group_id '" + whole.group_id + "' is also that of task '" + first + "'");
}

TEST(Lint, SeesTwoRecordsOfOneSample) {
  const auto complaint_of_second = [](const Change& change) -> std::string {
    Linter linter;
    Trajectory whole = make_finished("t", 0, 0);
    EXPECT_TRUE(linter.check("a", json_text(to_json(whole))).empty());
    whole.id = "u";
    change(whole);
    const auto complaints = linter.check("b", json_text(to_json(whole)));
    return complaints.empty() ? "nothing" : complaints[0].text();
  };
  EXPECT_EQ(complaint_of_second([](Trajectory&) {}),
            "b: u: sample 0 of task 't' is also that of a");
  EXPECT_EQ(complaint_of_second([](Trajectory& whole) { whole.sample = 1; }), "nothing");
  EXPECT_EQ(complaint_of_second([](Trajectory& whole) { whole.run_id = "s"; }), "nothing");
  EXPECT_EQ(complaint_of_second([](Trajectory& whole) { whole.parent = Parent{"r-t-0", 0}; }),
            "nothing")
      << "a branch";
}

TEST(Lint, TakesConversationsOfNoRunForNoSamples) {
  Linter linter;
  for (const char* id : {"u", "v"}) {
    Trajectory whole = make_finished("t", 0, 0);
    whole.run_id = "";
    whole.id = id;
    EXPECT_TRUE(linter.check(id, json_text(to_json(whole))).empty());
  }
}

TEST(Lint, HoldsScoresAgainstTheLabels) {
  const auto scored = [](const std::function<void(Turn&)>& edit) {
    return complaint([&edit](Trajectory& whole) {
      whole.labels = {make_label("igpo", 1, 0.5)};
      for (const double value : {0.25, 0.5}) {
        Label step = make_label("grounded", 1, value);
        step.level = LabelLevel::step;
        step.step = 0;
        whole.labels.push_back(step);
      }
      summarise_scores(whole);
      edit_turn(whole, 1, edit);
    });
  };
  EXPECT_EQ(scored([](Turn&) {}), "nothing");
  EXPECT_EQ(scored([](Turn& turn) { turn.scores["igpo.score"] = 0.75; }),
            "turns[1].scores has 'igpo.score' = 0.75, but by the turn's labels it is 0.5");
  EXPECT_EQ(scored([](Turn& turn) { turn.scores["grounded.score"] = 0.5; }),
            "turns[1].scores has 'grounded.score' = 0.5, but by the turn's labels it is 0.375");
  EXPECT_EQ(scored([](Turn& turn) { turn.scores["igpo.score"] = std::nan(""); }),
            "turns[1].scores has 'igpo.score' = nan, but by the turn's labels it is 0.5");
  EXPECT_EQ(scored([](Turn& turn) { turn.scores["igpo.gain"] = 1; }),
            "turns[1].scores has 'igpo.gain', which no label of that turn gives");
  EXPECT_EQ(scored([](Turn& turn) { turn.scores["igpo.gain"] = std::nan(""); }), "nothing")
      << "null is no score";
  EXPECT_EQ(scored([](Turn& turn) { turn.scores.erase("igpo.score"); }),
            "turns[1].scores has no 'igpo.score', but by the turn's labels it is 0.5");
}

TEST(Lint, HoldsTheRewardAgainstTheRestOfTheOutcome) {
  const auto with = [](const std::function<void(Outcome&)>& edit) {
    return complaint([&edit](Trajectory& whole) { edit(whole.outcome); });
  };
  EXPECT_EQ(with([](Outcome& outcome) { outcome.correct = false; }),
            "outcome.correct is false, but outcome.reward is 1");
  EXPECT_EQ(with([](Outcome& outcome) { outcome.reward = 0; }),
            "outcome.correct is true, but outcome.reward is 0");
  EXPECT_EQ(with([](Outcome& outcome) { outcome.reward = 0.25; }), "nothing") << "shaped";
  EXPECT_EQ(with([](Outcome& outcome) { outcome.correct.reset(); }), "nothing");
  EXPECT_EQ(with([](Outcome& outcome) { outcome.status = OutcomeStatus::error; }),
            "outcome.reward is given, but outcome.status is 'error', which nobody grades");
  EXPECT_EQ(with([](Outcome& outcome) { outcome.metrics["checker_error"] = "gone"; }),
            "outcome.reward is given beside outcome.metrics.checker_error");
}

TEST(Lint, ChecksParents) {
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.parent = Parent{"r-t-1", 3}; }),
            "parent.turns is 3, but the record has 2 turns");
  EXPECT_EQ(complaint([](Trajectory& whole) { whole.parent = Parent{whole.id, 1}; }),
            "parent.trajectory_id is the record's own");
}

TEST(Lint, CollectsAsManyComplaintsAsAskedFor) {
  Trajectory whole = with_tokens();
  for (float& logprob : whole.tokens->logprobs) logprob = -1;
  EXPECT_EQ(complaints_of(whole, 1).size(), 1u);
  EXPECT_GE(complaints_of(whole, 20).size(), 3u);
}

// --- over a whole source ---

std::string first_complaint(const std::string& path) {
  std::string first = "nothing";
  auto report = lint(path, 1, [&first](const Complaint& what) {
    first = what.text();
    return false;
  });
  return report ? first : report.error().message;
}

void write_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::ofstream file(path);
  for (const auto& line : lines) file << line << "\n";
}

TEST(LintSource, NamesFileLineAndRecord) {
  Scratch scratch;
  const std::string path = scratch.path("t.jsonl");
  Trajectory bad = with_tokens();
  bad.id = "second";
  edit_turn(bad, 1, [](Turn& turn) { turn.assistant.tokens->logprobs = {-1, -1}; });
  const std::string good = json::serialize(to_json(with_tokens()));
  write_lines(path, {good, json::serialize(to_json(bad))});
  EXPECT_EQ(first_complaint(path),
            path + ":2: second: turns[1].assistant.tokens.logprobs has 2 values for 1 ids");
  write_lines(path, {good, good});
  EXPECT_EQ(first_complaint(path), path + ":2: r-t-0: id is also that of " + path + ":1");
  write_lines(path, {good, "{\"id\": \"x\""});
  EXPECT_EQ(first_complaint(path).find(path + ":2: invalid JSON"), 0u) << first_complaint(path);
  write_lines(path, {"{\"schema\":\"proctor.trajectory/9\",\"id\":\"x\"}"});
  EXPECT_EQ(first_complaint(path),
            path + ":1: x: schema is \"proctor.trajectory/9\", expected \"proctor.trajectory/1\"");
}

TEST(LintSource, NamesAFieldOfTheWrongType) {
  Scratch scratch;
  const std::string path = scratch.path("t.jsonl");
  json::object record = to_json(with_tokens());
  record["turns"].as_array()[1].as_object()["assistant"].as_object()["content"] = 7;
  write_lines(path, {json::serialize(record)});
  EXPECT_EQ(first_complaint(path).find(path + ":1: r-t-0: turns[1].assistant.content"), 0u)
      << first_complaint(path);
}

TEST(LintSource, ChecksAStoreWithItsColumnsAndParents) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  {
    auto store = Store::create(run, json::object{});
    ASSERT_TRUE(store);
    ASSERT_TRUE(await((*store)->finish(shared(with_tokens()))));
  }
  EXPECT_EQ(first_complaint(run), "nothing");
  {
    auto database = Database::open(run + "/trajectories.db", Database::Access::write);
    ASSERT_TRUE(database->run("UPDATE trajectories SET reward = 7"));
  }
  EXPECT_EQ(first_complaint(run), run +
                                      "/trajectories.db: r-t-0: the store's column 'reward' "
                                      "differs from the record");
}

TEST(LintSource, GoesOnBehindADamagedRecord) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  {
    auto store = Store::create(run, json::object{});
    ASSERT_TRUE(store);
    Trajectory second = with_tokens();
    second.id = "r-t-1";
    second.sample = -1;
    ASSERT_TRUE(await((*store)->finish(shared(with_tokens()))));
    ASSERT_TRUE(await((*store)->finish(shared(std::move(second)))));
  }
  {
    auto database = Database::open(run + "/trajectories.db", Database::Access::write);
    ASSERT_TRUE(database->run("UPDATE records SET record = x'28b52ffd00112233' WHERE number = 1"));
  }
  std::vector<std::string> complaints;
  auto report = lint(run, 5, [&](const Complaint& complaint) {
    complaints.push_back(complaint.what);
    return true;
  });
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(complaints, (std::vector<std::string>{
                            "sample is negative",
                            run + "/trajectories.db: r-t-0: the record's bytes are damaged"}));
}

TEST(LintSource, MissesTheParentOfABranch) {
  Scratch scratch;
  const std::string run = scratch.path("run");
  Trajectory branch = with_tokens();
  branch.parent = Parent{"r-t-7", 1};
  {
    auto store = Store::create(run, json::object{});
    ASSERT_TRUE(store);
    ASSERT_TRUE(await((*store)->finish(shared(branch))));
  }
  EXPECT_EQ(first_complaint(run),
            run + "/trajectories.db: r-t-0: parent.trajectory_id 'r-t-7' is no record here");
}

}  // namespace
}  // namespace proctor
