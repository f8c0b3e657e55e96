// Beast's incremental HTTP parser, with the body handed on instead of stored twice.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <functional>

#include "runtime/core/http_client.h"

namespace proctor {

class HttpReplyParser final : public boost::beast::http::basic_parser<false> {
 public:
  // `on_body` may be null; it is called for 2xx answers only.
  HttpReplyParser(std::size_t most_body, const std::function<Status(std::string_view)>* on_body)
      : on_body_(on_body) {
    eager(true);
    header_limit(64U << 10);
    body_limit(most_body);
  }

  // Takes all that is whole of `data`; gives back how much, or says what is wrong with it.
  Result<std::size_t> take(std::string_view data);
  // Nothing more comes: an Error unless the answer is whole.
  Status end();

  HttpReply reply;

 private:
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;
  using field = boost::beast::http::field;

  void on_request_impl(boost::beast::http::verb, string_view, string_view, int,
                       error_code&) override {}
  void on_response_impl(int code, string_view, int, error_code& ec) override {
    ec = {};
    reply.status = code;
  }
  void on_field_impl(field name, string_view, string_view value, error_code& ec) override;
  void on_header_impl(error_code& ec) override { ec = {}; }
  void on_body_init_impl(boost::optional<std::uint64_t> const& length, error_code& ec) override;
  std::size_t on_body_impl(string_view body, error_code& ec) override;
  void on_chunk_header_impl(std::uint64_t, string_view, error_code& ec) override { ec = {}; }
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code& ec) override {
    return on_body_impl(body, ec);
  }
  void on_finish_impl(error_code& ec) override { ec = {}; }

  const std::function<Status(std::string_view)>* on_body_;
  std::optional<Error> sink_error_;
};

// Seconds or an HTTP date; nothing when it is neither.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                      std::chrono::system_clock::time_point now);

}  // namespace proctor
