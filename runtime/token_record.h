// Exact token bookkeeping of one rollout: one flat sequence of the ids the model really saw and
// sampled in the turns that became part of the record, with mask, log-probabilities and turns.
//
// Blind spot: where a server renders history anew and its prompt no longer begins with what was
// seen before, there is no single sequence; the record then keeps the ids turn by turn, says at
// which turn and token they parted, and gives no flat sequence rather than a wrong one.
#pragma once

#include <optional>

#include "runtime/core/records.h"

namespace proctor {

class TokenRecord {
 public:
  // Takes one generation's ids, whole prompt given, and cuts `tokens.prompt_ids` down to what the
  // prompt adds behind the ids known so far.
  void add(int turn, TurnTokens& tokens);
  // The cut alone, for candidates that were not executed; how many ids are alike. No cut is made
  // where the prompt does not begin with all that is known.
  std::size_t shorten(TurnTokens& tokens) const;
  // As add(), from a record, where the cut is made already (resume).
  void add_recorded(int turn, const TurnTokens& tokens);
  // A turn without ids: there is no flat record, and nothing to continue until ids come again.
  void lose();
  // History is about to change (truncation): the next prompt is taken as it comes.
  void forget();

  // What the last call saw and sampled: what the next prompt may continue. Empty: not known.
  const std::vector<std::int32_t>& ids() const { return flat_.ids; }
  // The flat record; nothing when a turn had no ids, or when the ids parted.
  std::optional<Tokens> tokens() const;
  // {"turn": t, "token": n} where the ids parted; null while they have not.
  json::value parted() const;

 private:
  void part(int turn, std::size_t token);
  void append(int turn, const std::vector<std::int32_t>& prompt, const TurnTokens& sampled);

  Tokens flat_;
  bool lost_ = false;  // `flat_` is not the whole rollout
  bool whole_logprobs_ = true;
  std::optional<std::pair<int, std::size_t>> parted_;
};

}  // namespace proctor
