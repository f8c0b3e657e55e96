// Brackets. Blind spot: equal means equal calls; two wordings of one query are two candidates.
#include "supervisors/bracket.h"

#include <algorithm>

#include "runtime/core/text.h"

namespace proctor {
namespace {

// What the bracket knows of the candidates before anyone is asked.
struct Field {
  std::vector<std::optional<std::string>> actions;
  std::vector<int> players;  // distinct ones, in sampling order
  std::vector<int> counts;   // by candidate: how many are equal to it
  std::map<int, int> merged;

  Field(const std::vector<Assistant>& candidates, bool merge) {
    for (const Assistant& candidate : candidates) actions.push_back(action_of(candidate));
    counts.assign(candidates.size(), 1);
    for (int i = 0; i < static_cast<int>(candidates.size()); ++i) {
      const auto equal = std::find_if(players.begin(), players.end(),
                                      [&](int first) { return merge && this->equal(i, first); });
      if (equal == players.end()) {
        players.push_back(i);
      } else {
        merged[i] = *equal;
        ++counts[static_cast<std::size_t>(*equal)];
      }
    }
  }

  template <class T>
  static const T& at(const std::vector<T>& values, int i) {
    return values[static_cast<std::size_t>(i)];
  }
  bool equal(int i, int j) const { return at(actions, i) && at(actions, i) == at(actions, j); }
  bool has_action(int i) const { return at(actions, i).has_value(); }
  bool any_action() const {
    return std::any_of(actions.begin(), actions.end(), [](const auto& a) { return a.has_value(); });
  }
  // Who goes on where no verdict tells.
  int preferred(int a, int b) const {
    if (at(counts, a) != at(counts, b)) return at(counts, a) > at(counts, b) ? a : b;
    return std::min(a, b);
  }
};

// An action beats none without a call; none against none is none.
Async<Result<Match>> play(std::shared_ptr<const Field> field, ComparePair compare, int a, int b) {
  Match match;
  match.votes.a = a;
  match.votes.b = b;
  if (field->has_action(a) != field->has_action(b)) {
    match.result = field->has_action(a) ? PairResult::a : PairResult::b;
  } else if (field->has_action(a)) {
    auto votes = co_await compare(a, b);
    if (!votes) co_return std::move(votes).error();
    match.votes = std::move(*votes);
    match.result = count_votes(match.votes.verdicts);
  }
  if (match.result == PairResult::a) match.winner = match.votes.a;
  if (match.result == PairResult::b) match.winner = match.votes.b;
  co_return match;
}

Async<Result<std::vector<Match>>> play_all(std::shared_ptr<const Field> field, ComparePair compare,
                                           std::vector<std::pair<int, int>> pairs) {
  std::vector<Async<Result<Match>>> works;
  for (const auto& [a, b] : pairs) works.push_back(play(field, compare, a, b));
  auto results = co_await gather(std::move(works));
  std::vector<Match> matches;
  for (auto& result : results) {
    if (!result) co_return std::move(result).error();
    matches.push_back(std::move(*result));
  }
  co_return matches;
}

// Looks at how sure the winner's way was.
void look_back(Bracket& bracket) {
  const auto involves = [&](const Match& match) {
    return match.votes.a == *bracket.winner || match.votes.b == *bracket.winner;
  };
  for (const Match& match : bracket.matches) {
    if (!involves(match)) continue;
    if (match.result == PairResult::none && match.winner == bracket.winner)
      bracket.default_winner = true;
    if (match.judged())
      bracket.unsure = match.result == PairResult::tie || match.result == PairResult::none ||
                       is_flip(match.votes.verdicts);
  }
}

}  // namespace

std::optional<std::string> action_of(const Assistant& candidate) {
  if (candidate.parse_error) return std::nullopt;
  if (!candidate.tool_calls.empty()) {
    std::string action;
    for (const ToolCall& call : candidate.tool_calls)
      action += "call " + call.name + " " + canonical_json(call.arguments) + "\n";
    return action;
  }
  const std::string_view text = trimmed(candidate.content);
  if (text.empty()) return std::nullopt;
  return "answer " + std::string(text);
}

PairResult count_votes(const std::vector<std::optional<int>>& verdicts) {
  int for_a = 0, for_b = 0;
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    if (!verdicts[i]) continue;
    const bool first_shown = *verdicts[i] == 1;
    ((first_shown == (i % 2 == 0)) ? for_a : for_b) += 1;
  }
  if (for_a + for_b == 0) return PairResult::none;
  if (for_a == for_b) return PairResult::tie;
  return for_a > for_b ? PairResult::a : PairResult::b;
}

bool is_flip(const std::vector<std::optional<int>>& verdicts) {
  return verdicts.size() == 2 && verdicts[0] && verdicts[1] && *verdicts[0] == *verdicts[1];
}

int Bracket::first_equal(int candidate) const {
  const auto found = merged.find(candidate);
  return found == merged.end() ? candidate : found->second;
}

std::optional<double> Bracket::score_of(int candidate) const {
  const int player = first_equal(candidate);
  double points = 0;
  int met = 0, decided = 0;
  for (const Match& match : matches) {
    decided += match.result == PairResult::none ? 0 : 1;
    if (match.votes.a != player && match.votes.b != player) continue;
    ++met;
    if (match.result == PairResult::tie || match.result == PairResult::none)
      points += 0.5;
    else if ((match.result == PairResult::a ? match.votes.a : match.votes.b) == player)
      points += 1;
  }
  if (met == 0 || decided == 0) return std::nullopt;
  return points / met;
}

std::optional<double> Bracket::flip_rate() const {
  int two = 0, flips = 0;
  for (const Match& match : matches) {
    const auto& verdicts = match.votes.verdicts;
    if (verdicts.size() != 2 || !verdicts[0] || !verdicts[1]) continue;
    ++two;
    flips += is_flip(verdicts) ? 1 : 0;
  }
  if (two == 0) return std::nullopt;
  return static_cast<double>(flips) / two;
}

Async<Result<Bracket>> play_knockout(std::vector<Assistant> candidates, ComparePair compare) {
  auto field = std::make_shared<const Field>(candidates, true);
  Bracket bracket;
  bracket.merged = field->merged;
  if (!field->any_action()) co_return bracket;
  std::vector<int> round = field->players;
  while (round.size() > 1) {
    std::vector<std::pair<int, int>> pairs;
    for (std::size_t i = 0; i + 1 < round.size(); i += 2)
      pairs.emplace_back(round[i], round[i + 1]);
    std::vector<int> next;
    if (round.size() % 2 == 1) next.push_back(round.back());
    auto matches = co_await play_all(field, compare, std::move(pairs));
    if (!matches) co_return std::move(matches).error();
    for (Match& match : *matches) {
      if (!match.winner) match.winner = field->preferred(match.votes.a, match.votes.b);
      next.push_back(*match.winner);
      bracket.matches.push_back(std::move(match));
    }
    round = std::move(next);
  }
  bracket.winner = round.front();
  look_back(bracket);
  co_return bracket;
}

Async<Result<Bracket>> play_round_robin(std::vector<Assistant> candidates, ComparePair compare) {
  auto field = std::make_shared<const Field>(candidates, true);
  Bracket bracket;
  bracket.merged = field->merged;
  if (!field->any_action()) co_return bracket;
  std::vector<std::pair<int, int>> pairs;
  for (std::size_t i = 0; i < field->players.size(); ++i)
    for (std::size_t j = i + 1; j < field->players.size(); ++j)
      pairs.emplace_back(field->players[i], field->players[j]);
  auto matches = co_await play_all(field, compare, std::move(pairs));
  if (!matches) co_return std::move(matches).error();
  bracket.matches = std::move(*matches);
  std::map<int, int> wins;
  for (const Match& match : bracket.matches)
    if (match.winner) ++wins[*match.winner];
  int best = field->players.front();
  for (const int player : field->players) {
    if (wins[player] > wins[best])
      best = player;
    else if (wins[player] == wins[best])
      best = field->preferred(best, player);
  }
  bracket.winner = best;
  look_back(bracket);
  // Nobody "goes on" here: it is a default where it won nothing and something had no verdict.
  bracket.default_winner =
      wins[best] == 0 &&
      std::any_of(bracket.matches.begin(), bracket.matches.end(), [&](const Match& match) {
        return match.result == PairResult::none && (match.votes.a == best || match.votes.b == best);
      });
  co_return bracket;
}

Async<Result<Bracket>> play_against(std::vector<Assistant> candidates, int one,
                                    ComparePair compare) {
  auto field = std::make_shared<const Field>(candidates, false);
  std::vector<std::pair<int, int>> pairs;
  for (const int other : field->players)
    if (other != one && !field->equal(other, one)) pairs.emplace_back(one, other);
  auto matches = co_await play_all(field, compare, std::move(pairs));
  if (!matches) co_return std::move(matches).error();
  Bracket bracket;
  bracket.matches = std::move(*matches);
  co_return bracket;
}

}  // namespace proctor
