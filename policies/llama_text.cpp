// Loads a GGUF; tokenises; renders chats through markers, so that it is known which part of the
// rendered text came from a message and which from the template.
#include "policies/llama_text.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>

namespace proctor {
namespace {

thread_local std::string last_complaint;

void on_llama_log(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_ERROR) return;
  last_complaint = text;
  while (!last_complaint.empty() && std::isspace(static_cast<unsigned char>(last_complaint.back())))
    last_complaint.pop_back();
}

void start_llama() {
  static std::once_flag started;
  std::call_once(started, [] {
    llama_log_set(on_llama_log, nullptr);
    llama_backend_init();
  });
}

// "\x02" 17 "\x03" stands for the text of message 17 while the template does its work.
std::string marker(std::size_t index) { return "\x02" + std::to_string(index) + "\x03"; }

std::string apply(const char* chat_template, const std::vector<llama_chat_message>& chat,
                  bool open) {
  std::string text(1024, '\0');
  for (;;) {
    const int size = llama_chat_apply_template(chat_template, chat.data(), chat.size(), open,
                                               text.data(), static_cast<int>(text.size()));
    if (size < 0) return "";
    const bool fits = static_cast<std::size_t>(size) <= text.size();
    text.resize(static_cast<std::size_t>(size));
    if (fits) return text;
  }
}

// The length of the valid character at the start of `text`; 0: none. `wanted` gets how many bytes
// its first byte promises.
std::size_t character_at(std::string_view text, std::size_t& wanted) {
  const auto first = static_cast<unsigned char>(text[0]);
  wanted = first < 0x80           ? 1
           : (first >> 5) == 0x06 ? 2
           : (first >> 4) == 0x0e ? 3
           : (first >> 3) == 0x1e ? 4
                                  : 0;
  if (wanted == 0 || text.size() < wanted) return 0;
  std::uint32_t code = wanted == 1 ? first : first & (0x7fU >> wanted);
  for (std::size_t i = 1; i < wanted; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return 0;
    code = code << 6 | (next & 0x3f);
  }
  static constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool fine = code >= least[wanted] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return fine ? wanted : 0;
}

}  // namespace

std::string take_llama_complaint() { return std::exchange(last_complaint, {}); }

Result<LlamaWeightsRef> LlamaWeights::load(const std::string& path, int gpu_layers) {
#if defined(PROCTOR_LLAMA_VENDORED) && defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return missing(
        "this processor lacks AVX2, which the embedded model is built for; rebuild with "
        "scripts/build_llama.sh .deps/llama-cpu -DGGML_NATIVE=ON, or use an openai: model");
#endif
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return bad_input("no such file: " + path);
  char magic[4] = {};
  std::ifstream file(path, std::ios::binary);
  if (!file) return bad_input(path + ": cannot be read: " + std::strerror(errno));
  file.read(magic, sizeof magic);
  if (!file || std::string_view(magic, 4) != "GGUF")
    return bad_input(path + " is no GGUF model file (it does not begin with \"GGUF\")");

  start_llama();
  take_llama_complaint();
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = gpu_layers;
  llama_model* model = llama_model_load_from_file(path.c_str(), params);
  if (model == nullptr) {
    const std::string why = take_llama_complaint();
    return bad_input(path + " is no GGUF model that llama.cpp can load" +
                     (why.empty() ? "" : " (" + why + ")"));
  }
  return LlamaWeightsRef(new LlamaWeights(model));
}

LlamaWeights::LlamaWeights(llama_model* model)
    : model_(model), vocab_(llama_model_get_vocab(model)) {
  for (std::int32_t token = 0; token < vocabulary(); ++token) {
    if (!llama_vocab_is_control(vocab_, token)) continue;
    if (!ends_turn(token)) markup_.push_back(token);
    if (std::string spelled = piece(token); !spelled.empty()) controls_.push_back(spelled);
  }
}

LlamaWeights::~LlamaWeights() { llama_model_free(model_); }

TokenIds LlamaWeights::tokens(std::string_view text, bool special, bool at_start) const {
  TokenIds ids(text.size() + 8);
  const char* const begin = text.data();
  const int length = static_cast<int>(text.size());
  int count = llama_tokenize(vocab_, begin, length, ids.data(), static_cast<int>(ids.size()),
                             at_start, special);
  if (count < 0) {
    ids.resize(static_cast<std::size_t>(-count));
    count = llama_tokenize(vocab_, begin, length, ids.data(), static_cast<int>(ids.size()),
                           at_start, special);
  }
  ids.resize(static_cast<std::size_t>(std::max(count, 0)));
  return ids;
}

std::string LlamaWeights::piece(std::int32_t token) const {
  std::string text(32, '\0');
  int size =
      llama_token_to_piece(vocab_, token, text.data(), static_cast<int>(text.size()), 0, true);
  if (size < 0) {
    text.resize(static_cast<std::size_t>(-size));
    size = llama_token_to_piece(vocab_, token, text.data(), static_cast<int>(text.size()), 0, true);
  }
  text.resize(static_cast<std::size_t>(std::max(size, 0)));
  return text;
}

bool LlamaWeights::spells_control(std::string_view text) const {
  return std::any_of(controls_.begin(), controls_.end(), [&](const std::string& control) {
    return text.find(control) != std::string_view::npos;
  });
}

LlamaChat::LlamaChat(LlamaWeightsRef weights) : weights_(std::move(weights)) {
  const char* own = llama_model_chat_template(weights_->model(), nullptr);
  const std::vector<llama_chat_message> probe = {{"user", "question"}, {"assistant", "\x02"}};
  template_ = own != nullptr && !apply(own, probe, false).empty() ? own : "chatml";
  const std::string ended = apply(template_.c_str(), probe, false);
  if (const std::size_t at = ended.find('\x02'); at != std::string::npos)
    turn_end_ = ended.substr(at + 1);
}

std::string LlamaChat::render(const std::vector<Message>& messages, bool open) const {
  std::vector<std::string> marks;
  marks.reserve(messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) marks.push_back(marker(i));
  std::vector<llama_chat_message> chat;
  chat.reserve(messages.size() + 1);
  for (std::size_t i = 0; i < messages.size(); ++i)
    chat.push_back({messages[i].role.c_str(), marks[i].c_str()});
  return apply(template_.c_str(), chat, open);
}

// Replaces the markers by the texts. Where no text spells a control token the whole is tokenised in
// one go, as the model was trained; else piece by piece.
TokenIds LlamaChat::encode(const std::string& marked, const std::vector<std::string>& texts,
                           bool at_start) const {
  std::vector<std::pair<std::string, bool>> parts;  // text, from the template
  std::size_t at = 0;
  for (;;) {
    const std::size_t opening = marked.find('\x02', at);
    if (opening != at) parts.emplace_back(marked.substr(at, opening - at), true);
    if (opening == std::string::npos) break;
    const std::size_t closing = marked.find('\x03', opening);
    const std::size_t index = std::stoul(marked.substr(opening + 1, closing - opening - 1));
    parts.emplace_back(texts.at(index), false);
    at = closing + 1;
  }
  const bool forged = std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
    return !part.second && weights_->spells_control(part.first);
  });
  if (!forged) {
    std::string whole;
    for (const auto& part : parts) whole += part.first;
    return weights_->tokens(whole, true, at_start);
  }
  TokenIds ids;
  for (const auto& [text, from_template] : parts) {
    const TokenIds more = weights_->tokens(text, from_template, at_start && ids.empty());
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

namespace {
std::vector<std::string> texts_of(const std::vector<Message>& messages) {
  std::vector<std::string> texts;
  texts.reserve(messages.size());
  for (const Message& message : messages) texts.push_back(message.text());
  return texts;
}
}  // namespace

TokenIds LlamaChat::prompt(const std::vector<Message>& messages, const std::string& prefix) const {
  std::vector<std::string> texts = texts_of(messages);
  std::string marked = render(messages, true);
  if (!prefix.empty()) {
    marked += marker(texts.size());
    texts.push_back(prefix);
  }
  return encode(marked, texts, true);
}

TokenIds LlamaChat::continued(const TokenIds& seen, std::size_t seen_messages,
                              const std::vector<Message>& messages) const {
  if (seen.empty()) return prompt(messages);
  seen_messages = std::min(seen_messages, messages.size());
  const std::vector<Message> before(messages.begin(),
                                    messages.begin() + static_cast<std::ptrdiff_t>(seen_messages));
  const std::string old_text = before.empty() ? "" : render(before, false);
  std::string added = render(messages, true);
  std::vector<std::string> texts = texts_of(messages);
  if (added.starts_with(old_text)) {
    added.erase(0, old_text.size());
  } else {  // a template that writes old turns differently: the new ones by themselves
    texts.erase(texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(seen_messages));
    added = render({messages.begin() + static_cast<std::ptrdiff_t>(seen_messages), messages.end()},
                   true);
  }
  TokenIds ids = seen;
  if (!before.empty() && before.back().role == "assistant") {
    // What closes the assistant's turn; its first token is there already when it was sampled.
    added.insert(0, turn_end_);
    TokenIds end = weights_->tokens(turn_end_, true);
    if (!end.empty() && weights_->ends_turn(seen.back())) {
      const std::string sampled_end = weights_->piece(end.front());
      if (added.starts_with(sampled_end)) added.erase(0, sampled_end.size());
    }
  }
  const TokenIds more = encode(added, texts, false);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    std::size_t wanted = 0;
    const std::size_t length = character_at(text, wanted);
    if (length == 0) {
      valid += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      valid += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return valid;
}

std::size_t unfinished_utf8(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const std::string_view tail = text.substr(text.size() - back);
    if ((static_cast<unsigned char>(tail[0]) & 0xc0) == 0x80) continue;
    std::size_t wanted = 0;
    character_at(tail, wanted);
    return wanted > back ? back : 0;
  }
  return 0;
}

}  // namespace proctor
