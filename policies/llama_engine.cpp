// The engine's loop: admit jobs, build one batch of what every sequence has to compute next, decode
// it, sample. One sequence may compute a long prompt while the others generate.
//
// Everything that coroutines or routing look at is guarded by one mutex, which is not held while
// the model computes or tokens are sampled: then only this thread touches the jobs it runs.
#include "policies/llama_engine.h"

#include <algorithm>
#include <cmath>

namespace proctor {
namespace {

constexpr std::size_t kLeastOutputs = 64;  // logits of one batch: 49,152 floats each
constexpr std::size_t kWorthWaiting = 32;  // tokens of a prefix that somebody computes just now
constexpr std::size_t kEmbedChunk = 64;    // a long text must not hold up the others

std::size_t common_prefix(const TokenIds& a, const TokenIds& b) {
  const auto [end, other] = std::mismatch(
      a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin());
  return static_cast<std::size_t>(end - a.begin());
}

std::int32_t token_at(const LlamaJob& job, std::size_t position) {
  return position < job.ids.size() ? job.ids[position] : job.sampled[position - job.ids.size()];
}

// How many tokens must have been computed before the job's next output.
std::size_t to_compute(const LlamaJob& job) {
  return job.kind == LlamaJob::Kind::score ? job.ids.size() - 1
                                           : job.ids.size() + job.sampled.size();
}

}  // namespace

void LlamaJob::abandon() {
  std::lock_guard lock(mutex_);
  abandoned_ = true;
  if (waiter_) waiter_->on_text = nullptr;
  waiter_.reset();
}

void LlamaJob::finish() {
  std::lock_guard lock(mutex_);
  if (!waiter_) return;
  asio::post(waiter_->timer.get_executor(), [waiter = waiter_] {
    waiter->finished = true;
    waiter->timer.cancel();
  });
  waiter_.reset();
}

void LlamaJob::tell(std::string text) {
  std::lock_guard lock(mutex_);
  if (!waiter_ || !waiter_->on_text) return;
  asio::post(waiter_->timer.get_executor(), [waiter = waiter_, text = std::move(text)] {
    if (waiter->on_text) waiter->on_text(text);
  });
}

// Counts which cells of the KV cache are in use: one for each token of each sequence, unless
// sequences share it.
class LlamaEngine::Cells {
 public:
  explicit Cells(std::size_t count) : users_(count, 0) {
    for (std::size_t i = count; i > 0; --i) free_.push_back(static_cast<std::uint32_t>(i - 1));
  }
  std::uint32_t take() {
    PROCTOR_CHECK(!free_.empty());
    const std::uint32_t cell = free_.back();
    free_.pop_back();
    users_[cell] = 1;
    return cell;
  }
  void share(std::uint32_t cell) { ++users_[cell]; }
  void give_back(std::uint32_t cell) {
    if (--users_[cell] == 0) free_.push_back(cell);
  }
  std::size_t free() const { return free_.size(); }

 private:
  std::vector<std::uint16_t> users_;
  std::vector<std::uint32_t> free_;
};

// What is in the KV cache under one sequence id; idle ones are kept for their prefix.
struct LlamaEngine::Sequence {
  llama_seq_id id = 0;
  TokenIds ids;                      // computed
  std::vector<std::uint32_t> cells;  // of each of them
  std::size_t canonical = 0;         // leading tokens computed in whole aligned batches
  LlamaJobRef job;                   // none: idle
  std::uint64_t last_used = 0;
};

struct LlamaEngine::Output {
  Sequence* sequence = nullptr;
  std::int32_t index = 0;    // in the batch
  std::size_t position = 0;  // of the token in its sequence
};

struct LlamaEngine::Match {
  Sequence* from = nullptr;
  std::size_t length = 0;    // tokens that can be taken over now
  std::size_t promised = 0;  // tokens that an active sequence will have after its prompt
};

// Mean of the last hidden states over all tokens, normalised. A context of its own, made at first
// use, since one that gives hidden states computes more than generation needs.
class LlamaEngine::Embedder {
 public:
  static std::unique_ptr<Embedder> make(const LlamaWeights& weights, std::size_t context,
                                        int threads) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(context);
    params.n_batch = params.n_ubatch = kEmbedChunk;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = threads;
    params.embeddings = true;
    params.pooling_type = LLAMA_POOLING_TYPE_NONE;
    params.no_perf = true;
    llama_context* made = llama_init_from_model(weights.model(), params);
    return made ? std::unique_ptr<Embedder>(new Embedder(weights, made)) : nullptr;
  }
  ~Embedder() {
    llama_batch_free(batch_);
    llama_free(context_);
  }

  // Computes the next piece of the text; true when the job is done.
  bool step(LlamaJob& job) {
    if (done_ == 0) {
      llama_memory_clear(llama_get_memory(context_), false);
      sum_.assign(static_cast<std::size_t>(width_), 0.0);
    }
    const std::size_t count = std::min(kEmbedChunk, job.ids.size() - done_);
    batch_.n_tokens = static_cast<std::int32_t>(count);
    for (std::size_t i = 0; i < count; ++i) {
      batch_.token[i] = job.ids[done_ + i];
      batch_.pos[i] = static_cast<llama_pos>(done_ + i);
      batch_.n_seq_id[i] = 1;
      batch_.seq_id[i][0] = 0;
      batch_.logits[i] = 1;
    }
    if (llama_decode(context_, batch_) != 0) {
      job.error = internal_error("llama.cpp could not compute an embedding");
      done_ = 0;
      return true;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const float* hidden = llama_get_embeddings_ith(context_, static_cast<std::int32_t>(i));
      for (int k = 0; k < width_; ++k) sum_[static_cast<std::size_t>(k)] += hidden[k];
    }
    done_ += count;
    if (done_ < job.ids.size()) return false;
    double square = 0;
    for (const double each : sum_) square += each * each;
    const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
    for (const double each : sum_) job.embedding.push_back(static_cast<float>(each * scale));
    done_ = 0;
    return true;
  }
  void forget() { done_ = 0; }

 private:
  Embedder(const LlamaWeights& weights, llama_context* context)
      : context_(context),
        batch_(llama_batch_init(kEmbedChunk, 0, 1)),
        width_(llama_model_n_embd(weights.model())) {}

  llama_context* context_;
  llama_batch batch_;
  int width_;
  std::size_t done_ = 0;
  std::vector<double> sum_;
};

Result<std::unique_ptr<LlamaEngine>> LlamaEngine::start(LlamaWeightsRef weights, Settings settings,
                                                        std::shared_ptr<LlamaGauge> gauge) {
  std::unique_ptr<LlamaEngine> engine(
      new LlamaEngine(std::move(weights), settings, std::move(gauge)));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<std::uint32_t>(settings.cells);
  params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(settings.batch);
  params.n_seq_max = static_cast<std::uint32_t>(engine->sequences_.size());
  params.n_outputs_max = params.n_outputs_max_per_seq =
      static_cast<std::uint32_t>(engine->most_outputs_);
  params.n_threads = params.n_threads_batch = settings.threads;
  // One buffer for all sequences, so that they can share cells; flash attention skips the cells of
  // the others, which makes that cheap.
  params.kv_unified = true;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.no_perf = true;
  engine->context_ = llama_init_from_model(engine->weights_->model(), params);
  if (engine->context_ == nullptr)
    return internal_error("llama.cpp gave no context of " + std::to_string(settings.cells) +
                          " tokens: " + take_llama_complaint());
  if (settings.threads > 1) {
    ggml_threadpool_params pool = ggml_threadpool_params_default(settings.threads);
    engine->pool_ = ggml_threadpool_new(&pool);
    llama_attach_threadpool(engine->context_, engine->pool_, engine->pool_);
  }
  auto started = engine->thread_.start(1, [raw = engine.get()] { raw->run(); });
  if (!started) return std::move(started).error();
  return engine;
}

LlamaEngine::LlamaEngine(LlamaWeightsRef weights, Settings settings,
                         std::shared_ptr<LlamaGauge> gauge)
    : weights_(std::move(weights)), settings_(settings), gauge_(std::move(gauge)) {
  const std::size_t count =
      settings_.deterministic ? 1 : std::min(settings_.parallel * 4 + 16, kMostSequences);
  for (std::size_t i = 0; i < count; ++i) {
    sequences_.push_back(std::make_unique<Sequence>());
    sequences_.back()->id = static_cast<llama_seq_id>(i);
  }
  most_outputs_ = std::max(kLeastOutputs, count);  // llama.cpp wants one a sequence at least
  cells_ = std::make_unique<Cells>(settings_.cells);
  batch_ = llama_batch_init(static_cast<std::int32_t>(settings_.batch), 0, 1);
}

LlamaEngine::~LlamaEngine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  embedder_.reset();
  llama_batch_free(batch_);
  if (context_ != nullptr) llama_free(context_);
  if (pool_ != nullptr) ggml_threadpool_free(pool_);
}

void LlamaEngine::submit(LlamaJobRef job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      job->error = unavailable("the model was shut down");
      job->finish();
      return;
    }
    job->submitted = std::chrono::steady_clock::now();
    {
      std::lock_guard counting(gauge_->mutex);
      ++gauge_->usage.acquired;
      ++gauge_->usage.waiting;
    }
    (job->kind == LlamaJob::Kind::embed ? to_embed_ : pending_).push_back(std::move(job));
  }
  wake_.notify_one();
}

void LlamaEngine::wake() {
  {
    std::lock_guard lock(mutex_);
  }
  wake_.notify_one();
}

std::size_t LlamaEngine::expected_work(const LlamaJob& job) const {
  std::lock_guard lock(mutex_);
  std::size_t work = 0;
  for (const auto& queue : {&pending_, &to_embed_})
    for (const LlamaJobRef& each : *queue) work += each->ids.size() / 4 + each->most_tokens;
  for (const Sequence* sequence : active_) work += growth(*sequence->job, sequence->ids.size());
  if (job.kind == LlamaJob::Kind::embed) return work;
  const Match match = best_match(job);
  return work + job.ids.size() - std::max(match.length, match.promised);
}

// Tokens that the job will still add to the cache when `computed` of it are there.
std::size_t LlamaEngine::growth(const LlamaJob& job, std::size_t computed) const {
  const std::size_t most = std::min(job.ids.size() + job.most_tokens, settings_.context);
  return most > computed ? most - computed : 0;
}

void LlamaEngine::run() {
  for (;;) {
    LlamaJobRef embedding;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] {
        return stopping_ || !pending_.empty() || !to_embed_.empty() || !active_.empty();
      });
      if (stopping_) break;
      ++turn_;
      drop_abandoned();
      admit();
      build_batch();
      if (!to_embed_.empty()) embedding = to_embed_.front();
    }
    try {
      if (batch_.n_tokens > 0) compute();
      if (embedding && is_next_to_embed(embedding)) {
        if (!embedder_) {
          const std::size_t context = std::min<std::size_t>(settings_.context, 2048);
          embedder_ = Embedder::make(*weights_, context, settings_.threads);
        }
        if (!embedder_) embedding->error = internal_error("llama.cpp gave no context to embed in");
        if (!embedder_ || embedder_->step(*embedding)) {
          std::lock_guard lock(mutex_);
          to_embed_.pop_front();
          std::lock_guard counting(gauge_->mutex);
          --gauge_->usage.waiting;
          embedding->finish();
        }
      }
    } catch (const std::exception& error) {  // llama.cpp throws std::runtime_error
      std::lock_guard lock(mutex_);
      fail_all(internal_error(std::string("llama.cpp failed: ") + error.what()));
    }
  }
  std::lock_guard lock(mutex_);
  fail_all(unavailable("the model was shut down"));
}

// No longer, when a failed batch ended all jobs.
bool LlamaEngine::is_next_to_embed(const LlamaJobRef& job) {
  std::lock_guard lock(mutex_);
  return !to_embed_.empty() && to_embed_.front() == job;
}

void LlamaEngine::drop_abandoned() {
  for (auto* queue : {&pending_, &to_embed_}) {
    if (queue == &to_embed_ && !queue->empty() && queue->front()->abandoned() && embedder_)
      embedder_->forget();
    const std::size_t dropped =
        std::erase_if(*queue, [](const LlamaJobRef& job) { return job->abandoned(); });
    std::lock_guard counting(gauge_->mutex);
    gauge_->usage.waiting -= dropped;
  }
  for (std::size_t i = active_.size(); i-- > 0;)
    if (active_[i]->job->abandoned()) end(*active_[i]);
}

// First come, first served; but a job waits while another computes the prefix it could share, and
// those behind it may pass.
void LlamaEngine::admit() {
  for (auto next = pending_.begin(); next != pending_.end();) {
    if (active_.size() >= settings_.parallel) return;
    Match match = best_match(**next);
    if (match.promised >= match.length + kWorthWaiting) {
      ++next;
      continue;
    }
    if (!make_room(**next, match)) return;
    LlamaJobRef job = *next;
    next = pending_.erase(next);
    begin(std::move(job), match);
  }
}

// How much of a common prefix the job may take over. The last token before the first output is
// always computed, for its logits. Deterministic engines take whole batches only, which were
// computed just as they would be now.
std::size_t LlamaEngine::usable(const LlamaJob& job, const Sequence& sequence,
                                std::size_t common) const {
  const bool score = job.kind == LlamaJob::Kind::score;
  common = std::min(common, (score ? job.score_from : job.ids.size()) - 1);
  if (!settings_.deterministic) return common;
  common = std::min(common, sequence.canonical);
  return common - common % settings_.batch;
}

LlamaEngine::Match LlamaEngine::best_match(const LlamaJob& job) const {
  Match best;
  for (const auto& sequence : sequences_) {
    const std::size_t length = usable(job, *sequence, common_prefix(job.ids, sequence->ids));
    // Among equals an idle one: it may be taken over in place.
    if (length > best.length || (length == best.length && length > 0 && !sequence->job)) {
      best.from = sequence.get();
      best.length = length;
    }
    if (sequence->job && sequence->ids.size() + 1 < sequence->job->ids.size())
      best.promised = std::max(best.promised,
                               usable(job, *sequence, common_prefix(job.ids, sequence->job->ids)));
  }
  return best;
}

// Frees cells until the job fits to its very end beside those that run, so that decoding never
// fails halfway. False: it must wait.
bool LlamaEngine::make_room(const LlamaJob& job, Match& match) {
  std::size_t wanted = growth(job, match.length);
  for (const Sequence* sequence : active_) wanted += growth(*sequence->job, sequence->ids.size());
  while (cells_->free() < wanted) {
    if (Sequence* oldest = free_sequence(match.from); oldest && !oldest->ids.empty()) {
      cut(*oldest, 0);
    } else if (match.from && !match.from->job && match.from->ids.size() > match.length) {
      cut(*match.from, match.length);  // its own continuation is not needed by this job
    } else {
      return false;
    }
  }
  return true;
}

// An idle sequence: an empty one, else the one least recently used that still holds something.
LlamaEngine::Sequence* LlamaEngine::free_sequence(const Sequence* not_this) {
  Sequence* found = nullptr;
  for (const auto& sequence : sequences_) {
    if (sequence->job || sequence.get() == not_this || sequence->ids.empty()) continue;
    if (!found || sequence->last_used < found->last_used) found = sequence.get();
  }
  return found;
}

void LlamaEngine::cut(Sequence& sequence, std::size_t length) {
  if (length >= sequence.ids.size()) return;
  llama_memory_seq_rm(llama_get_memory(context_), sequence.id, static_cast<llama_pos>(length), -1);
  for (std::size_t i = length; i < sequence.cells.size(); ++i) cells_->give_back(sequence.cells[i]);
  sequence.cells.resize(length);
  sequence.ids.resize(length);
  sequence.canonical = std::min(sequence.canonical, length);
}

void LlamaEngine::begin(LlamaJobRef job, const Match& match) {
  Sequence* target = nullptr;
  const bool goes_on = match.from && !match.from->job && match.from->ids.size() == match.length;
  if (goes_on || (match.from && sequences_.size() == 1)) {
    target = match.from;
  } else {
    for (const auto& sequence : sequences_)
      if (!sequence->job && sequence->ids.empty() && sequence.get() != match.from)
        target = sequence.get();
    if (!target) target = free_sequence(match.from);
    if (!target) target = match.from;  // idle, or `parallel` would have been reached
  }
  if (target == match.from) {
    cut(*target, match.length);
  } else {
    cut(*target, 0);
    if (match.length > 0) {
      llama_memory_seq_cp(llama_get_memory(context_), match.from->id, target->id, 0,
                          static_cast<llama_pos>(match.length));
      target->ids.assign(match.from->ids.begin(),
                         match.from->ids.begin() + static_cast<std::ptrdiff_t>(match.length));
      target->cells.assign(match.from->cells.begin(),
                           match.from->cells.begin() + static_cast<std::ptrdiff_t>(match.length));
      for (const std::uint32_t cell : target->cells) cells_->share(cell);
      target->canonical = std::min(match.from->canonical, match.length);
      match.from->last_used = turn_;
    }
  }
  job->cached = match.length;
  job->admitted = std::chrono::steady_clock::now();
  if (job->taken_up) job->taken_up->mark();
  target->job = std::move(job);
  target->last_used = turn_;
  active_.push_back(target);

  std::lock_guard counting(gauge_->mutex);
  Limiter::Usage& usage = gauge_->usage;
  --usage.waiting;
  usage.highest = std::max(usage.highest, ++usage.in_use);
  usage.waited += target->job->admitted - target->job->submitted;
}

// First a token for everyone who generates, then prompts in the order they came.
void LlamaEngine::build_batch() {
  batch_.n_tokens = 0;
  outputs_.clear();
  const auto generates = [](const Sequence& sequence) { return !sequence.job->sampled.empty(); };
  for (Sequence* sequence : active_)
    if (generates(*sequence)) add_tokens(*sequence, 1);
  for (Sequence* sequence : active_)
    if (!generates(*sequence)) add_tokens(*sequence, settings_.batch);
}

void LlamaEngine::add_tokens(Sequence& sequence, std::size_t count) {
  const LlamaJob& job = *sequence.job;
  const bool score = job.kind == LlamaJob::Kind::score;
  const std::size_t wanted = to_compute(job);
  const std::size_t room = settings_.batch - static_cast<std::size_t>(batch_.n_tokens);
  count = std::min({count, room, wanted - sequence.ids.size()});
  const std::size_t begins = sequence.ids.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t position = begins + i;
    const bool output = score ? position + 1 >= job.score_from : position + 1 == wanted;
    if (output && outputs_.size() >= most_outputs_) return;
    const std::int32_t at = batch_.n_tokens++;
    batch_.token[at] = token_at(job, position);
    batch_.pos[at] = static_cast<llama_pos>(position);
    batch_.n_seq_id[at] = 1;
    batch_.seq_id[at][0] = sequence.id;
    batch_.logits[at] = output ? 1 : 0;
    if (output) outputs_.push_back({&sequence, at, position});
    sequence.ids.push_back(batch_.token[at]);
    sequence.cells.push_back(cells_->take());
  }
  const bool whole = count == settings_.batch && begins % settings_.batch == 0;
  if (whole && sequence.canonical == begins) sequence.canonical = begins + count;
}

void LlamaEngine::compute() {
  const int failed = llama_decode(context_, batch_);
  if (failed != 0) {
    std::lock_guard lock(mutex_);
    fail_all(internal_error("llama_decode failed with code " + std::to_string(failed) + " " +
                            take_llama_complaint()));
    return;
  }
  for (const Output& output : outputs_)
    on_output(*output.sequence, llama_get_logits_ith(context_, output.index), output.position);
  std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  for (std::size_t i = active_.size(); i-- > 0;) {
    LlamaJob& job = *active_[i]->job;
    const bool late = job.limit.count() > 0 && now - job.admitted > job.limit;
    if (late && job.finish_reason.empty() && !job.error)
      job.error = Error{ErrorKind::timeout, "the embedded model: no answer in " +
                                                std::to_string(job.limit.count()) + " ms"};
    if (!job.finish_reason.empty() || job.error) end(*active_[i]);
  }
}

void LlamaEngine::on_output(Sequence& sequence, const float* logits, std::size_t position) {
  LlamaJob& job = *sequence.job;
  if (job.kind == LlamaJob::Kind::score) {
    job.logprobs.push_back(log_probability(logits, weights_->vocabulary(), job.ids[position + 1]));
    if (position + 2 == job.ids.size()) job.finish_reason = "stop";
    return;
  }
  try {
    const auto picked = job.sampler->pick(logits, scratch_);
    if (picked)
      on_sampled(job, *picked);
    else
      job.finish_reason = "stop";  // the grammar has come to an end that allows nothing more
  } catch (const std::exception& error) {
    job.error = internal_error(std::string("the grammar broke: ") + error.what());
  }
}

void LlamaEngine::on_sampled(LlamaJob& job, Picked picked) {
  job.sampled.push_back(picked.token);
  job.logprobs.push_back(picked.logprob);
  if (weights_->ends_turn(picked.token)) {
    job.finish_reason = "stop";
  } else {
    job.sampler->accept(picked.token);
    const std::size_t before = job.content.size();
    job.content += weights_->piece(picked.token);
    std::size_t first_end = std::string::npos;
    for (const std::string& stop : job.stop) {
      if (stop.empty()) continue;
      const std::size_t from = before >= stop.size() ? before - stop.size() + 1 : 0;
      if (const std::size_t at = job.content.find(stop, from); at != std::string::npos)
        first_end = std::min(first_end, at + stop.size());
    }
    if (first_end != std::string::npos) {
      job.content.resize(first_end);
      job.finish_reason = "stop";
    } else if (job.sampled.size() >= job.most_tokens ||
               job.ids.size() + job.sampled.size() >= settings_.context) {
      job.finish_reason = "length";
    }
  }
  job.ends.push_back(job.content.size());
  const bool done = !job.finish_reason.empty();
  const std::size_t ready = job.content.size() - (done ? 0 : unfinished_utf8(job.content));
  if (ready > job.told) {
    job.tell(valid_utf8(std::string_view(job.content).substr(job.told, ready - job.told)));
    job.told = ready;
  }
}

// Gives the sequence's place free; what it computed stays in the cache.
void LlamaEngine::end(Sequence& sequence) {
  const LlamaJobRef job = std::exchange(sequence.job, nullptr);
  sequence.last_used = turn_;
  std::erase(active_, &sequence);
  {
    std::lock_guard counting(gauge_->mutex);
    --gauge_->usage.in_use;
  }
  job->finish();
}

// The cache is in an unknown state: everybody gets the error, and it is emptied.
void LlamaEngine::fail_all(const Error& error) {
  while (!active_.empty()) {
    active_.back()->job->error = error;
    end(*active_.back());
  }
  for (auto* queue : {&pending_, &to_embed_}) {
    std::lock_guard counting(gauge_->mutex);
    gauge_->usage.waiting -= queue->size();
    for (const LlamaJobRef& job : *queue) {
      job->error = error;
      job->finish();
    }
    queue->clear();
  }
  if (embedder_) embedder_->forget();
  for (const auto& sequence : sequences_) cut(*sequence, 0);
  llama_memory_clear(llama_get_memory(context_), false);
}

}  // namespace proctor
