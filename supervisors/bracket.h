// Comparing candidate actions of one turn: merging equal ones, knockout, round robin, scores.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/records.h"

namespace proctor {

// What a candidate would do: its tool calls (names and arguments with sorted keys), else its text
// as an answer; nothing when it says neither or does not parse.
std::optional<std::string> action_of(const Assistant& candidate);

// One judge's verdicts on a pair, in call order: 1 and 2 are the responses as that call showed
// them.
struct PairVotes {
  int a = 0, b = 0;  // a was Response 1 of the first call
  std::vector<std::optional<int>>
      verdicts;  // the second call shows (b, a); empty: no call was made
};
enum class PairResult { a, b, tie, none };
// One vote a verdict; majority wins, 1:1 is a tie, no verdict is none.
PairResult count_votes(const std::vector<std::optional<int>>& verdicts);
// Both orders were judged, and they disagree.
bool is_flip(const std::vector<std::optional<int>>& verdicts);

// Asks for the verdicts of (a, b); once for each pair of a turn.
using ComparePair = std::function<Async<Result<PairVotes>>(int a, int b)>;

struct Match {
  PairVotes votes;
  PairResult result = PairResult::none;
  std::optional<int> winner;  // who goes on; in round robin nothing where nobody won
  bool judged() const { return !votes.verdicts.empty(); }
};

struct Bracket {
  std::vector<Match> matches;   // in the order played
  std::map<int, int> merged;    // index ─▶ the first equal one
  std::optional<int> winner;    // nothing when no candidate has an action
  bool default_winner = false;  // it went on from a comparison without any verdict
  bool unsure = false;          // its last judged comparison was a tie, none, or a flip

  int first_equal(int candidate) const;
  // (wins + ties / 2) / comparisons of the candidate; nothing when it met nobody, or no comparison
  // of the bracket came to a result.
  std::optional<double> score_of(int candidate) const;
  // Share of the pairs with two verdicts whose verdicts disagree; nothing when no pair has two.
  std::optional<double> flip_rate() const;
};

// Neighbours play; an odd one out goes on and plays first in the next round. Ties and pairs without
// a verdict go to the higher count of equals, then to the lower index. The matches of a round run
// side by side.
Async<Result<Bracket>> play_knockout(std::vector<Assistant> candidates, ComparePair compare);
// Everybody against everybody; most wins, same tie rule.
Async<Result<Bracket>> play_round_robin(std::vector<Assistant> candidates, ComparePair compare);
// One against each that differs from it; the others are not merged, and nobody wins.
Async<Result<Bracket>> play_against(std::vector<Assistant> candidates, int one,
                                    ComparePair compare);

}  // namespace proctor
