// One engine: a llama.cpp context with a thread of its own that decodes a continuous batch.
//
// Sequences share the cells of the KV cache they have in common, and finished ones stay in it until
// the room is needed: a prefix is computed once, a conversation goes on where it stopped.
// Blind spot: an engine knows only its own cache; whoever hands out work asks `expected_work`.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "policies/llama_sampler.h"
#include "policies/llama_text.h"
#include "runtime/core/threads.h"

namespace proctor {

// One piece of work, its result, and the coroutine that waits for it.
struct LlamaJob {
  enum class Kind { generate, score, embed };
  Kind kind = Kind::generate;
  TokenIds ids;                 // the prompt, or all of the text to score or embed
  std::size_t score_from = 0;   // the first scored token; at least 1
  std::size_t most_tokens = 0;  // to generate
  Milliseconds limit{0};        // of its time in the batch; 0: none
  std::vector<std::string> stop;
  std::unique_ptr<LlamaSampler> sampler;
  std::shared_ptr<TakenUp> taken_up;  // marked when it is admitted; may be null

  // Written by the engine until `finish`, read by the waiting coroutine after it.
  TokenIds sampled;
  std::vector<float> logprobs;
  std::vector<float> embedding;
  std::string content;
  std::vector<std::size_t> ends;  // of each sampled token's text in `content`
  std::string finish_reason;
  std::size_t cached = 0;  // tokens that were in the KV cache already
  std::optional<Error> error;

  std::size_t told = 0;  // bytes of content given to on_text
  std::chrono::steady_clock::time_point submitted, admitted;

  // What lives on the waiting coroutine's executor.
  struct Waiter {
    explicit Waiter(const asio::any_io_executor& executor)
        : timer(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer timer;
    std::atomic<bool> finished = false;
    std::function<void(std::string_view)> on_text;  // emptied when the coroutine has left
  };
  // The coroutine leaves: nothing is posted to its executor any more, the engine drops the work.
  void abandon();
  bool abandoned() const { return abandoned_; }
  void finish();
  void tell(std::string text);
  void set_waiter(std::shared_ptr<Waiter> waiter) { waiter_ = std::move(waiter); }

 private:
  std::mutex mutex_;
  std::shared_ptr<Waiter> waiter_;  // guarded by mutex_
  std::atomic<bool> abandoned_ = false;
};
using LlamaJobRef = std::shared_ptr<LlamaJob>;

// What all engines of a model count together.
struct LlamaGauge {
  std::mutex mutex;
  Limiter::Usage usage;
};

inline constexpr std::size_t kMostSequences = 256;  // of one engine; llama.cpp's own bound

class LlamaEngine {
 public:
  struct Settings {
    std::size_t parallel = 8;    // sequences in one batch
    std::size_t cells = 8192;    // tokens in the KV cache
    std::size_t context = 8192;  // tokens in one sequence, at most `cells`
    std::size_t batch = 256;     // tokens decoded at once
    int threads = 1;
    bool deterministic = false;  // the same request gives the same bits, whatever came before
  };

  static Result<std::unique_ptr<LlamaEngine>> start(LlamaWeightsRef weights, Settings settings,
                                                    std::shared_ptr<LlamaGauge> gauge);
  ~LlamaEngine();  // ends the thread; work that is left fails

  void submit(LlamaJobRef job);
  // Makes the thread look for abandoned jobs.
  void wake();
  // Tokens to compute before such a job would be done here: those ahead of it, and its own that
  // are not in the cache.
  std::size_t expected_work(const LlamaJob& job) const;

 private:
  struct Sequence;
  struct Output;
  struct Match;
  class Cells;
  class Embedder;
  LlamaEngine(LlamaWeightsRef weights, Settings settings, std::shared_ptr<LlamaGauge> gauge);

  void run();
  bool is_next_to_embed(const LlamaJobRef& job);
  void drop_abandoned();
  void admit();
  Match best_match(const LlamaJob& job) const;
  std::size_t usable(const LlamaJob& job, const Sequence& sequence, std::size_t common) const;
  std::size_t growth(const LlamaJob& job, std::size_t computed) const;
  bool make_room(const LlamaJob& job, Match& match);
  Sequence* free_sequence(const Sequence* not_this);
  void begin(LlamaJobRef job, const Match& match);
  void cut(Sequence& sequence, std::size_t length);
  void build_batch();
  void add_tokens(Sequence& sequence, std::size_t count);
  void compute();
  void on_output(Sequence& sequence, const float* logits, std::size_t position);
  void on_sampled(LlamaJob& job, Picked picked);
  void end(Sequence& sequence);
  void fail_all(const Error& error);

  const LlamaWeightsRef weights_;
  const Settings settings_;
  const std::shared_ptr<LlamaGauge> gauge_;
  llama_context* context_ = nullptr;
  ggml_threadpool* pool_ = nullptr;
  llama_batch batch_{};
  std::unique_ptr<Embedder> embedder_;
  std::size_t most_outputs_ = 0;  // of one batch
  std::vector<float> scratch_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<LlamaJobRef> pending_;  // guarded by mutex_, like all below
  std::deque<LlamaJobRef> to_embed_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> active_;  // in the order they were admitted
  std::unique_ptr<Cells> cells_;
  std::vector<Output> outputs_;  // of the batch being computed
  std::uint64_t turn_ = 0;       // of the loop; for least recently used

  Threads thread_;
};

}  // namespace proctor
