// The server name that a TLS client asks for, read off the first bytes it sends.
//
// Blind spot: what an encrypted hello (ECH) says inside; its outer name is what is read.
#pragma once

#include <string>
#include <string_view>

namespace proctor {

inline constexpr std::size_t kMostHello = std::size_t{32} << 10;

struct FirstBytes {
  enum class Kind {
    more,   // cannot be told yet
    plain,  // no TLS
    tls,
    broken,  // begins like TLS, and is none or too long
  };
  Kind kind = Kind::more;
  std::string server_name;  // of `tls`; "": it asks for none
};
FirstBytes look_at(std::string_view bytes);

}  // namespace proctor
