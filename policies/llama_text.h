// Text to tokens and back for the embedded model: its weights, vocabulary and chat template.
//
// Blind spot: of chat templates only those that llama.cpp knows by heart; others become ChatML.
#pragma once

#include <llama.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policies/model.h"

namespace proctor {

using TokenIds = std::vector<std::int32_t>;

// The weights and the vocabulary; shared by all engines, safe to read from any thread.
class LlamaWeights {
 public:
  // `missing` when the file is not there, `bad_input` when it is no usable GGUF. `gpu_layers` < 0:
  // as many as fit.
  static Result<std::shared_ptr<const LlamaWeights>> load(const std::string& path, int gpu_layers);
  ~LlamaWeights();
  LlamaWeights(const LlamaWeights&) = delete;
  LlamaWeights& operator=(const LlamaWeights&) = delete;

  llama_model* model() const { return model_; }
  const llama_vocab* vocab() const { return vocab_; }
  int vocabulary() const { return llama_vocab_n_tokens(vocab_); }
  std::int64_t trained_context() const { return llama_model_n_ctx_train(model_); }

  // With `special`, text that spells a control token becomes that token.
  TokenIds tokens(std::string_view text, bool special, bool at_start = false) const;
  std::string piece(std::int32_t token) const;  // control tokens are spelled out
  bool ends_turn(std::int32_t token) const { return llama_vocab_is_eog(vocab_, token); }
  bool spells_control(std::string_view text) const;
  // Control tokens that end nothing: the chat's own markup, never part of what a turn says.
  const TokenIds& markup() const { return markup_; }

 private:
  explicit LlamaWeights(llama_model* model);

  llama_model* model_;
  const llama_vocab* vocab_;
  std::vector<std::string> controls_;  // how control tokens are spelled
  TokenIds markup_;
};
using LlamaWeightsRef = std::shared_ptr<const LlamaWeights>;

// What llama.cpp last complained about on this thread; taking it empties it.
std::string take_llama_complaint();

// Renders conversations in the model's own chat template. Control tokens spelled inside a message
// stay plain text, so that no observation can open a turn of its own.
class LlamaChat {
 public:
  explicit LlamaChat(LlamaWeightsRef weights);

  // The whole prompt up to and with the opening of the assistant's turn, then `prefix` of it.
  TokenIds prompt(const std::vector<Message>& messages, const std::string& prefix = "") const;

  // `seen` continued by what the messages behind the first `seen_messages` add: exact ids.
  TokenIds continued(const TokenIds& seen, std::size_t seen_messages,
                     const std::vector<Message>& messages) const;

 private:
  std::string render(const std::vector<Message>& messages, bool open) const;
  TokenIds encode(const std::string& marked, const std::vector<std::string>& texts,
                  bool at_start) const;

  LlamaWeightsRef weights_;
  std::string template_;
  std::string turn_end_;  // what the template writes behind an assistant's text
};

// The same text with every byte that is not part of valid UTF-8 as U+FFFD.
std::string valid_utf8(std::string_view text);
// How many bytes at the end of `text` begin a character that is not complete yet.
std::size_t unfinished_utf8(std::string_view text);

}  // namespace proctor
