// The front door of policies: a Model generates turns, scores given text, embeds text, and says
// which of these it can.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/determinism.h"
#include "runtime/core/records.h"

namespace proctor {

struct Sampling {
  double temperature = 1.0;
  double top_p = 1.0;
  int top_k = 0;  // 0: off
  double min_p = 0.0;
  std::uint64_t seed = 0;
  int max_tokens = 512;
};
json::object to_json(const Sampling& sampling);

// Who asks: the script backend matches on it, logs name it, caches ignore it.
struct Asker {
  std::string task_id;
  int sample = 0;
  int turn = 0;
  int candidate = 0;               // of several actions sampled for the turn
  std::string purpose = "policy";  // policy, judge, teacher, ... (the role)
};

struct ToolDefinition {
  std::string name;
  std::string description;
  json::object parameters;  // JSON schema of the arguments
};

// When a model took a request up; of several that share it, the first counts.
class TakenUp {
 public:
  using Time = std::chrono::steady_clock::time_point;
  void mark() {
    Time never{};
    at_.compare_exchange_strong(never, std::chrono::steady_clock::now());
  }
  std::optional<Time> at() const {
    const Time at = at_;
    return at == Time{} ? std::nullopt : std::optional(at);
  }

 private:
  std::atomic<Time> at_{};
};

struct GenerateRequest {
  std::vector<Message> messages;
  // The conversation in exact ids as far as it is known: everything the model saw and sampled in
  // the turns before. `seen_messages` of `messages` are covered by it. A backend that reports
  // token ids continues these ids and tokenises only what is new; others ignore both.
  std::vector<std::int32_t> seen_ids;
  std::size_t seen_messages = 0;
  std::vector<ToolDefinition> tools;  // for backends with native tool calls; else empty
  Sampling sampling;
  std::vector<std::string> stop;  // the stop string itself is left in `content`
  std::string grammar;            // GBNF; "" = free. Needs Capabilities::grammar
  json::value json_schema;        // null = free. Needs Capabilities::json_schema
  bool want_tokens = true;        // ids and log-probabilities where the backend has them
  Asker asker;
  // How long one answer may take, from when the model takes the request up: waiting for a place,
  // or because a server asked to be left alone, does not count. 0: no such limit.
  Milliseconds limit{0};
  // For a caller whose own time ends before the answer comes; may be null.
  std::shared_ptr<TakenUp> taken_up;
  // Called with each piece of text as it arrives, on the caller's executor; may be empty.
  std::function<void(std::string_view piece)> on_text;
};

struct Generation {
  std::string content;
  std::optional<std::string> reasoning;    // where the server separates it
  std::vector<ToolCall> tool_calls;        // native ones only; a chat format parses textual ones
  std::optional<std::string> parse_error;  // native tool-call arguments that are no JSON object
  std::string finish_reason;               // stop | length | tool_calls | content_filter
  // prompt_ids is always the whole prompt here (prompt_from = 0).
  std::optional<TurnTokens> tokens;
  // Where the text of each of `tokens->ids` ends, in bytes of all that was sampled; `content`
  // begins at byte `content_from` of it, behind a thought that was taken away. Empty: not known.
  std::vector<std::size_t> token_ends;
  std::size_t content_from = 0;
  json::object extra;  // what else the record's turn keeps
  std::int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double queued_ms = 0;  // of the call: until the model took it up
};

// log pi(continuation | messages as chat, then `assistant_prefix` of the opened assistant turn).
struct ScoreRequest {
  std::vector<Message> messages;
  std::vector<ToolDefinition> tools;  // as in GenerateRequest
  std::string assistant_prefix;
  std::string continuation;
  Asker asker;
};

// One natural log-probability a token of the continuation; tokens are found by character offsets,
// so a token that straddles the border belongs to the continuation.
struct Score {
  std::vector<double> logprobs;
  std::vector<std::string> texts;  // of the tokens, where known
  std::int64_t prompt_tokens = 0, cached_tokens = 0;
};

struct Capabilities {
  bool generate = true;
  bool native_tools = false;
  bool token_ids = false;
  bool logprobs = false;
  bool score = false;
  bool embed = false;
  bool grammar = false;
  bool json_schema = false;
  bool images = false;
  std::int64_t context = 0;  // tokens; 0 = not known
};

// Safe to call from any number of coroutines on any thread; the model bounds its own work in
// flight.
class Model {
 public:
  virtual ~Model() = default;
  virtual std::string name() const = 0;     // as records carry it
  virtual std::string backend() const = 0;  // openai | llama | script
  // What it can do, asked once and remembered. An Error when it cannot be reached (`missing`).
  virtual Async<Result<Capabilities>> capabilities() = 0;

  // `unavailable` may be tried again later (retries with backoff have been made already);
  // `bad_input` when the prompt cannot fit: the message begins with "context_full".
  virtual Async<Result<Generation>> generate(GenerateRequest request) = 0;
  virtual Async<Result<Score>> score(ScoreRequest request);           // `missing` unless able
  virtual Async<Result<std::vector<float>>> embed(std::string text);  // `missing` unless able
  virtual Limiter::Usage usage() const { return {}; }
  // Of a server: the requests at a time that it may be asked by its settings. usage().capacity is
  // less where too few files may be open.
  virtual std::size_t wanted_requests() const { return 0; }
  // What the last try of a request failed with, when none has succeeded since: why somebody may
  // still be waiting. Blind spot: it may have been the request of another.
  virtual std::optional<std::string> trouble() const { return std::nullopt; }
  virtual void shut_down() {}  // after the last call: ends threads, closes connections
};
using ModelRef = std::shared_ptr<Model>;

// Settings from the config's `models:` beside the URI: {"uri", "headers", "ca_file", "timeout_ms",
// "max_in_flight", "price_in", "price_out", "context", "threads", "deterministic", ...}.
struct ModelConfig {
  std::string uri;
  json::object settings;
};

// "openai:http://HOST:PORT/v1?key_env=NAME#MODEL", "llama:PATH.gguf", "llama:smollm2",
// "script:FILE.jsonl". `bad_input` for a URI that is none of these or unknown settings.
// Backends register in Registry<ModelMaker> under the URI's scheme.
using ModelMaker = std::function<Result<ModelRef>(const ModelConfig& config)>;
Result<ModelRef> make_model(const ModelConfig& config);

// The models of a run by role (policy, judge, teacher, refiner, scorer, embedder, vision). A role
// not given falls back to the policy's model.
class Models {
 public:
  void set(const std::string& role, ModelRef model) { models_[role] = std::move(model); }
  bool given(const std::string& role) const { return models_.contains(role); }
  ModelRef get(const std::string& role) const;  // nullptr: neither the role nor a policy was given
  const std::map<std::string, ModelRef>& all() const { return models_; }

 private:
  std::map<std::string, ModelRef> models_;
};

}  // namespace proctor
