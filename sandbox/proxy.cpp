// The proxy's connections, each a coroutine: read a request, judge it, look the host up, judge its
// addresses, connect, pass on. Blind spot: a guest that hangs up is noticed only once bytes flow.
#include "sandbox/proxy.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <utility>

#include "runtime/core/determinism.h"
#include "runtime/core/http_client.h"
#include "runtime/core/open_files.h"
#include "sandbox/client_hello.h"

namespace proctor {
namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;
using namespace asio::experimental::awaitable_operators;
using Field = http::field;
using Head = http::request<http::buffer_body>;
using Steady = std::chrono::steady_clock;

// Of one guest; what is more waits at the listener, or is turned away.
constexpr std::size_t kMostAtOnce = 32;
constexpr int kMostInAll = 1000;
constexpr int kLookUpsAtOnce = 2;
constexpr std::size_t kMostAddresses = 8;  // of a host, that are tried
constexpr std::size_t kMostHead = std::size_t{32} << 10;
constexpr std::size_t kChunk = std::size_t{32} << 10;
constexpr int kSocketBuffer = 256 << 10;  // of the kernel's memory, which nobody's limit counts
constexpr std::size_t kMostName = 255;
constexpr Milliseconds kHeadTime = 5s, kConnectTime = 10s, kIdleTime = 60s, kPartingTime = 1s;

Result<std::vector<std::string>> ask_the_system(const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
    return unavailable(gai_strerror(error));
  std::vector<std::string> addresses;
  for (const addrinfo* each = found; each; each = each->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) == 0)
      addresses.emplace_back(text);
  }
  freeaddrinfo(found);
  return addresses;
}

void settle(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(tcp::socket::send_buffer_size(kSocketBuffer), ignored);
  socket.set_option(tcp::socket::receive_buffer_size(kSocketBuffer), ignored);
}

std::string with_port(const std::string& host, int port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

// Where a request wants to go, the host in its usual form; nothing where it is none to a proxy.
std::optional<HttpUrl> target_of(const Head& head) {
  const bool tunnels = head.method() == http::verb::connect;
  const std::string target(head.target());
  auto url = parse_http_url(tunnels ? "http://" + target : target);
  if (!url || url->tls || url->host.size() > kMostName) return std::nullopt;
  if (tunnels && (!url->target.empty() || !target.ends_with(":" + url->port))) return std::nullopt;
  url->host = usual_form(url->host);
  return *url;
}

bool host_agrees(const Head& head, const HttpUrl& url) {
  const std::size_t times = head.count(Field::host);
  if (times == 0) return head.version() < 11;
  const auto said = parse_http_url("http://" + std::string(head[Field::host]));
  return times == 1 && said && said->target.empty() && usual_form(said->host) == url.host &&
         said->port == url.port;
}

// What concerns one connection only, and whatever a request says does.
void drop_hop_fields(http::fields& fields) {
  std::vector<std::string> named;
  const auto range = fields.equal_range(Field::connection);
  for (auto each = range.first; each != range.second; ++each)
    for (const auto& name : http::token_list(each->value())) named.emplace_back(name);
  // These are not the guest's to leave out: the message would be read otherwise than it was judged.
  for (const auto& name : named) {
    const Field field = http::string_to_field(name);
    if (field != Field::host && field != Field::content_length && field != Field::transfer_encoding)
      fields.erase(name);
  }
  for (const Field field : {Field::connection, Field::proxy_connection, Field::proxy_authorization,
                            Field::keep_alive, Field::te, Field::trailer, Field::upgrade})
    fields.erase(field);
}

}  // namespace

Outside::Outside(asio::io_context& on, LookUp with)
    : context(on),
      look_up(with ? std::move(with) : ask_the_system),
      most_open(std::max<std::size_t>(2, most_open_files() / 16)),
      changed(on) {}

struct Proxy::Entry {
  NetworkConnection seen;
  Steady::time_point begin = Steady::now();
  bool ended = false;
};

struct Proxy::Connection {
  explicit Connection(asio::io_context& context) : guest(context), host(context), timer(context) {}
  tcp::socket guest, host;
  asio::steady_timer timer;
  boost::beast::flat_buffer buffer{kMostHead + kChunk};  // of the guest's, not yet passed on
  std::shared_ptr<Entry> entry = std::make_shared<Entry>();
};

struct Proxy::Request {
  http::request_parser<http::buffer_body> parser;
  HttpUrl url;
};

Proxy::Proxy(std::shared_ptr<Outside> outside, std::vector<AllowedHost> hosts, Bytes most_bytes)
    : outside_(std::move(outside)),
      hosts_(std::move(hosts)),
      most_bytes_(count(most_bytes)),
      listener_(outside_->context),
      look_ups_(kLookUpsAtOnce) {}

Status Proxy::open(OwnedFd listener) {
  boost::system::error_code error;
  listener_.assign(tcp::v4(), listener.get(), error);
  if (error) return internal_error("network: " + error.message());
  listener.release();
  const auto place = listener_.local_endpoint(error);
  if (error) return internal_error("network: " + error.message());
  place_ = "http://127.0.0.1:" + std::to_string(place.port());
  asio::co_spawn(outside_->context, accept(shared_from_this()),
                 [](const std::exception_ptr& thrown) {
                   if (thrown && !is_cancellation(thrown)) std::rethrow_exception(thrown);
                 });
  return {};
}

std::vector<std::string> Proxy::environment() const {
  std::vector<std::string> variables = {"NODE_USE_ENV_PROXY=1"};
  for (const char* name :
       {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
    variables.push_back(name + ("=" + place_));
  // The guest's own servers, but for a name that means the host's.
  std::string own;
  for (const char* name : {"localhost", "127.0.0.1", "::1"}) {
    const bool named = std::any_of(hosts_.begin(), hosts_.end(),
                                   [&](const auto& each) { return each.host == name; });
    if (!named) own += (own.empty() ? "" : ",") + std::string(name);
  }
  for (const char* name : {"no_proxy", "NO_PROXY"}) variables.push_back(name + ("=" + own));
  return variables;
}

void Proxy::begin(Bytes most_bytes) {
  most_bytes_ = count(most_bytes);
  spent_ = 0;
  connections_ = 0;
}

NetworkUse Proxy::take() {
  NetworkUse use;
  std::vector<std::shared_ptr<Entry>> open;
  for (const auto& entry : entries_) {
    NetworkConnection seen = entry->seen;
    if (!entry->ended) {
      seen.ms = to_ms(Steady::now() - entry->begin);
      if (seen.why.empty()) seen.outcome = Outcome::open;
      entry->seen.bytes_out = entry->seen.bytes_in = 0;
      open.push_back(entry);
    }
    use.connections.push_back(std::move(seen));
  }
  entries_ = std::move(open);
  use.unlisted = std::exchange(unlisted_, 0);
  return use;
}

void Proxy::close() {
  if (std::exchange(closed_, true)) return;
  boost::system::error_code ignored;
  listener_.close(ignored);
  for (const auto& connection : open_) end(*connection, Outcome::ok, "");
  outside_->changed.ring();
}

void Proxy::end(Connection& connection, Outcome outcome, std::string why) {
  boost::system::error_code ignored;
  connection.timer.cancel();
  connection.guest.close(ignored);
  connection.host.close(ignored);
  Entry& entry = *connection.entry;
  if (std::exchange(entry.ended, true)) return;
  entry.seen.ms = to_ms(Steady::now() - entry.begin);
  if (!entry.seen.why.empty()) return;  // told already, with the answer
  entry.seen.outcome = outcome;
  entry.seen.why = std::move(why);
}

void Proxy::expect_within(const ConnectionRef& connection, Milliseconds limit, std::string why) {
  connection->timer.expires_after(limit);
  connection->timer.async_wait([weak = std::weak_ptr(connection),
                                why = std::move(why)](boost::system::error_code cancelled) mutable {
    const ConnectionRef late = weak.lock();
    if (cancelled || !late || late->timer.expiry() > Steady::now()) return;
    end(*late, why.empty() ? Outcome::ok : Outcome::error, std::move(why));
  });
}

void Proxy::expect_more(const ConnectionRef& connection) {
  expect_within(connection, kIdleTime, "nothing came or went for 60 s");
}

std::string Proxy::limit_of_bytes() const {
  return "the limit of " + std::to_string(most_bytes_) + " bytes is reached";
}

bool Proxy::spend(Connection& connection, std::size_t bytes, bool out) {
  NetworkConnection& seen = connection.entry->seen;
  spent_ += static_cast<std::int64_t>(bytes);
  if (spent_ > most_bytes_) {
    end(connection, Outcome::limit, limit_of_bytes());
    return false;
  }
  (out ? seen.bytes_out : seen.bytes_in) += static_cast<std::int64_t>(bytes);
  return true;
}

Async<void> Proxy::accept(std::shared_ptr<Proxy> self) {
  asio::steady_timer pause(outside_->context);
  boost::system::error_code error;
  while (!closed_) {
    if (open_.size() >= kMostAtOnce || outside_->open >= outside_->most_open) {
      co_await outside_->changed.wait();
      continue;
    }
    auto connection = std::make_shared<Connection>(outside_->context);
    co_await listener_.async_accept(connection->guest,
                                    asio::redirect_error(asio::use_awaitable, error));
    if (closed_) break;
    if (error) {  // no more open files, say
      pause.expires_after(50ms);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (++connections_ > kMostInAll) {
      ++unlisted_;
      boost::system::error_code ignored;
      connection->guest.close(ignored);
      pause.expires_after(10ms);  // whoever goes on and on is served slowly
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    entries_.push_back(connection->entry);
    open_.insert(connection);
    ++outside_->open;
    asio::co_spawn(outside_->context, serve(connection),
                   [self, connection](const std::exception_ptr& thrown) {
                     end(*connection, Outcome::ok, "");
                     self->open_.erase(connection);
                     --self->outside_->open;
                     self->outside_->changed.ring();
                     if (thrown && !is_cancellation(thrown)) std::rethrow_exception(thrown);
                   });
  }
}

Async<void> Proxy::serve(ConnectionRef connection) {
  NetworkConnection& seen = connection->entry->seen;
  boost::system::error_code error;
  settle(connection->guest);
  Request request;
  request.parser.header_limit(kMostHead);
  request.parser.body_limit(boost::none);
  expect_within(connection, kHeadTime, "no request came in 5 s");
  co_await http::async_read_header(connection->guest, connection->buffer, request.parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (connection->entry->ended) co_return;
  if (error == http::error::end_of_stream) co_return;  // and asked nothing
  if (error) {
    auto answered = answer(connection, 400, Outcome::refused, "no HTTP request");
    co_return co_await std::move(answered);
  }
  const Head& head = request.parser.get();
  const bool tunnels = head.method() == http::verb::connect;
  auto url = target_of(head);
  if (!url) {
    auto answered = answer(connection, 400, Outcome::refused,
                           "expected a request for http://HOST/... or CONNECT HOST:PORT");
    co_return co_await std::move(answered);
  }
  seen.host = url->host;
  seen.port = std::stoi(url->port);
  std::string why;
  if (!is_allowed(hosts_, seen.host, seen.port))
    why = with_port(seen.host, seen.port) + " is not among the allowed hosts";
  else if (!tunnels && !host_agrees(head, *url))
    why = "the Host field is not the URL's host";
  const bool refused = !why.empty();
  if (!refused && spent_ >= most_bytes_) why = limit_of_bytes();
  if (!why.empty()) {
    auto answered = answer(connection, 403, refused ? Outcome::refused : Outcome::limit, why);
    co_return co_await std::move(answered);
  }
  request.url = std::move(*url);
  auto reaching = reach(connection);
  if (!co_await std::move(reaching)) co_return;
  auto passing = tunnels ? tunnel(connection) : forward(connection, &request);
  co_await std::move(passing);
}

// Refusals are the guest's to read: what the client shows is the reason beside the number.
Async<void> Proxy::answer(ConnectionRef connection, int code, Outcome outcome, std::string why) {
  connection->entry->seen.outcome = outcome;
  connection->entry->seen.why = why;
  for (char& c : why)
    if (c < ' ' || c > '~') c = '?';
  const std::string text = "HTTP/1.1 " + std::to_string(code) + " " + why +
                           "\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: " +
                           std::to_string(why.size() + 1) + "\r\n\r\n" + why + "\n";
  expect_within(connection, kPartingTime, "");
  boost::system::error_code error;
  const auto bytes = asio::buffer(text);
  co_await asio::async_write(connection->guest, bytes,
                             asio::redirect_error(asio::use_awaitable, error));
  connection->guest.shutdown(tcp::socket::shutdown_send, error);
  // What was not read would take the answer with it.
  char rest[4096];
  const auto room = asio::buffer(rest);
  while (!error)
    co_await connection->guest.async_read_some(room,
                                               asio::redirect_error(asio::use_awaitable, error));
}

Async<std::vector<std::string>> Proxy::addresses_of(ConnectionRef connection) {
  const std::string host = connection->entry->seen.host;
  boost::system::error_code is_name;
  (void)asio::ip::make_address(host, is_name);
  if (!is_name) co_return std::vector<std::string>{host};
  auto turn = look_ups_.acquire();
  auto lease = co_await std::move(turn);
  if (connection->entry->ended) co_return std::vector<std::string>();
  auto work = [outside = outside_, host] { return outside->look_up(host); };
  auto looking = on_pool(&outside_->look_ups.pool(), std::move(work));
  auto found = co_await std::move(looking);
  if (connection->entry->ended) co_return std::vector<std::string>();
  if (found && !found->empty()) co_return std::move(*found);
  auto answered = answer(connection, 502, Outcome::error,
                         host + " was not found" + (found ? "" : ": " + found.error().message));
  co_await std::move(answered);
  co_return std::vector<std::string>();
}

namespace {

Async<Result<bool>> connect(tcp::socket* socket, tcp::endpoint endpoint) {
  boost::system::error_code error;
  socket->open(endpoint.protocol(), error);
  if (error) co_return unavailable(error.message());
  settle(*socket);
  co_await socket->async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return unavailable(error.message());
  co_return true;
}

}  // namespace

// Connects to an address of the host's that may be reached; where there is none, the guest is told.
Async<bool> Proxy::reach(ConnectionRef connection) {
  NetworkConnection& seen = connection->entry->seen;
  connection->timer.cancel();
  auto looking = addresses_of(connection);
  auto addresses = co_await std::move(looking);
  if (addresses.empty()) co_return false;
  if (addresses.size() > kMostAddresses) addresses.resize(kMostAddresses);
  std::vector<tcp::endpoint> endpoints;
  std::string why = seen.host + " has no address";
  for (const auto& text : addresses) {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(text, error);
    if (error) continue;
    const std::string refused = why_not(hosts_, address, seen.port);
    if (refused.empty())
      endpoints.emplace_back(address, static_cast<unsigned short>(seen.port));
    else
      why = refused;
  }
  if (endpoints.empty()) {
    auto answered = answer(connection, 403, Outcome::refused, why);
    co_await std::move(answered);
    co_return false;
  }
  const Milliseconds share = kConnectTime / static_cast<int>(endpoints.size());
  for (const auto& endpoint : endpoints) {
    boost::system::error_code error;
    connection->host.close(error);
    seen.address = endpoint.address().to_string();
    auto connecting = with_deadline(connect(&connection->host, endpoint), share, seen.address);
    auto connected = co_await std::move(connecting);
    if (connection->entry->ended) co_return false;
    if (connected) {
      expect_more(connection);
      co_return true;
    }
    why = "no connection to " + with_port(seen.host, seen.port) + ": " + connected.error().message;
  }
  auto answered = answer(connection, 502, Outcome::error, why);
  co_await std::move(answered);
  co_return false;
}

// One direction until its end, which is passed on as well; false when all is over.
Async<bool> Proxy::pass(ConnectionRef connection, bool out) {
  tcp::socket& from = out ? connection->guest : connection->host;
  tcp::socket& to = out ? connection->host : connection->guest;
  std::vector<char> chunk(kChunk);
  boost::system::error_code error;
  while (!error) {
    const auto room = asio::buffer(chunk);
    const std::size_t size =
        co_await from.async_read_some(room, asio::redirect_error(asio::use_awaitable, error));
    if (error || connection->entry->ended) break;
    if (!spend(*connection, size, out)) co_return false;
    expect_more(connection);
    const auto bytes = asio::buffer(chunk.data(), size);
    co_await asio::async_write(to, bytes, asio::redirect_error(asio::use_awaitable, error));
  }
  if (connection->entry->ended) co_return false;
  if (error == asio::error::eof) {
    to.shutdown(tcp::socket::shutdown_send, error);
    co_return true;
  }
  end(*connection, out ? Outcome::ok : Outcome::error, out ? "" : "the connection broke");
  co_return false;
}

// The beginning of what goes through a tunnel; false when it must not.
Async<bool> Proxy::pass_hello(ConnectionRef connection) {
  const NetworkConnection& seen = connection->entry->seen;
  boost::system::error_code error;
  FirstBytes first;
  for (;;) {
    const auto held = connection->buffer.data();
    first = look_at({static_cast<const char*>(held.data()), held.size()});
    if (first.kind != FirstBytes::Kind::more) break;
    const auto room = connection->buffer.prepare(4096);
    const std::size_t size = co_await connection->guest.async_read_some(
        room, asio::redirect_error(asio::use_awaitable, error));
    if (error || connection->entry->ended) break;
    connection->buffer.commit(size);
    expect_more(connection);
  }
  if (connection->entry->ended) co_return false;
  if (error == asio::error::eof && connection->buffer.size() == 0) {
    connection->host.shutdown(tcp::socket::shutdown_send, error);
    co_return true;
  }
  std::string why;
  if (first.kind == FirstBytes::Kind::plain) {
    if (!names_port(hosts_, seen.host, seen.port))
      why = "a tunnel carries TLS only, where the list does not have the port by number";
  } else if (first.kind != FirstBytes::Kind::tls) {
    why = "what went into the tunnel is neither TLS nor anything else";
  } else if (usual_form(first.server_name) != seen.host) {
    boost::system::error_code is_name;
    (void)asio::ip::make_address(seen.host, is_name);
    if (is_name || !first.server_name.empty())
      why =
          "TLS names the server '" + first.server_name.substr(0, kMostName) + "', not " + seen.host;
  }
  if (!why.empty()) {
    end(*connection, Outcome::refused, why);
    co_return false;
  }
  if (!spend(*connection, connection->buffer.size(), true)) co_return false;
  co_await asio::async_write(connection->host, connection->buffer.data(),
                             asio::redirect_error(asio::use_awaitable, error));
  connection->buffer.consume(connection->buffer.size());
  auto rest = pass(connection, true);
  co_return co_await std::move(rest);
}

Async<void> Proxy::tunnel(ConnectionRef connection) {
  static const std::string kOpen = "HTTP/1.1 200 Connection established\r\n\r\n";
  boost::system::error_code error;
  const auto bytes = asio::buffer(kOpen);
  co_await asio::async_write(connection->guest, bytes,
                             asio::redirect_error(asio::use_awaitable, error));
  auto both = pass_hello(connection) && pass(connection, false);
  co_await std::move(both);
}

// The request as it was understood, and nothing behind it.
Async<bool> Proxy::pass_body(ConnectionRef connection, Request* request) {
  auto& parser = request->parser;
  Head& message = parser.get();
  http::request_serializer<http::buffer_body> serializer(message);
  boost::system::error_code error;
  std::vector<char> chunk(kChunk);
  std::size_t size = co_await http::async_write_header(
      connection->host, serializer, asio::redirect_error(asio::use_awaitable, error));
  while (!error && spend(*connection, size, true) && !serializer.is_done()) {
    message.body().data = nullptr;
    message.body().size = 0;
    if (!parser.is_done()) {
      message.body().data = chunk.data();
      message.body().size = chunk.size();
      co_await http::async_read_some(connection->guest, connection->buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
      if (error == http::error::need_buffer) error = {};
      if (error || connection->entry->ended) break;
      expect_more(connection);
      message.body().size = chunk.size() - message.body().size;
      message.body().data = chunk.data();
    }
    message.body().more = !parser.is_done();
    size = co_await http::async_write(connection->host, serializer,
                                      asio::redirect_error(asio::use_awaitable, error));
    if (error == http::error::need_buffer) error = {};
  }
  if (connection->entry->ended) co_return false;
  if (error) {
    end(*connection, Outcome::error, "the request broke off");
    co_return false;
  }
  // A second request would go to this host unjudged: it is not read.
  if (connection->buffer.size() > 0) co_return true;
  const auto room = connection->buffer.prepare(1);
  (void)co_await connection->guest.async_read_some(
      room, asio::redirect_error(asio::use_awaitable, error));
  if (!error || error == asio::error::eof) co_return true;
  end(*connection, Outcome::ok, "");
  co_return false;
}

Async<void> Proxy::forward(ConnectionRef connection, Request* request) {
  Head& message = request->parser.get();
  drop_hop_fields(message);
  message.target(request->url.target.empty() ? "/" : request->url.target);
  message.set(Field::host, request->url.host_header());
  message.set(Field::connection, "close");
  auto both = pass_body(connection, request) && pass_answer(connection);
  co_await std::move(both);
}

// Once the host has ended, the guest has a moment to do so too.
Async<bool> Proxy::pass_answer(ConnectionRef connection) {
  auto passing = pass(connection, false);
  const bool whole = co_await std::move(passing);
  if (whole) expect_within(connection, kPartingTime, "");
  co_return whole;
}

}  // namespace proctor
