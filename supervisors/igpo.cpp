// igpo — pays each turn by how much it raises the model's own probability of the right answer.
//
// After Information Gain-based Policy Optimization (arXiv 2510.14967). Gain of a turn = confidence
// in the gold answer after its observations minus before; the outcome is set-F1 of the answer.
// Cost: one scoring call a turn, none of it sampled; the confidence before the first turn is asked
// once a task. Blind spot: a turn that finds the right thing in words the scorer does not expect.
#include <algorithm>
#include <array>
#include <cmath>

#include "policies/format.h"
#include "runtime/core/text.h"
#include "supervisors/grading.h"
#include "supervisors/group.h"
#include "supervisors/scorer.h"
#include "supervisors/steps.h"
#include "supervisors/supervisor.h"

namespace proctor {
namespace {

constexpr const char* kSlot = "{answer}";
constexpr const char* kCue =
    "<think>What I know by now is enough to answer the question.</think>\n"
    "<answer>{answer}</answer>";

// Several true/false claims are one: false when any of them is.
std::vector<std::string> collapsed(std::vector<std::string> gold) {
  bool any_false = false;
  for (const auto& answer : gold) {
    const std::string word = lower_ascii(trimmed(answer));
    if (word != "true" && word != "false") return gold;
    any_false |= word == "false";
  }
  if (gold.empty()) return gold;
  return {any_false ? "false" : "true"};
}

std::size_t count_of(const std::string& text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size()))
    ++count;
  return count;
}

bool tags_are_broken(const Trajectory& trajectory) {
  std::string text;
  for (const TurnRef& turn : trajectory.turns) {
    const std::string& said = turn->assistant.content;
    // A template that opens the thought leaves its end alone in what was said.
    if (said.find("</think>") < said.find("<think>")) text += "<think>";
    text += said;
  }
  const auto differ = [&](const char* name) {
    const std::string tag(name);
    return count_of(text, "<" + tag + ">") != count_of(text, "</" + tag + ">");
  };
  constexpr std::array kTags{"think", "tool_call", "code", "answer"};
  return std::any_of(kTags.begin(), kTags.end(), differ);
}

// Every turn but the last has a gain; the last one too if it made a tool call.
bool has_gain(const Trajectory& whole, std::size_t turn) {
  return turn + 1 < whole.turns.size() || !whole.turns[turn]->assistant.tool_calls.empty();
}

// What one rollout brings into its group: a reward for each turn, in order, and for a rollout that
// ended without an answer turn the outcome as one more entry behind them.
struct Entries {
  std::vector<double> rewards;
  bool outcome_behind = false;  // the last entry is no turn's
  bool answer_turn = false;     // the last entry is the answer turn's
};

class Igpo final : public Supervisor {
 public:
  Igpo(const Options& options, const SupervisorServices& services)
      : scorer_(services.models ? services.models->get("scorer") : nullptr),
        alias_(services.alias),
        gamma_(options.number("gamma")),
        separate_(options.text("norm") == "separate"),
        discount_first_(options.text("order") == "discount_first"),
        outcome_by_reward_(options.text("outcome") == "reward"),
        outcome_weight_(options.number("outcome_weight")),
        format_penalty_(options.number("format_penalty")) {
    const std::string cue = options.text("cue");
    cue_head_ = cue.substr(0, cue.find(kSlot));
  }

  bool has_on_turn() const override { return true; }
  bool has_on_finished() const override { return true; }
  bool has_on_group() const override { return true; }
  bool all_or_nothing() const override { return true; }

  Async<Result<void>> prepare() override {
    auto status = co_await scorer_.check();
    co_return status;
  }

  std::optional<std::string> lacks(const Trajectory& trajectory) const override {
    if (!gold_of(trajectory).empty()) return std::nullopt;
    return "task.gold.answers (a list with at least one answer that is not empty)";
  }

  Status accepts(const Trajectory& trajectory) const override {
    if (auto prompt = rendered_prompt(trajectory, 0); !prompt) return std::move(prompt).error();
    if (!ended_by_policy(trajectory.outcome)) return {};  // it has no part in its group
    if (outcome_by_reward_ && !trajectory.outcome.reward)
      return bad_input("igpo:outcome=reward needs outcome.reward, which is null here");
    if (discount_first_ && !trajectory.tokens)
      return bad_input("igpo:order=discount_first needs the record's tokens, which it lacks");
    return {};
  }

  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override {
    Opinion opinion;
    // A turn without a call may be the answer turn; on_finished knows.
    if (so_far->turns.back()->assistant.tool_calls.empty()) co_return opinion;
    auto labels = co_await gain_of(so_far, so_far->turns.size() - 1);
    if (!labels) co_return std::move(labels).error();
    opinion.labels = std::move(*labels);
    co_return opinion;
  }

  Async<Result<Opinion>> on_finished(TrajectoryRef whole) override {
    Opinion opinion;
    if (!ended_by_policy(whole->outcome)) {
      opinion.labels.push_back(not_judged("outcome", whole->outcome));
      co_return opinion;
    }
    auto before = co_await confidence(whole, 0);
    if (!before) co_return std::move(before).error();
    Label p0{.name = "p0", .level = LabelLevel::trajectory, .value = before->p};
    p0.evidence["tokens"] = before->tokens;
    const auto* format = whole->policy->if_contains("format");
    p0.evidence["format"] = format ? *format : json::value(nullptr);
    p0.cost = before->cost;
    opinion.labels.push_back(std::move(p0));
    for (std::size_t t = 0; t < whole->turns.size(); ++t) {
      if (!has_gain(*whole, t) || !whole->turns[t]->assistant.tool_calls.empty()) continue;
      auto labels = co_await gain_of(whole, t);
      if (!labels) co_return std::move(labels).error();
      for (Label& label : *labels) opinion.labels.push_back(std::move(label));
    }
    auto outcome = outcome_of(*whole);
    if (!outcome) co_return std::move(outcome).error();
    if (!whole->turns.empty() && !has_gain(*whole, whole->turns.size() - 1))
      opinion.labels.push_back({.name = "reward",
                                .turn = static_cast<int>(whole->turns.size()) - 1,
                                .value = outcome_weight_ * *outcome->value});
    opinion.labels.push_back(std::move(*outcome));
    co_return opinion;
  }

  Async<Result<std::vector<MemberOpinion>>> on_group(Group group) override {
    std::vector<Entries> entries;
    for (const TrajectoryRef& member : group) {
      if (member->task_id != group[0]->task_id)
        co_return bad_input("group '" + group[0]->group() + "' mixes the tasks '" +
                            group[0]->task_id + "' and '" + member->task_id + "'");
      auto read = entries_of(*member);
      if (!read) co_return std::move(read).error().in(member->id);
      entries.push_back(std::move(*read));
    }
    std::vector<MemberOpinion> opinions(group.size());
    for (std::size_t m = 0; m < group.size(); ++m)
      if (group[m]->tokens) opinions[m].token_rewards = token_rewards(*group[m], entries[m]);
    if (discount_first_) co_return by_position(group, std::move(opinions));
    by_turn(group, entries, opinions);
    co_return opinions;
  }

 private:
  std::vector<std::string> gold_of(const Trajectory& trajectory) const {
    return collapsed(gold_answers(trajectory));
  }

  Async<Result<Scorer::Confidence>> confidence(TrajectoryRef trajectory, std::size_t turns) {
    ScoreRequest request;
    // What the policy itself saw: in its format, and cut where its context was full.
    auto prompt = rendered_prompt(*trajectory, turns);
    if (!prompt) co_return std::move(prompt).error().in("trajectory " + trajectory->id);
    request.messages = std::move(prompt->messages);
    request.tools = std::move(prompt->native_tools);
    request.assistant_prefix = cue_head_;
    request.continuation = gold_of(*trajectory)[0];
    request.asker.task_id = trajectory->task_id;
    request.asker.sample = trajectory->sample;
    request.asker.turn = static_cast<int>(turns);
    request.asker.purpose = "scorer";
    auto answer = co_await scorer_.confidence(std::move(request));
    if (!answer) co_return std::move(answer).error().in("trajectory " + trajectory->id);
    co_return answer;
  }

  // Labels p, gain and reward of one turn. What came before it was asked for the turn before.
  Async<Result<std::vector<Label>>> gain_of(TrajectoryRef trajectory, std::size_t turn) {
    auto before = co_await confidence(trajectory, turn);
    if (!before) co_return std::move(before).error();
    auto after = co_await confidence(trajectory, turn + 1);
    if (!after) co_return std::move(after).error();
    const double gain = after->p - before->p;
    const int index = static_cast<int>(turn);
    std::vector<Label> labels(3);
    labels[0] = {.name = "p", .turn = index, .value = after->p};
    labels[0].evidence["tokens"] = after->tokens;
    labels[0].cost = after->cost;
    labels[1] = {.name = "gain", .turn = index, .value = gain};
    labels[1].verdict = gain > 0 ? "gain" : "no_gain";
    labels[1].evidence["p_before"] = before->p;
    labels[1].evidence["p_after"] = after->p;
    labels[2] = {.name = "reward", .turn = index, .value = gain};
    co_return labels;
  }

  Result<Label> outcome_of(const Trajectory& whole) const {
    Label label{.name = "outcome", .level = LabelLevel::trajectory};
    if (tags_are_broken(whole)) {
      label.value = format_penalty_;
      label.verdict = "broken_tags";
    } else if (!whole.outcome.answer || whole.outcome.status != OutcomeStatus::answered) {
      label.value = format_penalty_;
      label.verdict = "no_answer";
    } else {
      label.verdict = "scored";
      if (outcome_by_reward_) {
        if (!whole.outcome.reward) return bad_input("igpo:outcome=reward needs outcome.reward");
        label.value = whole.outcome.reward;
      } else {
        double best = 0;
        for (const auto& gold : gold_of(whole))
          best = std::max(best, set_f1(*whole.outcome.answer, gold));
        label.value = best;
      }
    }
    return label;
  }

  // Rewards as they stand in the member's labels; an Error when they do not fit its turns.
  Result<Entries> entries_of(const Trajectory& member) const {
    std::vector<std::optional<double>> rewards(member.turns.size());
    std::optional<double> outcome;
    for (const Label& label : member.labels) {
      if (label.supervisor != alias_) continue;
      if (label.name == "reward" && label.turn && label.value)
        rewards.at(static_cast<std::size_t>(*label.turn)) = label.value;
      if (label.name == "outcome") outcome = label.value;
    }
    if (!outcome) return internal_error("no label outcome to put into the group");
    Entries entries;
    for (std::size_t t = 0; t < rewards.size(); ++t) {
      if (!rewards[t]) return internal_error("turn " + std::to_string(t) + " has no reward");
      entries.rewards.push_back(*rewards[t]);
    }
    entries.answer_turn = !member.turns.empty() && !has_gain(member, member.turns.size() - 1);
    entries.outcome_behind = !entries.answer_turn;
    if (entries.outcome_behind) entries.rewards.push_back(outcome_weight_ * *outcome);
    return entries;
  }

  static std::vector<double> token_rewards(const Trajectory& member, const Entries& entries) {
    std::vector<double> of_turn = entries.rewards;
    double behind = 0;
    if (entries.outcome_behind) {
      behind = of_turn.back();
      of_turn.pop_back();
    }
    std::vector<double> values = on_last_sampled(*member.tokens, of_turn);
    if (const auto last = last_sampled(*member.tokens)) values[*last] += behind;
    return values;
  }

  // The paper's order: normalise over the group, then sum up behind each turn.
  void by_turn(const Group& group, const std::vector<Entries>& entries,
               std::vector<MemberOpinion>& opinions) const {
    const auto is_outcome = [&](const Entries& member, std::size_t i) {
      return i + 1 == member.rewards.size() && (member.outcome_behind || member.answer_turn);
    };
    std::vector<double> all, gains, outcomes;
    for (const Entries& member : entries)
      for (std::size_t i = 0; i < member.rewards.size(); ++i) {
        all.push_back(member.rewards[i]);
        (is_outcome(member, i) ? outcomes : gains).push_back(member.rewards[i]);
      }
    const Pool joint = Pool::of(all), of_gains = Pool::of(gains), of_outcomes = Pool::of(outcomes);
    for (std::size_t m = 0; m < group.size(); ++m) {
      const auto pool_of = [&](std::size_t i) -> const Pool& {
        return !separate_ ? joint : is_outcome(entries[m], i) ? of_outcomes : of_gains;
      };
      std::vector<double> normalised;
      for (std::size_t i = 0; i < entries[m].rewards.size(); ++i)
        normalised.push_back(pool_of(i).normalised(entries[m].rewards[i]));
      std::vector<double> advantages = discounted_sums(normalised, gamma_);
      advantages.resize(group[m]->turns.size());
      for (std::size_t t = 0; t < advantages.size(); ++t) {
        Label label{.name = "advantage", .turn = static_cast<int>(t), .value = advantages[t]};
        describe(label, separate_ ? "separate" : "joint", pool_of(t));
        opinions[m].labels.push_back(std::move(label));
      }
      if (group[m]->tokens)
        opinions[m].token_advantages = on_all_sampled(*group[m]->tokens, advantages);
    }
  }

  // The order of the released code: returns first, then the group's mean at the same position.
  Result<std::vector<MemberOpinion>> by_position(const Group& group,
                                                 std::vector<MemberOpinion> opinions) const {
    std::vector<TokenReturns> returns;
    std::vector<std::size_t> first;  // token with turn >= 0
    for (std::size_t m = 0; m < group.size(); ++m) {
      if (!group[m]->tokens) return bad_input(group[m]->id + ": discount_first needs tokens");
      const Tokens& tokens = *group[m]->tokens;
      const auto begin = std::find_if(tokens.turn.begin(), tokens.turn.end(),
                                      [](std::int32_t turn) { return turn >= 0; });
      first.push_back(static_cast<std::size_t>(begin - tokens.turn.begin()));
      TokenReturns member;
      for (std::size_t i = first[m]; i < tokens.ids.size(); ++i) {
        member.rewards.push_back(opinions[m].token_rewards[i]);
        member.mask.push_back(tokens.loss_mask[i]);
      }
      returns.push_back(std::move(member));
    }
    const PositionAdvantages found = position_advantages(returns);
    for (std::size_t m = 0; m < group.size(); ++m) {
      const Tokens& tokens = *group[m]->tokens;
      auto& values = opinions[m].token_advantages;
      values.assign(tokens.ids.size(), 0.0);
      std::copy(found.advantages[m].begin(), found.advantages[m].end(),
                values.begin() + static_cast<std::ptrdiff_t>(first[m]));
      for (std::size_t t = 0; t < group[m]->turns.size(); ++t) {
        const auto at = last_sampled(tokens, static_cast<int>(t));
        if (!at || *at < first[m]) continue;
        Label label{.name = "advantage", .turn = static_cast<int>(t), .value = values[*at]};
        Pool pool;
        pool.n = group.size();
        pool.mean = found.means[*at - first[m]];
        describe(label, "position", pool);
        if (group.size() > 1) label.verdict.reset();
        opinions[m].labels.push_back(std::move(label));
      }
    }
    return opinions;
  }

  static void describe(Label& label, const char* name, const Pool& pool) {
    label.evidence["pool"] = name;
    label.evidence["mean"] = pool.mean;
    label.evidence["std"] = pool.deviation ? json::value(*pool.deviation) : json::value(nullptr);
    label.evidence["n"] = static_cast<std::int64_t>(pool.n);
    if (pool.no_signal()) label.verdict = "no_signal";
  }

  Scorer scorer_;
  const std::string alias_;
  const double gamma_;
  const bool separate_, discount_first_, outcome_by_reward_;
  const double outcome_weight_, format_penalty_;
  std::string cue_head_;
};

Result<SupervisorRef> make_igpo(const Options& options, const SupervisorServices& services) {
  if (count_of(options.text("cue"), kSlot) != 1)
    return bad_input("cue: expected a text with {answer} in it exactly once");
  return SupervisorRef(std::make_shared<Igpo>(options, services));
}

REGISTER_SUPERVISOR(
    {.name = "igpo",
     .summary = "pays each turn by how much it raises the model's probability of the right answer",
     .options = {{.name = "gamma",
                  .type = OptionType::number,
                  .fallback = 1.0,
                  .meaning = "discount of later turns",
                  .least = 0,
                  .most = 1},
                 {.name = "norm",
                  .type = OptionType::choice,
                  .fallback = "joint",
                  .meaning = "pool of the normalisation: all rewards, or gains and outcomes apart",
                  .choices = {"joint", "separate"}},
                 {.name = "order",
                  .type = OptionType::choice,
                  .fallback = "normalize_first",
                  .meaning = "discount_first needs tokens and uses neither gamma nor norm",
                  .choices = {"normalize_first", "discount_first"}},
                 {.name = "outcome",
                  .type = OptionType::choice,
                  .fallback = "f1",
                  .meaning = "set-F1 against task.gold.answers, or outcome.reward",
                  .choices = {"f1", "reward"}},
                 {.name = "outcome_weight",
                  .type = OptionType::number,
                  .fallback = 1.0,
                  .meaning = "weight of the outcome in the reward"},
                 {.name = "format_penalty",
                  .type = OptionType::number,
                  .fallback = -2.0,
                  .meaning = "outcome of broken tags or no answer"},
                 {.name = "cue",
                  .type = OptionType::text,
                  .fallback = kCue,
                  .meaning = "text around the answer; only {answer} is scored"}},
     .labels = {"p0 (trajectory)", "p (turn)", "gain (turn)", "outcome (trajectory)",
                "reward (turn)", "advantage (turn)"},
     .roles = {"scorer"}},
    make_igpo)

}  // namespace
}  // namespace proctor
