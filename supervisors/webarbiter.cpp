// webarbiter — a judge compares the candidate actions of a turn in pairs, by criteria of its own.
//
// After WebArbiter (arXiv 2601.21872). Judges recorded candidates: which one should have been
// executed, how the executed one did, and how often the judge contradicts itself when the two are
// shown the other way round. Cost: K - 1 comparisons a turn in a knockout, two calls each with
// orders=both. Blind spot: it sees text only, and all candidates may be wrong.
#include <algorithm>
#include <set>

#include "runtime/core/text.h"
#include "supervisors/bracket.h"
#include "supervisors/steps.h"
#include "supervisors/supervisor.h"

namespace proctor {
namespace {

const std::string kSystem =
    std::string(R"(You judge which of two responses of an agent brings it closer to its goal.
Derive your criteria from this instruction and this state; use no fixed checklist. Do not reward
length, and do not reward a confident tone: look at what the action does.
)") +
    kFenceRule + R"(
Answer in this order:
<state>what the state is, in one or two sentences</state>
<criteria>the criteria you derive from the instruction and the state, one a line</criteria>
<analysis>each criterion, grounded in the observation, applied to both responses</analysis>
<answer>Response 1</answer> or <answer>Response 2</answer>)";

// For embedded models, which are small and held to the form.
constexpr const char* kGrammar =
    R"(root ::= "<state>" some "</state>\n<criteria>" some "</criteria>\n<analysis>" some "</analysis>\n<answer>Response " [12] "</answer>"
some ::= [^<]{1,200}
)";

constexpr std::size_t kMostRationale = 2000;

// 1 or 2 by the last <answer> behind the sections that names one; nothing else is a verdict. A
// reply that was cut has one only where it had come to its end.
std::optional<int> read_answer(const JudgeReply& reply) {
  const std::string lower = lower_ascii(behind_sections(reply.text));
  if (reply.cut && !trimmed(lower).ends_with("</answer>")) return std::nullopt;
  std::optional<int> verdict;
  for (std::size_t open = lower.find("<answer>"); open != std::string::npos;
       open = lower.find("<answer>", open + 8)) {
    const std::size_t close = lower.find("</answer>", open);
    if (close == std::string::npos) break;
    std::string_view inside = trimmed(std::string_view(lower).substr(open + 8, close - open - 8));
    for (const std::string_view word : {"response", "action"})
      if (inside.starts_with(word)) inside = trimmed(inside.substr(word.size()));
    if (inside == "1") verdict = 1;
    if (inside == "2") verdict = 2;
  }
  return verdict;
}

// A reply with a verdict.
struct Opinionated {
  int verdict = 0;
  bool criteria = false;
};

std::optional<Opinionated> read_reply(const JudgeReply& reply) {
  const auto verdict = read_answer(reply);
  if (!verdict) return std::nullopt;
  const std::string lower = lower_ascii(reply.text);
  const std::size_t open = lower.find("<criteria>"), close = lower.find("</criteria>");
  const bool criteria =
      open != std::string::npos && close != std::string::npos && close > open + 10 &&
      !trimmed(std::string_view(lower).substr(open + 10, close - open - 10)).empty();
  return Opinionated{*verdict, criteria};
}

std::string thought_and_action(const Assistant& said) {
  std::string text;
  if (said.reasoning) text += "Thought: " + *said.reasoning + "\n";
  const std::string content(trimmed(said.content));
  if (said.tool_calls.empty()) return text + "Answer: " + content;
  if (!content.empty()) text += "Thought: " + content + "\n";
  for (const ToolCall& call : said.tool_calls)
    text += "Action: " + call.name + " " + canonical_json(call.arguments) + "\n";
  return text;
}

// What was on the screen before the turn: the last observation of the turns before; at the first
// turn, what the prompt shows beyond the instruction.
std::string observation_before(const Trajectory& trajectory, std::size_t turn) {
  for (std::size_t t = turn; t-- > 0;)
    if (!trajectory.turns[t]->observations.empty())
      return trajectory.turns[t]->observations.back().content;
  if (!trajectory.prefix || trajectory.prefix->empty()) return "";
  const Message& last = trajectory.prefix->back();
  if (last.role == "system") return "";
  std::string text = last.text();
  return trajectory.task && text == trajectory.task->question() ? "" : text;
}

// Shared by the comparisons of one turn.
struct Account {
  std::chrono::steady_clock::time_point until;  // for all of them together
  Cost cost;
  bool principles_missing = false;
  std::string last_reply;
  Turnout turnout;
};

class WebArbiter final : public Supervisor {
 public:
  WebArbiter(const Options& options, const SupervisorServices& services)
      : judge_(services.judge ? services.judge("judge") : nullptr),
        services_(services),
        both_orders_(options.text("orders") == "both"),
        bracket_(options.text("bracket")),
        retries_(static_cast<int>(options.integer("retries"))),
        most_observation_(static_cast<std::size_t>(options.integer("max_obs_chars"))),
        most_chars_(static_cast<std::size_t>(options.integer("max_chars"))) {
    for (const auto& name : options.list("irreversible")) irreversible_.insert(name);
  }

  bool has_on_turn() const override { return true; }
  std::optional<std::string> idle_in_runs(int candidates) const override {
    if (candidates > 1) return std::nullopt;
    return "it compares candidates, and one is sampled a turn (search.candidates: 5 samples more)";
  }

  Async<Result<void>> prepare() override {
    if (!judge_ || !judge_->model()) co_return missing("needs a judge: give --model judge=URI");
    auto can = co_await judge_->model()->capabilities();
    if (!can) co_return std::move(can).error();
    co_return Result<void>{};
  }

  Status accepts(const Trajectory& trajectory) const override {
    for (std::size_t t = 0; t < trajectory.turns.size(); ++t) {
      const Turn& turn = *trajectory.turns[t];
      const std::string path = "turns[" + std::to_string(t) + "]";
      if (!turn.candidates) continue;
      const int size = static_cast<int>(turn.candidates->size());
      if (size == 0)
        return bad_input(path + ".candidates: is empty; webarbiter needs at least one, or null");
      if (turn.chosen && (*turn.chosen < 0 || *turn.chosen >= size))
        return bad_input(path + ".chosen: there is no candidate " + std::to_string(*turn.chosen) +
                         "; there are " + std::to_string(size));
      if (bracket_ != "gold") continue;
      auto right = gold_of(trajectory, t);
      if (!right) return std::move(right).error();
      if (*right && (**right < 0 || **right >= size))
        return bad_input("task.gold.candidates[" + std::to_string(t) + "]: there is no candidate " +
                         std::to_string(**right) + "; there are " + std::to_string(size));
    }
    return {};
  }

  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override {
    Opinion opinion;
    const Turn& turn = *so_far->turns.back();
    if (!turn.candidates) co_return opinion;
    if (auto accepted = accepts(*so_far); !accepted) co_return std::move(accepted).error();
    if (!judge_ || !judge_->model()) co_return missing("needs a judge");
    auto account = std::make_shared<Account>();
    account->until = services_.end_of_waiting();
    ComparePair compare = [this, so_far, account](int a, int b) {
      return this->compare(so_far, account, a, b);
    };
    const std::vector<Assistant>& candidates = *turn.candidates;
    std::optional<int> right;
    Result<Bracket> played = Bracket{};
    if (bracket_ == "gold") {
      right = *gold_of(*so_far, so_far->turns.size() - 1);
      if (right) played = co_await play_against(candidates, *right, std::move(compare));
    } else if (bracket_ == "round_robin") {
      played = co_await play_round_robin(candidates, std::move(compare));
    } else {
      played = co_await play_knockout(candidates, std::move(compare));
    }
    if (!played) co_return std::move(played).error();
    if (bracket_ != "gold")
      add_winner(opinion, turn, *played, *account);
    else if (right)
      add_gold(opinion, *played, *right, *account);
    Label flips{.name = "flip_rate", .value = played->flip_rate()};
    opinion.labels.push_back(std::move(flips));
    co_return opinion;
  }

 private:
  // The right candidate of the turn: nothing where gold is null or too short.
  static Result<std::optional<int>> gold_of(const Trajectory& trajectory, std::size_t turn) {
    const auto* given = trajectory.task ? trajectory.task->gold.if_contains("candidates") : nullptr;
    if (!given || given->is_null()) return std::optional<int>();
    const auto* list = given->if_array();
    if (!list) return bad_input("task.gold.candidates: expected a list, one entry a turn");
    if (turn >= list->size() || (*list)[turn].is_null()) return std::optional<int>();
    if (!(*list)[turn].is_int64())
      return bad_input("task.gold.candidates[" + std::to_string(turn) +
                       "]: expected the index of a candidate, or null");
    return std::optional<int>(static_cast<int>((*list)[turn].get_int64()));
  }

  Async<Result<PairVotes>> compare(TrajectoryRef so_far, std::shared_ptr<Account> account, int a,
                                   int b) {
    PairVotes votes;
    // One order only: always the lower index first, so that equal pairs are asked equally.
    votes.a = both_orders_ ? a : std::min(a, b);
    votes.b = both_orders_ ? b : std::max(a, b);
    std::vector<Async<Verdict<Opinionated>>> calls;
    calls.push_back(ask(so_far, votes.a, votes.b, account->until));
    if (both_orders_) calls.push_back(ask(so_far, votes.b, votes.a, account->until));
    auto verdicts = co_await gather(std::move(calls));
    Turnout of_pair;
    for (auto& verdict : verdicts) {
      of_pair.add(verdict);
      account->turnout.add(verdict);
      account->cost += verdict.cost;
      if (verdict.tries > 0) account->last_reply = verdict.reply;
      if (verdict.value) {
        account->principles_missing |= !verdict.value->criteria;
        votes.verdicts.push_back(verdict.value->verdict);
      } else {
        votes.verdicts.push_back(std::nullopt);
      }
    }
    if (of_pair.is_failure()) co_return std::move(*of_pair.failure);
    co_return votes;
  }

  Async<Verdict<Opinionated>> ask(TrajectoryRef so_far, int first, int second,
                                  std::chrono::steady_clock::time_point until) {
    const std::size_t turn = so_far->turns.size() - 1;
    const auto& candidates = *so_far->turns[turn]->candidates;
    std::string history;
    for (std::size_t t = 0; t < turn; ++t)
      history +=
          std::to_string(t + 1) + ". " + thought_and_action(so_far->turns[t]->assistant) + "\n";
    const std::string seen = observation_before(*so_far, turn);
    const auto shown = [&](int index) {
      return last_part(thought_and_action(candidates[static_cast<std::size_t>(index)]),
                       most_chars_);
    };
    const std::string user =
        "Instruction:\n" + fence("INSTRUCTION", so_far->task ? so_far->task->question() : "") +
        "\n\nObservation:\n" +
        (seen.empty() ? "(empty)" : fence("OBSERVATION", first_part(seen, most_observation_))) +
        "\n\nHistory:\n" +
        (history.empty() ? "(none)" : fence("HISTORY", last_part(history, most_chars_))) +
        "\n\nResponse 1:\n" + fence("RESPONSE", shown(first)) + "\n\nResponse 2:\n" +
        fence("RESPONSE", shown(second));
    JudgeQuestion question;
    question.messages = {{.role = "system", .content = json::string(kSystem)},
                         {.role = "user", .content = json::string(user)}};
    question.sampling.seed = derive_seed(services_.seed, "webarbiter");
    question.retries = retries_;
    question.until = until;
    if (judge_->model()->backend() == "llama") question.grammar = kGrammar;
    question.asker.task_id = so_far->task_id;
    question.asker.sample = so_far->sample;
    question.asker.turn = static_cast<int>(turn);
    std::function<std::optional<Opinionated>(const JudgeReply&)> parse = read_reply;
    auto verdict = co_await judge_->ask(std::move(question), std::move(parse));
    co_return verdict;
  }

  bool is_irreversible(const Assistant& candidate) const {
    return std::any_of(candidate.tool_calls.begin(), candidate.tool_calls.end(),
                       [&](const ToolCall& call) { return irreversible_.contains(call.name); });
  }

  void add_winner(Opinion& opinion, const Turn& turn, const Bracket& bracket,
                  const Account& account) const {
    Label winner{.name = "winner"};
    bool execute = false;
    if (bracket.winner) {
      winner.value = *bracket.winner;
      const auto& candidate = (*turn.candidates)[static_cast<std::size_t>(*bracket.winner)];
      execute = !(bracket.unsure && is_irreversible(candidate));
    }
    winner.verdict = execute ? "execute" : "escalate";
    if (!account.last_reply.empty())
      winner.rationale = first_part(account.last_reply, kMostRationale);
    json::array matches;
    for (const Match& match : bracket.matches) {
      json::array verdicts;
      for (const auto& verdict : match.votes.verdicts)
        verdicts.push_back(verdict ? json::value(*verdict) : json::value(nullptr));
      json::object entry{{"a", match.votes.a}, {"b", match.votes.b}};
      entry["verdicts"] = std::move(verdicts);
      entry["winner"] = match.winner ? json::value(*match.winner) : json::value(nullptr);
      matches.push_back(std::move(entry));
    }
    json::object merged;
    for (const auto& [index, first] : bracket.merged) merged[std::to_string(index)] = first;
    winner.evidence["bracket"] = std::move(matches);
    winner.evidence["merged"] = std::move(merged);
    winner.evidence["default_winner"] = bracket.default_winner;
    winner.evidence["principles_missing"] = account.principles_missing;
    account.turnout.tell(winner.evidence);
    winner.cost = account.cost;
    opinion.labels.push_back(std::move(winner));
    Label reward{.name = "reward"};
    if (bracket.winner && turn.chosen) reward.value = bracket.score_of(*turn.chosen);
    opinion.labels.push_back(std::move(reward));
  }

  static void add_gold(Opinion& opinion, const Bracket& bracket, int right,
                       const Account& account) {
    int wins = 0;
    for (const Match& match : bracket.matches) wins += match.winner == right ? 1 : 0;
    const int pairs = static_cast<int>(bracket.matches.size());
    Label pairwise{.name = "pairwise"};
    if (pairs > 0) pairwise.value = static_cast<double>(wins) / pairs;
    pairwise.evidence["wins"] = wins;
    pairwise.evidence["pairs"] = pairs;
    account.turnout.tell(pairwise.evidence);
    pairwise.cost = account.cost;
    opinion.labels.push_back(std::move(pairwise));
    Label bon{.name = "bon"};
    if (pairs > 0) bon.value = wins == pairs ? 1 : 0;
    opinion.labels.push_back(std::move(bon));
  }

  const std::shared_ptr<Judge> judge_;
  const SupervisorServices services_;
  const bool both_orders_;
  const std::string bracket_;
  const int retries_;
  const std::size_t most_observation_, most_chars_;
  std::set<std::string> irreversible_;
};

Result<SupervisorRef> make_webarbiter(const Options& options, const SupervisorServices& services) {
  return SupervisorRef(std::make_shared<WebArbiter>(options, services));
}

REGISTER_SUPERVISOR(
    {.name = "webarbiter",
     .summary = "a judge compares the candidate actions of a turn in pairs",
     .options = {{.name = "orders",
                  .type = OptionType::choice,
                  .fallback = "both",
                  .meaning = "show each pair both ways round, or once",
                  .choices = {"both", "single"}},
                 {.name = "bracket",
                  .type = OptionType::choice,
                  .fallback = "knockout",
                  .meaning = "who meets whom; gold: the right candidate meets each other one",
                  .choices = {"knockout", "round_robin", "gold"}},
                 {.name = "retries",
                  .type = OptionType::integer,
                  .fallback = 1,
                  .meaning = "after a reply without a verdict, at temperature + 0.3",
                  .least = 0,
                  .most = 16},
                 {.name = "irreversible",
                  .type = OptionType::list,
                  .fallback = nullptr,
                  .meaning = "tools whose calls must not win by a tie, no verdict or a flip"},
                 {.name = "max_obs_chars",
                  .type = OptionType::integer,
                  .fallback = 20000,
                  .meaning = "where the observation is cut",
                  .least = 1},
                 max_chars_option()},
     .labels = {"winner (turn)", "reward (turn)", "flip_rate (turn)", "pairwise (turn)",
                "bon (turn)"},
     .roles = {"judge"}},
    make_webarbiter)

}  // namespace
}  // namespace proctor
