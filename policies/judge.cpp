// Calls, what equal questions have in common, and fencing.
//
// Blind spot: the cache knows content only; a judge that is not deterministic gives its first
// answer to every equal question of a run.
#include "policies/judge.h"

#include <algorithm>
#include <array>

#include "runtime/core/determinism.h"
#include "runtime/core/text.h"

namespace proctor {
namespace {

// All that a reply depends on.
std::string question_of(const GenerateRequest& request) {
  std::string text = json::serialize(to_json(request.sampling)) + '\n' + request.grammar + '\n' +
                     request.asker.purpose + '\n';
  for (const Message& message : request.messages) text += json::serialize(to_json(message)) + '\n';
  return text;
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

std::string behind_sections(std::string_view reply) {
  constexpr std::array<std::string_view, 5> kSections{"reason", "state", "criteria", "analysis",
                                                      "think"};
  std::string text(reply), lower = lower_ascii(reply);
  const auto erase = [&](std::size_t from, std::size_t to) {
    text.erase(from, to - from);
    lower.erase(from, to - from);
  };
  // Templates that open the thought leave its end alone in the reply.
  constexpr std::string_view kThought = "</think>";
  const std::size_t thought = lower.rfind(kThought);
  if (thought != std::string::npos && lower.find("<think>") > thought)
    erase(0, thought + kThought.size());
  for (;;) {
    std::size_t first = std::string::npos;
    std::string_view name;
    for (const std::string_view each : kSections)
      if (const std::size_t at = lower.find("<" + std::string(each) + ">"); at < first) {
        first = at;
        name = each;
      }
    if (first == std::string::npos) return text;
    // To its last end: an earlier one may be quoted.
    const std::string close = "</" + std::string(name) + ">";
    const std::size_t end = lower.rfind(close);
    erase(first, end == std::string::npos || end < first ? text.size() : end + close.size());
  }
}

void Turnout::add(const std::optional<Error>& failed) {
  ++asked;
  came += failed ? 0 : 1;
  if (failed && (!failure || failure->kind == ErrorKind::timeout)) failure = failed;
}

bool Turnout::is_failure() const {
  return came == 0 && failure && failure->kind != ErrorKind::timeout;
}

void Turnout::tell(json::object& evidence) const {
  if (came == asked) return;
  evidence["votes_came"] = came;
  evidence["votes_asked"] = asked;
  evidence["error"] = json::string(failure->message);
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
  reply.cut = generation->finish_reason == "length";
  reply.cost.model_calls = 1;
  reply.cost.prompt_tokens = generation->prompt_tokens;
  reply.cost.completion_tokens = generation->completion_tokens;
  reply.cost.wall_ms = to_ms(std::chrono::steady_clock::now() - started);
  co_return reply;
}

Async<Result<Judge::Reply>> Judge::reply_in_time(
    GenerateRequest request, std::optional<std::chrono::steady_clock::time_point> until) {
  auto work = reply_to(std::move(request));
  if (!until) co_return co_await std::move(work);
  const auto left =
      std::chrono::duration_cast<Milliseconds>(*until - std::chrono::steady_clock::now());
  std::string what = "the judge";
  const Milliseconds limit = std::max(left, Milliseconds(0));
  auto reply = co_await with_deadline(std::move(work), limit, std::move(what));
  // A server whose tries fail is not slow.
  if (!reply && reply.error().kind == ErrorKind::timeout)
    if (const auto trouble = model_->trouble())
      co_return unavailable(*trouble + "; no answer before the deadline");
  co_return reply;
}

Async<Result<Judge::Reply>> Judge::reply_to(GenerateRequest request) {
  std::string question = question_of(request);
  auto shared = std::make_shared<GenerateRequest>(std::move(request));
  std::function<Async<Result<Reply>>()> ask = [this, shared] { return call(*shared); };
  auto reply = co_await replies_.get(std::move(question), std::move(ask));
  co_return reply;
}

}  // namespace proctor
