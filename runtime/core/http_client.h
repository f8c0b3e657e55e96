// An HTTP/1.1 client for many requests at once: keep-alive connections, TLS, proxies, deadlines,
// bounded bodies, bodies in pieces.
//
// A waiting request holds a socket and a few small frames, no buffer. Blind spot: name look-ups
// have the system resolver's own deadline, not ours.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/core/async.h"

namespace proctor {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpUrl {
  bool tls = false;
  std::string host;  // without brackets
  std::string port;
  std::string target;  // path, query; "" where the URL has none

  std::string origin() const;  // "https://HOST:PORT"
  std::string host_header() const;
};
// "http(s)://HOST[:PORT][/PATH]"; `bad_input` says what is wrong with it.
Result<HttpUrl> parse_http_url(const std::string& url);

struct HttpProxy {
  std::string host;
  std::string port;
  std::string authorization;  // value of Proxy-Authorization; "" for none
};
// The proxy for this URL by HTTP_PROXY, HTTPS_PROXY and NO_PROXY (lower case wins). Loopback is
// always reached directly.
Result<std::optional<HttpProxy>> proxy_for(const HttpUrl& url);

// A header value with a line break would let it write headers of its own.
Status check_header(std::string_view name, std::string_view value);

struct HttpRequest {
  std::string method = "POST";
  std::string target;                       // path and query
  std::shared_ptr<const std::string> body;  // null: none
  HttpHeaders headers;                      // beside the client's own
  Milliseconds first_byte{0};               // until the answer begins; 0: only `whole` counts
  Milliseconds whole{600'000};
  std::size_t most_body = 64U << 20;
  // Called with each piece of a 2xx answer's body, which is then not collected; an Error from it
  // ends the request with that Error. Runs on the caller's executor.
  std::function<Status(std::string_view piece)> on_body;
};

struct HttpReply {
  int status = 0;
  std::string content_type;
  std::string content_encoding;  // "": none
  std::optional<std::chrono::seconds> retry_after;
  std::string body;
};

// Safe from any number of strands at once. Connections belong to the io_context they were opened
// in and die with it.
class HttpClient {
 public:
  struct Settings {
    HttpUrl url;  // its target is not used
    HttpHeaders headers;
    std::string ca_file;  // PEM; "": the system's bundle
    std::optional<HttpProxy> proxy;
    Milliseconds connect{10'000};
  };
  struct Counts {
    std::size_t requests = 0;
    std::size_t connections = 0;  // opened so far
  };

  // `bad_input` for headers with line breaks and for a CA file that cannot be read. Raises the
  // process's limit of open files as far as it may.
  static Result<std::shared_ptr<HttpClient>> make(Settings settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `unavailable`: no connection, or it broke (one kept connection that was stale is replaced
  // unnoticed); `timeout`; `missing`: the server's certificate or the proxy refuses us. Every
  // complete answer, whatever its status, is a reply.
  Async<Result<HttpReply>> send(HttpRequest request);

  const std::string& origin() const { return origin_; }
  Counts counts() const;
  void close_idle();

 private:
  struct Connection;
  struct Pool;
  class Pools;
  class Watch;
  struct LetGo;
  struct Exchange;
  struct Place {
    std::string host;
    std::string port;
  };
  using ConnectionPtr = std::unique_ptr<Connection>;
  using SteadyTime = std::chrono::steady_clock::time_point;
  // A deadline, and what is said of it when it has passed.
  struct Limit {
    SteadyTime at;
    Milliseconds time;
    ErrorKind kind;
  };

  explicit HttpClient(Settings settings);
  std::shared_ptr<Pool> pool_of(const asio::any_io_executor& executor);
  Async<Result<ConnectionPtr>> connect(std::shared_ptr<Watch> watch, Limit whole);
  Async<Result<ConnectionPtr>> open_socket(std::shared_ptr<Watch> watch, Place place, Limit limit);
  // What these point at belongs to the caller, who awaits them.
  Async<Status> open_tunnel(Connection* connection, std::shared_ptr<Watch> watch,
                            SteadyTime deadline);
  Async<Status> handshake(Connection* connection);
  Async<Status> exchange(Connection* connection, Exchange* exchange);
  static Result<bool> take_answer(Exchange& exchange, std::string_view& data);
  Error no_connection(const Limit& limit) const;
  std::string head_of(const HttpRequest& request) const;
  Error broken(const std::string& what) const;
  Error proxy_wants_a_user() const;

  const Settings settings_;
  const std::string origin_;
  std::string fixed_headers_;
  void* tls_ = nullptr;  // SSL_CTX
  Limiter connecting_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Pool>> pools_;  // one an io_context
  std::atomic<std::size_t> requests_{0}, connections_{0};
};

}  // namespace proctor
