// Blocks of addresses are those of the IANA's registries of special-purpose addresses.
#include "sandbox/network.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "runtime/core/http_client.h"

namespace proctor {
namespace {

namespace ip = boost::asio::ip;

constexpr std::size_t kMostHosts = 256;

struct Block {
  std::uint32_t first;
  int bits;
  const char* kind;
};
constexpr const char* kPrivate = "a private address";
constexpr const char* kReserved = "a reserved address";
constexpr std::array<Block, 17> kSpecial = {{{0x00000000, 8, "an unspecified address"},
                                             {0x0a000000, 8, kPrivate},
                                             {0x64400000, 10, kPrivate},
                                             {0x7f000000, 8, "a loopback address"},
                                             {0xa9fe0000, 16, "a link-local address"},
                                             {0xac100000, 12, kPrivate},
                                             {0xc0000000, 24, kReserved},
                                             {0xc0000200, 24, kReserved},
                                             {0xc01fc400, 24, kReserved},
                                             {0xc034c100, 24, kReserved},
                                             {0xc0586300, 24, kReserved},
                                             {0xc0a80000, 16, kPrivate},
                                             {0xc6120000, 15, kReserved},
                                             {0xc6336400, 24, kReserved},
                                             {0xcb007100, 24, kReserved},
                                             {0xe0000000, 4, "a multicast address"},
                                             {0xf0000000, 4, kReserved}}};

std::string kind_of(const ip::address_v4& address) {
  for (const auto& [first, bits, kind] : kSpecial)
    if (((address.to_uint() ^ first) >> (32 - bits)) == 0) return kind;
  return "";
}

bool starts_with(const ip::address_v6::bytes_type& bytes, std::initializer_list<int> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

std::string kind_of(const ip::address_v6& address) {
  const auto bytes = address.to_bytes();
  const auto inner = [&bytes](std::size_t at) {
    return kind_of(ip::address_v4({bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]}));
  };
  if (address.is_loopback()) return "a loopback address";
  if (address.is_link_local()) return "a link-local address";
  if (address.is_multicast()) return "a multicast address";
  if ((bytes[0] & 0xfe) == 0xfc) return kPrivate;
  // Translated by a router (NAT64) or by the host itself (6to4): what counts is the one inside.
  if (starts_with(bytes, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) return inner(12);
  if (starts_with(bytes, {0x20, 0x02})) return inner(2);
  const bool global = (bytes[0] & 0xe0) == 0x20;
  const bool of_protocols = starts_with(bytes, {0x20, 0x01}) && bytes[2] < 2;  // Teredo and others
  const bool of_documents = starts_with(bytes, {0x20, 0x01, 0x0d, 0xb8}) ||
                            (starts_with(bytes, {0x3f, 0xff}) && bytes[2] < 0x10);
  return global && !of_protocols && !of_documents ? "" : kReserved;
}

// One that stands for an IPv4 address is that address.
ip::address unmapped(const ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address;
}

std::optional<ip::address> as_address(const std::string& text) {
  boost::system::error_code error;
  const auto address = ip::make_address(text, error);
  if (error) return std::nullopt;
  return unmapped(address);
}

bool is_own(const ip::address& address) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return true;  // it cannot be told
  bool own = false;
  for (const ifaddrs* each = all; each; each = each->ifa_next) {
    if (!each->ifa_addr) continue;
    if (each->ifa_addr->sa_family == AF_INET && address.is_v4()) {
      sockaddr_in found{};
      std::memcpy(&found, each->ifa_addr, sizeof found);
      own = own || ntohl(found.sin_addr.s_addr) == address.to_v4().to_uint();
    } else if (each->ifa_addr->sa_family == AF_INET6 && address.is_v6()) {
      sockaddr_in6 found{};
      std::memcpy(&found, each->ifa_addr, sizeof found);
      const auto bytes = address.to_v6().to_bytes();
      own = own || std::memcmp(&found.sin6_addr, bytes.data(), bytes.size()) == 0;
    }
  }
  freeifaddrs(all);
  return own;
}

Result<AllowedHost> read_host(const std::string& text) {
  const auto wrong = [&text](const std::string& what) {
    return bad_input("network: '" + text + "': " + what + "; expected HOST or HOST:PORT");
  };
  if (text.find('*') != std::string::npos)
    return wrong("hosts are named one by one, without patterns");
  if (std::any_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }))
    return wrong("is not in ASCII, where an international name begins with xn--");
  if (text.find_first_of("/?#") != std::string::npos) return wrong("is more than a host");
  const bool bare_address = !text.starts_with('[') && as_address(text).has_value();
  auto url = parse_http_url(
      "http://" + (bare_address && text.find(':') != std::string::npos ? "[" + text + "]" : text));
  if (!url) return wrong("is no host");
  AllowedHost allowed{usual_form(url->host), 0};
  if (text.ends_with(":" + url->port) && !bare_address) allowed.port = std::stoi(url->port);
  if (allowed.host.empty()) return wrong("is no host");
  if (const auto address = as_address(allowed.host);
      address && (address->is_unspecified() || address->is_multicast()))
    return wrong("is no address of one host");
  return allowed;
}

}  // namespace

Result<std::vector<AllowedHost>> read_network(const std::string& text) {
  constexpr std::string_view kAllow = "allow:";
  std::vector<AllowedHost> hosts;
  if (text == "none") return hosts;
  if (!text.starts_with(kAllow))
    return bad_input("network: expected none or allow:HOST,..., got '" + text + "'");
  for (std::size_t begin = kAllow.size(); begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    auto host = read_host(text.substr(begin, end - begin));
    if (!host) return std::move(host).error();
    hosts.push_back(std::move(*host));
    begin = end + 1;
  }
  if (hosts.size() > kMostHosts)
    return bad_input("network: at most " + std::to_string(kMostHosts) + " hosts, got " +
                     std::to_string(hosts.size()));
  return hosts;
}

std::string usual_form(std::string_view host) {
  std::string usual(host);
  if (usual.ends_with('.')) usual.pop_back();
  for (char& c : usual)
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  if (const auto address = as_address(usual)) return address->to_string();
  return usual;
}

bool names_port(const std::vector<AllowedHost>& hosts, std::string_view host, int port) {
  return std::any_of(hosts.begin(), hosts.end(), [&](const AllowedHost& each) {
    return each.host == host && each.port == port;
  });
}

bool is_allowed(const std::vector<AllowedHost>& hosts, std::string_view host, int port) {
  return names_port(hosts, host, port) ||
         ((port == 80 || port == 443) && names_port(hosts, host, 0));
}

std::string special_kind(const ip::address& address) {
  const ip::address plain = unmapped(address);
  return plain.is_v4() ? kind_of(plain.to_v4()) : kind_of(plain.to_v6());
}

std::string why_not(const std::vector<AllowedHost>& hosts, const ip::address& address, int port) {
  const ip::address plain = unmapped(address);
  if (is_allowed(hosts, plain.to_string(), port)) return "";
  if (plain.is_loopback() && is_allowed(hosts, "localhost", port)) return "";
  std::string kind = special_kind(plain);
  if (kind.empty() && is_own(plain)) kind = "an address of this machine";
  if (kind.empty()) return "";
  return plain.to_string() + " is " + kind + ", which the list does not name";
}

}  // namespace proctor
