// A growing sequence; a prompt that does not continue it begins a new one.
#include "runtime/token_record.h"

#include <algorithm>

namespace proctor {

void TokenRecord::append(int turn, const std::vector<std::int32_t>& prompt,
                         const TurnTokens& sampled) {
  const std::size_t size = flat_.ids.size() + prompt.size() + sampled.ids.size();
  // What the prompt adds behind a turn belongs to that turn: its observations and scaffold.
  const int prompt_turn = flat_.ids.empty() ? -1 : turn - 1;
  flat_.ids.insert(flat_.ids.end(), prompt.begin(), prompt.end());
  flat_.turn.resize(flat_.ids.size(), prompt_turn);
  flat_.loss_mask.resize(flat_.ids.size(), 0);
  flat_.logprobs.resize(flat_.ids.size(), 0.0F);
  flat_.ids.insert(flat_.ids.end(), sampled.ids.begin(), sampled.ids.end());
  flat_.turn.resize(size, turn);
  flat_.loss_mask.resize(size, 1);
  if (sampled.logprobs.size() == sampled.ids.size()) {
    flat_.logprobs.insert(flat_.logprobs.end(), sampled.logprobs.begin(), sampled.logprobs.end());
  } else {
    flat_.logprobs.resize(size, 0.0F);
    whole_logprobs_ = whole_logprobs_ && sampled.ids.empty();
  }
}

std::size_t TokenRecord::shorten(TurnTokens& tokens) const {
  const auto& known = flat_.ids;
  const auto [mine, theirs] =
      std::mismatch(known.begin(), known.end(), tokens.prompt_ids.begin(), tokens.prompt_ids.end());
  if (mine == known.end()) {
    tokens.prompt_from = static_cast<std::int64_t>(known.size());
    tokens.prompt_ids.erase(tokens.prompt_ids.begin(), theirs);
  }
  return static_cast<std::size_t>(mine - known.begin());
}

void TokenRecord::add(int turn, TurnTokens& tokens) {
  const std::size_t alike = shorten(tokens);
  // The whole prompt stays in the turn, and the turns behind it go on from there.
  if (alike < flat_.ids.size()) part(turn, alike);
  append(turn, tokens.prompt_ids, tokens);
}

void TokenRecord::add_recorded(int turn, const TurnTokens& tokens) {
  TurnTokens whole = tokens;
  const std::size_t from = std::min(
      flat_.ids.size(), static_cast<std::size_t>(std::max<std::int64_t>(0, tokens.prompt_from)));
  whole.prompt_ids.insert(whole.prompt_ids.begin(), flat_.ids.begin(),
                          flat_.ids.begin() + static_cast<std::ptrdiff_t>(from));
  add(turn, whole);
}

void TokenRecord::lose() {
  lost_ = true;
  flat_ = {};
}

void TokenRecord::forget() {
  // Parted at the turn that follows, by our own hand.
  if (!flat_.turn.empty()) part(flat_.turn.back() + 1, 0);
}

void TokenRecord::part(int turn, std::size_t token) {
  if (!lost_) parted_ = {turn, token};
  lose();
}

std::optional<Tokens> TokenRecord::tokens() const {
  if (lost_ || flat_.ids.empty()) return std::nullopt;
  Tokens tokens = flat_;
  if (!whole_logprobs_) tokens.extra["logprobs_known"] = false;
  return tokens;
}

json::value TokenRecord::parted() const {
  if (!parted_) return nullptr;
  return json::object{{"turn", parted_->first}, {"token", parted_->second}};
}

}  // namespace proctor
