// One OpenAI-compatible server: its address, key and settings, and requests to it with retries.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "policies/model.h"
#include "runtime/core/http_client.h"

namespace proctor::openai {

// A model URI "openai:http(s)://HOST:PORT/v1?key_env=NAME#MODEL" and the settings beside it.
struct Settings {
  HttpUrl url;        // target: the base path, "/v1"
  std::string model;  // "": the only one the server has
  std::string key_env;
  HttpHeaders headers;
  std::string ca_file;
  Milliseconds timeout{600'000};
  Milliseconds connect_timeout{10'000};
  // A server that is there says what it is at once; one that hangs is not waited for like an
  // answer.
  Milliseconds look_timeout{15'000};
  Milliseconds backoff{500};
  std::size_t wanted_in_flight = 1024;
  std::size_t max_in_flight = 1024;  // or fewer, where few files may be open
  int retries = 4;
  std::string stream = "auto";     // auto | true | false
  std::string score = "auto";      // auto | prompt_logprobs | echo
  std::string token_ids = "auto";  // auto | true | false
  std::int64_t context = 0;
  json::object extra_body;
};
Result<Settings> read_settings(const ModelConfig& config);

// One request; it is made again while that may help.
struct Call {
  std::string method = "POST";
  std::string target;
  std::string body;
  int retries = 0;
  Milliseconds limit{0};  // of each try, when shorter than the server's `timeout_ms`; 0: none
  // Judges a 2xx answer: an `unavailable` Error counts as a failed try.
  std::function<Status(HttpReply& reply)> accept;
  std::function<void()> begin;                            // before each try; may be empty
  std::function<void(std::chrono::nanoseconds)> waited;   // between the tries; may be empty
  std::function<Status(std::string_view piece)> on_body;  // may be empty
  std::function<bool()> told;                             // true: may not be made again
};

// How long to wait before the try behind try `attempt` (from 0): `backoff` doubled each time, of
// which `chance`, from [0, 1), takes away up to half, so that those who failed together do not come
// back together.
std::chrono::nanoseconds retry_wait(Milliseconds backoff, int attempt, double chance);
// How long to stay away of a server that asked for `left` more: up to a quarter longer.
std::chrono::nanoseconds longer_wait(std::chrono::nanoseconds left, double chance);

// A refusal that the caller may know a way around.
struct Refusal {
  int status = 0;
  std::string message;  // of the server
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> make(Settings settings);

  // `unavailable` after the retries, `missing` when the server refuses us, `bad_input` when it
  // refuses the request: then `refusal` says how.
  Async<Result<HttpReply>> ask(Call call, Refusal* refusal = nullptr) {
    return ask_for(std::make_shared<Call>(std::move(call)), refusal);
  }

  // What the last try failed with (`unavailable`), when none has been answered since.
  std::optional<std::string> trouble() const;

  const Settings& settings() const { return settings_; }
  std::string base() const { return settings_.url.origin() + settings_.url.target; }
  std::string path(std::string_view behind) const {
    return settings_.url.target + std::string(behind);
  }
  // Beside /v1, where vLLM keeps /tokenize and /version.
  std::string root_path(std::string_view behind) const;
  void close() { http_->close_idle(); }
  HttpClient::Counts counts() const { return http_->counts(); }

 private:
  struct Failure {
    Error error;
    bool again = false;
    std::optional<std::chrono::seconds> wait;
  };
  explicit Server(Settings settings) : settings_(std::move(settings)) {}
  Async<Result<HttpReply>> ask_for(std::shared_ptr<Call> call, Refusal* refusal);
  HttpRequest request_of(const Call& call, std::shared_ptr<const std::string> body) const;
  std::optional<Failure> judge(const Call& call, Result<HttpReply>& reply, int attempt,
                               Refusal* refusal) const;
  Failure judge_status(const Call& call, const HttpReply& reply, Refusal* refusal) const;
  void remember(const std::optional<Failure>& failure);
  std::optional<Error> refusing() const;
  Async<void> wait_before(int attempt, std::optional<std::chrono::seconds> asked);
  Async<void> wait_for_rate_limit();

  const Settings settings_;
  std::shared_ptr<HttpClient> http_;
  std::atomic<std::int64_t> not_before_ns_{0};  // steady time: the server asked all to wait
  std::atomic<std::uint64_t> waits_{0};
  mutable std::mutex mutex_;
  std::optional<std::string> trouble_;  // guarded by mutex_
  // It asked for a longer wait than anybody is made to wait: so long, all fail with this.
  std::optional<Error> refusing_;                        // guarded by mutex_
  std::chrono::steady_clock::time_point refuses_until_;  // guarded by mutex_
};

}  // namespace proctor::openai
