// A fast model server that thinks of nothing: canned turns for tests and benchmarks.
//
// It speaks enough of vLLM's OpenAI API to carry a conversation: a tool call in each of the first
// turns, then an answer; streamed or not; with token ids, tokenise, prompt log-probabilities; and
// it can fail in every way a real one does. Its tokens are bytes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace proctor {

struct MockOptions {
  unsigned short port = 0;  // 0: any
  int threads = 1;
  std::chrono::milliseconds delay{0};
  std::string model = "mock";
  int tool_turns = 3;  // tool calls before the answer
  std::string tool = "echo";
  std::string arguments = R"({"text":"hello"})";
  std::string answer = "42";
  bool hermes = false;         // tool calls as <tool_call> text instead of native ones
  bool function_call = false;  // native ones in OpenAI's first form, one a message
  bool refusal = false;        // the answer comes in the field for refusals
  bool token_ids = false;      // behaves as vLLM with return_token_ids, /tokenize, prompt_logprobs
  bool thinking = false;   // its template puts an empty thought into a last turn, as Qwen3's does
  int context = 0;         // tokens that fit; 0: any number
  int no_completions = 0;  // the status that /v1/completions has instead of an answer
  // none 401 403 404 429 500 garbage half_stream half_body close silent context context_exact
  // bad_arguments stream_error stream_error_line stream_error_event
  std::string fault = "none";
  int fault_times = -1;                  // this many requests fail, then all is well; -1: all fail
  int retry_after = 1;                   // seconds, of 429
  int models_status = 200;               // how it answers the question for its models
  std::string refuses;                   // a field of the request that it answers with 400
  std::string key;                       // an API key it insists on
  std::string tls_certificate, tls_key;  // PEM files; both or none
};

class MockServer {
 public:
  explicit MockServer(MockOptions options);
  ~MockServer();
  MockServer(const MockServer&) = delete;
  MockServer& operator=(const MockServer&) = delete;

  unsigned short port() const;
  std::string url() const;  // "http://127.0.0.1:PORT/v1"

  // Counted since the start; generations are chat and plain completions.
  std::size_t connections() const;
  std::size_t requests() const;
  std::size_t generations() const;
  std::size_t most_at_once() const;
  std::string last_generation() const;  // its body
  void close_connections();             // as a server does that restarts

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace proctor
