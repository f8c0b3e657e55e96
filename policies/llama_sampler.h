// Picks the next token of one sequence from the model's raw logits: temperature, truncation,
// grammar, and the token's log-probability.
//
// The log-probability is that of the policy itself: log-softmax of logits / temperature over the
// whole vocabulary (temperature 0 counts as 1). Truncation (top_k, top_p, min_p) and the grammar
// only renormalise it and are left out, so that whoever recomputes it from the ids gets the same.
#pragma once

#include <llama.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policies/model.h"
#include "runtime/core/determinism.h"

namespace proctor {

struct FreeGrammar {
  void operator()(llama_sampler* grammar) const { llama_sampler_free(grammar); }
};
using LlamaGrammar = std::unique_ptr<llama_sampler, FreeGrammar>;

struct Picked {
  std::int32_t token = 0;
  float logprob = 0;
};

// log-softmax of raw logits at one token.
float log_probability(const float* logits, int vocabulary, std::int32_t token);

class LlamaSampler {
 public:
  // `grammar` may be empty. With one, `never` (control tokens, whose spelling free text of a
  // grammar would allow) is not drawn; it outlives the sampler.
  LlamaSampler(const Sampling& sampling, LlamaGrammar grammar, int vocabulary,
               const std::vector<std::int32_t>& never);

  // Nothing: the grammar allows no token at all. Works in `scratch`, which may be shared by
  // samplers of one thread.
  std::optional<Picked> pick(const float* logits, std::vector<float>& scratch);

  // Tells the grammar of a token that was taken; not for tokens that end the turn.
  void accept(std::int32_t token);

 private:
  std::optional<std::int32_t> draw(const float* logits, std::vector<float>& weights);
  std::optional<std::int32_t> draw_allowed(std::vector<float>& weights, double total);
  void truncate(std::vector<float>& weights) const;
  bool allowed(std::int32_t token);
  void forbid(std::vector<float>& weights, const std::vector<std::int32_t>& tokens);

  Sampling sampling_;
  LlamaGrammar grammar_;
  int vocabulary_;
  const std::vector<std::int32_t>& never_;
  Rng chance_;
};

}  // namespace proctor
