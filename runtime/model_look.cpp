// Blind spot: what a server was not asked for (tool calls, scoring, embeddings) is told by its
// kind.
#include "runtime/model_look.h"

#include <fmt/format.h>

#include <vector>

#include "runtime/core/text.h"

namespace proctor {
namespace {

Async<Result<ModelLook>> look(ModelRef model, Milliseconds limit) {
  auto can = co_await model->capabilities();
  if (!can) co_return std::move(can).error();
  ModelLook found{.can = *can};
  if (model->backend() != "openai") co_return found;
  GenerateRequest request;
  request.messages.push_back({.role = "user", .content = "Hello"});
  request.sampling.max_tokens = 1;
  request.limit = limit;
  auto said = co_await model->generate(std::move(request));
  if (said) {
    const auto& tokens = said->tokens;
    found.can.token_ids = tokens.has_value();
    found.can.logprobs = tokens && !tokens->logprobs.empty();
    found.said = std::move(*said);
  } else if (said.error().kind == ErrorKind::bad_input) {
    found.refusal = said.error().message;
  } else {
    co_return std::move(said).error();
  }
  co_return found;
}

}  // namespace

Async<Result<ModelLook>> look_at(ModelRef model, Milliseconds limit) {
  auto work = look(model, limit / 2);
  std::string what = model->name();
  auto found = co_await with_deadline(std::move(work), limit, std::move(what));
  if (!found)
    if (const auto trouble = model->trouble(); trouble && found.error().kind == ErrorKind::timeout)
      co_return std::move(found).error().in(*trouble);
  co_return found;
}

std::string ModelLook::text() const {
  std::vector<std::string> seen, told;
  const auto list = [](std::vector<std::string>& words, bool able, const char* word) {
    if (able) words.emplace_back(word);
  };
  auto& tried = said ? seen : told;
  list(tried, can.generate, "generate");
  list(tried, can.token_ids, "token ids");
  list(tried, can.logprobs, "logprobs");
  list(told, can.native_tools, "tool calls");
  list(told, can.score, "score");
  list(told, can.embed, "embed");
  list(told, can.grammar, "grammar");
  list(told, can.json_schema, "JSON schema");
  list(told, can.images, "images");
  std::string text = joined(told, ", ");
  if (said) text = joined(seen, ", ") + " (seen); " + text + " (not tried)";
  if (can.context > 0) text += fmt::format("; context {}", can.context);
  return text;
}

}  // namespace proctor
