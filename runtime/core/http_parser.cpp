// What the HTTP client keeps of an answer.
//
// Blind spot: trailers and most headers are dropped.
#include "runtime/core/http_parser.h"

#include <ctime>

namespace proctor {

namespace http = boost::beast::http;

Result<std::size_t> HttpReplyParser::take(std::string_view data) {
  std::size_t taken = 0;
  while (taken < data.size() && !is_done()) {
    error_code ec;
    const std::size_t used = put(boost::asio::buffer(data.data() + taken, data.size() - taken), ec);
    taken += used;
    if (sink_error_) return *sink_error_;
    if (ec == http::error::need_more) break;
    if (ec == http::error::body_limit) return unavailable("the answer is larger than allowed");
    if (ec) return unavailable("the answer is no valid HTTP (" + ec.message() + ")");
    if (used == 0) break;
  }
  return taken;
}

Status HttpReplyParser::end() {
  if (is_done()) return {};
  if (!got_some()) return unavailable("the server closed the connection without an answer");
  error_code ec;
  put_eof(ec);
  if (ec) return unavailable("the connection closed in the middle of the answer");
  return {};
}

void HttpReplyParser::on_field_impl(field name, string_view, string_view value, error_code& ec) {
  ec = {};
  if (name == field::content_type)
    reply.content_type.assign(value.data(), value.size());
  else if (name == field::content_encoding && value != "identity")
    reply.content_encoding.assign(value.data(), value.size());
  else if (name == field::retry_after)
    reply.retry_after = parse_retry_after(std::string_view(value.data(), value.size()),
                                          std::chrono::system_clock::now());
}

void HttpReplyParser::on_body_init_impl(boost::optional<std::uint64_t> const& length,
                                        error_code& ec) {
  ec = {};
  const bool handed_on = on_body_ && reply.status / 100 == 2;
  // A stated length is only a promise: a large one is not reserved at once.
  if (!handed_on && length)
    reply.body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(*length, 1U << 20)));
}

std::size_t HttpReplyParser::on_body_impl(string_view body, error_code& ec) {
  ec = {};
  if (!on_body_ || reply.status / 100 != 2) {
    reply.body.append(body.data(), body.size());
    return body.size();
  }
  if (auto took = (*on_body_)(std::string_view(body.data(), body.size())); !took) {
    sink_error_ = std::move(took).error();
    ec = http::error::bad_value;
  }
  return body.size();
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                      std::chrono::system_clock::time_point now) {
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  // A fraction is no HTTP, but sent: rounded up, since too early is worse.
  const std::size_t point = std::min(value.find('.'), value.size());
  const std::string_view fraction = value.substr(point);
  if (is_number(value.substr(0, point)) && (fraction.empty() || is_number(fraction.substr(1)))) {
    const bool more = fraction.find_first_of("123456789") != std::string_view::npos;
    return std::chrono::seconds(std::stol(std::string(value.substr(0, point))) + (more ? 1 : 0));
  }
  std::tm time{};
  if (!strptime(std::string(value).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &time))
    return std::nullopt;
  // In whole seconds: a year far away does not fit into the clock's nanoseconds.
  const std::int64_t wait = timegm(&time) - std::chrono::system_clock::to_time_t(now);
  return std::chrono::seconds(std::max<std::int64_t>(0, wait));
}

}  // namespace proctor
