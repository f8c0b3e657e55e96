// The only way out of a guest's network: an HTTP proxy of ours behind a listener that the slot has
// made on the guest's own loopback. Whoever connects there may ask for hosts of the list, and for
// nothing else (sandbox/network.h says which); every connection is written down.
//
// A plain request is taken apart and written anew, one a connection, so that what the host reads is
// what was judged. A tunnel (CONNECT) to a port that the list does not have by number carries TLS
// only, and TLS has to name the host that was asked for. We look names up and connect ourselves:
// no address of the guest's is ever used. Blind spot: what is said inside of TLS (another Host:, or
// a name in an encrypted hello), and look-ups have the system resolver's own deadline.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/core/worker_pool.h"
#include "sandbox/network.h"
#include "sandbox/owned_fd.h"
#include "sandbox/waiting.h"

namespace proctor {

using LookUp = std::function<Result<std::vector<std::string>>(const std::string& host)>;  // blocks

// What the proxies of a pool share.
struct Outside {
  Outside(asio::io_context& on, LookUp with);

  asio::io_context& context;
  const LookUp look_up;
  WorkerPool look_ups;
  std::size_t open = 0;  // connections of all guests
  const std::size_t most_open;
  Bell changed;
};

class Proxy : public std::enable_shared_from_this<Proxy> {
 public:
  Proxy(std::shared_ptr<Outside> outside, std::vector<AllowedHost> hosts, Bytes most_bytes);

  // From now on whoever connects there is served.
  Status open(OwnedFd listener);
  // What tells usual clients of it.
  std::vector<std::string> environment() const;
  // A session's next cell has bytes and connections of its own.
  void begin(Bytes most_bytes);
  // What there was since the last time.
  NetworkUse take();
  void close();

 private:
  struct Entry;
  struct Connection;
  struct Request;
  using ConnectionRef = std::shared_ptr<Connection>;
  using Outcome = NetworkConnection::Outcome;

  // What `request` points at belongs to the caller, who awaits them.
  Async<void> accept(std::shared_ptr<Proxy> self);
  Async<void> serve(ConnectionRef connection);
  Async<void> forward(ConnectionRef connection, Request* request);
  Async<void> tunnel(ConnectionRef connection);
  Async<bool> reach(ConnectionRef connection);
  Async<std::vector<std::string>> addresses_of(ConnectionRef connection);
  Async<bool> pass(ConnectionRef connection, bool out);
  Async<bool> pass_hello(ConnectionRef connection);
  Async<bool> pass_answer(ConnectionRef connection);
  Async<bool> pass_body(ConnectionRef connection, Request* request);
  Async<void> answer(ConnectionRef connection, int code, Outcome outcome, std::string why);
  bool spend(Connection& connection, std::size_t bytes, bool out);
  std::string limit_of_bytes() const;
  // Closes the connection when that much time has passed, instead of what was expected before.
  static void expect_within(const ConnectionRef& connection, Milliseconds limit, std::string why);
  static void expect_more(const ConnectionRef& connection);
  static void end(Connection& connection, Outcome outcome, std::string why);

  const std::shared_ptr<Outside> outside_;
  const std::vector<AllowedHost> hosts_;
  std::int64_t most_bytes_, spent_ = 0;
  int connections_ = 0;  // since begin()
  std::int64_t unlisted_ = 0;
  std::vector<std::shared_ptr<Entry>> entries_;
  std::set<ConnectionRef> open_;
  asio::ip::tcp::acceptor listener_;
  std::string place_;
  Limiter look_ups_;
  bool closed_ = false;
};

}  // namespace proctor
