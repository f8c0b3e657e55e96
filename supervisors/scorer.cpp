// Teacher-forced probabilities. Blind spot: a prompt longer than the scorer's context is the
// model's error, not cut here.
#include "supervisors/scorer.h"

#include <cmath>

#include "policies/format.h"

namespace proctor {
namespace {

std::string question_of(const ScoreRequest& request) {
  json::array messages;
  for (const Message& message : request.messages) messages.push_back(to_json(message));
  json::object whole;
  whole["messages"] = std::move(messages);
  whole["tools"] = to_json(request.tools);
  whole["assistant_prefix"] = request.assistant_prefix;
  whole["continuation"] = request.continuation;
  return json::serialize(whole);
}

}  // namespace

Async<Result<void>> Scorer::check() {
  if (!model_)
    co_return missing(
        "needs_logprobs: give --model scorer=URI of a model that scores given text (llama:..., or "
        "a vLLM server)");
  auto can = co_await model_->capabilities();
  if (!can) co_return std::move(can).error().in("scorer");
  if (!can->score)
    co_return missing("needs_logprobs: the model " + model_->name() + " (" + model_->backend() +
                      ") gives no log-probabilities of given text; give --model scorer=URI of one "
                      "that does (llama:..., or a vLLM server)");
  co_return Result<void>{};
}

Async<Result<Scorer::Confidence>> Scorer::ask(ScoreRequest request) {
  const auto started = std::chrono::steady_clock::now();
  auto score = co_await model_->score(std::move(request));
  if (!score) co_return std::move(score).error().in("scorer");
  if (score->logprobs.empty()) co_return internal_error("the scorer gave no log-probability");
  double sum = 0;
  for (const double logprob : score->logprobs) {
    if (!std::isfinite(logprob) || logprob > 0)
      co_return internal_error("the scorer gave a log-probability of " + std::to_string(logprob));
    sum += logprob;
  }
  Confidence confidence;
  confidence.tokens = static_cast<std::int64_t>(score->logprobs.size());
  confidence.logprob = sum;
  confidence.p = std::exp(sum / static_cast<double>(confidence.tokens));
  confidence.cost.model_calls = 1;
  confidence.cost.prompt_tokens = score->prompt_tokens;
  if (score->cached_tokens > 0) confidence.cost.extra["cached_tokens"] = score->cached_tokens;
  confidence.cost.wall_ms = to_ms(std::chrono::steady_clock::now() - started);
  co_return confidence;
}

Async<Result<Scorer::Confidence>> Scorer::confidence(ScoreRequest request) {
  if (!model_) co_return missing("needs_logprobs: no scorer model");
  std::string question = question_of(request);
  auto shared = std::make_shared<ScoreRequest>(std::move(request));
  std::function<Async<Result<Confidence>>()> to_ask = [this, shared] { return ask(*shared); };
  auto answer = co_await once_.get(std::move(question), std::move(to_ask));
  co_return answer;
}

}  // namespace proctor
