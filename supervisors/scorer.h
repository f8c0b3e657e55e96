// Asks the `scorer` model how likely a given text is, once for equal texts.
#pragma once

#include <memory>
#include <string>

#include "policies/model.h"
#include "runtime/core/once.h"

namespace proctor {

class Scorer {
 public:
  explicit Scorer(ModelRef model) : model_(std::move(model)) {}

  // `missing` with a sentence that begins "needs_logprobs" when there is no model, or it cannot.
  Async<Result<void>> check();

  // exp of the mean log-probability of the continuation's tokens, in (0, 1]. A log-probability that
  // is positive or not finite, or none at all, is an Error: never a silent number.
  struct Confidence {
    double p = 0;
    double logprob = 0;  // of the whole continuation
    std::int64_t tokens = 0;
    Cost cost;  // of asking, also where another asker has paid for it
  };
  Async<Result<Confidence>> confidence(ScoreRequest request);

 private:
  Async<Result<Confidence>> ask(ScoreRequest request);

  ModelRef model_;
  Once<Confidence> once_;
};

}  // namespace proctor
