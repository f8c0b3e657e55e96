// The HTTP client over TLS and through proxies: whom it trusts, and what it says when it does not.
#include "runtime/core/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <list>
#include <thread>

#include "runtime/app/mock_server.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

using asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

// A CA of our own and a certificate for "localhost" and 127.0.0.1, made once.
class Certificates {
 public:
  static const Certificates& get() {
    static const Certificates certificates;
    return certificates;
  }
  std::string ca, certificate, key, other_name_certificate, other_name_key;

 private:
  Certificates() {
    folder_ = testing::TempDir() + "proctor_tls_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
    ca = folder_ + "/ca.pem";
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj '/CN=proctor test CA' -addext keyUsage=critical,keyCertSign -keyout " +
        folder_ + "/ca.key -out " + ca);
    certificate = sign("server", "DNS:localhost,IP:127.0.0.1", key);
    other_name_certificate = sign("other", "DNS:elsewhere.test", other_name_key);
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }

  std::string sign(const std::string& name, const std::string& names, std::string& key_file) {
    const std::string stem = folder_ + "/" + name;
    key_file = stem + ".key";
    std::ofstream(stem + ".ext") << "subjectAltName=" << names << "\n";
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=" + name +
        " -keyout " + key_file + " -out " + stem + ".csr");
    run("openssl x509 -req -days 2 -CAcreateserial -in " + stem + ".csr -CA " + ca + " -CAkey " +
        folder_ + "/ca.key -extfile " + stem + ".ext -out " + stem + ".pem");
    return stem + ".pem";
  }
  static void run(const std::string& command) {
    if (std::system((command + " >/dev/null 2>&1").c_str()) != 0)
      throw std::runtime_error("failed: " + command);
  }
  std::string folder_;
};

MockOptions with_tls() {
  MockOptions options;
  options.tls_certificate = Certificates::get().certificate;
  options.tls_key = Certificates::get().key;
  return options;
}

Result<HttpReply> get_models(HttpClient::Settings settings, Milliseconds whole = 5s) {
  auto client = HttpClient::make(std::move(settings));
  if (!client) return std::move(client).error();
  HttpRequest request;
  request.method = "GET";
  request.target = "/v1/models";
  request.whole = whole;
  return await((*client)->send(std::move(request)));
}

HttpUrl url_at(unsigned short port, bool tls, const std::string& host = "127.0.0.1") {
  HttpUrl url;
  url.tls = tls;
  url.host = host;
  url.port = std::to_string(port);
  return url;
}

TEST(HttpClientTls, TrustsTheCaItWasGiven) {
  MockServer server(with_tls());
  for (const char* host : {"127.0.0.1", "localhost"}) {
    auto reply =
        get_models({.url = url_at(server.port(), true, host), .ca_file = Certificates::get().ca});
    ASSERT_TRUE(reply) << host << ": " << reply.error().message;
    EXPECT_EQ(reply->status, 200);
    EXPECT_THAT(reply->body, HasSubstr("\"mock\""));
  }
}

Async<int> ask_often(std::shared_ptr<HttpClient> client, int times) {
  int answered = 0;
  for (int i = 0; i < times; ++i) {
    HttpRequest request;
    request.target = "/v1/chat/completions";
    request.body = std::make_shared<const std::string>(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"" + std::string(100'000, 'x') + "\"}]}");
    auto reply = co_await client->send(std::move(request));
    answered += reply && reply->status == 200;
  }
  co_return answered;
}

TEST(HttpClientTls, KeepsItsConnectionAndSendsLargeBodies) {
  MockServer server(with_tls());
  auto client =
      HttpClient::make({.url = url_at(server.port(), true), .ca_file = Certificates::get().ca});
  ASSERT_TRUE(client);
  EXPECT_EQ(await(ask_often(*client, 5)), 5);
  EXPECT_EQ(server.connections(), 1U);
}

TEST(HttpClientTls, RefusesAnUnknownCa) {
  MockServer server(with_tls());
  auto reply = get_models({.url = url_at(server.port(), true)});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::missing);
  EXPECT_THAT(reply.error().message, HasSubstr("certificate is refused"));
  EXPECT_THAT(reply.error().message, HasSubstr("ca_file"));
}

TEST(HttpClientTls, RefusesACertificateForAnotherHost) {
  auto options = with_tls();
  options.tls_certificate = Certificates::get().other_name_certificate;
  options.tls_key = Certificates::get().other_name_key;
  MockServer server(options);
  auto address =
      get_models({.url = url_at(server.port(), true), .ca_file = Certificates::get().ca});
  ASSERT_FALSE(address);
  EXPECT_THAT(address.error().message, HasSubstr("IP address mismatch"));
  auto name = get_models(
      {.url = url_at(server.port(), true, "localhost"), .ca_file = Certificates::get().ca});
  ASSERT_FALSE(name);
  EXPECT_THAT(name.error().message, HasSubstr("hostname mismatch"));
  for (const auto& refused : {address, name})
    EXPECT_THAT(refused.error().message, testing::Not(HasSubstr("ca_file")));
}

TEST(HttpClientTls, SaysWhenTheServerSpeaksNoTls) {
  MockServer server({});
  auto reply = get_models({.url = url_at(server.port(), true), .connect = 500ms});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::unavailable);
}

// Takes one connection, reads its head, and does as told. Counts and keeps what it was asked.
class TinyProxy {
 public:
  explicit TinyProxy(std::string refusal = "") : refusal_(std::move(refusal)) {
    acceptor_.open(tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen();
    port_ = acceptor_.local_endpoint().port();
    thread_ = std::thread([this] { serve(); });
  }
  ~TinyProxy() { thread_.join(); }
  HttpProxy address(const std::string& authorization = "") const {
    return {"127.0.0.1", std::to_string(port_), authorization};
  }
  std::string head() {
    thread_.join();
    thread_ = std::thread([] {});
    return head_;
  }
  unsigned short forward_to = 0;  // set before the first request

 private:
  void serve() {
    tcp::socket client = acceptor_.accept();
    std::string input;
    asio::read_until(client, asio::dynamic_buffer(input), "\r\n\r\n");
    head_ = input;
    if (!refusal_.empty()) {
      asio::write(client, asio::buffer(refusal_));
      return;
    }
    tcp::socket server(context_);
    server.connect({asio::ip::address_v4::loopback(), forward_to});
    if (input.starts_with("CONNECT"))
      asio::write(client, asio::buffer(std::string("HTTP/1.1 200 Go on\r\n\r\n")));
    else
      asio::write(server, asio::buffer(input));
    std::thread back([&] { pump(server, client); });
    pump(client, server);
    back.join();
  }
  static void pump(tcp::socket& from, tcp::socket& to) {
    std::array<char, 4096> buffer;
    boost::system::error_code error;
    for (;;) {
      const std::size_t got = from.read_some(asio::buffer(buffer), error);
      if (error) break;
      asio::write(to, asio::buffer(buffer, got), error);
      if (error) break;
    }
    to.shutdown(tcp::socket::shutdown_both, error);
    from.shutdown(tcp::socket::shutdown_both, error);
  }

  std::string refusal_;
  asio::io_context context_;
  tcp::acceptor acceptor_{context_};
  unsigned short port_ = 0;
  std::string head_;
  std::thread thread_;
};

TEST(HttpClientProxy, AsksAPlainProxyForTheWholeUrl) {
  MockServer server({});
  TinyProxy proxy;
  proxy.forward_to = server.port();
  auto reply =
      get_models({.url = url_at(80, false, "models.test"), .proxy = proxy.address("Basic dTpw")});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 200);
  const std::string head = proxy.head();
  EXPECT_THAT(head, StartsWith("GET http://models.test/v1/models HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr("Proxy-Authorization: Basic dTpw\r\n"));
}

TEST(HttpClientProxy, TunnelsTlsAndChecksTheServerBehindIt) {
  MockServer server(with_tls());
  TinyProxy proxy;
  proxy.forward_to = server.port();
  auto reply = get_models({.url = url_at(server.port(), true, "localhost"),
                           .headers = {{"Authorization", "Bearer secret"}},
                           .ca_file = Certificates::get().ca,
                           .proxy = proxy.address()});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 200);
  const std::string head = proxy.head();
  EXPECT_THAT(head, StartsWith("CONNECT localhost:" + std::to_string(server.port())));
  EXPECT_THAT(head, testing::Not(HasSubstr("secret"))) << "the key is for the server alone";
}

TEST(HttpClientProxy, SaysWhatAProxyRefused) {
  TinyProxy asks("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
  auto reply = get_models({.url = url_at(443, true, "models.test"), .proxy = asks.address()});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::missing);
  EXPECT_THAT(reply.error().message, HasSubstr("wants a user name and password"));
  TinyProxy plain("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
  reply = get_models({.url = url_at(80, false, "models.test"), .proxy = plain.address()});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::missing);
  EXPECT_THAT(reply.error().message,
              HasSubstr("the proxy 127.0.0.1:" + plain.address().port + " wants a user name"));
  TinyProxy fails("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n");
  reply = get_models({.url = url_at(443, true, "models.test"), .proxy = fails.address()});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::unavailable);
  EXPECT_THAT(reply.error().message, HasSubstr("answered 502 to CONNECT"));
}

// A server that sends given bytes to whoever connects, once, and closes.
Result<HttpReply> reply_to_bytes(const std::string& bytes, std::size_t most_body = 1U << 20) {
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  const unsigned short port = acceptor.local_endpoint().port();
  std::thread thread([&] {
    tcp::socket socket = acceptor.accept();
    std::string input;
    boost::system::error_code ignored;
    asio::read_until(socket, asio::dynamic_buffer(input), "\r\n\r\n", ignored);
    asio::write(socket, asio::buffer(bytes), ignored);
  });
  auto client = HttpClient::make({.url = url_at(port, false)});
  HttpRequest request;
  request.method = "GET";
  request.target = "/";
  request.most_body = most_body;
  request.whole = 5s;
  auto reply = await((*client)->send(std::move(request)));
  thread.join();
  return reply;
}

TEST(HttpClient, ReadsBodiesByLengthByChunksAndToTheEnd) {
  EXPECT_EQ(reply_to_bytes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")->body, "abc");
  EXPECT_EQ(reply_to_bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n")
                ->body,
            "abc");
  EXPECT_EQ(reply_to_bytes("HTTP/1.0 200 OK\r\n\r\nabc")->body, "abc");
  EXPECT_EQ(reply_to_bytes("HTTP/1.1 204 OK\r\n\r\n")->status, 204);
  EXPECT_EQ(reply_to_bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                           "Content-Length: 1\r\n\r\nx")
                ->body,
            "x");
}

TEST(HttpClient, BoundsAndChecksWhatItReads) {
  auto large = reply_to_bytes("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n", 1000);
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message, HasSubstr("larger than allowed"));
  large = reply_to_bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" +
                             std::string(4095, 'x') + "\r\n0\r\n\r\n",
                         1000);
  EXPECT_FALSE(large);
  EXPECT_FALSE(reply_to_bytes("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'h') + "\r\n\r\n"));
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& endless :
       {"1;" + std::string(8'000'000, 'a'), "0\r\nX: " + std::string(8'000'000, 'a')}) {
    auto refused = reply_to_bytes(chunked + endless);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("does not end within 128 KiB"));
  }
  auto nonsense = reply_to_bytes("hello there, I am no web server\r\n\r\n");
  ASSERT_FALSE(nonsense);
  EXPECT_THAT(nonsense.error().message, HasSubstr("no valid HTTP"));
  auto cut = reply_to_bytes("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc");
  ASSERT_FALSE(cut);
  EXPECT_THAT(cut.error().message, HasSubstr("in the middle of the answer"));
}

TEST(HttpClient, KeepsToItsDeadlines) {
  MockServer server({.fault = "silent"});
  auto client = HttpClient::make({.url = url_at(server.port(), false)});
  HttpRequest request;
  request.target = "/v1/chat/completions";
  request.body = std::make_shared<const std::string>("{}");
  request.first_byte = 80ms;
  const auto started = std::chrono::steady_clock::now();
  auto reply = await((*client)->send(std::move(request)));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::timeout);
  EXPECT_THAT(reply.error().message, HasSubstr("no answer in 80 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - started, 3s);
}

// Listens, but never takes anybody in, and its queue is full: the next to connect waits.
class FullQueue {
 public:
  FullQueue() {
    acceptor_.open(tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen(0);
    for (int i = 0; i < 4; ++i) {
      tcp::socket& socket = waiting_.emplace_back(context_);
      socket.open(tcp::v4());
      socket.native_non_blocking(true);
      const tcp::endpoint place = acceptor_.local_endpoint();
      (void)!::connect(socket.native_handle(), place.data(), place.size());  // in progress
    }
  }
  unsigned short port() const { return acceptor_.local_endpoint().port(); }

 private:
  asio::io_context context_;
  tcp::acceptor acceptor_{context_};
  std::list<tcp::socket> waiting_;
};

TEST(HttpClient, SaysWhichDeadlineEndedAConnection) {
  const FullQueue server;
  auto reply = get_models({.url = url_at(server.port(), false)}, 100ms);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::timeout);
  EXPECT_THAT(reply.error().message, HasSubstr("no connection in 100 ms"));
  reply = get_models({.url = url_at(server.port(), false), .connect = 100ms});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::unavailable);
  EXPECT_THAT(reply.error().message, HasSubstr("no connection in 100 ms"));
}

Async<std::vector<Result<HttpReply>>> ask_at_once(std::shared_ptr<HttpClient> client, int times,
                                                  Milliseconds whole) {
  std::vector<Async<Result<HttpReply>>> works;
  for (int i = 0; i < times; ++i) {
    HttpRequest request;
    request.target = "/";
    request.whole = whole;
    works.push_back(client->send(std::move(request)));
  }
  co_return co_await gather(std::move(works));
}

TEST(HttpClient, WaitingForAPlaceToConnectHasADeadline) {
  const FullQueue server;
  auto client = HttpClient::make({.url = url_at(server.port(), false), .connect = 3s});
  ASSERT_TRUE(client);
  // 256 connect at once; those behind them have less time than these take.
  asio::io_context context;
  auto slow = ask_at_once(*client, 256, 60s);
  asio::co_spawn(context, std::move(slow), asio::detached);
  Result<HttpReply> late;
  const auto started = std::chrono::steady_clock::now();
  auto one = ask_at_once(*client, 1, 200ms);
  asio::co_spawn(context, std::move(one),
                 [&](const std::exception_ptr&, std::vector<Result<HttpReply>> replies) {
                   if (!replies.empty()) late = std::move(replies.front());
                   context.stop();
                 });
  context.run();
  EXPECT_LT(std::chrono::steady_clock::now() - started, 2s);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::timeout);
}

TEST(HttpClient, NamesAHostThatDoesNotExist) {
  auto reply = get_models({.url = url_at(80, false, "no-such-host.invalid")}, 20s);
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().message, HasSubstr("'no-such-host.invalid'"));
}

}  // namespace
}  // namespace proctor
