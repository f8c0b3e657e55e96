// URLs, header values and proxy variables of the HTTP client.
#include <openssl/evp.h>

#include <boost/asio/ip/address.hpp>
#include <cstdlib>
#include <optional>

#include "runtime/core/http_client.h"

namespace proctor {
namespace {

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  return result;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host.ends_with(".localhost") || host == "::1" ||
         host.starts_with("127.");
}

// "10.0.0.0/8" or "fd00::/8"; nothing: the entry is no block of addresses.
std::optional<bool> in_block(const std::string& entry, const std::string& host) {
  const std::size_t slash = entry.find('/');
  if (slash == std::string::npos || !is_digits(entry.substr(slash + 1))) return std::nullopt;
  boost::system::error_code wrong;
  const auto bytes_of = [&wrong](const std::string& text) {
    const auto address = asio::ip::make_address(text, wrong);
    std::string bytes;
    if (wrong) return bytes;
    if (address.is_v4())
      for (const auto byte : address.to_v4().to_bytes()) bytes += static_cast<char>(byte);
    else
      for (const auto byte : address.to_v6().to_bytes()) bytes += static_cast<char>(byte);
    return bytes;
  };
  const std::string block = bytes_of(entry.substr(0, slash));
  if (block.empty() || entry.size() - slash > 4) return std::nullopt;
  const std::string address = bytes_of(host);
  const auto bits = static_cast<std::size_t>(std::stoi(entry.substr(slash + 1)));
  if (address.size() != block.size() || bits > 8 * block.size()) return false;
  for (std::size_t bit = 0; bit < bits; ++bit)
    if ((address[bit / 8] ^ block[bit / 8]) & (0x80 >> bit % 8)) return false;
  return true;
}

// One entry of NO_PROXY: "*", "host", ".domain", "domain" (with its subdomains), "host:port", or a
// block of addresses.
bool excepts(std::string_view entry, const HttpUrl& url) {
  std::string text = lower(entry);
  if (text == "*") return true;
  if (const auto inside = in_block(text, url.host)) return *inside;
  if (const std::size_t colon = text.rfind(':');
      colon != std::string::npos && text.find(':') == colon && is_digits(text.substr(colon + 1))) {
    if (text.substr(colon + 1) != url.port) return false;
    text.resize(colon);
  }
  if (text.starts_with("*.")) text.erase(0, 1);
  if (text.starts_with('.')) return url.host.ends_with(text) || url.host == text.substr(1);
  return url.host == text || url.host.ends_with("." + text);
}

bool bypasses_proxy(const HttpUrl& url) {
  if (is_loopback(url.host)) return true;
  const char* list = std::getenv("no_proxy");
  if (!list) list = std::getenv("NO_PROXY");
  std::string_view rest = list ? list : "";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of(", "), rest.size());
    const std::string_view entry = rest.substr(0, end);
    if (!entry.empty() && excepts(entry, url)) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string base64(const std::string& text) {
  std::string result(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(result.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  result.resize(static_cast<std::size_t>(size));
  return result;
}

}  // namespace

std::string HttpUrl::host_header() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? "443" : "80") ? name : name + ":" + port;
}

std::string HttpUrl::origin() const { return (tls ? "https://" : "http://") + host_header(); }

Result<HttpUrl> parse_http_url(const std::string& text) {
  const auto wrong = [&text](const std::string& what) {
    return bad_input("'" + text + "': " + what + "; expected http://HOST:PORT/PATH or https://...");
  };
  HttpUrl url;
  std::string_view rest = text;
  const std::string scheme = lower(rest.substr(0, 8));
  if (scheme.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (scheme.starts_with("https://")) {
    rest.remove_prefix(8);
    url.tls = true;
  } else {
    return wrong("is no http(s) URL");
  }
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  url.target = rest.substr(end, rest.find('#', end) - end);
  if (authority.find('@') != std::string_view::npos)
    return wrong("user names and passwords do not belong into the URL (use key_env or headers)");
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return wrong("']' is missing");
    url.host = lower(authority.substr(1, close - 1));
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority[0] != ':') return wrong("expected ':' behind ']'");
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    url.host = lower(authority.substr(0, colon));
    if (colon < authority.size()) port = authority.substr(colon + 1);
    if (colon < authority.size() && port.empty()) return wrong("the port is missing");
  }
  if (url.host.empty()) return wrong("the host is missing");
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == 127)
      return wrong("has a space or control character");
  url.port = port.empty() ? (url.tls ? "443" : "80") : std::string(port);
  if (!is_digits(url.port) || url.port.size() > 5 || std::stoi(url.port) > 65535 ||
      std::stoi(url.port) == 0)
    return wrong("the port is no number from 1 to 65535");
  return url;
}

Result<std::optional<HttpProxy>> proxy_for(const HttpUrl& url) {
  const char* names[] = {url.tls ? "https_proxy" : "http_proxy",
                         url.tls ? "HTTPS_PROXY" : "HTTP_PROXY"};
  std::string given, variable;
  for (const char* name : names)
    if (const char* value = std::getenv(name); value && *value && given.empty()) {
      given = value;
      variable = name;
    }
  if (given.empty() || bypasses_proxy(url)) return std::optional<HttpProxy>();
  if (given.find("://") == std::string::npos) given.insert(0, "http://");
  HttpProxy proxy;
  const std::size_t from = given.find("://") + 3;
  const std::size_t authority_end = std::min(given.find('/', from), given.size());
  if (const std::size_t at = given.rfind('@', authority_end);
      at != std::string::npos && at >= from) {
    proxy.authorization = "Basic " + base64(percent_decoded(given.substr(from, at - from)));
    given.erase(from, at + 1 - from);
  }
  auto parsed = parse_http_url(given);
  if (!parsed || parsed->tls)
    return bad_input("the proxy in " + variable + " is not usable: expected http://HOST:PORT");
  proxy.host = parsed->host;
  proxy.port = parsed->port;
  return std::optional<HttpProxy>(std::move(proxy));
}

Status check_header(std::string_view name, std::string_view value) {
  const bool good_name =
      !name.empty() &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
          std::string_view::npos;
  if (!good_name) return bad_input("'" + std::string(name) + "' is no header name");
  for (const char c : value)
    if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 127)
      return bad_input("the value of header " + std::string(name) +
                       " has a line break or control character");
  return {};
}

}  // namespace proctor
