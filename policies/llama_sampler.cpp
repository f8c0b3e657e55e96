// Sampling over the vocabulary. A grammar is asked about the drawn token first and about the whole
// vocabulary only when that fails again and again: drawing without putting back gives each allowed
// token the same chance as masking all others beforehand, and asks about far fewer tokens.
//
// Always compiled with optimisation: the loops here run over 50,000 floats for every token.
#include "policies/llama_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace proctor {
namespace {

constexpr int kFirstDraws = 4;        // one by one
constexpr std::size_t kLikely = 256;  // then the likeliest at once
constexpr int kMoreDraws = 12;        // then one by one again, then the whole vocabulary

// e^x for x <= 0 to six digits, in a form that the compiler turns into vector code.
inline float fast_exp(float x) {
  x = std::max(x, -87.0F);
  const float scaled = x * 1.44269504F;
  const float shifted = scaled + 12582912.0F;  // rounds to the nearest integer
  const float whole = shifted - 12582912.0F;
  const float rest = x - whole * 0.693359375F + whole * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * rest + 1.3981999507e-3F;
  p = p * rest + 8.3334519073e-3F;
  p = p * rest + 4.1665795894e-2F;
  p = p * rest + 1.6666665459e-1F;
  p = p * rest + 5.0000001201e-1F;
  p = p * rest * rest + rest + 1.0F;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + 0x3f800000U;
  float power = 0;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

float largest(const float* values, int count) {
  float most[8];
  std::fill_n(most, 8, -INFINITY);
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane) most[lane] = std::max(most[lane], values[i + lane]);
  for (; i < count; ++i) most[0] = std::max(most[0], values[i]);
  return *std::max_element(most, most + 8);
}

// weights[i] = e^((values[i] - top) * scale); gives their sum.
double exponentials(const float* values, int count, float top, float scale, float* weights) {
  float sums[8] = {};
  int i = 0;
  for (; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane) {
      weights[i + lane] = fast_exp((values[i + lane] - top) * scale);
      sums[lane] += weights[i + lane];
    }
  double total = 0;
  for (; i < count; ++i) total += weights[i] = fast_exp((values[i] - top) * scale);
  for (const float sum : sums) total += sum;
  return total;
}

double sum_of(const std::vector<float>& weights) {
  float sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= weights.size(); i += 8)
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += weights[i + lane];
  double total = 0;
  for (; i < weights.size(); ++i) total += weights[i];
  for (const float sum : sums) total += sum;
  return total;
}

// The tokens with a weight, heaviest first, at most `most` of them.
std::vector<std::int32_t> heaviest(const std::vector<float>& weights, std::size_t most,
                                   float at_least) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (weights[i] > at_least) tokens.push_back(static_cast<std::int32_t>(i));
  const auto heavier = [&](std::int32_t a, std::int32_t b) {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  };
  const auto middle = tokens.begin() + static_cast<std::ptrdiff_t>(std::min(most, tokens.size()));
  std::partial_sort(tokens.begin(), middle, tokens.end(), heavier);
  tokens.erase(middle, tokens.end());
  return tokens;
}

void keep_only(std::vector<float>& weights, const std::vector<std::int32_t>& tokens) {
  std::vector<float> kept;
  kept.reserve(tokens.size());
  for (const std::int32_t token : tokens) kept.push_back(weights[token]);
  std::fill(weights.begin(), weights.end(), 0.0F);
  for (std::size_t i = 0; i < tokens.size(); ++i) weights[tokens[i]] = kept[i];
}

}  // namespace

float log_probability(const float* logits, int vocabulary, std::int32_t token) {
  const float top = largest(logits, vocabulary);
  thread_local std::vector<float> weights;
  weights.resize(static_cast<std::size_t>(vocabulary));
  const double total = exponentials(logits, vocabulary, top, 1.0F, weights.data());
  return static_cast<float>(logits[token] - top - std::log(total));
}

LlamaSampler::LlamaSampler(const Sampling& sampling, LlamaGrammar grammar, int vocabulary,
                           const std::vector<std::int32_t>& never)
    : sampling_(sampling),
      grammar_(std::move(grammar)),
      vocabulary_(vocabulary),
      never_(never),
      chance_(sampling.seed) {}

std::optional<Picked> LlamaSampler::pick(const float* logits, std::vector<float>& weights) {
  weights.resize(static_cast<std::size_t>(vocabulary_));
  const float top = largest(logits, vocabulary_);
  const bool greedy = sampling_.temperature <= 0;
  const float scale = greedy ? 1.0F : static_cast<float>(1.0 / sampling_.temperature);
  const double total = exponentials(logits, vocabulary_, top, scale, weights.data());

  std::optional<std::int32_t> token;
  if (greedy && !grammar_)
    token = static_cast<std::int32_t>(std::max_element(logits, logits + vocabulary_) - logits);
  else
    token = draw(logits, weights);
  if (!token) return std::nullopt;
  const double logprob = (logits[*token] - top) * static_cast<double>(scale) - std::log(total);
  return Picked{*token, static_cast<float>(logprob)};
}

std::optional<std::int32_t> LlamaSampler::draw(const float* logits, std::vector<float>& weights) {
  if (grammar_)
    for (const std::int32_t token : never_) weights[token] = 0;
  truncate(weights);
  auto token = draw_allowed(weights, sum_of(weights));
  if (token || !grammar_) return token;

  // Nothing that was left is allowed: the grammar's choice of the whole vocabulary, then truncated.
  std::vector<llama_token_data> all(static_cast<std::size_t>(vocabulary_));
  for (std::int32_t i = 0; i < vocabulary_; ++i) all[i] = {i, logits[i], 0};
  llama_token_data_array candidates{all.data(), all.size(), -1, false};
  llama_sampler_apply(grammar_.get(), &candidates);
  for (const std::int32_t id : never_) all[id].logit = -INFINITY;
  float top = -INFINITY;
  for (const auto& each : all) top = std::max(top, each.logit);
  if (top == -INFINITY) return std::nullopt;
  const double temperature = sampling_.temperature > 0 ? sampling_.temperature : 1;
  for (const auto& each : all)
    weights[each.id] = static_cast<float>(std::exp((each.logit - top) / temperature));
  truncate(weights);
  double left = sum_of(weights) * chance_.uniform();
  std::optional<std::int32_t> last;
  for (const std::int32_t id : heaviest(weights, weights.size(), 0)) {
    last = id;
    left -= weights[id];
    if (sampling_.temperature <= 0 || left < 0) break;
  }
  return last;
}

void LlamaSampler::truncate(std::vector<float>& weights) const {
  const bool by_count = sampling_.top_k > 0;
  const bool by_mass = sampling_.top_p < 1.0;
  if (by_count) keep_only(weights, heaviest(weights, static_cast<std::size_t>(sampling_.top_k), 0));
  if (by_mass) {
    const double wanted = sum_of(weights) * sampling_.top_p;
    // Sorting all is slow and the light ones seldom matter: first those above a ten-thousandth.
    for (const float at_least : {1e-4F, 0.0F}) {
      std::vector<std::int32_t> tokens = heaviest(weights, weights.size(), at_least);
      double mass = 0;
      std::size_t count = 0;
      while (count < tokens.size() && mass < wanted) mass += weights[tokens[count++]];
      if (mass < wanted && at_least > 0) continue;
      tokens.resize(std::max<std::size_t>(count, std::min<std::size_t>(1, tokens.size())));
      keep_only(weights, tokens);
      break;
    }
  }
  if (sampling_.min_p > 0) {
    const float least =
        *std::max_element(weights.begin(), weights.end()) * static_cast<float>(sampling_.min_p);
    for (float& weight : weights)
      if (weight < least) weight = 0;
  }
}

// Draws until the grammar allows it, without putting back; nothing: gave up, or nothing is left.
std::optional<std::int32_t> LlamaSampler::draw_allowed(std::vector<float>& weights, double total) {
  const bool greedy = sampling_.temperature <= 0;
  for (int tries = 0; tries < kFirstDraws + kMoreDraws; ++tries) {
    if (tries == kFirstDraws) {
      forbid(weights, heaviest(weights, kLikely, 0));
      total = sum_of(weights);
    }
    std::int32_t token = -1;
    if (greedy) {
      const auto most = std::max_element(weights.begin(), weights.end());
      if (*most > 0) token = static_cast<std::int32_t>(most - weights.begin());
    } else {
      double left = chance_.uniform() * total;
      for (std::int32_t i = 0; i < vocabulary_; ++i) {
        if (weights[i] <= 0) continue;
        token = i;  // the last one with a weight stands in when rounding leaves a remainder
        left -= weights[i];
        if (left < 0) break;
      }
    }
    if (token < 0) return std::nullopt;
    if (!grammar_ || allowed(token)) return token;
    total -= weights[token];
    weights[token] = 0;
    if (!greedy && total < 1e-6) total = sum_of(weights);  // differences of floats leave crumbs
  }
  return std::nullopt;
}

bool LlamaSampler::allowed(std::int32_t token) {
  llama_token_data one{token, 1.0F, 0.0F};
  llama_token_data_array candidates{&one, 1, -1, false};
  llama_sampler_apply(grammar_.get(), &candidates);
  return one.logit != -INFINITY;
}

// Takes the weight from those of the tokens that the grammar does not allow.
void LlamaSampler::forbid(std::vector<float>& weights, const std::vector<std::int32_t>& tokens) {
  if (!grammar_ || tokens.empty()) return;
  std::vector<llama_token_data> some;
  some.reserve(tokens.size());
  for (const std::int32_t token : tokens) some.push_back({token, 1.0F, 0.0F});
  llama_token_data_array candidates{some.data(), some.size(), -1, false};
  llama_sampler_apply(grammar_.get(), &candidates);
  for (const auto& each : some)
    if (each.logit == -INFINITY) weights[each.id] = 0;
}

void LlamaSampler::accept(std::int32_t token) {
  if (grammar_) llama_sampler_accept(grammar_.get(), token);
}

}  // namespace proctor
