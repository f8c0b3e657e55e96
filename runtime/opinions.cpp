// The wrapper around every supervisor call.
//
// Blind spot: a supervisor that computes without ever awaiting is not stopped by its deadline; the
// deadline ends waits, not loops.
#include "runtime/opinions.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/core/record_writer.h"
#include "runtime/core/unicode.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

bool is_below_trajectory(LabelLevel level) {
  return level != LabelLevel::trajectory && level != LabelLevel::group;
}

// Level turn and below, but for token labels, which may go by `token` alone.
bool needs_turn(const Label& label) {
  return is_below_trajectory(label.level) && !(label.level == LabelLevel::token && label.token);
}

std::optional<Error> finish_labels(std::vector<Label>& labels, const std::string& alias,
                                   const Trajectory& trajectory, std::optional<int> turn) {
  for (Label& label : labels) {
    label.supervisor = alias;
    if (turn && needs_turn(label) && !label.turn) label.turn = turn;
    if (auto wrong = wrong_with(label, trajectory))
      return internal_error("bad label '" + label.name + "': " + *wrong);
  }
  return std::nullopt;
}

// Runs the hook; every way to fail but cancellation ends up as an Error.
template <class T>
Async<Result<T>> guarded(Async<Result<T>> hook, Milliseconds deadline, std::string what) {
  // co_await is not allowed in a handler; what was thrown is looked at behind it.
  std::exception_ptr thrown;
  try {
    Result<T> answer = co_await with_deadline(std::move(hook), deadline, what);
    co_return answer;
  } catch (...) {
    thrown = std::current_exception();
  }
  if (is_cancellation(thrown)) std::rethrow_exception(thrown);
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& error) {
    co_return internal_error(what + ": " + error.what());
  } catch (...) {
    co_return internal_error(what + ": threw something that is no exception");
  }
}

std::optional<Error> finish_members(std::vector<MemberOpinion>& members, const Group& group,
                                    const std::string& alias) {
  if (members.size() != group.size())
    return internal_error("on_group spoke of " + std::to_string(members.size()) + " members of " +
                          std::to_string(group.size()));
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (auto error = finish_labels(members[i].labels, alias, *group[i], std::nullopt)) return error;
    const std::size_t length = group[i]->tokens ? group[i]->tokens->ids.size() : 0;
    for (const auto* values : {&members[i].token_rewards, &members[i].token_advantages}) {
      if (!values->empty() && values->size() != length)
        return internal_error("token values of another length than the record's tokens");
      if (!std::all_of(values->begin(), values->end(), [](double v) { return std::isfinite(v); }))
        return internal_error("a token value is not finite");
    }
  }
  return std::nullopt;
}

// Scores are called ALIAS.NAME; takes away those that `gone` holds for.
void erase_scores(Trajectory& trajectory,
                  const std::function<bool(const std::string& name)>& gone) {
  const auto goes = [&gone](const auto& score) { return gone(score.first); };
  for (TurnRef& turn : trajectory.turns) {
    if (std::none_of(turn->scores.begin(), turn->scores.end(), goes)) continue;
    Turn changed = *turn;
    std::erase_if(changed.scores, goes);
    turn = std::make_shared<const Turn>(std::move(changed));
  }
}

}  // namespace

const char* to_string(Hook hook) {
  switch (hook) {
    case Hook::on_turn:
      return "on_turn";
    case Hook::on_finished:
      return "on_finished";
    case Hook::on_group:
      break;
  }
  return "on_group";
}

std::optional<std::string> wrong_with(const Label& label, const Trajectory& trajectory) {
  if (label.name.empty()) return "it has no name";
  std::string written;  // as the record will have it
  append_json(written, label);
  if (!is_utf8(written)) return "a text in it is not UTF-8";
  if (label.value && !std::isfinite(*label.value)) return "its value is not finite";
  if (!std::isfinite(label.cost.wall_ms)) return "its cost is not finite";
  const int turns = static_cast<int>(trajectory.turns.size());
  if (label.turn && (*label.turn < 0 || *label.turn >= turns))
    return "there is no turn " + std::to_string(*label.turn);
  if (needs_turn(label) && !label.turn) return "it names no turn";
  if (label.step && *label.step < 0) return "its step is negative";
  if (label.line && *label.line < 0) return "its line is negative";
  if (label.level == LabelLevel::step && !label.step) return "it names no step";
  if (label.level == LabelLevel::line && !label.line) return "it names no line";
  if (label.tool_call) {
    if (!label.turn) return "it names a tool call, but no turn";
    const auto& turn = *trajectory.turns[static_cast<std::size_t>(*label.turn)];
    const int calls = static_cast<int>(turn.assistant.tool_calls.size());
    if (*label.tool_call < 0 || *label.tool_call >= calls)
      return "there is no tool call " + std::to_string(*label.tool_call) + " in turn " +
             std::to_string(*label.turn);
  }
  if (label.token) {
    const auto [first, past] = *label.token;
    const int length = trajectory.tokens ? static_cast<int>(trajectory.tokens->ids.size()) : 0;
    if (first < 0 || past <= first || past > length)
      return "its token range [" + std::to_string(first) + ", " + std::to_string(past) +
             "] is not in the " + std::to_string(length) + " ids";
  }
  // Which words there are is each supervisor's own business; that it is one word is not.
  constexpr const char* kWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  if (label.verdict && (label.verdict->empty() || label.verdict->size() > 40 ||
                        label.verdict->find_first_not_of(kWord) != std::string::npos))
    return "its verdict '" + *label.verdict + "' is not one short word";
  return std::nullopt;
}

Async<SupervisorAnswer> ask_supervisor(SupervisorInstance instance, Hook hook,
                                       TrajectoryRef trajectory, Milliseconds deadline) {
  PROCTOR_CHECK(hook != Hook::on_group);
  SupervisorAnswer answer;
  const bool has = hook == Hook::on_turn ? instance.supervisor->has_on_turn()
                                         : instance.supervisor->has_on_finished();
  if (!has || !instance.looks_at(*trajectory)) co_return answer;
  std::optional<int> turn;
  if (hook == Hook::on_turn) {
    PROCTOR_CHECK(!trajectory->turns.empty());
    turn = static_cast<int>(trajectory->turns.size()) - 1;
  }
  const auto started = std::chrono::steady_clock::now();
  const std::string what = instance.alias + " " + to_string(hook);
  Async<Result<Opinion>> work = hook == Hook::on_turn
                                    ? instance.supervisor->on_turn(trajectory)
                                    : instance.supervisor->on_finished(trajectory);
  Result<Opinion> opinion =
      co_await guarded(std::move(work), instance.supervisor->patience() * deadline, what);
  answer.took = std::chrono::steady_clock::now() - started;
  if (opinion) {
    answer.failure = finish_labels(opinion->labels, instance.alias, *trajectory, turn);
    if (!answer.failure) answer.opinion = std::move(*opinion);
  } else {
    answer.failure = std::move(opinion).error();
  }
  if (answer.failure)
    answer.opinion.labels = {failed_supervision(instance.alias, hook, turn, *answer.failure)};
  co_return answer;
}

Async<GroupAnswer> ask_supervisor_of_group(SupervisorInstance instance, Group group,
                                           Milliseconds deadline) {
  GroupAnswer answer;
  answer.members.resize(group.size());
  if (group.empty() || !instance.supervisor->has_on_group()) co_return answer;
  const auto started = std::chrono::steady_clock::now();
  const std::string what = instance.alias + " on_group";
  Async<Result<std::vector<MemberOpinion>>> work = instance.supervisor->on_group(group);
  Result<std::vector<MemberOpinion>> members =
      co_await guarded(std::move(work), instance.supervisor->patience() * deadline, what);
  answer.took = std::chrono::steady_clock::now() - started;
  if (members) {
    answer.failure = finish_members(*members, group, instance.alias);
    if (!answer.failure) answer.members = std::move(*members);
  } else {
    answer.failure = std::move(members).error();
  }
  if (answer.failure)
    for (auto& member : answer.members)
      member.labels = {
          failed_supervision(instance.alias, Hook::on_group, std::nullopt, *answer.failure)};
  co_return answer;
}

Label failed_supervision(const std::string& alias, Hook hook, std::optional<int> turn,
                         const Error& error) {
  Label label;
  label.supervisor = kOwnLabels;
  label.name = kFailedSupervision;
  label.level = turn ? LabelLevel::turn : LabelLevel::trajectory;
  label.turn = turn;
  label.verdict = to_string(error.kind);
  label.rationale = error.message;
  label.evidence["supervisor"] = alias;
  label.evidence["hook"] = to_string(hook);
  return label;
}

bool is_failed_supervision(const Label& label, const std::string& alias) {
  if (label.supervisor != kOwnLabels || label.name != kFailedSupervision) return false;
  return alias.empty() || speaker_of(label) == alias;
}

std::string speaker_of(const Label& label) {
  if (!is_failed_supervision(label)) return label.supervisor;
  const auto* whose = label.evidence.if_contains("supervisor");
  return whose && whose->is_string() ? std::string(whose->get_string()) : std::string();
}

void withdraw_labels(Trajectory& trajectory, const std::string& alias) {
  std::erase_if(trajectory.labels, [&](const Label& label) { return label.supervisor == alias; });
  const std::string prefix = alias + ".";
  erase_scores(trajectory, [&](const std::string& name) { return name.starts_with(prefix); });
}

void withdraw(Trajectory& trajectory, const std::string& alias) {
  withdraw_labels(trajectory, alias);
  std::erase_if(trajectory.labels,
                [&](const Label& label) { return is_failed_supervision(label, alias); });
}

void summarise_scores(Turn& turn, int position, const std::vector<Label>& labels) {
  std::map<std::string, std::pair<double, int>> below;  // sum and count
  std::map<std::string, double> of_turn;
  for (const Label& label : labels) {
    if (label.turn != position || !label.value || !is_below_trajectory(label.level)) continue;
    const std::string name = label.supervisor + "." + label.name;
    if (label.level == LabelLevel::turn) {
      of_turn[name] = *label.value;
    } else {
      auto& [sum, number] = below[name];
      sum += *label.value;
      ++number;
    }
  }
  for (const auto& [name, sum] : below) turn.scores[name] = sum.first / sum.second;
  for (const auto& [name, value] : of_turn) turn.scores[name] = value;
}

void summarise_scores(Trajectory& trajectory) {
  for (std::size_t i = 0; i < trajectory.turns.size(); ++i) {
    Turn changed = *trajectory.turns[i];
    summarise_scores(changed, static_cast<int>(i), trajectory.labels);
    if (changed.scores != trajectory.turns[i]->scores)
      trajectory.turns[i] = std::make_shared<const Turn>(std::move(changed));
  }
}

void add_member_opinion(Trajectory& trajectory, MemberOpinion opinion) {
  for (Label& label : opinion.labels) trajectory.labels.push_back(std::move(label));
  if (!opinion.token_rewards.empty()) trajectory.tokens->rewards = std::move(opinion.token_rewards);
  if (!opinion.token_advantages.empty())
    trajectory.tokens->advantages = std::move(opinion.token_advantages);
  summarise_scores(trajectory);
}

Async<GroupAnswer> label_group_with(SupervisorInstance instance, std::vector<Trajectory>* members,
                                    Milliseconds deadline) {
  Group group;
  std::vector<std::size_t> taken;
  for (std::size_t i = 0; i < members->size(); ++i) {
    if (!instance.looks_at((*members)[i])) continue;
    if (!ended_by_policy((*members)[i].outcome)) {
      // What an older look at this group may have put there was no judgement either.
      if (auto& tokens = (*members)[i].tokens) tokens->rewards = tokens->advantages = {};
      continue;
    }
    const auto& labels = (*members)[i].labels;
    const bool failed = std::any_of(labels.begin(), labels.end(), [&](const Label& label) {
      return is_failed_supervision(label, instance.alias);
    });
    if (failed && instance.supervisor->all_or_nothing()) continue;
    taken.push_back(i);
    group.push_back(std::make_shared<const Trajectory>((*members)[i]));
  }
  GroupAnswer answer = co_await ask_supervisor_of_group(instance, std::move(group), deadline);
  const std::string prefix = instance.alias + ".";
  std::set<std::string> said;  // as scores are called
  for (const auto& opinion : answer.members)
    for (const Label& label : opinion.labels) said.insert(prefix + label.name);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    Trajectory& member = (*members)[taken[i]];
    if (answer.failure && instance.supervisor->all_or_nothing())
      withdraw_labels(member, instance.alias);
    // What an earlier look at this group said gives way to this one.
    std::erase_if(member.labels, [&](const Label& label) {
      return label.supervisor == instance.alias && said.contains(prefix + label.name);
    });
    erase_scores(member, [&](const std::string& name) { return said.contains(name); });
    add_member_opinion(member, answer.members[i]);
  }
  co_return answer;
}

Async<Status> prepare_all(std::vector<SupervisorInstance> supervisors, Milliseconds limit) {
  for (const auto& instance : supervisors) {
    auto work = instance.supervisor->prepare();
    std::string what = instance.alias;
    auto ready = co_await with_deadline(std::move(work), limit, std::move(what));
    if (ready) continue;
    Error error = std::move(ready).error();
    if (error.kind == ErrorKind::timeout) co_return missing(error.message);
    co_return std::move(error).in(instance.alias);
  }
  co_return Status{};
}

}  // namespace proctor
