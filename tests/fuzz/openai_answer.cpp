// Answers of model servers, whole and event by event: any bytes give a turn or an Error, and a
// turn's log-probabilities always belong to its ids.
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "policies/openai_wire.h"
#include "runtime/core/sse.h"

namespace {

using namespace proctor;
using namespace proctor::openai;

void check(const Result<Generation>& turn) {
  if (!turn) return;
  bool holds = !turn->finish_reason.empty();
  if (turn->tokens) {
    const TurnTokens& tokens = *turn->tokens;
    if (!tokens.ids.empty())
      holds = holds && (tokens.logprobs.empty() || tokens.logprobs.size() == tokens.ids.size());
    for (const float value : tokens.logprobs) holds = holds && std::isfinite(value) && value <= 0;
    for (const std::int32_t id : tokens.ids) holds = holds && id >= 0;
  }
  for (const ToolCall& call : turn->tool_calls)
    holds = holds && !call.id.empty() && !call.name.empty();
  if (holds) return;
  std::cerr << "a turn that cannot be\n";
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  AnswerReader whole;
  if (whole.take_whole(text)) check(whole.finish());

  AnswerReader streamed;
  SseParser events;
  const SseParser::Event take = [&streamed](std::string_view name, std::string_view data) {
    return streamed.take_event(data, name);
  };
  if (events.take(text, take)) check(streamed.finish());

  (void)error_message(text);
  (void)prompt_logprobs(text, {5, 7, 8}, 1);
  (void)echoed_score(text, 3, 9);
  return 0;
}
