// What is decided about hosts, addresses and the first bytes of a tunnel.
#include "sandbox/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "sandbox/client_hello.h"

namespace proctor {
namespace {

using boost::asio::ip::make_address;
using testing::HasSubstr;

std::vector<AllowedHost> hosts(const std::string& list) {
  auto read = read_network("allow:" + list);
  EXPECT_TRUE(read) << read.error().message;
  return read ? *read : std::vector<AllowedHost>();
}

TEST(NetworkList, IsOfHostsAndPorts) {
  EXPECT_TRUE(read_network("none")->empty());
  const auto list = hosts("Example.ORG.,b.test:8080,10.0.0.1,[::1]:99,::2,[2001:DB8::0:1]");
  ASSERT_EQ(list.size(), 6U);
  const std::pair<const char*, int> wanted[] = {{"example.org", 0}, {"b.test", 8080},
                                                {"10.0.0.1", 0},    {"::1", 99},
                                                {"::2", 0},         {"2001:db8::1", 0}};
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(list[i].host, wanted[i].first);
    EXPECT_EQ(list[i].port, wanted[i].second);
  }
  EXPECT_TRUE(is_allowed(list, "example.org", 443));
  EXPECT_TRUE(is_allowed(list, "example.org", 80));
  EXPECT_FALSE(is_allowed(list, "example.org", 8080));
  EXPECT_FALSE(is_allowed(list, "www.example.org", 443));
  EXPECT_TRUE(is_allowed(list, "b.test", 8080));
  EXPECT_FALSE(is_allowed(list, "b.test", 80));
  EXPECT_FALSE(names_port(list, "example.org", 80));
  EXPECT_TRUE(names_port(list, "b.test", 8080));
}

TEST(NetworkList, SaysWhatIsWrongWithIt) {
  for (const auto& [bad, said] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "expected none or allow:HOST,..., got ''"},
           {"all", "expected none or allow:HOST"},
           {"allow:", "is no host"},
           {"allow:a,,b", "'': is no host"},
           {"allow:*.example.org", "hosts are named one by one"},
           {"allow:http://example.org", "is more than a host"},
           {"allow:example.org/x", "is more than a host"},
           {"allow:u@example.org", "is no host"},
           {"allow:a:0", "is no host"},
           {"allow:a:65536", "is no host"},
           {"allow:a b", "is no host"},
           {"allow:\xC3\xA9.example.org", "begins with xn--"},
           {"allow:0.0.0.0", "is no address of one host"},
           {"allow:[::]:80", "is no address of one host"},
           {"allow:224.0.0.1", "is no address of one host"}}) {
    const auto read = read_network(bad);
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().kind, ErrorKind::bad_input);
    EXPECT_THAT(read.error().message, HasSubstr(said));
  }
}

TEST(NetworkAddresses, ThatAreNotEverybodysHaveAKind) {
  for (const char* open : {"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1",
                           "172.32.0.1", "192.167.0.1", "223.255.255.255", "2606:4700::1111",
                           "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"})
    EXPECT_EQ(special_kind(make_address(open)), "") << open;
  for (const auto& [address, kind] : std::initializer_list<std::pair<const char*, const char*>>{
           {"127.0.0.1", "a loopback address"},
           {"127.255.0.3", "a loopback address"},
           {"::1", "a loopback address"},
           {"::ffff:127.0.0.1", "a loopback address"},
           {"64:ff9b::7f00:1", "a loopback address"},
           {"2002:7f00:1::", "a loopback address"},
           {"10.1.2.3", "a private address"},
           {"172.16.0.1", "a private address"},
           {"172.31.255.255", "a private address"},
           {"192.168.0.1", "a private address"},
           {"100.64.0.1", "a private address"},
           {"100.127.255.255", "a private address"},
           {"fc00::1", "a private address"},
           {"fdff::1", "a private address"},
           {"64:ff9b::a00:1", "a private address"},
           {"169.254.169.254", "a link-local address"},
           {"::ffff:169.254.169.254", "a link-local address"},
           {"fe80::1", "a link-local address"},
           {"224.0.0.1", "a multicast address"},
           {"ff02::1", "a multicast address"},
           {"0.0.0.0", "an unspecified address"},
           {"0.1.2.3", "an unspecified address"},
           {"::", "a reserved address"},
           {"::127.0.0.1", "a reserved address"},
           {"255.255.255.255", "a reserved address"},
           {"192.0.2.1", "a reserved address"},
           {"198.18.0.1", "a reserved address"},
           {"2001:db8::1", "a reserved address"},
           {"2001::1", "a reserved address"},
           {"64:ff9b:1::1", "a reserved address"},
           {"fec0::1", "a reserved address"}})
    EXPECT_EQ(special_kind(make_address(address)), kind) << address;
}

TEST(NetworkAddresses, AreReachedWhereTheyAreNamed) {
  const auto list = hosts("db.test:5432,10.0.0.5:5432,localhost:80");
  const auto why = [&](const char* address, int port) {
    return why_not(list, make_address(address), port);
  };
  EXPECT_EQ(why("8.8.8.8", 1), "");
  EXPECT_EQ(why("10.0.0.5", 5432), "");
  EXPECT_EQ(why("::ffff:10.0.0.5", 5432), "");
  EXPECT_EQ(why("10.0.0.5", 80), "10.0.0.5 is a private address, which the list does not name");
  EXPECT_NE(why("10.0.0.6", 5432), "");
  EXPECT_EQ(why("127.0.0.1", 80), "");
  EXPECT_EQ(why("::1", 80), "");
  EXPECT_NE(why("127.0.0.1", 5432), "");
}

std::string hello_for(const char* name) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* client = SSL_new(context);
  SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (name) SSL_set_tlsext_host_name(client, name);
  (void)SSL_connect(client);
  std::string bytes(1 << 14, '\0');
  bytes.resize(static_cast<std::size_t>(
      std::max(0, BIO_read(SSL_get_wbio(client), bytes.data(), static_cast<int>(bytes.size())))));
  SSL_free(client);
  SSL_CTX_free(context);
  return bytes;
}

using Kind = FirstBytes::Kind;

TEST(FirstBytes, OfTlsNameTheServer) {
  for (const char* name : {"example.org", "a", static_cast<const char*>(nullptr)}) {
    const std::string hello = hello_for(name);
    ASSERT_GT(hello.size(), 100U);
    for (std::size_t size = 0; size < hello.size(); ++size)
      ASSERT_EQ(look_at(hello.substr(0, size)).kind, Kind::more) << size;
    for (const std::string& more : {std::string(), std::string("more")}) {
      EXPECT_EQ(look_at(hello + more).kind, Kind::tls);
      EXPECT_EQ(look_at(hello + more).server_name, name ? name : "");
    }
    // The same in records of one byte each.
    std::string pieces;
    for (const char c : hello.substr(5)) pieces += std::string("\x16\x03\x01\x00\x01", 5) + c;
    EXPECT_EQ(look_at(pieces).kind, Kind::tls);
    EXPECT_EQ(look_at(pieces).server_name, name ? name : "");
  }
}

TEST(FirstBytes, MayBeAnythingElse) {
  EXPECT_EQ(look_at("").kind, Kind::more);
  for (const char* plain : {"GET / HTTP/1.1", "SSH-2.0", "\x16\x02", "\x80\x2e"})
    EXPECT_EQ(look_at(plain).kind, Kind::plain) << plain;
  EXPECT_EQ(look_at("\x16").kind, Kind::more);
  const std::string hello = hello_for("example.org");
  // Another message, an empty record, a record that is too long, another record between.
  for (const auto& [at, byte] : std::initializer_list<std::pair<std::size_t, char>>{
           {5, 2}, {3, '\x7f'}, {43, '\xff'}, {hello.size() - 1, '\xff'}}) {
    std::string bad = hello;
    bad[at] = byte;
    EXPECT_NE(look_at(bad + std::string(70'000, 'x')).server_name, "another");
  }
  EXPECT_EQ(look_at(std::string("\x16\x03\x01\x00\x00", 5)).kind, Kind::broken);
  EXPECT_EQ(look_at(std::string("\x16\x03\x01\x00\x01\x02", 6)).kind, Kind::broken);
  EXPECT_EQ(look_at(std::string("\x16\x03\x01\x00\x01\x01\x17\x03\x01\x00", 10)).kind, Kind::more);
  EXPECT_EQ(look_at(std::string("\x16\x03\x01\x00\x01\x01\x17\x03\x01\x00\x01x", 12)).kind,
            Kind::broken);
  EXPECT_EQ(
      look_at(std::string("\x16\x03\x01\x40\x00\x01\xff\xff\xff", 9) + std::string(kMostHello, 'x'))
          .kind,
      Kind::broken);
  // No byte of a hello can be changed so that anything breaks.
  for (std::size_t at = 0; at < hello.size(); ++at)
    for (const int byte : {0, 1, 127, 255}) {
      std::string changed = hello;
      changed[at] = static_cast<char>(byte);
      (void)look_at(changed);
    }
}

}  // namespace
}  // namespace proctor
