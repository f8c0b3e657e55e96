// Connections, deadlines and one exchange of the HTTP client.
//
// Sockets are non-blocking and read and written directly; Asio only waits for readiness, so that a
// waiting request needs no buffer. A deadline shuts the socket down, which ends whatever waits on
// it.
#include "runtime/core/http_client.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>
#include <span>

#include "runtime/core/http_parser.h"
#include "runtime/core/http_tls.h"
#include "runtime/core/open_files.h"
#include "runtime/core/records.h"

namespace proctor {
namespace {

using asio::ip::tcp;
constexpr auto kIdleFor = 60s;
constexpr std::size_t kConnectingAtOnce = 256;  // a listen queue is often this short
// Of an answer's head, or of a chunk's size or trailers, that is not complete yet.
constexpr std::size_t kMostUntaken = 128U << 10;

// One scratch buffer a thread: between two waits nothing else runs on it. Not inlined, since its
// address changes when a coroutine resumes on another thread.
[[gnu::noinline]] std::span<char> scratch() {
  thread_local std::array<char, 64U << 10> buffer;
  return buffer;
}

IoStep from_errno(ssize_t result) {
  IoStep step;
  if (result > 0) {
    step.bytes = static_cast<std::size_t>(result);
  } else if (result == 0) {
    step.state = IoStep::State::end;
  } else {
    step.state = IoStep::State::failed;
    step.error = std::strerror(errno);
  }
  return step;
}

std::string milliseconds(Milliseconds time) { return std::to_string(time.count()) + " ms"; }

}  // namespace

struct HttpClient::Connection {
  explicit Connection(const asio::any_io_executor& executor) : socket(executor) {}
  tcp::socket socket;
  std::unique_ptr<TlsSession> tls;
  bool reused = false;
  bool dirty = false;  // bytes came that belong to no request: not to be kept
  SteadyTime idle_since;

  IoStep read(std::span<char> into) {
    if (tls) return tls->read(into.data(), into.size());
    const ssize_t got = ::recv(socket.native_handle(), into.data(), into.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {IoStep::State::want_read, 0, {}};
    return from_errno(got);
  }

  IoStep write(std::string_view head, std::string_view body) {
    if (tls) {
      const std::string_view part = head.empty() ? body : head;
      return tls->write(part.data(), part.size());
    }
    std::array<iovec, 2> parts{iovec{const_cast<char*>(head.data()), head.size()},
                               iovec{const_cast<char*>(body.data()), body.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = ::sendmsg(socket.native_handle(), &message, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return {IoStep::State::want_write, 0, {}};
    return from_errno(sent);
  }
};

// The kept connections of one io_context; emptied when that ends.
struct HttpClient::Pool {
  explicit Pool(asio::execution_context* owner) : context(owner) {}
  asio::execution_context* const context;
  std::mutex mutex;
  std::vector<ConnectionPtr> idle;  // guarded by mutex; the most lately used at the back
  bool closed = false;              // guarded by mutex

  ConnectionPtr take() {
    std::lock_guard lock(mutex);
    if (idle.empty()) return nullptr;
    ConnectionPtr connection = std::move(idle.back());
    idle.pop_back();
    if (connection->idle_since + kIdleFor < std::chrono::steady_clock::now()) {
      idle.clear();  // all others have been idle for longer
      return nullptr;
    }
    connection->reused = true;
    return connection;
  }

  void keep(ConnectionPtr connection) {
    connection->idle_since = std::chrono::steady_clock::now();
    std::lock_guard lock(mutex);
    if (closed) return;
    idle.push_back(std::move(connection));
    const auto stale = std::find_if(idle.begin(), idle.end(), [&](const ConnectionPtr& each) {
      return each->idle_since + kIdleFor >= idle.back()->idle_since;
    });
    idle.erase(idle.begin(), stale);
  }

  void close() {
    std::vector<ConnectionPtr> dropped;
    std::lock_guard lock(mutex);
    closed = true;
    dropped.swap(idle);
  }
};

// Lets a pool know that its io_context ends, before the sockets' own service is gone.
class HttpClient::Pools final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  explicit Pools(asio::execution_context& context) : service(context) {}
  void add(std::weak_ptr<Pool> pool) {
    std::lock_guard lock(mutex_);
    std::erase_if(pools_, [](const auto& each) { return each.expired(); });
    pools_.push_back(std::move(pool));
  }

 private:
  void shutdown() override {
    std::lock_guard lock(mutex_);
    for (const auto& each : pools_)
      if (auto pool = each.lock()) pool->close();
  }
  std::mutex mutex_;
  std::vector<std::weak_ptr<Pool>> pools_;
};

// The deadline of one request: one timer for all its stages.
class HttpClient::Watch : public std::enable_shared_from_this<Watch> {
 public:
  explicit Watch(const asio::any_io_executor& executor) : timer_(executor) {}

  // From now on a passed deadline shuts this socket down.
  void guard(int fd, SteadyTime deadline) {
    std::lock_guard lock(mutex_);
    fd_ = fd;
    fired_ = false;
    deadline_ = deadline;
    if (waiting_ && timer_.expiry() <= deadline) return;  // it will look again when it fires
    wait();
  }
  // The socket is about to be closed or given back.
  void let_go() {
    std::lock_guard lock(mutex_);
    fd_ = -1;
  }
  void end() {
    std::lock_guard lock(mutex_);
    fd_ = -1;
    ended_ = true;
    timer_.cancel();
  }
  bool fired() const {
    std::lock_guard lock(mutex_);
    return fired_;
  }

 private:
  void wait() {
    waiting_ = true;
    timer_.expires_at(deadline_);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->look();
    });
  }
  void look() {
    std::lock_guard lock(mutex_);
    waiting_ = false;
    if (ended_ || fired_) return;
    if (std::chrono::steady_clock::now() < deadline_) return wait();
    fired_ = true;
    if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
  }

  mutable std::mutex mutex_;
  asio::steady_timer timer_;
  SteadyTime deadline_;
  int fd_ = -1;
  bool waiting_ = false, fired_ = false, ended_ = false;
};

// Declared behind a connection, so that the watch lets go of the socket before it is closed.
struct HttpClient::LetGo {
  Watch& watch;
  ~LetGo() { watch.let_go(); }
};

struct HttpClient::Exchange {
  std::string_view head;
  std::string_view body;
  std::size_t most_body;
  const std::function<Status(std::string_view)>* on_body;
  std::shared_ptr<Watch> watch;
  SteadyTime whole;  // the deadline once the answer has begun
  bool skip_body = false;
  bool answered = false;
  std::optional<HttpReplyParser> parser;

  void expect_answer() {
    parser.emplace(most_body, on_body);
    parser->skip(skip_body);
  }
};

Result<std::shared_ptr<HttpClient>> HttpClient::make(Settings settings) {
  (void)most_open_files();  // each connection is one
  for (const auto& [name, value] : settings.headers)
    if (auto good = check_header(name, value); !good) return std::move(good).error();
  TlsContext tls;
  if (settings.url.tls) {
    auto made = make_tls_context(settings.ca_file);
    if (!made) return std::move(made).error();
    tls = std::move(*made);
  }
  std::shared_ptr<HttpClient> client(new HttpClient(std::move(settings)));
  client->tls_ = tls.release();
  return client;
}

HttpClient::HttpClient(Settings settings)
    : settings_(std::move(settings)),
      origin_(settings_.url.origin()),
      connecting_(kConnectingAtOnce) {
  fixed_headers_ = " HTTP/1.1\r\nHost: " + settings_.url.host_header() +
                   "\r\nUser-Agent: proctor/" + kVersion + "\r\nAccept: */*\r\n";
  for (const auto& [name, value] : settings_.headers)
    fixed_headers_ += name + ": " + value + "\r\n";
  if (settings_.proxy && !settings_.url.tls && !settings_.proxy->authorization.empty())
    fixed_headers_ += "Proxy-Authorization: " + settings_.proxy->authorization + "\r\n";
}

HttpClient::~HttpClient() {
  close_idle();
  SSL_CTX_free(static_cast<SSL_CTX*>(tls_));
}

HttpClient::Counts HttpClient::counts() const { return {requests_.load(), connections_.load()}; }

void HttpClient::close_idle() {
  std::lock_guard lock(mutex_);
  for (const auto& pool : pools_) pool->close();
  pools_.clear();
}

std::shared_ptr<HttpClient::Pool> HttpClient::pool_of(const asio::any_io_executor& executor) {
  asio::execution_context* context = &asio::query(executor, asio::execution::context);
  std::lock_guard lock(mutex_);
  for (auto& pool : pools_) {
    if (pool->context != context) continue;
    std::lock_guard pool_lock(pool->mutex);
    if (!pool->closed) return pool;
  }
  std::erase_if(pools_, [](const std::shared_ptr<Pool>& pool) {
    std::lock_guard pool_lock(pool->mutex);
    return pool->closed;
  });
  auto pool = std::make_shared<Pool>(context);
  asio::use_service<Pools>(*context).add(pool);
  pools_.push_back(pool);
  return pool;
}

Error HttpClient::broken(const std::string& what) const {
  return unavailable(origin_ + ": " + what);
}

Error HttpClient::proxy_wants_a_user() const {
  return missing(origin_ + ": the proxy " + settings_.proxy->host + ":" + settings_.proxy->port +
                 " wants a user name and password (407)");
}

std::string HttpClient::head_of(const HttpRequest& request) const {
  std::string head;
  head.reserve(fixed_headers_.size() + request.target.size() + 160);
  head += request.method;
  head += ' ';
  if (settings_.proxy && !settings_.url.tls) head += origin_;
  head += request.target.empty() ? "/" : request.target;
  head += fixed_headers_;
  for (const auto& [name, value] : request.headers) {
    head += name;
    head += ": ";
    head += value;
    head += "\r\n";
  }
  if (request.body) head += "Content-Length: " + std::to_string(request.body->size()) + "\r\n";
  head += "\r\n";
  return head;
}

Error HttpClient::no_connection(const Limit& limit) const {
  return {limit.kind, origin_ + ": no connection in " + milliseconds(limit.time)};
}

Async<Result<HttpClient::ConnectionPtr>> HttpClient::open_socket(std::shared_ptr<Watch> watch,
                                                                 Place place, Limit limit) {
  auto executor = co_await asio::this_coro::executor;
  std::vector<tcp::endpoint> endpoints;
  boost::system::error_code error;
  const auto address = asio::ip::make_address(place.host, error);
  if (!error) {
    endpoints.emplace_back(address, static_cast<unsigned short>(std::stoi(place.port)));
  } else {
    tcp::resolver resolver(executor);
    auto found = co_await resolver.async_resolve(place.host, place.port,
                                                 asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
    if (error == asio::error::host_not_found)
      co_return missing(origin_ + ": there is no host '" + place.host + "'");
    if (error)
      co_return broken("cannot look up the host '" + place.host + "' (" + error.message() + ")");
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  }
  auto connection = std::make_unique<Connection>(executor);
  const LetGo let_go{*watch};
  std::ptrdiff_t left = std::ssize(endpoints);
  for (const tcp::endpoint& endpoint : endpoints) {
    // An address that swallows packets leaves the others their share of the time.
    const auto now = std::chrono::steady_clock::now();
    const SteadyTime share = left > 1 ? now + (limit.at - now) / left : limit.at;
    --left;
    watch->let_go();
    connection->socket.close(error);
    connection->socket.open(endpoint.protocol(), error);
    if (error == boost::system::errc::too_many_files_open) break;
    if (error) continue;  // a kind of address that this machine does not have
    watch->guard(connection->socket.native_handle(), share);
    co_await connection->socket.async_connect(endpoint,
                                              asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
    if (watch->fired() && left == 0) co_return no_connection(limit);
    if (!error && !watch->fired()) break;
  }
  if (error == boost::system::errc::too_many_files_open)
    co_return internal_error(origin_ +
                             ": too many open files; raise `ulimit -n` or lower max_in_flight");
  if (error)
    co_return broken(std::string("cannot connect to ") + (settings_.proxy ? "the proxy " : "") +
                     place.host + ":" + place.port + " (" + error.message() + ")");
  connection->socket.set_option(tcp::no_delay(true), error);
  connection->socket.native_non_blocking(true, error);
  co_return connection;
}

Async<Status> HttpClient::open_tunnel(Connection* connection, std::shared_ptr<Watch> watch,
                                      SteadyTime deadline) {
  const bool ipv6 = settings_.url.host.find(':') != std::string::npos;
  const std::string place =
      (ipv6 ? "[" + settings_.url.host + "]" : settings_.url.host) + ":" + settings_.url.port;
  std::string head = "CONNECT " + place + " HTTP/1.1\r\nHost: " + place + "\r\n";
  if (!settings_.proxy->authorization.empty())
    head += "Proxy-Authorization: " + settings_.proxy->authorization + "\r\n";
  head += "\r\n";
  Exchange tunnel{head, {}, 64U << 10, nullptr, watch, deadline, true};
  auto done = co_await exchange(connection, &tunnel);
  if (!done) co_return std::move(done).error();
  const int status = tunnel.parser->reply.status;
  if (status / 100 == 2) co_return Status();
  const std::string proxy = settings_.proxy->host + ":" + settings_.proxy->port;
  if (status == 407) co_return proxy_wants_a_user();
  co_return broken("the proxy " + proxy + " answered " + std::to_string(status) + " to CONNECT");
}

Async<Status> HttpClient::handshake(Connection* connection) {
  connection->tls = std::make_unique<TlsSession>(
      static_cast<SSL_CTX*>(tls_), connection->socket.native_handle(), settings_.url.host);
  for (;;) {
    const IoStep step = connection->tls->handshake();
    if (step.state == IoStep::State::done) co_return Status();
    if (step.state == IoStep::State::want_read) {
      co_await connection->socket.async_wait(tcp::socket::wait_read, asio::use_awaitable);
    } else if (step.state == IoStep::State::want_write) {
      co_await connection->socket.async_wait(tcp::socket::wait_write, asio::use_awaitable);
    } else {
      const std::string refused = connection->tls->refused_certificate();
      if (!refused.empty())
        co_return missing(origin_ + ": the server's certificate is refused: " + refused);
      co_return broken("no TLS connection: " +
                       (step.error.empty() ? "the server closed it" : step.error));
    }
  }
}

Async<Result<HttpClient::ConnectionPtr>> HttpClient::connect(std::shared_ptr<Watch> watch,
                                                             Limit whole) {
  std::optional<Limiter::Lease> turn = connecting_.try_acquire();
  if (!turn) {
    const auto left = whole.at - std::chrono::steady_clock::now();
    auto place = connecting_.acquire();
    auto in_time =
        with_deadline(std::move(place), std::chrono::ceil<Milliseconds>(left), std::string());
    auto taken = co_await std::move(in_time);
    if (!taken) co_return no_connection(whole);
    turn = std::move(*taken);
  }
  ++connections_;
  Limit limit{std::chrono::steady_clock::now() + settings_.connect, settings_.connect,
              ErrorKind::unavailable};
  if (whole.at < limit.at) limit = whole;
  const auto& proxy = settings_.proxy;
  Place place{settings_.url.host, settings_.url.port};
  if (proxy) place = Place{proxy->host, proxy->port};
  auto opened = co_await open_socket(watch, std::move(place), limit);
  if (!opened || !settings_.url.tls) co_return std::move(opened);
  ConnectionPtr connection = std::move(*opened);
  const LetGo let_go{*watch};
  watch->guard(connection->socket.native_handle(), limit.at);
  Status ready;
  if (proxy) ready = co_await open_tunnel(connection.get(), watch, limit.at);
  if (ready) ready = co_await handshake(connection.get());
  if (ready) co_return connection;
  if (watch->fired()) co_return no_connection(limit);
  co_return std::move(ready).error();
}

// Takes what the parser can use off `data`; true when the answer is whole.
Result<bool> HttpClient::take_answer(Exchange& exchange, std::string_view& data) {
  for (;;) {
    auto taken = exchange.parser->take(data);
    if (!taken) return std::move(taken).error();
    data.remove_prefix(*taken);
    if (!exchange.parser->is_done()) return false;
    if (exchange.parser->reply.status / 100 != 1) return true;
    exchange.expect_answer();  // "continue": the answer itself follows
    if (data.empty()) return false;
  }
}

Async<Status> HttpClient::exchange(Connection* connection, Exchange* exchange) {
  exchange->expect_answer();
  std::string_view head = exchange->head, body = exchange->body;
  while (!head.empty() || !body.empty()) {
    const IoStep step = connection->write(head, body);
    if (step.state == IoStep::State::want_write) {
      co_await connection->socket.async_wait(tcp::socket::wait_write, asio::use_awaitable);
    } else if (step.state == IoStep::State::want_read) {
      co_await connection->socket.async_wait(tcp::socket::wait_read, asio::use_awaitable);
    } else if (step.state != IoStep::State::done) {
      // A server may refuse and close before it has read all: its answer still counts.
      break;
    } else {
      const std::size_t of_head = std::min(step.bytes, head.size());
      head.remove_prefix(of_head);
      body.remove_prefix(step.bytes - of_head);
    }
  }
  std::string rest;  // what the parser could not take yet
  bool look_first = connection->tls != nullptr;
  for (;;) {
    if (!look_first)
      co_await connection->socket.async_wait(tcp::socket::wait_read, asio::use_awaitable);
    const IoStep step = connection->read(scratch());
    look_first = false;
    if (step.state == IoStep::State::want_read) continue;
    if (step.state == IoStep::State::want_write) {
      co_await connection->socket.async_wait(tcp::socket::wait_write, asio::use_awaitable);
      look_first = true;
      continue;
    }
    if (step.state == IoStep::State::failed || step.state == IoStep::State::end) {
      if (exchange->watch->fired()) co_return unavailable("late");
      auto ended = exchange->parser->end();
      if (!ended && !step.error.empty() && !exchange->answered)
        co_return broken("the connection broke before an answer (" + step.error + ")");
      if (!ended) co_return broken(ended.error().message);
      co_return Status();
    }
    if (!exchange->answered) {
      exchange->answered = true;
      exchange->watch->guard(connection->socket.native_handle(), exchange->whole);
    }
    std::string_view data(scratch().data(), step.bytes);
    if (!rest.empty()) data = rest.append(data);
    auto whole = take_answer(*exchange, data);
    if (!whole) {
      if (whole.error().kind != ErrorKind::unavailable) co_return std::move(whole).error();
      co_return broken(whole.error().message);
    }
    if (*whole) {
      // Bytes behind the answer belong to nobody: the connection cannot be trusted any more.
      connection->dirty = !data.empty();
      co_return Status();
    }
    if (data.size() > kMostUntaken)
      co_return broken("its answer has a line that does not end within " +
                       std::to_string(kMostUntaken >> 10) + " KiB");
    rest = std::string(data);
    look_first = step.bytes == scratch().size() || connection->tls;
  }
}

Async<Result<HttpReply>> HttpClient::send(HttpRequest request) {
  for (const auto& [name, value] : request.headers)
    if (auto good = check_header(name, value); !good) co_return std::move(good).error();
  ++requests_;
  auto executor = co_await asio::this_coro::executor;
  const auto pool = pool_of(executor);
  const auto watch = std::make_shared<Watch>(executor);
  struct End {
    Watch& watch;
    ~End() { watch.end(); }
  } end{*watch};
  const std::string head = head_of(request);
  const std::string_view body = request.body ? std::string_view(*request.body) : std::string_view();
  const Limit limit{std::chrono::steady_clock::now() + request.whole, request.whole,
                    ErrorKind::timeout};
  const SteadyTime whole = limit.at;
  for (;;) {
    ConnectionPtr connection = pool->take();
    if (!connection) {
      auto opened = co_await connect(watch, limit);
      if (!opened) co_return std::move(opened).error();
      connection = std::move(*opened);
    }
    const LetGo let_go{*watch};
    const bool was_kept = connection->reused;
    const bool split = request.first_byte > Milliseconds(0) && request.first_byte < request.whole;
    const auto first = split ? std::chrono::steady_clock::now() + request.first_byte : whole;
    watch->guard(connection->socket.native_handle(), std::min(first, whole));
    Exchange attempt{head,  body, request.most_body, request.on_body ? &request.on_body : nullptr,
                     watch, whole};
    auto done = co_await exchange(connection.get(), &attempt);
    watch->let_go();
    if (done) {
      HttpReply reply = std::move(attempt.parser->reply);
      if (reply.status == 407 && settings_.proxy && !settings_.url.tls)
        co_return proxy_wants_a_user();
      if (attempt.parser->keep_alive() && !attempt.parser->need_eof() && !connection->dirty)
        pool->keep(std::move(connection));
      co_return reply;
    }
    if (watch->fired()) {
      const auto limit = attempt.answered || !split ? request.whole : request.first_byte;
      co_return Error{ErrorKind::timeout, origin_ + ": no " +
                                              (attempt.answered ? "complete " : "") + "answer in " +
                                              milliseconds(limit)};
    }
    if (!was_kept || attempt.answered) co_return std::move(done).error();
    // The server closed a kept connection; others of the same age are gone as well.
    std::vector<ConnectionPtr> gone;
    std::lock_guard lock(pool->mutex);
    gone.swap(pool->idle);
  }
}

}  // namespace proctor
