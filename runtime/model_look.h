// What a model can do, for people who look at their machine before a run.
#pragma once

#include <optional>
#include <string>

#include "policies/model.h"

namespace proctor {

struct ModelLook {
  Capabilities can;  // as the backend says
  // A server says little of itself, so it is asked for one token. What it gave: `token_ids` and
  // `logprobs` of `can` are seen then, and not guessed.
  std::optional<Generation> said;
  std::string refusal;  // the sentence of a server that did not want to give one

  // "generate, token ids (seen); tool calls, embed (not tried); context 4096"
  std::string text() const;
};

// An Error when the model is not there for us, or has no answer within `limit`.
Async<Result<ModelLook>> look_at(ModelRef model, Milliseconds limit);

}  // namespace proctor
