// URLs, proxy variables, headers, Retry-After and event streams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "runtime/core/http_client.h"
#include "runtime/core/http_parser.h"
#include "runtime/core/sse.h"

namespace proctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(HttpUrl, TakesTheUsualForms) {
  auto url = parse_http_url("http://127.0.0.1:8000/v1");
  ASSERT_TRUE(url);
  EXPECT_FALSE(url->tls);
  EXPECT_EQ(url->host, "127.0.0.1");
  EXPECT_EQ(url->port, "8000");
  EXPECT_EQ(url->target, "/v1");
  EXPECT_EQ(url->origin(), "http://127.0.0.1:8000");
  url = parse_http_url("HTTPS://Api.Example.com/v1?x=1");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->port, "443");
  EXPECT_EQ(url->origin(), "https://api.example.com");
  EXPECT_EQ(url->target, "/v1?x=1");
  url = parse_http_url("http://[::1]:81");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->origin(), "http://[::1]:81");
}

TEST(HttpUrl, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"ftp://h/", "no http(s) URL"},        {"http://", "the host is missing"},
      {"http://h:/", "the port is missing"}, {"http://h:0/", "1 to 65535"},
      {"http://h:123456/", "1 to 65535"},    {"http://u:p@h/", "user names"},
      {"http://[::1/", "']' is missing"},    {"http://h/a b", "space"},
  };
  for (const auto& [text, says] : cases) {
    auto url = parse_http_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(url.error().message, HasSubstr(says)) << text;
  }
}

class Proxy : public testing::Test {
 protected:
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }
  static void clear() {
    for (const char* name :
         {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"})
      unsetenv(name);
  }
  static std::optional<HttpProxy> of(const std::string& url) {
    return proxy_for(*parse_http_url(url)).value();
  }
};

TEST_F(Proxy, ComesFromTheVariableOfTheScheme) {
  EXPECT_FALSE(of("https://models.test/v1"));
  setenv("HTTPS_PROXY", "http://us%40er:pw@proxy.test:3128/", 1);
  auto proxy = of("https://models.test/v1");
  ASSERT_TRUE(proxy);
  EXPECT_EQ(proxy->host, "proxy.test");
  EXPECT_EQ(proxy->port, "3128");
  EXPECT_EQ(proxy->authorization, "Basic dXNAZXI6cHc=");
  EXPECT_FALSE(of("http://models.test/v1"));
  setenv("http_proxy", "proxy.test:8080", 1);
  EXPECT_EQ(of("http://models.test/v1")->port, "8080");
}

TEST_F(Proxy, IsPassedByForExceptionsAndLoopback) {
  setenv("HTTP_PROXY", "http://proxy.test:3128", 1);
  setenv("NO_PROXY", "one.test, .two.test,three.test:81 *.four.test", 1);
  for (const char* direct :
       {"http://one.test/", "http://sub.one.test/", "http://a.two.test/", "http://three.test:81/",
        "http://x.four.test/", "http://127.0.0.1:8000/", "http://localhost/", "http://[::1]/"})
    EXPECT_FALSE(of(direct)) << direct;
  for (const char* through : {"http://notone.test/", "http://three.test/", "http://five.test/"})
    EXPECT_TRUE(of(through)) << through;
  setenv("NO_PROXY", "10.0.0.0/8,192.168.4.0/22,fd00::/8", 1);
  for (const char* direct : {"http://10.1.2.3/", "http://192.168.7.1/", "http://[fd12::1]/"})
    EXPECT_FALSE(of(direct)) << direct;
  for (const char* through :
       {"http://11.1.2.3/", "http://192.168.8.1/", "http://[fe80::1]/", "http://ten.test/"})
    EXPECT_TRUE(of(through)) << through;
  setenv("NO_PROXY", "*", 1);
  EXPECT_FALSE(of("http://five.test/"));
}

TEST_F(Proxy, RefusesKindsItCannotSpeak) {
  setenv("HTTPS_PROXY", "socks5://proxy.test:1080", 1);
  auto proxy = proxy_for(*parse_http_url("https://models.test/"));
  ASSERT_FALSE(proxy);
  EXPECT_THAT(proxy.error().message, HasSubstr("HTTPS_PROXY"));
}

TEST(HttpHeader, MayNotSmuggle) {
  EXPECT_TRUE(check_header("X-Key", "value with\ttab"));
  EXPECT_FALSE(check_header("X-Key", "a\r\nHost: b"));
  EXPECT_FALSE(check_header("X Key", "a"));
  EXPECT_FALSE(check_header("", "a"));
}

TEST(RetryAfter, ReadsSecondsAndDates) {
  const auto now = std::chrono::system_clock::from_time_t(784111777);  // 06 Nov 1994 08:49:37
  EXPECT_EQ(parse_retry_after("7", now), std::chrono::seconds(7));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now), std::chrono::seconds(30));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), std::chrono::seconds(0));
  EXPECT_GT(parse_retry_after("Sun, 06 Nov 8999 08:50:07 GMT", now), std::chrono::hours(24));
  EXPECT_EQ(parse_retry_after("0.5", now), std::chrono::seconds(1));
  EXPECT_EQ(parse_retry_after("2.0", now), std::chrono::seconds(2));
  EXPECT_EQ(parse_retry_after("1.5s", now), std::nullopt);
  EXPECT_EQ(parse_retry_after("soon", now), std::nullopt);
  EXPECT_EQ(parse_retry_after("", now), std::nullopt);
}

std::vector<std::string> events_of(std::string_view text, std::size_t piece) {
  SseParser parser;
  std::vector<std::string> events;
  const SseParser::Event keep = [&](std::string_view name, std::string_view data) -> Status {
    events.push_back((name.empty() ? "" : std::string(name) + "=") + std::string(data));
    return {};
  };
  while (!text.empty()) {
    EXPECT_TRUE(parser.take(text.substr(0, piece), keep));
    text.remove_prefix(std::min(piece, text.size()));
  }
  return events;
}

TEST(Sse, GivesEventsWhereverThePiecesAreCut) {
  const std::string_view text =
      ": comment\r\n\r\ndata: one\r\n\r\nevent: x\rdata:two\rid: 3\r\rdata: a\ndata\ndata: b\n\n"
      "database: no\n\ndata: half";
  for (const std::size_t piece : {1, 2, 3, 7, 1000})
    EXPECT_THAT(events_of(text, piece), ElementsAre("one", "x=two", "a\n\nb")) << piece;
}

TEST(Sse, TakesALineThatTellsOfAnErrorForAnEvent) {
  for (const std::size_t piece : {1, 5, 1000})
    EXPECT_THAT(events_of("data: a\n\nerror: {}\n\nevent: y\n\ndata: b\n\n", piece),
                ElementsAre("a", "error={}", "b"))
        << piece;
}

TEST(Sse, BoundsALineAndAnEvent) {
  const SseParser::Event ignore = [](std::string_view, std::string_view) { return Status(); };
  SseParser line(100);
  EXPECT_FALSE(line.take("data: " + std::string(200, 'x'), ignore));
  SseParser event(100);
  Status status;
  for (int i = 0; i < 10 && status; ++i) status = event.take("data: 0123456789abcdef\n", ignore);
  EXPECT_FALSE(status);
}

}  // namespace
}  // namespace proctor
