// One function a part of the record; each stops at the reader's first disappointment or collects.
#include "runtime/lint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>

#include "runtime/core/text_table.h"
#include "runtime/opinions.h"
#include "runtime/record_source.h"
#include "runtime/store.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

constexpr double kSumError = 1e-9;  // labels may have been added up in another order

class Complaints {
 public:
  explicit Complaints(std::size_t most) : most_(most) {}
  bool enough() const { return list_.size() >= most_; }
  template <class... Parts>
  void add(fmt::format_string<Parts...> format, Parts&&... parts) {
    if (!enough()) list_.push_back(fmt::format(format, std::forward<Parts>(parts)...));
  }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  const std::size_t most_;
  std::vector<std::string> list_;
};

// --- tokens of a turn ---

template <class Number>
void check_logprobs(const std::vector<Number>& logprobs, const std::string& path,
                    Complaints& wrong) {
  for (std::size_t i = 0; i < logprobs.size(); ++i)
    if (!(logprobs[i] <= 0) || !std::isfinite(logprobs[i]))
      return wrong.add("{}[{}] is {}; a log-probability is finite and at most 0", path, i,
                       logprobs[i]);
}

void check_turn_tokens(const TurnTokens& tokens, const std::string& path, Complaints& wrong) {
  if (!tokens.logprobs.empty() && tokens.logprobs.size() != tokens.ids.size())
    wrong.add("{}.logprobs has {} values for {} ids", path, tokens.logprobs.size(),
              tokens.ids.size());
  check_logprobs(tokens.logprobs, path + ".logprobs", wrong);
  if (tokens.segments && tokens.segments->size() != tokens.ids.size())
    wrong.add("{}.segments has {} letters for {} ids", path, tokens.segments->size(),
              tokens.ids.size());
  if (tokens.segments && tokens.segments->find_first_not_of("rao") != std::string::npos)
    wrong.add("{}.segments may hold only r, a and o", path);
  if (tokens.prompt_from < 0) wrong.add("{}.prompt_from is negative", path);
}

// --- times, and what was spent ---

using Amounts = std::initializer_list<std::pair<const char*, double>>;

void check_times(Amounts times, const std::string& path, Complaints& wrong) {
  for (const auto& [name, value] : times)
    if (value < 0) wrong.add("{}.{} is {}; a time is not negative", path, name, value);
}

void check_spent(Amounts spent, const std::string& path, Complaints& wrong) {
  for (const auto& [name, value] : spent)
    if (value < 0) wrong.add("{}.{} is {}; what was spent is not negative", path, name, value);
}

double number_in(const json::object& object, const char* key) {
  const auto* value = object.if_contains(key);
  return value && value->is_number() ? value->to_number<double>() : 0;
}

void check_times_of(const Turn& turn, const std::string& path, Complaints& wrong) {
  const Timing& timing = turn.timing;
  check_times({{"model_ms", timing.model_ms},
               {"queued_ms", number_in(timing.extra, "queued_ms")},
               {"tools_ms", timing.tools_ms},
               {"supervise_ms", timing.supervise_ms}},
              path + ".timing", wrong);
  for (std::size_t i = 0; i < turn.observations.size(); ++i) {
    const Usage& usage = turn.observations[i].usage;
    check_times({{"wall_ms", usage.wall_ms},
                 {"cpu_ms", usage.cpu_ms},
                 {"queued_ms", number_in(usage.extra, "queued_ms")}},
                fmt::format("{}.observations[{}].usage", path, i), wrong);
  }
}

// --- turns ---

void check_calls(const Turn& turn, const std::string& path, bool last, Complaints& wrong) {
  const auto& calls = turn.assistant.tool_calls;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].id.empty()) wrong.add("{}.assistant.tool_calls[{}].id is empty", path, i);
    for (std::size_t k = 0; k < i; ++k)
      if (calls[k].id == calls[i].id)
        wrong.add("{}.assistant.tool_calls[{}].id '{}' is also that of tool_calls[{}]", path, i,
                  calls[i].id, k);
  }
  const auto& observations = turn.observations;
  for (std::size_t i = 0; i < observations.size(); ++i) {
    // Without an id it answers no call: a corrective observation after broken markup.
    const std::string& id = observations[i].tool_call_id;
    if (id.empty()) continue;
    const auto call =
        std::find_if(calls.begin(), calls.end(), [&id](const auto& item) { return item.id == id; });
    const std::string& name = observations[i].name;
    if (call == calls.end())
      wrong.add("{}.observations[{}].tool_call_id '{}' is no tool call of this turn", path, i, id);
    else if (!name.empty() && name != call->name)
      wrong.add("{}.observations[{}].name is '{}', but the call was of '{}'", path, i, name,
                call->name);
    for (std::size_t k = 0; k < i; ++k)
      if (observations[k].tool_call_id == id)
        wrong.add("{}.observations[{}] answers tool call '{}' a second time", path, i, id);
  }
  // The last turn may have been cut off before its calls ran.
  if (last) return;
  for (const auto& call : calls)
    if (std::none_of(observations.begin(), observations.end(),
                     [&call](const auto& item) { return item.tool_call_id == call.id; }))
      wrong.add("{}: no observation for tool call '{}'", path, call.id);
}

// Ids of calls are given anew when they are made.
bool same_action(const Assistant& a, const Assistant& b) {
  return a.content == b.content &&
         std::equal(a.tool_calls.begin(), a.tool_calls.end(), b.tool_calls.begin(),
                    b.tool_calls.end(), [](const ToolCall& one, const ToolCall& other) {
                      return one.name == other.name && one.arguments == other.arguments;
                    });
}

void check_turn(const Turn& turn, std::size_t place, bool last, Complaints& wrong) {
  const std::string path = fmt::format("turns[{}]", place);
  if (turn.index != static_cast<int>(place))
    wrong.add("{}.index is {}, expected {}", path, turn.index, place);
  check_calls(turn, path, last, wrong);
  check_times_of(turn, path, wrong);
  if (turn.assistant.tokens)
    check_turn_tokens(*turn.assistant.tokens, path + ".assistant.tokens", wrong);
  if (turn.chosen && !turn.candidates)
    wrong.add("{}.chosen is {}, but there are no candidates", path, *turn.chosen);
  if (!turn.candidates) return;
  const auto count = turn.candidates->size();
  const auto ids_of = [](const Assistant& said) {
    return said.tokens ? said.tokens->ids : std::vector<std::int32_t>();
  };
  if (!turn.chosen)
    wrong.add("{}.chosen is null, but there are candidates", path);
  else if (*turn.chosen < 0 || *turn.chosen >= static_cast<int>(count))
    wrong.add("{}.chosen is {}, out of the {} candidates", path, *turn.chosen, count);
  else if (const Assistant& chosen = (*turn.candidates)[*turn.chosen];
           !same_action(chosen, turn.assistant) || ids_of(chosen) != ids_of(turn.assistant))
    wrong.add("{}.assistant is not candidates[{}], which was chosen", path, *turn.chosen);
  for (std::size_t i = 0; i < count; ++i)
    if (const auto& tokens = (*turn.candidates)[i].tokens)
      check_turn_tokens(*tokens, fmt::format("{}.candidates[{}].tokens", path, i), wrong);
}

// --- tokens of the whole ---

bool check_lengths(const Tokens& tokens, Complaints& wrong) {
  const std::size_t ids = tokens.ids.size();
  bool good = true;
  const auto check = [&](const char* name, std::size_t size, bool may_be_empty) {
    if (size == ids || (may_be_empty && size == 0)) return;
    good = false;
    wrong.add("tokens.{} has {} values for {} ids", name, size, ids);
  };
  check("loss_mask", tokens.loss_mask.size(), false);
  check("logprobs", tokens.logprobs.size(), false);
  check("turn", tokens.turn.size(), false);
  check("rewards", tokens.rewards.size(), true);
  check("advantages", tokens.advantages.size(), true);
  return good;
}

void check_each_token(const Tokens& tokens, std::size_t turns, Complaints& wrong) {
  check_logprobs(tokens.logprobs, "tokens.logprobs", wrong);
  for (std::size_t i = 0; i < tokens.ids.size() && !wrong.enough(); ++i) {
    const int mask{tokens.loss_mask[i]};
    if (mask != 0 && mask != 1) wrong.add("tokens.loss_mask[{}] is {}, expected 0 or 1", i, mask);
    if (mask == 0 && tokens.logprobs[i] != 0)
      wrong.add("tokens.logprobs[{}] is {} where loss_mask is 0", i, tokens.logprobs[i]);
    if (tokens.turn[i] < -1 || tokens.turn[i] >= static_cast<int>(turns))
      wrong.add("tokens.turn[{}] is {}, but the record has {}", i, tokens.turn[i],
                plural(static_cast<std::int64_t>(turns), "turn"));
    if (i > 0 && tokens.turn[i] < tokens.turn[i - 1])
      wrong.add("tokens.turn[{}] is {} after {}: turns must not go back", i, tokens.turn[i],
                tokens.turn[i - 1]);
    if (mask == 1 && tokens.turn[i] < 0)
      wrong.add("tokens.loss_mask[{}] is 1 in the prefix (turn -1)", i);
    for (const auto& [name, values] :
         {std::pair{"rewards", &tokens.rewards}, {"advantages", &tokens.advantages}}) {
      if (values->empty()) continue;
      if (!std::isfinite((*values)[i])) wrong.add("tokens.{}[{}] is not finite", name, i);
      if (mask == 0 && (*values)[i] != 0)
        wrong.add("tokens.{}[{}] is {} where loss_mask is 0", name, i, (*values)[i]);
    }
  }
}

// The flat sequence must be the turns' own ids, one behind the other.
void check_against_turns(const Tokens& tokens, const std::vector<TurnRef>& turns,
                         Complaints& wrong) {
  for (const auto& turn : turns)
    if (!turn->assistant.tokens)
      return wrong.add("tokens: a flat record, but turns[{}] has no ids", turn->index);
  std::size_t at = 0;
  for (std::size_t t = 0; t < turns.size() && !wrong.enough(); ++t) {
    const TurnTokens& own = *turns[t]->assistant.tokens;
    const std::string path = fmt::format("turns[{}].assistant.tokens", t);
    if (own.prompt_from != static_cast<std::int64_t>(at))
      return wrong.add("{}.prompt_from is {}, but {} ids come before this turn in tokens.ids", path,
                       own.prompt_from, at);
    const std::size_t sampled = at + own.prompt_ids.size();
    const std::size_t end = sampled + own.ids.size();
    if (end > tokens.ids.size())
      return wrong.add("tokens.ids ends at {}, within the ids of turn {}, which end at {}",
                       tokens.ids.size(), t, end);
    for (std::size_t i = at; i < end; ++i) {
      const bool mine = i >= sampled;
      const std::int32_t expected = mine ? own.ids[i - sampled] : own.prompt_ids[i - at];
      if (tokens.ids[i] != expected)
        return wrong.add("tokens.ids[{}] is {}, but {}.{}[{}] is {}", i, tokens.ids[i], path,
                         mine ? "ids" : "prompt_ids", mine ? i - sampled : i - at, expected);
      if (tokens.loss_mask[i] != (mine ? 1 : 0))
        return wrong.add("tokens.loss_mask[{}] is {} on a token the policy {}", i,
                         int{tokens.loss_mask[i]}, mine ? "sampled" : "did not sample");
      if (mine && tokens.turn[i] != static_cast<int>(t))
        return wrong.add("tokens.turn[{}] is {} on a token sampled in turn {}", i, tokens.turn[i],
                         t);
      if (mine && !own.logprobs.empty() && tokens.logprobs[i] != own.logprobs[i - sampled])
        return wrong.add("tokens.logprobs[{}] is {}, but {}.logprobs[{}] is {}", i,
                         tokens.logprobs[i], path, i - sampled, own.logprobs[i - sampled]);
    }
    at = end;
  }
  if (at != tokens.ids.size())
    wrong.add("tokens.ids has {} ids, but the turns account for {}", tokens.ids.size(), at);
}

// What was spent, as far as the turns' ids show it. A prompt whose turn was not recorded is in
// `usage` alone, and so are the turns that a branch shares with its parent.
void check_usage(const Trajectory& whole, Complaints& wrong) {
  const auto* given = whole.extra.if_contains("usage");
  if (!given || !given->is_object()) return;
  const json::object& usage = given->get_object();
  check_times({{"wall_ms", number_in(usage, "wall_ms")}}, "usage", wrong);
  check_spent({{"prompt_tokens", number_in(usage, "prompt_tokens")},
               {"cached_tokens", number_in(usage, "cached_tokens")},
               {"completion_tokens", number_in(usage, "completion_tokens")},
               {"wasted_tokens", number_in(usage, "wasted_tokens")},
               {"tool_calls", number_in(usage, "tool_calls")},
               {"executions", number_in(usage, "executions")},
               {"cost", number_in(usage, "cost")}},
              "usage", wrong);
  const auto counted = [&usage](const char* key) -> std::optional<std::int64_t> {
    const auto* value = usage.if_contains(key);
    return value && value->is_int64() ? std::optional(value->get_int64()) : std::nullopt;
  };
  const auto cached = counted("cached_tokens"), prompted = counted("prompt_tokens");
  if (cached && prompted && *cached > *prompted)
    wrong.add("usage.cached_tokens is {}, more than the {} of the prompts", *cached, *prompted);
  const auto turns = static_cast<std::int64_t>(whole.turns.size());
  if (const auto count = counted("turns"); count && *count != turns)
    wrong.add("usage.turns is {}, but the record has {}", *count, plural(turns, "turn"));
  if (whole.turns.empty() || whole.parent) return;
  std::int64_t prompts = 0, sampled = 0;
  for (const auto& turn : whole.turns) {
    const std::span<const Assistant> alone(&turn->assistant, 1);
    for (const Assistant& said : turn->candidates ? std::span(*turn->candidates) : alone) {
      if (!said.tokens) return;
      prompts +=
          said.tokens->prompt_from + static_cast<std::int64_t>(said.tokens->prompt_ids.size());
      sampled += static_cast<std::int64_t>(said.tokens->ids.size());
    }
  }
  if (const auto count = counted("prompt_tokens"); count && *count < prompts)
    wrong.add("usage.prompt_tokens is {}, but the turns' prompts have {} ids", *count, prompts);
  const std::int64_t wasted = counted("wasted_tokens").value_or(0);
  if (const auto count = counted("completion_tokens"); count && *count - wasted != sampled)
    wrong.add("usage.completion_tokens is {}{}, but the turns have {} sampled ids", *count,
              wasted > 0 ? fmt::format(" ({} of them wasted)", wasted) : "", sampled);
}

// --- labels, scores and the rest ---

void check_label(const Label& label, std::size_t place, const Trajectory& whole,
                 Complaints& wrong) {
  const std::string path = fmt::format("labels[{}]", place);
  if (label.supervisor.empty()) wrong.add("{}.supervisor is empty", path);
  if (const auto what = wrong_with(label, whole)) wrong.add("{}: {}", path, *what);
  check_times({{"wall_ms", label.cost.wall_ms}}, path + ".cost", wrong);
  check_spent({{"model_calls", static_cast<double>(label.cost.model_calls)},
               {"prompt_tokens", static_cast<double>(label.cost.prompt_tokens)},
               {"completion_tokens", static_cast<double>(label.cost.completion_tokens)},
               {"executions", static_cast<double>(label.cost.executions)}},
              path + ".cost", wrong);
}

// The turns' scores sum up the labels. Null is no score.
void check_scores(const Trajectory& whole, std::size_t place, Complaints& wrong) {
  Turn summed;
  summarise_scores(summed, static_cast<int>(place), whole.labels);
  const std::string path = fmt::format("turns[{}].scores", place);
  const auto& scores = whole.turns[place]->scores;
  for (const auto& [name, value] : scores) {
    const auto told = summed.scores.find(name);
    if (told == summed.scores.end()) {
      if (std::isfinite(value))
        wrong.add("{} has '{}', which no label of that turn gives", path, name);
    } else if (!(std::abs(value - told->second) <= kSumError * (1 + std::abs(told->second)))) {
      wrong.add("{} has '{}' = {}, but by the turn's labels it is {}", path, name, value,
                told->second);
    }
  }
  for (const auto& [name, value] : summed.scores)
    if (!scores.contains(name))
      wrong.add("{} has no '{}', but by the turn's labels it is {}", path, name, value);
}

void check_outcome(const Outcome& outcome, Complaints& wrong) {
  if (outcome.status == OutcomeStatus::answered && !outcome.answer)
    wrong.add("outcome.status is 'answered', but outcome.answer is null");
  if (outcome.status == OutcomeStatus::answered && outcome.error)
    wrong.add("outcome.status is 'answered', but outcome.error is '{}'", *outcome.error);
  if (!outcome.reward && !outcome.correct) return;
  const char* grade = outcome.reward ? "reward" : "correct";
  if (!ended_by_policy(outcome))
    wrong.add("outcome.{} is given, but outcome.status is '{}', which nobody grades", grade,
              to_string(outcome.status));
  if (why_ungraded(outcome))
    wrong.add("outcome.{} is given beside outcome.metrics.checker_error", grade);
  if (outcome.reward && outcome.correct && *outcome.reward == (*outcome.correct ? 0 : 1))
    wrong.add("outcome.correct is {}, but outcome.reward is {}", *outcome.correct, *outcome.reward);
}

void check_head(const Trajectory& whole, Complaints& wrong) {
  if (whole.id.empty()) wrong.add("id is empty");
  if (whole.task_id.empty()) wrong.add("task_id is empty");
  if (whole.task && !whole.task->id.empty() && whole.task->id != whole.task_id)
    wrong.add("task.id is '{}', but task_id is '{}'", whole.task->id, whole.task_id);
  if (whole.sample < 0) wrong.add("sample is negative");
  const auto* facts = whole.observation.if_object();
  const auto* parted = facts ? facts->if_contains("tokens_parted") : nullptr;
  if (parted && !parted->is_null() && whole.tokens)
    wrong.add(
        "tokens is given, but observation.tokens_parted says that no one sequence holds them");
  for (std::size_t i = 0; whole.prefix && i < whole.prefix->size(); ++i) {
    constexpr std::array kRoles = {"system", "developer", "user", "assistant", "tool"};
    const std::string& role = (*whole.prefix)[i].role;
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end())
      wrong.add("prefix[{}].role is '{}', expected system, developer, user, assistant or tool", i,
                role);
  }
  if (!whole.parent) return;
  if (whole.parent->trajectory_id == whole.id)
    wrong.add("parent.trajectory_id is the record's own");
  if (whole.parent->turns < 0 || whole.parent->turns > static_cast<int>(whole.turns.size()))
    wrong.add("parent.turns is {}, but the record has {}", whole.parent->turns,
              plural(static_cast<std::int64_t>(whole.turns.size()), "turn"));
}

// The columns that lists read must say what the record says.
std::string row_mismatch(const TrajectoryRow& row, const Trajectory& whole) {
  if (row.status != to_string(whole.outcome.status)) return "status";
  if (row.turns != static_cast<int>(whole.turns.size())) return "turns";
  if (row.reward != whole.outcome.reward) return "reward";
  if (row.correct != whole.outcome.correct) return "correct";
  if (row.task_id != whole.task_id) return "task_id";
  return "";
}

}  // namespace

std::vector<std::string> complaints_of(const Trajectory& trajectory, std::size_t most) {
  Complaints wrong(most);
  check_head(trajectory, wrong);
  for (std::size_t i = 0; i < trajectory.turns.size() && !wrong.enough(); ++i)
    check_turn(*trajectory.turns[i], i, i + 1 == trajectory.turns.size(), wrong);
  if (trajectory.tokens && !wrong.enough() && check_lengths(*trajectory.tokens, wrong)) {
    check_each_token(*trajectory.tokens, trajectory.turns.size(), wrong);
    if (!wrong.enough()) check_against_turns(*trajectory.tokens, trajectory.turns, wrong);
  }
  if (!wrong.enough()) check_usage(trajectory, wrong);
  for (std::size_t i = 0; i < trajectory.labels.size() && !wrong.enough(); ++i)
    check_label(trajectory.labels[i], i, trajectory, wrong);
  for (std::size_t i = 0; i < trajectory.turns.size() && !wrong.enough(); ++i)
    check_scores(trajectory, i, wrong);
  check_outcome(trajectory.outcome, wrong);
  return wrong.take();
}

std::vector<Complaint> Linter::check(const std::string& where, std::string_view text) {
  ++report_.records;
  const auto one = [&](const std::string& in, const std::string& what) {
    ++report_.wrong;
    return std::vector<Complaint>{{in, what}};
  };
  auto value = parse_exact_json(text, kRecordLevels);
  if (!value) return one(where, value.error().message);
  const auto* object = value->if_object();
  const auto* id = object ? object->if_contains("id") : nullptr;
  std::string named = where;
  if (id && id->is_string() && !where.ends_with(": " + std::string(id->get_string())))
    named += ": " + std::string(id->get_string());
  const auto* schema = object ? object->if_contains("schema") : nullptr;
  if (object && (!schema || !schema->is_string() || schema->get_string() != kTrajectorySchema))
    return one(named, std::string("schema is ") + (schema ? json::serialize(*schema) : "missing") +
                          ", expected \"" + kTrajectorySchema + "\"");
  auto trajectory = read_trajectory(*value);
  if (!trajectory) return one(named, trajectory.error().message);

  report_.turns += trajectory->turns.size();
  report_.labels += trajectory->labels.size();
  if (trajectory->tokens) report_.tokens += trajectory->tokens->ids.size();
  if (trajectory->parent) parents_.emplace_back(trajectory->parent->trajectory_id, named);
  const auto group = tasks_.emplace(trajectory->group_id, trajectory->task_id).first;
  std::vector<Complaint> complaints;
  const auto [known, fresh] = seen_.emplace(trajectory->id, where);
  if (!fresh) complaints.push_back({named, "id is also that of " + known->second});
  if (fresh && !trajectory->group_id.empty() && group->second != trajectory->task_id)
    complaints.push_back({named, "group_id '" + trajectory->group_id + "' is also that of task '" +
                                     group->second + "'"});
  for (const auto& what : complaints_of(*trajectory, most_ - complaints.size()))
    complaints.push_back({named, what});
  if (const auto row = rows_.find(trajectory->id); row != rows_.end() && complaints.size() < most_)
    if (const std::string column = row_mismatch(row->second, *trajectory); !column.empty())
      complaints.push_back({named, "the store's column '" + column + "' differs from the record"});
  if (fresh && complaints.size() < most_)
    if (const std::string other = same_sample(*trajectory, where); !other.empty())
      complaints.push_back({named, fmt::format("sample {} of task '{}' is also that of {}",
                                               trajectory->sample, trajectory->task_id, other)});
  report_.wrong += complaints.empty() ? 0 : 1;
  return complaints;
}

// A branch repeats its parent, and a conversation of no run says nothing about its place.
std::string Linter::same_sample(const Trajectory& whole, const std::string& where) {
  if (whole.run_id.empty() || whole.parent) return "";
  const auto [known, fresh] =
      samples_.try_emplace({whole.run_id, whole.task_id, whole.sample}, where);
  return fresh ? "" : known->second;
}

void Linter::expect(std::vector<TrajectoryRow> rows) {
  for (auto& row : rows) {
    std::string id = row.id;
    rows_.emplace(std::move(id), std::move(row));
  }
}

std::vector<Complaint> Linter::missing_parents() const {
  std::vector<Complaint> missing;
  for (const auto& [parent, named] : parents_)
    if (!seen_.contains(parent))
      missing.push_back({named, "parent.trajectory_id '" + parent + "' is no record here"});
  return missing;
}

namespace {

// What a store says besides its records; reading the journal proves that it can be gone on from.
Result<std::vector<Error>> look_into_store(const std::string& directory, Linter& linter) {
  auto store = Store::open(directory, Store::Access::read);
  if (!store) return std::move(store).error();
  auto rows = (*store)->rows();
  if (!rows) return std::move(rows).error();
  linter.expect(std::move(*rows));
  std::vector<Error> unreadable;
  auto unfinished = (*store)->unfinished(&unreadable);
  if (!unfinished) return std::move(unfinished).error();
  return unreadable;
}

}  // namespace

Result<LintReport> lint(const std::string& path, std::size_t complaints_per_record,
                        const std::function<bool(const Complaint& complaint)>& wrong) {
  Linter linter(std::max<std::size_t>(complaints_per_record, 1));
  const bool store = has_store(path);
  std::vector<Error> unreadable;
  if (store) {
    auto looked = look_into_store(path, linter);
    if (!looked) return std::move(looked).error();
    unreadable = std::move(*looked);
  }
  bool go_on = true;
  const auto check = [&](const SourceRecord& record) -> Status {
    for (const auto& complaint : linter.check(record.where, record.text)) {
      go_on = go_on && wrong(complaint);
      if (!go_on) return internal_error("enough");  // leaves the loop, and goes no further
    }
    return {};
  };
  auto read = for_each_record(path, check, &unreadable);
  LintReport report = linter.report();
  if (!go_on) return report;
  if (!read) return std::move(read).error();
  if (!store) return report;  // a file may hold a part of a run only
  std::vector<Complaint> complaints = linter.missing_parents();
  for (const auto& error : unreadable) complaints.push_back({"", error.message});
  for (const auto& complaint : complaints) {
    ++report.wrong;
    if (!wrong(complaint)) break;
  }
  return report;
}

}  // namespace proctor
