// Routes, canned turns and faults of the mock model server.
#include "runtime/app/mock_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

namespace proctor {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::ip::tcp;
using Ids = std::vector<int>;

namespace {

// Token ids: bytes from 10 on; 1 opens a message, 2 closes it. A sampled byte is 1000 higher than a
// tokenised one, so that text put through the tokeniser again shows.
constexpr int kOpen = 1, kClose = 2, kByte = 10, kSampled = 1000;

void append_text(Ids& ids, std::string_view text, int from = kByte) {
  for (const char c : text) ids.push_back(from + static_cast<unsigned char>(c));
}

std::string text_of(const Ids& ids) {
  std::string text;
  for (const int id : ids) {
    if (id == kOpen || id == kClose)
      text += '\x01';
    else
      text += static_cast<char>(id >= kSampled ? id - kSampled - kByte : id - kByte);
  }
  return text;
}

Ids chat_ids(const json::array& messages, bool open_turn, bool thinking) {
  Ids ids;
  for (const json::value& message : messages) {
    ids.push_back(kOpen);
    const auto& content = message.at("content");
    append_text(ids, std::string(message.at("role").as_string()) + "\n");
    if (thinking && &message == &messages.back() && message.at("role") == "assistant")
      append_text(ids, "<think>\n\n</think>\n\n");
    append_text(ids, content.is_string() ? std::string_view(content.get_string()) : "");
    ids.push_back(kClose);
    append_text(ids, "\n");
  }
  if (open_turn) {
    ids.push_back(kOpen);
    append_text(ids, "assistant\n");
  }
  return ids;
}

json::array as_json(const Ids& ids) { return json::array(ids.begin(), ids.end()); }

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size()))
    ++found;
  return found;
}

struct Request {
  std::string_view method, target, head, body;
};

}  // namespace

struct MockServer::Shared {
  explicit Shared(MockOptions given) : options(std::move(given)), acceptor(context) {}

  const MockOptions options;
  std::atomic<std::size_t> connections{0}, requests{0}, generations{0}, at_once{0}, most_at_once{0};
  std::atomic<int> faults{0};
  std::mutex mutex;
  std::string last_generation;           // guarded by mutex
  std::list<tcp::socket*> open_sockets;  // guarded by mutex
  std::optional<asio::ssl::context> tls;
  asio::io_context context;  // its end runs the coroutines' destructors, which use all of the above
  tcp::acceptor acceptor;
  std::vector<std::thread> threads;

  void start();
  asio::awaitable<void> accept();
  template <class Stream>
  asio::awaitable<void> serve(std::shared_ptr<Stream> stream, tcp::socket* socket);
  template <class Stream>
  asio::awaitable<bool> generate(std::shared_ptr<Stream> stream, std::string body, bool chat);
  std::string answer_other(const Request& request);
  std::string tokenize(std::string_view body);
  std::string completion(const std::string& body, bool chat, bool stream);
  std::optional<std::string> too_long(const std::string& body, bool chat) const;
  std::optional<std::string> fault_answer(const std::string& fault);
  bool takes_fault();
};

namespace {

std::string reply(int status, std::string_view body, std::string_view headers = "",
                  std::string_view type = "application/json") {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: ";
  text.append(type).append("\r\n").append(headers);
  text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  text += body;
  return text;
}

std::string error_reply(int status, const std::string& message, std::string_view headers = "") {
  const json::value body = {{"error", {{"message", message}, {"code", status}}}};
  return reply(status, json::serialize(body), headers);
}

std::string event(const json::value& value) { return "data: " + json::serialize(value) + "\n\n"; }

std::string chunk(std::string_view data) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string size;
  for (std::size_t left = data.size(); left > 0; left /= 16) size.insert(0, 1, kHex[left % 16]);
  return size + "\r\n" + std::string(data) + "\r\n";
}

constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

bool MockServer::Shared::takes_fault() {
  if (options.fault == "none") return false;
  return options.fault_times < 0 || faults.fetch_add(1) < options.fault_times;
}

std::optional<std::string> MockServer::Shared::fault_answer(const std::string& fault) {
  if (fault == "401") return error_reply(401, "no such key");
  if (fault == "403") return error_reply(403, "not for you");
  if (fault == "404") return error_reply(404, "no such model");
  if (fault == "500") return error_reply(500, "out of order");
  if (fault == "429")
    return error_reply(429, "slow down",
                       "Retry-After: " + std::to_string(options.retry_after) + "\r\n");
  if (fault == "context")
    return error_reply(400,
                       "This model's maximum context length is 16 tokens. However, you "
                       "requested 99 tokens.");
  if (fault == "context_exact")  // vLLM, of a prompt as long as the context
    return error_reply(400,
                       "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)");
  if (fault == "garbage") return reply(200, "<html>what?</html>", "", "text/html");
  if (fault == "half_body")
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"
           "{\"choices\":[{\"mess";
  const json::value half = {{"choices", {{{"index", 0}, {"delta", {{"content", "On"}}}}}}};
  if (fault == "half_stream") return std::string(kStreamHead) + chunk(event(half));
  if (fault.starts_with("stream_error")) {
    const json::value died = {{"message", "engine died"}, {"code", 500}};
    const json::value error = {{"error", died}};
    const std::string told = fault == "stream_error_line"
                                 ? "error: " + json::serialize(died) + "\n\n"
                             : fault == "stream_error_event" ? "event: error\n" + event(died)
                                                             : event(error);
    return std::string(kStreamHead) + chunk(event(half) + told + "data: [DONE]\n\n") + "0\r\n\r\n";
  }
  return std::nullopt;  // close and silent send nothing
}

namespace {

// One answer in the making: what every piece of it says, what is in `choices`, and the text.
struct Completion {
  bool chat = true;
  json::object root, choice = {{"index", 0}};
  std::string text;
  bool refusal = false;
  json::array tool_calls;
  json::object function_call;
  json::value usage;

  const char* reason() const {
    if (!function_call.empty()) return "function_call";
    return tool_calls.empty() ? "stop" : "tool_calls";
  }
  // A message or a piece of one, that says this much of the text.
  json::object saying(const std::string& piece) const {
    return {{refusal ? "refusal" : "content", piece}};
  }
};

json::array prompt_logprobs(const Ids& prompt) {
  json::array logprobs = {nullptr};
  for (std::size_t i = 1; i < prompt.size(); ++i) {
    const json::value entry = {{"logprob", -0.01 * prompt[i]}, {"rank", 1}};
    logprobs.push_back(json::object{{std::to_string(prompt[i]), entry}});
  }
  return logprobs;
}

// Of a prompt that is echoed; in tokens of four bytes.
json::object echoed_logprobs(const std::string& text) {
  json::array tokens, values, offsets;
  for (std::size_t at = 0; at < text.size(); at += 4) {
    tokens.push_back(json::string(text.substr(at, 4)));
    if (at == 0)
      values.push_back(nullptr);
    else
      values.push_back(-0.1 * static_cast<double>(at));
    offsets.push_back(static_cast<std::int64_t>(at));
  }
  return {{"tokens", tokens}, {"token_logprobs", values}, {"text_offset", offsets}};
}

json::object sampled_logprobs(const Ids& sampled, bool chat) {
  json::array content, plain;
  for (const int id : sampled) {
    const double logprob = -0.25 * static_cast<double>(1 + id % 4);
    content.push_back({{"token", "x"}, {"logprob", logprob}});
    plain.push_back(logprob);
  }
  if (chat) return {{"content", content}};
  return {{"token_logprobs", plain}};
}

Ids ids_of_prompt(const json::value& given) {
  Ids ids;
  if (const auto* text = given.if_string())
    append_text(ids, *text);
  else
    for (const json::value& id : given.as_array()) ids.push_back(static_cast<int>(id.as_int64()));
  return ids;
}

std::string in_one(Completion whole) {
  if (whole.chat) {
    json::object message = whole.saying(whole.text);
    message["role"] = "assistant";
    if (!whole.tool_calls.empty()) message["tool_calls"] = whole.tool_calls;
    if (!whole.function_call.empty()) message["function_call"] = whole.function_call;
    whole.choice["message"] = std::move(message);
  } else {
    whole.choice["text"] = whole.text;
  }
  whole.choice["finish_reason"] = whole.reason();
  whole.root["choices"] = json::array{std::move(whole.choice)};
  whole.root["usage"] = whole.usage;
  return reply(200, json::serialize(whole.root));
}

// Ids and log-probabilities come with the first piece, text and function_call in halves.
std::string in_pieces(Completion whole) {
  const std::size_t middle = whole.text.size() / 2;
  json::object first = whole.choice, second = {{"index", 0}, {"finish_reason", whole.reason()}};
  if (whole.chat) {
    json::object begun = whole.saying(whole.text.substr(0, middle));
    json::object ended = whole.saying(whole.text.substr(middle));
    begun["role"] = "assistant";
    if (!whole.tool_calls.empty()) begun["tool_calls"] = whole.tool_calls;
    if (!whole.function_call.empty()) {
      const std::string arguments(whole.function_call["arguments"].as_string());
      const std::size_t half = arguments.size() / 2;
      whole.function_call["arguments"] = arguments.substr(0, half);
      begun["function_call"] = whole.function_call;
      ended["function_call"] = {{"arguments", arguments.substr(half)}};
    }
    first["delta"] = std::move(begun);
    second["delta"] = std::move(ended);
  } else {
    first["text"] = whole.text.substr(0, middle);
    second["text"] = whole.text.substr(middle);
  }
  json::object& root = whole.root;
  root["choices"] = json::array{std::move(first)};
  std::string events = event(root);
  root.erase("prompt_token_ids");
  root["choices"] = json::array{std::move(second)};
  events += event(root);
  root["choices"] = json::array{};
  root["usage"] = whole.usage;
  events += event(root) + "data: [DONE]\n\n";
  return std::string(kStreamHead) + chunk(events) + "0\r\n\r\n";
}

}  // namespace

std::string MockServer::Shared::completion(const std::string& body, bool chat, bool stream) {
  const bool ids_wanted =
      options.token_ids && body.find("\"return_token_ids\":true") != std::string::npos;
  Completion whole{.chat = chat,
                   .root = {{"id", "x"}, {"object", "chat.completion"}, {"model", options.model}},
                   .refusal = options.refusal && chat};
  Ids prompt;
  std::size_t turn = 0;
  if (chat) {
    turn = count(body, "\"role\":\"assistant\"");
    if (ids_wanted) prompt = chat_ids(json::parse(body).at("messages").as_array(), true, false);
  } else {
    const json::value parsed = json::parse(body);
    const json::value& given = parsed.at("prompt");
    prompt = ids_of_prompt(given);
    turn = count(text_of(prompt),
                 "\x01"
                 "assistant\n") -
           (given.is_array() ? 1 : 0);
    if (parsed.as_object().contains("prompt_logprobs"))
      whole.choice["prompt_logprobs"] = prompt_logprobs(prompt);
    if (parsed.as_object().contains("echo"))
      whole.choice["logprobs"] = echoed_logprobs(std::string(given.as_string()));
  }
  const bool calls = turn < static_cast<std::size_t>(options.tool_turns);
  const bool native = calls && !options.hermes && chat;
  if (!calls)
    whole.text = options.answer;
  else if (!native)
    whole.text = "<tool_call>\n{\"name\": \"" + options.tool +
                 "\", \"arguments\": " + options.arguments + "}\n</tool_call>";
  const bool broken = options.fault == "bad_arguments" && takes_fault();
  const json::object function = {{"name", options.tool},
                                 {"arguments", broken ? "{\"text\": " : options.arguments}};
  if (native && options.function_call)
    whole.function_call = function;
  else if (native)
    whole.tool_calls.push_back({{"index", 0},
                                {"id", "call_" + std::to_string(turn)},
                                {"type", "function"},
                                {"function", function}});
  Ids sampled;
  if (ids_wanted) {
    append_text(sampled, whole.text, kByte + kSampled);
    sampled.push_back(kClose);
    whole.choice["token_ids"] = as_json(sampled);
    whole.choice["logprobs"] = sampled_logprobs(sampled, chat);
    (chat ? whole.root : whole.choice)["prompt_token_ids"] = as_json(prompt);
  }
  whole.usage = json::object{{"prompt_tokens", prompt.size()},
                             {"completion_tokens", std::max<std::size_t>(1, sampled.size())}};
  return stream ? in_pieces(std::move(whole)) : in_one(std::move(whole));
}

// In vLLM's words.
std::optional<std::string> MockServer::Shared::too_long(const std::string& body, bool chat) const {
  if (options.context <= 0) return std::nullopt;
  const json::value parsed = json::parse(body);
  const std::size_t prompt = chat ? chat_ids(parsed.at("messages").as_array(), true, false).size()
                                  : ids_of_prompt(parsed.at("prompt")).size();
  const auto most = static_cast<std::size_t>(parsed.at("max_tokens").as_int64());
  if (prompt + most <= static_cast<std::size_t>(options.context)) return std::nullopt;
  return error_reply(400, "This model's maximum context length is " +
                              std::to_string(options.context) + " tokens. However, you requested " +
                              std::to_string(prompt + most) + " tokens (" + std::to_string(prompt) +
                              " in the messages, " + std::to_string(most) + " in the completion).");
}

std::string MockServer::Shared::tokenize(std::string_view body) {
  const json::value parsed = json::parse(body);
  Ids ids;
  if (const auto* messages = parsed.as_object().if_contains("messages"))
    ids = chat_ids(messages->as_array(), parsed.at("add_generation_prompt").as_bool(),
                   options.thinking);
  else
    append_text(ids, parsed.at("prompt").as_string());
  const json::value answer = {{"tokens", as_json(ids)}, {"count", ids.size()}};
  return reply(200, json::serialize(answer));
}

std::string MockServer::Shared::answer_other(const Request& request) {
  if (request.target == "/v1/models" && options.models_status != 200)
    return error_reply(options.models_status, "not here");
  if (request.target == "/v1/models") {
    const json::value model = {{"id", options.model},
                               {"owned_by", options.token_ids ? "vllm" : "mock"},
                               {"max_model_len", options.context > 0 ? options.context : 4096}};
    const json::value models = {{"object", "list"}, {"data", json::array{model}}};
    return reply(200, json::serialize(models));
  }
  if (request.target == "/version") return reply(200, "{\"version\":\"0.11.0\"}");
  if (request.target == "/tokenize" && options.token_ids) return tokenize(request.body);
  if (request.target == "/v1/embeddings") {
    const json::value parsed = json::parse(request.body);
    const auto size = static_cast<double>(parsed.at("input").as_string().size());
    const json::value item = {{"embedding", {size, 0.5}}};
    const json::value answer = {{"data", json::array{item}}};
    return reply(200, json::serialize(answer));
  }
  return error_reply(404, "no such page");
}

// False: the connection is to be closed.
template <class Stream>
asio::awaitable<bool> MockServer::Shared::generate(std::shared_ptr<Stream> stream, std::string body,
                                                   bool chat) {
  struct AtOnce {
    Shared& shared;
    explicit AtOnce(Shared& given) : shared(given) {
      const std::size_t now = ++shared.at_once;
      std::size_t known = shared.most_at_once.load();
      while (known < now && !shared.most_at_once.compare_exchange_weak(known, now)) {
      }
    }
    ~AtOnce() { --shared.at_once; }
  } at_once_now(*this);
  ++generations;
  if (options.threads == 1 || options.delay.count() == 0) {
    std::lock_guard lock(mutex);
    last_generation = body;
  }
  const bool streamed = body.find("\"stream\":true") != std::string::npos;
  if (options.delay.count() > 0) {
    asio::steady_timer timer(co_await asio::this_coro::executor, options.delay);
    co_await timer.async_wait(asio::use_awaitable);
  }
  std::string answer;
  bool keep = true;
  const std::string& fault = options.fault;
  if (!options.refuses.empty() && body.find("\"" + options.refuses + "\":") != std::string::npos) {
    const bool renamed = options.refuses == "max_tokens";
    answer = error_reply(400, "Unsupported parameter: '" + options.refuses + "'." +
                                  (renamed ? " Use 'max_completion_tokens' instead." : ""));
  } else if (fault != "bad_arguments" && takes_fault()) {
    keep = !fault.starts_with("half") && fault != "close" && fault != "silent";
    auto failed = fault_answer(fault);
    if (fault == "silent") {
      asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::minutes(10));
      co_await timer.async_wait(asio::use_awaitable);
    }
    if (!failed) co_return false;
    answer = std::move(*failed);
  } else if (!chat && options.no_completions != 0) {
    answer = error_reply(options.no_completions, "no completions here");
  } else if (auto refused = too_long(body, chat)) {
    answer = std::move(*refused);
  } else {
    answer = completion(body, chat, streamed);
  }
  co_await asio::async_write(*stream, asio::buffer(answer), asio::use_awaitable);
  co_return keep;
}

template <class Stream>
asio::awaitable<void> MockServer::Shared::serve(std::shared_ptr<Stream> stream,
                                                tcp::socket* socket) {
  struct Listed {
    Shared& shared;
    std::list<tcp::socket*>::iterator place;
    Listed(Shared& given, tcp::socket* open) : shared(given) {
      std::lock_guard lock(shared.mutex);
      place = shared.open_sockets.insert(shared.open_sockets.end(), open);
    }
    ~Listed() {
      std::lock_guard lock(shared.mutex);
      shared.open_sockets.erase(place);
    }
  } listed(*this, socket);
  std::string input;
  try {
    if constexpr (!std::is_same_v<Stream, tcp::socket>)
      co_await stream->async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
    std::array<char, 8192> buffer;
    for (;;) {
      std::size_t head_end = input.find("\r\n\r\n");
      std::size_t length = 0;
      if (head_end != std::string::npos) {
        static constexpr std::string_view kLength = "content-length:";
        const auto found =
            std::search(input.begin(), input.begin() + static_cast<long>(head_end), kLength.begin(),
                        kLength.end(), [](char a, char b) { return (a | 0x20) == (b | 0x20); });
        if (found != input.begin() + static_cast<long>(head_end))
          length = std::strtoull(&*found + kLength.size(), nullptr, 10);
      }
      if (head_end == std::string::npos || input.size() < head_end + 4 + length) {
        const std::size_t got =
            co_await stream->async_read_some(asio::buffer(buffer), asio::use_awaitable);
        input.append(buffer.data(), got);
        continue;
      }
      ++requests;
      Request request;
      request.head = std::string_view(input).substr(0, head_end);
      request.body = std::string_view(input).substr(head_end + 4, length);
      request.method = request.head.substr(0, request.head.find(' '));
      request.target = request.head.substr(request.method.size() + 1);
      request.target = request.target.substr(0, request.target.find(' '));
      // A proxy's absolute form.
      if (const std::size_t scheme = request.target.find("://"); scheme != std::string_view::npos)
        request.target = request.target.substr(
            std::min(request.target.find('/', scheme + 3), request.target.size()));
      const bool chat = request.target == "/v1/chat/completions";
      const bool refused =
          !options.key.empty() &&
          request.head.find("Authorization: Bearer " + options.key) == std::string_view::npos;
      bool keep = true;
      if (refused) {
        const std::string answer = error_reply(401, "no such key");
        co_await asio::async_write(*stream, asio::buffer(answer), asio::use_awaitable);
      } else if (chat || request.target == "/v1/completions") {
        std::string body(request.body);
        keep = co_await generate(stream, std::move(body), chat);
      } else {
        const std::string answer = answer_other(request);
        co_await asio::async_write(*stream, asio::buffer(answer), asio::use_awaitable);
      }
      if (!keep) break;
      input.erase(0, head_end + 4 + length);
    }
  } catch (const std::exception&) {
    co_return;  // the client went away, or sent what is no JSON: this connection ends
  }
}

asio::awaitable<void> MockServer::Shared::accept() {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(context, asio::use_awaitable);
    ++connections;
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    if (tls) {
      using Secure = asio::ssl::stream<tcp::socket>;
      auto stream = std::make_shared<Secure>(std::move(socket), *tls);
      tcp::socket* plain = &stream->next_layer();
      asio::co_spawn(context, serve(std::move(stream), plain), asio::detached);
    } else {
      auto stream = std::make_shared<tcp::socket>(std::move(socket));
      tcp::socket* plain = stream.get();
      asio::co_spawn(context, serve(std::move(stream), plain), asio::detached);
    }
  }
}

void MockServer::Shared::start() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (!options.tls_certificate.empty()) {
    tls.emplace(asio::ssl::context::tls_server);
    tls->use_certificate_chain_file(options.tls_certificate);
    tls->use_private_key_file(options.tls_key, asio::ssl::context::pem);
  }
  const tcp::endpoint place(asio::ip::address_v4::loopback(), options.port);
  acceptor.open(place.protocol());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  acceptor.bind(place);
  acceptor.listen(65535);
  asio::co_spawn(context, accept(), asio::detached);
  for (int i = 0; i < options.threads; ++i) threads.emplace_back([this] { context.run(); });
}

MockServer::MockServer(MockOptions options)
    : shared_(std::make_shared<Shared>(std::move(options))) {
  shared_->start();
}

MockServer::~MockServer() {
  shared_->context.stop();
  for (std::thread& thread : shared_->threads) thread.join();
}

unsigned short MockServer::port() const { return shared_->acceptor.local_endpoint().port(); }
std::string MockServer::url() const {
  return (shared_->tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port()) +
         "/v1";
}
std::size_t MockServer::connections() const { return shared_->connections; }
std::size_t MockServer::requests() const { return shared_->requests; }
std::size_t MockServer::generations() const { return shared_->generations; }
std::size_t MockServer::most_at_once() const { return shared_->most_at_once; }
std::string MockServer::last_generation() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->last_generation;
}
void MockServer::close_connections() {
  std::lock_guard lock(shared_->mutex);
  for (tcp::socket* socket : shared_->open_sockets) {
    boost::system::error_code ignored;
    socket->shutdown(tcp::socket::shutdown_both, ignored);
  }
}

}  // namespace proctor
