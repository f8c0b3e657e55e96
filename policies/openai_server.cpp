// Settings, retries and the sentences a user reads when a server refuses.
//
// What may be made again: a request that got no answer, 408, 409, 425, 429 and 5xx, and answers
// that are no answers. Generating twice costs time, never correctness.
#include "policies/openai_server.h"

#include <boost/algorithm/string/predicate.hpp>
#include <cstdlib>

#include "policies/openai_wire.h"
#include "runtime/core/config.h"
#include "runtime/core/open_files.h"

namespace proctor::openai {
namespace {

constexpr std::chrono::seconds kLongestWait{300};
constexpr std::chrono::hours kLongestRefusal{24};

const std::vector<OptionInfo>& declared() {
  static const std::vector<OptionInfo> options = {
      {.name = "uri", .meaning = "the model's URI"},
      {.name = "headers", .type = OptionType::any, .meaning = "extra request headers"},
      {.name = "ca_file", .meaning = "PEM file of the CA to trust instead of the system's"},
      {.name = "timeout_ms",
       .type = OptionType::integer,
       .fallback = 600'000,
       .meaning = "longest wait for one answer",
       .least = 1},
      {.name = "connect_timeout_ms",
       .type = OptionType::integer,
       .fallback = 10'000,
       .meaning = "longest wait for a connection",
       .least = 1},
      {.name = "look_timeout_ms",
       .type = OptionType::integer,
       .fallback = 15'000,
       .meaning = "longest wait for what the server is",
       .least = 1},
      {.name = "backoff_ms",
       .type = OptionType::integer,
       .fallback = 500,
       .meaning = "wait before the first retry; doubles",
       .least = 0},
      {.name = "max_in_flight",
       .type = OptionType::integer,
       .fallback = 1024,
       .meaning = "requests at once",
       .least = 1},
      {.name = "retries",
       .type = OptionType::integer,
       .fallback = 4,
       .meaning = "tries after the first",
       .least = 0,
       .most = 100},
      {.name = "stream",
       .type = OptionType::any,
       .fallback = "auto",
       .meaning = "auto, true or false"},
      {.name = "score",
       .type = OptionType::choice,
       .fallback = "auto",
       .meaning = "how given text is scored",
       .choices = {"auto", "prompt_logprobs", "echo"}},
      {.name = "token_ids",
       .type = OptionType::any,
       .fallback = "auto",
       .meaning = "ask for exact token ids: auto, true or false"},
      {.name = "price_in", .type = OptionType::any, .meaning = "price of one prompt token"},
      {.name = "price_out", .type = OptionType::any, .meaning = "price of one sampled token"},
      {.name = "context",
       .type = OptionType::integer,
       .fallback = 0,
       .meaning = "tokens that fit; 0: as the server says",
       .least = 0},
      {.name = "extra_body", .type = OptionType::any, .meaning = "fields added to every request"},
  };
  return options;
}

// auto, true or false, also as YAML's own true and false.
Result<std::string> read_switch(const Options& options, const char* name) {
  const json::value& value = options.any(name);
  if (value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  if (value == "auto" || value == "true" || value == "false")
    return json::value_to<std::string>(value);
  return bad_input(std::string(name) + ": expected auto, true or false");
}

Status read_uri(const std::string& uri, Settings& settings) {
  std::string text = uri.substr(uri.find(':') + 1);
  if (const std::size_t hash = text.find('#'); hash != std::string::npos) {
    settings.model = text.substr(hash + 1);
    text.resize(hash);
  }
  auto url = parse_http_url(text);
  if (!url) return std::move(url).error();
  settings.url = std::move(*url);
  std::string& target = settings.url.target;
  if (const std::size_t question = target.find('?'); question != std::string::npos) {
    const std::string query = target.substr(question + 1);
    target.resize(question);
    if (!query.starts_with("key_env=") || query.find('&') != std::string::npos)
      return bad_input("behind '?' only key_env=NAME may stand, not '" + query + "'");
    settings.key_env = query.substr(8);
  }
  while (target.ends_with('/')) target.pop_back();
  for (const char* end : {"/chat/completions", "/completions"})
    if (target.ends_with(end))
      return bad_input("the URL ends before " + std::string(end) + ": write .../v1");
  return {};
}

// As it stands, or {env: NAME}: the value of an environment variable, which no record keeps.
Result<std::string> header_value(const std::string& key, const json::value& given) {
  if (const auto* text = given.if_string()) return std::string(*text);
  const auto* object = given.if_object();
  const auto* env = object && object->size() == 1 ? object->if_contains("env") : nullptr;
  if (!env || !env->is_string()) return bad_input(key + ": expected a text, or {env: NAME}");
  const std::string name(env->get_string());
  const char* value = std::getenv(name.c_str());
  if (!value || !*value)
    return missing("the environment variable " + name + " (" + key + ") is not set");
  return std::string(value);
}

Status read_headers(const Options& options, Settings& settings) {
  const json::value& headers = options.any("headers");
  if (!headers.is_null() && !headers.is_object())
    return bad_input("headers: expected a mapping of names to texts");
  if (const auto* object = headers.if_object()) {
    for (const auto& [name, given] : *object) {
      const std::string key = "headers." + std::string(name);
      auto value = header_value(key, given);
      if (!value) return std::move(value).error();
      if (auto good = check_header(name, *value); !good) return good;
      for (const char* own : {"Host", "Content-Length", "Transfer-Encoding"})
        if (boost::algorithm::iequals(std::string_view(name), own))
          return bad_input(key + ": proctor writes this one itself");
      settings.headers.emplace_back(name, std::move(*value));
    }
  }
  if (settings.key_env.empty()) return {};
  const char* key = std::getenv(settings.key_env.c_str());
  if (!key || !*key)
    return missing("the environment variable " + settings.key_env +
                   " (key_env), which holds the API key, is not set");
  if (auto good = check_header("Authorization", key); !good)
    return bad_input("the API key in " + settings.key_env + " has a line break in it");
  settings.headers.emplace_back("Authorization", std::string("Bearer ") + key);
  return {};
}

bool says_context_is_full(const std::string& message) {
  std::string text = message;
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  for (const char* sign :
       {"context length", "context_length", "maximum context", "context size", "context window",
        "longer than the model", "longer than the maximum model length", "max_model_len",
        "prompt is too long",
        // vLLM, of a prompt that fills the context to the last token: we never ask for fewer.
        "max_tokens must be at least 1"})
    if (text.find(sign) != std::string::npos) return true;
  return false;
}

}  // namespace

Result<Settings> read_settings(const ModelConfig& config) {
  Settings settings;
  if (auto read = read_uri(config.uri, settings); !read) return std::move(read).error();
  auto options = Options::parse(config.settings, declared(), "settings");
  if (!options) return std::move(options).error();
  settings.ca_file = options->given("ca_file") ? options->text("ca_file") : "";
  settings.timeout = Milliseconds(options->integer("timeout_ms"));
  settings.connect_timeout = Milliseconds(options->integer("connect_timeout_ms"));
  settings.look_timeout = Milliseconds(options->integer("look_timeout_ms"));
  settings.backoff = Milliseconds(options->integer("backoff_ms"));
  settings.wanted_in_flight = static_cast<std::size_t>(options->integer("max_in_flight"));
  settings.max_in_flight =
      std::min(settings.wanted_in_flight, connections_that_fit(most_open_files()));
  settings.retries = static_cast<int>(options->integer("retries"));
  settings.context = options->integer("context");
  settings.score = options->text("score");
  for (const auto& [name, into] :
       {std::pair{"stream", &settings.stream}, std::pair{"token_ids", &settings.token_ids}}) {
    auto read = read_switch(*options, name);
    if (!read) return std::move(read).error();
    *into = std::move(*read);
  }
  if (const json::value& extra = options->any("extra_body"); extra.is_object())
    settings.extra_body = extra.get_object();
  else if (!extra.is_null())
    return bad_input("extra_body: expected a mapping");
  if (auto read = read_headers(*options, settings); !read) return std::move(read).error();
  return settings;
}

Result<std::unique_ptr<Server>> Server::make(Settings settings) {
  auto proxy = proxy_for(settings.url);
  if (!proxy) return std::move(proxy).error();
  HttpHeaders headers = settings.headers;
  headers.emplace_back("Content-Type", "application/json");
  auto client = HttpClient::make({.url = settings.url,
                                  .headers = std::move(headers),
                                  .ca_file = settings.ca_file,
                                  .proxy = std::move(*proxy),
                                  .connect = settings.connect_timeout});
  if (!client) return std::move(client).error();
  std::unique_ptr<Server> server(new Server(std::move(settings)));
  server->http_ = std::move(*client);
  return server;
}

std::string Server::root_path(std::string_view behind) const {
  std::string path = settings_.url.target;
  if (path.ends_with("/v1")) path.resize(path.size() - 3);
  return path += behind;
}

Server::Failure Server::judge_status(const Call& call, const HttpReply& reply,
                                     Refusal* refusal) const {
  const std::string url = settings_.url.origin() + call.target;
  const std::string message = error_message(reply.body);
  const std::string answered = url + " answered " + std::to_string(reply.status) +
                               (message.empty() ? "" : " (" + message + ")");
  switch (reply.status) {
    case 401:
    case 403:
      if (settings_.key_env.empty())
        return {missing(answered + ": it wants an API key; put ?key_env=NAME into the model URI")};
      return {missing(answered + ": it refuses the API key in " + settings_.key_env)};
    case 404:
      return {missing(
          answered + ": check the path (most servers have /v1)" +
          (settings_.model.empty() ? "" : " and the model name '" + settings_.model + "'"))};
    case 429:
      if (reply.body.find("insufficient_quota") != std::string::npos)
        return {missing(answered + ": the account behind the API key has no quota left")};
      return {unavailable(answered), true, reply.retry_after};
    case 408:
    case 409:
    case 425:
      return {unavailable(answered), true, reply.retry_after};
    default:
      break;
  }
  if (reply.status == 501) return {missing(answered + ": it cannot do what was asked")};
  if (reply.status >= 500) return {unavailable(answered), true, reply.retry_after};
  if (reply.status == 304)
    return {
        missing(answered + ": it answers as if something had been kept; is a cache in between?")};
  if (reply.status / 100 == 3)
    return {missing(answered + ": it redirects; write the URL it redirects to")};
  if (refusal) *refusal = {reply.status, message};
  if (says_context_is_full(message) || says_context_is_full(reply.body))
    return {bad_input("context_full: " + message)};
  return {bad_input(answered)};
}

std::chrono::nanoseconds retry_wait(Milliseconds backoff, int attempt, double chance) {
  const auto longest = backoff * (1 << std::min(attempt, 6));
  return std::chrono::duration_cast<std::chrono::nanoseconds>(longest * (0.5 + 0.5 * chance));
}

std::chrono::nanoseconds longer_wait(std::chrono::nanoseconds left, double chance) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(left * (1 + 0.25 * chance));
}

Async<void> Server::wait_for_rate_limit() {
  for (;;) {
    const std::chrono::nanoseconds until(not_before_ns_.load(std::memory_order_relaxed));
    const std::chrono::nanoseconds left =
        until - std::chrono::steady_clock::now().time_since_epoch();
    if (left <= std::chrono::nanoseconds(0)) co_return;
    Rng rng(derive_seed(hash64(settings_.model), waits_++));
    co_await sleep_for(longer_wait(left, rng.uniform()));
  }
}

Async<void> Server::wait_before(int attempt, std::optional<std::chrono::seconds> asked) {
  if (asked) {
    // The whole server is held back: what one request was told holds for all.
    const auto until = std::chrono::steady_clock::now().time_since_epoch() + *asked;
    const std::int64_t wanted = std::chrono::nanoseconds(until).count();
    std::int64_t known = not_before_ns_.load();
    while (known < wanted && !not_before_ns_.compare_exchange_weak(known, wanted)) {
    }
    if (*asked > std::chrono::seconds(0)) co_return;  // the next try waits there
  }
  Rng rng(derive_seed(hash64(settings_.model), waits_++));
  const auto wait = retry_wait(settings_.backoff, attempt, rng.uniform());
  if (wait > std::chrono::nanoseconds(0)) co_await sleep_for(wait);
}

HttpRequest Server::request_of(const Call& call, std::shared_ptr<const std::string> body) const {
  HttpRequest request;
  request.method = call.method;
  request.target = call.target;
  request.body = std::move(body);
  request.whole = settings_.timeout;
  if (call.limit.count() > 0) request.whole = std::min(request.whole, call.limit);
  request.on_body = call.on_body;
  return request;
}

// Nothing when the reply is what was wanted.
std::optional<Server::Failure> Server::judge(const Call& call, Result<HttpReply>& reply,
                                             int attempt, Refusal* refusal) const {
  Failure failure;
  if (!reply) {
    failure.again = reply.error().kind == ErrorKind::unavailable;
    failure.error = std::move(reply).error();
  } else if (reply->status / 100 != 2) {
    failure = judge_status(call, *reply, refusal);
  } else if (!reply->content_encoding.empty()) {
    failure.error = missing(settings_.url.origin() + call.target + ": the answer is compressed (" +
                            reply->content_encoding + "), which nobody asked for");
  } else {
    Status accepted = call.accept ? call.accept(*reply) : Status();
    if (accepted) return std::nullopt;
    failure.again = accepted.error().kind == ErrorKind::unavailable;
    failure.error = std::move(accepted).error().in(settings_.url.origin() + call.target);
  }
  const bool long_wait = failure.wait && *failure.wait > kLongestWait;
  if (long_wait)
    failure.error.message += ", and asks to wait " + std::to_string(failure.wait->count()) + " s";
  const bool told = call.told && call.told();
  if (failure.again && !long_wait && !told && attempt < call.retries) return failure;
  if (failure.again && attempt > 0)
    failure.error.message += " (after " + std::to_string(attempt + 1) + " tries)";
  failure.again = false;
  return failure;
}

// A try that had no answer in time says nothing about what went wrong before.
void Server::remember(const std::optional<Failure>& failure) {
  if (failure && failure->error.kind == ErrorKind::timeout) return;
  std::lock_guard lock(mutex_);
  if (failure && failure->wait && *failure->wait > kLongestWait) {
    refusing_ = failure->error;
    refuses_until_ = std::chrono::steady_clock::now() +
                     std::min<std::chrono::seconds>(*failure->wait, kLongestRefusal);
  }
  if (failure && failure->error.kind == ErrorKind::unavailable)
    trouble_ = failure->error.message;
  else
    trouble_.reset();
}

std::optional<Error> Server::refusing() const {
  std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() < refuses_until_ ? refusing_ : std::nullopt;
}

std::optional<std::string> Server::trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

Async<Result<HttpReply>> Server::ask_for(std::shared_ptr<Call> call, Refusal* refusal) {
  std::shared_ptr<const std::string> body;
  if (call->method != "GET") body = std::make_shared<const std::string>(std::move(call->body));
  auto since = std::chrono::steady_clock::now();
  for (int attempt = 0;; ++attempt) {
    const bool held_back = not_before_ns_.load(std::memory_order_relaxed) != 0;
    if (held_back) co_await wait_for_rate_limit();
    if (auto error = refusing()) co_return std::move(*error);
    if ((held_back || attempt > 0) && call->waited)
      call->waited(std::chrono::steady_clock::now() - since);
    if (call->begin) call->begin();
    auto sending = http_->send(request_of(*call, body));
    auto reply = co_await std::move(sending);
    auto failure = judge(*call, reply, attempt, refusal);
    remember(failure);
    if (!failure) co_return reply;
    if (!failure->again) co_return std::move(failure->error);
    since = std::chrono::steady_clock::now();
    co_await wait_before(attempt, failure->wait);
  }
}

}  // namespace proctor::openai
