// As RFC 8446 has a ClientHello, in however many records.
#include "sandbox/client_hello.h"

#include <cstdint>

namespace proctor {
namespace {

using Kind = FirstBytes::Kind;

// Reads numbers and parts; behind the end everything is 0 and empty, and `ok` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::string_view part(std::size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view part = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return part;
  }
  std::size_t number(std::size_t bytes) {
    std::size_t value = 0;
    for (const char c : part(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  // A part whose size stands before it.
  std::string_view sized(std::size_t bytes_of_size) { return part(number(bytes_of_size)); }
  bool ended() const { return rest_.empty(); }
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

FirstBytes read_hello(std::string_view body) {
  FirstBytes broken{Kind::broken, {}};
  constexpr std::size_t kVersionAndRandom = 34, kServerName = 0, kHostName = 0;
  Reader hello(body);
  hello.part(kVersionAndRandom);
  hello.sized(1);  // session
  hello.sized(2);  // ciphers
  hello.sized(1);  // compression
  if (!hello.ok()) return broken;
  FirstBytes first{Kind::tls, {}};
  if (hello.ended()) return first;
  Reader extensions(hello.sized(2));
  bool named = false;
  while (!extensions.ended()) {
    const std::size_t type = extensions.number(2);
    const std::string_view content = extensions.sized(2);
    if (!extensions.ok()) return broken;
    if (type != kServerName) continue;
    Reader list(content);
    Reader names(list.sized(2));
    const std::size_t kind = names.number(1);
    first.server_name = names.sized(2);
    if (named || kind != kHostName || !list.ok() || !list.ended() || !names.ok() || !names.ended())
      return broken;
    named = true;
  }
  return hello.ok() && hello.ended() ? first : broken;
}

}  // namespace

FirstBytes look_at(std::string_view bytes) {
  constexpr char kHandshake = 22, kMajor = 3, kClientHello = 1;
  constexpr std::size_t kRecordHead = 5, kHelloHead = 4, kMostRecord = 1 << 14;
  if (bytes.empty()) return {Kind::more, {}};
  if (bytes[0] != kHandshake || (bytes.size() > 1 && bytes[1] != kMajor)) return {Kind::plain, {}};
  std::string hello;  // may lie in several records
  for (std::string_view rest = bytes; rest.size() >= kRecordHead;) {
    Reader head(rest.substr(3));
    const std::size_t size = head.number(2);
    if (rest[0] != kHandshake || rest[1] != kMajor || size == 0 || size > kMostRecord)
      return {Kind::broken, {}};
    const std::string_view record = rest.substr(kRecordHead, size);
    hello += record;
    if (!hello.empty() && hello[0] != kClientHello) return {Kind::broken, {}};
    if (hello.size() >= kHelloHead) {
      Reader message(std::string_view(hello).substr(1));
      const std::size_t length = message.number(3);
      if (hello.size() >= kHelloHead + length) return read_hello(message.part(length));
    }
    rest.remove_prefix(kRecordHead + record.size());
    if (record.size() < size) break;
  }
  return {bytes.size() > kMostHello ? Kind::broken : Kind::more, {}};
}

}  // namespace proctor
