// Single flight, cache and fencing of judge calls.
//
// Blind spot: the cache knows content only; a judge that is not deterministic gives its first
// answer to every equal question of a run.
#include "policies/judge.h"

#include <openssl/evp.h>

#include "runtime/core/determinism.h"

namespace proctor {
namespace {

// Not hash64: the judged text is foreign, and must not be able to choose whose verdict it gets.
std::string key_of(const GenerateRequest& request) {
  std::string text = json::serialize(to_json(request.sampling)) + '\n' + request.grammar + '\n' +
                     request.asker.purpose + '\n';
  for (const Message& message : request.messages) text += json::serialize(to_json(message)) + '\n';
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  PROCTOR_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest), size};
}

}  // namespace

std::string fence(std::string_view name, std::string_view text) {
  std::string nonce = hex64(hash64(text));
  while (text.find(nonce) != std::string_view::npos) nonce = hex64(hash64(nonce));
  std::string fenced;
  fenced.reserve(text.size() + name.size() + 2 * nonce.size() + 16);
  fenced.append("<<<").append(name).append(" ").append(nonce).append("\n");
  fenced.append(text).append("\n").append(nonce).append(">>>");
  return fenced;
}

GenerateRequest Judge::request_for(const JudgeQuestion& question, int attempt) const {
  GenerateRequest request;
  request.messages = question.messages;
  request.sampling = question.sampling;
  if (attempt > 0) {
    request.sampling.temperature += attempt * question.retry_temperature_step;
    request.sampling.seed =
        derive_seed(question.sampling.seed, static_cast<std::uint64_t>(attempt));
  }
  request.grammar = question.grammar;
  request.want_tokens = false;
  request.asker = question.asker;
  request.asker.purpose = question.role;
  return request;
}

Async<Result<Judge::Reply>> Judge::call(GenerateRequest request) {
  const auto started = std::chrono::steady_clock::now();
  if (!request.grammar.empty()) {
    auto can = co_await model_->capabilities();
    if (!can) co_return std::move(can).error();
    if (!can->grammar) request.grammar.clear();
  }
  auto generation = co_await model_->generate(std::move(request));
  if (!generation) co_return std::move(generation).error();
  Reply reply;
  reply.text = std::move(generation->content);
  reply.cost.model_calls = 1;
  reply.cost.prompt_tokens = generation->prompt_tokens;
  reply.cost.completion_tokens = generation->completion_tokens;
  reply.cost.wall_ms = to_ms(std::chrono::steady_clock::now() - started);
  co_return reply;
}

void Judge::remember(const std::string& key, const Result<Reply>& reply) {
  std::lock_guard lock(mutex_);
  flights_.erase(key);
  if (!reply || !replies_.emplace(key, *reply).second) return;
  oldest_.push_back(key);
  if (oldest_.size() <= kMostRemembered) return;
  replies_.erase(oldest_.front());
  oldest_.pop_front();
}

Async<Result<std::string>> Judge::reply_to(GenerateRequest request, Cost& cost) {
  const std::string key = key_of(request);
  std::shared_ptr<Flight> flight;
  {
    std::lock_guard lock(mutex_);
    if (auto found = replies_.find(key); found != replies_.end()) {
      cost += found->second.cost;
      co_return found->second.text;
    }
    auto& place = flights_[key];
    if (!place) place = std::make_shared<Flight>();
    flight = place;
  }
  auto lease = co_await flight->turn.acquire();
  if (!lease) co_return std::move(lease).error();
  // Whoever is cancelled while asking leaves no outcome, and the next in the queue asks instead.
  if (!flight->outcome) {
    auto reply = co_await call(std::move(request));
    remember(key, reply);
    flight->outcome = std::move(reply);
  }
  if (!*flight->outcome) co_return flight->outcome->error();
  cost += (*flight->outcome)->cost;
  co_return (*flight->outcome)->text;
}

}  // namespace proctor
