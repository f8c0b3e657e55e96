// Hooks in the order in which a run calls them: supervisors side by side, the turns of one in
// order.
//
// Blind spot: a decision (stop, resample...) is not acted on, since the record is what it is.
#include "runtime/labelling.h"

#include <algorithm>
#include <set>

namespace proctor {

struct Labeller::Chain {
  std::vector<Label> labels;
  std::vector<Error> failures;
  std::size_t answered = 0;

  void take(SupervisorAnswer answer) {
    std::move(answer.opinion.labels.begin(), answer.opinion.labels.end(),
              std::back_inserter(labels));
    if (answer.failure)
      failures.push_back(std::move(*answer.failure));
    else
      ++answered;
  }
};

Labeller::Labeller(std::vector<SupervisorInstance> supervisors, Milliseconds deadline)
    : supervisors_(std::move(supervisors)), deadline_(deadline) {
  for (const auto& instance : supervisors_)
    has_group_hooks_ = has_group_hooks_ || instance.supervisor->has_on_group();
}

Result<Labeller> Labeller::make(std::vector<SupervisorInstance> supervisors,
                                Milliseconds deadline) {
  std::set<std::string> aliases;
  for (const auto& instance : supervisors) {
    if (instance.alias == kOwnLabels)
      return bad_input("the label name '" + instance.alias + "' is proctor's own; use another as=");
    if (!aliases.insert(instance.alias).second)
      return bad_input("two supervisors would write labels as '" + instance.alias +
                       "'; give one a name of its own: " + instance.name + ":as=ALIAS");
  }
  return Labeller(std::move(supervisors), deadline);
}

Async<Status> Labeller::prepare(Milliseconds limit) const {
  auto ready = co_await prepare_all(supervisors_, limit);
  co_return ready;
}

Status Labeller::accepts(const Trajectory& trajectory) const {
  if (trajectory.tokens) {
    const Tokens& tokens = *trajectory.tokens;
    const std::size_t length = tokens.ids.size();
    if (tokens.loss_mask.size() != length || tokens.turn.size() != length)
      return bad_input("tokens: ids, loss_mask and turn differ in length (" +
                       std::to_string(length) + ", " + std::to_string(tokens.loss_mask.size()) +
                       ", " + std::to_string(tokens.turn.size()) + ")");
  }
  if (trajectory.sample < 0) return bad_input("sample: is negative");
  for (std::size_t i = 0; i < trajectory.labels.size(); ++i) {
    const Label& label = trajectory.labels[i];
    const bool goes = std::any_of(
        supervisors_.begin(), supervisors_.end(), [&](const SupervisorInstance& instance) {
          return instance.alias == speaker_of(label) && instance.looks_at(trajectory);
        });
    if (goes) continue;  // it is replaced
    if (const auto wrong = wrong_with(label, trajectory))
      return bad_input("labels[" + std::to_string(i) + "]: " + *wrong);
  }
  for (const auto& instance : supervisors_)
    if (instance.looks_at(trajectory))
      if (auto status = instance.supervisor->accepts(trajectory); !status)
        return bad_input(status.error().message + " (" + instance.name +
                         ":suites=NAME keeps it to the records of one suite)");
  return {};
}

bool Labeller::looks_at(const Trajectory& trajectory) const {
  return std::any_of(supervisors_.begin(), supervisors_.end(),
                     [&](const auto& instance) { return instance.looks_at(trajectory); });
}

Status Labeller::know_suites(const std::set<std::string>& of_records) const {
  for (const auto& instance : supervisors_)
    for (const auto& suite : instance.suites)
      if (!of_records.contains(suite))
        return bad_input(instance.alias + ": no record belongs to the suite '" + suite + "'" +
                         nearest_hint(suite, {of_records.begin(), of_records.end()}));
  return {};
}

Async<Labeller::Chain> Labeller::ask_on_turns(SupervisorInstance instance,
                                              TrajectoryRef record) const {
  Chain chain;
  if (!instance.supervisor->has_on_turn()) co_return chain;
  // What a running rollout would show: no outcome, no tokens, no labels.
  Trajectory so_far = *record;
  so_far.turns.clear();
  so_far.labels.clear();
  so_far.tokens.reset();
  so_far.outcome = {};
  for (const TurnRef& turn : record->turns) {
    so_far.turns.push_back(turn);
    auto shown = std::make_shared<const Trajectory>(so_far);
    auto answer = co_await ask_supervisor(instance, Hook::on_turn, std::move(shown), deadline_);
    chain.take(std::move(answer));
  }
  co_return chain;
}

// What every supervisor says of one record, in their order. At its end each sees what all of them
// said of the turns, as at a rollout's end.
Async<std::vector<Labeller::Chain>> Labeller::ask_all_hooks(TrajectoryRef record) const {
  std::vector<Async<Chain>> of_turns;
  of_turns.reserve(supervisors_.size());
  for (const auto& instance : supervisors_) of_turns.push_back(ask_on_turns(instance, record));
  std::vector<Chain> chains = co_await gather(std::move(of_turns));
  auto whole = std::make_shared<Trajectory>(*record);
  for (const Chain& chain : chains)
    whole->labels.insert(whole->labels.end(), chain.labels.begin(), chain.labels.end());
  std::vector<Async<SupervisorAnswer>> of_the_end;
  of_the_end.reserve(supervisors_.size());
  for (const auto& instance : supervisors_)
    of_the_end.push_back(ask_supervisor(instance, Hook::on_finished, whole, deadline_));
  auto answers = co_await gather(std::move(of_the_end));
  for (std::size_t i = 0; i < chains.size(); ++i) {
    const Supervisor& supervisor = *supervisors_[i].supervisor;
    if (supervisor.has_on_finished()) chains[i].take(std::move(answers[i]));
    if (!chains[i].failures.empty() && supervisor.all_or_nothing())
      std::erase_if(chains[i].labels,
                    [](const Label& label) { return !is_failed_supervision(label); });
  }
  co_return chains;
}

Async<Labeller::Labelled> Labeller::label(std::vector<Trajectory> members) const {
  Labelled labelled;
  std::vector<Async<std::vector<Chain>>> works;
  for (Trajectory& member : members) {
    for (const auto& instance : supervisors_)
      if (instance.looks_at(member)) withdraw(member, instance.alias);
    works.push_back(ask_all_hooks(std::make_shared<const Trajectory>(member)));
  }
  auto of_members = co_await gather(std::move(works));
  for (std::size_t i = 0; i < members.size(); ++i) {
    Trajectory& member = members[i];
    if (!looks_at(member)) continue;
    auto chain = of_members[i].begin();
    json::object versions = *member.versions;
    for (const auto& instance : supervisors_) {
      std::move(chain->labels.begin(), chain->labels.end(), std::back_inserter(member.labels));
      for (Error& error : chain->failures)
        labelled.failures.push_back({member.id, std::move(error)});
      const std::size_t answered = chain->answered;
      ++chain;
      if (!instance.looks_at(member)) continue;
      labelled.answered += answered;
      if (!versions["supervisors"].is_object()) versions["supervisors"].emplace_object();
      versions["supervisors"].get_object()[instance.alias] = instance.supervisor->version();
    }
    versions["proctor"] = kVersion;
    member.versions = std::move(versions);
    summarise_scores(member);
  }
  for (const auto& instance : supervisors_) {
    if (!instance.supervisor->has_on_group()) continue;
    const bool asked = std::any_of(members.begin(), members.end(),
                                   [&](const auto& member) { return instance.looks_at(member); });
    auto answer = co_await label_group_with(instance, &members, deadline_);
    if (answer.failure)
      labelled.failures.push_back({"group " + members[0].group(), std::move(*answer.failure)});
    else if (asked)
      ++labelled.answered;
  }
  labelled.members = std::move(members);
  co_return labelled;
}

}  // namespace proctor
