// A server at an address of the loopback that sends back whatever it is sent, under a name of its
// own: as HTTP, once nothing more comes. "GET /to?URL" is redirected there; "GET /large?BYTES" gets
// so many.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace proctor {

class PlainServer {
 public:
  // Port 0: any; then `port()` says which.
  PlainServer(std::string name, const std::string& address, int port) : name_(std::move(name)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    (void)setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<std::uint16_t>(port));
    (void)inet_pton(AF_INET, address.c_str(), &place.sin_addr);
    socklen_t size = sizeof place;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&place), size) != 0 ||
        listen(listener_, 64) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&place), &size) != 0)
      throw std::runtime_error(address + ":" + std::to_string(port) + " cannot be had");
    port_ = ntohs(place.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  PlainServer(const PlainServer&) = delete;
  PlainServer& operator=(const PlainServer&) = delete;
  ~PlainServer() {
    stopping_ = true;
    (void)shutdown(listener_, SHUT_RDWR);
    thread_.join();
    for (auto& each : serving_) each.join();
    close(listener_);
  }

  int port() const { return port_; }
  int connections() const { return connections_; }
  // All that was received, connection by connection.
  std::vector<std::string> received() const {
    const std::lock_guard lock(mutex_);
    return received_;
  }

 private:
  void accept_all() {
    for (int fd; !stopping_ && (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      ++connections_;
      serving_.emplace_back([this, fd] { serve(fd); });
    }
  }
  void serve(int fd) {
    constexpr int kQuietMs = 50, kStepMs = 20, kMostSteps = 1000;
    std::string text;
    for (int step = 0; step < kMostSteps && !stopping_; ++step) {
      pollfd readable{fd, POLLIN, 0};
      if (poll(&readable, 1, text.empty() ? kStepMs : kQuietMs) == 0) {
        if (text.empty()) continue;
        break;
      }
      char buffer[65536];
      const ssize_t size = read(fd, buffer, sizeof buffer);
      if (size <= 0) break;
      text.append(buffer, static_cast<std::size_t>(size));
    }
    {
      const std::lock_guard lock(mutex_);
      received_.push_back(text);
    }
    const std::string answer = text.empty() ? "" : answer_to(text);
    for (std::size_t at = 0; at < answer.size();) {
      const ssize_t sent = send(fd, answer.data() + at, answer.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) break;
      at += static_cast<std::size_t>(sent);
    }
    close(fd);
  }
  std::string answer_to(const std::string& text) const {
    const std::string to = "GET /to?", large = "GET /large?";
    const std::string end = "Connection: close\r\n\r\n";
    if (text.starts_with(to))
      return "HTTP/1.1 302 Found\r\nLocation: " +
             text.substr(to.size(), text.find(' ', to.size()) - to.size()) + "\r\n" + end;
    if (text.starts_with(large))
      return "HTTP/1.1 200 OK\r\n" + end +
             std::string(std::strtoull(text.c_str() + large.size(), nullptr, 10), 'x');
    return "HTTP/1.1 200 OK\r\n" + end + name_ + ": " + text;
  }

  const std::string name_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> received_;
  std::list<std::thread> serving_;
  std::thread thread_;
};

}  // namespace proctor
