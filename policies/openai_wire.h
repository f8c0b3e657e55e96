// The JSON of OpenAI-compatible servers: requests written, answers read, whole or in pieces.
//
// Everything read here is foreign: wrong types are passed over or become an Error, never a crash.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policies/model.h"

namespace proctor::openai {

// Which family of servers answers; decides the fields beyond OpenAI's own.
enum class Dialect { generic, vllm, sglang, llama_server };

// How requests to one server are written. Fields a server refused are switched off.
struct Wire {
  std::string model;
  Dialect dialect = Dialect::generic;
  bool token_ids = true;               // return_token_ids
  bool logprobs = true;                // logprobs, top_logprobs
  bool max_completion_tokens = false;  // instead of max_tokens
  bool structured_outputs = true;      // vLLM from 0.11; older: guided_grammar
  json::object extra_body;
};

// `bad_input` for fields of extra_body that would ask for another answer than the one that is read.
Status check_extra_body(const json::object& extra);

std::string chat_body(const GenerateRequest& request, const Wire& wire, bool stream);
// The same for /v1/completions with a prompt of exact ids.
std::string completions_body(const GenerateRequest& request,
                             const std::vector<std::int32_t>& prompt, const Wire& wire,
                             bool stream);
// For POST /tokenize (and llama-server's /apply-template): messages by the server's chat template,
// the next turn opened; or plain text.
std::string tokenize_body(const std::vector<Message>& messages, const Wire& wire,
                          const std::vector<ToolDefinition>& tools = {});
std::string tokenize_text_body(const std::string& text, const Wire& wire);

// What an error answer says, in one line: error.message, message, detail, or the text's beginning.
std::string error_message(std::string_view body);

// What to ask for instead of `asked` tokens after the server said, in `message`, that these do not
// fit behind the prompt; 0 where that leaves less than a turn. `context` where the message does not
// name it. "" for a message when what one said did not help.
int fewer_tokens(std::string_view message, std::int64_t context, int asked);

// One answer of chat/completions or completions, whole or event by event.
class AnswerReader {
 public:
  // `prompt`: the ids that were sent, for servers that do not give them back.
  explicit AnswerReader(std::function<void(std::string_view)> on_text = {},
                        std::optional<std::vector<std::int32_t>> prompt = {})
      : on_text_(std::move(on_text)), sent_ids_(std::move(prompt)) {}

  Status take_whole(std::string_view body);
  Status take_event(std::string_view data, std::string_view name = {});
  // After the last piece. `unavailable` when the answer is not complete or none at all.
  Result<Generation> finish();
  // A piece of text has been handed on already, so the request cannot be made again unnoticed.
  bool told() const { return told_; }
  bool streamed() const { return streamed_; }  // at least one event came

 private:
  struct Call {
    std::size_t index = 0;
    std::string id, name, arguments;
    std::optional<json::object> object;  // some servers give arguments unquoted
  };
  Status take(const json::object& root, bool delta);
  void take_text(const json::value* content);
  void take_refusal(const json::object& said);
  void take_calls(const json::array& calls, bool delta);
  void take_malformed(const json::value& calls);
  void take_ids(const json::object& root, const json::object& choice);
  void take_logprobs(const json::object& logprobs);
  void take_usage(const json::object& usage);
  void take_completion(const json::object& root);
  void drop_choice();
  void add_text(std::string_view piece);
  void close_calls();
  void place_tokens();

  std::function<void(std::string_view)> on_text_;
  bool told_ = false;
  std::optional<std::int64_t> choice_;  // the index of the one that is read: the lowest so far
  bool any_message_ = false;
  bool streamed_ = false;
  bool done_ = false;
  Generation generation_;
  std::vector<Call> calls_;
  bool too_many_calls_ = false;
  std::vector<std::string> malformed_calls_;                        // as they came
  std::optional<std::vector<std::int32_t>> sent_ids_, prompt_ids_;  // to the server; by its word
  std::vector<std::int32_t> ids_;
  std::vector<float> logprobs_;
  std::string sampled_;            // the text of the tokens that came with a log-probability
  std::vector<std::size_t> ends_;  // of each of them in it
};

// A number of /v1/completions' echo or vLLM's prompt_logprobs: the log-probabilities of the tokens
// behind `from` ids of the prompt.
Result<std::vector<double>> prompt_logprobs(std::string_view body,
                                            const std::vector<std::int32_t>& prompt,
                                            std::size_t from);
// From an echo answer: the tokens that reach behind character `from` of the prompt's text.
Result<Score> echoed_score(std::string_view body, std::size_t from, std::size_t end);

// Where a server strips the stop string, the closing tag of an element left open is put back.
void restore_stop(std::string& content, const std::vector<std::string>& stop);

}  // namespace proctor::openai
