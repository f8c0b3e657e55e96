// openai — models behind an OpenAI-compatible server: vLLM, SGLang, llama-server, OpenAI itself.
//
// What a server can do is learnt from its model list and its first answers; a field it refuses is
// left out from then on. On vLLM and llama-server a text format continues the exact ids of the
// turns before: only the new messages are tokenised, and ids go out instead of text. Blind spot:
// exact continuation takes the chat template to close a turn the same way every time.
#include <algorithm>
#include <mutex>
#include <utility>

#include "policies/openai_server.h"
#include "policies/openai_wire.h"
#include "runtime/core/registry.h"
#include "runtime/core/sse.h"

namespace proctor {
namespace {

using openai::AnswerReader;
using openai::Call;
using openai::Dialect;
using openai::Refusal;
using openai::Wire;
using Ids = std::vector<std::int32_t>;

// Work that many want and one does; a success is remembered, a failure goes to those who waited.
template <class T>
struct Once {
  std::mutex mutex;
  std::shared_ptr<const T> value;  // guarded by mutex
  struct Flight {
    Limiter turn{1};
    std::optional<Error> failed;  // of the holder of `turn`
  };
  std::shared_ptr<Flight> flight;  // guarded by mutex
};

struct Known {
  Wire wire;
  std::int64_t context = 0;
};

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

bool is_context_full(const Error& error) { return error.message.starts_with("context_full"); }

bool is_text_only(const std::vector<Message>& messages, std::size_t from) {
  return std::all_of(messages.begin() + static_cast<std::ptrdiff_t>(from), messages.end(),
                     [](const Message& message) {
                       return message.content.is_string() && message.tool_calls.empty();
                     });
}

class OpenAiModel final : public Model {
 public:
  explicit OpenAiModel(std::unique_ptr<openai::Server> server)
      : server_(std::move(server)), limiter_(server_->settings().max_in_flight) {}

  std::string name() const override {
    if (!server_->settings().model.empty()) return server_->settings().model;
    std::lock_guard lock(known_.mutex);
    return known_.value ? known_.value->wire.model : server_->base();
  }
  std::string backend() const override { return "openai"; }
  Limiter::Usage usage() const override { return limiter_.usage(); }
  std::size_t wanted_requests() const override { return server_->settings().wanted_in_flight; }
  std::optional<std::string> trouble() const override { return server_->trouble(); }
  void shut_down() override { server_->close(); }

  Async<Result<Capabilities>> capabilities() override;
  Async<Result<Generation>> generate(GenerateRequest request) override {
    return generate_from(std::make_shared<GenerateRequest>(std::move(request)));
  }
  Async<Result<Score>> score(ScoreRequest request) override;
  Async<Result<std::vector<float>>> embed(std::string text) override;

 private:
  const openai::Settings& settings() const { return server_->settings(); }
  Async<Result<std::shared_ptr<const Known>>> known();
  Async<Result<Known>> look();
  Status read_models(std::string_view body, Known& known) const;
  bool forget_field(const Refusal& refusal, const Wire& sent);
  bool ask_for_less(GenerateRequest& request, const Refusal& refusal, std::int64_t context,
                    bool again) const;
  std::shared_ptr<const Wire> wire_now(const Known& known, const GenerateRequest& request) const;

  // Thousands of turns wait at a time, so what is big is shared and stands in none of their frames.
  using RequestRef = std::shared_ptr<const GenerateRequest>;
  using IdsRef = std::shared_ptr<const Ids>;
  using WireRef = std::shared_ptr<const Wire>;
  Async<Result<Generation>> generate_from(std::shared_ptr<GenerateRequest> request);
  Async<Result<Generation>> try_once(RequestRef request, IdsRef prompt, WireRef wire,
                                     Refusal* refusal);
  Async<Result<Generation>> continue_ids(RequestRef request, IdsRef prompt, WireRef wire,
                                         Refusal* refusal);
  Async<Result<Generation>> call_model(std::string target, std::string body, Milliseconds limit,
                                       bool stream, std::function<void(std::string_view)> on_text,
                                       Refusal* refusal, IdsRef prompt = nullptr);
  bool streams(const GenerateRequest& request) const {
    return settings().stream == "true" ||
           (settings().stream == "auto" && static_cast<bool>(request.on_text));
  }
  Async<Result<Ids>> tokenize(std::string body, Milliseconds limit = {});
  Async<Result<Ids>> conversation_ids(std::vector<Message> messages, Wire wire, Milliseconds limit);
  Async<Result<Ids>> ids_behind_a_turn(std::vector<Message> added, Wire wire, Milliseconds limit);
  Async<IdsRef> exact_prompt(RequestRef request, WireRef wire);
  Async<Result<Score>> score_by_ids(ScoreRequest request, Wire wire);
  Async<Result<Score>> score_by_echo(ScoreRequest request, std::string model);

  template <class T>
  Async<Result<std::shared_ptr<const T>>> once(Once<T>* once, Async<Result<T>> work);

  const std::unique_ptr<openai::Server> server_;
  Limiter limiter_;
  mutable Once<Known> known_;
  // Learnt from answers; each only ever changes once.
  std::atomic<bool> no_token_ids_{false}, no_logprobs_{false};
  // No route that makes ids of a chat, or none that takes them.
  std::atomic<bool> text_only_{false};
  std::atomic<bool> max_completion_tokens_{false}, gives_ids_{false}, splits_reasoning_{false};
};

// `work` is started only by whoever gets to do it; the others drop theirs unstarted.
template <class T>
Async<Result<std::shared_ptr<const T>>> OpenAiModel::once(Once<T>* once, Async<Result<T>> work) {
  std::shared_ptr<typename Once<T>::Flight> flight;
  {
    std::lock_guard lock(once->mutex);
    if (once->value) co_return once->value;
    if (!once->flight) once->flight = std::make_shared<typename Once<T>::Flight>();
    flight = once->flight;
  }
  auto turn = co_await flight->turn.acquire();
  if (!turn) co_return std::move(turn).error();
  {
    std::lock_guard lock(once->mutex);
    if (once->value) co_return once->value;
  }
  if (flight->failed) co_return *flight->failed;
  auto done = co_await std::move(work);
  std::lock_guard lock(once->mutex);
  once->flight.reset();
  if (!done) {
    flight->failed = done.error();
    co_return std::move(done).error();
  }
  once->value = std::make_shared<const T>(std::move(*done));
  co_return once->value;
}

// ---- what the server is and can do ----

Status OpenAiModel::read_models(std::string_view body, Known& known) const {
  auto root = parse_json(body);
  const auto* object = root ? root->if_object() : nullptr;
  const auto* data = object ? object->if_contains("data") : nullptr;
  if (!data || !data->is_array())
    return unavailable("the answer is no list of models: is this an OpenAI-compatible server?");
  std::vector<std::string> names;
  bool found = false;
  for (const json::value& item : data->get_array()) {
    const auto* entry = item.if_object();
    const auto* id = entry ? entry->if_contains("id") : nullptr;
    if (!id || !id->is_string()) continue;
    names.emplace_back(id->get_string());
    const bool wanted = settings().model.empty() || names.back() == settings().model;
    const auto* owner = entry->if_contains("owned_by");
    if (owner && *owner == "vllm") known.wire.dialect = Dialect::vllm;
    if (owner && *owner == "sglang") known.wire.dialect = Dialect::sglang;
    if (owner && *owner == "llamacpp") known.wire.dialect = Dialect::llama_server;
    if (!wanted || found) continue;
    found = true;
    known.wire.model = names.back();
    const auto* meta = entry->if_contains("meta");  // of llama-server
    const auto* length = entry->if_contains("max_model_len");
    if (!length && meta && meta->is_object()) length = meta->get_object().if_contains("n_ctx");
    if (length && length->is_int64()) known.context = length->get_int64();
  }
  // llama-server and SGLang answer for any name.
  if (known.wire.dialect == Dialect::llama_server || known.wire.dialect == Dialect::sglang)
    found = found || !settings().model.empty();
  if (settings().model.empty() && names.size() != 1)
    return bad_input("the model URI names no model: add #MODEL" + nearest_hint("", names));
  if (!found && !names.empty())
    return missing("it has no model '" + settings().model + "'" +
                   nearest_hint(settings().model, names));
  return {};
}

Async<Result<Known>> OpenAiModel::look() {
  Known known;
  known.wire.model = settings().model;
  known.wire.extra_body = settings().extra_body;
  Call models;
  models.method = "GET";
  models.target = server_->path("/models");
  models.limit = settings().look_timeout;
  models.retries = std::min(settings().retries, 2);
  models.accept = [this, &known](HttpReply& reply) { return read_models(reply.body, known); };
  auto reply = co_await server_->ask(std::move(models));
  // A server without a list of models can still answer chats.
  bool no_list = false;
  for (const char* status : {"400", "404", "405", "501"})
    no_list |= !reply &&
               reply.error().message.find(std::string(" answered ") + status) != std::string::npos;
  if (!reply && no_list && settings().model.empty())
    co_return missing(reply.error().message + "; name the model (#MODEL) where there is no list");
  if (!reply && !no_list) co_return std::move(reply).error();
  if (known.wire.dialect == Dialect::vllm) {
    Call version;
    version.method = "GET";
    version.target = server_->root_path("/version");
    version.limit = settings().look_timeout;
    auto answer = co_await server_->ask(std::move(version));
    if (answer)
      for (const char* old : {"\"0.6.", "\"0.7.", "\"0.8.", "\"0.9.", "\"0.10."})
        if (answer->body.find(old) != std::string::npos) known.wire.structured_outputs = false;
  }
  known.wire.token_ids = settings().token_ids != "false";
  if (settings().context > 0) known.context = settings().context;
  co_return known;
}

Async<Result<std::shared_ptr<const Known>>> OpenAiModel::known() {
  {
    std::lock_guard lock(known_.mutex);
    if (known_.value) co_return known_.value;
  }
  auto work = look();
  co_return co_await once(&known_, std::move(work));
}

Async<Result<Capabilities>> OpenAiModel::capabilities() {
  auto known = co_await this->known();
  if (!known) {
    Error error = std::move(known).error();
    // Asked before any work: whatever the reason, the server is not there for us.
    if (error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout)
      error.kind = ErrorKind::missing;
    co_return error;
  }
  const Dialect dialect = (*known)->wire.dialect;
  Capabilities can;
  can.native_tools = can.embed = can.json_schema = can.images = true;  // if the model behind it can
  can.token_ids = (gives_ids_ || dialect == Dialect::vllm || dialect == Dialect::llama_server) &&
                  (*known)->wire.token_ids && !no_token_ids_;
  can.logprobs = !no_logprobs_;
  can.grammar = dialect != Dialect::generic;
  can.score = settings().score != "auto" || (dialect == Dialect::vllm && !text_only_);
  can.context = (*known)->context;
  co_return can;
}

std::shared_ptr<const Wire> OpenAiModel::wire_now(const Known& known,
                                                  const GenerateRequest& request) const {
  Wire wire = known.wire;
  wire.token_ids = wire.token_ids && request.want_tokens && !no_token_ids_;
  wire.logprobs = wire.logprobs && request.want_tokens && !no_logprobs_;
  wire.max_completion_tokens = max_completion_tokens_;
  return std::make_shared<const Wire>(std::move(wire));
}

// True when the refusal names a field that was sent and that we can do without: it is left out from
// now on. Many requests may be under way with it, so each is judged by what it carried itself.
bool OpenAiModel::forget_field(const Refusal& refusal, const Wire& sent) {
  const auto names = [&](const char* word) {
    return refusal.message.find(word) != std::string::npos;
  };
  if (refusal.status != 400 && refusal.status != 422) return false;
  if (names("max_completion_tokens") && !names("too large") && !sent.max_completion_tokens)
    return max_completion_tokens_ = true;
  if (names("return_token_ids") && sent.token_ids) return no_token_ids_ = true;
  if (names("logprobs") && sent.logprobs) return no_logprobs_ = true;
  return false;
}

// False when the context has no room for a shorter turn either.
bool OpenAiModel::ask_for_less(GenerateRequest& request, const Refusal& refusal,
                               std::int64_t context, bool again) const {
  int& most = request.sampling.max_tokens;
  const bool ours = !settings().extra_body.contains("max_tokens");
  const int fewer = ours ? openai::fewer_tokens(again ? "" : refusal.message, context, most) : 0;
  if (fewer > 0) most = fewer;
  return fewer > 0;
}

// ---- generating ----

// An answer as it comes in, of one try at a time.
struct Answering {
  // Made with the first byte: nothing is read yet while thousands wait.
  struct Reading {
    AnswerReader reader;
    SseParser events;
    std::string whole;  // a server that does not stream answers with one JSON object
    bool is_whole = false, begun = false;

    Status take_events(std::string_view piece) {
      return events.take(piece, [this](std::string_view name, std::string_view data) {
        return reader.take_event(data, name);
      });
    }
  };
  std::function<void(std::string_view)> on_text;
  std::shared_ptr<const Ids> prompt;
  std::unique_ptr<Reading> reading;
  double waited_ms = 0;
  Result<Generation> generation;

  Reading& read() {
    if (!reading)
      reading = std::make_unique<Reading>(
          AnswerReader(on_text, prompt ? std::optional(*prompt) : std::nullopt));
    return *reading;
  }
};

Async<Result<Generation>> read_answer(Async<Result<HttpReply>> asking,
                                      std::shared_ptr<Answering> answering) {
  auto reply = co_await std::move(asking);
  if (!reply) co_return std::move(reply).error();
  answering->generation->queued_ms = answering->waited_ms;
  co_return std::move(answering->generation);
}

Async<Result<Generation>> OpenAiModel::call_model(std::string target, std::string body,
                                                  Milliseconds limit, bool stream,
                                                  std::function<void(std::string_view)> on_text,
                                                  Refusal* refusal, IdsRef prompt) {
  const auto state = std::make_shared<Answering>();
  state->on_text = std::move(on_text);
  state->prompt = std::move(prompt);
  Call call;
  call.target = std::move(target);
  call.body = std::move(body);
  call.retries = settings().retries;
  call.limit = limit;
  call.begin = [state] { state->reading.reset(); };
  call.waited = [state](std::chrono::nanoseconds time) { state->waited_ms += to_ms(time); };
  call.told = [state] { return state->read().reader.told(); };
  if (stream)
    call.on_body = [state](std::string_view piece) -> Status {
      auto& reading = state->read();
      if (!reading.begun) {
        const std::size_t start = piece.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
        if (start == std::string_view::npos) return {};
        reading.begun = true;
        reading.is_whole = piece[start] == '{';
      }
      if (!reading.is_whole) return reading.take_events(piece);
      reading.whole += piece;
      return {};
    };
  call.accept = [state, stream](HttpReply& reply) -> Status {
    auto& reading = state->read();
    Status taken;
    if (reading.is_whole)
      taken = reading.reader.take_whole(reading.whole);
    else if (!stream && reply.content_type.starts_with("text/event-stream"))
      taken = reading.take_events(reply.body + "\n\n");
    else if (!stream)
      taken = reading.reader.take_whole(reply.body);
    else  // the last event may lack its blank line
      taken = reading.take_events("\n\n");
    if (taken && stream && !reading.is_whole && !reading.reader.streamed())
      taken = unavailable("the answer is no event stream");
    if (!taken) return taken;
    state->generation = reading.reader.finish();
    return state->generation ? Status() : Status(state->generation.error());
  };
  return read_answer(server_->ask(std::move(call), refusal), state);
}

Async<Result<Generation>> OpenAiModel::continue_ids(RequestRef request, IdsRef prompt, WireRef wire,
                                                    Refusal* refusal) {
  // llama-server cuts the log-probabilities of a stop string off unless it streams.
  const bool llama = wire->dialect == Dialect::llama_server;
  const bool stream = streams(*request) || llama;
  // The completions route does not separate reasoning: while it may, pieces are held back.
  auto work =
      call_model(llama ? server_->root_path("/completion") : server_->path("/completions"),
                 openai::completions_body(*request, *prompt, *wire, stream), request->limit, stream,
                 splits_reasoning_ ? std::function<void(std::string_view)>() : request->on_text,
                 refusal, prompt);
  auto turn = co_await std::move(work);
  if (!turn) co_return std::move(turn).error();
  if (splits_reasoning_) {
    std::string_view text = turn->content;
    if (const std::size_t end = text.find("</think>"); end != std::string_view::npos) {
      std::string_view reasoning = text.substr(0, end);
      if (reasoning.starts_with("<think>")) reasoning.remove_prefix(7);
      turn->reasoning = std::string(reasoning);
      turn->content_from += end + 8;
      turn->content = std::string(text.substr(end + 8));
    }
    if (request->on_text) request->on_text(turn->content);
  }
  co_return turn;
}

Async<Result<Generation>> OpenAiModel::try_once(RequestRef request, IdsRef prompt, WireRef wire,
                                                Refusal* refusal) {
  if (prompt) return continue_ids(std::move(request), std::move(prompt), std::move(wire), refusal);
  const bool stream = streams(*request);
  return call_model(server_->path("/chat/completions"), openai::chat_body(*request, *wire, stream),
                    request->limit, stream, request->on_text, refusal);
}

Async<Result<Generation>> OpenAiModel::generate_from(std::shared_ptr<GenerateRequest> request) {
  std::optional<Limiter::Lease> lease = limiter_.try_acquire();
  double queued_ms = 0;
  if (!lease) {
    const auto asked = std::chrono::steady_clock::now();
    auto waited = co_await limiter_.acquire();
    if (!waited) co_return std::move(waited).error();
    lease = std::move(*waited);
    queued_ms = to_ms(std::chrono::steady_clock::now() - asked);
  }
  if (request->taken_up) request->taken_up->mark();
  auto known = co_await this->known();
  if (!known) co_return std::move(known).error();
  if (!request->grammar.empty() && (*known)->wire.dialect == Dialect::generic)
    co_return missing("the server " + server_->base() +
                      " cannot constrain a turn by a grammar; use vLLM, SGLang or llama-server, or "
                      "a format without one");
  // vLLM refuses a turn that may be longer than its whole context, however short the prompt.
  if (const std::int64_t context = (*known)->context; context > 0)
    request->sampling.max_tokens =
        static_cast<int>(std::min<std::int64_t>(request->sampling.max_tokens, context));
  WireRef wire = wire_now(**known, *request);
  auto looked_for = exact_prompt(request, wire);
  IdsRef prompt = co_await std::move(looked_for);
  bool refused_ids = false, fitted = false;
  for (;; wire = wire_now(**known, *request)) {
    Refusal refusal;
    auto work = try_once(request, prompt, wire, &refusal);
    auto turn = co_await std::move(work);
    if (!turn) {
      if (forget_field(refusal, *wire)) continue;
      if (is_context_full(turn.error())) {
        const bool again = std::exchange(fitted, true);
        if (ask_for_less(*request, refusal, (*known)->context, again)) continue;
        co_return std::move(turn).error();
      }
      if (prompt && (turn.error().kind == ErrorKind::missing || refusal.status != 0)) {
        // Without a route for ids the conversation goes out as text.
        prompt = nullptr;
        refused_ids = true;
        continue;
      }
      if (refusal.message.find("tool choice requires") != std::string::npos)
        co_return missing(server_->base() +
                          " does not parse tool calls: start vLLM with --enable-auto-tool-choice "
                          "--tool-call-parser NAME, or use a text format (format: hermes)");
      co_return std::move(turn).error();
    }
    if (refused_ids) text_only_ = true;
    if (turn->tokens && !turn->tokens->ids.empty()) gives_ids_ = true;
    if (turn->reasoning && !prompt) splits_reasoning_ = true;
    const bool keeps_stop = wire->dialect == Dialect::vllm || wire->dialect == Dialect::sglang;
    if (turn->finish_reason == "stop" && !keeps_stop)
      openai::restore_stop(turn->content, request->stop);
    turn->queued_ms += queued_ms;
    co_return turn;
  }
}

// ---- exact ids ----

Async<Result<Ids>> OpenAiModel::tokenize(std::string body, Milliseconds limit) {
  Ids ids;
  Call call;
  call.target = server_->root_path("/tokenize");
  call.limit = limit;
  call.body = std::move(body);
  call.retries = settings().retries;
  call.accept = [&ids](HttpReply& reply) -> Status {
    auto root = parse_json(reply.body);
    const auto* object = root ? root->if_object() : nullptr;
    const auto* tokens = object ? object->if_contains("tokens") : nullptr;
    if (!tokens || !tokens->is_array()) return missing("the answer has no tokens");
    ids.clear();
    for (const json::value& token : tokens->get_array()) {
      if (!token.is_int64() || token.get_int64() < 0) return missing("the tokens are no ids");
      ids.push_back(static_cast<std::int32_t>(token.get_int64()));
    }
    return {};
  };
  auto reply = co_await server_->ask(std::move(call));
  if (!reply) co_return std::move(reply).error();
  co_return ids;
}

// The ids of a conversation with the next turn opened, by the server's own chat template.
Async<Result<Ids>> OpenAiModel::conversation_ids(std::vector<Message> messages, Wire wire,
                                                 Milliseconds limit) {
  std::string body = openai::tokenize_body(messages, wire);
  if (wire.dialect == Dialect::llama_server) {
    std::string text;
    Call call;
    call.target = server_->root_path("/apply-template");
    call.body = std::move(body);
    call.retries = settings().retries;
    call.limit = limit;
    call.accept = [&text](HttpReply& reply) -> Status {
      auto root = parse_json(reply.body);
      const auto* object = root ? root->if_object() : nullptr;
      const auto* prompt = object ? object->if_contains("prompt") : nullptr;
      if (!prompt || !prompt->is_string()) return missing("the answer has no prompt");
      text = std::string(prompt->get_string());
      return {};
    };
    auto reply = co_await server_->ask(std::move(call));
    if (!reply) co_return std::move(reply).error();
    body = openai::tokenize_text_body(text, wire);
  }
  co_return co_await tokenize(std::move(body), limit);
}

// What continues a turn: its closing, the new messages and the opening of the next. Two
// conversations that differ in nothing but the answer's only letter end in it both.
Async<Result<Ids>> OpenAiModel::ids_behind_a_turn(std::vector<Message> added, Wire wire,
                                                  Milliseconds limit) {
  std::vector<Async<Result<Ids>>> works;
  for (const char* answer : {"a", "b"}) {
    std::vector<Message> messages(2);
    messages[0].role = "user";
    messages[0].content = "a";
    messages[1].role = "assistant";
    messages[1].content = answer;
    messages.insert(messages.end(), added.begin(), added.end());
    works.push_back(conversation_ids(std::move(messages), wire, limit));
  }
  auto both = co_await gather(std::move(works));
  for (auto& each : both)
    if (!each) co_return std::move(each).error();
  const Ids &one = *both[0], &other = *both[1];
  const auto [from, ignored] =
      std::mismatch(one.rbegin(), one.rend(), other.rbegin(), other.rend());
  co_return Ids(from.base(), one.end());
}

// The ids seen so far and what continues them, or (where the server takes chats as text only) those
// of the whole conversation. Nothing where the server does not allow it: text goes out instead.
Async<OpenAiModel::IdsRef> OpenAiModel::exact_prompt(RequestRef request, WireRef wire) {
  const auto& messages = request->messages;
  const std::size_t seen = request->seen_ids.empty() ? 0 : request->seen_messages;
  const bool llama = wire->dialect == Dialect::llama_server;
  if (text_only_ || !wire->token_ids || !(llama || (gives_ids_ && seen > 0)) ||
      !request->tools.empty() || !request->json_schema.is_null() || seen > messages.size() ||
      (seen > 0 && messages[seen - 1].role != "assistant") || !is_text_only(messages, seen))
    co_return nullptr;
  std::vector<Message> added(messages.begin() + static_cast<std::ptrdiff_t>(seen), messages.end());
  auto work = seen > 0 ? ids_behind_a_turn(std::move(added), *wire, request->limit)
                       : conversation_ids(std::move(added), *wire, request->limit);
  auto behind = co_await std::move(work);
  if (!behind) {
    if (behind.error().kind != ErrorKind::unavailable && behind.error().kind != ErrorKind::timeout)
      text_only_ = true;
    co_return nullptr;
  }
  if (behind->empty()) co_return nullptr;
  Ids prompt = seen > 0 ? request->seen_ids : Ids();
  // The model may have sampled the first ids of the closing itself, its end of turn mostly.
  std::size_t sampled = std::min(behind->size(), prompt.size());
  while (!std::equal(behind->begin(), behind->begin() + static_cast<std::ptrdiff_t>(sampled),
                     prompt.end() - static_cast<std::ptrdiff_t>(sampled)))
    --sampled;
  prompt.insert(prompt.end(), behind->begin() + static_cast<std::ptrdiff_t>(sampled),
                behind->end());
  co_return std::make_shared<const Ids>(std::move(prompt));
}

// ---- scoring and embedding ----

// The opened turn's ids, then the text's: those behind what the text shares with its own prefix
// belong to the continuation, a token across the border included.
Async<Result<Score>> OpenAiModel::score_by_ids(ScoreRequest request, Wire wire) {
  std::string body = openai::tokenize_body(request.messages, wire, request.tools);
  auto opened = co_await tokenize(std::move(body));
  if (!opened) co_return std::move(opened).error();
  body = openai::tokenize_text_body(request.assistant_prefix + request.continuation, wire);
  auto text = co_await tokenize(std::move(body));
  if (!text) co_return std::move(text).error();
  Result<Ids> prefix = Ids();
  if (!request.assistant_prefix.empty()) {
    body = openai::tokenize_text_body(request.assistant_prefix, wire);
    prefix = co_await tokenize(std::move(body));
  }
  if (!prefix) co_return std::move(prefix).error();
  const auto border = std::mismatch(prefix->begin(), prefix->end(), text->begin(), text->end());
  const std::size_t from = opened->size() + static_cast<std::size_t>(border.second - text->begin());
  Ids prompt = std::move(*opened);
  prompt.insert(prompt.end(), text->begin(), text->end());
  if (from == 0) co_return missing("the chat template gives no ids to score behind");

  GenerateRequest asked;
  asked.sampling.temperature = 0;
  asked.sampling.max_tokens = 1;
  wire.token_ids = wire.logprobs = false;
  wire.extra_body["prompt_logprobs"] = 0;
  Score score;
  score.prompt_tokens = static_cast<std::int64_t>(prompt.size());
  Call call;
  call.target = server_->path("/completions");
  call.body = openai::completions_body(asked, prompt, wire, false);
  call.retries = settings().retries;
  call.accept = [&score, &prompt, from](HttpReply& reply) -> Status {
    auto values = openai::prompt_logprobs(reply.body, prompt, from);
    if (!values) return std::move(values).error();
    score.logprobs = std::move(*values);
    return {};
  };
  auto reply = co_await server_->ask(std::move(call));
  if (!reply) co_return std::move(reply).error();
  co_return score;
}

// For servers without a tokeniser route: the messages' texts, a blank line between them.
Async<Result<Score>> OpenAiModel::score_by_echo(ScoreRequest request, std::string model) {
  std::string text;
  for (const Message& message : request.messages) text += message.text() + "\n\n";
  text += request.assistant_prefix;
  const std::size_t from = characters(text);
  text += request.continuation;
  const std::size_t end = characters(text);
  json::object body = settings().extra_body;
  body["model"] = model;
  body["prompt"] = text;
  body["max_tokens"] = 0;
  body["echo"] = true;
  body["logprobs"] = 0;
  Score score;
  Call call;
  call.target = server_->path("/completions");
  call.body = json::serialize(body);
  call.retries = settings().retries;
  call.accept = [&score, from, end](HttpReply& reply) -> Status {
    auto echoed = openai::echoed_score(reply.body, from, end);
    if (!echoed) return std::move(echoed).error();
    score = std::move(*echoed);
    return {};
  };
  auto reply = co_await server_->ask(std::move(call));
  if (!reply) co_return std::move(reply).error();
  co_return score;
}

Async<Result<Score>> OpenAiModel::score(ScoreRequest request) {
  auto lease = co_await limiter_.acquire();
  if (!lease) co_return std::move(lease).error();
  auto known = co_await this->known();
  if (!known) co_return std::move(known).error();
  const std::string model = (*known)->wire.model;
  if (settings().score == "echo") co_return co_await score_by_echo(std::move(request), model);
  if (settings().score == "auto" && (*known)->wire.dialect != Dialect::vllm)
    co_return missing("the server " + server_->base() +
                      " gives no log-probabilities of given text; use vLLM or an embedded model as "
                      "scorer, or the setting score: echo where /v1/completions can echo");
  Wire wire = (*known)->wire;
  co_return co_await score_by_ids(std::move(request), std::move(wire));
}

Async<Result<std::vector<float>>> OpenAiModel::embed(std::string text) {
  auto lease = co_await limiter_.acquire();
  if (!lease) co_return std::move(lease).error();
  auto known = co_await this->known();
  if (!known) co_return std::move(known).error();
  json::object body = settings().extra_body;
  body["model"] = (*known)->wire.model;
  body["input"] = text;
  body["encoding_format"] = "float";
  std::vector<float> embedding;
  Call call;
  call.target = server_->path("/embeddings");
  call.body = json::serialize(body);
  call.retries = settings().retries;
  call.accept = [&embedding](HttpReply& reply) -> Status {
    auto root = parse_json(reply.body);
    boost::system::error_code error;
    const auto* values = root ? root->find_pointer("/data/0/embedding", error) : nullptr;
    if (!values || !values->is_array()) return unavailable("the answer has no embedding");
    embedding.clear();
    for (const json::value& value : values->get_array()) {
      if (!value.is_number()) return unavailable("the embedding is no list of numbers");
      embedding.push_back(value.to_number<float>());
    }
    return {};
  };
  auto reply = co_await server_->ask(std::move(call));
  if (!reply) co_return std::move(reply).error();
  co_return embedding;
}

Result<ModelRef> make_openai(const ModelConfig& config) {
  auto settings = openai::read_settings(config);
  if (!settings) return std::move(settings).error();
  if (auto good = openai::check_extra_body(settings->extra_body); !good)
    return std::move(good).error();
  auto server = openai::Server::make(std::move(*settings));
  if (!server) return std::move(server).error();
  return ModelRef(std::make_shared<OpenAiModel>(std::move(*server)));
}

const bool registered_ = [] {
  Registry<ModelMaker>::instance().add(
      {.name = "openai", .summary = "a vLLM or OpenAI-compatible server"}, make_openai);
  return true;
}();

}  // namespace
}  // namespace proctor
