// llama — a GGUF model in the process: `llama:smollm2`, the embedded default, or `llama:PATH.gguf`.
//
// Several engines of one thread each instead of one with several: threads that compute one batch
// together wait for each other in a spinning barrier dozens of times a token, and on machines that
// also run sandboxes one that is preempted stops them all.
// Blind spot: the speed of one sequence alone; give `engines: 1` and `threads` for large models.
#include <filesystem>
#include <map>
#include <thread>

#include "policies/llama_engine.h"
#include "policies/llama_text.h"
#include "policies/model.h"
#include "runtime/core/paths.h"
#include "runtime/core/registry.h"

namespace proctor {
namespace {

struct LlamaSettings {
  std::size_t engines = 1;
  std::size_t queue = 4096;  // jobs that may wait; more are refused
  int gpu_layers = -1;
  LlamaEngine::Settings engine;
};

class LlamaModel final : public Model {
 public:
  LlamaModel(std::string name, LlamaWeightsRef weights, const LlamaSettings& settings,
             std::vector<std::unique_ptr<LlamaEngine>> engines, std::shared_ptr<LlamaGauge> gauge)
      : name_(std::move(name)),
        weights_(std::move(weights)),
        chat_(weights_),
        settings_(settings),
        gauge_(std::move(gauge)),
        engines_(std::move(engines)) {}

  std::string name() const override { return name_; }
  std::string backend() const override { return "llama"; }

  Async<Result<Capabilities>> capabilities() override {
    Capabilities can;
    can.token_ids = can.logprobs = can.score = can.embed = can.grammar = true;
    can.context = static_cast<std::int64_t>(settings_.engine.context);
    co_return can;
  }

  Limiter::Usage usage() const override {
    std::lock_guard lock(gauge_->mutex);
    return gauge_->usage;
  }

  void shut_down() override {
    std::vector<std::unique_ptr<LlamaEngine>> ended;
    {
      std::lock_guard lock(mutex_);
      ended.swap(engines_);
    }
  }

  Async<Result<Generation>> generate(GenerateRequest request) override {
    auto job = std::make_shared<LlamaJob>();
    job->ids = chat_.continued(request.seen_ids, request.seen_messages, request.messages);
    job->most_tokens = static_cast<std::size_t>(std::max(request.sampling.max_tokens, 1));
    job->stop = request.stop;
    job->limit = request.limit;
    job->taken_up = request.taken_up;
    auto grammar = grammar_for(request.grammar);
    if (!grammar) co_return std::move(grammar).error();
    job->sampler = std::make_unique<LlamaSampler>(request.sampling, std::move(*grammar),
                                                  weights_->vocabulary(), weights_->markup());
    if (auto fits = check_length(job->ids.size()); !fits) co_return std::move(fits).error();

    if (auto done = co_await work(job, request.on_text); !done) co_return std::move(done).error();
    Generation generation;
    generation.content = valid_utf8(job->content);
    generation.finish_reason = job->finish_reason;
    generation.prompt_tokens = static_cast<std::int64_t>(job->ids.size());
    generation.cached_tokens = static_cast<std::int64_t>(job->cached);
    generation.completion_tokens = static_cast<std::int64_t>(job->sampled.size());
    generation.queued_ms = to_ms(job->admitted - job->submitted);
    if (request.want_tokens) {
      TurnTokens tokens;
      tokens.prompt_ids = std::move(job->ids);
      tokens.ids = std::move(job->sampled);
      tokens.logprobs = std::move(job->logprobs);
      generation.tokens = std::move(tokens);
      // Bytes that were no text have become others, at places of their own.
      if (generation.content == job->content) generation.token_ends = std::move(job->ends);
    }
    co_return generation;
  }

  Async<Result<Score>> score(ScoreRequest request) override {
    Score score;
    if (request.continuation.empty()) co_return score;
    auto job = std::make_shared<LlamaJob>();
    job->kind = LlamaJob::Kind::score;
    job->ids = chat_.prompt(request.messages, request.assistant_prefix + request.continuation);
    job->score_from = first_scored(job->ids, request.continuation.size());
    if (auto fits = check_length(job->ids.size()); !fits) co_return std::move(fits).error();
    for (std::size_t i = job->score_from; i < job->ids.size(); ++i)
      score.texts.push_back(weights_->piece(job->ids[i]));
    score.prompt_tokens = static_cast<std::int64_t>(job->score_from);

    if (auto done = co_await work(job, nullptr); !done) co_return std::move(done).error();
    score.logprobs.assign(job->logprobs.begin(), job->logprobs.end());
    score.cached_tokens = static_cast<std::int64_t>(job->cached);
    co_return score;
  }

  Async<Result<std::vector<float>>> embed(std::string text) override {
    auto job = std::make_shared<LlamaJob>();
    job->kind = LlamaJob::Kind::embed;
    job->ids = weights_->tokens(text, false, true);
    if (job->ids.empty()) co_return bad_input("there is no text to embed");
    const std::size_t most = std::min<std::size_t>(settings_.engine.context, 2048);
    if (job->ids.size() > most)
      co_return bad_input("context_full: the text to embed has " + std::to_string(job->ids.size()) +
                          " tokens, the most is " + std::to_string(most));
    if (auto done = co_await work(job, nullptr); !done) co_return std::move(done).error();
    co_return std::move(job->embedding);
  }

 private:
  // Leaves the job behind, however the coroutine ends.
  struct Leaving {
    LlamaModel* model;
    LlamaJobRef job;
    bool done = false;
    ~Leaving() {
      job->abandon();
      if (!done) model->wake_engines();
    }
  };

  Async<Result<void>> work(LlamaJobRef job, std::function<void(std::string_view)> on_text) {
    auto executor = co_await asio::this_coro::executor;
    auto waiter = std::make_shared<LlamaJob::Waiter>(executor);
    waiter->on_text = std::move(on_text);
    job->set_waiter(waiter);
    Leaving leaving{this, job};
    if (auto given = submit(job); !given) co_return given;
    while (!waiter->finished) {
      boost::system::error_code woken;
      auto token = asio::redirect_error(asio::use_awaitable, woken);
      co_await waiter->timer.async_wait(token);
      auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none)
        throw boost::system::system_error(asio::error::operation_aborted);
    }
    leaving.done = true;
    waiter->on_text = nullptr;
    if (job->error) co_return *job->error;
    co_return Result<void>{};
  }

  // To the engine that would be done with it first.
  Result<void> submit(const LlamaJobRef& job) {
    std::lock_guard lock(mutex_);
    if (engines_.empty()) return unavailable("the model was shut down");
    if (const std::size_t waiting = usage().waiting; waiting >= settings_.queue)
      return unavailable("the embedded model is full: " + std::to_string(waiting) +
                         " requests are waiting already");
    LlamaEngine* best = nullptr;
    std::size_t least = SIZE_MAX;
    for (const auto& engine : engines_) {
      const std::size_t work = engine->expected_work(*job);
      if (work < least) best = engine.get();
      least = std::min(least, work);
    }
    best->submit(job);
    return {};
  }

  void wake_engines() {
    std::lock_guard lock(mutex_);
    for (const auto& engine : engines_) engine->wake();
  }

  Result<void> check_length(std::size_t tokens) const {
    if (tokens < settings_.engine.context) return {};
    return bad_input("context_full: the prompt has " + std::to_string(tokens) +
                     " tokens, the context " + std::to_string(settings_.engine.context));
  }

  // The first token that reaches into the last `length` bytes of the text.
  std::size_t first_scored(const TokenIds& ids, std::size_t length) const {
    std::size_t first = ids.size();
    std::size_t bytes = 0;
    while (first > 1 && bytes < length) bytes += weights_->piece(ids[--first]).size();
    return std::max<std::size_t>(first, 1);
  }

  // Parsing is slow beside copying what was parsed, and a run has a handful of grammars.
  Result<LlamaGrammar> grammar_for(const std::string& text) {
    if (text.empty()) return LlamaGrammar();
    std::lock_guard lock(grammars_mutex_);
    auto found = grammars_.find(text);
    if (found == grammars_.end()) {
      LlamaGrammar parsed(llama_sampler_init_grammar(weights_->vocab(), text.c_str(), "root"));
      if (!parsed) return bad_input("llama.cpp cannot read the grammar: " + take_llama_complaint());
      if (grammars_.size() >= 64) grammars_.clear();
      found = grammars_.emplace(text, std::move(parsed)).first;
    }
    return LlamaGrammar(llama_sampler_clone(found->second.get()));
  }

  const std::string name_;
  const LlamaWeightsRef weights_;
  const LlamaChat chat_;
  const LlamaSettings settings_;
  const std::shared_ptr<LlamaGauge> gauge_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<LlamaEngine>> engines_;  // guarded by mutex_
  std::mutex grammars_mutex_;
  std::map<std::string, LlamaGrammar> grammars_;
};

// One thread an engine as long as the model is small enough for one core to be of use.
void choose_engines(LlamaSettings& settings, std::uint64_t model_bytes, bool deterministic,
                    std::int64_t engines, std::int64_t threads, std::int64_t parallel) {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  const bool small = model_bytes < (1ULL << 30);
  const bool gpu = llama_supports_gpu_offload();
  if (engines > 0)
    settings.engines = static_cast<std::size_t>(engines);
  else
    settings.engines = small && !gpu ? std::min<std::size_t>(cores, 8) : 1;
  settings.engine.threads = static_cast<int>(threads > 0    ? threads
                                             : small || gpu ? 1
                                                            : (cores + 1) / 2);
  const std::size_t all = parallel > 0 ? static_cast<std::size_t>(parallel) : 16;
  const std::size_t each = (all + settings.engines - 1) / settings.engines;
  settings.engine.parallel = deterministic ? 1 : std::min(each, kMostSequences);
}

Result<ModelRef> make_llama(const ModelConfig& config) {
  const std::string target = config.uri.substr(config.uri.find(':') + 1);
  if (target.empty()) return bad_input("expected llama:smollm2 or llama:PATH.gguf");
  Fields given(config.settings, "");
  const std::vector<std::string> known = {"uri",           "parallel",   "engines",  "threads",
                                          "context",       "batch",      "queue",    "cache_tokens",
                                          "deterministic", "gpu_layers", "price_in", "price_out",
                                          "max_in_flight"};
  std::map<std::string, std::int64_t> number;
  for (const char* name : {"parallel", "engines", "threads", "context", "batch", "queue",
                           "cache_tokens", "max_in_flight"}) {
    number[name] = given.integer_or(name, 0);
    if (given.has(name) && number[name] < 1)
      return bad_input(std::string(name) + ": expected 1 or more");
  }
  const bool deterministic = given.boolean_or("deterministic", false);
  const std::int64_t gpu_layers = given.integer_or("gpu_layers", -1);
  for (const char* name : {"uri", "price_in", "price_out"}) given.any(name);
  if (!given.status()) return given.status().error();
  for (const auto& [key, value] : given.rest())
    return bad_input("unknown setting '" + std::string(key) + "'" + nearest_hint(key, known));

  const bool embedded = target == "smollm2";
  const std::string path = embedded ? data_directory() + "/models/smollm2.gguf" : target;
  if (std::error_code error; embedded && !std::filesystem::exists(path, error))
    return missing("the embedded model is not there (" + path +
                   "); scripts/fetch_llama.sh fetches it");
  auto weights = LlamaWeights::load(path, static_cast<int>(gpu_layers));
  if (!weights) return std::move(weights).error();

  LlamaSettings settings;
  if (number["parallel"] == 0) number["parallel"] = number["max_in_flight"];
  choose_engines(settings, llama_model_size((*weights)->model()), deterministic, number["engines"],
                 number["threads"], number["parallel"]);
  if (number["queue"] > 0) settings.queue = static_cast<std::size_t>(number["queue"]);
  if (number["batch"] > 0) settings.engine.batch = static_cast<std::size_t>(number["batch"]);
  settings.engine.deterministic = deterministic;
  // Cells come in blocks of 256, and a batch must fit.
  const auto blocks = [](std::size_t count) { return (count + 255) / 256 * 256; };
  const std::int64_t trained = (*weights)->trained_context();
  const std::int64_t all_cells = number["cache_tokens"] > 0 ? number["cache_tokens"] : 16384;
  std::size_t cells = blocks(static_cast<std::size_t>(all_cells) / settings.engines);
  std::size_t context =
      static_cast<std::size_t>(number["context"] > 0 ? std::min(number["context"], trained)
                                                     : std::min<std::int64_t>(trained, 8192));
  if (number["context"] > 0) cells = std::max(cells, blocks(context));
  settings.engine.parallel = std::min(settings.engine.parallel, cells);
  settings.engine.batch = std::clamp(settings.engine.batch, settings.engine.parallel, cells);
  settings.engine.cells = cells;
  settings.engine.context = std::min(context, cells);

  auto gauge = std::make_shared<LlamaGauge>();
  gauge->usage.capacity = settings.engine.parallel * settings.engines;
  std::vector<std::unique_ptr<LlamaEngine>> engines;
  for (std::size_t i = 0; i < settings.engines; ++i) {
    auto engine = LlamaEngine::start(*weights, settings.engine, gauge);
    if (!engine) return std::move(engine).error();
    engines.push_back(std::move(*engine));
  }
  const std::string name = embedded ? target : std::filesystem::path(path).stem().string();
  return ModelRef(std::make_shared<LlamaModel>(name, std::move(*weights), settings,
                                               std::move(engines), std::move(gauge)));
}

const bool registered_ = [] {
  Registry<ModelMaker>::instance().add(
      {.name = "llama", .summary = "a GGUF model in the process, by llama.cpp"}, make_llama);
  return true;
}();

}  // namespace
}  // namespace proctor
