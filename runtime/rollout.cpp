// The loop. Every turn is journalled before the one after it; turn t+1 is generated while turn t is
// judged, but nothing of it that leaves a trace runs before the decision on t is in.
#include "runtime/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "runtime/budget.h"
#include "runtime/core/determinism.h"
#include "runtime/core/nursery.h"
#include "runtime/outcome.h"
#include "runtime/stop_alarm.h"
#include "runtime/supervision.h"
#include "runtime/token_record.h"
#include "runtime/tool_runner.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

using Steady = std::chrono::steady_clock;
using Generations = std::vector<Generation>;  // the candidates of a turn, one or more

constexpr const char* kContextFull = "context_full";
// Of an observation, as messages_of() reads it.
constexpr const char* kCutBefore = "cut_before_turn";
constexpr int kFreeText = 600;  // characters in one place of an embedded model's grammar
// In a journalled turn's `extra`: what the rollout had spent when the turn was over.
constexpr const char* kSpent = "spent";
// There, too: [turn, observation] of all that was cut to make room for this turn.
constexpr const char* kCut = "cut";
class Rollout {
 public:
  Rollout(const RolloutServices& services, RolloutPlan plan, const asio::any_io_executor& strand)
      : services_(services),
        config_(*services.config),
        limits_(limits_of(services, *plan.task)),
        task_(std::move(plan.task)),
        strand_(strand),
        journal_(strand),
        supervision_(services.supervisors, limits_.supervisor, strand, [this] { alarm_.ring(); }),
        definitions_(tools_of(services, *task_)),
        budget_(limits_, config_.candidates, config_.models.at("policy"), *services.clock) {
    begin(plan.sample, std::move(plan.so_far));
    tools_.emplace(services, limits_, definitions_, budget_, supervision_, alarm_, tool_context(),
                   strand);
  }

  Async<Result<TrajectoryRef>> play() {
    std::exception_ptr thrown;
    Result<TrajectoryRef> result = internal_error("not played");
    try {
      result = co_await play_through();
    } catch (...) {
      thrown = std::current_exception();
    }
    // Whatever happened, nothing that was started may outlive the rollout.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (thrown || !result) supervision_.cancel();
    try {
      co_await supervision_.all_opinions();
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
    try {
      co_await journal_.join();
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
    if (thrown) std::rethrow_exception(thrown);
    co_return result;
  }

 private:
  void begin(int sample, std::unique_ptr<Trajectory> so_far);
  Async<Result<TrajectoryRef>> play_through();
  Async<Status> resume();
  Async<std::optional<Outcome>> next_turn();
  std::optional<Outcome> why_useless(const Result<Generations>& generations) const;
  std::optional<Outcome> take_words(Turn& turn) const;
  Async<Result<Generations>> generate();
  GenerateRequest request(int candidate);
  Async<Result<std::vector<Result<Generation>>>> generate_once();
  Async<Result<Generation>> sample(GenerateRequest request);
  void count(Generation& generation);
  bool cut_oldest_observation();
  void mark_cut(std::size_t turn, std::size_t observation, int before_turn);
  void restore_cut(int before_turn, const json::value& places);
  ToolContext tool_context() const;
  Async<Status> record_turn(std::shared_ptr<Turn> turn);
  void begin_journal();
  Async<void> journal_start(TrajectoryRef start);
  Async<void> journal_turn(TurnRef turn, std::vector<Judgement> judgements);
  std::vector<Judgement> take_findings();
  Async<Result<TrajectoryRef>> finish(Outcome outcome);
  std::optional<Outcome> over() const;
  TrajectoryRef snapshot() const { return std::make_shared<const Trajectory>(record_); }

  const RolloutServices& services_;
  const RunConfig& config_;
  const RolloutLimits& limits_;
  TaskRef task_;
  asio::any_io_executor strand_;
  Trajectory record_;
  std::vector<Message> conversation_;
  TokenRecord tokens_;
  std::size_t seen_messages_ = 0, asked_messages_ = 0;
  bool out_of_places_ = false;  // the last request waited for one until the time was spent
  json::array cut_;             // for the turn to come, as it is journalled
  std::set<int> cut_before_;    // turns that something was cut for
  Nursery journal_;
  Status journal_status_;
  StopAlarm alarm_;
  Supervision supervision_;
  const std::vector<ToolDefinition> definitions_;
  Budget budget_;
  std::optional<ToolRunner> tools_;  // always there once the rollout is
  int resumed_turns_ = 0;
};

void Rollout::begin(int sample, std::unique_ptr<Trajectory> so_far) {
  if (so_far) {
    record_ = std::move(*so_far);
    record_.task = task_;
    resumed_turns_ = static_cast<int>(record_.turns.size());
    for (auto& turn : record_.turns) {
      const auto* spent = turn->extra.if_contains(kSpent);
      if (!spent || !spent->is_object()) continue;
      budget_.restore(spent->get_object());
      const TurnRef journalled = turn;
      auto bare = std::make_shared<Turn>(*turn);
      bare->extra.erase(kSpent);
      bare->extra.erase(kCut);
      turn = std::move(bare);
      if (const auto* cut = journalled->extra.if_contains(kCut))
        restore_cut(journalled->index, *cut);
    }
  } else {
    record_.id = trajectory_id(config_.name, task_->id, sample);
    record_.run_id = config_.name;
    record_.task_id = task_->id;
    record_.group_id = config_.name + "-" + task_->id;
    record_.sample = sample;
    record_.task = task_;
    record_.policy = policy_of(services_, *task_, sample);
    record_.prefix = std::make_shared<const std::vector<Message>>(prompt_of(services_, *task_));
    record_.created = iso8601(services_.clock->now());
    json::object versions;
    for (const auto& instance : services_.supervisors)
      versions[instance.alias] = instance.supervisor->version();
    record_.versions = json::object{{"proctor", kVersion}, {"supervisors", std::move(versions)}};
  }
  conversation_ = *record_.prefix;
}

ToolContext Rollout::tool_context() const {
  ToolContext context;
  context.rollout_id = record_.id;
  context.task = task_;
  context.seed = derive_seed(config_.seed, "tools", task_->id, std::uint64_t(record_.sample));
  return context;
}

// How the rollout ends when no turn may follow.
std::optional<Outcome> Rollout::over() const {
  if (tools_->broken()) return ended(OutcomeStatus::error, *tools_->broken());
  if (!record_.turns.empty() && record_.turns.back()->observations.empty()) {
    // Only an answering turn has nothing to observe: a journalled one lacks just its end.
    if (auto answer = services_.format->answer(record_.turns.back()->assistant))
      return answered(std::move(answer));
  }
  return budget_.used_up(record_.turns.size());
}

Async<Result<TrajectoryRef>> Rollout::play_through() {
  if (resumed_turns_ > 0)
    if (auto status = co_await resume(); !status) co_return status.error();
  std::optional<Outcome> outcome;
  while (!outcome) outcome = co_await next_turn();
  co_return co_await finish(std::move(*outcome));
}

// Brings the state back that the journalled turns had built: messages, ids, budgets, live sessions.
Async<Status> Rollout::resume() {
  for (const auto& turn : record_.turns) {
    if (cut_before_.contains(turn->index)) tokens_.forget();
    conversation_.push_back(as_message(turn->assistant));
    // What the ids so far cover: all that was rendered for this turn, and the turn itself.
    seen_messages_ = services_.format->render(conversation_, definitions_).messages.size();
    if (turn->assistant.tokens)
      tokens_.add_recorded(turn->index, *turn->assistant.tokens);
    else
      tokens_.lose();
    for (const auto& observation : turn->observations)
      conversation_.push_back(as_message(observation));
    const TurnRef journalled = turn;
    co_await tools_->replay(journalled);
  }
  if (!cut_before_.empty()) conversation_ = messages_of(record_);  // as many, some of them shorter
  // A turn whose opinions were not journalled is looked at again; the others keep theirs.
  auto unjudged = services_.store->unjudged(record_.id);
  if (!unjudged) co_return unjudged.error();
  Trajectory growing = record_;
  growing.turns.clear();
  growing.labels.clear();
  for (const auto& turn : record_.turns) {
    growing.turns.push_back(turn);
    if (std::find(unjudged->begin(), unjudged->end(), turn->index) != unjudged->end()) {
      supervision_.turn_finished(std::make_shared<const Trajectory>(growing));
      continue;
    }
    TurnFinding finding{.decision = turn->decision,
                        .decided_by = turn->decided_by,
                        .supervise_ms = turn->timing.supervise_ms};
    if (const auto* reason = turn->action_extra.if_contains("reason"))
      if (const auto* text = reason->if_string()) finding.reason = *text;
    for (const auto& label : record_.labels)
      if (label.turn.value_or(0) == turn->index) finding.labels.push_back(label);
    supervision_.restore(turn->index, std::move(finding));
  }
  co_await supervision_.decided();
  record_.labels.clear();
  co_return Status{};
}

// One turn; an outcome when it was the last.
Async<std::optional<Outcome>> Rollout::next_turn() {
  if (!config_.speculate) co_await supervision_.decided();
  if (supervision_.stopped()) co_return ended(OutcomeStatus::stopped);
  if (auto done = over()) co_return done;

  auto turn = std::make_shared<Turn>();
  turn->index = static_cast<int>(record_.turns.size());
  turn->timing.started = iso8601(services_.clock->now());
  const auto model_started = Steady::now();
  auto generations = co_await generate();
  std::int64_t sampled = 0;
  double queued_ms = 0;
  if (generations)
    for (const auto& generation : *generations) {
      sampled += generation.completion_tokens;
      queued_ms = std::max(queued_ms, generation.queued_ms);
    }
  turn->timing.model_ms = std::max(0.0, to_ms(Steady::now() - model_started) - queued_ms);
  turn->timing.extra["queued_ms"] = queued_ms;
  // A turn that does not become part of the record was sampled for nothing.
  const auto without_it = [&] {
    budget_.waste(sampled);
    return supervision_.stopped() ? ended(OutcomeStatus::stopped) : over();
  };
  if (supervision_.stopped()) co_return without_it();
  if (auto useless = why_useless(generations)) {
    budget_.waste(sampled);
    co_return useless;
  }
  std::vector<Assistant> candidates;
  candidates.reserve(generations->size());
  for (auto& generation : *generations)
    candidates.push_back(services_.format->parse(std::move(generation), definitions_));
  if (candidates.size() == 1) {
    turn->assistant = std::move(candidates.front());
  } else {
    turn->assistant = candidates.front();
    turn->candidates = std::move(candidates);
    turn->chosen = 0;
  }
  const Assistant& said = turn->assistant;

  const auto tools_started = Steady::now();
  std::optional<Outcome> outcome;
  if (!said.tool_calls.empty()) {
    std::vector<ToolCall> calls = said.tool_calls;
    turn->observations = co_await tools_->act(std::move(calls));
  } else {
    outcome = take_words(*turn);
  }
  turn->timing.tools_ms = to_ms(Steady::now() - tools_started);

  // The turn before must be approved before this one becomes part of the record. One whose tools
  // failed of our doing never does: it would show the policy what is none of its business.
  if (!supervision_.stopped()) co_await supervision_.decided();
  if (supervision_.stopped() || tools_->broken()) co_return without_it();
  if (auto status = co_await record_turn(std::move(turn)); !status)
    outcome = ended(OutcomeStatus::error, status.error().message);
  co_return outcome;
}

// How the rollout ends when nothing can be done with what came; nothing when something can. A model
// that did not answer is no fault of the policy, be it the rollout's whole time that it took.
std::optional<Outcome> Rollout::why_useless(const Result<Generations>& generations) const {
  if (!generations) {
    const Error& error = generations.error();
    if (error.message.find(kContextFull) != std::string::npos)
      return ended(OutcomeStatus::context_full, error.message);
    // A place that did not become free is a matter of the budget: no model owes anything yet.
    return ended(out_of_places_ ? OutcomeStatus::stopped : OutcomeStatus::error, error.message);
  }
  const auto is_finite = [](const Generation& generation) {
    if (!generation.tokens) return true;
    const auto& logprobs = generation.tokens->logprobs;
    return std::all_of(logprobs.begin(), logprobs.end(), [](float p) { return std::isfinite(p); });
  };
  if (std::all_of(generations->begin(), generations->end(), is_finite)) return std::nullopt;
  return ended(OutcomeStatus::error,
               services_.policy->name() + ": gave a log-probability that is no finite number");
}

// A turn without calls: the rollout's end, or an observation that says what was wrong with it.
std::optional<Outcome> Rollout::take_words(Turn& turn) const {
  const Assistant& said = turn.assistant;
  std::string wrong = "No answer and no tool call was found. Give the answer.";
  if (said.parse_error) {
    wrong = *said.parse_error;
  } else if (auto answer = services_.format->answer(said)) {
    return answered(std::move(answer));
  } else if (said.finish_reason == "length" && budget_.tokens_spent()) {
    return ended(OutcomeStatus::max_tokens);
  }
  const ToolCall none{.id = "", .name = "format", .arguments = {}};
  turn.observations.push_back(refusal(none, ObservationStatus::error, std::move(wrong)));
  return std::nullopt;
}

// What the policy is asked for the turn to come, for each of its candidates with another seed.
GenerateRequest Rollout::request(int candidate) {
  GenerateRequest request;
  Rendered rendered = services_.format->render(conversation_, definitions_);
  asked_messages_ = rendered.messages.size();
  request.messages = std::move(rendered.messages);
  request.stop = std::move(rendered.stop);
  request.tools = std::move(rendered.native_tools);
  if (cut_.empty()) request.seen_ids = tokens_.ids();
  request.seen_messages = seen_messages_;
  request.sampling = config_.sampling;
  const int index = static_cast<int>(record_.turns.size());
  std::uint64_t seed =
      derive_seed(policy_seed(config_, *task_, record_.sample), static_cast<std::uint64_t>(index));
  if (candidate > 0) seed = derive_seed(seed, static_cast<std::uint64_t>(candidate));
  request.sampling.seed = seed >> 11;
  request.sampling.max_tokens = static_cast<int>(
      std::min<std::int64_t>(config_.sampling.max_tokens, budget_.tokens_a_candidate()));
  const bool embedded = services_.policy->backend() == "llama";
  const bool constrain = config_.grammar == GrammarPolicy::on ||
                         (config_.grammar == GrammarPolicy::automatic && embedded);
  // Small models ramble; servers' grammar engines pay seconds a token for such a bound.
  const int most = config_.grammar_chars == 0 && embedded ? kFreeText : config_.grammar_chars;
  if (constrain && services_.capabilities.grammar)
    request.grammar = services_.format->grammar(definitions_, most);
  request.asker = {
      .task_id = task_->id, .sample = record_.sample, .turn = index, .candidate = candidate};
  request.limit = limits_.model;
  return request;
}

// Of a server that counts no tokens but gives them.
void count_by_ids(Generation& generation) {
  if (!generation.tokens) return;
  const auto size = [](const auto& ids) { return static_cast<std::int64_t>(ids.size()); };
  if (generation.prompt_tokens == 0) generation.prompt_tokens = size(generation.tokens->prompt_ids);
  if (generation.completion_tokens == 0)
    generation.completion_tokens = size(generation.tokens->ids);
}

// What was sampled has been paid for, whatever becomes of it and of its siblings.
Async<Result<Generation>> Rollout::sample(GenerateRequest request) {
  auto answer = co_await services_.policy->generate(std::move(request));
  if (answer) count(*answer);
  co_return answer;
}

void Rollout::count(Generation& generation) {
  count_by_ids(generation);
  const bool said = !generation.content.empty() || !generation.tool_calls.empty();
  if (said && generation.completion_tokens == 0 && services_.policy->backend() == "openai")
    ++services_.counters->uncounted;
  budget_.count(generation);
  services_.counters->prompt_tokens += generation.prompt_tokens;
  services_.counters->completion_tokens += generation.completion_tokens;
}

// All candidates of the turn, or the first failure among them.
Async<Result<Generations>> Rollout::generate() {
  for (;;) {
    const std::int64_t before = budget_.sampled();
    auto answers = co_await generate_once();
    Generations generations;
    std::optional<Error> failed;
    if (!answers)
      failed = std::move(answers).error();
    else
      for (auto& answer : *answers) {
        if (answer)
          generations.push_back(std::move(*answer));
        else if (!failed)
          failed = std::move(answer).error();
      }
    if (!failed) co_return generations;
    budget_.waste(budget_.sampled() - before);
    const bool full = failed->message.find(kContextFull) != std::string::npos;
    if (full && config_.context == ContextPolicy::truncate && cut_oldest_observation()) continue;
    co_return std::move(*failed);
  }
}

// One call a candidate, ended early when a supervisor stops the rollout or its wall time is spent.
// The model itself keeps `limits_.model`, so that waiting for a place is not taken for a slow
// model.
Async<Result<std::vector<Result<Generation>>>> Rollout::generate_once() {
  const Milliseconds limit = budget_.wall_left();
  const auto asked = Steady::now();
  const auto taken_up = std::make_shared<TakenUp>();
  std::vector<Async<Result<Generation>>> calls;
  for (int candidate = 0; candidate < config_.candidates; ++candidate) {
    GenerateRequest one = request(candidate);
    one.taken_up = taken_up;
    calls.push_back(sample(std::move(one)));
  }
  auto work = gather(std::move(calls));
  StopAlarm::Wait wait(alarm_, strand_, Steady::now() + limit);
  auto both = race(std::move(work), wait.timer());
  auto ended = co_await std::move(both);
  if (supervision_.stopped()) co_return Error{ErrorKind::cancelled, "stopped"};
  // What took longer is to blame. A place that becomes free in the last moment, because others'
  // time ends too, helps nobody.
  const auto waited = std::chrono::duration_cast<Milliseconds>(
      taken_up->at().value_or(TakenUp::Time::max()) - asked);
  if (ended.rang && ended.in_time && 2 * waited > limit) {
    out_of_places_ = true;
    co_return Error{ErrorKind::timeout,
                    fmt::format("wall time: {} ms are spent, {} of them waiting for a "
                                "place at {} (raise its max_in_flight, or lower concurrency)",
                                limits_.wall.count(), std::min(waited, limit).count(),
                                services_.policy->name())};
  }
  if (ended.rang && ended.in_time) {
    Error late = no_answer_in(limit, services_.policy->name());
    late.message += ", all that was left of wall_ms: " + std::to_string(limits_.wall.count());
    if (const auto trouble = services_.policy->trouble()) late.message += "; " + *trouble;
    co_return late;
  }
  if (ended.failure) std::rethrow_exception(ended.failure);
  const auto came = [](const Result<Generation>& answer) { return bool(answer); };
  if (std::all_of(ended.result.begin(), ended.result.end(), came))
    seen_messages_ = asked_messages_ + 1;
  co_return std::move(ended.result);
}

// Makes room by cutting the oldest observation that still stands; false when there is none.
bool Rollout::cut_oldest_observation() {
  for (std::size_t turn = 0; turn < record_.turns.size(); ++turn)
    for (std::size_t i = 0; i < record_.turns[turn]->observations.size(); ++i) {
      const Observation& seen = record_.turns[turn]->observations[i];
      if (seen.tool_call_id.empty() || seen.extra.contains(kCutBefore)) continue;
      mark_cut(turn, i, static_cast<int>(record_.turns.size()));
      cut_.push_back(json::array{turn, i});
      conversation_ = messages_of(record_);
      seen_messages_ = 0;
      return true;
    }
  return false;
}

void Rollout::mark_cut(std::size_t turn, std::size_t observation, int before_turn) {
  auto marked = std::make_shared<Turn>(*record_.turns[turn]);
  marked->observations[observation].extra[kCutBefore] = before_turn;
  record_.turns[turn] = std::move(marked);
}

// What an earlier process had cut before that turn, which is journalled with it.
void Rollout::restore_cut(int before_turn, const json::value& places) {
  if (!places.is_array()) return;
  for (const auto& place : places.get_array()) {
    const auto* pair = place.if_array();
    if (!pair || pair->size() != 2) continue;
    const auto* turn = (*pair)[0].if_int64();
    const auto* observation = (*pair)[1].if_int64();
    if (!turn || !observation || *turn < 0 || *turn >= before_turn || *observation < 0) continue;
    const auto t = static_cast<std::size_t>(*turn), i = static_cast<std::size_t>(*observation);
    if (t >= record_.turns.size() || i >= record_.turns[t]->observations.size()) continue;
    mark_cut(t, i, before_turn);
    cut_before_.insert(before_turn);
  }
}

Async<Status> Rollout::record_turn(std::shared_ptr<Turn> turn) {
  if (!cut_.empty()) tokens_.forget();
  if (turn->candidates)
    for (auto& candidate : *turn->candidates)
      if (candidate.tokens) tokens_.shorten(*candidate.tokens);
  if (turn->assistant.tokens)
    tokens_.add(turn->index, *turn->assistant.tokens);
  else
    tokens_.lose();
  conversation_.push_back(as_message(turn->assistant));
  for (const auto& observation : turn->observations)
    conversation_.push_back(as_message(observation));
  // At most one turn is not yet safe at any time: the former's journal entry first.
  co_await journal_.join();
  if (!journal_status_) co_return journal_status_;
  begin_journal();
  auto judgements = take_findings();
  auto entry = std::make_shared<Turn>(*turn);
  entry->extra[kSpent] = budget_.to_json();
  if (!cut_.empty()) entry->extra[kCut] = std::exchange(cut_, {});
  record_.turns.push_back(std::move(turn));
  ++services_.counters->turns;
  supervision_.turn_finished(snapshot());
  journal_.spawn(strand_, journal_turn(std::move(entry), std::move(judgements)));
  co_return Status{};
}

// Before the first turn there is nothing to keep, and a waiting rollout costs no row.
void Rollout::begin_journal() {
  if (!record_.turns.empty()) return;
  journal_.spawn(strand_, journal_start(snapshot()));  // written together with what follows
}

Async<void> Rollout::journal_start(TrajectoryRef start) {
  auto status = co_await services_.store->begin(std::move(start));
  if (!status && journal_status_) journal_status_ = std::move(status);
}

Async<void> Rollout::journal_turn(TurnRef turn, std::vector<Judgement> judgements) {
  auto status =
      co_await services_.store->append_turn(record_.id, std::move(turn), std::move(judgements));
  if (!status && journal_status_) journal_status_ = std::move(status);
}

// Puts what supervision found into the turns; what the journal has to hear of it.
std::vector<Judgement> Rollout::take_findings() {
  std::vector<Judgement> judgements;
  for (const int index : supervision_.newly_complete()) {
    const TurnFinding* finding = supervision_.finding(index);
    auto& place = record_.turns[static_cast<std::size_t>(index)];
    auto judged = std::make_shared<Turn>(*place);
    judged->decision = finding->decision;
    judged->decided_by = finding->decided_by;
    if (!finding->reason.empty()) judged->action_extra["reason"] = finding->reason;
    judged->timing.supervise_ms = finding->supervise_ms;
    summarise_scores(*judged, index, finding->labels);
    place = judged;
    if (!finding->labels.empty() || finding->decision != Decision::proceed)
      judgements.push_back({judged, finding->labels});
  }
  return judgements;
}

Async<Result<TrajectoryRef>> Rollout::finish(Outcome outcome) {
  begin_journal();  // of one without a turn
  co_await supervision_.all_opinions();
  co_await journal_.join();
  if (!journal_status_) co_return journal_status_.error();
  // The findings of the last turn go into the record itself; its journal is dropped with it.
  (void)take_findings();
  record_.labels.clear();
  for (std::size_t i = 0; i < record_.turns.size(); ++i)
    if (const auto* finding = supervision_.finding(static_cast<int>(i)))
      record_.labels.insert(record_.labels.end(), finding->labels.begin(), finding->labels.end());

  record_.outcome = std::move(outcome);
  record_.tokens = tokens_.tokens();
  json::object facts;
  if (record_.observation.is_object()) facts = record_.observation.get_object();
  if (auto parted = tokens_.parted(); !parted.is_null()) facts["tokens_parted"] = std::move(parted);
  if (tools_->replayed() > 0) facts["replayed_executions"] = tools_->replayed();
  if (!facts.empty()) record_.observation = std::move(facts);
  json::object usage{{"turns", record_.turns.size()}};
  for (auto& pair : budget_.to_json()) usage[pair.key()] = std::move(pair.value());
  record_.extra["usage"] = std::move(usage);

  auto grading = graded(&services_, snapshot());
  record_.outcome = co_await std::move(grading);
  if (why_ungraded(record_.outcome)) ++services_.counters->errors;
  auto whole = snapshot();
  auto more = co_await supervision_.finished(std::move(whole));
  record_.labels.insert(record_.labels.end(), std::make_move_iterator(more.begin()),
                        std::make_move_iterator(more.end()));
  if (record_.outcome.status == OutcomeStatus::error) ++services_.counters->errors;
  // Half of what some supervisors say is worse than nothing (a return with a turn missing).
  for (const auto& instance : services_.supervisors) {
    const bool failed = std::any_of(
        record_.labels.begin(), record_.labels.end(),
        [&](const Label& label) { return is_failed_supervision(label, instance.alias); });
    if (failed && instance.supervisor->all_or_nothing()) withdraw_labels(record_, instance.alias);
  }
  summarise_scores(record_);
  auto final_record = snapshot();
  auto status = co_await services_.store->finish(final_record);
  if (!status) co_return status.error();
  ++services_.counters->finished;
  co_return final_record;
}

}  // namespace

std::string trajectory_id(const std::string& run, const std::string& task, int sample) {
  return (run.empty() ? "" : run + "-") + task + "-" + std::to_string(sample);
}

Async<Result<TrajectoryRef>> roll_out(const RolloutServices* services, RolloutPlan plan) {
  auto strand = co_await asio::this_coro::executor;
  Rollout rollout(*services, std::move(plan), strand);
  co_return co_await rollout.play();
}

}  // namespace proctor
